//! Static virtual channels: messages and their chunks (MS-RDPBCGR 2.2.6.1 and 3.1.5.2).

use std::borrow::Cow;

use ironrdp_core::ReadCursor;

use super::faults::{MuxCounters, MuxFault};

/// CHANNEL_PDU_HEADER: length and flags.
const HEADER: usize = 8;
const FLAG_FIRST: u32 = 0x0000_0001;
const FLAG_LAST: u32 = 0x0000_0002;
const FLAG_SHOW_PROTOCOL: u32 = 0x0000_0010;
const PACKET_COMPRESSED: u32 = 0x0020_0000;
const PACKET_FLUSHED: u32 = 0x0080_0000;

/// The most bytes of data in one chunk: 1,600 to 16,256 (MS-RDPBCGR 2.2.7.1.10, VCChunkSize).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChunkSize(usize);

/// A chunk size outside of what the protocol allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a virtual channel chunk of {0} bytes is not allowed: use 1600 to 16256")]
pub struct InvalidChunkSize(
    /// The size that was asked for.
    pub u32,
);

impl ChunkSize {
    /// What holds where nothing was negotiated (CHANNEL_CHUNK_LENGTH).
    pub const DEFAULT: Self = Self(1600);
    /// The largest VCChunkSize.
    pub const MAX: Self = Self(16_256);

    /// The number of bytes.
    #[must_use]
    pub const fn get(self) -> usize {
        self.0
    }
}

impl TryFrom<u32> for ChunkSize {
    type Error = InvalidChunkSize;

    fn try_from(bytes: u32) -> Result<Self, InvalidChunkSize> {
        usize::try_from(bytes)
            .ok()
            .filter(|size| (Self::DEFAULT.0..=Self::MAX.0).contains(size))
            .map(Self)
            .ok_or(InvalidChunkSize(bytes))
    }
}

/// The chunks of `message`, each with its header. A message longer than 4 GiB cannot be said in the header; the length
/// is then given as `u32::MAX`.
pub(super) fn chunks(message: &[u8], size: ChunkSize, show_protocol: bool) -> impl Iterator<Item = Vec<u8>> {
    let total = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let count = message.len().div_ceil(size.get()).max(1);
    (0..count).map(move |index| {
        let from = index * size.get();
        let data = message.get(from..message.len().min(from + size.get())).unwrap_or_default();
        let mut flags = if show_protocol { FLAG_SHOW_PROTOCOL } else { 0 };
        if index == 0 {
            flags |= FLAG_FIRST;
        }
        if index + 1 == count {
            flags |= FLAG_LAST;
        }
        let mut chunk = Vec::with_capacity(HEADER + data.len());
        chunk.extend_from_slice(&total.to_le_bytes());
        chunk.extend_from_slice(&flags.to_le_bytes());
        chunk.extend_from_slice(data);
        chunk
    })
}

/// Puts the messages of one static channel together.
#[derive(Debug)]
pub(super) struct Reassembly {
    limit: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    Idle,
    /// `message` has come of `length` bytes. It grows as bytes come, never by what a header claims.
    Collecting {
        message: Vec<u8>,
        length: usize,
    },
    /// The message was refused; its further chunks are dropped in silence, for it was counted.
    Skipping,
}

impl Reassembly {
    pub(super) const fn new(limit: usize) -> Self {
        Self { limit, state: State::Idle }
    }

    /// Takes one chunk with its header; answers with the message that it completes.
    pub(super) fn push<'a>(&mut self, payload: &'a [u8], counters: &mut MuxCounters) -> Option<Cow<'a, [u8]>> {
        let mut cursor = ReadCursor::new(payload);
        let (Ok(length), Ok(flags)) = (cursor.try_read_u32(), cursor.try_read_u32()) else {
            counters.count(MuxFault::ShortChannelHeader);
            return None;
        };
        let data = cursor.remaining();
        let (first, last) = (flags & FLAG_FIRST != 0, flags & FLAG_LAST != 0);

        let state = std::mem::replace(&mut self.state, State::Idle);
        if flags & (PACKET_COMPRESSED | PACKET_FLUSHED) != 0 {
            counters.count(MuxFault::CompressedChunk);
            return self.refuse(last);
        }
        if !first {
            return match state {
                State::Idle => {
                    counters.count(MuxFault::ChunkWithoutFirst);
                    None
                }
                State::Skipping => self.refuse(last),
                State::Collecting { message, length } => self.extend(message, length, data, last, counters),
            };
        }

        if matches!(state, State::Collecting { .. }) {
            counters.count(MuxFault::MessageIncomplete);
        }
        let Some(length) = usize::try_from(length).ok().filter(|length| *length <= self.limit) else {
            counters.count(MuxFault::MessageTooLong);
            return self.refuse(last);
        };
        if last && data.len() == length {
            return Some(Cow::Borrowed(data));
        }
        self.extend(Vec::new(), length, data, last, counters)
    }

    pub(super) fn held_bytes(&self) -> usize {
        match &self.state {
            State::Collecting { message, .. } => message.capacity(),
            State::Idle | State::Skipping => 0,
        }
    }

    fn extend<'a>(
        &mut self,
        mut message: Vec<u8>,
        length: usize,
        data: &[u8],
        last: bool,
        counters: &mut MuxCounters,
    ) -> Option<Cow<'a, [u8]>> {
        if data.len() > length - message.len() {
            counters.count(MuxFault::MessageOverrun);
            return self.refuse(last);
        }
        message.extend_from_slice(data);
        match (last, message.len() == length) {
            (true, true) => Some(Cow::Owned(message)),
            (true, false) => {
                counters.count(MuxFault::MessageIncomplete);
                None
            }
            (false, _) => {
                self.state = State::Collecting { message, length };
                None
            }
        }
    }

    fn refuse<'a>(&mut self, last: bool) -> Option<Cow<'a, [u8]>> {
        self.state = if last { State::Idle } else { State::Skipping };
        None
    }
}
