//! The sound server for applications: a place where they come in for each session.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard};

use soundpost_core::Hns;
use soundpost_engine::{DeviceId, Engine};
use soundpost_host::pulse::{
    Owner, PulseConfig, PulsePlace, PulseServer, PulseSession, PulseSocket, PulseTcp, load_or_create_cookie, socket_of,
    usual_cookie, usual_socket,
};

use super::Failure;
use super::devices::{Devices, Ways};
use super::hub::{Hub, HubSession, lock};
use crate::config::{PulseSettings, Settings, User};

/// The places where applications come in, taken before anything is started.
pub(super) struct Applications {
    places: Vec<Place>,
    tcp: Option<PulseTcp>,
    cookie: Option<[u8; 256]>,
}

/// That of one session.
struct Place {
    session: String,
    socket: PulseSocket,
    owner: Owner,
    usual: bool,
}

/// How applications find it.
pub(super) struct Found {
    /// Whose session it is.
    pub(super) session: String,
    pub(super) socket: PathBuf,
    pub(super) tcp: Option<SocketAddr>,
    /// It is where they look without being told.
    pub(super) usual: bool,
}

impl Applications {
    /// Takes the sockets and reads the cookie.
    pub(super) fn bind(pulse: &PulseSettings, settings: &Settings) -> Result<Self, Failure> {
        let places = settings.users.iter().enumerate();
        let places = places.map(|(k, user)| Place::bind(k == 0, user, pulse, &settings.state_dir));
        let places = places.collect::<Result<Vec<_>, _>>()?;
        let tcp = pulse.tcp.map(PulseTcp::bind).transpose()?;
        let needed = pulse.cookie.is_some() || tcp.is_some();
        let file = pulse.cookie.clone().or_else(usual_cookie);
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
        Ok(Self { places, tcp, cookie })
    }

    /// Where applications come in, the first session first.
    pub(super) fn found(&self) -> Vec<Found> {
        let found = self.places.iter().zip(std::iter::once(self.tcp.as_ref()).chain(std::iter::repeat(None)));
        let found = found.map(|(place, tcp)| Found {
            session: place.session.clone(),
            socket: place.socket.path().to_owned(),
            tcp: tcp.map(PulseTcp::address),
            usual: place.usual,
        });
        found.collect()
    }

    /// Begins to serve.
    pub(super) fn start(
        self,
        hub: &Arc<Hub>,
        settings: &Settings,
        devices: &Devices,
        ways: &Ways,
    ) -> Result<PulseServer, Failure> {
        let (mut tcp, mut cookie) = (self.tcp, self.cookie);
        let places = self.places.into_iter().zip(hub.sessions()).enumerate().map(|(k, (place, session))| PulsePlace {
            config: PulseConfig {
                session: session.id,
                devices: devices.of_session(k),
                rate: settings.rate,
                period: settings.period,
                user: session.name.clone(),
                memory: Some(memory(&settings.state_dir, k, &session.name)),
                owner: place.owner.user,
                // Who has it may come to the first session; the kernel vouches for the others' applications.
                cookie: cookie.take(),
            },
            session: Behind { hub: hub.clone(), session: session.clone(), ways: ways.clone() },
            socket: place.socket,
            tcp: tcp.take(),
        });
        Ok(PulseServer::start(places.collect())?)
    }
}

impl Place {
    fn bind(first: bool, user: &User, pulse: &PulseSettings, state_dir: &Path) -> Result<Self, Failure> {
        let own = Owner::own();
        let owner = match &user.account {
            Some(account) => {
                let found = Owner::named(account)?.ok_or_else(|| {
                    format!("this system has no user {account}: correct users.account of {}", user.name)
                })?;
                if !found.can_be_served() {
                    let text =
                        "only root can serve another user's applications: start soundpost as root, or as that user";
                    return Err(format!("users.account cannot be {account}: {text}").into());
                }
                found
            }
            // Whoever is not root serves their own applications alone, whatever the sessions are called.
            None => Owner::named(&user.name)?.filter(|found| found.can_be_served()).unwrap_or(own),
        };
        let usual = if owner == own { usual_socket().filter(|_| first) } else { Some(socket_of(owner)?) };
        let given = user.pulse_socket.clone().or_else(|| pulse.socket.clone().filter(|_| first));
        let kept = || {
            if first {
                state_dir.join("pulse/native")
            } else {
                state_dir.join("pulse").join(plain(&user.name)).join("native")
            }
        };
        let path = given.or_else(|| usual.clone()).unwrap_or_else(kept);
        let socket = PulseSocket::bind_for(&path, owner)?;
        let usual = usual.as_deref() == Some(socket.path()) && (owner == own || path.starts_with("/run/user"));
        Ok(Self { session: user.name.clone(), socket, owner, usual })
    }
}

/// Where a session's applications' volumes and devices are kept.
fn memory(state_dir: &Path, session: usize, name: &str) -> PathBuf {
    match session {
        0 => state_dir.join("applications.json"),
        _ => state_dir.join(format!("applications-{}.json", plain(name))),
    }
}

/// A name as a part of a path: letters and digits as they are, everything else by its bytes.
fn plain(name: &str) -> String {
    let part = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
        other => format!("%{other:02x}"),
    };
    name.bytes().map(part).collect()
}

/// The session as the sound server sees it.
struct Behind {
    hub: Arc<Hub>,
    session: HubSession,
    ways: Ways,
}

impl PulseSession for Behind {
    fn engine(&self) -> MutexGuard<'_, Engine> {
        self.hub.engine()
    }

    fn behind_endpoint(&self, device: DeviceId) -> Hns {
        if device == self.session.device {
            return self.hub.behind_endpoints(&self.session);
        }
        let ways = lock(&self.ways);
        let onward = ways.iter().filter(|(there, _)| *there == device).map(|(_, onward)| onward.get()).max();
        onward.map_or(Hns::ZERO, |onward| onward.saturating_add(self.hub.behind_endpoints(&self.session)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_parts_of_paths_and_stay_apart() {
        assert_eq!(plain("anna-2"), "anna-2");
        assert_eq!(plain("../x y"), "%2e%2e%2fx%20y");
        assert_eq!(memory(Path::new("/s"), 0, "a/b"), Path::new("/s/applications.json"));
        assert_eq!(memory(Path::new("/s"), 1, "a/b"), Path::new("/s/applications-a%2fb.json"));
    }
}
