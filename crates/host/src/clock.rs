//! The real clock.

use rustix::time::{ClockId, clock_gettime};
use soundpost_core::{Clock, Instant};

/// CLOCK_MONOTONIC. Its origin is the system's own, so that [`Instant::as_hns`] of any two processes on this machine
/// can be compared, as contract T2 wants. Any thread, the real-time thread included: the kernel answers from memory
/// that is mapped into every process, without a system call.
#[derive(Clone, Copy, Debug, Default)]
pub struct MonotonicClock;

impl Clock for MonotonicClock {
    fn now(&self) -> Instant {
        let time = clock_gettime(ClockId::Monotonic);
        let (seconds, nanos) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
        // Neither part of this clock is ever negative.
        Instant::from_nanos(seconds.unwrap_or(0).saturating_mul(1_000_000_000).saturating_add(nanos.unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t2_the_clock_never_goes_back_and_shares_the_systems_origin() {
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        let mut last = MonotonicClock.now();
        // CLOCK_MONOTONIC stands still while the machine sleeps, so it may be behind the uptime, never ahead.
        assert!(last.as_nanos() as f64 / 1e9 < uptime + 5.0);
        for _ in 0..1000 {
            let now = MonotonicClock.now();
            assert!(now >= last);
            last = now;
        }
    }
}
