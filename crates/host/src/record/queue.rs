//! From the real-time half to the thread that writes: sound, and silence that is only counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

use rtrb::{Consumer, Producer, RingBuffer};
use soundpost_core::{Format, FrameCount};
use soundpost_endpoint::Event;

/// How much sound the queue holds.
const SECONDS: u32 = 2;
/// How many stretches of silence it holds: more than there are passes in that time.
const STRETCHES: usize = 1024;

/// A stretch of silence, behind so many bytes of sound.
#[derive(Clone, Copy, Debug)]
struct Silence {
    after: u64,
    frames: u64,
}

/// What both ends see.
#[derive(Debug, Default)]
struct Common {
    /// The writing thread waits for a signal, and not just for a while.
    asleep: AtomicBool,
    /// Frames of silence that found no room in the queue yet. Written by the sound's end alone.
    owed: AtomicU64,
    cut: AtomicU64,
}

/// Makes a queue; `wake` is signalled when the other end sleeps.
pub(super) fn queue(format: Format, wake: Arc<dyn Event>) -> (SoundSender, SoundReceiver) {
    let frames = FrameCount::new(format.rate.get().saturating_mul(SECONDS));
    let (bytes_in, bytes_out) = RingBuffer::new(format.bytes_of(frames));
    let (silence_in, silence_out) = RingBuffer::new(STRETCHES);
    let common = Arc::new(Common::default());
    let sender =
        SoundSender { format, bytes: bytes_in, silence: silence_in, common: common.clone(), wake, sent: 0, owed: 0 };
    (sender, SoundReceiver { bytes: bytes_out, silence: silence_out, common, taken: 0, pending: 0 })
}

/// The real-time end: never waits, never allocates.
pub(super) struct SoundSender {
    format: Format,
    bytes: Producer<u8>,
    silence: Producer<Silence>,
    common: Arc<Common>,
    wake: Arc<dyn Event>,
    /// Bytes of sound sent.
    sent: u64,
    owed: u64,
}

impl SoundSender {
    /// Sends whole frames. Where there is no room for all of them they are cut: silence of their length follows later.
    pub(super) fn sound(&mut self, frames: &[u8]) {
        self.settle();
        if self.owed == 0 && self.bytes.push_entire_slice(frames).is_ok() {
            self.sent = self.sent.saturating_add(count(frames.len()));
        } else {
            let cut = u64::from(self.format.frames_in(frames.len()).get());
            self.common.cut.fetch_add(cut, Ordering::Relaxed);
            self.owe(cut);
        }
    }

    /// Sends silence.
    pub(super) fn silence(&mut self, frames: FrameCount) {
        self.owe(u64::from(frames.get()));
        self.settle();
    }

    /// The end of a pass: wakes the writing thread if it sleeps.
    pub(super) fn flush(&mut self) {
        self.settle();
        // With the fence in `SoundReceiver::sleep`: either this load sees that the other end has gone to sleep, or its
        // last look into the queue sees what was sent.
        fence(Ordering::SeqCst);
        if self.common.asleep.load(Ordering::Relaxed) && self.common.asleep.swap(false, Ordering::Relaxed) {
            self.wake.signal();
        }
    }

    fn settle(&mut self) {
        if self.owed > 0 && self.silence.push(Silence { after: self.sent, frames: self.owed }).is_ok() {
            self.owed = 0;
            self.common.owed.store(0, Ordering::Release);
        }
    }

    fn owe(&mut self, frames: u64) {
        self.owed = self.owed.saturating_add(frames);
        self.common.owed.store(self.owed, Ordering::Release);
    }
}

/// A piece of what was sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Bytes of sound: whole frames, where there is room for a whole number of them.
    Sound(&'a [u8]),
    /// Frames of silence.
    Silence(u64),
}

/// The writing thread's end.
#[derive(Debug)]
pub(super) struct SoundReceiver {
    bytes: Consumer<u8>,
    silence: Consumer<Silence>,
    common: Arc<Common>,
    /// Bytes of sound taken.
    taken: u64,
    pending: usize,
}

impl SoundReceiver {
    /// The next piece, copied to `room` if it is sound; `None` where nothing is there. [`SoundReceiver::done`] takes
    /// it out of the queue; until then the same comes again.
    pub(super) fn next<'a>(&mut self, room: &'a mut [u8]) -> Option<Piece<'a>> {
        // First the sound, then the silence: silence is sent before the sound that follows it, so whatever sound is
        // seen here, the silence before it is seen too.
        let there = self.bytes.slots();
        let until_silence = match self.silence.peek() {
            Ok(silence) if silence.after <= self.taken => {
                self.pending = 0;
                return Some(Piece::Silence(silence.frames));
            }
            Ok(silence) => usize::try_from(silence.after - self.taken).unwrap_or(usize::MAX),
            Err(_) => usize::MAX,
        };
        let len = there.min(until_silence).min(room.len());
        if len == 0 {
            return None;
        }
        let chunk = self.bytes.read_chunk(len).ok()?;
        let (first, second) = chunk.as_slices();
        let (head, tail) = room.get_mut(..len)?.split_at_mut_checked(first.len())?;
        head.copy_from_slice(first);
        tail.copy_from_slice(second);
        self.pending = len;
        room.get(..len).map(Piece::Sound)
    }

    /// The piece that `next` gave last is dealt with.
    pub(super) fn done(&mut self) {
        if self.pending == 0 {
            let _ = self.silence.pop();
        } else if let Ok(chunk) = self.bytes.read_chunk(self.pending) {
            chunk.commit_all();
            self.taken = self.taken.saturating_add(count(self.pending));
            self.pending = 0;
        }
    }

    /// Announces that the thread will wait for a signal; false where there is something to do first.
    pub(super) fn sleep(&self) -> bool {
        self.common.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let idle = self.bytes.is_empty() && self.silence.is_empty();
        if !idle {
            self.common.asleep.store(false, Ordering::Relaxed);
        }
        idle
    }

    /// Frames of silence at the very end that did not find room in the queue.
    pub(super) fn owed(&self) -> u64 {
        self.common.owed.load(Ordering::Acquire)
    }

    /// Frames that were cut so far.
    pub(super) fn cut(&self) -> u64 {
        self.common.cut.load(Ordering::Relaxed)
    }
}

fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
