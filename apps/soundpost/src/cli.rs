//! The command line: every flag, its environment variable and its help, in one place. The man page and the shell
//! completions are made from it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use serde::Deserialize;
use soundpost_verify::VerifyArgs;

/// The audio engine for remote desktops.
///
/// Plays sound files to whoever connects with a remote-desktop client.
#[derive(Debug, Parser)]
#[command(name = "soundpost", version, max_term_width = 100, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the engine and let RDP clients listen
    Serve(Box<ServeArgs>),
    /// List the endpoints of a running `soundpost serve`: format, latency, state
    Endpoints(EndpointsArgs),
    /// Show who plays what to whom in a running `soundpost serve`: sessions, devices, streams, listeners
    Status(StatusArgs),
    /// Play a file through the local sound server: Soundpost, PulseAudio or PipeWire
    ///
    /// With --exclusive, into an endpoint of a running `soundpost serve`, for this file alone.
    Play(PlayArgs),
    /// Record from the local sound server into a WAV file: from Soundpost, PulseAudio or PipeWire
    ///
    /// With --exclusive, from an endpoint of a running `soundpost serve`, for this recording alone.
    Record(RecordArgs),
    /// Play a scenario on the virtual clock: sessions, clock errors, arrivals, departures, faults
    Simulate(SimulateArgs),
    /// Measure what passes, conversions and the contract's calls cost on this machine
    Bench(BenchArgs),
    /// Hold endpoints, or the engine, against the AudioEndpoint contract: a line for every requirement
    ///
    /// Each endpoint runs in a process of its own, on a virtual clock; one that has a clock of its own runs in real
    /// time, for at most 60 s. The exit status is 0 if everything that is owed holds, 1 if something is broken.
    Verify(VerifyArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell to complete in
        shell: clap_complete::Shell,
    },
    /// Print the man page (roff)
    Man,
}

/// Which running daemon is asked.
#[derive(Debug, Args)]
pub(crate) struct DaemonArgs {
    /// Configuration file of the running daemon, for its state directory [default: as with serve]
    #[arg(long, value_name = "FILE", env = "SOUNDPOST_CONFIG", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// The state directory of the running daemon [key: state_dir] [default: as with serve]
    #[arg(long, value_name = "DIR", env = "SOUNDPOST_STATE_DIR", value_hint = ValueHint::DirPath)]
    pub(crate) state_dir: Option<PathBuf>,
}

/// Flags of `soundpost endpoints`.
#[derive(Debug, Args)]
pub(crate) struct EndpointsArgs {
    #[command(flatten)]
    pub(crate) daemon: DaemonArgs,
    /// Print JSON instead of a table: an array with an object for each endpoint, with its counters, the device that it
    /// is attached to, and the streams of that. Times and levels have their unit in the key (_ms, _us, _db; levels
    /// without: 1 is full scale)
    #[arg(long)]
    pub(crate) json: bool,
}

/// Flags of `soundpost status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) daemon: DaemonArgs,
    /// Show it again and again, twice a second, until Ctrl-C
    #[arg(long)]
    pub(crate) watch: bool,
    /// Print JSON instead of a table, with --watch one line each time: the sessions, their devices, and of each the
    /// streams and the endpoints, with the keys of `soundpost endpoints --json`
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which sound server to use, and how. For `play` and `record`.
#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// The sound server: unix:/PATH or tcp:HOST:PORT [default: $PULSE_SERVER, else where such servers are found]
    #[arg(long, value_name = "ADDRESS", conflicts_with = "exclusive")]
    pub(crate) server: Option<String>,
    /// Its device by name, as `pactl list short` shows it [default: the server's own default]
    #[arg(long, value_name = "NAME", conflicts_with = "exclusive")]
    pub(crate) device: Option<String>,
    /// The volume as mixers show it, in percent, 0 to 150 [default: what the server remembers]
    #[arg(long, value_name = "PERCENT", conflicts_with = "exclusive", value_parser = clap::value_parser!(u16).range(0..=150))]
    pub(crate) volume: Option<u16>,
    /// Sound that is under way at a time, in milliseconds [default: play: what the server likes; record: 50]
    #[arg(long, value_name = "MS", conflicts_with = "exclusive", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(crate) latency_msec: Option<u64>,
}

/// Which endpoint to use exclusively, and how. For `play` and `record`.
#[derive(Debug, Args)]
pub(crate) struct ExclusiveArgs {
    /// Take the endpoint for this process alone: no mixing, the endpoint's own format, and its device is without it
    /// meanwhile
    #[arg(long)]
    pub(crate) exclusive: bool,
    /// Name of the endpoint, as `soundpost endpoints` shows it [default: the only one in this direction]
    #[arg(long, value_name = "NAME", requires = "exclusive")]
    pub(crate) endpoint: Option<String>,
    /// The session that it belongs to [default: any]
    #[arg(long, value_name = "NAME", requires = "exclusive")]
    pub(crate) session: Option<String>,
    /// The device's period in milliseconds, 2.5 to 100
    #[arg(long, value_name = "MS", default_value_t = 10.0, requires = "exclusive")]
    pub(crate) period: f64,
    /// The shared buffer in milliseconds, two periods to 2000
    #[arg(long, value_name = "MS", default_value_t = 160.0, requires = "exclusive")]
    pub(crate) buffer: f64,
    /// The configuration file of the running daemon, for its state directory [default: as for `serve`]
    #[arg(long, value_name = "FILE", env = "SOUNDPOST_CONFIG", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// The state directory of the running daemon
    #[arg(long, value_name = "DIR", env = "SOUNDPOST_STATE_DIR", value_hint = ValueHint::DirPath)]
    pub(crate) state_dir: Option<PathBuf>,
}

/// Flags of `soundpost play`.
#[derive(Debug, Args)]
pub(crate) struct PlayArgs {
    /// The file: WAV, FLAC, Ogg Vorbis, MP3, AAC in MP4
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    #[command(flatten)]
    pub(crate) exclusive: ExclusiveArgs,
}

/// Flags of `soundpost record`.
#[derive(Debug, Args)]
pub(crate) struct RecordArgs {
    /// The WAV file; one that exists is replaced
    #[arg(value_name = "FILE.wav", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// End after so many seconds of sound [default: when Ctrl-C is pressed]
    #[arg(long, value_name = "S")]
    pub(crate) seconds: Option<f64>,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    #[command(flatten)]
    pub(crate) exclusive: ExclusiveArgs,
}

/// Flags of `soundpost simulate`.
#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// The scenario (TOML); the folder `scenarios` has examples
    #[arg(value_name = "SCENARIO", value_hint = ValueHint::FilePath)]
    pub(crate) scenario: PathBuf,
    /// Play so many seconds of the virtual clock, whatever the scenario says
    #[arg(long, value_name = "SECONDS")]
    pub(crate) seconds: Option<f64>,
    /// Draw offsets, phases and clock errors from this seed, whatever the scenario says
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,
    /// Play it so often and compare: all runs must come to the same
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) times: u32,
    /// Draw latency and padding over time into this PNG file
    #[arg(long, value_name = "FILE.png", value_hint = ValueHint::FilePath)]
    pub(crate) plot: Option<PathBuf>,
    /// Print JSON, with every point over time, instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

/// Flags of `soundpost bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Runs of each case; more take longer and are disturbed less
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    pub(crate) runs: u32,
    /// Print JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

/// Flags of `soundpost serve`. Each is also a key of the configuration file (named in its help) and an environment
/// variable; flags go before variables, variables before the file.
#[derive(Debug, Default, Args)]
pub(crate) struct ServeArgs {
    /// Configuration file (TOML) [default: soundpost/config.toml under $XDG_CONFIG_HOME or ~/.config, if it is there]
    #[arg(long, value_name = "FILE", env = "SOUNDPOST_CONFIG", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,

    /// Where to listen for RDP clients; port 0 takes a free one; `off`: no RDP, the file of --render is then the
    /// listener [key: rdp.listen] [default: 0.0.0.0:3389]
    #[arg(long, value_name = "ADDR:PORT", env = "SOUNDPOST_RDP")]
    pub(crate) rdp: Option<Listen>,

    /// How clients may log in, a list of nla and tls [key: rdp.security] [default: nla,tls]
    #[arg(long, value_name = "LIST", env = "SOUNDPOST_RDP_SECURITY", value_delimiter = ',')]
    pub(crate) rdp_security: Option<Vec<SecurityArg>>,

    /// The virtual channel that carries sound [key: rdp.channel] [default: auto]
    #[arg(long, value_name = "KIND", env = "SOUNDPOST_RDP_CHANNEL")]
    pub(crate) rdp_channel: Option<ChannelArg>,

    /// Certificate chain (PEM) instead of the self-signed one [key: rdp.certificate]
    #[arg(long, value_name = "FILE", env = "SOUNDPOST_RDP_CERTIFICATE", value_hint = ValueHint::FilePath)]
    pub(crate) rdp_certificate: Option<PathBuf>,

    /// The certificate's private key (PEM) [key: rdp.key]
    #[arg(long, value_name = "FILE", env = "SOUNDPOST_RDP_KEY", value_hint = ValueHint::FilePath)]
    pub(crate) rdp_key: Option<PathBuf>,

    /// The user who may log in [key: user] [default: the name of who started it]
    #[arg(long, value_name = "NAME", env = "SOUNDPOST_USER")]
    pub(crate) user: Option<String>,

    /// File whose first line is that user's password [key: password_file] [default: a new one is made and printed]
    #[arg(long, value_name = "FILE", env = "SOUNDPOST_PASSWORD_FILE", value_hint = ValueHint::FilePath)]
    pub(crate) password_file: Option<PathBuf>,

    /// A further user with a session of their own, as NAME=PASSWORD_FILE; may be repeated [key: users]
    #[arg(long = "add-user", value_name = "NAME=FILE", env = "SOUNDPOST_ADD_USER", value_delimiter = ',')]
    pub(crate) add_user: Vec<String>,

    /// Play this file to the listeners: WAV, FLAC, Ogg Vorbis, MP3, AAC in MP4 [key: play.file]
    #[arg(long, value_name = "FILE", env = "SOUNDPOST_PLAY", value_hint = ValueHint::FilePath)]
    pub(crate) play: Option<PathBuf>,

    /// Play the file once and end, instead of looping it [key: play.once]
    #[arg(long, env = "SOUNDPOST_ONCE", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub(crate) once: Option<bool>,

    /// Write what the session plays to this WAV file [key: render.file]
    #[arg(long, value_name = "FILE.wav", env = "SOUNDPOST_RENDER", value_hint = ValueHint::FilePath)]
    pub(crate) render: Option<PathBuf>,

    /// Sample format of that file [key: render.format] [default: s16]
    #[arg(long, value_name = "FORMAT", env = "SOUNDPOST_RENDER_FORMAT")]
    pub(crate) render_format: Option<RenderFormatArg>,

    /// Give the first session a microphone that needs no hardware, to try recording with [key: capture.source]
    #[arg(long, value_name = "KIND", env = "SOUNDPOST_CAPTURE")]
    pub(crate) capture: Option<CaptureArg>,

    /// Whether to be the sound server of this machine's applications, as PulseAudio is [key: pulse.serve] [default: on; off
    /// with --attach]
    #[arg(long, value_name = "SWITCH", env = "SOUNDPOST_PULSE")]
    pub(crate) pulse: Option<Switch>,

    /// Where applications find the sound server [key: pulse.socket] [default: pulse/native under $XDG_RUNTIME_DIR, where
    /// they look by themselves; without that variable, under the state directory]
    #[arg(long, value_name = "PATH", env = "SOUNDPOST_PULSE_SOCKET", value_hint = ValueHint::FilePath)]
    pub(crate) pulse_socket: Option<PathBuf>,

    /// Serve applications at this address too: those that have the cookie, such as from containers; port 0 takes a free
    /// one. Sound and cookie cross the network unencrypted [key: pulse.tcp] [default: none]
    #[arg(long, value_name = "ADDR:PORT", env = "SOUNDPOST_PULSE_TCP")]
    pub(crate) pulse_tcp: Option<SocketAddr>,

    /// The file with the cookie of 256 bytes; made where it is missing [key: pulse.cookie] [default: where applications
    /// look: $PULSE_COOKIE, or pulse/cookie under $XDG_CONFIG_HOME or ~/.config]
    #[arg(long, value_name = "FILE", env = "SOUNDPOST_PULSE_COOKIE", value_hint = ValueHint::FilePath)]
    pub(crate) pulse_cookie: Option<PathBuf>,

    /// Be a client of the PulseAudio or PipeWire that runs already: what applications play into its virtual sink
    /// `soundpost` is heard by the first session's listeners. With unix:/PATH or tcp:HOST:PORT: of the one there
    /// [key: attach]
    #[arg(long, value_name = "ADDRESS", env = "SOUNDPOST_ATTACH", num_args = 0..=1, default_missing_value = "auto", require_equals = true)]
    pub(crate) attach: Option<String>,

    /// Rate at which a session mixes, in hertz, 8000 to 192000 [key: audio.rate] [default: 48000]
    #[arg(long, value_name = "HZ", env = "SOUNDPOST_RATE")]
    pub(crate) rate: Option<u32>,

    /// Period of a processing pass in milliseconds: 2.5, 5, 10 or 20 [key: audio.period] [default: 10]
    #[arg(long, value_name = "MS", env = "SOUNDPOST_PERIOD")]
    pub(crate) period: Option<f64>,

    /// Sound kept ahead at the listener, in periods; 20 ms at least, 250 ms at most: more survives a busier machine, and
    /// adds as much delay [key: audio.lead] [default: 2]
    #[arg(long, value_name = "PERIODS", env = "SOUNDPOST_LEAD")]
    pub(crate) lead: Option<u32>,

    /// Where the certificate and the control socket are kept [key: state_dir] [default: soundpost under
    /// $XDG_STATE_HOME or ~/.local/state]
    #[arg(long, value_name = "DIR", env = "SOUNDPOST_STATE_DIR", value_hint = ValueHint::DirPath)]
    pub(crate) state_dir: Option<PathBuf>,

    /// What to log: error, warn, info, debug, trace, or a filter such as soundpost_host=debug [key: log.level]
    /// [default: info]
    #[arg(long, value_name = "LEVEL", env = "SOUNDPOST_LOG")]
    pub(crate) log: Option<String>,

    /// How to log [key: log.format] [default: text]
    #[arg(long, value_name = "FORMAT", env = "SOUNDPOST_LOG_FORMAT")]
    pub(crate) log_format: Option<LogFormatArg>,
}

/// Where to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum Listen {
    /// Nowhere.
    Off,
    /// At this address and port.
    At(SocketAddr),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            address => address.parse().map(Self::At).map_err(|_| {
                format!("{address:?} is not an address with a port, such as 0.0.0.0:3389 or [::1]:3390, nor off")
            }),
        }
    }
}

impl TryFrom<String> for Listen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Switch {
    /// Yes
    On,
    /// No
    Off,
}

/// A way to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SecurityArg {
    /// Network level authentication: the password is checked before anything else
    Nla,
    /// TLS alone: the client sends the password once the connection is encrypted
    Tls,
}

/// Which virtual channel carries sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ChannelArg {
    /// The dynamic one where the client has it, else the static one
    Auto,
    /// RDPSND, for old and mobile clients
    Static,
    /// AUDIO_PLAYBACK_DVC
    Dynamic,
}

/// Sample format of a rendered file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RenderFormatArg {
    /// 16-bit integers
    S16,
    /// 24-bit integers
    S24,
    /// 32-bit float
    F32,
}

/// A microphone without hardware.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CaptureArg {
    /// Nothing to hear
    Silence,
    /// A sine of 440 Hz, 20 dB below full scale
    Tone,
    /// The number of every frame, 16 bits a channel: losses can be counted
    TestSignal,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormatArg {
    /// Lines for people
    Text,
    /// One JSON object a line
    Json,
}
