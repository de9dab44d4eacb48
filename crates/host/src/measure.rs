//! What a thread has used: what conformance checks and benchmarks measure with.

use std::fs::File;
use std::io::Read;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::sys;
pub use crate::sys::CountingAllocator;

/// Allocations, frees and changes of size by this thread so far; `None` where [`CountingAllocator`] is not the
/// process's allocator.
#[must_use]
pub fn allocations() -> Option<u64> {
    let before = sys::allocator_calls();
    if before > 0 {
        return Some(before);
    }
    drop(std::hint::black_box(Box::new(0_u8)));
    let now = sys::allocator_calls();
    (now > 0).then_some(now)
}

/// How often this thread has given up the processor by itself: in a sleep, for a lock, for data. From
/// `/proc/thread-self/status`; `None` where the system has no such thing. Takes some microseconds, and allocates
/// nothing.
#[must_use]
pub fn waits() -> Option<u64> {
    let mut text = [0; 4_096];
    let mut file = File::open("/proc/thread-self/status").ok()?;
    let mut length = 0;
    loop {
        match file.read(text.get_mut(length..)?).ok()? {
            0 => break,
            read => length += read,
        }
    }
    let text = std::str::from_utf8(text.get(..length)?).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
    line.trim().parse().ok()
}

/// The processor's time that this thread has taken so far.
#[must_use]
pub fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_is_a_wait_and_work_is_time() {
        let before = waits().unwrap();
        std::thread::sleep(Duration::from_millis(2));
        assert!(waits().unwrap() > before);
        let before = processor_time();
        let mut sum = 0_u64;
        while processor_time() == before {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(processor_time() > before);
    }

    #[test]
    fn without_the_allocator_nothing_is_counted() {
        assert_eq!(allocations(), None);
    }
}
