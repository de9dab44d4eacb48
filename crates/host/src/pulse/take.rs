//! A record stream's way out of the engine.

use rtrb::Producer;
use soundpost_core::{FrameCount, Instant, SampleRate};
use soundpost_dsp::convert;
use soundpost_engine::{StreamId, StreamReader};
use soundpost_pulse::{ChannelVolume, Mixing, Now, PlaybackId, RecordId, Server, SourceId, Spec};

use super::feed::DEVICE;
use super::peaks::Peaks;
use super::samples::Adapter;
use super::tapping::Tapping;

/// The most that is handed over at once, in frames.
const BLOCK: u32 = 4096;

/// A stream that a client records.
pub(super) struct Take {
    pub(super) parts: TakeParts,
    pub(super) from: From,
}

/// Where what is recorded comes from.
pub(super) enum From {
    /// An engine stream.
    Engine { stream: StreamId, reader: StreamReader, adapter: Adapter, meter: Option<Meter> },
    /// The level of a playback stream.
    Level { meter: Meter, adapter: Adapter, since: Option<Instant> },
}

/// A level meter, and memory for what it looks at.
pub(super) struct Meter {
    peaks: Peaks,
    samples: Vec<f32>,
}

/// What a take is made of.
pub(super) struct TakeParts {
    pub(super) source: SourceId,
    pub(super) spec: Spec,
    pub(super) mixing: Mixing,
    pub(super) volume: ChannelVolume,
    pub(super) muted: bool,
    pub(super) corked: bool,
    pub(super) name: String,
    pub(super) peak_detect: bool,
    /// This playback stream alone.
    pub(super) direct_on: Option<PlaybackId>,
    /// What was made for this recording alone.
    pub(super) tapping: Option<Tapping>,
}

impl TakeParts {
    /// The same, to be opened anew.
    pub(super) fn again(&self) -> Self {
        Self { name: self.name.clone(), tapping: None, ..*self }
    }

    /// How the client's bytes are made, and the meter where it wants one. A meter looks at sound as the device has it; its
    /// adapter is for the client's samples and channels alone.
    pub(super) fn way(&self, device_rate: SampleRate) -> (Adapter, Option<Meter>) {
        let metered = self.spec.with_rate(device_rate.get()).filter(|_| self.peak_detect);
        match metered {
            None => (Adapter::new(&self.spec, self.mixing, DEVICE), None),
            Some(spec) => {
                let adapter = Adapter::new(&spec, self.mixing, DEVICE);
                let format = adapter.format();
                let channels = format.layout.channels().as_usize();
                let peaks = Peaks::new(&self.spec, format.sample, channels, device_rate);
                (adapter, Some(Meter { peaks, samples: Vec::new() }))
            }
        }
    }
}

impl Take {
    /// The engine stream, where there is one.
    pub(super) fn stream(&self) -> Option<StreamId> {
        match self.from {
            From::Engine { stream, .. } => Some(stream),
            From::Level { .. } => None,
        }
    }

    /// Hands the server what has been recorded since.
    pub(super) fn hand_over(&mut self, id: RecordId, server: &mut Server, now: Now, room: &mut Vec<u8>) {
        let From::Engine { reader, adapter, meter, .. } = &mut self.from else { return };
        let format = reader.format();
        let age = reader.stats().latency.to_duration();
        loop {
            let frames = reader.available().min(FrameCount::new(BLOCK));
            if frames.is_zero() {
                return;
            }
            room.resize(format.bytes_of(frames), 0);
            let read = format.bytes_of(reader.read(room));
            let sound = room.get(..read).unwrap_or_default();
            let bytes = match meter {
                None => adapter.to_client(sound),
                Some(Meter { peaks, samples }) => {
                    let width = format.layout.channels().as_usize();
                    samples.resize(read / format.sample.bytes(), 0.0);
                    convert::decode(format.sample, sound, samples);
                    adapter.to_client(peaks.take(samples, width))
                }
            };
            let left = format.rate.hns_of(u64::from(reader.available().get())).to_duration();
            let micros = u64::try_from((age + left).as_micros()).unwrap_or(u64::MAX);
            server.push(id, bytes, micros, now);
        }
    }

    /// Hands the server the level that a playback stream has; `rate` is that of the device.
    pub(super) fn hand_over_level(
        &mut self,
        id: RecordId,
        server: &mut Server,
        now: Now,
        (levels, rate): (&[f32], SampleRate),
    ) {
        let From::Level { meter, adapter, since } = &mut self.from else { return };
        let passed = now.at.saturating_since(since.replace(now.at).unwrap_or(now.at));
        let frames = FrameCount::new(u32::try_from(rate.frames_in_duration(passed)).unwrap_or(u32::MAX));
        let bytes = adapter.to_client(meter.peaks.hold(levels, frames));
        if !bytes.is_empty() {
            server.push(id, bytes, 0, now);
        }
    }
}

/// Where what one playback stream plays goes as well.
pub(super) struct Direct {
    pub(super) record: RecordId,
    pub(super) queue: Producer<u8>,
}

impl Direct {
    /// Whole frames, all or none: a recording that is not read loses whole pieces.
    pub(super) fn write(&mut self, sound: &[u8]) {
        let _ = self.queue.push_entire_slice(sound);
    }
}
