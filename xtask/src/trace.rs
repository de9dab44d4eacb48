//! `cargo xtask trace`: the system calls of the daemon's real-time threads while it plays.
//!
//! The daemon plays a file to a scripted listener and into a WAV file. Once sound flows, strace looks at the threads named
//! `soundpost-rt…` and at no others. They may wait (ppoll, and reading the eventfd that ended the wait) and wake others
//! (writing to an eventfd). Anything else is an error; so is a thread that never waits.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::packages::{self, Package};
use crate::process;

const STRACE: &[Package] = &[Package { name: "strace", program: "strace" }];

/// How real-time threads are named.
const THREADS: &str = "soundpost-rt";

/// What a trace has shown.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Calls {
    /// How often each kind of call was made.
    counts: BTreeMap<String, u64>,
    /// The first call of each kind that is neither a wait nor a wake.
    forbidden: BTreeMap<String, String>,
}

/// Why there is no trace.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Not possible on this machine.
    NotAllowed(String),
    /// Not as it should be.
    Broken(String),
}

impl Calls {
    /// Reads what `strace -y` has written.
    fn parse(text: &str) -> Self {
        let mut calls = Self::default();
        for line in text.lines() {
            // With several threads each line begins with the thread.
            let line = line.trim_start_matches(|sign: char| sign.is_ascii_digit()).trim_start();
            // The second half of a call that was noted already, a signal, or the end of a thread.
            if line.starts_with('<') || line.starts_with("---") || line.starts_with("+++") {
                continue;
            }
            let Some((name, arguments)) = line.split_once('(') else { continue };
            let on_event = arguments.split([',', ')']).next().is_some_and(|first| first.contains("[eventfd]"));
            let kind = match name {
                // How a wait goes on that a signal (strace's, too) has cut short.
                "ppoll" | "restart_syscall" => "wait: ppoll",
                "read" if on_event => "wait: read of the eventfd that ended it",
                "write" if on_event => "wake: write to an eventfd",
                other => {
                    calls.forbidden.entry(other.to_owned()).or_insert_with(|| line.to_owned());
                    other
                }
            };
            *calls.counts.entry(kind.to_owned()).or_default() += 1;
        }
        calls
    }

    /// Whether only waits and wakes were seen, and waits at all.
    pub(crate) fn verdict(&self) -> Result<(), String> {
        if let Some(line) = self.forbidden.values().next() {
            return Err(format!(
                "a real-time thread makes a call that is neither its wait nor its wake: {line}\n{self}"
            ));
        }
        if !self.counts.keys().any(|kind| kind.starts_with("wait: ppoll")) {
            return Err(format!("a real-time thread was not seen waiting: its pass does not come back\n{self}"));
        }
        Ok(())
    }
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, count) in &self.counts {
            writeln!(f, "{count:>8}  {kind}")?;
        }
        Ok(())
    }
}

/// Looks at the real-time threads of a process for a time.
pub(crate) fn observe(process: u32, time: Duration) -> Result<Calls, Failure> {
    packages::ensure(STRACE).map_err(Failure::NotAllowed)?;
    let threads = threads(process).map_err(|error| Failure::Broken(format!("/proc/{process}/task: {error}")))?;
    if threads.is_empty() {
        return Err(Failure::Broken(format!("process {process} has no thread named {THREADS}…")));
    }
    let file = std::env::temp_dir().join(format!("soundpost-trace-{process}"));
    let mut command = Command::new("timeout");
    command.args(["--signal=INT", &format!("{}", time.as_secs_f64()), "strace", "-qq", "-y", "-o"]).arg(&file);
    for thread in threads {
        command.args(["-p", &thread]);
    }
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| Failure::Broken(format!("`{}`: {error}", process::shown(&command))))?;
    let text = fs::read_to_string(&file).unwrap_or_default();
    let _ = fs::remove_file(&file);
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("not permitted") || said.contains("not implemented") {
        return Err(Failure::NotAllowed(said.trim().to_owned()));
    }
    // 124: timeout has ended it.
    if output.status.code() != Some(124) {
        return Err(Failure::Broken(format!("strace ended by itself ({}): {said}", output.status)));
    }
    Ok(Calls::parse(&text))
}

/// The ids of a process's real-time threads.
fn threads(process: u32) -> std::io::Result<Vec<String>> {
    let mut found = Vec::new();
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        let task = task?;
        let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        if name.starts_with(THREADS) {
            found.push(task.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(found)
}

/// Runs the daemon and a listener, and shows what was seen.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<(), String> {
    let time = match arguments {
        [] => Duration::from_secs(10),
        ["--seconds", seconds] => {
            let seconds =
                seconds.parse().map_err(|_| format!("--seconds {seconds}: give a whole number of seconds"))?;
            Duration::from_secs(seconds)
        }
        _ => return Err("use cargo xtask trace [--seconds N]".to_owned()),
    };
    process::run(process::cargo(root).args(["build", "--locked", "--bin", "soundpost"]))?;
    let listener = ["build", "--locked", "--package", "soundpost-testsuite", "--example", "listen"];
    process::run(process::cargo(root).args(listener))?;
    let folder = root.join("target/trace");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let daemon = Daemon::start(root, &folder)?;
    let listener = Listener::start(root, &daemon.address)?;
    // Both have begun; let a second of sound go by.
    std::thread::sleep(Duration::from_secs(1));
    let seen = observe(daemon.child.0.id(), time);
    drop(listener);
    match seen {
        Ok(calls) => {
            calls.verdict()?;
            println!("system calls of the real-time threads in {} s of play:\n{calls}", time.as_secs());
            Ok(())
        }
        Err(Failure::NotAllowed(why)) => {
            println!("SKIPPED: the trace of system calls ({why})");
            Ok(())
        }
        Err(Failure::Broken(why)) => Err(why),
    }
}

/// A child that is killed when dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Daemon {
    child: Killed,
    address: String,
}

const USER: &str = "tracer";
const PASSWORD: &str = "open sesame";

impl Daemon {
    fn start(root: &Path, folder: &Path) -> Result<Self, String> {
        let password = folder.join("password");
        fs::write(&password, PASSWORD).map_err(|error| format!("{}: {error}", password.display()))?;
        let mut command = Command::new(root.join("target/debug/soundpost"));
        command.args(["serve", "--rdp", "127.0.0.1:0", "--user", USER, "--password-file"]).arg(&password);
        command.arg("--play").arg(root.join("testdata/welcome.flac"));
        command.arg("--render").arg(folder.join("played.wav"));
        command.arg("--state-dir").arg(folder.join("state"));
        command.env("HOME", folder).stderr(log(&folder.join("log"))?);
        let (child, address) = started(&mut command, |line| Some(line.split_once("listens on ")?.1.to_owned()))?;
        Ok(Self { child, address })
    }
}

/// A client that hears the daemon.
struct Listener {
    _child: Killed,
}

impl Listener {
    fn start(root: &Path, address: &str) -> Result<Self, String> {
        let mut command = Command::new(root.join("target/debug/examples/listen"));
        command.args([address, USER, PASSWORD]).stdin(Stdio::piped());
        let (child, ()) = started(&mut command, |line| (line == "listening").then_some(()))?;
        Ok(Self { _child: child })
    }
}

fn log(path: &PathBuf) -> Result<fs::File, String> {
    fs::File::create(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Starts it, and waits for the line that `find` finds something in. What else it writes is thrown away.
fn started<T>(command: &mut Command, find: impl Fn(&str) -> Option<T>) -> Result<(Killed, T), String> {
    let shown = process::shown(command);
    let child = command.stdout(Stdio::piped()).spawn().map_err(|error| format!("`{shown}`: {error}"))?;
    let mut child = Killed(child);
    let Some(stdout) = child.0.stdout.take() else { return Err(format!("`{shown}` has no output")) };
    let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
    let found = lines.by_ref().find_map(|line| find(&line));
    std::thread::spawn(move || lines.for_each(drop));
    match found {
        Some(found) => Ok((child, found)),
        None => Err(format!("`{shown}` ended before it had begun; what it said is above, or in target/trace/log")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: &str = "ppoll([{fd=3<anon_inode:[eventfd]>, events=POLLIN}], 1, {tv_sec=0, tv_nsec=1}, NULL, 8) = 0\n\
         41 read(3<anon_inode:[eventfd]>, \"\\1\\0\", 8) = 8\n\
         41 <... ppoll resumed>) = 1\n\
         42 write(9<anon_inode:[eventfd]>, \"\\1\\0\", 8) = 8\n--- SIGINT {} ---\n";

    #[test]
    fn waits_and_wakes_are_counted_and_allowed() {
        let calls = Calls::parse(QUIET);
        assert_eq!(calls.counts.values().collect::<Vec<_>>(), [&1, &1, &1]);
        assert_eq!(calls.verdict(), Ok(()));
    }

    #[test]
    fn anything_else_is_an_error_and_so_is_a_thread_that_never_waits() {
        for line in ["futex(0x7f, FUTEX_WAIT, 2, NULL) = 0", "read(4</etc/passwd>, \"\", 8) = 8", "41 brk(NULL) = 0"] {
            let error = Calls::parse(&format!("{QUIET}{line}\n")).verdict().unwrap_err();
            assert!(error.contains("neither its wait nor its wake"), "{error}");
        }
        assert!(Calls::parse("").verdict().unwrap_err().contains("not seen waiting"));
    }
}
