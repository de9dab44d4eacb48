//! A device's rate, calculated from its position records.

use soundpost_core::{FramePosition, Hns};
use soundpost_endpoint::{Position, PositionFlag};

/// Estimates frames per second over windows of 4 to 8 s (T2).
///
/// Two anchors half a window apart: the estimate is taken from the older, so that it never falls back to a window of
/// no length when it renews itself. A discontinuity starts anew.
#[derive(Clone, Copy, Debug, Default)]
pub struct RateEstimator {
    older: Option<Anchor>,
    newer: Option<Anchor>,
    rate: Option<f64>,
}

#[derive(Clone, Copy, Debug)]
struct Anchor {
    time: Hns,
    device: FramePosition,
}

/// Half a window.
const HALF: i64 = 4 * Hns::PER_SECOND;
/// Below this an estimate says nothing yet.
const SHORTEST: i64 = Hns::PER_SECOND;

impl RateEstimator {
    /// Takes a record into account. Records without a usable time, or that are invalid, are passed over.
    pub fn observe(&mut self, record: &Position) {
        let here = Anchor { time: record.time, device: record.device };
        match record.flag {
            PositionFlag::Invalid | PositionFlag::TimestampError => return,
            PositionFlag::Discontinuous => *self = Self { older: Some(here), newer: Some(here), rate: None },
            PositionFlag::Continuous => {}
        }
        let (Some(older), Some(newer)) = (self.older, self.newer) else {
            (self.older, self.newer) = (Some(here), Some(here));
            return;
        };
        let length = here.time.get().saturating_sub(older.time.get());
        if length < 0 || here.device < older.device {
            *self = Self { older: Some(here), newer: Some(here), rate: None };
            return;
        }
        if length >= SHORTEST {
            self.rate = Some(f64_of(here.device.saturating_since(older.device)) / seconds(length));
        }
        if here.time.get().saturating_sub(newer.time.get()) >= HALF {
            (self.older, self.newer) = (Some(newer), Some(here));
        }
    }

    /// Frames per second, once a second or more of records is there.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        self.rate
    }
}

#[expect(clippy::as_conversions, reason = "u64 to f64 rounds to nearest: counts of a few seconds are exact")]
fn f64_of(frames: u64) -> f64 {
    frames as f64
}

fn seconds(hns: i64) -> f64 {
    f64_of(hns.unsigned_abs()) / f64_of(Hns::PER_SECOND.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(millis: u32, frames: u64, flag: PositionFlag) -> Position {
        Position { device: FramePosition::new(frames), time: Hns::from_millis(millis), flag, ..Position::default() }
    }

    #[test]
    fn a_clock_that_is_off_is_measured() {
        let mut estimator = RateEstimator::default();
        for pass in 0..3_000_u64 {
            let frames = pass * 480 * 1_000_100 / 1_000_000; // 100 ppm fast
            estimator.observe(&record(pass as u32 * 10, frames, PositionFlag::Continuous));
            if pass < 100 {
                assert_eq!(estimator.rate(), None);
            }
        }
        let rate = estimator.rate().unwrap();
        assert!((rate - 48_004.8).abs() < 0.5, "{rate}");
    }

    #[test]
    fn a_discontinuity_starts_anew() {
        let mut estimator = RateEstimator::default();
        for pass in 0..200_u64 {
            estimator.observe(&record(pass as u32 * 10, pass * 480, PositionFlag::Continuous));
        }
        assert!(estimator.rate().is_some());
        estimator.observe(&record(2_000, 5, PositionFlag::Discontinuous));
        assert_eq!(estimator.rate(), None);
        estimator.observe(&record(2_010, 3, PositionFlag::Continuous));
        assert_eq!(estimator.rate(), None);
    }
}
