//! What a run has come to: a line for every requirement.

use std::fmt;

use serde::{Deserialize, Serialize};
use soundpost_endpoint::{Obliged, Requirement};

use super::{Broken, CHECKS, Level, Options, Outcome, Pace, Seen, Subject};

/// What one check has come to. Plain data, so that it can come from another process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    /// The check's place in its table.
    pub check: usize,
    /// The number of the requirement that it is about.
    pub requirement: String,
    /// What was seen, where it holds.
    pub held: Option<String>,
    /// Why there is nothing to be held.
    pub not_offered: Option<String>,
    /// Why it was not tried.
    pub not_tried: Option<String>,
    /// What was seen broken: its own requirement, or others on the way.
    pub broken: Vec<BrokenLine>,
}

/// A breach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokenLine {
    /// The requirement's number.
    pub requirement: String,
    /// What was seen.
    pub what: String,
}

impl From<Broken> for BrokenLine {
    fn from(broken: Broken) -> Self {
        Self { requirement: broken.requirement.to_string(), what: broken.what }
    }
}

impl CheckResult {
    pub(super) fn new(check: usize, requirement: Requirement, outcome: Outcome, side: Vec<Broken>) -> Self {
        let mut result = Self { check, requirement: requirement.to_string(), ..Self::default() };
        match outcome {
            Ok(Seen::Held(what)) => result.held = Some(what),
            Ok(Seen::NotOffered(why)) => result.not_offered = Some(why),
            Err(broken) => result.broken.push(broken.into()),
        }
        result.broken.extend(side.into_iter().map(BrokenLine::from));
        result
    }

    /// A check that never came to an end.
    #[must_use]
    pub fn ended(check: usize, requirement: Requirement, what: impl Into<String>) -> Self {
        let number = CHECKS.get(check).map_or(requirement, |check| check.requirement);
        let broken = vec![BrokenLine { requirement: requirement.to_string(), what: what.into() }];
        Self { check, requirement: number.to_string(), broken, ..Self::default() }
    }
}

impl CheckResult {
    /// A check that was not tried.
    #[must_use]
    pub fn not_tried(check: usize, why: &str) -> Self {
        let requirement = CHECKS.get(check).map(|check| check.requirement.to_string()).unwrap_or_default();
        Self { check, requirement, not_tried: Some(why.to_owned()), ..Self::default() }
    }
}

/// How a requirement stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing was seen that breaks it.
    Held,
    /// It cannot be broken in Rust's types.
    ByType,
    /// It was seen broken.
    Broken,
    /// Somebody else owes it.
    NotOwed,
    /// It is about something that is not offered.
    NotOffered,
    /// Nothing was tried.
    NotChecked,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Held => "held",
            Self::ByType => "held by type",
            Self::Broken => "BROKEN",
            Self::NotOwed => "not owed",
            Self::NotOffered => "not offered",
            Self::NotChecked => "not checked",
        })
    }
}

/// A requirement, how it stands, and what was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The number.
    pub requirement: String,
    /// How it stands.
    pub verdict: Verdict,
    /// What was seen.
    pub seen: String,
}

/// What a run has come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The endpoint's name, or `engine`.
    pub subject: String,
    /// Its direction, or nothing for the engine.
    pub flow: Option<String>,
    /// `virtual`, `real` or `data`.
    pub clock: String,
    /// How strict it was.
    pub level: Level,
    /// The same seed makes the same run.
    pub seed: u64,
    /// How long it took by the real clock, in milliseconds; 0 where nobody has measured it.
    pub milliseconds: u64,
    /// A line for each requirement, in the contract's order.
    pub lines: Vec<Line>,
}

impl Report {
    /// Of an endpoint's results.
    #[must_use]
    pub fn of_endpoint(subject: &dyn Subject, options: Options, results: &[CheckResult]) -> Self {
        let clock = match subject.pace() {
            Pace::Given => "virtual",
            Pace::Own => "real",
            Pace::Data => "data",
        };
        Self {
            subject: subject.name(),
            flow: Some(subject.flow().to_string()),
            clock: clock.to_owned(),
            level: options.level,
            seed: options.seed,
            milliseconds: 0,
            lines: endpoint_lines(options.level, results),
        }
    }

    /// Of the engine's results.
    #[must_use]
    pub fn of_engine(options: Options, results: &[CheckResult]) -> Self {
        Self {
            subject: "engine".to_owned(),
            flow: None,
            clock: "virtual".to_owned(),
            level: options.level,
            seed: options.seed,
            milliseconds: 0,
            lines: engine_lines(results),
        }
    }

    /// Whether nothing was seen broken.
    #[must_use]
    pub fn held(&self) -> bool {
        self.lines.iter().all(|line| line.verdict != Verdict::Broken)
    }

    /// The numbers of what was seen broken, in the contract's order.
    #[must_use]
    pub fn broken(&self) -> Vec<&str> {
        let broken = self.lines.iter().filter(|line| line.verdict == Verdict::Broken);
        broken.map(|line| line.requirement.as_str()).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, clock, level, seed, milliseconds, .. } = self;
        let flow = self.flow.as_ref().map(|flow| format!(" ({flow})")).unwrap_or_default();
        let seconds = milliseconds / 1_000;
        let tenths = milliseconds % 1_000 / 100;
        writeln!(f, "{subject}{flow}: level {level}, seed {seed}, {clock} clock, {seconds}.{tenths} s")?;
        for Line { requirement, verdict, seen } in &self.lines {
            writeln!(f, "  {requirement:<4} {verdict:<12} {seen}")?;
        }
        let broken = self.broken();
        match broken.as_slice() {
            [] => writeln!(f, "  all requirements that it owes hold"),
            broken => writeln!(f, "  broken: {}", broken.join(", ")),
        }
    }
}

/// A line for each requirement as an endpoint owes it.
#[must_use]
pub fn endpoint_lines(level: Level, results: &[CheckResult]) -> Vec<Line> {
    lines(results, |requirement| match requirement {
        _ if requirement.obliged() == Obliged::Engine => (Verdict::NotOwed, "the engine owes it: verify --engine"),
        Requirement::R3 => (Verdict::ByType, "an Endpoint is made of all five interfaces (endpoint/src/lib.rs)"),
        Requirement::T14 => (Verdict::ByType, "records are arguments, which nobody can change (realtime.rs)"),
        _ if level < Level::Contract => (Verdict::NotChecked, "not at this level"),
        _ => (Verdict::NotChecked, "nothing of it concerns an endpoint of this direction"),
    })
}

/// A line for each requirement as the engine owes it.
#[must_use]
pub fn engine_lines(results: &[CheckResult]) -> Vec<Line> {
    lines(results, |requirement| match requirement {
        _ if requirement.obliged() == Obliged::Endpoint => (Verdict::NotOwed, "the endpoint owes it"),
        Requirement::T4 => (Verdict::ByType, "acquire is handed no record (endpoint/src/realtime.rs)"),
        Requirement::T14 => (Verdict::ByType, "records are arguments, not memory (endpoint/src/realtime.rs)"),
        Requirement::D5 => (Verdict::NotOwed, "exclusive mode goes past the engine: the host's and the endpoint's"),
        _ => (Verdict::NotChecked, "not at this level"),
    })
}

fn lines(results: &[CheckResult], otherwise: impl Fn(Requirement) -> (Verdict, &'static str)) -> Vec<Line> {
    let mut lines: Vec<Line> =
        Requirement::ALL.iter().map(|requirement| line(*requirement, results, &otherwise)).collect();
    lines.push(Line {
        requirement: "N".to_owned(),
        verdict: Verdict::NotOwed,
        seen: "N1 to N7 are the enumerator's".to_owned(),
    });
    lines
}

fn line(
    requirement: Requirement,
    results: &[CheckResult],
    otherwise: &impl Fn(Requirement) -> (Verdict, &'static str),
) -> Line {
    let number = requirement.number();
    let broken = results.iter().flat_map(|result| &result.broken).filter(|broken| broken.requirement == number);
    let mut broken: Vec<&str> = broken.map(|broken| broken.what.as_str()).collect();
    broken.dedup();
    let own = || results.iter().filter(|result| result.requirement == number);
    let held: Vec<&str> = own().filter_map(|result| result.held.as_deref()).collect();
    let missing: Vec<&str> = own().filter_map(|result| result.not_offered.as_deref()).collect();
    let (verdict, seen) = if let [first, others @ ..] = broken.as_slice() {
        let more = if others.is_empty() { String::new() } else { format!(" (and {} more)", others.len()) };
        (Verdict::Broken, format!("{first}{more}"))
    } else if !held.is_empty() {
        (Verdict::Held, held.join("; "))
    } else if !missing.is_empty() {
        (Verdict::NotOffered, missing.first().copied().unwrap_or_default().to_owned())
    } else if let Some(why) = own().find_map(|result| result.not_tried.clone()) {
        (Verdict::NotChecked, why)
    } else if own().next().is_some() {
        (Verdict::NotChecked, "the check was stopped by the breach of another requirement".to_owned())
    } else {
        let (verdict, why) = otherwise(requirement);
        (verdict, why.to_owned())
    };
    Line { requirement: number.to_owned(), verdict, seen }
}
