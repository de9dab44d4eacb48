//! How far a playback stream is from the ear, as its client is told.
//!
//! A client takes from one reply how many bytes have been read and how long the next one takes to the ear, and works out
//! what is heard just now: the read index less that latency. Video players keep their pictures to it. So what is told
//! follows the truth smoothly: where the way to the ear gets longer or shorter, what the client works out runs slower or
//! faster for a while, by half at most, and never goes back.

use soundpost_core::Instant;

/// A difference falls to 1/e in a quarter of a second: a listener's buffer is known only once it plays, and players
/// that keep pictures to the sound should have it right soon.
const FOLLOW_MICROS: i128 = 250_000;
/// Millionths.
const WHOLE: i128 = 1_000_000;
/// How far from its own pace, in millionths, what a client works out may run.
const MOST: i128 = WHOLE / 2;

/// What was told, and how it goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Timing {
    course: Course,
    /// What was read last is not heard any more.
    flushed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Course {
    /// Nothing was ever read.
    #[default]
    Fresh,
    /// Something was read at `at`; `micros` is the latency right after it, and `pace` by how many millionths of the time
    /// that passes it falls.
    Runs { at: Instant, micros: u64, pace: i128 },
    /// Nothing is read for now, and the latency stays.
    Stands { micros: u64 },
}

impl Timing {
    /// The latency in microseconds at `now`; none where nothing was ever read.
    pub(crate) fn told(self, now: Instant) -> Option<u64> {
        match self.course {
            Course::Fresh => None,
            Course::Stands { micros } => Some(micros),
            Course::Runs { at, micros, pace } => {
                let passed = i128::from(crate::stream::micros(now.saturating_since(at)));
                let left = i128::from(micros) - passed.saturating_mul(pace) / WHOLE;
                Some(u64::try_from(left.max(0)).unwrap_or(u64::MAX))
            }
        }
    }

    /// At `now`, sound that lasts `lasts` microseconds is read, and its first byte is heard in `heard_in`.
    pub(crate) fn read(&mut self, now: Instant, heard_in: u64, lasts: u64) {
        let mut told = self.told(now).unwrap_or(heard_in);
        if std::mem::take(&mut self.flushed) {
            told = told.min(heard_in);
        }
        let off = i128::from(heard_in) - i128::from(told);
        // What is made good over the time that the sound lasts.
        let pace = WHOLE - (off * WHOLE / FOLLOW_MICROS).clamp(-MOST, MOST);
        self.course = Course::Runs { at: now, micros: told.saturating_add(lasts), pace };
    }

    /// What was read and is not heard yet is thrown away: what the client works out may go forward by that at once.
    pub(crate) fn flush(&mut self) {
        self.flushed = true;
    }

    /// Nothing more is read for now.
    pub(crate) fn stop(&mut self, now: Instant) {
        if let Some(micros) = self.told(now) {
            self.course = Course::Stands { micros };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    /// Reads 5 ms every 5 ms for `times` times.
    fn run(timing: &mut Timing, now: &mut Instant, heard_in: u64, times: u32) -> u64 {
        for _ in 0..times {
            timing.read(*now, heard_in, 5000);
            *now += Duration::from_millis(5);
        }
        timing.told(*now).expect("it has been read")
    }

    #[test]
    fn it_follows_the_way_to_the_ear() {
        let (mut timing, mut now) = (Timing::default(), Instant::from_nanos(1_000_000_000));
        assert_eq!(timing.told(now), None);
        assert_eq!(run(&mut timing, &mut now, 60_000, 1), 60_000, "the first is told as it is");
        assert_eq!(run(&mut timing, &mut now, 60_000, 100), 60_000);
        // 140 ms more: some milliseconds of the difference are left after a second, nothing after two.
        let after = run(&mut timing, &mut now, 200_000, 20);
        assert!((105_000..112_000).contains(&after), "{after}");
        let after = run(&mut timing, &mut now, 200_000, 180);
        assert!((193_000..199_000).contains(&after), "{after}");
        let after = run(&mut timing, &mut now, 200_000, 200);
        assert!((199_000..=200_000).contains(&after), "{after}");
        timing.stop(now);
        assert_eq!(timing.told(now + Duration::from_secs(3600)), Some(after));
    }

    #[test]
    fn what_is_flushed_adds_nothing() {
        let (mut timing, mut now) = (Timing::default(), Instant::from_nanos(1_000_000_000));
        for _ in 0..100 {
            // A player reads 50 ms at once, and seeks after 20.
            timing.read(now, 60_000, 50_000);
            now += Duration::from_millis(20);
            timing.flush();
        }
        timing.read(now, 60_000, 0);
        assert_eq!(timing.told(now), Some(60_000));
        // Once it is heard again longer ways are followed as ever.
        timing.read(now, 160_000, 0);
        assert_eq!(timing.told(now), Some(60_000));
    }

    proptest! {
        #[test]
        fn what_a_client_works_out_never_goes_back(
            steps in prop::collection::vec((0u64..5_000_000, 0u64..40_000, 0u64..40_000, 0u8..12), 1..200)
        ) {
            let (mut timing, mut now) = (Timing::default(), Instant::from_nanos(7));
            let (mut read, mut heard) = (0u64, 0u64);
            for (heard_in, lasts, passes, stop) in steps {
                if stop >= 10 {
                    timing.flush();
                } else if stop == 0 {
                    timing.stop(now);
                } else {
                    timing.read(now, heard_in, lasts);
                    read += lasts;
                }
                for part in 0..4 {
                    let at = now + Duration::from_micros(passes * part / 3);
                    // Before the first byte is heard, a client works out 0.
                    let works_out = read.saturating_sub(timing.told(at).unwrap_or(0));
                    prop_assert!(works_out >= heard, "{works_out} after {heard}");
                    heard = works_out;
                }
                now += Duration::from_micros(passes);
            }
        }
    }
}
