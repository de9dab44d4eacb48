//! A ring of whole frames between one writer and one reader.

use rtrb::{Consumer, Producer, RingBuffer};
use soundpost_core::FrameCount;

/// A bounded ring of frames, `width` items each (samples for interleaved `f32`, bytes for a byte format), for exactly
/// one writer and one reader, which may live on different threads. Neither side ever waits, locks or allocates.
///
/// `width` of 0 counts as 1. The memory is taken here, and given back when both halves are gone: drop the last one on
/// the control side.
#[must_use]
pub fn frame_queue<T: Copy + Default>(width: usize, capacity: FrameCount) -> (FrameWriter<T>, FrameReader<T>) {
    let width = width.max(1);
    let (producer, consumer) = RingBuffer::new(width.saturating_mul(capacity.as_usize()));
    (FrameWriter { producer, width, capacity }, FrameReader { consumer, width, capacity })
}

/// The writing half of a [`frame_queue`]. `Send`, not `Sync`: one thread at a time.
#[derive(Debug)]
pub struct FrameWriter<T> {
    producer: Producer<T>,
    width: usize,
    capacity: FrameCount,
}

/// The reading half of a [`frame_queue`]. `Send`, not `Sync`: one thread at a time.
#[derive(Debug)]
pub struct FrameReader<T> {
    consumer: Consumer<T>,
    width: usize,
    capacity: FrameCount,
}

impl<T: Copy + Default> FrameWriter<T> {
    /// Writes the first frames of `items` for which there is room, whole frames only, and answers how many. A rest
    /// that is no whole frame is not looked at. What did not fit is the caller's to keep or to count as overrun.
    pub fn write(&mut self, items: &[T]) -> FrameCount {
        let frames = (items.len() / self.width).min(self.space().as_usize());
        let (whole, _) = items.split_at(frames * self.width);
        let (written, _) = self.producer.push_partial_slice(whole);
        FrameCount::from_usize(written.len() / self.width)
    }

    /// Frames that fit now. The reader can only make it more.
    #[must_use]
    pub fn space(&self) -> FrameCount {
        FrameCount::from_usize(self.producer.slots() / self.width)
    }

    /// Frames that the queue holds when full.
    #[must_use]
    pub fn capacity(&self) -> FrameCount {
        self.capacity
    }

    /// Whether the reader is gone for good: nothing that is written will be read.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.producer.is_abandoned()
    }
}

impl<T: Copy + Default> FrameReader<T> {
    /// Fills the beginning of `items` with the frames that are there, whole frames only, and answers how many. What
    /// lies behind them in `items` stays as it is: the caller's to fill and to count as underrun.
    pub fn read(&mut self, items: &mut [T]) -> FrameCount {
        let frames = (items.len() / self.width).min(self.available().as_usize());
        let (whole, _) = items.split_at_mut(frames * self.width);
        let (read, _) = self.consumer.pop_partial_slice(whole);
        FrameCount::from_usize(read.len() / self.width)
    }

    /// Throws the oldest frames away, at most `frames`, and answers how many there were.
    pub fn skip(&mut self, frames: FrameCount) -> FrameCount {
        let frames = frames.min(self.available());
        match self.consumer.read_chunk(frames.as_usize() * self.width) {
            Ok(chunk) => {
                chunk.commit_all();
                frames
            }
            Err(_) => FrameCount::ZERO,
        }
    }

    /// Frames that can be read now. The writer can only make it more.
    #[must_use]
    pub fn available(&self) -> FrameCount {
        FrameCount::from_usize(self.consumer.slots() / self.width)
    }

    /// Frames that the queue holds when full.
    #[must_use]
    pub fn capacity(&self) -> FrameCount {
        self.capacity
    }

    /// Whether the writer is gone for good: what is available now is the end.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.consumer.is_abandoned()
    }
}
