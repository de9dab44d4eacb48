//! What applications play: one second of each sound, made once, played over and over from places of their own.

use std::collections::BTreeMap;
use std::sync::Arc;

use soundpost_core::{Format, FrameCount, SampleRate};
use soundpost_dsp::convert;
use soundpost_dsp::generate::{Colour, Noise, Sine};

use super::scenario::{SignalKind, StreamGroup};

/// A second of sound as bytes of a format.
pub(super) type Table = Arc<[u8]>;

/// Signal, hertz, the bits of the level, and the format.
type Key = (SignalKind, u32, u32, String);

/// The tables made so far.
#[derive(Default)]
pub(super) struct Sounds(BTreeMap<Key, Table>);

impl Sounds {
    pub(super) fn table(&mut self, stream: &StreamGroup, format: Format) -> Table {
        let hertz = if stream.signal == SignalKind::Tone { stream.hertz } else { 0 };
        let key = (stream.signal, hertz, stream.level.to_bits(), format.to_string());
        Arc::clone(self.0.entry(key).or_insert_with(|| second(stream, format)))
    }
}

fn second(stream: &StreamGroup, format: Format) -> Table {
    let channels = format.layout.channels();
    let frames = FrameCount::new(format.rate.get());
    let mut samples = vec![0.0_f32; frames.as_usize() * channels.as_usize()];
    match stream.signal {
        SignalKind::Noise => Noise::new(Colour::White, 1, stream.level).fill(&mut samples, channels),
        // Whole hertz: the second ends where it begins.
        SignalKind::Tone => tone(stream, format.rate).fill(&mut samples, channels),
        SignalKind::Silence => {}
    }
    let mut bytes = vec![0; format.bytes_of(frames)];
    convert::encode(format.sample, &samples, &mut bytes);
    bytes.into()
}

fn tone(stream: &StreamGroup, rate: SampleRate) -> Sine {
    Sine::new(f64::from(stream.hertz), stream.level, rate)
}
