//! Exclusive mode (D5): one client process moves frames to or from the device itself, through shared memory.
//!
//! This crate has what needs no system: the sizes that follow from a request ([`ExclusivePlan`]), the record at the
//! start of the shared memory ([`record`]), and the watch over a client that may write anything there
//! ([`ClientWatch`]). The memory itself, the events and the processes are the host's.
//!
//! The order of calls on a control half:
//!
//! ```text
//! (new, or release_buffer) ─► exclusive_mode ─► start ─► the client's frames ─► stop ─► release_buffer
//! ```

pub mod record;
mod watch;

pub use record::{ExclusiveRecord, RecordError};
pub use watch::{ClientBreach, ClientState, ClientWatch, ClientWords, Look};

use std::fmt;
use std::num::NonZeroU32;

use soundpost_core::{Format, FrameCount, Hns};

use crate::{BufferPlan, EndpointError, Fault, Requirement};

/// What D5 is asked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExclusiveRequest {
    /// The process that is to use the endpoint; off Windows its pid. Nobody else gets the memory.
    pub process: NonZeroU32,
    /// The period of the device, within its range.
    pub period: Hns,
    /// How much sound the shared buffer holds: 2 periods to [`ExclusivePlan::LONGEST_BUFFER`].
    pub buffer: Hns,
    /// The latency of the endpoint behind the buffer, in periods (as for SetBuffer, D1, D2).
    pub coefficient: u32,
}

/// What an endpoint answers to an [`ExclusiveRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExclusivePlan {
    /// The process that was named.
    pub process: NonZeroU32,
    /// The endpoint's own sizes, as SetBuffer would have worked them out.
    pub sizes: BufferPlan,
    /// The coefficient that was asked for.
    pub coefficient: u32,
    /// Frames that the shared buffer holds.
    pub ring: FrameCount,
    /// Periods in which a client may stand still, while it has started and could move, before the endpoint is taken
    /// back: 100, and at least one second's worth.
    pub stall: u32,
}

impl ExclusivePlan {
    /// The longest shared buffer.
    pub const LONGEST_BUFFER: Hns = Hns::from_millis(2_000);
    /// The least number of periods for a stall.
    const STALL: u32 = 100;

    /// The sizes for a device with this format and minimum latency.
    ///
    /// # Errors
    /// [`EndpointError::PeriodOutOfRange`] and [`EndpointError::BufferOutOfRange`], each with the values that were
    /// asked for and those that can be had.
    pub fn new(format: Format, request: &ExclusiveRequest, minimum_latency: Hns) -> Result<Self, EndpointError> {
        let sizes = BufferPlan::new(format, request.period, request.coefficient, minimum_latency)?;
        let (shortest, longest) = (request.period.saturating_mul(2), Self::LONGEST_BUFFER);
        if request.buffer < shortest || request.buffer > longest {
            return Err(EndpointError::BufferOutOfRange { asked: request.buffer, shortest, longest });
        }
        let second = u64::try_from(Hns::PER_SECOND / request.period.get().max(1)).unwrap_or(0).saturating_add(1);
        let stall = u32::try_from(second).unwrap_or(u32::MAX).max(Self::STALL);
        let ring = format.rate.frames_covering(request.buffer);
        Ok(Self { process: request.process, sizes, coefficient: request.coefficient, ring, stall })
    }
}

/// How an exclusive use came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExclusiveEnd {
    /// The client closed it.
    Closed,
    /// The client's process is gone.
    Died,
    /// The client stood still for so many periods.
    Stalled {
        /// Periods.
        periods: u32,
    },
    /// The client wrote what cannot be.
    Breach(ClientBreach),
    /// The endpoint broke the contract.
    Fault(Fault),
    /// The endpoint or its host came to an end.
    Revoked,
}

impl ExclusiveEnd {
    /// The requirement that was broken; `None` for an end that breaks none.
    #[must_use]
    pub const fn requirement(&self) -> Option<Requirement> {
        match self {
            Self::Closed | Self::Revoked => None,
            Self::Died | Self::Stalled { .. } | Self::Breach(_) => Some(Requirement::D5),
            Self::Fault(fault) => Some(fault.requirement()),
        }
    }

    /// The number that stands for it in the record ([`record::REASON`]).
    #[must_use]
    pub const fn code(&self) -> u64 {
        match self {
            Self::Closed => 1,
            Self::Died => 2,
            Self::Stalled { .. } => 3,
            Self::Breach(_) => 4,
            Self::Fault(_) => 5,
            Self::Revoked => 6,
        }
    }
}

impl fmt::Display for ExclusiveEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the client closed it"),
            Self::Died => f.write_str("the client's process is gone"),
            Self::Stalled { periods } => write!(f, "the client stood still for {periods} periods"),
            Self::Breach(breach) => write!(f, "the client {breach}"),
            Self::Fault(fault) => write!(f, "the endpoint failed: {fault}"),
            Self::Revoked => f.write_str("the endpoint came to an end"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(period: Hns, buffer: Hns) -> ExclusiveRequest {
        ExclusiveRequest { process: NonZeroU32::MIN, period, buffer, coefficient: 2 }
    }

    #[test]
    fn d5_a_plan_has_the_ring_that_was_asked_for_and_the_latency_of_set_buffer() {
        let asked = request(Hns::from_millis(10), Hns::from_millis(80));
        let plan = ExclusivePlan::new(Format::DEFAULT, &asked, Hns::ZERO).unwrap();
        assert_eq!((plan.ring.get(), plan.sizes.packet.get(), plan.sizes.buffer.get()), (3_840, 480, 960));
        assert_eq!(plan.stall, 101, "a second and one period");
        let short = request(Hns::new(25_000), Hns::from_millis(20));
        assert_eq!(ExclusivePlan::new(Format::DEFAULT, &short, Hns::ZERO).unwrap().stall, 401);
        let long = request(Hns::from_millis(100), Hns::from_millis(800));
        assert_eq!(ExclusivePlan::new(Format::DEFAULT, &long, Hns::ZERO).unwrap().stall, 100);
    }

    #[test]
    fn d5_periods_and_buffers_out_of_range_are_refused_with_the_values() {
        let ms = Hns::from_millis;
        for period in [Hns::ZERO, Hns::new(-1), Hns::new(24_999), ms(101), Hns::new(i64::MAX), Hns::new(i64::MIN)] {
            let refused = ExclusivePlan::new(Format::DEFAULT, &request(period, ms(80)), Hns::ZERO);
            let (shortest, longest) = (BufferPlan::SHORTEST_PERIOD, BufferPlan::LONGEST_PERIOD);
            assert_eq!(refused, Err(EndpointError::PeriodOutOfRange { asked: period, shortest, longest }));
        }
        for buffer in [Hns::ZERO, Hns::new(-1), ms(19), ms(2_001), Hns::new(i64::MAX)] {
            let refused = ExclusivePlan::new(Format::DEFAULT, &request(ms(10), buffer), Hns::ZERO);
            let (shortest, longest) = (ms(20), ms(2_000));
            assert_eq!(refused, Err(EndpointError::BufferOutOfRange { asked: buffer, shortest, longest }));
        }
    }
}
