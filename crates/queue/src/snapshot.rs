//! The latest value of a statistic: one writer, any number of readers, and the writer never notices them.
//!
//! A sequence lock. The value lies in atomic words beside a sequence number that is odd while a write is under way:
//!
//! - The writer stores the odd number, the words, and the next even number.
//! - A reader loads the number, the words, and the number again. If both are the same and even, no word of a later
//!   write was among those it read.
//!
//! Why that holds. *No word is too old*: the first load of the number acquires the store that released it, and the
//! words of that write were stored before. *No word is too new*: words are stored with release and loaded with acquire;
//! if any word came from a later write, then that write's odd number, stored before the word, is visible to the
//! second load of the number, which therefore differs from the first. The odd number's own store can be relaxed,
//! because only the words' releases publish it. The second load can be relaxed, because the words' acquires order
//! it after them.
//!
//! The writer does the same few stores whatever the readers do: it is wait-free. A reader tries a bounded number of
//! times; it fails only while the writer keeps writing, or was interrupted in the middle of it.

use core::fmt;
use core::hint;
use core::marker::PhantomData;

use crate::sync::{Arc, AtomicU64, Ordering};

/// A plain value that is made of `N` words.
pub trait Words<const N: usize>: Copy {
    /// The value's words.
    fn to_words(&self) -> [u64; N];

    /// The value that [`Words::to_words`] made these of.
    fn from_words(words: [u64; N]) -> Self;
}

impl<const N: usize> Words<N> for [u64; N] {
    fn to_words(&self) -> [u64; N] {
        *self
    }

    fn from_words(words: [u64; N]) -> Self {
        words
    }
}

/// A place for the latest value, with its only writer and a first reader.
#[must_use]
pub fn snapshot<T: Words<N>, const N: usize>(value: T) -> (SnapshotWriter<T, N>, SnapshotReader<T, N>) {
    let shared = Arc::new(Shared { sequence: AtomicU64::new(0), words: value.to_words().map(AtomicU64::new) });
    (
        SnapshotWriter { shared: Arc::clone(&shared), sequence: 0, value: PhantomData },
        SnapshotReader { shared, value: PhantomData },
    )
}

/// Attempts of one [`SnapshotReader::read`]. A write takes some tens of nanoseconds and a pass lasts milliseconds.
#[cfg(not(loom))]
const ATTEMPTS: u32 = 100;
/// Loom explores every attempt.
#[cfg(loom)]
const ATTEMPTS: u32 = 2;

struct Shared<const N: usize> {
    sequence: AtomicU64,
    words: [AtomicU64; N],
}

/// The writing half. One thread, usually the real-time one.
pub struct SnapshotWriter<T, const N: usize> {
    shared: Arc<Shared<N>>,
    /// The number that was stored last: nobody else stores one.
    sequence: u64,
    value: PhantomData<fn(T)>,
}

impl<T: Words<N>, const N: usize> SnapshotWriter<T, N> {
    /// Puts a new value in the place of the last one. Wait-free: `N + 2` stores.
    pub fn write(&mut self, value: &T) {
        self.write_words(&value.to_words());
    }

    /// Puts new words in the place of the first ones; the others stay as they are. For values of which the larger
    /// part seldom changes: fewer stores, and readers notice no difference.
    #[inline]
    pub fn write_first<const K: usize>(&mut self, words: &[u64; K]) {
        const { assert!(K <= N, "a value has no more words than it is made of") };
        self.write_words(words);
    }

    #[inline]
    fn write_words(&mut self, words: &[u64]) {
        // Relaxed: published by the first word's release.
        self.shared.sequence.store(self.sequence.wrapping_add(1), Ordering::Relaxed);
        for (place, word) in self.shared.words.iter().zip(words) {
            // Release: whoever sees this word sees the odd number before it.
            place.store(*word, Ordering::Release);
        }
        self.sequence = self.sequence.wrapping_add(2);
        // Release: whoever sees this number sees all the words, those that were stored now and those that stayed.
        self.shared.sequence.store(self.sequence, Ordering::Release);
    }
}

/// A reading half; clones read the same place. Any thread.
pub struct SnapshotReader<T, const N: usize> {
    shared: Arc<Shared<N>>,
    value: PhantomData<fn() -> T>,
}

impl<T: Words<N>, const N: usize> SnapshotReader<T, N> {
    /// The latest value; none if each of 100 attempts met a write, which takes a writer that was interrupted in the
    /// middle of one: try again later.
    #[must_use]
    pub fn read(&self) -> Option<T> {
        for _ in 0..ATTEMPTS {
            // Acquire: the words stored before this number are seen, none of an earlier write.
            let before = self.shared.sequence.load(Ordering::Acquire);
            if before.is_multiple_of(2) {
                // Acquire: if a word is of a later write, its odd number is seen below.
                let words = core::array::from_fn(|i| self.shared.words[i].load(Ordering::Acquire));
                // Relaxed: the acquires above keep it after the words.
                if self.shared.sequence.load(Ordering::Relaxed) == before {
                    return Some(T::from_words(words));
                }
            }
            hint::spin_loop();
        }
        None
    }
}

impl<T, const N: usize> Clone for SnapshotReader<T, N> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), value: PhantomData }
    }
}

impl<T, const N: usize> fmt::Debug for SnapshotWriter<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotWriter").field("sequence", &self.sequence).finish_non_exhaustive()
    }
}

impl<T, const N: usize> fmt::Debug for SnapshotReader<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotReader").finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Level {
        peak: f32,
        passes: u64,
    }

    impl Words<2> for Level {
        fn to_words(&self) -> [u64; 2] {
            [u64::from(self.peak.to_bits()), self.passes]
        }

        fn from_words([peak, passes]: [u64; 2]) -> Self {
            Self { peak: f32::from_bits(peak as u32), passes }
        }
    }

    #[test]
    fn the_last_value_is_read_by_all() {
        let (mut writer, reader) = snapshot(Level { peak: 0.0, passes: 0 });
        let other = reader.clone();
        assert_eq!(reader.read(), Some(Level { peak: 0.0, passes: 0 }));
        for passes in 1..10 {
            writer.write(&Level { peak: 0.5, passes });
        }
        assert_eq!(reader.read(), Some(Level { peak: 0.5, passes: 9 }));
        drop(writer);
        assert_eq!(other.read(), reader.read());
    }

    #[test]
    fn the_first_words_change_and_the_others_stay() {
        let (mut writer, reader) = snapshot([1_u64, 2, 3]);
        writer.write_first(&[8, 9]);
        assert_eq!(reader.read(), Some([8, 9, 3]));
        writer.write(&[4, 5, 6]);
        writer.write_first(&[7]);
        assert_eq!(reader.read(), Some([7, 5, 6]));
    }
}
