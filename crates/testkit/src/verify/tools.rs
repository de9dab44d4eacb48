//! What the kit measures with.

use std::time::Duration;

use soundpost_core::Instant;

/// What this thread has used so far. What cannot be told is `None`, and is reported as not measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Allocations and frees.
    pub allocations: Option<u64>,
    /// How often it has waited: gave up the processor by itself, in a sleep, for a lock, for data.
    pub waits: Option<u64>,
    /// The processor's time. Not the wall's: that one depends on who else is running.
    pub processor: Option<Duration>,
}

/// The kit's instruments. Implemented by whoever may read clocks and ask the system.
pub trait Tools: Send + Sync {
    /// A call into the endpoint begins; `real_time` tells the halves apart. If it never returns, or takes the process
    /// along, this is what it was.
    fn begin(&self, call: &'static str, real_time: bool) {
        let _ = (call, real_time);
    }

    /// The call has returned.
    fn end(&self) {}

    /// What this thread has used so far; `closely` with [`Usage::waits`], which may take a while to find out.
    fn usage(&self, closely: bool) -> Usage;

    /// The real time, for endpoints with a clock of their own; on CLOCK_MONOTONIC.
    fn now(&self) -> Instant;

    /// Waits by the real clock.
    fn sleep(&self, duration: Duration);

    /// Allocations and frees within passes that [`Tools::gate`] has run so far.
    fn gated(&self) -> Option<u64> {
        None
    }

    /// What an engine's passes run in, so that [`Tools::gated`] counts.
    fn gate(&self) -> crate::Gate {
        |pass| pass()
    }
}

/// Measures nothing. For endpoints on a virtual clock, where allocation and waiting are looked after elsewhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTools;

impl Tools for NoTools {
    fn usage(&self, _closely: bool) -> Usage {
        Usage::default()
    }

    fn now(&self) -> Instant {
        Instant::ORIGIN
    }

    fn sleep(&self, _duration: Duration) {}
}
