//! The sound server for applications: the first session's.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard};

use soundpost_core::Hns;
use soundpost_engine::Engine;
use soundpost_host::pulse::{
    PulseConfig, PulseServer, PulseSession, PulseSocket, PulseTcp, load_or_create_cookie, usual_cookie, usual_socket,
};

use super::Failure;
use super::hub::{Hub, HubSession};
use crate::config::{PulseSettings, Settings};

/// The places where applications come in, taken before anything is started.
pub(super) struct Applications {
    socket: PulseSocket,
    tcp: Option<PulseTcp>,
    cookie: Option<[u8; 256]>,
    usual: bool,
}

/// How applications find it.
pub(super) struct Found {
    pub(super) socket: PathBuf,
    pub(super) tcp: Option<SocketAddr>,
    /// It is where they look without being told.
    pub(super) usual: bool,
}

impl Applications {
    /// Takes the sockets and reads the cookie.
    pub(super) fn bind(settings: &PulseSettings, state_dir: &Path) -> Result<Self, Failure> {
        let usual = usual_socket();
        let path = settings.socket.clone().or_else(|| usual.clone()).unwrap_or_else(|| state_dir.join("pulse/native"));
        let socket = PulseSocket::bind(&path)?;
        let tcp = settings.tcp.map(PulseTcp::bind).transpose()?;
        let needed = settings.cookie.is_some() || tcp.is_some();
        let file = settings.cookie.clone().or_else(usual_cookie);
        let cookie = match file.as_deref().map(load_or_create_cookie) {
            Some(Ok(cookie)) => Some(cookie),
            None if needed => {
                return Err("no home directory is known: say where the cookie is with --pulse-cookie".into());
            }
            Some(Err(error)) if needed => return Err(error.into()),
            other => {
                // This user's own applications need none.
                tracing::info!(why = ?other.and_then(Result::err).map(|error| error.to_string()), "no sound cookie");
                None
            }
        };
        let usual = usual.as_deref() == Some(socket.path());
        Ok(Self { socket, tcp, cookie, usual })
    }

    pub(super) fn found(&self) -> Found {
        Found {
            socket: self.socket.path().to_owned(),
            tcp: self.tcp.as_ref().map(PulseTcp::address),
            usual: self.usual,
        }
    }

    /// Begins to serve.
    pub(super) fn start(self, hub: &Arc<Hub>, settings: &Settings) -> Result<PulseServer, Failure> {
        let session = hub.sessions().first().ok_or("there is no session for applications")?.clone();
        let config = PulseConfig {
            session: session.id,
            speakers: session.device,
            microphone: session.microphone,
            rate: settings.rate,
            period: settings.period,
            user: session.name.clone(),
            memory: Some(settings.state_dir.join("applications.json")),
            cookie: self.cookie,
        };
        let behind = Behind { hub: hub.clone(), session };
        Ok(PulseServer::start(config, behind, self.socket, self.tcp)?)
    }
}

/// The session as the sound server sees it.
struct Behind {
    hub: Arc<Hub>,
    session: HubSession,
}

impl PulseSession for Behind {
    fn engine(&self) -> MutexGuard<'_, Engine> {
        self.hub.engine()
    }

    fn behind_endpoint(&self) -> Hns {
        self.hub.behind_endpoints(&self.session)
    }
}
