//! A scripted RDP client: logs in, answers as real audio clients do or as none should, and writes down what it hears.
//!
//! The connection sequence is `ironrdp-connector`'s; what comes after it is done by hand on bytes, so that it shares no
//! code with the server under test and can be told to misbehave. A [`Client`] has a thread of its own and a blocking
//! interface. Everything is bounded in time: no call waits longer than [`Options::time_limit`].

mod audio;
mod channels;
mod connect;
mod run;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

pub use self::audio::{PcmFormat, Wave};

/// How the client logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientSecurity {
    /// Offers NLA and nothing else.
    Nla,
    /// Offers TLS and nothing else.
    Tls,
    /// Offers both, as most clients do.
    Both,
}

/// Which channels for sound the client has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientChannels {
    /// `rdpsnd` alone.
    Static,
    /// `drdynvc`, on which it takes AUDIO_PLAYBACK_DVC, alone.
    Dynamic,
    /// Both.
    Both,
    /// Both, but it refuses AUDIO_PLAYBACK_DVC.
    RefusesDynamic,
    /// Neither.
    None,
}

/// What a [`Client`] is like.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server.
    pub server: SocketAddr,
    /// The address to come from, such as another one of 127.0.0.0/8.
    pub from: Option<IpAddr>,
    /// The user's name.
    pub user: String,
    /// The password.
    pub password: String,
    /// How it logs in.
    pub security: ClientSecurity,
    /// Brings an auto-reconnect cookie that no server ever gave it.
    pub invented_cookie: bool,
    /// Sends its TLS ClientHello in one segment with the X.224 request.
    pub glued_hello: bool,
    /// The desktop that it asks for.
    pub desktop: (u16, u16),
    /// Its channels for sound.
    pub channels: ClientChannels,
    /// The formats that it says it takes, in this order.
    pub formats: Vec<PcmFormat>,
    /// The version of MS-RDPEA that it speaks.
    pub audio_version: u16,
    /// How many WaveConfirm PDUs it sends for each wave: FreeRDP sends 2, others 1, old ones 0.
    pub confirms: u8,
    /// The size of the kernel's receive buffer, where it is not to be the system's own choice.
    pub receive_buffer: Option<usize>,
    /// How long it waits for anything before it gives up.
    pub time_limit: Duration,
}

impl Options {
    /// A client like FreeRDP in what matters for sound.
    #[must_use]
    pub fn new(server: SocketAddr, user: &str, password: &str) -> Self {
        Self {
            server,
            from: None,
            user: user.into(),
            password: password.into(),
            security: ClientSecurity::Both,
            invented_cookie: false,
            glued_hello: false,
            desktop: (800, 600),
            channels: ClientChannels::Both,
            formats: vec![PcmFormat { rate: 48_000, channels: 2, bits: 16 }],
            audio_version: 6,
            confirms: 2,
            receive_buffer: None,
            time_limit: Duration::from_secs(20),
        }
    }
}

/// Why a client did not get in.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The network's fault, or the server closed the connection.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The server refused, or said something unexpected.
    #[error("{0}")]
    Refused(String),
    /// Nothing happened for [`Options::time_limit`].
    #[error("timed out")]
    TimedOut,
}

/// What a client has heard and seen so far.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// The channel that sound came by, once some did.
    pub dynamic: Option<bool>,
    /// The formats that the server offered, by tag: 1 is PCM.
    pub offered: Vec<(u16, PcmFormat)>,
    /// The version of MS-RDPEA that the server speaks.
    pub server_version: Option<u16>,
    /// Every wave, in the order of arrival.
    pub waves: Vec<Wave>,
    /// The sound of all waves.
    pub pcm: Vec<u8>,
    /// How many Training PDUs came.
    pub trainings: u32,
    /// The volume that the server set last: left in the low word.
    pub volume: Option<u32>,
    /// Whether the server closed the audio.
    pub closed: bool,
    /// Bytes that were sent since the login, before TLS.
    pub sent: u64,
    /// Bytes of fast-path updates: the desktop.
    pub desktop_bytes: u64,
    /// How many Shutdown Request Denied PDUs came.
    pub shutdown_denied: u32,
    /// The error info that the server set last.
    pub error_info: Option<String>,
    /// The server said goodbye before it closed the connection.
    pub goodbye: bool,
    /// How the connection ended, where it has.
    pub ended: Option<String>,
}

/// What a client can be told to do.
#[derive(Debug)]
pub(crate) enum Command {
    Read(bool),
    Raw(Vec<u8>),
    Channel { dynamic: bool, payload: Vec<u8> },
    Audio(Vec<u8>),
    Shutdown(usize),
    Disconnect,
}

/// A client that is logged in. Dropped, it closes its connection without a word.
#[derive(Debug)]
pub struct Client {
    record: Arc<Mutex<Record>>,
    commands: mpsc::UnboundedSender<Command>,
    time_limit: Duration,
    address: SocketAddr,
}

impl Client {
    /// Connects and logs in.
    ///
    /// # Errors
    /// [`ClientError`]: the server is not there, refuses, or takes too long.
    pub fn connect(options: Options) -> Result<Self, ClientError> {
        let time_limit = options.time_limit;
        let record = Arc::new(Mutex::new(Record::default()));
        let (commands, orders) = mpsc::unbounded_channel();
        let (ready, connected) = oneshot::channel();
        let shared = Arc::clone(&record);
        std::thread::Builder::new().name("rdp-client".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => runtime.block_on(run::life(options, shared, orders, ready)),
                Err(error) => drop(ready.send(Err(error.into()))),
            }
        })?;
        let address = connected.blocking_recv().unwrap_or(Err(ClientError::TimedOut))?;
        Ok(Self { record, commands, time_limit, address })
    }

    /// Its own end of the connection.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has heard so far.
    pub fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `condition` holds. Answers whether it did, within [`Options::time_limit`] and before the connection
    /// ended.
    #[must_use]
    pub fn wait_until(&self, mut condition: impl FnMut(&Record) -> bool) -> bool {
        let deadline = Instant::now() + self.time_limit;
        loop {
            let (met, over) = {
                let record = self.record();
                (condition(&record), record.ended.is_some())
            };
            if met || over || Instant::now() > deadline {
                return met;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Stops reading from the socket, or goes on.
    pub fn read(&self, on: bool) {
        self.tell(Command::Read(on));
    }

    /// Sends these bytes inside TLS, whatever they are.
    pub fn send_raw(&self, bytes: Vec<u8>) {
        self.tell(Command::Raw(bytes));
    }

    /// Sends this as the user data of an MCS Send Data Request on `rdpsnd`, or on `drdynvc` where `dynamic`: a
    /// CHANNEL_PDU_HEADER has to be in it.
    pub fn send_on_channel(&self, dynamic: bool, payload: Vec<u8>) {
        self.tell(Command::Channel { dynamic, payload });
    }

    /// Sends this as a whole message on the audio channel.
    pub fn send_audio(&self, message: Vec<u8>) {
        self.tell(Command::Audio(message));
    }

    /// Sends a Shutdown Request, as when the user closes the window.
    pub fn request_shutdown(&self) {
        self.request_shutdowns(1);
    }

    /// Sends that many Shutdown Requests in a row: each wants an answer.
    pub fn request_shutdowns(&self, times: usize) {
        self.tell(Command::Shutdown(times));
    }

    /// Disconnects as a client should.
    pub fn disconnect(self) {
        self.tell(Command::Disconnect);
    }

    fn tell(&self, command: Command) {
        // Where the connection is over, so is the script; the record says so.
        let _ = self.commands.send(command);
    }
}
