//! What wakes the thread: one event for all streams.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use soundpost_endpoint::Event;

use crate::event::EventFd;

/// An event that many streams of one pass signal, and that costs one system call for all of them.
#[derive(Debug)]
pub(super) struct Wake {
    event: EventFd,
    signalled: AtomicBool,
}

impl Wake {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self { event: EventFd::new()?, signalled: AtomicBool::new(false) })
    }

    /// Waits for a signal, for so long at most, without taking it.
    pub(super) fn wait(&self, longest: std::time::Duration) {
        let nanos = i64::from(longest.subsec_nanos());
        let timeout = rustix::event::Timespec { tv_sec: i64::try_from(longest.as_secs()).unwrap_or(0), tv_nsec: nanos };
        let mut fds = [rustix::event::PollFd::new(&self.event, rustix::event::PollFlags::IN)];
        // Cut short by a signal handler, the caller looks a little earlier.
        let _ = rustix::event::poll(&mut fds, Some(&timeout));
    }

    /// Takes the signal. What was done before a signal is seen by what follows this call.
    pub(super) fn take(&self) {
        // In this order: who signals between the two finds the flag still set, and its work done before it is cleared;
        // who signals after both is heard at the next wait. The other way round a signal could be lost for good.
        self.event.take();
        self.signalled.swap(false, Ordering::AcqRel);
    }
}

impl Event for Wake {
    fn signal(&self) {
        if !self.signalled.swap(true, Ordering::AcqRel) {
            self.event.signal();
        }
    }
}

/// The passes of one session: wakes the thread, and says that it was one of these.
#[derive(Debug)]
pub(super) struct Passes {
    wake: Arc<Wake>,
    seen: AtomicBool,
}

impl Passes {
    pub(super) fn new(wake: Arc<Wake>) -> Self {
        Self { wake, seen: AtomicBool::new(false) }
    }

    /// Whether there was one since this was asked last. To be asked after [`Wake::take`].
    pub(super) fn take(&self) -> bool {
        self.seen.swap(false, Ordering::AcqRel)
    }
}

impl Event for Passes {
    fn signal(&self) {
        // Before the thread is woken: once awake it finds this.
        self.seen.store(true, Ordering::Release);
        self.wake.signal();
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_session_knows_its_own_passes() {
        let wake = Arc::new(Wake::new().unwrap());
        let (one, other) = (Passes::new(wake.clone()), Passes::new(wake.clone()));
        one.signal();
        wake.take();
        assert!(one.take() && !one.take() && !other.take());
        other.signal();
        assert!(wake.event.take(), "the thread is woken");
        assert!(other.take());
    }

    #[test]
    fn signals_fall_together_and_come_again_after_they_were_taken() {
        let wake = Wake::new().unwrap();
        for _ in 0..3 {
            wake.signal();
            wake.signal();
            assert!(wake.event.take());
            assert!(!wake.event.take(), "the second signal made no call");
            wake.signal();
            assert!(!wake.event.take(), "not heard before the first was taken");
            wake.take();
        }
    }
}
