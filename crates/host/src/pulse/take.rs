//! A record stream's way out of the engine.

use rtrb::Producer;
use soundpost_core::{Format, FrameCount, Instant, SampleFormat, SampleRate};
use soundpost_dsp::convert;
use soundpost_engine::{StreamId, StreamReader};
use soundpost_pulse::{ChannelVolume, Mixing, Now, Peaks, PlaybackId, RecordId, Server, SourceId, Spec};

use super::feed::DEVICE;
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
    Engine(Box<Recorded>),
    /// The level of a playback stream: when it was last told, and the millionths of frames owed since.
    Level { adapter: Adapter, since: Option<Instant>, owed: u64 },
}

/// An engine stream that is recorded, and what becomes of its frames.
pub(super) struct Recorded {
    pub(super) stream: StreamId,
    pub(super) reader: StreamReader,
    pub(super) adapter: Adapter,
    pub(super) meter: Option<Meter>,
}

/// A level meter, and memory for what it looks at and what it says.
pub(super) struct Meter {
    peaks: Peaks,
    samples: Vec<f32>,
    levels: Vec<u8>,
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

    /// How the client's bytes are made, the engine stream's format, and the meter where the client wants one. A meter looks
    /// at sound at its device's rate; its adapter is for the client's samples and channels alone.
    pub(super) fn way(&self, device_rate: SampleRate) -> (Adapter, Format, Option<Meter>) {
        let peaks = Peaks::new(device_rate.get(), &self.spec).filter(|_| self.peak_detect);
        let metered = peaks.zip(self.spec.with_rate(device_rate.get()));
        let adapter = Adapter::new(metered.as_ref().map_or(&self.spec, |(_, spec)| spec), self.mixing, DEVICE);
        let format = adapter.format();
        match metered {
            // What cannot be carried channel by channel is not metered so either, but as sound.
            Some((peaks, spec)) if spec.channels() == format.layout.channels().get() => {
                let meter = Meter { peaks, samples: Vec::new(), levels: Vec::new() };
                (adapter, Format { sample: SampleFormat::F32, ..format }, Some(meter))
            }
            _ => (adapter, format, None),
        }
    }
}

impl Meter {
    /// The peaks of `sound`, which has `format`, as samples of `sample`.
    fn look(&mut self, sound: &[u8], format: Format, sample: SampleFormat) -> &[u8] {
        let Self { peaks, samples, levels } = self;
        samples.resize(sound.len() / format.sample.bytes(), 0.0);
        convert::decode(format.sample, sound, samples);
        levels.clear();
        peaks.feed(samples, |frame| append(levels, sample, frame));
        levels
    }
}

/// Writes a frame of levels behind others.
fn append(bytes: &mut Vec<u8>, sample: SampleFormat, frame: &[f32]) {
    let start = bytes.len();
    bytes.resize(start + frame.len() * sample.bytes(), 0);
    convert::encode(sample, frame, bytes.get_mut(start..).unwrap_or_default());
}

impl Take {
    /// The engine stream, where there is one.
    pub(super) fn stream(&self) -> Option<StreamId> {
        match self.from {
            From::Engine(ref recorded) => Some(recorded.stream),
            From::Level { .. } => None,
        }
    }

    /// Hands the server what has been recorded since.
    pub(super) fn hand_over(&mut self, id: RecordId, server: &mut Server, now: Now, room: &mut Vec<u8>) {
        let From::Engine(recorded) = &mut self.from else { return };
        let Recorded { reader, adapter, meter, .. } = recorded.as_mut();
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
                None => adapter.for_client(sound),
                Some(meter) => {
                    let levels = meter.look(sound, format, adapter.format().sample);
                    adapter.for_client(levels)
                }
            };
            let left = format.rate.hns_of(u64::from(reader.available().get())).to_duration();
            let micros = u64::try_from((age + left).as_micros()).unwrap_or(u64::MAX);
            server.push(id, bytes, micros, now);
        }
    }

    /// Hands the server the level that a playback stream has, for the time that has passed; of a longer silence, a second.
    pub(super) fn hand_over_level(&mut self, id: RecordId, server: &mut Server, now: Now, levels: &[f32]) {
        const SECOND: u64 = 1_000_000;
        let From::Level { adapter, since, owed } = &mut self.from else { return };
        let passed = now.at.saturating_since(since.replace(now.at).unwrap_or(now.at));
        let micros = u64::try_from(passed.as_micros()).unwrap_or(SECOND).min(SECOND);
        *owed += micros * u64::from(self.parts.spec.rate());
        let channels = adapter.format().layout.channels().as_usize();
        let highest = levels.iter().copied().fold(0.0, f32::max);
        let level = |k: usize| if channels == 1 { highest } else { levels.get(k).copied().unwrap_or(0.0) };
        let frame: Vec<f32> = (0..channels).map(level).collect();
        let mut bytes = Vec::new();
        while *owed >= SECOND {
            *owed -= SECOND;
            append(&mut bytes, adapter.format().sample, &frame);
        }
        if !bytes.is_empty() {
            server.push(id, adapter.for_client(&bytes), 0, now);
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
