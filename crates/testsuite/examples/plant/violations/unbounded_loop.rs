//! A loop that waits for somebody else, for ever.

use core::sync::atomic::{AtomicBool, Ordering};

/// Nobody raises it.
static DONE: AtomicBool = AtomicBool::new(false);

/// Does not come back.
pub(crate) fn commit() {
    while !DONE.load(Ordering::Acquire) {
        core::hint::spin_loop();
    }
}
