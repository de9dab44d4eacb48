//! Bytes that follow each other in a stream's buffer.

use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes and where in the stream they are.
#[derive(Debug)]
pub(super) struct Piece {
    at: i64,
    bytes: Bytes,
}

#[derive(Debug)]
enum Bytes {
    Own(VecDeque<u8>),
    /// Of a sample, which the cache holds and other streams play as well: from the first number to the second.
    Shared(Arc<Vec<u8>>, usize, usize),
}

impl Piece {
    pub(super) fn own(at: i64, bytes: &[u8]) -> Self {
        Self { at, bytes: Bytes::Own(bytes.iter().copied().collect()) }
    }

    pub(super) fn shared(at: i64, bytes: Arc<Vec<u8>>) -> Self {
        let end = bytes.len();
        Self { at, bytes: Bytes::Shared(bytes, 0, end) }
    }

    pub(super) const fn at(&self) -> i64 {
        self.at
    }

    pub(super) fn end(&self) -> i64 {
        self.at + i64::try_from(self.len()).unwrap_or(0)
    }

    pub(super) fn len(&self) -> usize {
        match &self.bytes {
            Bytes::Own(bytes) => bytes.len(),
            Bytes::Shared(_, from, to) => to - from,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes the piece longer, where it is still shorter than `longest`; no, where it is not.
    pub(super) fn append(&mut self, more: &[u8], longest: usize) -> bool {
        match &mut self.bytes {
            Bytes::Own(bytes) if bytes.len() < longest => {
                bytes.extend(more);
                true
            }
            _ => false,
        }
    }

    /// Cuts the piece at the stream's byte `at`, which is in it: it keeps what is before.
    pub(super) fn split_off(&mut self, at: i64) -> Self {
        let head = usize::try_from(at - self.at).unwrap_or(0).min(self.len());
        let tail = match &mut self.bytes {
            Bytes::Own(bytes) => Bytes::Own(bytes.split_off(head)),
            Bytes::Shared(bytes, from, to) => {
                let cut = *from + head;
                Bytes::Shared(Arc::clone(bytes), cut, std::mem::replace(to, cut))
            }
        };
        Self { at, bytes: tail }
    }

    /// Forgets the first `count` bytes; answers how many those were.
    pub(super) fn drop_front(&mut self, count: i64) -> usize {
        let count = usize::try_from(count).unwrap_or(0).min(self.len());
        match &mut self.bytes {
            Bytes::Own(bytes) => drop(bytes.drain(..count)),
            Bytes::Shared(_, from, _) => *from += count,
        }
        self.at += i64::try_from(count).unwrap_or(0);
        count
    }

    /// Moves bytes from the front into `out`, as many as both have; answers how many.
    pub(super) fn take(&mut self, out: &mut [u8]) -> usize {
        let count = out.len().min(self.len());
        let out = out.get_mut(..count).unwrap_or_default();
        match &self.bytes {
            Bytes::Own(bytes) => {
                let (one, two) = bytes.as_slices();
                let split = one.len().min(count);
                let (first, second) = out.split_at_mut(split);
                first.copy_from_slice(one.get(..split).unwrap_or_default());
                second.copy_from_slice(two.get(..count - split).unwrap_or_default());
            }
            Bytes::Shared(bytes, from, _) => {
                out.copy_from_slice(bytes.get(*from..from + count).unwrap_or_default());
            }
        }
        self.drop_front(i64::try_from(count).unwrap_or(0))
    }
}
