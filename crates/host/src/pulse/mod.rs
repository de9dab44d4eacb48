//! Soundpost as the local sound server: the sockets that PulseAudio's clients know, and the thread behind them.
//!
//! ```text
//! clients ◄──sockets──► thread `soundpost-pulse`: soundpost_pulse::Server ──StreamWriter──► engine
//!                            ▲            ▲                              ◄─StreamReader──
//!                            └── epoll ───┴── one event for all streams, signalled by the passes
//! ```
//!
//! One thread for each session owns the [`Server`](soundpost_pulse::Server) and everything that its clients have. It
//! sleeps until a socket has something to say, a pass has taken or brought sound, or the server's own time has come; a
//! session in which nothing plays wakes nobody. A stream's buffer is the server's, where its client may write anywhere;
//! the engine's queue holds only what the next pass needs and a margin (the *lead*, which grows where the machine wakes
//! the thread too late, and shrinks again slowly).
//!
//! Nothing here can hold up the thread: sockets do not block, and a client gets a bounded share of each round.

mod balance;
mod bind;
mod clients;
mod cookie;
mod feed;
mod heard;
mod memory;
mod monitor;
mod places;
mod samples;
mod service;
mod streams;
mod take;
mod tapping;
mod wake;

use std::ffi::CString;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard};
use std::thread::JoinHandle;

use soundpost_core::{Hns, SampleRate};
use soundpost_endpoint::Event as _;
use soundpost_engine::{DeviceId, Engine, SessionId};
use thiserror::Error;

pub use self::bind::{BindError, PulseSocket, PulseTcp, usual_socket};
pub use self::cookie::{CookieError, load_or_create as load_or_create_cookie, usual_cookie};

use self::service::Service;
use self::wake::Wake;

/// How the thread reaches the engine and what lies behind it. Called from the thread alone.
pub trait PulseSession: Send + 'static {
    /// The engine's control side, held for the length of a call.
    fn engine(&self) -> MutexGuard<'_, Engine>;

    /// How much later, or (below 0) earlier, than the session's slowest endpoint says sound is heard: what a remote client
    /// holds in its own buffer, less what an endpoint counts as its own and the client has already.
    fn behind_endpoint(&self) -> Hns;
}

/// What the sound server of a session is made with.
#[derive(Clone, Debug)]
pub struct PulseConfig {
    /// The engine's session.
    pub session: SessionId,
    /// The device that clients play to.
    pub speakers: DeviceId,
    /// The device that clients record from.
    pub microphone: DeviceId,
    /// The speakers' rate.
    pub rate: SampleRate,
    /// The time between two passes.
    pub period: Hns,
    /// The user's name, as clients show it.
    pub user: String,
    /// Where applications' volumes and devices are kept; none: they are forgotten at the end.
    pub memory: Option<PathBuf>,
    /// What a client must send that is not this user's own process on this machine; none: such clients stay outside.
    pub cookie: Option<[u8; soundpost_pulse::COOKIE]>,
}

/// Why the sound server cannot be started.
#[derive(Debug, Error)]
#[error(
    "cannot start the sound server for applications: {0}; close something or raise the limits on files and threads"
)]
pub struct PulseStartError(#[from] io::Error);

/// A running sound server. Dropping it ends its clients' connections and its thread.
#[derive(Debug)]
pub struct PulseServer {
    stop: Arc<AtomicBool>,
    wake: Arc<Wake>,
    thread: Option<JoinHandle<()>>,
}

impl PulseServer {
    /// Starts the thread, which serves the clients that come by these sockets.
    ///
    /// # Errors
    /// [`PulseStartError`].
    pub fn start(
        config: PulseConfig,
        session: impl PulseSession,
        socket: PulseSocket,
        tcp: Option<PulseTcp>,
    ) -> Result<Self, PulseStartError> {
        raise_file_limit();
        let stop = Arc::new(AtomicBool::new(false));
        let wake = Arc::new(Wake::new()?);
        let service = Service::new(config, session, socket, tcp, (wake.clone(), stop.clone()))?;
        let thread = std::thread::Builder::new().name("soundpost-pulse".into()).spawn(move || service.run())?;
        Ok(Self { stop, wake, thread: Some(thread) })
    }
}

impl Drop for PulseServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.wake.signal();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the sound server's thread panicked");
        }
    }
}

/// Each client is an open file, and the usual limit of 1024 is soon reached: takes what may be had.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::debug!(%error, "the limit on open files stays as it is");
        }
    }
}

/// Text for the protocol, which ends at a zero.
fn text(text: &str) -> CString {
    CString::new(text.replace('\0', "")).unwrap_or_default()
}
