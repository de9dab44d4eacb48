//! The kit's instruments, by this system's means.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use soundpost_core::{Clock, Instant};
use soundpost_host::clock::MonotonicClock;
use soundpost_host::measure;
use soundpost_testkit::Gate;
use soundpost_testkit::verify::{Tools, Usage};

/// Measures this process: allocations (where its allocator is [`crate::CountingAllocator`]), waits, processor's time.
pub struct ProcessTools {
    started: Instant,
    call: Mutex<Option<Running>>,
    progress: Option<File>,
}

/// A call that has begun.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Running {
    pub(crate) call: &'static str,
    pub(crate) real_time: bool,
    since: Instant,
}

/// The call that a process was in when it ended, as it is written to the progress file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Noted {
    pub(crate) call: String,
    pub(crate) real_time: bool,
}

/// Allocations in passes of an engine: a gate is a plain function, so this is one for the process.
static GATED: AtomicU64 = AtomicU64::new(0);

fn gate(pass: &mut dyn FnMut()) {
    let before = measure::allocations().unwrap_or(0);
    pass();
    let more = measure::allocations().unwrap_or(0).saturating_sub(before);
    GATED.fetch_add(more, Ordering::Relaxed);
}

impl ProcessTools {
    /// Width of a note in the progress file.
    const NOTE: usize = 64;

    /// Instruments that note each call in `progress`, where there is one.
    #[must_use]
    pub fn new(progress: Option<File>) -> Self {
        Self { started: MonotonicClock.now(), call: Mutex::new(None), progress }
    }

    pub(crate) fn age_millis(&self) -> u64 {
        let age = MonotonicClock.now().saturating_since(self.started);
        u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
    }

    /// The call that has been running for longer than `limit`.
    pub(crate) fn stuck(&self, limit: Duration) -> Option<Running> {
        let call = *self.call.lock().unwrap_or_else(PoisonError::into_inner);
        call.filter(|running| MonotonicClock.now().saturating_since(running.since) > limit)
    }

    fn note(&self, call: &str, real_time: bool) {
        if let Some(file) = &self.progress {
            let mut note = [b' '; Self::NOTE];
            let mark = if real_time { b'r' } else { b'c' };
            for (place, byte) in note.iter_mut().zip(std::iter::once(mark).chain(call.bytes())) {
                *place = byte;
            }
            // A note that cannot be written is missed only where the process ends in this call.
            let _ = file.write_at(&note, 0);
        }
    }

    /// What the progress file of a process that has ended says.
    pub(crate) fn noted(text: &str) -> Option<Noted> {
        let text = text.trim();
        let call = text.get(1..).filter(|call| !call.is_empty())?;
        Some(Noted { call: call.to_owned(), real_time: text.starts_with('r') })
    }
}

impl Tools for ProcessTools {
    fn begin(&self, call: &'static str, real_time: bool) {
        let running = Running { call, real_time, since: MonotonicClock.now() };
        *self.call.lock().unwrap_or_else(PoisonError::into_inner) = Some(running);
        self.note(call, real_time);
    }

    fn end(&self) {
        *self.call.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn usage(&self, closely: bool) -> Usage {
        Usage {
            allocations: measure::allocations(),
            waits: if closely { measure::waits() } else { None },
            processor: Some(measure::processor_time()),
        }
    }

    fn now(&self) -> Instant {
        MonotonicClock.now()
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }

    fn gated(&self) -> Option<u64> {
        measure::allocations().map(|_| GATED.load(Ordering::Relaxed))
    }

    fn gate(&self) -> Gate {
        gate
    }
}
