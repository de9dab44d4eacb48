//! Applications as they are installed, playing into and recording from a session that is their sound server.
//!
//! Each test runs the real program and judges the sound that the session heard, or that the program recorded. Where a program
//! is not installed the test says so and is skipped; `cargo xtask test` installs them where it may.

mod abuse;
mod devices;
mod page;
mod programs;
mod restless;
mod scripted;
mod tools;
mod verbs;

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use soundpost_testsuite::judge::{Exact, exact, noise};

use crate::daemon::{Daemon, read_wav};

/// Longest that a program may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A daemon whose first session writes what it hears to a file, and what programs are run with to find it.
struct Session {
    daemon: Daemon,
}

impl Session {
    fn start(more: &[&str]) -> Self {
        // Each daemon has a directory of its own; the file lies beside it since its path is needed before that.
        let mut args = vec!["--render", "heard.wav"];
        args.extend_from_slice(more);
        Self { daemon: Daemon::start(&args) }
    }

    /// A program that finds this session, and nothing of this machine's.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let socket = self.daemon.path("state/pulse/native");
        for name in ["XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "PULSE_SINK", "PULSE_SOURCE", "PULSE_COOKIE", "DISPLAY"] {
            command.env_remove(name);
        }
        command.env("PULSE_SERVER", format!("unix:{}", socket.display())).env("HOME", self.daemon.path("."));
        command.current_dir(self.daemon.path(".")).stdin(Stdio::null());
        command
    }

    /// Runs a program to its end; it must not fail.
    fn run(&self, program: &str, args: &[&str]) -> Output {
        let mut child = self.command(program).args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait(&mut child, program);
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{program} {args:?}: {told}");
        output
    }

    fn pactl(&self, args: &[&str]) -> String {
        String::from_utf8(self.run("pactl", args).stdout).unwrap()
    }

    /// Ends the daemon; what the session has heard.
    fn heard(mut self) -> Vec<i16> {
        self.daemon.signal("INT");
        assert_eq!(self.daemon.wait(Duration::from_secs(20)), Some(0), "{}", self.daemon.log());
        read_wav(&self.daemon.path("heard.wav"))
    }
}

/// Waits for a program to end; one that does not is killed, and the test fails.
fn wait(child: &mut Child, name: &str) {
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("{name} does not end");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether these programs are installed; says which is not.
fn installed(programs: &[&str]) -> bool {
    let on_path = |program: &&str| {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&paths).any(|dir| dir.join(program).is_file())
    };
    match programs.iter().find(|program| !on_path(program)) {
        Some(missing) => {
            eprintln!("SKIPPED: {missing} is not installed");
            false
        }
        None => true,
    }
}

/// A WAV file of 16 bits and two channels, written without the code under test.
fn write_wav(path: &Path, samples: &[i16], rate: u32) {
    let length = u32::try_from(samples.len() * 2).unwrap();
    let mut bytes = Vec::new();
    bytes.extend_from_slice(b"RIFF");
    bytes.extend_from_slice(&(36 + length).to_le_bytes());
    bytes.extend_from_slice(b"WAVEfmt ");
    bytes.extend_from_slice(&16_u32.to_le_bytes());
    bytes.extend_from_slice(&[1, 0, 2, 0]);
    bytes.extend_from_slice(&rate.to_le_bytes());
    bytes.extend_from_slice(&(rate * 4).to_le_bytes());
    bytes.extend_from_slice(&[4, 0, 16, 0]);
    bytes.extend_from_slice(b"data");
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    std::fs::write(path, bytes).unwrap();
}

/// A sine of 48 kHz in both channels.
fn tone(hertz: f64, seconds: f64) -> Vec<i16> {
    let sample = |k: usize| ((k as f64 * hertz / 48_000.0 * std::f64::consts::TAU).sin() * 12_000.0) as i16;
    (0..(seconds * 48_000.0) as usize).flat_map(|k| [sample(k); 2]).collect()
}

/// That every sample of `played` was heard, in order, once, and nothing else.
fn heard_exactly(played: &[i16], heard: &[i16], who: &str) -> Exact {
    let verdict = exact(played, heard).unwrap_or_else(|why| panic!("{who}: {why}"));
    eprintln!("{who}: {verdict:?}");
    assert!(verdict.breaks.is_empty(), "{who}: {verdict:?}");
    assert_eq!((verdict.unheard_before, verdict.unheard_after, verdict.foreign), (0, 0, 0), "{who}: {verdict:?}");
    verdict
}

/// How long the left channel has a sine of this frequency that makes up nine tenths of its power, in seconds, by the
/// Goertzel algorithm over stretches of 20 ms.
fn seconds_of_tone(samples: &[i16], rate: f64, hertz: f64) -> f64 {
    let window = (rate / 50.0) as usize;
    let left: Vec<f64> = samples.iter().step_by(2).map(|sample| f64::from(*sample)).collect();
    let good = left.chunks_exact(window).filter(|stretch| {
        let power: f64 = stretch.iter().map(|value| value * value).sum();
        let step = 2.0 * (std::f64::consts::TAU * hertz / rate).cos();
        let (mut one, mut two) = (0.0, 0.0);
        for value in *stretch {
            (one, two) = (value + step * one - two, one);
        }
        let found = (one * one + two * two - step * one * two) * 2.0 / window as f64;
        power > 100.0 * 100.0 * window as f64 && found > power * 0.9
    });
    good.count() as f64 / 50.0
}
