//! The conformance kit: an endpoint, or the engine, held against every requirement of the contract that it owes.
//!
//! [`CHECKS`] is the table of what is tried on an endpoint, [`ENGINE_CHECKS`] of what is tried on the engine; a row is
//! the requirement, the [`Level`] from which on it is tried, and what it looks at. An endpoint comes as a [`Subject`],
//! which makes as many fresh ones as checks want. [`verify`] runs all of it in this thread; whoever cannot trust the
//! endpoint to return, or not to take the process along, runs single checks with [`run_check`] in a process of their
//! own, as `soundpost verify` does.
//!
//! The kit reads no clock and measures nothing itself: [`Tools`] does. Chance comes from one seed, which the
//! [`Report`] names: the same seed makes the same calls.

mod bench;
pub mod endpoint;
pub mod engine;
pub mod flaws;
mod report;
mod rig;
mod subject;
mod tools;

pub use bench::Bench;
pub use endpoint::{CHECKS, EndpointCheck};
pub use engine::{ENGINE_CHECKS, EngineCheck};
pub use report::{BrokenLine, CheckResult, Line, Report, Verdict, endpoint_lines, engine_lines};
pub use subject::{Backstage, Made, Pace, StockBackstage, Subject, Unattended};
pub use tools::{NoTools, Tools, Usage};

use std::fmt;

use serde::{Deserialize, Serialize};
pub use soundpost_endpoint::{DataFlow, Requirement};

use crate::Random;

/// How strict a run is. Each level includes those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// What Microsoft's reference says.
    Reference,
    /// And what this project's contract has decided where the reference is silent or says it in two ways.
    #[default]
    Contract,
    /// And long runs of calls in random, legal order, drawn from the seed; contention between the two halves.
    Stress,
}

impl Level {
    /// All levels, from the mildest.
    pub const ALL: [Self; 3] = [Self::Reference, Self::Contract, Self::Stress];
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reference => "reference",
            Self::Contract => "contract",
            Self::Stress => "stress",
        })
    }
}

/// How a run is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// How strict.
    pub level: Level,
    /// Where chance comes from.
    pub seed: u64,
}

/// A requirement that was seen broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which.
    pub requirement: Requirement,
    /// What was seen.
    pub what: String,
}

impl Broken {
    /// `requirement` is broken, as `what` shows.
    pub fn new(requirement: Requirement, what: impl Into<String>) -> Self {
        Self { requirement, what: what.into() }
    }
}

/// What a check has seen where nothing was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It holds, as far as this check looks.
    Held(String),
    /// The endpoint does not offer what the requirement is about.
    NotOffered(String),
}

/// What a check comes to.
pub type Outcome = Result<Seen, Broken>;

pub(crate) fn held(what: impl Into<String>) -> Outcome {
    Ok(Seen::Held(what.into()))
}

/// A row of the table of checks.
pub struct Check<F> {
    /// What it is about. A check may find others broken on its way.
    pub requirement: Requirement,
    /// From which level on it is tried.
    pub level: Level,
    /// In which direction; `None` is both.
    pub flow: Option<DataFlow>,
    /// What it looks at, in a few words.
    pub what: &'static str,
    /// What tries it.
    pub(crate) run: F,
}

impl<F> Check<F> {
    /// Whether the check is tried on an endpoint of this direction at this level.
    #[must_use]
    pub fn applies(&self, flow: DataFlow, level: Level) -> bool {
        self.level <= level && self.flow.is_none_or(|only| only == flow)
    }
}

/// The checks of [`CHECKS`] that apply to `subject` at `level`, by their place in the table.
#[must_use]
pub fn plan(subject: &dyn Subject, level: Level) -> Vec<usize> {
    let flow = subject.flow();
    CHECKS.iter().enumerate().filter(|(_, check)| check.applies(flow, level)).map(|(index, _)| index).collect()
}

/// Runs one row of [`CHECKS`], in this thread. A place that is not in the table is held and has seen nothing.
#[must_use]
pub fn run_check(subject: &dyn Subject, index: usize, options: Options, tools: &dyn Tools) -> CheckResult {
    let Some(check) = CHECKS.get(index) else { return CheckResult::default() };
    let number = u64::try_from(index).unwrap_or(u64::MAX);
    let mut bench = Bench::new(subject, tools, options.level, Random::new(options.seed ^ number.rotate_left(32)));
    let outcome = (check.run)(&mut bench);
    CheckResult::new(index, check.requirement, outcome, bench.into_side())
}

/// Runs everything that applies to `subject`, in this thread: for an endpoint that can be trusted to return from every
/// call, such as in its author's own tests.
#[must_use]
pub fn verify(subject: &dyn Subject, options: Options, tools: &dyn Tools) -> Report {
    let results: Vec<_> =
        plan(subject, options.level).into_iter().map(|index| run_check(subject, index, options, tools)).collect();
    Report::of_endpoint(subject, options, &results)
}

/// Runs [`ENGINE_CHECKS`] in this thread.
#[must_use]
pub fn verify_engine(options: Options, tools: &dyn Tools) -> Report {
    let results: Vec<_> = ENGINE_CHECKS
        .iter()
        .enumerate()
        .filter(|(_, check)| check.level <= options.level)
        .map(|(index, check)| {
            let mut bench = engine::EngineBench::new(options, tools);
            let outcome = (check.run)(&mut bench);
            CheckResult::new(index, check.requirement, outcome, bench.into_side())
        })
        .collect();
    Report::of_engine(options, &results)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_holds_what_it_owes() {
        let report = verify_engine(Options::default(), &NoTools);
        assert!(report.held(), "{report}");
    }
}
