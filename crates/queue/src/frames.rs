//! Interleaved sound from one thread to another, in whole frames.
//!
//! States, from either half:
//! - *full*: the writer can write nothing; only the reader makes room.
//! - *empty*: the reader can read nothing; only the writer changes that.
//! - *peer gone*: the other half was dropped. What was written can still be read; what is written is never read.
//!
//! A read or write takes as many frames as there are, says how many, and never waits. Whether a short one is an
//! overrun, an underrun, or nothing special is for its user to know and to count.

use core::fmt;

use rtrb::chunks::ReadChunk;
use rtrb::{Consumer, Producer, RingBuffer};
use soundpost_core::FrameCount;

/// A queue for `capacity` frames of `width` elements each: samples (`f32`, as many as channels) or bytes (as many as
/// a frame of a [`Format`](soundpost_core::Format) takes).
///
/// A capacity or width of 0 counts as 1.
#[must_use]
pub fn queue<T: Copy>(capacity: FrameCount, width: usize) -> (FrameWriter<T>, FrameReader<T>) {
    let width = width.max(1);
    let (producer, consumer) = RingBuffer::new(capacity.as_usize().max(1).saturating_mul(width));
    (FrameWriter { producer, width }, FrameReader { consumer, width })
}

/// The writing half.
pub struct FrameWriter<T> {
    producer: Producer<T>,
    width: usize,
}

impl<T: Copy> FrameWriter<T> {
    /// Writes as many whole frames of `frames` as there is room for; returns how many.
    pub fn write(&mut self, frames: &[T]) -> FrameCount {
        let room = self.producer.slots().min(frames.len()) / self.width;
        // Whole frames in, whole frames out: the number of free slots is a multiple of the width at all times.
        let (written, _) = self.producer.push_partial_slice(&frames[..room * self.width]);
        FrameCount::from_usize(written.len() / self.width)
    }

    /// Lets `fill` write up to `frames` frames where they will lie, without a copy; they can be read when it returns.
    ///
    /// It gets the place in two parts, each of whole frames, the second one often empty, and may be called with both
    /// empty. What lies there before is what was read before, or `T::default()`. Returns how many frames were written:
    /// all that there is room for.
    pub fn write_with(&mut self, frames: FrameCount, fill: impl FnOnce(&mut [T], &mut [T])) -> FrameCount
    where
        T: Default,
    {
        let count = frames.as_usize().min(self.producer.slots() / self.width);
        match self.producer.write_chunk(count * self.width) {
            Ok(mut chunk) => {
                let (first, second) = chunk.as_mut_slices();
                fill(first, second);
                chunk.commit_all();
                FrameCount::from_usize(count)
            }
            // Not reached: the slots were just seen, and nobody else takes them.
            Err(_) => FrameCount::ZERO,
        }
    }

    /// Frames that can be written for certain. The reader may make more room meanwhile.
    #[must_use]
    pub fn room(&self) -> FrameCount {
        FrameCount::from_usize(self.producer.slots() / self.width)
    }

    /// Frames that wait to be read. The reader may have taken some meanwhile.
    #[must_use]
    pub fn queued(&self) -> FrameCount {
        self.capacity().saturating_sub(self.room())
    }

    /// The most frames that wait.
    #[must_use]
    pub fn capacity(&self) -> FrameCount {
        FrameCount::from_usize(self.producer.buffer().capacity() / self.width)
    }

    /// Whether the reader was dropped.
    #[must_use]
    pub fn is_peer_gone(&self) -> bool {
        self.producer.is_abandoned()
    }
}

/// The reading half.
pub struct FrameReader<T> {
    consumer: Consumer<T>,
    width: usize,
}

impl<T: Copy> FrameReader<T> {
    /// Reads as many whole frames as there are and `frames` has room for; returns how many.
    pub fn read(&mut self, frames: &mut [T]) -> FrameCount {
        let count = self.consumer.slots().min(frames.len()) / self.width;
        let (read, _) = self.consumer.pop_partial_slice(&mut frames[..count * self.width]);
        FrameCount::from_usize(read.len() / self.width)
    }

    /// Up to `frames` frames where they lie, without a copy. They stay in the queue until [`Front::take`].
    #[inline]
    pub fn front(&mut self, frames: FrameCount) -> Front<'_, T> {
        let slots = self.consumer.slots();
        let asked = frames.as_usize().saturating_mul(self.width);
        // Whole frames are in the queue at all times.
        let count = if asked <= slots { asked } else { slots };
        Front { chunk: self.consumer.read_chunk(count).ok(), width: self.width }
    }

    /// Shows up to `frames` frames where they lie, without a copy, and takes them out. `look` gets them in two parts,
    /// each of whole frames, the second one often empty, and may be called with both empty.
    ///
    /// Returns how many frames were taken, and what `look` returned.
    pub fn take_with<A>(&mut self, frames: FrameCount, look: impl FnOnce(&[T], &[T]) -> A) -> (FrameCount, A) {
        let front = self.front(frames);
        let (first, second) = front.parts();
        let seen = look(first, second);
        (front.take(), seen)
    }

    /// Throws up to `frames` frames away; returns how many.
    pub fn discard(&mut self, frames: FrameCount) -> FrameCount {
        self.take_with(frames, |_, _| ()).0
    }

    /// Frames that can be read for certain. The writer may add some meanwhile.
    #[must_use]
    pub fn queued(&self) -> FrameCount {
        FrameCount::from_usize(frames_of(self.consumer.slots(), self.width))
    }

    /// The most frames that wait.
    #[must_use]
    pub fn capacity(&self) -> FrameCount {
        FrameCount::from_usize(self.consumer.buffer().capacity() / self.width)
    }

    /// Whether the writer was dropped. Frames may be left to read.
    #[must_use]
    pub fn is_peer_gone(&self) -> bool {
        self.consumer.is_abandoned()
    }
}

/// How many frames so many elements are. A division by a number that is not known takes longer than all else that a
/// look at a queue does, and passes look at each stream's several times: the usual widths go without one.
#[inline(always)]
fn frames_of(elements: usize, width: usize) -> usize {
    match width {
        1 => elements,
        2 => elements / 2,
        _ => elements / width,
    }
}

/// The next frames of a queue, looked at where they lie. Dropped, it leaves them there.
pub struct Front<'a, T> {
    /// Always there: no more is asked for than there is, and nobody else takes any.
    chunk: Option<ReadChunk<'a, T>>,
    width: usize,
}

impl<T: Copy> Front<'_, T> {
    /// The frames in two parts, each of whole frames; the second one is often empty, and both may be.
    #[must_use]
    #[inline]
    pub fn parts(&self) -> (&[T], &[T]) {
        self.chunk.as_ref().map_or((&[], &[]), ReadChunk::as_slices)
    }

    /// Takes them out of the queue; returns how many there were.
    #[inline]
    pub fn take(self) -> FrameCount {
        let Some(chunk) = self.chunk else { return FrameCount::ZERO };
        let count = frames_of(chunk.len(), self.width);
        chunk.commit_all();
        FrameCount::from_usize(count)
    }
}

impl<T: Copy> fmt::Debug for Front<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let samples = self.chunk.as_ref().map_or(0, ReadChunk::len);
        f.debug_struct("Front").field("frames", &(samples / self.width)).finish()
    }
}

impl<T: Copy> fmt::Debug for FrameWriter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameWriter").field("room", &self.room()).field("capacity", &self.capacity()).finish()
    }
}

impl<T: Copy> fmt::Debug for FrameReader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameReader").field("queued", &self.queued()).field("capacity", &self.capacity()).finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_gone_peer_is_noticed_and_what_it_wrote_can_still_be_read() {
        let (mut writer, mut reader) = queue(FrameCount::new(4), 2);
        writer.write(&[1_u8, 2]);
        drop(writer);
        let mut out = [0; 8];
        assert!(reader.is_peer_gone());
        assert_eq!((reader.read(&mut out).get(), out[..2].to_vec()), (1, vec![1, 2]));

        let (mut writer, reader) = queue(FrameCount::new(4), 2);
        drop(reader);
        assert!(writer.is_peer_gone());
        assert_eq!(writer.write(&[1_u8; 10]).get(), 4);
    }

    #[test]
    fn what_was_looked_at_and_not_taken_stays() {
        let (mut writer, mut reader) = queue(FrameCount::new(4), 2);
        writer.write(&[1_u8, 2, 3, 4]);
        assert_eq!(reader.front(FrameCount::new(3)).parts(), (&[1, 2, 3, 4][..], &[][..]));
        assert_eq!((reader.queued().get(), writer.queued().get()), (2, 2));
        assert_eq!(reader.front(FrameCount::new(1)).take().get(), 1);
        assert_eq!(reader.front(FrameCount::new(2)).parts().0, [3, 4]);
    }

    #[test]
    fn incomplete_frames_are_left() {
        let (mut writer, mut reader) = queue(FrameCount::new(4), 3);
        assert_eq!(writer.write(&[1_u8; 8]).get(), 2);
        let mut out = [0; 5];
        assert_eq!(reader.read(&mut out).get(), 1);
        assert_eq!(out, [1, 1, 1, 0, 0]);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Write(usize),
        Read(usize),
        Take(u32),
        Discard(u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0_usize..40).prop_map(Step::Write),
            (0_usize..40).prop_map(Step::Read),
            (0_u32..20).prop_map(Step::Take),
            (0_u32..20).prop_map(Step::Discard),
        ]
    }

    proptest! {
        /// Whatever is done in whatever order: the queue does what a deque of bounded length does.
        #[test]
        fn the_queue_is_a_bounded_deque(
            capacity in 1_u32..12,
            width in 1_usize..5,
            steps in proptest::collection::vec(step(), 0..80),
        ) {
            let (mut writer, mut reader) = queue::<u32>(FrameCount::new(capacity), width);
            let mut model: VecDeque<u32> = VecDeque::new();
            let mut next = 0_u32;
            for step in steps {
                match step {
                    Step::Write(elements) => {
                        let input: Vec<u32> = (next..next + elements as u32).collect();
                        let frames = (elements / width).min(capacity as usize - model.len() / width);
                        prop_assert_eq!(writer.write(&input).as_usize(), frames);
                        model.extend(&input[..frames * width]);
                        next += elements as u32;
                    }
                    Step::Read(elements) => {
                        let mut output = vec![u32::MAX; elements];
                        let frames = (elements / width).min(model.len() / width);
                        prop_assert_eq!(reader.read(&mut output).as_usize(), frames);
                        let expected: Vec<u32> = model.drain(..frames * width).collect();
                        prop_assert_eq!(&output[..frames * width], &expected[..]);
                        prop_assert!(output[frames * width..].iter().all(|rest| *rest == u32::MAX));
                    }
                    Step::Take(frames) => {
                        let (taken, seen) = reader.take_with(FrameCount::new(frames), |first, second| {
                            assert!(first.len() % width == 0 && second.len() % width == 0);
                            [first, second].concat()
                        });
                        let count = (frames as usize).min(model.len() / width);
                        let expected: Vec<u32> = model.drain(..count * width).collect();
                        prop_assert_eq!((taken.as_usize(), seen), (count, expected));
                    }
                    Step::Discard(frames) => {
                        let count = (frames as usize).min(model.len() / width);
                        prop_assert_eq!(reader.discard(FrameCount::new(frames)).as_usize(), count);
                        model.drain(..count * width);
                    }
                }
                prop_assert_eq!(reader.queued().as_usize() * width, model.len());
                prop_assert_eq!(writer.queued(), reader.queued());
                prop_assert_eq!(writer.room().get() + writer.queued().get(), capacity);
                prop_assert_eq!((writer.capacity().get(), reader.capacity().get()), (capacity, capacity));
            }
        }
    }
}
