//! How many frames each pass asks for.

use crate::{FrameCount, Hns, SampleRate};

/// The engine's question per pass, contract E2: pass k asks `floor(k·P·R) − floor((k−1)·P·R)` frames, so that a period
/// that is no whole number of frames (2.5 ms at 44.1 kHz are 110.25) neither drifts nor exceeds `ceil(P·R)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketSchedule {
    /// P·R as a fraction of frames: `period × rate` over `Hns::PER_SECOND`.
    frames_times_second: u64,
    /// The part of a frame that earlier passes left over, in the same fraction.
    carry: u64,
}

impl PacketSchedule {
    /// The schedule for a period at a rate. A negative period asks for nothing.
    #[must_use]
    pub fn new(period: Hns, rate: SampleRate) -> Self {
        let period = period.get().max(0).unsigned_abs();
        Self { frames_times_second: period.saturating_mul(u64::from(rate.get())), carry: 0 }
    }

    /// Frames that the next pass asks for.
    pub fn next_packet(&mut self) -> FrameCount {
        let second = Hns::PER_SECOND.unsigned_abs();
        let total = self.carry.saturating_add(self.frames_times_second);
        self.carry = total % second;
        FrameCount::new(u32::try_from(total / second).unwrap_or(u32::MAX))
    }

    /// The most that any pass asks for: `ceil(P·R)`.
    #[must_use]
    pub fn largest_packet(&self) -> FrameCount {
        let frames = self.frames_times_second.div_ceil(Hns::PER_SECOND.unsigned_abs());
        FrameCount::new(u32::try_from(frames).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e2_odd_periods_never_drift() {
        for (rate, period) in
            [(44_100, 25_000), (44_100, 50_000), (11_025, 25_000), (48_000, 100_000), (8_000, 200_000)]
        {
            let rate = SampleRate::new(rate).unwrap();
            let mut schedule = PacketSchedule::new(Hns::new(period), rate);
            let (mut sum, largest) = (0_u64, schedule.largest_packet());
            for k in 1..=400_000_u64 {
                let packet = schedule.next_packet();
                assert!(packet <= largest);
                sum += u64::from(packet.get());
                let exact = k * period as u64 * u64::from(rate.get()) / 10_000_000;
                assert_eq!(sum, exact, "pass {k} at {rate}");
            }
        }
    }
}
