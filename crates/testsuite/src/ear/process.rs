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
/// kills a test: util-linux' setpriv, which becomes the program, arranges that. Without it there is no such net.
pub(super) fn command(program: &str) -> Command {
    static SETPRIV: LazyLock<bool> = LazyLock::new(|| {
        let mut probe = Command::new("setpriv");
        probe.args(["--pdeathsig", "KILL", "true"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    });
    let mut command = if *SETPRIV {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", program]);
        command
    } else {
        Command::new(program)
    };
    command.stdin(Stdio::null());
    command
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
