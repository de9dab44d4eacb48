//! A `soundpost serve` of its own for each test.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use soundpost_testsuite::client::{Client, Options};

pub(crate) const USER: &str = "tester";
pub(crate) const PASSWORD: &str = "open sesame";

/// One daemon at a time: two of them, with their clients, would disturb each other's real time. (With nextest, where
/// every test is a process, `.config/nextest.toml` sees to that.)
static ALONE: Mutex<()> = Mutex::new(());

/// A running daemon with a state directory of its own. Killed when dropped.
pub(crate) struct Daemon {
    _alone: MutexGuard<'static, ()>,
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) dir: tempfile::TempDir,
}

/// The command, with nothing of this machine's configuration in it.
pub(crate) fn soundpost() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_soundpost"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SOUNDPOST_") || name == "XDG_CONFIG_HOME" {
            command.env_remove(name);
        }
    }
    // Not where a sound server of this machine may be: the socket for applications lies in the state directory then.
    command.env_remove("XDG_RUNTIME_DIR").env_remove("PULSE_COOKIE");
    command.env("HOME", "/nonexistent");
    command
}

/// Runs the command to its end.
pub(crate) fn output(args: &[&str]) -> Output {
    soundpost().args(args).stdin(Stdio::null()).output().unwrap()
}

impl Daemon {
    /// Starts `serve` with these arguments on a free port and waits until it listens.
    pub(crate) fn start(args: &[&str]) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = tempfile::tempdir().unwrap();
        let password = dir.path().join("password");
        std::fs::write(&password, PASSWORD).unwrap();
        let mut command = soundpost();
        command.args(["serve", "--rdp", "127.0.0.1:0", "--user", USER, "--log", "debug"]);
        command.arg("--password-file").arg(&password).arg("--state-dir").arg(dir.path().join("state"));
        // Relative names of files are the daemon's own.
        command.args(args).current_dir(dir.path()).stdin(Stdio::null()).stdout(Stdio::piped());
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let mut child = command.stderr(log).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let listens =
            lines.by_ref().map_while(Result::ok).find_map(|line| Some(line.split_once("listens on ")?.1.to_owned()));
        let Some(address) = listens else {
            panic!("the daemon did not start: {}", std::fs::read_to_string(dir.path().join("log")).unwrap());
        };
        // The rest is read too, so that the daemon never writes into a closed pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { _alone: alone, child, address: address.parse().unwrap(), dir }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A client's options, to be changed.
    pub(crate) fn options(&self) -> Options {
        Options::new(self.address, USER, PASSWORD)
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.options()).unwrap_or_else(|error| panic!("{error}\n{}", self.log()))
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the end; the exit status.
    pub(crate) fn wait(&mut self, limit: Duration) -> Option<i32> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "the daemon does not end:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// A figure of /proc/PID/status in KiB: VmRSS, VmHWM.
    pub(crate) fn memory_kib(&self, figure: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(figure)?.strip_prefix(':')).unwrap();
        line.trim().trim_end_matches("kB").trim().parse().unwrap()
    }

    /// Lets VmHWM begin anew from the present size.
    pub(crate) fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").unwrap();
    }

    /// Processor time used so far, in clock ticks of 10 ms.
    pub(crate) fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the daemon's log ---\n{}", self.log());
        }
    }
}

/// Reads a WAV file without the code under test: RIFF or RF64, 16 bit.
pub(crate) fn read_wav(path: &Path) -> Vec<i16> {
    let mut bytes = Vec::new();
    std::fs::File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
    assert!(matches!(&bytes[..4], b"RIFF" | b"RF64"), "not a WAV file");
    let mut at = 12;
    loop {
        let length = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize;
        if &bytes[at..at + 4] == b"data" {
            let data = &bytes[at + 8..at + 8 + length];
            return data.chunks_exact(2).map(|sample| i16::from_le_bytes([sample[0], sample[1]])).collect();
        }
        at += 8 + length + length % 2;
    }
}
