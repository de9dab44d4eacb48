//! What `set_buffer` works out.

use soundpost_core::{Format, FrameCount, Hns};

use crate::EndpointError;

/// The sizes that follow from SetBuffer's arguments (D1, D2, E2, E3), worked out once for all endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferPlan {
    /// The format that the sizes are for.
    pub format: Format,
    /// The engine's longest period.
    pub period: Hns,
    /// The most frames of one acquire (E2).
    pub packet: FrameCount,
    /// What the endpoint adds to the stream (E3), and for render the time that its buffer holds.
    pub latency: Hns,
    /// `latency` in frames, rounded up, and at least a packet.
    pub buffer: FrameCount,
}

impl BufferPlan {
    /// The shortest period that the engine runs at.
    pub const SHORTEST_PERIOD: Hns = Hns::new(25_000);
    /// The longest period that the engine runs at.
    pub const LONGEST_PERIOD: Hns = Hns::new(1_000_000);
    /// The longest latency that a coefficient may ask for.
    pub const LONGEST_LATENCY: Hns = Hns::new(100_000_000);

    /// The sizes for a device with this format and minimum latency. The latency is `coefficient × max_period`, the
    /// minimum where that is more (D2), and in any case at least a period.
    ///
    /// # Errors
    /// [`EndpointError::PeriodOutOfRange`] outside of 2.5 to 100 ms, or where the latency would exceed 10 s.
    pub fn new(format: Format, max_period: Hns, coefficient: u32, minimum_latency: Hns) -> Result<Self, EndpointError> {
        let latency = max_period.saturating_mul(coefficient.max(1)).max(minimum_latency);
        if max_period < Self::SHORTEST_PERIOD || max_period > Self::LONGEST_PERIOD || latency > Self::LONGEST_LATENCY {
            return Err(EndpointError::PeriodOutOfRange {
                asked: max_period,
                shortest: Self::SHORTEST_PERIOD,
                longest: Self::LONGEST_PERIOD,
            });
        }
        let packet = format.rate.frames_covering(max_period);
        let buffer = format.rate.frames_covering(latency).max(packet);
        Ok(Self { format, period: max_period, packet, latency, buffer })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d2_a_coefficient_below_the_minimum_gets_the_minimum() {
        let plan = |coefficient| {
            BufferPlan::new(Format::DEFAULT, Hns::from_millis(10), coefficient, Hns::from_millis(25)).unwrap()
        };
        assert_eq!(plan(0).latency, Hns::from_millis(25));
        assert_eq!(plan(2).latency, Hns::from_millis(25));
        assert_eq!(plan(3).latency, Hns::from_millis(30));
        assert_eq!(plan(3).buffer.get(), 1440);
        assert_eq!(plan(3).packet.get(), 480);
    }

    #[test]
    fn d1_senseless_periods_are_refused() {
        for period in [Hns::ZERO, Hns::new(-1), Hns::new(24_999), Hns::from_millis(101), Hns::new(i64::MAX)] {
            assert!(BufferPlan::new(Format::DEFAULT, period, 1, Hns::ZERO).is_err(), "{period}");
        }
        assert!(BufferPlan::new(Format::DEFAULT, Hns::from_millis(10), u32::MAX, Hns::ZERO).is_err());
    }
}
