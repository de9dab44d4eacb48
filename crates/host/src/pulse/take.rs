//! A record stream's way out of the engine.

use soundpost_core::FrameCount;
use soundpost_engine::{StreamId, StreamReader};
use soundpost_pulse::{ChannelVolume, Mixing, Now, RecordId, Server, SourceId, Spec};

use super::samples::Adapter;

/// The most that is handed over at once.
const BLOCK: u32 = 4096;

/// A stream that a client records, and its engine stream.
pub(super) struct Take {
    pub(super) source: SourceId,
    pub(super) spec: Spec,
    pub(super) mixing: Mixing,
    pub(super) volume: ChannelVolume,
    pub(super) muted: bool,
    pub(super) corked: bool,
    pub(super) name: String,
    pub(super) stream: StreamId,
    reader: StreamReader,
    adapter: Adapter,
}

impl Take {
    pub(super) fn new(parts: TakeParts, stream: StreamId, reader: StreamReader, adapter: Adapter) -> Self {
        let TakeParts { source, spec, mixing, volume, muted, corked, name } = parts;
        Self { source, spec, mixing, volume, muted, corked, name, stream, reader, adapter }
    }

    /// Hands the server what has been recorded since.
    pub(super) fn hand_over(&mut self, id: RecordId, server: &mut Server, now: Now, room: &mut Vec<u8>) {
        let format = self.adapter.format();
        let age = self.reader.stats().latency.to_duration();
        loop {
            let frames = self.reader.available().min(FrameCount::new(BLOCK));
            if frames.is_zero() {
                return;
            }
            room.resize(format.bytes_of(frames), 0);
            let read = format.bytes_of(self.reader.read(room));
            let bytes = self.adapter.to_client(room.get(..read).unwrap_or_default());
            let left = format.rate.hns_of(u64::from(self.reader.available().get())).to_duration();
            let micros = u64::try_from((age + left).as_micros()).unwrap_or(u64::MAX);
            server.push(id, bytes, micros, now);
        }
    }

    /// A new engine stream takes the place of the old one, which is answered.
    pub(super) fn replace(&mut self, stream: StreamId, reader: StreamReader, adapter: Adapter) -> StreamId {
        self.reader = reader;
        self.adapter = adapter;
        std::mem::replace(&mut self.stream, stream)
    }
}

/// What a take is made of.
#[derive(Clone, Debug)]
pub(super) struct TakeParts {
    pub(super) source: SourceId,
    pub(super) spec: Spec,
    pub(super) mixing: Mixing,
    pub(super) volume: ChannelVolume,
    pub(super) muted: bool,
    pub(super) corked: bool,
    pub(super) name: String,
}
