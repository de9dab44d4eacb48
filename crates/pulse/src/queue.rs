//! A playback stream's buffer: written anywhere, read from the front.
//!
//! Indices count bytes from the stream's beginning. The write index may be moved to and fro; what is written over is
//! replaced, what is jumped over is played as silence. How much the client may send is kept as two counts: `missing`
//! bytes have been played and not asked for again, `requested` bytes were asked for and have not come.
//!
//! What was read is gone: the write index may go back behind the read index, and what is written there is as good as
//! played, as with a PulseAudio sink that cannot rewind.
//!
//! In a running stream a write and a read each copy the bytes once and take no memory: both work on the two ends of one
//! ring. An empty queue holds no memory.

mod piece;

use std::collections::VecDeque;
use std::sync::Arc;

use self::piece::Piece;
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
    /// In order of their places, none over another, none empty.
    pieces: VecDeque<Piece>,
    read: i64,
    write: i64,
    frame: i64,
    max_length: i64,
    target: i64,
    prebuf: i64,
    min_request: i64,
    in_prebuf: bool,
    /// It has an end, behind which nothing is read even without prebuffering: a sample.
    finite: bool,
    missing: i64,
    requested: i64,
    /// How seldom the client is asked: the host's period and its bytes, and by how much the target is exceeded for it.
    pace: Option<(u64, i64)>,
    extra: i64,
    silence: u8,
    stored: usize,
}

impl Queue {
    /// An empty queue that begins at `start`, with what `attr` says in whole frames of `frame` bytes.
    pub(crate) fn new(start: i64, attr: &BufferAttr, frame: u32, silence: u8) -> Self {
        let mut queue = Self {
            pieces: VecDeque::new(),
            read: start,
            write: start,
            frame: i64::from(frame.max(1)),
            max_length: 0,
            target: 0,
            prebuf: 0,
            min_request: 0,
            in_prebuf: true,
            finite: false,
            missing: 0,
            requested: 0,
            pace: None,
            extra: 0,
            silence,
            stored: 0,
        };
        queue.apply(attr);
        queue.in_prebuf = queue.prebuf > 0;
        queue
    }

    /// A queue of which `bytes` can be read once, and nothing else. They are not copied.
    pub(crate) fn of_sample(bytes: &Arc<Vec<u8>>, frame: u32, silence: u8) -> Self {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let attr = BufferAttr { max_length: length, target_length: length, prebuf: 0, min_request: length };
        let mut queue = Self { finite: true, ..Self::new(0, &attr, frame, silence) };
        if !bytes.is_empty() {
            queue.pieces.push_back(Piece::shared(0, Arc::clone(bytes)));
            queue.stored = bytes.len();
        }
        queue.write = i64::from(length);
        queue.missing = 0;
        queue
    }

    /// Takes other lengths. Each is brought to whole frames: what is a limit up, the others down.
    pub(crate) fn apply(&mut self, attr: &BufferAttr) {
        let up = |value: u32| (i64::from(value) + self.frame - 1) / self.frame * self.frame;
        let down = |value: u32| i64::from(value) / self.frame * self.frame;
        self.pace = None;
        self.missing -= std::mem::take(&mut self.extra);
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
        self.pieces.back().map(Piece::end)
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
            // Cutting a piece in two, and the new one, make two more.
            if end != from && self.pieces.len() + 1 >= MAX_PIECES {
                return Err(Overflow);
            }
            self.put(from, to, bytes);
        }
        self.move_write(to, true);
        Ok(())
    }

    /// What is pushed and does not fit is as good as played.
    pub(crate) fn skip(&mut self, bytes: usize) {
        let to = i64::try_from(bytes).ok().and_then(|bytes| self.write.checked_add(bytes)).unwrap_or(FAR).min(FAR);
        self.move_write(to, true);
    }

    /// Puts `bytes` at `from` to `to`, in place of what is there.
    fn put(&mut self, from: i64, to: i64, bytes: &[u8]) {
        self.stored += bytes.len();
        if self.end().is_none_or(|end| end <= from) {
            if !self.pieces.back_mut().is_some_and(|last| last.end() == from && last.append(bytes, PIECE)) {
                self.pieces.push_back(Piece::own(from, bytes));
            }
            return;
        }
        let place = self.clear(from, to);
        self.pieces.insert(place, Piece::own(from, bytes));
    }

    /// Forgets what is held of `from` to `to`; answers before which piece that is.
    fn clear(&mut self, from: i64, to: i64) -> usize {
        let mut place = self.pieces.partition_point(|piece| piece.end() <= from);
        // The piece that begins before `from` keeps its head, and its tail becomes a piece of its own.
        if let Some(piece) = self.pieces.get_mut(place)
            && piece.at() < from
        {
            let tail = piece.split_off(from);
            place += 1;
            self.pieces.insert(place, tail);
        }
        while let Some(piece) = self.pieces.get_mut(place).filter(|piece| piece.at() < to) {
            let over = to.min(piece.end()) - piece.at();
            self.stored -= piece.drop_front(over);
            if !piece.is_empty() {
                break;
            }
            self.pieces.remove(place);
        }
        place
    }

    /// Whether sound can be read: not while prebuffering, and not where the read index has reached the write index.
    pub(crate) fn is_readable(&self) -> bool {
        !self.prebuf_active() && self.length() >= self.frame
    }

    /// Whether it goes on over its end: without prebuffering, silence is read where nothing was written, and the read
    /// index overtakes the write index. Clients that choose this seek to where they should be (GStreamer's sink).
    pub(crate) const fn runs_on(&self) -> bool {
        self.prebuf == 0 && !self.finite
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
        let most = if self.runs_on() { FAR - self.read } else { self.length() };
        let count = i64::try_from(out.len()).unwrap_or(FAR).min(most) / self.frame * self.frame;
        let total = usize::try_from(count).unwrap_or(0);
        let mut rest = out.get_mut(..total).unwrap_or_default();
        while !rest.is_empty() {
            let Some(first) = self.pieces.front_mut() else {
                rest.fill(self.silence);
                break;
            };
            let gap = usize::try_from(first.at() - self.read).unwrap_or(0).min(rest.len());
            if gap > 0 {
                let (silent, after) = std::mem::take(&mut rest).split_at_mut(gap);
                silent.fill(self.silence);
                self.read += i64::try_from(gap).unwrap_or(0);
                rest = after;
                continue;
            }
            let taken = first.take(rest);
            if first.is_empty() {
                self.pieces.pop_front();
            }
            self.stored -= taken;
            self.read += i64::try_from(taken).unwrap_or(0);
            rest = std::mem::take(&mut rest).get_mut(taken..).unwrap_or_default();
        }
        self.read += i64::try_from(rest.len()).unwrap_or(0);
        self.missing = self.missing.saturating_add(count).min(FAR);
        if self.pieces.is_empty() {
            self.pieces = VecDeque::new();
        }
        total
    }

    /// Sets that the client is asked about every second time that the host pulls, a period of so many microseconds each
    /// time; none: as soon as the least request is missing. `bytes` says how many bytes a period has.
    ///
    /// A tenth more than two periods are asked for then, where the target is shorter: with what the host keeps ahead, a client
    /// has as long to answer as one that is asked each time.
    pub(crate) fn set_pace(&mut self, period: Option<u64>, bytes: impl FnOnce(u64) -> u64) {
        if self.pace.map(|(micros, _)| micros) == period {
            return;
        }
        self.pace = period.map(|micros| (micros, i64::try_from(bytes(micros)).unwrap_or(FAR).min(FAR >> 2)));
        let wanted = self.pace.map_or(0, |(_, bytes)| bytes * 2 + bytes / 10 - self.target);
        let extra = wanted.clamp(0, self.max_length - self.target) / self.frame * self.frame;
        self.missing = self.missing.saturating_add(extra - self.extra).clamp(-FAR, FAR);
        self.extra = extra;
    }

    /// Whether the client need not be asked yet, as there is enough for the host's next pull.
    fn can_wait(&self) -> bool {
        self.pace.is_some_and(|(_, bytes)| self.missing < bytes * 2 && self.length() >= bytes + bytes / 20)
    }

    /// How many bytes to ask the client for now; counted as asked for.
    pub(crate) fn pop_missing(&mut self) -> u32 {
        if self.missing <= 0 || !self.prebuf_active() && (self.missing < self.min_request || self.can_wait()) {
            return 0;
        }
        let missing = std::mem::take(&mut self.missing);
        self.requested = self.requested.saturating_add(missing).min(FAR);
        u32::try_from(missing).unwrap_or(u32::MAX)
    }

    /// Forgets what has not been played; the write index goes back to what is played next, and prebuffering begins.
    pub(crate) fn flush(&mut self) {
        self.pieces = VecDeque::new();
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

#[cfg(test)]
mod tests;
