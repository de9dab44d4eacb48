//! The parent process: starts a child for each endpoint, collects what it tells, and goes on behind what crashed.

use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use soundpost_core::{Clock, Instant};
use soundpost_host::clock::MonotonicClock;
use soundpost_testkit::verify::{CHECKS, CheckResult, Options, Pace, Report, Requirement, Subject, plan};
use tempfile::NamedTempFile;

use crate::child::Told;
use crate::tools::{Noted, ProcessTools};
use crate::{VerifyArgs, VerifyError};

/// How long an endpoint with a clock of its own is verified at most.
const REAL_TIME: Duration = Duration::from_secs(60);
/// How long one on a virtual clock is: far more than it takes, so that a check that never ends does end.
const VIRTUAL_TIME: Duration = Duration::from_secs(600);
/// How long nothing may be heard from a child. It watches its calls itself.
const SILENCE: Duration = Duration::from_secs(120);
/// After so many children that died or did not return, the rest is not tried.
const MOST_DEATHS: usize = 2;

pub(crate) struct Parent {
    program: PathBuf,
    leading: Vec<String>,
    options: Options,
}

/// How a child came to its end.
enum End {
    All,
    /// In the check at this place of the plan.
    Died(usize, String, Option<Noted>),
    Late(usize),
}

impl Parent {
    pub(crate) fn new(args: &VerifyArgs, leading: &[&str]) -> Result<Self, VerifyError> {
        Ok(Self {
            program: std::env::current_exe().map_err(VerifyError::Child)?,
            leading: leading.iter().map(|&word| word.to_owned()).collect(),
            options: args.options(),
        })
    }

    /// Verifies all of them: those on a virtual clock as many at a time as there are processors, then those in real
    /// time, one after the other.
    pub(crate) fn verify_all(&self, subjects: &[&dyn Subject]) -> Result<Vec<Report>, VerifyError> {
        let own = |subject: &&dyn Subject| subject.pace() == Pace::Own;
        let (todo, done) = (Mutex::new(0..subjects.len()), Mutex::new(Vec::new()));
        let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    loop {
                        let next = todo.lock().unwrap_or_else(PoisonError::into_inner).next();
                        let Some((index, subject)) = next.and_then(|index| Some((index, subjects.get(index)?))) else {
                            break;
                        };
                        if !own(subject) {
                            let report = self.verify(*subject);
                            done.lock().unwrap_or_else(PoisonError::into_inner).push((index, report));
                        }
                    }
                });
            }
        });
        let mut reports = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        for (index, subject) in subjects.iter().enumerate().filter(|(_, subject)| own(subject)) {
            reports.push((index, self.verify(*subject)));
        }
        reports.sort_by_key(|(index, _)| *index);
        reports.into_iter().map(|(_, report)| report).collect()
    }

    fn verify(&self, subject: &dyn Subject) -> Result<Report, VerifyError> {
        let started = MonotonicClock.now();
        let plan = plan(subject, self.options.level);
        let patience = if subject.pace() == Pace::Own { REAL_TIME } else { VIRTUAL_TIME };
        let (mut results, mut from, mut deaths) = (Vec::new(), 0, 0);
        while from < plan.len() {
            let end = self.child(&subject.name(), from, started + patience, &mut results)?;
            let (place, why) = match end {
                End::All => break,
                End::Died(place, what, call) => {
                    deaths += 1;
                    let check = plan.get(place).copied().unwrap_or(0);
                    results.push(CheckResult::ended(check, blamed(check, call.as_ref()), what));
                    (place + 1, "not tried after the endpoint's process ended twice")
                }
                End::Late(place) => {
                    deaths = MOST_DEATHS;
                    (place, "not tried: the time was up")
                }
            };
            from = place;
            if deaths >= MOST_DEATHS {
                results.extend(plan.iter().skip(from).map(|check| CheckResult::not_tried(*check, why)));
                break;
            }
        }
        let mut report = Report::of_endpoint(subject, self.options, &results);
        let took = MonotonicClock.now().saturating_since(started);
        report.milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        Ok(report)
    }

    /// Runs one child, from the check at `from` on.
    fn child(
        &self,
        name: &str,
        from: usize,
        until: Instant,
        results: &mut Vec<CheckResult>,
    ) -> Result<End, VerifyError> {
        let mut progress = NamedTempFile::new().map_err(VerifyError::Child)?;
        let Options { level, seed } = self.options;
        let mut child = Command::new(&self.program)
            .args(&self.leading)
            .args(["--child", name, "--level", &level.to_string()])
            .args(["--seed", &seed.to_string(), "--from", &from.to_string(), "--progress"])
            .arg(progress.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(VerifyError::Child)?;
        let lines = reader(&mut child);
        let (mut place, mut stuck, mut ended, mut late) = (from, None, false, false);
        loop {
            let left = until.saturating_since(MonotonicClock.now());
            match lines.recv_timeout(left.min(SILENCE)) {
                Ok(Told::Begin(begun)) => place = begun,
                Ok(Told::Done(result)) => {
                    results.push(result);
                    place += 1;
                }
                Ok(Told::Stuck(noted)) => stuck = Some(noted),
                Ok(Told::End) => ended = true,
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    late = true;
                    // It may have ended meanwhile; then there is nothing to be killed.
                    let _ = child.kill();
                    break;
                }
            }
        }
        let status = child.wait().map_err(VerifyError::Child)?;
        if ended {
            return Ok(End::All);
        }
        if late {
            return Ok(End::Late(place));
        }
        if let Some(noted) = stuck {
            let what = format!("{} does not return", noted.call);
            return Ok(End::Died(place, what, Some(noted)));
        }
        let mut note = String::new();
        progress.seek(SeekFrom::Start(0)).map_err(VerifyError::Child)?;
        std::io::Read::read_to_string(&mut progress, &mut note).map_err(VerifyError::Child)?;
        let noted = ProcessTools::noted(&note);
        let call = noted.as_ref().map_or("the kit", |noted| noted.call.as_str());
        Ok(End::Died(place, format!("the process ended in {call}: {}", how(status)), noted))
    }
}

/// Which requirement is broken when a process ends in this call.
fn blamed(check: usize, call: Option<&Noted>) -> Requirement {
    match call {
        Some(noted) if noted.real_time => Requirement::X2,
        Some(_) => Requirement::C2,
        None => CHECKS.get(check).map_or(Requirement::X2, |check| check.requirement),
    }
}

fn how(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("signal {signal}"),
        (None, Some(code)) => format!("exit status {code}"),
        (None, None) => "nobody knows how".to_owned(),
    }
}

/// The child's lines, as they come.
fn reader(child: &mut Child) -> Receiver<Told> {
    let (sender, receiver) = channel();
    if let Some(output) = child.stdout.take() {
        std::thread::spawn(move || {
            // What the endpoint itself prints is no line of ours.
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Ok(told) = serde_json::from_str(&line)
                    && sender.send(told).is_err()
                {
                    break;
                }
            }
        });
    }
    receiver
}
