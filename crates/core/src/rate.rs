//! Sample rates, and the conversions between frames and time that need one.

use core::fmt;
use core::num::NonZeroU32;
use core::time::Duration;

use crate::{FrameCount, Hns};

/// Frames per second, 8,000 to 192,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SampleRate(NonZeroU32);

/// A rate outside of what the engine carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsupportedRate(
    /// The rate that was asked for, in hertz.
    pub u32,
);

impl SampleRate {
    /// The lowest rate carried: narrow-band telephony.
    pub const MIN: Self = Self::known(8_000);
    /// Compact disc.
    pub const HZ_44100: Self = Self::known(44_100);
    /// The usual rate of sound hardware, and the engine's default.
    pub const HZ_48000: Self = Self::known(48_000);
    /// The highest rate carried.
    pub const MAX: Self = Self::known(192_000);

    const fn known(hertz: u32) -> Self {
        match NonZeroU32::new(hertz) {
            Some(rate) => Self(rate),
            None => Self(NonZeroU32::MIN),
        }
    }

    /// `hertz` frames per second.
    ///
    /// # Errors
    /// [`UnsupportedRate`] outside of 8,000 to 192,000 Hz.
    pub const fn new(hertz: u32) -> Result<Self, UnsupportedRate> {
        if hertz < Self::MIN.get() || hertz > Self::MAX.get() {
            return Err(UnsupportedRate(hertz));
        }
        Ok(Self::known(hertz))
    }

    /// The rate in hertz.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// How long `frames` frames last, rounded down to 100 ns.
    #[must_use]
    pub fn hns_of(self, frames: u64) -> Hns {
        let second = Hns::PER_SECOND.unsigned_abs();
        // Each pass asks for each stream: a division of 64 bits, where that is enough, is several times as fast.
        let hns = match frames.checked_mul(second) {
            Some(scaled) => u128::from(scaled / u64::from(self.get())),
            None => u128::from(frames) * u128::from(second) / u128::from(self.get()),
        };
        Hns::new(i64::try_from(hns).unwrap_or(i64::MAX))
    }

    /// How long `frames` frames last, rounded down to a nanosecond.
    #[must_use]
    pub fn duration_of(self, frames: u64) -> Duration {
        let nanos = u128::from(frames) * 1_000_000_000 / u128::from(self.get());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Whole frames that begin and end within `time`: rounded down; 0 for a negative time.
    #[must_use]
    pub fn frames_in(self, time: Hns) -> u64 {
        let hns = u128::from(time.get().max(0).unsigned_abs());
        let frames = hns * u128::from(self.get()) / u128::from(Hns::PER_SECOND.unsigned_abs());
        u64::try_from(frames).unwrap_or(u64::MAX)
    }

    /// The number of frames nearest to `time` (half a frame rounds up); 0 for a negative time.
    #[must_use]
    pub fn frames_nearest(self, time: Hns) -> u64 {
        let (hns, second) = (u128::from(time.get().max(0).unsigned_abs()), u128::from(Hns::PER_SECOND.unsigned_abs()));
        let frames = (hns * u128::from(self.get()) + second / 2) / second;
        u64::try_from(frames).unwrap_or(u64::MAX)
    }

    /// Whole frames that fit in `time`, rounded down.
    #[must_use]
    pub fn frames_in_duration(self, time: Duration) -> u64 {
        let frames = time.as_nanos() * u128::from(self.get()) / 1_000_000_000;
        u64::try_from(frames).unwrap_or(u64::MAX)
    }

    /// Frames needed to cover `period`: rounded up (contract E2: ceil(period × rate)).
    #[must_use]
    pub fn frames_covering(self, period: Hns) -> FrameCount {
        let (hns, second) =
            (u128::from(period.get().max(0).unsigned_abs()), u128::from(Hns::PER_SECOND.unsigned_abs()));
        let frames = (hns * u128::from(self.get())).div_ceil(second);
        FrameCount::new(u32::try_from(frames).unwrap_or(u32::MAX))
    }
}

impl fmt::Display for SampleRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} Hz", self.get())
    }
}

impl TryFrom<u32> for SampleRate {
    type Error = UnsupportedRate;

    fn try_from(hertz: u32) -> Result<Self, UnsupportedRate> {
        Self::new(hertz)
    }
}

impl fmt::Display for UnsupportedRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a sample rate of {} Hz is not carried: use {} to {}", self.0, SampleRate::MIN, SampleRate::MAX)
    }
}

impl core::error::Error for UnsupportedRate {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_outside_of_the_range_are_refused() {
        assert_eq!(SampleRate::new(7_999), Err(UnsupportedRate(7_999)));
        assert_eq!(SampleRate::new(192_001), Err(UnsupportedRate(192_001)));
        assert_eq!(SampleRate::new(8_000).unwrap().get(), 8_000);
        assert_eq!(SampleRate::new(192_000).unwrap().get(), 192_000);
    }

    #[test]
    fn conversions_round_as_documented() {
        let cd = SampleRate::HZ_44100;
        assert_eq!(cd.frames_in(Hns::from_millis(10)), 441);
        assert_eq!(cd.frames_in(Hns::new(25_000)), 110); // 2.5 ms are 110.25 frames
        assert_eq!(cd.frames_covering(Hns::new(25_000)).get(), 111);
        assert_eq!(cd.frames_nearest(Hns::new(25_000)), 110);
        assert_eq!(cd.frames_in(Hns::new(-1)), 0);
        assert_eq!(cd.hns_of(441).get(), 100_000);
        assert_eq!(cd.hns_of(1).get(), 226); // 226.757...
        assert_eq!(cd.frames_nearest(cd.hns_of(1)), 1);
    }

    #[test]
    fn a_century_of_frames_does_not_overflow() {
        let century = 100 * 366 * 86_400 * 192_000_u64;
        assert_eq!(SampleRate::MAX.frames_in(SampleRate::MAX.hns_of(century)), century);
    }
}
