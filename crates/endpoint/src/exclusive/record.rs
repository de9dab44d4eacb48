//! The record at the start of the shared memory, as numbers of 64 bits. `docs/exclusive-mode.md` (in the repository)
//! has it byte by byte.
//!
//! Three parts: what the server writes once before it hands the memory over (words 0 to 31), what the server writes
//! while the client plays or records (32 to 63), and what the client writes (64 to 95). The server never reads back
//! what it has written itself: it goes by its own copies.

use std::num::NonZeroU32;

use soundpost_core::{ChannelLayout, Format, FrameCount, Hns, SampleFormat, SampleRate};
use thiserror::Error;

use super::ExclusivePlan;
use crate::{BufferPlan, DataFlow};

/// Word 0: the bytes `SPOSTEXC`.
pub const MAGIC: u64 = u64::from_le_bytes(*b"SPOSTEXC");
/// Word 1.
pub const VERSION: u64 = 1;
/// Where the ring begins, in bytes: behind one page of record.
pub const RING_OFFSET: usize = 4_096;
/// Words that hold parameters.
pub const PARAMETERS: usize = 17;

/// Word of the server's state: [`OPEN`] or [`OVER`].
pub const SERVER_STATE: usize = 32;
/// Word of the reason for which it is over ([`super::ExclusiveEnd::code`]); written before the state.
pub const REASON: usize = 33;
/// Word of the server's position: frames taken from the ring (render) or put into it (capture).
pub const SERVER_POSITION: usize = 34;
/// Word that counts the server's passes, each of which has signalled the event.
pub const PASSES: usize = 35;
/// Word that counts how often the device ran dry although the client had started (render).
pub const UNDERRUNS: usize = 36;
/// Word that counts frames that the device had and the ring had no room for (capture).
pub const LOST: usize = 37;
/// Word that is odd while the next two are being written, and changes whenever they have changed.
pub const SEQUENCE: usize = 38;
/// Word of the device's position on the client's stream: frames played, or recorded.
pub const DEVICE_POSITION: usize = 39;
/// Word of the time of that position: CLOCK_MONOTONIC in units of 100 ns.
pub const DEVICE_TIME: usize = 40;

/// Word of the client's state ([`super::ClientState`]).
pub const CLIENT_STATE: usize = 64;
/// Word of the client's position: frames put into the ring (render) or taken from it (capture).
pub const CLIENT_POSITION: usize = 65;

/// The server serves.
pub const OPEN: u64 = 1;
/// It is over: nothing moves any more, and the memory may be let go.
pub const OVER: u64 = 2;

/// The parameters of an exclusive use: the part of the record that does not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExclusiveRecord {
    /// In which direction sound flows.
    pub flow: DataFlow,
    /// The format of a frame in the ring: the endpoint's own (E1).
    pub format: Format,
    /// Frames that the ring holds.
    pub ring: FrameCount,
    /// The device's period.
    pub period: Hns,
    /// The most frames that the server moves at once (E2).
    pub packet: FrameCount,
    /// What the endpoint behind the ring adds to the stream (E3).
    pub latency: Hns,
    /// The coefficient that was asked for.
    pub coefficient: u32,
    /// The process that this memory is for.
    pub process: NonZeroU32,
    /// Periods in which a started client may stand still.
    pub stall: u32,
}

impl ExclusiveRecord {
    /// The record for a plan.
    #[must_use]
    pub fn new(flow: DataFlow, plan: &ExclusivePlan) -> Self {
        let ExclusivePlan { process, sizes, coefficient, ring, stall } = *plan;
        let BufferPlan { format, period, packet, latency, .. } = sizes;
        Self { flow, format, ring, period, packet, latency, coefficient, process, stall }
    }

    /// Bytes of memory that record and ring take: a whole number of 4096.
    #[must_use]
    pub fn size(&self) -> usize {
        (RING_OFFSET + self.format.bytes_of(self.ring)).next_multiple_of(RING_OFFSET)
    }

    /// Words 0 to 16.
    #[must_use]
    pub fn words(&self) -> [u64; PARAMETERS] {
        let Format { sample, rate, layout } = self.format;
        let wide = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        [
            MAGIC,
            VERSION,
            wide(self.size()),
            wide(RING_OFFSET),
            self.ring.get().into(),
            match self.flow {
                DataFlow::Render => 0,
                DataFlow::Capture => 1,
            },
            wide(SampleFormat::ALL.iter().position(|known| *known == sample).unwrap_or(usize::MAX)),
            rate.get().into(),
            layout.channels().get().into(),
            layout.mask().into(),
            wide(self.format.frame_bytes()),
            self.period.get().max(0).unsigned_abs(),
            self.packet.get().into(),
            self.latency.get().max(0).unsigned_abs(),
            self.coefficient.into(),
            self.process.get().into(),
            self.stall.into(),
        ]
    }

    /// Reads words 0 to 16 of a memory of `size` bytes: what a client does with what it was handed. Whatever the words
    /// are, a record that comes out fits the memory.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn from_words(words: &[u64; PARAMETERS], size: usize) -> Result<Self, RecordError> {
        let [
            magic,
            version,
            claimed,
            offset,
            ring,
            flow,
            sample,
            rate,
            channels,
            mask,
            frame_bytes,
            period,
            packet,
            latency,
            coefficient,
            process,
            stall,
        ] = *words;
        if magic != MAGIC {
            return Err(RecordError::Magic { got: magic });
        }
        if version != VERSION {
            return Err(RecordError::Version { got: version });
        }
        let wrong = |what: &'static str, got: u64| RecordError::Value { what, got };
        let narrow = |what: &'static str, value: u64| u32::try_from(value).map_err(|_| wrong(what, value));
        let time = |what, value: u64, most: Hns| match i64::try_from(value).map(Hns::new) {
            Ok(time) if time <= most => Ok(time),
            _ => Err(wrong(what, value)),
        };
        let flow = match flow {
            0 => DataFlow::Render,
            1 => DataFlow::Capture,
            got => return Err(wrong("flow", got)),
        };
        let known = usize::try_from(sample).ok().and_then(|index| SampleFormat::ALL.get(index)).copied();
        let known = known.ok_or_else(|| wrong("sample format", sample))?;
        let hertz = SampleRate::new(narrow("rate", rate)?).map_err(|_| wrong("rate", rate))?;
        let count = u16::try_from(channels).map_err(|_| wrong("number of channels", channels))?;
        let layout =
            ChannelLayout::new(count, narrow("channel mask", mask)?).map_err(|_| wrong("channel mask", mask))?;
        let format = Format { sample: known, rate: hertz, layout };
        let record = Self {
            flow,
            format,
            ring: FrameCount::new(narrow("ring length", ring)?),
            period: time("period", period, BufferPlan::LONGEST_PERIOD)?,
            packet: FrameCount::new(narrow("packet length", packet)?),
            latency: time("latency", latency, BufferPlan::LONGEST_LATENCY)?,
            coefficient: narrow("coefficient", coefficient)?,
            process: NonZeroU32::new(narrow("process", process)?).ok_or_else(|| wrong("process", process))?,
            stall: narrow("stall limit", stall)?,
        };
        // Longer than the longest that is ever granted cannot be; with that the size below cannot overflow either.
        if record.ring.is_zero() || record.ring > hertz.frames_covering(ExclusivePlan::LONGEST_BUFFER) {
            return Err(wrong("ring length", ring));
        }
        if record.period < BufferPlan::SHORTEST_PERIOD {
            return Err(wrong("period", period));
        }
        if record.packet != hertz.frames_covering(record.period) {
            return Err(wrong("packet length", packet));
        }
        if stall == 0 {
            return Err(wrong("stall limit", stall));
        }
        // The rest follows from what is known by now: it has to be the same when it is written again.
        if offset != record.words()[3] {
            return Err(wrong("ring offset", offset));
        }
        if frame_bytes != record.words()[10] {
            return Err(wrong("frame length", frame_bytes));
        }
        if record.layout_mask() != mask {
            return Err(wrong("channel mask", mask));
        }
        if claimed != record.words()[2] || record.size() != size {
            return Err(RecordError::Size { claimed, needed: record.size(), there: size });
        }
        Ok(record)
    }

    fn layout_mask(&self) -> u64 {
        self.format.layout.mask().into()
    }
}

/// Why shared memory is no exclusive-mode record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Word 0.
    #[error("the shared memory does not begin with SPOSTEXC but with {got:#018x}")]
    Magic {
        /// What is there.
        got: u64,
    },
    /// Word 1.
    #[error("the shared memory's record has version {got}, this client knows version 1: use the same version of both")]
    Version {
        /// What is there.
        got: u64,
    },
    /// A value that cannot be.
    #[error("the shared memory's record has an impossible {what}: {got}")]
    Value {
        /// Which value.
        what: &'static str,
        /// What is there.
        got: u64,
    },
    /// Sizes that do not fit each other.
    #[error("the shared memory claims {claimed} bytes, needs {needed} and has {there}")]
    Size {
        /// Word 2.
        claimed: u64,
        /// By format and ring.
        needed: usize,
        /// The memory's length.
        there: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exclusive::ExclusiveRequest;

    fn record() -> ExclusiveRecord {
        let request = ExclusiveRequest {
            process: NonZeroU32::new(4_711).unwrap(),
            period: Hns::from_millis(10),
            buffer: Hns::from_millis(80),
            coefficient: 3,
        };
        let plan = ExclusivePlan::new(Format::DEFAULT, &request, Hns::ZERO).unwrap();
        ExclusiveRecord::new(DataFlow::Capture, &plan)
    }

    #[test]
    fn d5_the_record_has_the_documented_words() {
        let want = [
            0x4358_4554_534F_5053,
            1,
            4_096 + 32_768,
            4_096,
            3_840,
            1,
            5,
            48_000,
            2,
            3,
            8,
            100_000,
            480,
            300_000,
            3,
            4_711,
            101,
        ];
        assert_eq!(record().words(), want);
        assert_eq!(ExclusiveRecord::from_words(&want, 36_864), Ok(record()));
    }

    #[test]
    fn d5_every_changed_word_is_refused_or_seen() {
        for (at, word) in record().words().into_iter().enumerate() {
            for changed in [0, 1, word ^ 1, word + 1, word | 1 << 32, u64::MAX, u64::MAX / 2] {
                let mut words = record().words();
                words[at] = changed;
                if changed == word {
                    continue;
                }
                match ExclusiveRecord::from_words(&words, record().size()) {
                    Ok(read) => assert_eq!(read.words(), words, "word {at}"),
                    Err(error) => assert!(!error.to_string().is_empty()),
                }
            }
        }
        assert!(ExclusiveRecord::from_words(&record().words(), record().size() + 4_096).is_err());
    }
}
