//! A clock that stands still until it is moved.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use soundpost_core::{Clock, Instant};

/// A clock that is moved by hand. Any thread may read it; it never goes back.
#[derive(Debug, Default)]
pub struct VirtualClock(AtomicU64);

impl VirtualClock {
    /// A clock at `now`.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self(AtomicU64::new(now.as_nanos()))
    }

    /// Moves on to `now`; an earlier time changes nothing.
    pub fn set(&self, now: Instant) {
        self.0.fetch_max(now.as_nanos(), Ordering::AcqRel);
    }

    /// Moves on by `duration`.
    pub fn advance(&self, duration: Duration) {
        self.set(self.now() + duration);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.0.load(Ordering::Acquire))
    }
}
