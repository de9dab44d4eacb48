//! The parent process: starts a child for each endpoint, collects what it tells, and goes on behind what crashed.

use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
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
            // One that goes on telling is late as well.
            let told =
                if left.is_zero() { Err(RecvTimeoutError::Timeout) } else { lines.recv_timeout(left.min(SILENCE)) };
            match told {
                Ok(Told::Begin(begun)) => place = begun,
                // More than there are checks: it is not the kit that tells this.
                Ok(Told::Done(_)) if results.len() >= CHECKS.len() => {
                    let _ = child.kill();
                    break;
                }
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

/// The longest line that may be one of ours; what is behind that in a line is passed over.
const LONGEST_LINE: usize = 1 << 20;
/// How many lines wait for whoever reads them; then the child waits.
const WAITING: usize = 64;

/// The child's lines, as they come. What the endpoint itself prints is no line of ours.
fn reader(child: &mut Child) -> Receiver<Told> {
    let (sender, receiver) = sync_channel(WAITING);
    if let Some(output) = child.stdout.take() {
        let mut lines = Lines { output: BufReader::new(output), line: Vec::new() };
        std::thread::spawn(move || {
            while let Some(told) = lines.next_told() {
                if sender.send(told).is_err() {
                    break;
                }
            }
        });
    }
    receiver
}

/// Output by lines. However much is printed, no more than one line of ours is held.
struct Lines<R> {
    output: R,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// The next line that is one of ours; none where the output has ended.
    fn next_told(&mut self) -> Option<Told> {
        loop {
            let (used, ends) = match self.output.fill_buf() {
                Ok([]) => return None,
                Ok(bytes) => {
                    let end = bytes.iter().position(|byte| *byte == b'\n');
                    let part = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
                    // One byte more than the longest: so it is seen that it is longer.
                    let room = (LONGEST_LINE + 1).saturating_sub(self.line.len());
                    self.line.extend_from_slice(part.get(..part.len().min(room)).unwrap_or_default());
                    (part.len() + usize::from(end.is_some()), end.is_some())
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return None,
            };
            self.output.consume(used);
            if ends {
                let told = Some(&self.line).filter(|line| line.len() <= LONGEST_LINE);
                let told = told.and_then(|line| serde_json::from_slice(line).ok());
                self.line.clear();
                if told.is_some() {
                    return told;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use soundpost_testkit::verify::Level;

    use super::*;

    #[test]
    fn a_line_without_an_end_is_not_kept_and_the_next_one_is_read() {
        let endless = io::repeat(b'x').take(16 << 20);
        let output = endless.chain(&b"\n{\"begin\":7}\nnoise\n\"end\"\n"[..]);
        let mut lines = Lines { output: BufReader::new(output), line: Vec::new() };
        assert!(matches!(lines.next_told(), Some(Told::Begin(7))));
        assert!(lines.line.capacity() <= 2 * LONGEST_LINE, "{} bytes are held", lines.line.capacity());
        assert!(matches!(lines.next_told(), Some(Told::End)));
        assert!(lines.next_told().is_none());
    }

    #[test]
    fn a_child_that_tells_more_than_there_is_or_goes_on_for_ever_is_ended() {
        let parent = |script: &str| Parent {
            program: "/bin/sh".into(),
            leading: vec!["-c".into(), script.into()],
            options: Options { level: Level::Reference, seed: 0 },
        };
        let soon = || MonotonicClock.now() + Duration::from_secs(60);
        let mut results = Vec::new();
        let forged = serde_json::to_string(&Told::Done(CheckResult::not_tried(0, "forged"))).unwrap();
        let flood = parent(&format!("while :; do echo '{forged}'; done"));
        let end = flood.child("x", 0, soon(), &mut results).unwrap();
        assert!(matches!(end, End::Died(..)) && results.len() <= CHECKS.len(), "{} results", results.len());
        let chatter = parent("while :; do echo '{\"begin\":0}'; done");
        let end = chatter.child("x", 0, MonotonicClock.now() + Duration::from_millis(200), &mut Vec::new()).unwrap();
        assert!(matches!(end, End::Late(0)));
    }
}
