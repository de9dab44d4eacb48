//! An event that wakes a waiting thread.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use soundpost_endpoint::Event;

/// An eventfd: the engine's [`Event`] off Windows (contract E5, D4).
///
/// Signals that nobody has waited for yet fall together into one.
#[derive(Debug)]
pub struct EventFd(OwnedFd);

impl EventFd {
    /// A new event, not signalled. Not inherited by child processes.
    ///
    /// # Errors
    /// The system's, such as too many open files.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// An event that another process has made and handed over; it may be signalled from there.
    pub(crate) fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Waits until the event is signalled, or until `timeout` is over where one is given; then the event is no longer
    /// signalled. Answers whether it was. One waiting thread at a time.
    pub fn wait(&self, timeout: Option<Duration>) -> bool {
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        });
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        // A signal handler may cut the wait short: to the caller that is a wake-up without a signal, and its loop
        // works out anew how long to wait.
        match poll(&mut fds, timeout.as_ref()) {
            Ok(ready) if ready > 0 => self.take(),
            _ => false,
        }
    }

    /// Whether the event was signalled; it no longer is afterwards. Does not wait.
    pub fn take(&self) -> bool {
        let mut count = [0; 8];
        rustix::io::read(&self.0, &mut count).is_ok()
    }
}

impl Event for EventFd {
    fn signal(&self) {
        // "Would block" says that the counter is full, and so the event signalled already.
        while rustix::io::write(&self.0, &1_u64.to_ne_bytes()) == Err(Errno::INTR) {}
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e5_signals_fall_together_and_end_with_the_wait() {
        let event = EventFd::new().unwrap();
        assert!(!event.take());
        assert!(!event.wait(Some(Duration::ZERO)));
        event.signal();
        event.signal();
        assert!(event.wait(None));
        assert!(!event.wait(Some(Duration::ZERO)));
    }

    #[test]
    fn e5_a_signal_wakes_another_thread() {
        let event = std::sync::Arc::new(EventFd::new().unwrap());
        let waiting = {
            let event = event.clone();
            std::thread::spawn(move || event.wait(None))
        };
        event.signal();
        assert!(waiting.join().unwrap());
    }
}
