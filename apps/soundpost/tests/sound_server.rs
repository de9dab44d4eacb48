//! A PulseAudio or a PipeWire of its own for each test, as Debian has them, in a folder of its own.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Longest that anything here may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    PulseAudio,
    PipeWire,
}

/// A running sound server. Ended when dropped.
pub(crate) struct SoundServer {
    kind: Kind,
    processes: Vec<Child>,
    dir: tempfile::TempDir,
}

/// The programs that each needs, and the Debian packages that they are in.
const PULSEAUDIO: &[(&str, &str)] =
    &[("pulseaudio", "pulseaudio"), ("pactl", "pulseaudio-utils"), ("paplay", "pulseaudio-utils")];
const PIPEWIRE: &[(&str, &str)] = &[
    ("pipewire", "pipewire"),
    ("pipewire-pulse", "pipewire-pulse"),
    ("wireplumber", "wireplumber"),
    ("dbus-run-session", "dbus-daemon"),
    ("pactl", "pulseaudio-utils"),
    ("paplay", "pulseaudio-utils"),
];

impl SoundServer {
    /// Starts one; none, with the reason printed, where it is not installed.
    pub(crate) fn start(kind: Kind) -> Option<Self> {
        let programs = if kind == Kind::PulseAudio { PULSEAUDIO } else { PIPEWIRE };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let there = |program: &str| std::env::split_paths(&path).any(|folder| folder.join(program).exists());
        if let Some((program, package)) = programs.iter().find(|(program, _)| !there(program)) {
            eprintln!("SKIPPED: there is no {program} here: apt-get install {package}");
            return None;
        }
        let mut server = Self { kind, processes: Vec::new(), dir: tempfile::tempdir().unwrap() };
        server.run();
        Some(server)
    }

    /// Starts its processes and waits until it answers.
    pub(crate) fn run(&mut self) {
        match self.kind {
            Kind::PulseAudio => self.spawn(&[
                "pulseaudio",
                "-n",
                "--daemonize=no",
                "--exit-idle-time=-1",
                "--use-pid-file=no",
                "--realtime=no",
                "--high-priority=no",
                "-L",
                "module-native-protocol-unix",
                "-L",
                "module-always-sink",
            ]),
            Kind::PipeWire => {
                self.spawn(&["pipewire"]);
                self.until("pipewire's socket", |server| server.dir.path().join("pipewire-0").exists());
                self.spawn(&["dbus-run-session", "--", "wireplumber"]);
                self.spawn(&["pipewire-pulse"]);
            }
        }
        self.until("the sound server", |server| server.pactl(&["info"]).status.success());
    }

    fn spawn(&mut self, words: &[&str]) {
        let log = std::fs::File::create(self.dir.path().join(format!("log-{}", self.processes.len()))).unwrap();
        let mut command = self.command(words[0]);
        command.args(&words[1..]).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        // A group of its own: what it starts goes with it.
        self.processes.push(command.process_group(0).spawn().unwrap());
    }

    /// Ends its processes at once.
    pub(crate) fn kill(&mut self) {
        for mut process in self.processes.drain(..) {
            let group = format!("-{}", process.id());
            let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
            let _ = process.wait();
        }
        let _ = std::fs::remove_file(self.socket());
    }

    fn until(&self, what: &str, ready: impl Fn(&Self) -> bool) {
        let begin = Instant::now();
        while !ready(self) {
            assert!(begin.elapsed() < PATIENCE, "{what} does not come");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("pulse/native")
    }

    pub(crate) fn address(&self) -> String {
        format!("unix:{}", self.socket().display())
    }

    /// A command that finds this server and no other.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for name in ["PULSE_SERVER", "PULSE_RUNTIME_PATH", "PULSE_COOKIE", "DBUS_SESSION_BUS_ADDRESS", "DISPLAY"] {
            command.env_remove(name);
        }
        command.env("XDG_RUNTIME_DIR", self.dir.path()).env("HOME", self.dir.path());
        command
    }

    pub(crate) fn pactl(&self, args: &[&str]) -> Output {
        self.command("pactl").args(args).stdin(Stdio::null()).output().unwrap()
    }

    /// What `pactl list short` says.
    pub(crate) fn list(&self, what: &str) -> String {
        String::from_utf8(self.pactl(&["list", "short", what]).stdout).unwrap()
    }

    /// Adds a sink of 48 kHz, 16 bits and two channels, whose monitor misses nothing.
    pub(crate) fn add_sink(&self, name: &str) {
        let name = format!("sink_name={name}");
        let args =
            ["load-module", "module-null-sink", &name, "format=s16le", "rate=48000", "channels=2", "norewinds=1"];
        let output = self.pactl(&args);
        assert!(output.status.success(), "{output:?}");
    }
}

impl Drop for SoundServer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for entry in std::fs::read_dir(self.dir.path()).unwrap().flatten() {
                if entry.file_name().to_string_lossy().starts_with("log-") {
                    eprintln!("--- {} ---\n{}", entry.path().display(), std::fs::read_to_string(entry.path()).unwrap());
                }
            }
        }
        self.kill();
    }
}
