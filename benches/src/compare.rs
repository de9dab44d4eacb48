//! Two promises about cost, each beside plain code that does the same.

use crate::cases::Recipe;
use crate::{BenchError, Quantiles, Stopwatch, time_pair};

/// What a case costs beside plain code.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// What is compared, for a person.
    pub what: &'static str,
    /// The case.
    pub case: &'static str,
    /// The plain code.
    pub plain: &'static str,
    /// Nanoseconds of the case.
    pub ours: Quantiles,
    /// Nanoseconds of the plain code.
    pub theirs: Quantiles,
    /// Ratios of the two, turn by turn.
    pub ratio: Quantiles,
    /// The most that the ratio may be.
    pub limit: f64,
}

impl Comparison {
    /// Ratio of the fastest runs: what is left when nothing disturbs.
    #[must_use]
    pub fn ratio_of_fastest(&self) -> f64 {
        self.ours.min / self.theirs.min
    }

    /// Whether the median of the ratios is within the limit.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.ratio.median <= self.limit
    }
}

const PAIRS: [(&str, &str, &str, f64); 2] = [
    ("a pass over 64 stereo f32 streams beside a plain add of the same data", "pass-64", "plain-add-64", 2.0),
    (
        "a pass over 16 resampled streams (44.1 to 48 kHz) beside the resampling library alone",
        "pass-16-resampled",
        "library-resampler-16",
        1.3,
    ),
];

/// Measures both, `runs` turns each.
///
/// # Errors
/// [`BenchError`] where a case cannot be made.
pub fn run(runs: usize, clock: Stopwatch<'_>) -> Result<Vec<Comparison>, BenchError> {
    let make = |name| Recipe::find(name).ok_or(BenchError::Idle("a case that is compared")).and_then(|r| r.make());
    let mut done = Vec::new();
    for (what, case, plain, limit) in PAIRS {
        let [ours, theirs, ratio] = time_pair(make(case)?.as_mut(), make(plain)?.as_mut(), runs, clock);
        done.push(Comparison { what, case, plain, ours, theirs, ratio, limit });
    }
    Ok(done)
}
