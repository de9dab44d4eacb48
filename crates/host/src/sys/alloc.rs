//! The system's allocator, counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Calls of this thread. Without a destructor, so that it can be used from the first allocation of a thread to the
    /// last.
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator; counts each thread's calls, at the price of one addition. For binaries that want to know
/// whether their real-time code allocates ([`crate::measure`]):
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: soundpost_host::measure::CountingAllocator = soundpost_host::measure::CountingAllocator;
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct CountingAllocator;

/// Allocations, frees and changes of size that this thread has asked for so far.
pub(crate) fn calls() -> u64 {
    CALLS.with(Cell::get)
}

fn count() {
    CALLS.with(|calls| calls.set(calls.get().wrapping_add(1)));
}

// SAFETY: every method hands its arguments to the same method of `System` and answers what that answers, so the
// allocator keeps `GlobalAlloc`'s promises because `System` does. What comes before, `count`, neither allocates nor
// panics: a thread-local with a constant initialiser and no destructor is plain memory of the thread.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise, a layout of non-zero size, is the one that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as for `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count();
        // SAFETY: the caller promises that `memory` came from this allocator with this layout, and all of this
        // allocator's memory comes from `System`, with the same layouts.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as for `dealloc`; that `size` is not zero and does not overflow is the caller's promise too.
        unsafe { System.realloc(memory, layout, size) }
    }
}
