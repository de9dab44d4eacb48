//! Points in time, lengths of time, and where they come from.

use core::fmt;
use core::ops::{Add, AddAssign, Sub};
use core::time::Duration;

/// A signed length of time in units of 100 ns: the contract's HNSTIME.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hns(i64);

impl Hns {
    /// No time.
    pub const ZERO: Self = Self(0);
    /// Units in a second.
    pub const PER_SECOND: i64 = 10_000_000;

    /// `units` times 100 ns.
    #[must_use]
    pub const fn new(units: i64) -> Self {
        Self(units)
    }

    /// `millis` milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u32) -> Self {
        #[expect(clippy::as_conversions, reason = "From is not const yet; u32 fits into i64")]
        Self(millis as i64 * 10_000)
    }

    /// The number of 100 ns units.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// As an unsigned duration; none for a negative time.
    #[must_use]
    pub fn to_duration(self) -> Duration {
        Duration::from_nanos(self.0.max(0).unsigned_abs().saturating_mul(100))
    }

    /// The sum, held at the ends of the range.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// This time, `times` over, held at the ends of the range.
    #[must_use]
    pub fn saturating_mul(self, times: u32) -> Self {
        Self(self.0.saturating_mul(i64::from(times)))
    }
}

impl From<Duration> for Hns {
    /// Rounded down to 100 ns; `i64::MAX` units (29,000 years) where it is longer than that.
    fn from(duration: Duration) -> Self {
        Self(i64::try_from(duration.as_nanos() / 100).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Hns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, units) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        write!(f, "{sign}{}.{:04} ms", units / 10_000, units % 10_000)
    }
}

/// A point on a [`Clock`]: nanoseconds since that clock's origin. Never goes back.
///
/// Not `std::time::Instant`: that one cannot be made from a number, so no test could replay a run, and no log of a
/// virtual clock could be compared with another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The clock's origin.
    pub const ORIGIN: Self = Self(0);

    /// The point `nanos` nanoseconds after the origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time since the origin in 100 ns: what a position record carries (contract T2).
    #[must_use]
    pub fn as_hns(self) -> Hns {
        Hns::new(i64::try_from(self.0 / 100).unwrap_or(i64::MAX))
    }

    /// Time from `earlier` to here; none where `earlier` is later.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    /// The point `duration` earlier; the origin where that would lie before it.
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Where an endpoint takes the time from for its position records (contract T2: CLOCK_MONOTONIC off Windows).
///
/// The real one lives in the host crate, a virtual one in the test kit. `now` may be called from the real-time
/// thread: it must not block or allocate. The engine itself never reads a clock; its passes are handed the time.
pub trait Clock: Send + Sync {
    /// The present time. Never earlier than any time returned before.
    fn now(&self) -> Instant;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hns_shows_as_milliseconds() {
        extern crate std;
        use std::string::ToString;
        assert_eq!(Hns::new(25_000).to_string(), "2.5000 ms");
        assert_eq!(Hns::new(-1).to_string(), "-0.0001 ms");
    }

    #[test]
    fn time_holds_at_the_ends_of_its_range() {
        assert_eq!(Instant::ORIGIN - Duration::from_secs(1), Instant::ORIGIN);
        assert_eq!(Instant::from_nanos(u64::MAX) + Duration::MAX, Instant::from_nanos(u64::MAX));
        assert_eq!(Hns::from(Duration::MAX), Hns::new(i64::MAX));
        assert_eq!(Hns::new(-5).to_duration(), Duration::ZERO);
    }
}
