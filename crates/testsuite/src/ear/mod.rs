//! A listener without a head: a real RDP client (xfreerdp) on a virtual screen, whose loudspeaker can be recorded.
//!
//! An [`Ear`] is a screen (Xvfb) and a sound server (PulseAudio with a null sink as the loudspeaker), both private, in a
//! temporary folder. [`Ear::record`] writes down what the loudspeaker plays, [`Ear::connect`] starts a client. Start the
//! recording well before the client ([`Ear::SETTLING`]): until something reads a null sink, it runs ahead. What is played
//! is heard sample by sample, except for some milliseconds at the start of a client's stream: PulseAudio had already
//! handed that much silence to the recorder.
//!
//! Everything is ended, with all its children, when its value is dropped, and also when the thread that started it ends. One
//! ear listens at a time on a machine: two would disturb each other's timing.
//!
//! Needs Debian's freerdp2-x11, xvfb, pulseaudio and pulseaudio-utils, which `cargo xtask test` installs; a test begins with
//!
//! ```no_run
//! # use soundpost_testsuite::ear::Ear;
//! if let Err(why) = Ear::available() {
//!     eprintln!("SKIPPED: {why}");
//!     return;
//! }
//! ```

mod client;
mod process;
mod recording;

use std::error::Error;
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use soundpost_core::SampleRate;
use tempfile::TempDir;

pub use self::client::{Client, ClientOptions, ClientSecurity, SoundChannel};
pub use self::process::Signal;
pub use self::recording::{Heard, Mark, Recording};

use self::process::{Output, Process, command};

/// Programs, and the Debian packages that they are in.
const PROGRAMS: &[(&str, &str)] = &[
    ("xfreerdp", "freerdp2-x11"),
    ("Xvfb", "xvfb"),
    ("pulseaudio", "pulseaudio"),
    ("pactl", "pulseaudio-utils"),
    ("parec", "pulseaudio-utils"),
];

/// How long a screen or a sound server may take to start.
const STARTING: Duration = Duration::from_secs(20);

/// How long a test waits for another one's ear to be gone.
const WAITING: Duration = Duration::from_secs(600);

/// How long between two looks at whether something has happened.
const LOOK: Duration = Duration::from_millis(50);

/// A screen and a loudspeaker.
#[derive(Debug)]
pub struct Ear {
    // Dropped in this order: the sound server goes before the folder that its socket is in, the lock last.
    sound: Process,
    screen: Process,
    display: String,
    rate: SampleRate,
    folder: TempDir,
    _alone: File,
}

/// Why a step of the harness did not succeed.
#[derive(Debug)]
pub struct EarError(String);

impl fmt::Display for EarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for EarError {}

impl EarError {
    fn new(what: impl fmt::Display, why: impl fmt::Display) -> Self {
        Self(format!("{what}: {why}"))
    }
}

impl Ear {
    /// How long to record before connecting a client, so that the loudspeaker does not run ahead.
    pub const SETTLING: Duration = Duration::from_secs(3);

    /// Whether this machine has all programs; the error says what is missing and how to get it.
    ///
    /// # Errors
    /// A sentence to print with the word that the test is skipped.
    pub fn available() -> Result<(), String> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let is_there = |program: &str| std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
        let mut missing: Vec<&str> =
            PROGRAMS.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package).collect();
        missing.dedup();
        if missing.is_empty() {
            return Ok(());
        }
        Err(format!(
            "a test with a real RDP client needs the Debian packages {}: `cargo xtask test` installs them as root or with sudo",
            missing.join(" ")
        ))
    }

    /// Starts a screen and a sound server whose loudspeaker is a null sink of 16-bit stereo at `rate`.
    ///
    /// Waits until no other ear is open on this machine.
    ///
    /// # Errors
    /// [`EarError`] where one of them does not start, with the last line that it wrote.
    pub fn open(rate: SampleRate) -> Result<Self, EarError> {
        let alone = alone()?;
        let folder =
            TempDir::with_prefix("soundpost-ear-").map_err(|error| EarError::new("a temporary folder", error))?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700))
            .map_err(|error| EarError::new(folder.path().display(), error))?;
        let (screen, display) = open_screen(folder.path())?;
        let sound = open_sound(folder.path(), rate)?;
        Ok(Self { sound, screen, display, rate, folder, _alone: alone })
    }

    /// The sound server's address, as PulseAudio's own programs take it.
    #[must_use]
    pub fn server(&self) -> String {
        address(self.folder.path())
    }

    /// The folder in which logs and sockets are; it goes when the ear does.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Begins to record what the loudspeaker plays.
    ///
    /// # Errors
    /// [`EarError`] where the recorder does not start, or hears nothing, not even silence, within some seconds.
    pub fn record(&self) -> Result<Recording, EarError> {
        Recording::start(&self.server(), self.rate, self.folder.path())
    }

    /// Starts a client. It connects by itself; [`Client::log`] tells how far it has come.
    ///
    /// # Errors
    /// [`EarError`] where the program cannot be started.
    pub fn connect(&self, options: &ClientOptions) -> Result<Client, EarError> {
        Client::start(self, options)
    }

    /// Plays 16-bit stereo at the loudspeaker's rate straight into it, without any RDP, and waits until it has been played:
    /// shows what the harness itself does to sound.
    ///
    /// # Errors
    /// [`EarError`] where the player fails or takes much longer than the sound.
    pub fn play(&self, samples: &[i16]) -> Result<(), EarError> {
        let file = self.folder.path().join("played.raw");
        let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        fs::write(&file, bytes).map_err(|error| EarError::new(file.display(), error))?;
        let mut command = command("pacat");
        command
            .arg(format!("--server={}", self.server()))
            .args(["--playback", "--raw", "--device=spk", "--format=s16le", "--channels=2"])
            .arg(format!("--rate={}", self.rate.get()))
            .arg(&file);
        let mut player = Process::start(&mut command, Output::Logged, &self.folder.path().join("pacat.log"))?;
        let frames = u64::try_from(samples.len() / 2).unwrap_or(u64::MAX);
        let limit = self.rate.duration_of(frames) + STARTING;
        match player.wait(limit) {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(EarError::new("pacat", status)),
            None => Err(EarError::new("pacat", format!("still plays after {limit:?}"))),
        }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = command(program);
        command
            .env("DISPLAY", &self.display)
            .env("PULSE_SERVER", self.server())
            .env("XDG_RUNTIME_DIR", self.folder.path())
            .env("HOME", self.folder.path());
        command
    }

    /// Whether screen and sound server still run. A test that hears nothing asks this first.
    pub fn is_alive(&mut self) -> bool {
        self.sound.is_running() && self.screen.is_running()
    }
}

/// One ear at a time, over all processes of this user: test runners start several tests at once.
fn alone() -> Result<File, EarError> {
    let user = fs::metadata("/proc/self").map_or(0, |of_us| of_us.uid());
    let path = std::env::temp_dir().join(format!("soundpost-ear-{user}.lock"));
    let named = |error: &dyn fmt::Display| EarError::new(path.display(), error);
    let file = File::options().create(true).append(true).open(&path).map_err(|error| named(&error))?;
    let free = wait_for(WAITING, || match file.try_lock() {
        Ok(()) => Some(Ok(())),
        Err(TryLockError::WouldBlock) => None,
        Err(TryLockError::Error(error)) => Some(Err(named(&error))),
    });
    free.unwrap_or_else(|| Err(named(&"another test has kept its ear open for too long")))?;
    Ok(file)
}

/// Xvfb chooses a free display itself, and writes its number once it is ready.
fn open_screen(folder: &Path) -> Result<(Process, String), EarError> {
    let mut command = command("Xvfb");
    command.args(["-displayfd", "1", "-screen", "0", "1024x768x24", "-nolisten", "tcp"]);
    let log = folder.join("xvfb.log");
    let mut screen = Process::start(&mut command, Output::Piped, &log)?;
    let Some(stdout) = screen.stdout() else { return Err(EarError::new("Xvfb", "has no output")) };
    let (send, receive) = std::sync::mpsc::channel();
    // Ends with Xvfb at the latest: that closes the pipe.
    thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line);
        // Nobody may be waiting any more.
        let _ = send.send(read.map(|_| line));
    });
    match receive.recv_timeout(STARTING) {
        Ok(Ok(number)) if !number.trim().is_empty() => Ok((screen, format!(":{}", number.trim()))),
        _ => Err(EarError::new("Xvfb did not start", last_line(&log))),
    }
}

fn open_sound(folder: &Path, rate: SampleRate) -> Result<Process, EarError> {
    let log = folder.join("pulseaudio.log");
    let mut command = command("pulseaudio");
    command
        .args(["-n", "--daemonize=no", "--exit-idle-time=-1", "--disallow-exit", "--use-pid-file=no"])
        .args(["--realtime=no", "--high-priority=no"])
        .arg("-L")
        .arg(format!("module-native-protocol-unix auth-anonymous=1 socket={}", socket(folder).display()))
        .arg("-L")
        .arg(format!("module-null-sink sink_name=spk format=s16le rate={} channels=2", rate.get()))
        .env_remove("PULSE_SERVER")
        .env("XDG_RUNTIME_DIR", folder)
        .env("HOME", folder);
    let mut sound = Process::start(&mut command, Output::Logged, &log)?;
    let answers = || {
        let mut command = Command::new("pactl");
        command.args(["-s", &address(folder), "info"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let started = wait_for(STARTING, || {
        let gone = !sound.is_running();
        (gone || answers()).then_some(!gone)
    });
    match started {
        Some(true) => Ok(sound),
        _ => Err(EarError::new("pulseaudio did not start", last_line(&log))),
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("sound.sock")
}

fn address(folder: &Path) -> String {
    format!("unix:{}", socket(folder).display())
}

fn last_line(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    text.lines().last().unwrap_or("it wrote nothing").to_owned()
}

/// Looks again and again until there is an answer, for at most `limit`.
fn wait_for<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = look() {
            return Some(answer);
        }
        if Instant::now() >= end {
            return None;
        }
        thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::{exact, noise};

    /// What an ear hears of a sound that is played straight into it is that sound, sample by sample, but for its start.
    #[test]
    fn real_ear_hears_what_its_loudspeaker_plays() {
        if let Err(why) = Ear::available() {
            eprintln!("SKIPPED: {why}");
            return;
        }
        for rate in [SampleRate::HZ_48000, SampleRate::HZ_44100] {
            let mut ear = Ear::open(rate).unwrap();
            let recording = ear.record().unwrap();
            thread::sleep(Ear::SETTLING);
            let played = noise(1, 48_000);
            ear.play(&played).unwrap();
            assert!(recording.wait_for_silence(Duration::from_millis(500), STARTING));
            let heard = recording.stop();
            let verdict = exact(&played, &heard.samples).unwrap();
            assert!(verdict.is_flawless() && verdict.unheard_after == 0, "{verdict:?}");
            assert!(verdict.unheard_before <= u64::from(rate.get()) / 50, "{verdict:?}");
            assert!(ear.is_alive());
        }
    }

    /// A client that finds no server ends by itself; one that is dropped is gone.
    #[test]
    fn real_client_that_is_refused_ends() {
        if let Err(why) = Ear::available() {
            eprintln!("SKIPPED: {why}");
            return;
        }
        let ear = Ear::open(SampleRate::HZ_48000).unwrap();
        // A port that was free a moment ago and that nobody listens on.
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap();
        let mut client = ear.connect(&ClientOptions::new(free, "nobody", "nothing")).unwrap();
        let status = client.wait(STARTING).expect("the client gives up");
        assert!(!status.success(), "{}", client.log());
        assert!(client.log().contains("ERRCONNECT"), "{}", client.log());
    }
}
