//! A playback stream's buffer: written anywhere, read from the front.
//!
//! Indices count bytes from the stream's beginning. The write index may be moved to and fro; what is written over is
//! replaced, what is jumped over is played as silence. How much the client may send is kept as two counts: `missing`
//! bytes have been played and not asked for again, `requested` bytes were asked for and have not come.

use std::collections::BTreeMap;
use std::collections::VecDeque;

use crate::buffer::BufferAttr;
use crate::limits::MAX_PIECES;
use crate::wire::SeekMode;

/// Neither index goes beyond: no sum of one and a length can overflow.
const FAR: i64 = 1 << 60;
/// A piece is not made longer than this by appending, so that old bytes are freed as they are played.
const PIECE: usize = 64 * 1024;

/// What is written does not fit, or a seek led nowhere: PulseAudio's "overflow".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overflow;

#[derive(Debug)]
pub(crate) struct Queue {
    pieces: BTreeMap<i64, VecDeque<u8>>,
    read: i64,
    write: i64,
    frame: i64,
    max_length: i64,
    target: i64,
    prebuf: i64,
    min_request: i64,
    in_prebuf: bool,
    missing: i64,
    requested: i64,
    silence: u8,
    stored: usize,
}

impl Queue {
    /// An empty queue that begins at `start`, with what `attr` says in whole frames of `frame` bytes.
    pub(crate) fn new(start: i64, attr: &BufferAttr, frame: u32, silence: u8) -> Self {
        let mut queue = Self {
            pieces: BTreeMap::new(),
            read: start,
            write: start,
            frame: i64::from(frame.max(1)),
            max_length: 0,
            target: 0,
            prebuf: 0,
            min_request: 0,
            in_prebuf: true,
            missing: 0,
            requested: 0,
            silence,
            stored: 0,
        };
        queue.apply(attr);
        queue.in_prebuf = queue.prebuf > 0;
        queue
    }

    /// Takes other lengths. Each is brought to whole frames: what is a limit up, the others down.
    pub(crate) fn apply(&mut self, attr: &BufferAttr) {
        let up = |value: u32| (i64::from(value) + self.frame - 1) / self.frame * self.frame;
        let down = |value: u32| i64::from(value) / self.frame * self.frame;
        self.max_length = up(attr.max_length).max(self.frame);
        let before = self.target;
        let target = if attr.target_length == 0 { self.max_length } else { up(attr.target_length) };
        self.target = target.min(self.max_length);
        self.missing += self.target - before;
        self.min_request = down(attr.min_request).clamp(self.frame, self.target.max(self.frame));
        let most = self.target + self.frame - self.min_request;
        self.prebuf = if attr.prebuf == u32::MAX { most } else { up(attr.prebuf).min(most) };
        if self.prebuf == 0 || self.length() >= self.prebuf {
            self.in_prebuf = false;
        }
    }

    /// The lengths as they are.
    pub(crate) fn attr(&self) -> BufferAttr {
        let narrow = |value: i64| u32::try_from(value).unwrap_or(0);
        BufferAttr {
            max_length: narrow(self.max_length),
            target_length: narrow(self.target),
            prebuf: narrow(self.prebuf),
            min_request: narrow(self.min_request),
        }
    }

    /// What is played next.
    pub(crate) const fn read_index(&self) -> i64 {
        self.read
    }

    /// Where the next block goes.
    pub(crate) const fn write_index(&self) -> i64 {
        self.write
    }

    /// Bytes from the read index to the write index.
    pub(crate) fn length(&self) -> i64 {
        (self.write - self.read).max(0)
    }

    /// Bytes held in memory.
    pub(crate) const fn stored(&self) -> usize {
        self.stored
    }

    /// Moves the write index. `account` says that the client has taken the move into account itself.
    pub(crate) fn seek(&mut self, offset: i64, mode: SeekMode, account: bool) -> Result<(), Overflow> {
        let base = match mode {
            SeekMode::Relative => self.write,
            SeekMode::Absolute => 0,
            SeekMode::RelativeOnRead => self.read,
            SeekMode::RelativeEnd => self.end().unwrap_or(self.read),
        };
        let to = base.checked_add(offset).filter(|to| (-FAR..=FAR).contains(to)).ok_or(Overflow)?;
        self.move_write(to, account);
        Ok(())
    }

    fn move_write(&mut self, to: i64, account: bool) {
        let delta = to - self.write;
        self.write = to;
        let count = if account { &mut self.requested } else { &mut self.missing };
        *count = count.saturating_sub(delta).clamp(-FAR, FAR);
    }

    fn end(&self) -> Option<i64> {
        self.pieces.last_key_value().map(|(at, bytes)| at + len(bytes))
    }

    /// Writes `bytes` at the write index and moves it on. All or nothing.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), Overflow> {
        let length = i64::try_from(bytes.len()).map_err(|_| Overflow)?;
        let (from, to) = (self.write, self.write + length);
        let end = self.end().unwrap_or(self.write);
        if to > FAR || to > end && to - self.read > self.max_length && to > self.read {
            return Err(Overflow);
        }
        // What was played already needs no place.
        let late = (self.read - from).clamp(0, length);
        let bytes = bytes.get(usize::try_from(late).unwrap_or(0)..).unwrap_or_default();
        if !bytes.is_empty() {
            let from = from + late;
            if self.pieces.len() >= MAX_PIECES && end != from {
                return Err(Overflow);
            }
            self.clear(from, to);
            self.insert(from, bytes);
        }
        self.move_write(to, true);
        Ok(())
    }

    /// What is pushed and does not fit is as good as played.
    pub(crate) fn skip(&mut self, bytes: usize) {
        let to = i64::try_from(bytes).ok().and_then(|bytes| self.write.checked_add(bytes)).unwrap_or(FAR).min(FAR);
        self.move_write(to, true);
    }

    fn insert(&mut self, at: i64, bytes: &[u8]) {
        self.stored += bytes.len();
        if let Some((from, last)) = self.pieces.range_mut(..at).next_back()
            && from + len(last) == at
            && last.len() < PIECE
        {
            last.extend(bytes);
            return;
        }
        self.pieces.insert(at, bytes.iter().copied().collect());
    }

    /// Forgets what is held of `from` to `to`.
    fn clear(&mut self, from: i64, to: i64) {
        // The piece that begins before `from` keeps its head, and its tail becomes a piece of its own.
        if let Some((&at, piece)) = self.pieces.range_mut(..from).next_back()
            && at + len(piece) > from
        {
            let tail = piece.split_off(usize::try_from(from - at).unwrap_or(0));
            self.pieces.insert(from, tail);
        }
        while let Some((&at, _)) = self.pieces.range(from..to).next() {
            let Some(mut piece) = self.pieces.remove(&at) else { return };
            let over = usize::try_from(to - at).unwrap_or(usize::MAX).min(piece.len());
            let tail = piece.split_off(over);
            self.stored -= over;
            if !tail.is_empty() {
                self.pieces.insert(to, tail);
            }
        }
    }

    /// Whether there is something to play: not while prebuffering, and not when it ran empty.
    pub(crate) fn is_readable(&self) -> bool {
        !self.prebuf_active() && self.length() >= self.frame
    }

    fn prebuf_active(&self) -> bool {
        if self.in_prebuf { self.length() < self.prebuf } else { self.prebuf > 0 && self.read >= self.write }
    }

    /// Fills `out` with whole frames from the front; answers how many bytes.
    pub(crate) fn pop(&mut self, out: &mut [u8]) -> usize {
        if self.prebuf_active() {
            self.in_prebuf = true;
            return 0;
        }
        self.in_prebuf = false;
        let room = i64::try_from(out.len()).unwrap_or(FAR).min(self.length()) / self.frame * self.frame;
        let mut filled = 0;
        let total = usize::try_from(room).unwrap_or(0);
        let to = self.read + room;
        while self.read < to {
            let rest = out.get_mut(filled..total).unwrap_or_default();
            let count = self.pop_piece(rest, to);
            filled += count;
            self.read += i64::try_from(count).unwrap_or(0);
            if count == 0 {
                break;
            }
        }
        self.missing = self.missing.saturating_add(room).min(FAR);
        filled
    }

    fn pop_piece(&mut self, rest: &mut [u8], to: i64) -> usize {
        let gap_to = match self.pieces.first_entry() {
            Some(mut first) if *first.key() <= self.read => {
                let at = *first.key();
                let piece = first.get_mut();
                let skip = usize::try_from(self.read - at).unwrap_or(0);
                let count = rest.len().min(piece.len().saturating_sub(skip));
                for (to, from) in rest.iter_mut().zip(piece.drain(..skip + count).skip(skip)) {
                    *to = from;
                }
                self.stored -= skip + count;
                let left = first.remove();
                if !left.is_empty() {
                    self.pieces.insert(at + i64::try_from(skip + count).unwrap_or(0), left);
                }
                return count;
            }
            Some(first) => (*first.key()).min(to),
            None => to,
        };
        let count = usize::try_from(gap_to - self.read).unwrap_or(0).min(rest.len());
        rest.iter_mut().take(count).for_each(|byte| *byte = self.silence);
        count
    }

    /// How many bytes to ask the client for now; counted as asked for.
    pub(crate) fn pop_missing(&mut self) -> u32 {
        if self.missing <= 0 || self.missing < self.min_request && !self.prebuf_active() {
            return 0;
        }
        let missing = std::mem::take(&mut self.missing);
        self.requested += missing;
        u32::try_from(missing).unwrap_or(u32::MAX)
    }

    /// Forgets what has not been played; the write index goes back to what is played next, and prebuffering begins.
    pub(crate) fn flush(&mut self) {
        self.pieces.clear();
        self.stored = 0;
        self.move_write(self.read, false);
        self.force_prebuf();
    }

    /// Plays what there is, little as it may be.
    pub(crate) fn stop_prebuf(&mut self) {
        self.in_prebuf = false;
    }

    /// Waits until prebuf bytes are there again.
    pub(crate) fn force_prebuf(&mut self) {
        self.in_prebuf = self.prebuf > 0;
    }
}

fn len(bytes: &VecDeque<u8>) -> i64 {
    i64::try_from(bytes.len()).unwrap_or(FAR)
}

#[cfg(test)]
mod tests;
