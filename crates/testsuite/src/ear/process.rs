//! Child processes that do not outlive us, each the head of a process group of its own.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use rustix::process::{Pid, kill_process_group};

use super::{EarError, wait_for};

/// How long a process may take to end when it is asked to, before it is killed.
const ENDING: Duration = Duration::from_secs(2);

/// What a process can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Asks it to end.
    Terminate,
    /// Ends it.
    Kill,
    /// Holds it where it is.
    Stop,
    /// Lets it run on.
    Continue,
}

impl From<Signal> for rustix::process::Signal {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Terminate => Self::TERM,
            Signal::Kill => Self::KILL,
            Signal::Stop => Self::STOP,
            Signal::Continue => Self::CONT,
        }
    }
}

/// A running program and its children; ended when dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
}

/// Where a program's standard output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// To [`Process::stdout`].
    Piped,
    /// To the log, as its standard error does.
    Logged,
}

/// A command for [`Process::start`].
///
/// The kernel kills the program when the thread that started it ends, so that nothing stays behind when a test runner
/// kills a test. And it runs at real-time priority where we may give that: on a listener's own machine it would not
/// compete with the server and the tests for a processor. Both are util-linux' work (setpriv, chrt), each of which
/// becomes the program; what is not installed or not permitted is left out.
pub(super) fn command(program: &str) -> Command {
    static WRAPPERS: LazyLock<Vec<&[&str]>> = LazyLock::new(|| {
        let wrappers: [&[&str]; 2] = [&["setpriv", "--pdeathsig", "KILL", "--"], &["chrt", "--rr", "1"]];
        wrappers.into_iter().filter(|wrapper| works(wrapper)).collect()
    });
    let mut words = WRAPPERS.iter().copied().flatten().copied().chain([program]);
    let mut command = Command::new(words.next().unwrap_or(program));
    command.args(words).stdin(Stdio::null());
    command
}

fn works(wrapper: &[&str]) -> bool {
    let [program, arguments @ ..] = wrapper else { return false };
    let mut probe = Command::new(program);
    probe.args(arguments).arg("true").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

impl Process {
    /// Starts it in a group of its own. Its standard error goes to `log`.
    pub(super) fn start(command: &mut Command, output: Output, log: &Path) -> Result<Self, EarError> {
        let file = File::create(log).map_err(|error| EarError::new(log.display(), error))?;
        let stdout = match output {
            Output::Piped => Stdio::piped(),
            Output::Logged => file.try_clone().map_err(|error| EarError::new(log.display(), error))?.into(),
        };
        let child = command.stdout(stdout).stderr(file).process_group(0).spawn();
        Ok(Self { child: child.map_err(|error| EarError::new(format!("{command:?}"), error))? })
    }

    pub(super) fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    pub(super) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub(super) fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        wait_for(limit, || self.child.try_wait().ok().flatten())
    }

    /// To it and its children; nothing happens where it has ended.
    pub(super) fn signal(&mut self, signal: Signal) {
        // A process that has been waited for may have lent its number to another one.
        if self.is_running()
            && let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
        {
            // It can end in between; then there is nobody to tell.
            let _ = kill_process_group(group, signal.into());
        }
    }

    /// Asks it to end, then makes it.
    pub(super) fn end(&mut self) {
        self.signal(Signal::Terminate);
        self.signal(Signal::Continue);
        if self.wait(ENDING).is_none() {
            self.signal(Signal::Kill);
            self.wait(ENDING);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}
