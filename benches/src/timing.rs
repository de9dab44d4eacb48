//! Timing by a clock that is handed in.

use crate::cases::Case;

/// Nanoseconds.
pub type Nanos = f64;

/// Reads a clock: nanoseconds since any fixed moment.
pub type Stopwatch<'a> = &'a mut dyn FnMut() -> Nanos;

/// What many runs came to, in nanoseconds (or, of a ratio, without a unit).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantiles {
    /// The least.
    pub min: f64,
    /// A tenth of them is below.
    pub low: f64,
    /// The median.
    pub median: f64,
    /// A tenth of them is above.
    pub high: f64,
}

impl Quantiles {
    /// Of at least one value; of none, not-a-number.
    #[must_use]
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let last = values.len().saturating_sub(1);
        let at = |tenths: usize| values.get(last * tenths / 10).copied().unwrap_or(f64::NAN);
        Self { min: at(0), low: at(1), median: at(5), high: at(9) }
    }
}

/// Times `runs` runs of a case; what it gets ready is not timed.
pub fn time(case: &mut dyn Case, runs: usize, clock: Stopwatch<'_>) -> Quantiles {
    Quantiles::of((0..runs).map(|_| one(case, clock)).collect())
}

/// Times two cases in turns, so that whatever else the machine does falls on both. Returns each one's times, and the
/// ratios of first to second, turn by turn.
pub fn time_pair(first: &mut dyn Case, second: &mut dyn Case, runs: usize, clock: Stopwatch<'_>) -> [Quantiles; 3] {
    let (mut times, mut ratios) = ((Vec::new(), Vec::new()), Vec::new());
    for run in 0..runs {
        // Neither is always the one that finds the caches as the other has left them.
        let (a, b) = if run % 2 == 0 {
            let a = one(first, clock);
            (a, one(second, clock))
        } else {
            let b = one(second, clock);
            (one(first, clock), b)
        };
        times.0.push(a);
        times.1.push(b);
        ratios.push(a / b);
    }
    [Quantiles::of(times.0), Quantiles::of(times.1), Quantiles::of(ratios)]
}

fn one(case: &mut dyn Case, clock: Stopwatch<'_>) -> f64 {
    case.prepare();
    let start = clock();
    case.run();
    clock() - start
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes as many ticks as it is told, and as many again to get ready.
    struct Ticks<'a>(&'a std::cell::Cell<f64>, f64);

    impl Case for Ticks<'_> {
        fn prepare(&mut self) {
            self.0.set(self.0.get() + 1_000.0);
        }

        fn run(&mut self) {
            self.0.set(self.0.get() + self.1);
        }
    }

    #[test]
    fn what_is_got_ready_is_not_timed() {
        let now = std::cell::Cell::new(0.0);
        let mut clock = || now.get();
        let [a, b, ratio] = time_pair(&mut Ticks(&now, 30.0), &mut Ticks(&now, 20.0), 5, &mut clock);
        assert_eq!((a.min, a.median, b.median, ratio.median), (30.0, 30.0, 20.0, 1.5));
    }

    #[test]
    fn quantiles_are_values_that_were_there() {
        let quantiles = Quantiles::of((0..=100).rev().map(f64::from).collect());
        assert_eq!(quantiles, Quantiles { min: 0.0, low: 10.0, median: 50.0, high: 90.0 });
        assert!(Quantiles::of(Vec::new()).median.is_nan());
    }
}
