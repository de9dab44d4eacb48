//! xfreerdp, started with what a test asks for.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use super::process::{Output, Process, Signal};
use super::{Ear, EarError, wait_for};

/// How the client logs in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientSecurity {
    /// As xfreerdp does by itself: NLA where the server has it.
    #[default]
    Negotiated,
    /// NLA or nothing.
    Nla,
    /// TLS or nothing.
    Tls,
}

/// Which channels for sound the client has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SoundChannel {
    /// As `/sound` does: both, and the server chooses.
    #[default]
    Both,
    /// The static channel rdpsnd alone.
    Static,
    /// AUDIO_PLAYBACK_DVC alone.
    Dynamic,
}

/// What a client is started with.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// The server.
    pub server: SocketAddr,
    /// Who logs in.
    pub user: String,
    /// With what password.
    pub password: String,
    /// How.
    pub security: ClientSecurity,
    /// Which channels for sound it has.
    pub channel: SoundChannel,
    /// Its own buffer in milliseconds; by default about 200.
    pub latency: Option<u32>,
    /// Width and height of the desktop.
    pub size: (u16, u16),
    /// Further options of xfreerdp, word for word.
    pub more: Vec<String>,
}

impl ClientOptions {
    /// NLA where offered, both channels, a buffer of 60 ms: what shows the server's timing and not the client's.
    #[must_use]
    pub fn new(server: SocketAddr, user: &str, password: &str) -> Self {
        Self {
            server,
            user: user.to_owned(),
            password: password.to_owned(),
            security: ClientSecurity::default(),
            channel: SoundChannel::default(),
            latency: Some(60),
            size: (640, 480),
            more: Vec::new(),
        }
    }

    fn arguments(&self) -> Vec<String> {
        let latency = self.latency.map(|latency| format!(",latency:{latency}")).unwrap_or_default();
        let device = format!("sys:pulse,dev:spk{latency}");
        let sound = match self.channel {
            SoundChannel::Both => format!("/sound:{device}"),
            SoundChannel::Static => format!("/vc:rdpsnd,{device}"),
            SoundChannel::Dynamic => format!("/dvc:rdpsnd,{device}"),
        };
        let (width, height) = self.size;
        let mut arguments = vec![
            format!("/v:{}", self.server),
            format!("/u:{}", self.user),
            format!("/p:{}", self.password),
            format!("/size:{width}x{height}"),
            "/cert:ignore".to_owned(),
            "/log-level:INFO".to_owned(),
            sound,
        ];
        match self.security {
            ClientSecurity::Negotiated => {}
            ClientSecurity::Nla => arguments.push("/sec:nla".to_owned()),
            ClientSecurity::Tls => arguments.push("/sec:tls".to_owned()),
        }
        arguments.extend(self.more.iter().cloned());
        arguments
    }
}

/// A running xfreerdp; it is ended when dropped.
#[derive(Debug)]
pub struct Client {
    process: Process,
    log: PathBuf,
}

impl Client {
    pub(super) fn start(ear: &Ear, options: &ClientOptions) -> Result<Self, EarError> {
        let log = (0_u32..)
            .map(|number| ear.folder().join(format!("client-{number}.log")))
            .find(|log| !log.exists())
            .unwrap_or_else(|| ear.folder().join("client.log"));
        let process = Process::start(ear.command("xfreerdp").args(options.arguments()), Output::Logged, &log)?;
        Ok(Self { process, log })
    }

    /// All that it has written so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// Waits until its log holds `text`; whether it does within `limit`. False at once where it ends without.
    pub fn wait_for_log(&mut self, text: &str, limit: Duration) -> bool {
        wait_for(limit, || {
            let ended = !self.process.is_running();
            let there = self.log().contains(text);
            (there || ended).then_some(there)
        })
        .unwrap_or(false)
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// Sends it and its children a signal; nothing happens where it has ended.
    pub fn signal(&mut self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits for its end. A wrong password ends it with 134 under NLA, 131 under TLS.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        self.process.wait(limit)
    }

    /// Closes the connection as a user does who closes the window, and kills it if that takes too long.
    pub fn hang_up(mut self) {
        self.process.end();
    }
}
