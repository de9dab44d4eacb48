//! Soundpost as the local sound server: the sockets that PulseAudio's clients know, and the thread behind them.
//!
//! ```text
//! clients ◄──sockets──► thread `soundpost-pulse`: soundpost_pulse::Server ──StreamWriter──► engine
//!                            ▲            ▲                              ◄─StreamReader──
//!                            └── epoll ───┴── one event for all streams, signalled by the passes
//! ```
//!
//! One thread owns, for each session, the [`Server`](soundpost_pulse::Server) and everything that its clients have. It
//! sleeps until a socket has something to say, a pass has taken or brought sound, or a server's own time has come; a
//! session in which nothing plays wakes nobody. A stream's buffer is the server's, where its client may write anywhere;
//! the engine's queue holds only what the next pass needs and a margin (the *lead*, which grows where the machine wakes
//! the thread too late, and shrinks again slowly).
//!
//! Nothing here can hold up the thread: sockets do not block, and a client gets a bounded share of each round.

mod balance;
mod bind;
mod clients;
mod cookie;
mod devices;
mod feed;
mod heard;
mod memory;
mod monitor;
mod owner;
mod places;
mod samples;
mod service;
mod streams;
mod take;
mod tapping;
mod thread;
mod wake;

use std::ffi::CString;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use soundpost_core::{Hns, SampleRate};
use soundpost_endpoint::{DataFlow, Event as _};
use soundpost_engine::{DeviceId, Engine, SessionId};
use soundpost_pulse::DeviceError;
use thiserror::Error;

pub use self::bind::{BindError, PulseSocket, PulseTcp, usual_socket};
pub use self::cookie::{CookieError, load_or_create as load_or_create_cookie, usual_cookie};
pub use self::devices::PulseDevice;
pub use self::owner::{Owner, socket_of};

use self::thread::{Order, Orders, Thread};
use self::wake::Wake;

/// How the thread reaches the engine and what lies behind it. Called from the thread alone.
pub trait PulseSession: Send + 'static {
    /// The engine's control side, held for the length of a call.
    fn engine(&self) -> MutexGuard<'_, Engine>;

    /// How much later, or (below 0) earlier, than the slowest endpoint of this device says sound is heard: what a remote
    /// client holds in its own buffer, less what an endpoint counts as its own and the client has already.
    fn behind_endpoint(&self, device: DeviceId) -> Hns;
}

/// What the sound server of a session is made with.
#[derive(Clone, Debug)]
pub struct PulseConfig {
    /// The engine's session.
    pub session: SessionId,
    /// The devices that clients play to and record from. The first sink and the first source are the defaults until a
    /// client chooses others.
    pub devices: Vec<PulseDevice>,
    /// The rate that clients are told as the usual one.
    pub rate: SampleRate,
    /// The time between two passes.
    pub period: Hns,
    /// The user's name, as clients show it.
    pub user: String,
    /// Where applications' volumes and devices are kept; none: they are forgotten at the end.
    pub memory: Option<PathBuf>,
    /// The system's user whose processes may come. Root's may as well.
    pub owner: u32,
    /// What a client must send that is none of these, or on another machine; none: such clients stay outside.
    pub cookie: Option<[u8; soundpost_pulse::COOKIE]>,
}

/// A session with the places where its applications come in.
#[derive(Debug)]
pub struct PulsePlace<S> {
    /// What it is made with.
    pub config: PulseConfig,
    /// The way to the engine.
    pub session: S,
    /// Where applications of this machine come in.
    pub socket: PulseSocket,
    /// Where others do, if they do.
    pub tcp: Option<PulseTcp>,
}

/// Why the sound server cannot be started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PulseStartError {
    /// The system gives no more.
    #[error(
        "cannot start the sound server for applications: {0}; close something or raise the limits on files and threads"
    )]
    System(#[from] io::Error),
    /// A device cannot be had.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The server's thread has ended.
    #[error("the sound server for applications has ended: start soundpost anew")]
    Over,
}

impl From<rustix::io::Errno> for PulseStartError {
    fn from(error: rustix::io::Errno) -> Self {
        Self::System(error.into())
    }
}

/// A running sound server. Dropping it ends its clients' connections and its thread.
#[derive(Debug)]
pub struct PulseServer {
    orders: Arc<Orders>,
    wake: Arc<Wake>,
    thread: Option<JoinHandle<()>>,
}

impl PulseServer {
    /// Starts the thread, which serves the clients that come by the places of these sessions.
    ///
    /// # Errors
    /// [`PulseStartError`].
    pub fn start<S: PulseSession>(places: Vec<PulsePlace<S>>) -> Result<Self, PulseStartError> {
        raise_file_limit();
        let orders = Arc::new(Orders::default());
        let wake = Arc::new(Wake::new()?);
        let work = Thread::new(places, wake.clone(), orders.clone())?;
        let thread = std::thread::Builder::new().name("soundpost-pulse".into()).spawn(move || work.run())?;
        Ok(Self { orders, wake, thread: Some(thread) })
    }

    /// Makes a device known to the clients of a session, counted as they were given to [`PulseServer::start`]. Waits for
    /// the thread; not for a real-time thread.
    ///
    /// # Errors
    /// [`PulseStartError`].
    pub fn plug(&self, session: usize, device: PulseDevice) -> Result<(), PulseStartError> {
        self.order(|answer| Order::Plug(session, device, answer))?
    }

    /// Takes a device away from a session's clients, as if it had been unplugged: streams on it go on at the default, or
    /// end where there is none. Afterwards nothing uses the engine's device. Waits for the thread, as [`PulseServer::plug`].
    ///
    /// # Errors
    /// [`PulseStartError::Over`].
    pub fn unplug(&self, session: usize, flow: DataFlow, name: &str) -> Result<(), PulseStartError> {
        self.order(|answer| Order::Unplug(session, flow, text(name), answer))
    }

    fn order<T>(&self, order: impl FnOnce(SyncSender<T>) -> Order) -> Result<T, PulseStartError> {
        let (answer, answered) = sync_channel(1);
        self.orders.give(order(answer));
        self.wake.signal();
        answered.recv_timeout(PATIENCE).map_err(|_| PulseStartError::Over)
    }
}

/// How long the thread may take for what it is told to do.
const PATIENCE: Duration = Duration::from_secs(5);

impl Drop for PulseServer {
    fn drop(&mut self) {
        self.orders.stop();
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
    let most = limit.maximum.unwrap_or(u64::MAX).min(FILES);
    if limit.current != limit.maximum {
        let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::debug!(%error, "the limit on open files stays as it is");
        }
    }
    // In a process with threads the kernel makes its table of files longer in steps, and whoever opens the file for which it
    // does waits 10 to 20 ms. It never makes it shorter.
    let highest = i32::try_from(most.saturating_sub(1)).unwrap_or(0);
    if let Err(error) = rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), highest) {
        tracing::debug!(%error, "no room is made for many files");
    }
}

/// Files for which there is room from the start: those of all clients, and as many again.
const FILES: u64 = 2048;

/// Text for the protocol, which ends at a zero.
fn text(text: &str) -> CString {
    CString::new(text.replace('\0', "")).unwrap_or_default()
}
