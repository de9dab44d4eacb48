//! The shared memory of an exclusive use: sealed, and reached word by word.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{Ordering, fence};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use soundpost_core::FrameCount;
use soundpost_endpoint::exclusive::record::{
    DEVICE_POSITION, DEVICE_TIME, PARAMETERS, RING_OFFSET, SEQUENCE, SERVER_STATE,
};
use soundpost_endpoint::exclusive::{ExclusiveRecord, record};

use super::error::OpenError;
use crate::sys::Mapping;

/// Bytes of a word.
const WORD: usize = 8;
/// How often a pair of numbers is read again that the server was just writing.
const TRIES: usize = 1_000;

/// Makes memory for a record: of its length for ever, and nobody can change that.
///
/// # Errors
/// The system's: no memory, too many files.
pub(super) fn sealed(size: usize) -> io::Result<OwnedFd> {
    let memory = memfd_create(c"soundpost-exclusive", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    ftruncate(&memory, u64::try_from(size).unwrap_or(u64::MAX))?;
    fcntl_add_seals(&memory, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(memory)
}

/// Record and ring, mapped. Both sides have one; each trusts its own copy of the parameters, never the memory's.
#[derive(Debug)]
pub(super) struct SharedRing {
    mapping: Mapping,
    record: ExclusiveRecord,
}

impl SharedRing {
    /// The server's: maps new memory and writes the record.
    pub(super) fn create(memory: BorrowedFd<'_>, record: ExclusiveRecord) -> io::Result<Self> {
        let mapping = Mapping::of_sealed(memory)?;
        let ring = Self { mapping, record };
        for (at, word) in record.words().into_iter().enumerate() {
            ring.store(at, word);
        }
        ring.store(SERVER_STATE, record::OPEN);
        Ok(ring)
    }

    /// The client's: maps memory that it was handed, and checks the record.
    pub(super) fn open(memory: BorrowedFd<'_>) -> Result<Self, OpenError> {
        let mapping = Mapping::of_sealed(memory).map_err(OpenError::Memory)?;
        let mut words = [0; PARAMETERS];
        for (word, there) in words.iter_mut().zip(mapping.words()) {
            *word = there.load(Ordering::Relaxed);
        }
        let record = ExclusiveRecord::from_words(&words, mapping.words().len().saturating_mul(WORD))?;
        Ok(Self { mapping, record })
    }

    pub(super) fn record(&self) -> &ExclusiveRecord {
        &self.record
    }

    /// A word of the record; acquire, so that what was written before it is seen.
    pub(super) fn load(&self, word: usize) -> u64 {
        self.mapping.words().get(word).map_or(0, |word| word.load(Ordering::Acquire))
    }

    /// Writes a word of the record; release, so that whoever reads it sees what was written before.
    pub(super) fn store(&self, word: usize, value: u64) {
        if let Some(word) = self.mapping.words().get(word) {
            word.store(value, Ordering::Release);
        }
    }

    /// The server's: where the device is, and when it was there. A sequence lock: odd while the two are written.
    pub(super) fn publish_device(&self, position: u64, time: u64) {
        let words = self.mapping.words();
        let word = |at: usize| words.get(at);
        let (Some(sequence), Some(place), Some(moment)) = (word(SEQUENCE), word(DEVICE_POSITION), word(DEVICE_TIME))
        else {
            return;
        };
        let version = sequence.load(Ordering::Relaxed);
        sequence.store(version.wrapping_add(1) | 1, Ordering::Relaxed);
        fence(Ordering::Release);
        place.store(position, Ordering::Relaxed);
        moment.store(time, Ordering::Relaxed);
        sequence.store((version.wrapping_add(1) | 1).wrapping_add(1), Ordering::Release);
    }

    /// The client's: the pair that was published last. `None` where the server is writing all the time, which a server
    /// of ours does not.
    pub(super) fn device(&self) -> Option<(u64, u64)> {
        for _ in 0..TRIES {
            let version = self.load(SEQUENCE);
            let words = self.mapping.words();
            let (place, time) = (words.get(DEVICE_POSITION)?, words.get(DEVICE_TIME)?);
            let pair = (place.load(Ordering::Relaxed), time.load(Ordering::Relaxed));
            fence(Ordering::Acquire);
            if version.is_multiple_of(2) && words.get(SEQUENCE)?.load(Ordering::Relaxed) == version {
                return Some(pair);
            }
            std::hint::spin_loop();
        }
        None
    }

    /// Copies whole frames out of the ring, from the frame with this position in the stream on, as `out` has room for:
    /// at most the ring's length. Real-time safe.
    pub(super) fn copy_out(&self, position: u64, out: &mut [u8]) {
        let (head, tail) = self.split(position, out.len());
        let (first, second) = out.split_at_mut(head.1.min(out.len()));
        self.read_bytes(head.0, first);
        self.read_bytes(tail, second);
    }

    /// Copies whole frames into the ring, likewise. The other side must not be told before.
    pub(super) fn copy_in(&self, position: u64, sound: &[u8]) {
        let (head, tail) = self.split(position, sound.len());
        let (first, second) = sound.split_at(head.1.min(sound.len()));
        self.write_bytes(head.0, first);
        self.write_bytes(tail, second);
    }

    /// Fills frames of the ring with silence.
    pub(super) fn silence(&self, position: u64, frames: FrameCount) {
        let block = [self.record.format.sample.silence_byte(); 256];
        let frame = self.record.format.frame_bytes();
        let most = FrameCount::from_usize(block.len() / frame);
        let (mut at, mut left) = (position, frames);
        while !left.is_zero() {
            let now = left.min(most);
            self.copy_in(at, block.get(..self.record.format.bytes_of(now)).unwrap_or_default());
            at = at.wrapping_add(u64::from(now.get()));
            left = left.saturating_sub(now);
        }
    }

    /// Where `bytes` bytes from a position on lie: offset and length of the part up to the ring's end, and the offset
    /// of the rest.
    fn split(&self, position: u64, bytes: usize) -> ((usize, usize), usize) {
        let ring = u64::from(self.record.ring.get().max(1));
        let place = usize::try_from(position % ring).unwrap_or(0) * self.record.format.frame_bytes();
        let length = self.record.format.bytes_of(self.record.ring);
        ((RING_OFFSET + place, bytes.min(length - place)), RING_OFFSET)
    }

    fn read_bytes(&self, offset: usize, out: &mut [u8]) {
        let words = self.mapping.words();
        let mut at = offset;
        let mut rest = out;
        while !rest.is_empty() {
            let Some(word) = words.get(at / WORD) else { return };
            let bytes = word.load(Ordering::Relaxed).to_ne_bytes();
            let from = bytes.get(at % WORD..).unwrap_or_default();
            let count = from.len().min(rest.len());
            let (now, later) = rest.split_at_mut(count);
            now.copy_from_slice(from.get(..count).unwrap_or_default());
            (rest, at) = (later, at + count);
        }
    }

    fn write_bytes(&self, offset: usize, sound: &[u8]) {
        let words = self.mapping.words();
        let mut at = offset;
        let mut rest = sound;
        while !rest.is_empty() {
            let Some(word) = words.get(at / WORD) else { return };
            let count = (WORD - at % WORD).min(rest.len());
            let (now, later) = rest.split_at(count);
            // One side alone writes the ring, so what a word holds beside these bytes does not change meanwhile.
            let mut bytes = if count == WORD { [0; WORD] } else { word.load(Ordering::Relaxed).to_ne_bytes() };
            if let Some(there) = bytes.get_mut(at % WORD..at % WORD + count) {
                there.copy_from_slice(now);
            }
            word.store(u64::from_ne_bytes(bytes), Ordering::Relaxed);
            (rest, at) = (later, at + count);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::os::fd::AsFd as _;

    use soundpost_core::{ChannelCount, ChannelLayout, Format, Hns, SampleFormat, SampleRate};
    use soundpost_endpoint::DataFlow;
    use soundpost_endpoint::exclusive::{ExclusivePlan, ExclusiveRequest};

    use super::*;

    fn ring(sample: SampleFormat, channels: u8) -> (OwnedFd, SharedRing) {
        let layout = ChannelLayout::default_for(ChannelCount::new(u16::from(channels)).unwrap());
        let format = Format { sample, rate: SampleRate::HZ_44100, layout };
        let request = ExclusiveRequest {
            process: NonZeroU32::MIN,
            period: Hns::new(25_000),
            buffer: Hns::from_millis(20),
            coefficient: 0,
        };
        let plan = ExclusivePlan::new(format, &request, Hns::ZERO).unwrap();
        let record = ExclusiveRecord::new(DataFlow::Render, &plan);
        let memory = sealed(record.size()).unwrap();
        let ring = SharedRing::create(memory.as_fd(), record).unwrap();
        (memory, ring)
    }

    #[test]
    fn d5_the_memory_can_neither_be_shrunk_nor_grown_nor_sealed_further() {
        let (memory, ring) = ring(SampleFormat::S16, 2);
        let size = ring.record().size() as u64;
        assert_eq!(ftruncate(&memory, size - 4_096), Err(rustix::io::Errno::PERM));
        assert_eq!(ftruncate(&memory, 0), Err(rustix::io::Errno::PERM));
        assert_eq!(ftruncate(&memory, size + 4_096), Err(rustix::io::Errno::PERM));
        assert_eq!(fcntl_add_seals(&memory, SealFlags::WRITE), Err(rustix::io::Errno::PERM));
        assert_eq!(fcntl_add_seals(&memory, SealFlags::FUTURE_WRITE), Err(rustix::io::Errno::PERM));
    }

    #[test]
    fn d5_memory_that_is_not_sealed_is_not_mapped() {
        let memory = memfd_create(c"open", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        ftruncate(&memory, 8_192).unwrap();
        fcntl_add_seals(&memory, SealFlags::GROW | SealFlags::SEAL).unwrap();
        assert!(Mapping::of_sealed(memory.as_fd()).is_err());
        let file = tempfile::tempfile().unwrap();
        file.set_len(8_192).unwrap();
        assert!(Mapping::of_sealed(file.as_fd()).is_err());
        assert!(matches!(SharedRing::open(sealed(8_192).unwrap().as_fd()), Err(OpenError::Record(_))));
    }

    #[test]
    fn d5_frames_of_every_length_go_round_the_ring_unharmed() {
        for (sample, channels) in
            [(SampleFormat::U8, 1), (SampleFormat::S16, 2), (SampleFormat::S24, 1), (SampleFormat::S24, 5)]
        {
            let (memory, server) = ring(sample, channels);
            let client = SharedRing::open(memory.as_fd()).unwrap();
            let format = server.record().format;
            let (mut position, mut next) = (0_u64, 0_u8);
            for frames in [1_u32, 7, 441, 882, 3, 111, 600, 882, 5] {
                let sound: Vec<u8> = std::iter::repeat_with(|| {
                    next = next.wrapping_mul(5).wrapping_add(17);
                    next
                })
                .take(format.bytes_of(FrameCount::new(frames)))
                .collect();
                client.copy_in(position, &sound);
                let mut out = vec![0; sound.len()];
                server.copy_out(position, &mut out);
                assert!(out == sound, "{frames} frames of {format} at {position}");
                position += u64::from(frames);
            }
            client.silence(position, FrameCount::new(800));
            let mut out = vec![1; format.bytes_of(FrameCount::new(800))];
            server.copy_out(position, &mut out);
            assert!(out.iter().all(|byte| *byte == sample.silence_byte()));
        }
    }

    #[test]
    fn t2_a_position_and_its_time_belong_together() {
        let (memory, server) = ring(SampleFormat::S16, 2);
        let client = SharedRing::open(memory.as_fd()).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| (1..=100_000).for_each(|n| server.publish_device(n, n * 3)));
            let mut last = 0;
            while last < 100_000 {
                let Some((position, time)) = client.device() else { continue };
                assert!(time == position * 3 && position >= last);
                last = position;
            }
        });
    }
}
