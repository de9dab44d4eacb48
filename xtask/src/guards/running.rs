//! The guards of running passes, each against an endpoint that misbehaves in a real engine.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::{Verdict, Violation};
use crate::calls::{self, Called};
use crate::{process, sanitize, trace};

/// A guard that judges passes on the virtual clock.
pub(super) struct Guard {
    /// The argument of the planted program.
    name: &'static str,
    /// What it says when it stops one.
    says: &'static str,
    /// Whether it stops a pass that does not come back.
    ends_loops: bool,
}

pub(super) const GUARDS: &[Guard] = &[
    Guard { name: "no-alloc", says: "memory allocation of", ends_loops: false },
    Guard { name: "rtsan", says: "RealtimeSanitizer", ends_loops: false },
    Guard { name: "watch", says: "a pass does not come back", ends_loops: true },
];

/// How long a pass without an end is left to run where no guard is expected to stop it.
const LOOPING: Duration = Duration::from_secs(2);
/// The longest that anything else takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a thread is traced: a hundred passes.
const TRACED: Duration = Duration::from_secs(1);

/// The planted program, without RealtimeSanitizer and with it.
pub(super) struct Programs {
    plain: PathBuf,
    rtsan: PathBuf,
    /// Built without optimisation.
    calls: PathBuf,
}

impl Programs {
    pub(super) fn build(root: &Path) -> Result<Self, String> {
        let keep = root.join("target/guards");
        Ok(Self {
            rtsan: build(root, &keep.join("plant-rtsan"), true)?,
            plain: build(root, &keep.join("plant"), false)?,
            calls: calls::build(root)?.join("plant"),
        })
    }

    /// Runs the violation in this guard alone.
    pub(super) fn run(&self, guard: &Guard, violation: &Violation) -> Verdict {
        let program = if guard.name == "rtsan" { &self.rtsan } else { &self.plain };
        let mut run = Run::start(program, violation, guard.name)?;
        run.wait_for("committing")?;
        let patience = if violation.ends || guard.ends_loops { PATIENCE } else { LOOPING };
        let Some(success) = run.end(patience)? else {
            return if violation.ends { Err(format!("{} does not end", run.shown)) } else { Ok(false) };
        };
        let said = run.errors();
        match (success && run.has_said("finished"), said.contains(guard.says)) {
            (true, false) => Ok(false),
            (false, true) => Ok(true),
            _ => Err(format!("{} ended in a way that shows nothing: {said}", run.shown)),
        }
    }

    /// Runs it, and looks at what its passes call.
    pub(super) fn calls(&self, violation: &Violation) -> Verdict {
        let called = Called::in_passes_of(&self.calls, &[violation.name, "watch"], violation.ends)?;
        Ok(!called.forbidden().is_empty())
    }

    /// Runs it on a real-time thread, and looks at the thread's system calls; none where tracing is not allowed here.
    pub(super) fn trace(&self, violation: &Violation) -> Result<Option<bool>, String> {
        let mut run = Run::start(&self.plain, violation, "thread")?;
        run.wait_for("committing")?;
        match trace::observe(run.child.id(), TRACED) {
            Ok(calls) => Ok(Some(calls.verdict().is_err())),
            Err(trace::Failure::NotAllowed(why)) => {
                println!("SKIPPED: the trace of system calls ({why})");
                Ok(None)
            }
            Err(trace::Failure::Broken(why)) => Err(why),
        }
    }
}

fn build(root: &Path, keep: &Path, rtsan: bool) -> Result<PathBuf, String> {
    let mut command = process::cargo(root);
    command.args(["build", "--locked", "--package", "soundpost-testsuite", "--example", "plant"]);
    if rtsan {
        sanitize::with_rtsan(root, &mut command)?;
    }
    process::run(&mut command)?;
    let built = root.join("target/debug/examples/plant");
    std::fs::copy(&built, keep).map_err(|error| format!("{}: {error}", built.display()))?;
    Ok(keep.to_owned())
}

/// A run of the planted program; killed when dropped.
struct Run {
    shown: String,
    child: Child,
    lines: Receiver<String>,
    errors: Receiver<String>,
}

impl Run {
    fn start(program: &Path, violation: &Violation, guard: &str) -> Result<Self, String> {
        let shown = format!("{} {} {guard}", program.display(), violation.name);
        let mut child = Command::new(program)
            .args([violation.name, guard])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{shown}: {error}"))?;
        let (line_in, lines) = channel();
        let (error_in, errors) = channel();
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        std::thread::spawn(move || {
            let lines = stdout.map(BufReader::new).into_iter().flat_map(BufRead::lines);
            lines.map_while(Result::ok).try_for_each(|line| line_in.send(line))
        });
        std::thread::spawn(move || {
            let mut text = Vec::new();
            if let Some(mut stderr) = stderr {
                let _ = stderr.read_to_end(&mut text);
            }
            error_in.send(String::from_utf8_lossy(&text).into_owned())
        });
        Ok(Self { shown, child, lines, errors })
    }

    fn wait_for(&mut self, word: &str) -> Result<(), String> {
        let end = Instant::now() + PATIENCE;
        while let Ok(line) = self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            if line == word {
                return Ok(());
            }
        }
        let said = self.errors();
        Err(format!("{} did not say {word:?}: {said}", self.shown))
    }

    fn has_said(&self, word: &str) -> bool {
        self.lines.recv_timeout(PATIENCE).is_ok_and(|line| line == word)
    }

    /// Whether it succeeded; none if it is still running after `patience`.
    fn end(&mut self, patience: Duration) -> Result<Option<bool>, String> {
        let end = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().map_err(|error| format!("{}: {error}", self.shown))? {
                return Ok(Some(status.success()));
            }
            if Instant::now() > end {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What it has written to its standard error, once it has ended.
    fn errors(&mut self) -> String {
        let _ = self.child.kill();
        self.errors.recv_timeout(PATIENCE).unwrap_or_default()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
