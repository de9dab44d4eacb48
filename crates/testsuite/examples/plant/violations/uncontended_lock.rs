//! A lock that is free.

use std::sync::{Mutex, PoisonError};

/// Nobody else takes it.
static FREE: Mutex<u64> = Mutex::new(0);

/// Takes the lock without waiting.
pub(crate) fn commit() {
    *FREE.lock().unwrap_or_else(PoisonError::into_inner) += 1;
}
