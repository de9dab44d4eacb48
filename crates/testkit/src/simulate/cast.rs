//! Conversions that round, each by its name.

use std::time::Duration;

/// Parts per million to parts per billion, rounded to the nearest; within ±10⁸ by what was checked before.
pub(super) fn ppb(ppm: f64) -> i32 {
    #[expect(clippy::as_conversions, clippy::cast_possible_truncation, reason = "held within what an i32 holds")]
    {
        (ppm * 1_000.0).round().clamp(-1e8, 1e8) as i32
    }
}

/// A count for a display: exact up to 2⁵³.
pub(super) fn float(count: u64) -> f64 {
    #[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "a count for a display or a share")]
    {
        count as f64
    }
}

/// Nanoseconds; what does not fit is as much as fits.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
