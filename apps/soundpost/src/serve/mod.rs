//! `soundpost serve`: puts the crates together, runs, and comes to an orderly end.

mod attach;
mod banner;
mod client;
mod control;
mod devices;
mod exclusive;
mod hub;
mod pulse;

use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use soundpost_core::{ChannelLayout, Format, Gain, SampleFormat};
use soundpost_endpoint::Endpoint;
use soundpost_endpoint::stock::{self, StockConfig, TestSignal, Tone};
use soundpost_engine::StreamId;
use soundpost_host::clock::MonotonicClock;
use soundpost_host::decode::AudioFile;
use soundpost_host::event::EventFd;
use soundpost_host::play::{PlayState, Player, Repeat, stream_config};
use soundpost_host::pulse::PulseServer;
use soundpost_host::pulse_client::Place;
use soundpost_host::rdp::{Account, Accounts, Listener, Password, Security, Server, ServerCertificate, ServerConfig};
use soundpost_host::record::{Recording, record};
use soundpost_rdp::mux::AudioChannelPolicy;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{sleep, timeout};

use self::attach::Attachment;
use self::banner::Credentials;
use self::client::Listeners;
use self::control::{Control, ControlSocket};
use self::devices::Devices;
use self::hub::{Attached, Hub, HubEvent, Running};
use self::pulse::Applications;
use crate::cli::{CaptureArg, ChannelArg, Listen, RenderFormatArg, SecurityArg, ServeArgs};
use crate::config::{Settings, devices_again};
use crate::password;

/// Anything that ends the daemon before its time, in one line.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How long `--once` waits for listeners that lag behind, once the file has been played.
const LAGGARDS: Duration = Duration::from_secs(2);
/// How long the sound that is queued may take when the daemon is asked to end.
const LAST_SOUND: Duration = Duration::from_secs(1);

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// As asked for.
    Well,
    /// The file could not be played to its end.
    Damaged,
    /// Something broke that should not.
    Badly,
}

/// Runs the daemon until it is told to end, or until `--once` is over.
///
/// # Errors
/// Whatever keeps it from starting: one line that says what to do.
pub(crate) fn run(args: ServeArgs) -> Result<Ended, Failure> {
    let settings = Settings::resolve(args)?;
    crate::logging::start(&settings.log, settings.log_format)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("soundpost-net")
        .on_thread_start(prefer_this_thread)
        .enable_all()
        .build()?;
    let ended = runtime.block_on(serve(&settings));
    // Nothing that is still running then has anything to lose.
    runtime.shutdown_timeout(Duration::from_millis(500));
    ended
}

/// Sound that is rendered in time must also be sent in time: the network threads go before ordinary work, where the
/// system grants it (root, or RLIMIT_NICE). Where it does not, they run like any other.
fn prefer_this_thread() {
    if let Err(error) = rustix::process::setpriority_process(None, -11) {
        tracing::debug!(%error, "network threads run at the usual priority");
    }
}

async fn serve(settings: &Settings) -> Result<Ended, Failure> {
    // What a user may have got wrong comes first, so that nothing has to be undone.
    let signals = Signals::new()?;
    let listener = match settings.listen {
        Listen::At(address) => Some(Listener::bind(address)?),
        Listen::Off => None,
    };
    make_state_dir(&settings.state_dir)?;
    let socket = ControlSocket::bind(&settings.state_dir)?;
    let credentials = credentials(settings)?;
    let config = listener.is_some().then(|| server_config(settings, &credentials)).transpose()?;
    let names: Vec<String> = settings.users.iter().map(|user| user.name.clone()).collect();
    let files = open_files(settings.play.as_deref(), names.len())?;
    let recording =
        settings.render.as_ref().map(|(path, sample)| start_recording(settings, path, *sample)).transpose()?;

    let pulse = settings.pulse.as_ref().map(|pulse| Applications::bind(pulse, settings)).transpose()?;

    let (events, inbox) = unbounded_channel();
    let (hub, running) = Hub::start(&names, settings.rate, settings.period, settings.lead, events.clone())?;
    let tape = recording.map(|(endpoint, recording)| Tape::start(&hub, endpoint, recording)).transpose()?;
    let microphone = settings.capture.map(|kind| microphone(&hub, kind)).transpose()?;
    let attachment = settings.attach.as_deref().map(|places| attach(&hub, places)).transpose()?;
    let players = players(&hub, files, settings.once)?;
    let address = listener.as_ref().map(Listener::address);
    let told = address.map_or_else(|| "nowhere (RDP is off)".to_owned(), |address| address.to_string());
    let control = Control::start(socket, hub.clone(), told);
    let server = match listener.zip(config) {
        Some((listener, config)) => {
            let sessions = Listeners { hub: hub.clone(), events, period: settings.period, rate: settings.rate };
            Some(Server::start(listener, config, Arc::new(sessions))?)
        }
        None => {
            // The file that is being written is the listener then.
            events.send(HubEvent::Listening(0))?;
            None
        }
    };
    let found = pulse.as_ref().map(Applications::found).unwrap_or_default();
    let ways = devices::Ways::default();
    let devices = Devices::open(&hub, settings, &ways)?;
    let applications = pulse.map(|pulse| pulse.start(&hub, settings, &devices, &ways)).transpose()?;
    banner::print(settings, address, &credentials, &found);
    let daemon =
        Daemon { hub, running, tape, attachment, microphone, players, applications, devices, ways, control, server };
    Ok(daemon.wait(inbox, signals, settings).await)
}

/// Everything that runs.
struct Daemon {
    hub: Arc<Hub>,
    running: Running,
    tape: Option<Tape>,
    attachment: Option<Attachment>,
    microphone: Option<Attached>,
    players: Vec<SessionPlayer>,
    applications: Option<PulseServer>,
    devices: Devices,
    ways: devices::Ways,
    control: Control,
    server: Option<Server>,
}

/// The player of one session.
struct SessionPlayer {
    player: Player,
    stream: StreamId,
    started: bool,
    finished: bool,
}

/// The recording of the first session.
struct Tape {
    attached: Attached,
    recording: Recording,
}

impl Daemon {
    /// Runs until a signal comes, or until everything that `once` has started has been heard.
    async fn wait(
        mut self,
        mut inbox: UnboundedReceiver<HubEvent>,
        mut signals: Signals,
        settings: &Settings,
    ) -> Ended {
        let once = settings.once;
        let (mut ended, mut hurried) = (Ended::Well, false);
        loop {
            tokio::select! {
                event = inbox.recv() => match event {
                    Some(HubEvent::Listening(session)) => self.listening(session),
                    Some(HubEvent::Drained(stream)) => self.drained(stream),
                    Some(HubEvent::Failed) | None => {
                        tracing::error!("the real-time thread is gone; ending, since there would be no sound");
                        ended = Ended::Badly;
                        break;
                    }
                },
                asked = signals.next() => {
                    let Asked::End(name) = asked else {
                        self.read_again(settings);
                        continue;
                    };
                    tracing::info!(signal = name, "ending");
                    // Whoever asks twice does not want to wait.
                    tokio::select! {
                        () = self.let_streams_end(&mut inbox) => {}
                        () = signals.end() => hurried = true,
                    }
                    break;
                }
            }
            let playing = self.players.iter().any(|player| player.started && !player.finished);
            if once && !playing && self.players.iter().any(|player| player.finished) {
                tracing::info!("the file has been played");
                break;
            }
        }
        if ended != Ended::Badly && !hurried && timeout(LAGGARDS, self.listeners_end()).await.is_err() {
            tracing::warn!("a listener did not confirm the end of the sound within {LAGGARDS:?}");
        }
        if self.players.iter().any(|player| matches!(player.player.progress().state, PlayState::Failed(_))) {
            ended = ended_worse(ended);
        }
        let recorded = self.stop().await;
        if recorded { ended } else { ended_worse(ended) }
    }

    /// Reads the further devices from the configuration file again, and makes them what it says now.
    fn read_again(&mut self, settings: &Settings) {
        let Self { devices, applications: Some(applications), ways, .. } = self else {
            tracing::warn!("applications are not served: there are no devices to be read again");
            return;
        };
        match devices_again(settings) {
            Ok(wanted) => tokio::task::block_in_place(|| devices.change(&wanted, applications, ways)),
            Err(error) => tracing::error!(%error, "the devices stay as they are"),
        }
    }

    fn listening(&mut self, session: usize) {
        if let Some(player) = self.players.get_mut(session) {
            if !player.started {
                tracing::info!(session, "a listener is there: playing");
            }
            player.started = true;
            player.player.start();
        }
    }

    fn drained(&mut self, stream: StreamId) {
        if let Some(player) = self.players.iter_mut().find(|player| player.stream == stream) {
            player.finished = true;
        }
    }

    /// Stops the players, and gives what they have queued the time to be heard.
    async fn let_streams_end(&mut self, inbox: &mut UnboundedReceiver<HubEvent>) {
        for session in &self.players {
            session.player.ask_to_stop();
        }
        let all_heard = async {
            while self.players.iter().any(|player| player.started && !player.finished) {
                match inbox.recv().await {
                    Some(HubEvent::Drained(stream)) => self.drained(stream),
                    Some(HubEvent::Listening(_)) => {}
                    Some(HubEvent::Failed) | None => return,
                }
            }
        };
        if timeout(LAST_SOUND, all_heard).await.is_err() {
            tracing::debug!("not everything that was queued has been heard");
        }
    }

    /// Until every listener has confirmed all that was sent to it.
    async fn listeners_end(&self) {
        while !self.hub.finish_listeners() {
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Tells the clients, closes the files, ends the threads. Answers whether the recording, if any, is whole.
    async fn stop(self) -> bool {
        drop(self.control);
        drop(self.applications);
        self.hub.uses().end_all();
        if let Some(server) = self.server {
            server.stop().await;
        }
        drop(self.players);
        drop(self.attachment);
        drop(self.microphone);
        let mut whole = self.devices.finish();
        let recording = self.tape.map(|tape| {
            drop(tape.attached);
            tape.recording
        });
        self.running.stop();
        if let Some(recording) = recording {
            let path = recording.path().to_owned();
            whole &= devices::is_whole(&path, recording);
        }
        whole
    }
}

fn ended_worse(ended: Ended) -> Ended {
    match ended {
        Ended::Badly => Ended::Badly,
        Ended::Well | Ended::Damaged => Ended::Damaged,
    }
}

impl Tape {
    fn start(hub: &Arc<Hub>, endpoint: Endpoint, recording: Recording) -> Result<Self, Failure> {
        let session = hub.sessions().first().ok_or("there is no session to record")?.clone();
        let attached = hub.attach(&session, &recording.path().display().to_string(), endpoint)?;
        Ok(Self { attached, recording })
    }
}

fn start_recording(
    settings: &Settings,
    path: &Path,
    sample: RenderFormatArg,
) -> Result<(Endpoint, Recording), Failure> {
    let sample = match sample {
        RenderFormatArg::S16 => SampleFormat::S16,
        RenderFormatArg::S24 => SampleFormat::S24,
        RenderFormatArg::F32 => SampleFormat::F32,
    };
    let format = Format { sample, rate: settings.rate, layout: ChannelLayout::STEREO };
    Ok(record(path, format, Arc::new(MonotonicClock))?)
}

/// The first session's microphone that is worked out.
fn microphone(hub: &Arc<Hub>, kind: CaptureArg) -> Result<Attached, Failure> {
    let session = hub.sessions().first().ok_or("there is no session for a microphone")?.clone();
    let format = Format { sample: SampleFormat::S16, ..Format::DEFAULT };
    let config = StockConfig::new(format);
    let (name, stock) = match kind {
        CaptureArg::Silence => ("silence", stock::null_capture(&config, hub.clock())),
        CaptureArg::Tone => ("tone", stock::tone(&config, hub.clock(), Tone::new(440_000, Gain::new(0.1)))),
        CaptureArg::TestSignal => ("test signal", stock::test_signal(&config, hub.clock(), TestSignal::Counter)),
    };
    Ok(hub.attach_source(&session, name, stock.endpoint)?)
}

/// Makes the first session a client of the sound server that is there.
fn attach(hub: &Arc<Hub>, places: &[Place]) -> Result<Attachment, Failure> {
    let session = hub.sessions().first().ok_or("there is no session to attach")?;
    Ok(Attachment::start(hub, session, places.to_vec())?)
}

/// The file, opened once for each session: every session plays it from its own first listener on.
fn open_files(path: Option<&Path>, sessions: usize) -> Result<Vec<AudioFile>, Failure> {
    let Some(path) = path else { return Ok(Vec::new()) };
    (0..sessions).map(|_| AudioFile::open(path).map_err(Failure::from)).collect()
}

fn players(hub: &Arc<Hub>, files: Vec<AudioFile>, once: bool) -> Result<Vec<SessionPlayer>, Failure> {
    let repeat = if once { Repeat::Once } else { Repeat::Forever };
    let player = |(session, file): (&hub::HubSession, AudioFile)| -> Result<SessionPlayer, Failure> {
        let space = Arc::new(EventFd::new()?);
        let (stream, writer) = hub.open_stream(session, stream_config(&file, &space))?;
        let player = Player::new(file, writer, space, repeat, hub.player_changed())?;
        Ok(SessionPlayer { player, stream, started: false, finished: false })
    };
    hub.sessions().iter().zip(files).map(player).collect()
}

fn credentials(settings: &Settings) -> Result<Vec<Credentials>, Failure> {
    let credentials = settings.users.iter().map(|user| -> Result<Credentials, Failure> {
        let (password, made) = match &user.password_file {
            Some(path) => (password::from_file(path)?, false),
            None => (password::make()?, true),
        };
        Ok(Credentials { user: user.name.clone(), password, made })
    });
    credentials.collect()
}

fn server_config(settings: &Settings, credentials: &[Credentials]) -> Result<ServerConfig, Failure> {
    let certificate = match &settings.certificate {
        Some((certificate, key)) => ServerCertificate::from_files(certificate, key)?,
        None => ServerCertificate::load_or_create(&settings.state_dir)?,
    };
    let account = |one: &Credentials| Account {
        user: one.user.clone(),
        password: Password::new(&one.password),
        session: one.user.clone(),
    };
    let accounts = Accounts::new(credentials.iter().map(account))?;
    let nla = settings.security.contains(&SecurityArg::Nla);
    let tls = settings.security.contains(&SecurityArg::Tls);
    Ok(ServerConfig {
        security: match (nla, tls) {
            (true, true) => Security::NlaOrTls,
            (false, _) => Security::Tls,
            (true, false) => Security::Nla,
        },
        audio_channel: match settings.channel {
            ChannelArg::Auto => AudioChannelPolicy::Auto,
            ChannelArg::Static => AudioChannelPolicy::Static,
            ChannelArg::Dynamic => AudioChannelPolicy::Dynamic,
        },
        ..ServerConfig::new(certificate, accounts)
    })
}

/// The state directory, for this user alone: the certificate's key and the control socket lie there.
fn make_state_dir(path: &Path) -> Result<(), Failure> {
    let refused = |why: String| {
        format!("cannot use the state directory {}: {why}; name another with --state-dir", path.display())
    };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| refused(error.to_string()))?;
    let found = std::fs::metadata(path).map_err(|error| refused(error.to_string()))?;
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(refused("it belongs to another user".into()).into());
    }
    if found.mode() & 0o022 != 0 {
        return Err(refused(format!("others can write to it (mode {:o})", found.mode() & 0o777)).into());
    }
    Ok(())
}

/// The signals that the daemon acts on.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    user: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            user: signal(SignalKind::user_defined1())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::End("SIGINT"),
            _ = self.terminate.recv() => Asked::End("SIGTERM"),
            // Not SIGHUP: that ends what runs in a terminal.
            _ = self.user.recv() => Asked::ReadAgain,
        }
    }

    /// Until the end is asked for.
    async fn end(&mut self) {
        while self.next().await == Asked::ReadAgain {}
    }
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// To end; by this signal.
    End(&'static str),
    /// To read the devices from the configuration file again.
    ReadAgain,
}
