//! When a stream is heard, as one steady line instead of one measurement for each pass.

use std::time::Duration;

use soundpost_core::Instant;

/// Follows when the frames of one stream are heard.
///
/// In steady play frame `n` is heard at a constant plus `n` times the length of a frame. Each measurement gives that
/// constant with an error of how late the thread woke up; this is their slow average. Where the way has become longer or
/// shorter (a listener came, or has said for the first time what it holds), the line moves there by half of the time that goes
/// by at most: what a player reads as its position never goes back and never stands still.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// The constant in nanoseconds on the clock, and when it was last moved.
    line: Option<(f64, Instant)>,
}

/// By how much of the time that goes by the line may move.
const SLEW: f64 = 0.5;
/// Share of a measurement in the average.
const SHARE: f64 = 0.1;

impl Heard {
    /// A gap: the next measurement begins a new line.
    pub(super) fn begin(&mut self) {
        self.line = None;
    }

    /// In how long the next frame to be written is heard, by measurement `measured`, where `played` lies before it.
    pub(super) fn measure(&mut self, now: Instant, measured: Duration, played: Duration) -> Duration {
        let at = |time: Duration| time.as_secs_f64() * 1e9;
        let present = f64_of(now.as_nanos());
        let seen = present + at(measured) - at(played);
        let line = match self.line {
            None => seen,
            Some((line, then)) => {
                let most = at(now.saturating_since(then)) * SLEW;
                line + ((seen - line) * SHARE).clamp(-most, most)
            }
        };
        self.line = Some((line, now));
        let heard_in = (line + at(played) - present).max(0.0);
        Duration::try_from_secs_f64(heard_in / 1e9).unwrap_or(measured)
    }
}

#[expect(
    clippy::as_conversions,
    reason = "u64 to f64 is exact below 2^53 ns, 104 days; after that within a microsecond"
)]
const fn f64_of(nanos: u64) -> f64 {
    nanos as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn late_looks_are_smoothed_and_longer_ways_followed_without_a_step_back() {
        let mut heard = Heard::default();
        let start = Instant::from_nanos(1_000_000_000);
        let mut last_position = -1.0;
        for pass in 0..2000_u32 {
            let played = MS * 10 * pass;
            // Every third look is 2 ms late, and so finds the way 2 ms shorter; after 5 s a listener adds 60 ms.
            let late = if pass % 3 == 0 { MS * 2 } else { Duration::ZERO };
            let way = if pass < 500 { MS * 30 } else { MS * 90 };
            let now = start + played + late;
            let told = heard.measure(now, way - late, played).as_secs_f64() * 1e3;
            let true_now = (way - late).as_secs_f64() * 1e3;
            if (100..500).contains(&pass) || pass > 900 {
                assert!((told - true_now).abs() < 1.5, "pass {pass}: told {told}, is {true_now}");
            }
            let position = (played.as_secs_f64() * 1e3) - told;
            assert!(position > last_position || pass == 0, "pass {pass}: {position} after {last_position}");
            last_position = position;
        }
    }
}
