//! Settings: what the configuration file says, what environment and flags put over it, and the defaults below both.

mod devices;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use soundpost_core::{Hns, SampleRate};
use soundpost_host::pulse_client::{Place, PlaceError};
use soundpost_link::rdp::LONGEST_LEAD;
use soundpost_testkit::{TomlError, read_toml};
use thiserror::Error;

pub(crate) use self::devices::{DeviceEndpoint, DeviceSettings};
use self::devices::{FileDevice, devices};
use crate::cli::{CaptureArg, ChannelArg, Listen, LogFormatArg, RenderFormatArg, SecurityArg, ServeArgs, Switch};

/// Everything that `serve` needs to know, complete and checked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    pub(crate) listen: Listen,
    pub(crate) security: Vec<SecurityArg>,
    pub(crate) channel: ChannelArg,
    /// Certificate and key, where the user gave their own.
    pub(crate) certificate: Option<(PathBuf, PathBuf)>,
    pub(crate) users: Vec<User>,
    /// What sessions have beside one sink and one source.
    pub(crate) devices: Vec<DeviceSettings>,
    /// The file that they were read from, to be read again on request.
    pub(crate) file: Option<PathBuf>,
    pub(crate) play: Option<PathBuf>,
    pub(crate) once: bool,
    pub(crate) render: Option<(PathBuf, RenderFormatArg)>,
    pub(crate) capture: Option<CaptureArg>,
    /// None: applications are not served.
    pub(crate) pulse: Option<PulseSettings>,
    /// Where the sound server is, or may be, whose client the first session is to be.
    pub(crate) attach: Option<Vec<Place>>,
    pub(crate) rate: SampleRate,
    pub(crate) period: Hns,
    pub(crate) lead: u32,
    pub(crate) state_dir: PathBuf,
    pub(crate) log: String,
    pub(crate) log_format: LogFormatArg,
}

/// How applications find the sound server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PulseSettings {
    /// `None`: the usual place.
    pub(crate) socket: Option<PathBuf>,
    pub(crate) tcp: Option<SocketAddr>,
    /// `None`: the usual file.
    pub(crate) cookie: Option<PathBuf>,
}

/// Someone who may log in, and thereby the session that they get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    /// `None`: a password is made at start and printed.
    pub(crate) password_file: Option<PathBuf>,
    /// The system's user whose applications play into the session; `None`: the one of the same name, where there is one.
    pub(crate) account: Option<String>,
    /// Where those applications come in; `None`: where they look by themselves.
    pub(crate) pulse_socket: Option<PathBuf>,
}

/// Settings that cannot be used. Shown as one line; exit status 2.
#[derive(Debug, Error)]
pub(crate) enum ConfigError {
    #[error("cannot read the configuration {path}: {error}")]
    Read { path: PathBuf, error: std::io::Error },
    #[error("{path}: {error}")]
    Toml { path: PathBuf, error: TomlError },
    #[error("{name} cannot be {value}: {remedy}")]
    Value { name: &'static str, value: String, remedy: &'static str },
    #[error(transparent)]
    Attach(#[from] PlaceError),
    #[error("no home directory is known: say where to keep certificate and control socket with --state-dir DIR")]
    NoStateDir,
}

/// The configuration file as it is written. Every key but those of the lists has a flag in [`ServeArgs`].
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct File {
    user: Option<String>,
    password_file: Option<PathBuf>,
    users: Vec<FileUser>,
    devices: Vec<FileDevice>,
    state_dir: Option<PathBuf>,
    attach: Option<String>,
    rdp: FileRdp,
    play: FilePlay,
    render: FileRender,
    capture: FileCapture,
    pulse: FilePulse,
    audio: FileAudio,
    log: FileLog,
}

#[derive(Debug, Deserialize)]
struct FileUser {
    name: String,
    password_file: Option<PathBuf>,
    account: Option<String>,
    pulse_socket: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct FileRdp {
    listen: Option<Listen>,
    security: Option<Vec<SecurityArg>>,
    channel: Option<ChannelArg>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct FilePlay {
    file: Option<PathBuf>,
    once: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct FileRender {
    file: Option<PathBuf>,
    format: Option<RenderFormatArg>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct FileCapture {
    source: Option<CaptureArg>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct FilePulse {
    serve: Option<Switch>,
    socket: Option<PathBuf>,
    tcp: Option<SocketAddr>,
    cookie: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct FileAudio {
    rate: Option<u32>,
    period: Option<f64>,
    lead: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct FileLog {
    level: Option<String>,
    format: Option<LogFormatArg>,
}

/// Every key of the file, by its dotted name; a table's own name stands before its keys.
const KEYS: &[&str] = &[
    "user",
    "password_file",
    "users",
    "users.name",
    "users.password_file",
    "users.account",
    "users.pulse_socket",
    "devices",
    "devices.kind",
    "devices.name",
    "devices.description",
    "devices.user",
    "devices.endpoints",
    "devices.default",
    "state_dir",
    "attach",
    "rdp",
    "rdp.listen",
    "rdp.security",
    "rdp.channel",
    "rdp.certificate",
    "rdp.key",
    "play",
    "play.file",
    "play.once",
    "render",
    "render.file",
    "render.format",
    "capture",
    "capture.source",
    "pulse",
    "pulse.serve",
    "pulse.socket",
    "pulse.tcp",
    "pulse.cookie",
    "audio",
    "audio.rate",
    "audio.period",
    "audio.lead",
    "log",
    "log.level",
    "log.format",
];

impl Settings {
    /// Flags over environment (clap has merged those two) over the file over the defaults.
    pub(crate) fn resolve(args: ServeArgs) -> Result<Self, ConfigError> {
        let path = args.config.clone().or_else(default_config);
        let file = path.as_deref().map_or_else(|| Ok(File::default()), File::read)?;
        let certificate = match (args.rdp_certificate.or(file.rdp.certificate), args.rdp_key.or(file.rdp.key)) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(path), None) => {
                return Err(half_a_pair("rdp-certificate", &path, "give its private key with --rdp-key"));
            }
            (None, Some(path)) => {
                return Err(half_a_pair("rdp-key", &path, "give its certificate with --rdp-certificate"));
            }
        };
        let security =
            args.rdp_security.or(file.rdp.security).unwrap_or_else(|| vec![SecurityArg::Nla, SecurityArg::Tls]);
        if security.is_empty() {
            return Err(ConfigError::Value {
                name: "rdp-security",
                value: "empty".into(),
                remedy: "use nla, tls or nla,tls",
            });
        }
        let (play, render) = (args.play.or(file.play.file), args.render.or(file.render.file));
        let once = args.once.or(file.play.once).unwrap_or(false);
        if once && play.is_none() {
            let remedy = "name the file to play with --play";
            return Err(ConfigError::Value { name: "once", value: "used alone".into(), remedy });
        }
        let listen = args.rdp.or(file.rdp.listen).unwrap_or(Listen::At((Ipv4Addr::UNSPECIFIED, 3389).into()));
        if listen == Listen::Off && render.is_none() {
            let remedy = "name a file for the sound with --render, or an address to listen on";
            return Err(ConfigError::Value { name: "rdp", value: "off without a listener".into(), remedy });
        }
        let render_format = args.render_format.or(file.render.format);
        if render_format.is_some() && render.is_none() {
            let remedy = "name the file to write with --render";
            return Err(ConfigError::Value { name: "render-format", value: "used alone".into(), remedy });
        }
        let render_format = render_format.unwrap_or(RenderFormatArg::S16);
        let attach = args.attach.or(file.attach).map(|place| places(&place)).transpose()?;
        // Applications have a sound server already where we are its client; ours beside it would be in its place.
        let usual = if attach.is_some() { Switch::Off } else { Switch::On };
        let pulse = pulse(
            args.pulse.or(file.pulse.serve).unwrap_or(usual),
            PulseSettings {
                socket: args.pulse_socket.or(file.pulse.socket),
                tcp: args.pulse_tcp.or(file.pulse.tcp),
                cookie: args.pulse_cookie.or(file.pulse.cookie),
            },
        )?;
        let period = period(args.period.or(file.audio.period).unwrap_or(10.0))?;
        let users =
            users(args.user.or(file.user), args.password_file.or(file.password_file), &args.add_user, file.users)?;
        let devices = devices(file.devices, &users)?;
        if pulse.is_none() && !devices.is_empty() {
            let remedy = "they are for applications: leave out --pulse off, or give --pulse on beside --attach";
            return Err(ConfigError::Value { name: "devices", value: "used with pulse off".into(), remedy });
        }
        Ok(Self {
            listen,
            security,
            channel: args.rdp_channel.or(file.rdp.channel).unwrap_or(ChannelArg::Auto),
            certificate,
            users,
            devices,
            file: path,
            play,
            once,
            render: render.map(|path| (path, render_format)),
            capture: args.capture.or(file.capture.source),
            pulse,
            attach,
            rate: rate(args.rate.or(file.audio.rate).unwrap_or(48_000))?,
            period,
            lead: lead(args.lead.or(file.audio.lead).unwrap_or(2), period)?,
            state_dir: usual_state_dir(args.state_dir.or(file.state_dir))?,
            log: args.log.or(file.log.level).unwrap_or_else(|| "info".into()),
            log_format: args.log_format.or(file.log.format).unwrap_or(LogFormatArg::Text),
        })
    }
}

/// The further devices, read again from the file that these settings are from.
pub(crate) fn devices_again(settings: &Settings) -> Result<Vec<DeviceSettings>, ConfigError> {
    let file = settings.file.as_deref().map_or_else(|| Ok(File::default()), File::read)?;
    devices(file.devices, &settings.users)
}

impl File {
    /// The file that was given, or the usual one where there is one.
    fn find(given: Option<PathBuf>) -> Result<Self, ConfigError> {
        given.or_else(default_config).map_or_else(|| Ok(Self::default()), |path| Self::read(&path))
    }

    fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Read { path: path.into(), error })?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        read_toml(text, KEYS).map_err(|error| ConfigError::Toml { path: path.into(), error })
    }
}

fn users(
    first: Option<String>,
    password_file: Option<PathBuf>,
    flags: &[String],
    file: Vec<FileUser>,
) -> Result<Vec<User>, ConfigError> {
    let mut users = Vec::new();
    if first.is_some() || password_file.is_some() || (flags.is_empty() && file.is_empty()) {
        let name = first.or_else(|| std::env::var("USER").ok().filter(|name| !name.is_empty()));
        let name = name.unwrap_or_else(|| "soundpost".into());
        users.push(User { name, password_file, account: None, pulse_socket: None });
    }
    users.extend(file.into_iter().map(|FileUser { name, password_file, account, pulse_socket }| User {
        name,
        password_file,
        account,
        pulse_socket,
    }));
    for flag in flags {
        let Some((name, path)) = flag.split_once('=') else {
            return Err(ConfigError::Value {
                name: "add-user",
                value: flag.clone(),
                remedy: "write NAME=PASSWORD_FILE",
            });
        };
        users.push(User { name: name.into(), password_file: Some(path.into()), account: None, pulse_socket: None });
    }
    for (k, user) in users.iter().enumerate() {
        if user.name.trim().is_empty() {
            return Err(ConfigError::Value { name: "a user's name", value: "empty".into(), remedy: "give it a name" });
        }
        // Two names that differ in case alone are two users to the server and one to a person.
        if users.iter().take(k).any(|other| other.name.eq_ignore_ascii_case(&user.name)) {
            let remedy = "every user may be named once only";
            return Err(ConfigError::Value { name: "user", value: format!("{} twice", user.name), remedy });
        }
    }
    Ok(users)
}

fn pulse(serve: Switch, settings: PulseSettings) -> Result<Option<PulseSettings>, ConfigError> {
    if serve == Switch::On {
        return Ok(Some(settings));
    }
    if settings.socket.is_some() || settings.tcp.is_some() || settings.cookie.is_some() {
        let remedy = "leave out --pulse-socket, --pulse-tcp and --pulse-cookie, or --pulse off";
        return Err(ConfigError::Value { name: "pulse", value: "off and used".into(), remedy });
    }
    Ok(None)
}

fn half_a_pair(name: &'static str, path: &Path, remedy: &'static str) -> ConfigError {
    ConfigError::Value { name, value: format!("{} alone", path.display()), remedy }
}

/// Where to look for a sound server: at the address, or in the usual places for `auto`.
fn places(text: &str) -> Result<Vec<Place>, PlaceError> {
    Place::find((text != "auto").then_some(text))
}

fn rate(hertz: u32) -> Result<SampleRate, ConfigError> {
    SampleRate::new(hertz).map_err(|_| ConfigError::Value {
        name: "rate",
        value: hertz.to_string(),
        remedy: "use 8000 to 192000 (hertz); 48000 suits most",
    })
}

fn period(millis: f64) -> Result<Hns, ConfigError> {
    const PERIODS: [(f64, i64); 4] = [(2.5, 25_000), (5.0, 50_000), (10.0, 100_000), (20.0, 200_000)];
    let known = PERIODS.iter().find(|(known, _)| (known - millis).abs() < 1e-6);
    known.map(|&(_, hns)| Hns::new(hns)).ok_or_else(|| ConfigError::Value {
        name: "period",
        value: format!("{millis} ms"),
        remedy: "use 2.5, 5, 10 or 20 (milliseconds)",
    })
}

fn lead(periods: u32, period: Hns) -> Result<u32, ConfigError> {
    let length = period.saturating_mul(periods);
    if periods >= 1 && length.to_duration() <= LONGEST_LEAD {
        return Ok(periods);
    }
    let value = format!("{periods} periods of {period}");
    Err(ConfigError::Value { name: "lead", value, remedy: "use 1 period or more, 250 ms at most" })
}

/// The state directory of a daemon with this configuration file and this flag.
pub(crate) fn state_dir(config: Option<PathBuf>, given: Option<PathBuf>) -> Result<PathBuf, ConfigError> {
    match given {
        Some(given) => Ok(given),
        None => usual_state_dir(File::find(config)?.state_dir),
    }
}

/// The state directory: the one given, or the one that the XDG base directory specification names.
fn usual_state_dir(given: Option<PathBuf>) -> Result<PathBuf, ConfigError> {
    given
        .or_else(|| xdg("XDG_STATE_HOME", ".local/state").map(|dir| dir.join("soundpost")))
        .ok_or(ConfigError::NoStateDir)
}

fn default_config() -> Option<PathBuf> {
    xdg("XDG_CONFIG_HOME", ".config").map(|dir| dir.join("soundpost/config.toml")).filter(|path| path.exists())
}

fn xdg(variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(variable).or_else(|| absolute("HOME").map(|home| home.join(below_home)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<File, ConfigError> {
        File::parse(Path::new("config.toml"), text)
    }

    #[test]
    fn unknown_keys_name_the_nearest_known_one() {
        let told = |text: &str| parse(text).unwrap_err().to_string();
        assert_eq!(told("usr = 'x'"), "config.toml: unknown key `usr`: did you mean `user`?");
        assert_eq!(told("[rdp]\nlisen = '1'"), "config.toml: unknown key `rdp.lisen`: did you mean `rdp.listen`?");
        assert_eq!(told("listen = '1'"), "config.toml: unknown key `listen`: did you mean `rdp.listen`?");
        assert_eq!(told("[[users]]\nnane = 'a'"), "config.toml: unknown key `users.nane`: did you mean `users.name`?");
        assert_eq!(told("qqqqqqqq = 1"), "config.toml: unknown key `qqqqqqqq`");
    }

    #[test]
    fn wrong_values_are_reported_with_their_line() {
        let told = parse("[audio]\nrate = 'fast'").unwrap_err().to_string();
        assert!(told.contains("line 2") && told.contains("rate") || told.contains("expected u32"), "{told}");
        assert!(!told.contains('\n'));
    }

    #[test]
    fn every_key_of_the_list_is_read() {
        let all = "user='a'\npassword_file='p'\nstate_dir='s'\nattach='unix:/n'\n[[users]]\nname='b'\npassword_file='q'\naccount='c'\npulse_socket='/b'\n\
            [[devices]]\nkind='sink'\nname='music'\ndescription='Music'\nuser='b'\nendpoints=['listeners','file:m.wav']\ndefault=true\n\
            [rdp]\nlisten='127.0.0.1:1'\nsecurity=['tls']\nchannel='static'\ncertificate='c'\nkey='k'\n\
            [play]\nfile='f'\nonce=true\n[render]\nfile='r'\nformat='f32'\n[capture]\nsource='test-signal'\n\
            [pulse]\nserve='on'\nsocket='/s/native'\ntcp='127.0.0.1:4713'\ncookie='/s/cookie'\n[audio]\nrate=44100\nperiod=2.5\nlead=3\n\
            [log]\nlevel='debug'\nformat='json'\n";
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("all.toml");
        std::fs::write(&path, all).unwrap();
        let settings = Settings::resolve(ServeArgs { config: Some(path.clone()), ..ServeArgs::default() }).unwrap();
        let expected = Settings {
            listen: Listen::At("127.0.0.1:1".parse().unwrap()),
            security: vec![SecurityArg::Tls],
            channel: ChannelArg::Static,
            certificate: Some(("c".into(), "k".into())),
            users: vec![
                User { name: "a".into(), password_file: Some("p".into()), account: None, pulse_socket: None },
                User {
                    name: "b".into(),
                    password_file: Some("q".into()),
                    account: Some("c".into()),
                    pulse_socket: Some("/b".into()),
                },
            ],
            devices: vec![DeviceSettings {
                session: 1,
                flow: soundpost_endpoint::DataFlow::Render,
                name: "music".into(),
                description: "Music".into(),
                endpoints: vec![DeviceEndpoint::Listeners, DeviceEndpoint::File("m.wav".into())],
                is_default: true,
            }],
            file: Some(path),
            play: Some("f".into()),
            once: true,
            render: Some(("r".into(), RenderFormatArg::F32)),
            capture: Some(CaptureArg::TestSignal),
            pulse: Some(PulseSettings {
                socket: Some("/s/native".into()),
                tcp: Some("127.0.0.1:4713".parse().unwrap()),
                cookie: Some("/s/cookie".into()),
            }),
            attach: Some(vec![Place::Unix("/n".into())]),
            rate: SampleRate::HZ_44100,
            period: Hns::new(25_000),
            lead: 3,
            state_dir: "s".into(),
            log: "debug".into(),
            log_format: LogFormatArg::Json,
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn values_that_cannot_be_are_refused_with_a_remedy() {
        let refused = |args: ServeArgs| Settings::resolve(args).unwrap_err().to_string();
        let args = || ServeArgs { state_dir: Some("s".into()), ..ServeArgs::default() };
        assert!(refused(ServeArgs { period: Some(7.0), ..args() }).contains("2.5, 5, 10 or 20"));
        assert!(refused(ServeArgs { once: Some(true), ..args() }).contains("--play"));
        assert!(refused(ServeArgs { rdp: Some(Listen::Off), ..args() }).contains("--render"));
        let unused = ServeArgs { pulse: Some(Switch::Off), pulse_socket: Some("p".into()), ..args() };
        assert!(refused(unused).contains("--pulse-socket"));
        assert!(refused(ServeArgs { attach: Some("tcp:".into()), ..args() }).contains("tcp:HOST"));
        assert!(refused(ServeArgs { rate: Some(1), ..args() }).contains("8000 to 192000"));
        assert!(refused(ServeArgs { lead: Some(0), ..args() }).contains("1 period or more"));
        assert!(refused(ServeArgs { lead: Some(26), ..args() }).contains("250 ms at most"));
        assert!(Settings::resolve(ServeArgs { lead: Some(25), ..args() }).is_ok());
        assert!(refused(ServeArgs { lead: Some(13), period: Some(20.0), ..args() }).contains("250 ms at most"));
        let alone = ServeArgs { render_format: Some(RenderFormatArg::F32), ..args() };
        assert!(refused(alone).contains("--render"));
        assert!(refused(ServeArgs { rdp_key: Some("k".into()), ..args() }).contains("--rdp-certificate"));
        assert!(refused(ServeArgs { add_user: vec!["alice".into()], ..args() }).contains("NAME=PASSWORD_FILE"));
        let twice = ServeArgs { user: Some("Alice".into()), add_user: vec!["alice=p".into()], ..args() };
        assert!(refused(twice).contains("once only"));
    }

    #[test]
    fn devices_that_cannot_be_are_refused_with_a_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        let told = |devices: &str| {
            std::fs::write(&path, format!("user = 'a'\nstate_dir = 's'\n{devices}")).unwrap();
            let args = ServeArgs { config: Some(path.clone()), ..ServeArgs::default() };
            Settings::resolve(args).map(|_| ()).map_err(|error| error.to_string())
        };
        let sink = |rest: &str| format!("[[devices]]\nkind='sink'\n{rest}\n");
        assert_eq!(told(&sink("name='x'")), Ok(()));
        let refused = |devices: &str| told(devices).unwrap_err();
        assert!(refused(&sink("name='a b'")).contains("letters, digits"));
        assert!(refused(&sink("name='soundpost'")).contains("every session has"));
        assert!(refused(&sink("name='x.monitor'")).contains("every session has"));
        assert!(refused(&format!("{}{}", sink("name='x'"), sink("name='x'"))).contains("x twice"));
        assert!(refused(&sink("name='x'\nuser='nobody'")).contains("users.name"));
        assert!(refused(&sink("name='x'\nendpoints=['tone']")).contains("file:PATH"));
        assert!(refused(&sink("name='x'\nendpoints=['cellar']")).contains("no endpoint"));
        let two = format!("{}{}", sink("name='x'\ndefault=true"), sink("name='y'\ndefault=true"));
        assert!(refused(&two).contains("may be the default"));
        assert!(refused(&format!("[pulse]\nserve='off'\n{}", sink("name='x'"))).contains("--pulse off"));
        assert!(refused("[[devices]]\nkind='sink'\nnme='x'").contains("devices.name"));
    }

    #[test]
    fn a_question_finds_the_state_directory_where_the_daemon_does() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        std::fs::write(&path, "state_dir = '/srv/state'").unwrap();
        assert_eq!(state_dir(Some(path.clone()), None).unwrap(), Path::new("/srv/state"));
        assert_eq!(state_dir(Some(path), Some("given".into())).unwrap(), Path::new("given"));
    }
}
