//! One bit.

use crate::sync::{Arc, AtomicBool, Ordering};

/// A bit that any thread may set and any thread may look at. Clones are the same bit.
///
/// What a thread wrote before it raised the flag is seen by a thread that has seen the flag raised: raising is a
/// release, looking an acquire.
#[derive(Clone, Debug)]
pub struct Flag(Arc<AtomicBool>);

impl Flag {
    /// A lowered flag.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(AtomicBool::new(false)))
    }

    /// Raises the flag.
    pub fn raise(&self) {
        // Release: see the type's promise.
        self.0.store(true, Ordering::Release);
    }

    /// Whether it is raised.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        // Acquire: the other half of the promise.
        self.0.load(Ordering::Acquire)
    }

    /// Lowers the flag; returns whether it was raised. Of several callers one gets `true` for one raising.
    #[must_use]
    pub fn take(&self) -> bool {
        // Acquire for the promise. Release as well, so that a thread that raises again and is taken again hands on
        // what the first taker wrote: takers are then in one order.
        self.0.swap(false, Ordering::AcqRel)
    }
}

impl Default for Flag {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_taken_once() {
        let flag = Flag::default();
        let same = flag.clone();
        assert!(!same.take());
        flag.raise();
        assert!(same.is_raised() && same.take() && !same.take() && !flag.is_raised());
    }
}
