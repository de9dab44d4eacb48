//! Words that one thread writes and any thread reads without waiting.

#[cfg(loom)]
use loom::sync::atomic::fence;
#[cfg(loom)]
pub(super) use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::fence;
#[cfg(not(loom))]
pub(super) use std::sync::atomic::{AtomicU64, Ordering};

/// A sequence lock over atomics: one writer at a time (the owner sees to that), any number of readers.
///
/// The version is odd while a change is being written. The writer's release fence keeps the field stores behind the store
/// of the odd version, and the release store of the even version keeps them before it; the reader's acquire load and
/// acquire fence mirror that. So two equal, even versions around the field loads mean that all fields belong to that
/// version. A reader that meets a change does not wait for it.
#[derive(Debug)]
pub(super) struct Seqlock<const N: usize> {
    version: AtomicU64,
    fields: [AtomicU64; N],
}

impl<const N: usize> Seqlock<N> {
    pub(super) fn new(values: [u64; N]) -> Self {
        Self { version: AtomicU64::new(0), fields: values.map(AtomicU64::new) }
    }

    /// Puts other values in. Never two threads at once.
    pub(super) fn store(&self, values: [u64; N]) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        for (field, value) in self.fields.iter().zip(values) {
            field.store(value, Ordering::Relaxed);
        }
        self.version.store(version.wrapping_add(2), Ordering::Release);
    }

    /// The values and the version that they belong to; `None` where a change is being written.
    pub(super) fn load(&self) -> Option<(u64, [u64; N])> {
        let version = self.version.load(Ordering::Acquire);
        let values = self.fields.each_ref().map(|field| field.load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        let whole = version.is_multiple_of(2) && self.version.load(Ordering::Relaxed) == version;
        whole.then_some((version, values))
    }
}

/// Every interleaving, as loom has it: `cargo xtask loom`.
#[cfg(all(test, loom))]
mod loom_models {
    use std::sync::Arc;

    use loom::thread;

    use super::Seqlock;

    #[test]
    fn a_reader_never_sees_half_of_a_change() {
        loom::model(|| {
            let seqlock = Arc::new(Seqlock::new([0, 0]));
            let same = Arc::clone(&seqlock);
            let reading = thread::spawn(move || {
                if let Some((_, [first, second])) = same.load() {
                    assert_eq!(first, second, "half of one value, half of another");
                }
            });
            seqlock.store([1, 1]);
            seqlock.store([2, 2]);
            reading.join().unwrap();
        });
    }

    #[test]
    fn what_is_read_never_goes_back() {
        loom::model(|| {
            let seqlock = Arc::new(Seqlock::new([0]));
            let same = Arc::clone(&seqlock);
            let reading = thread::spawn(move || {
                if let (Some(first), Some(second)) = (same.load(), same.load()) {
                    assert!(first.0 <= second.0 && first.1 <= second.1, "{first:?}, then {second:?}");
                }
            });
            seqlock.store([1]);
            reading.join().unwrap();
        });
    }

    #[test]
    fn the_last_change_arrives() {
        loom::model(|| {
            let seqlock = Arc::new(Seqlock::new([0, 0]));
            let same = Arc::clone(&seqlock);
            thread::spawn(move || same.store([7, 7])).join().unwrap();
            assert_eq!(seqlock.load(), Some((2, [7, 7])));
        });
    }
}
