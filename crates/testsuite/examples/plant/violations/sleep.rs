//! Waiting for time to pass.

/// Sleeps.
pub(crate) fn commit() {
    std::thread::sleep(std::time::Duration::from_millis(1));
}
