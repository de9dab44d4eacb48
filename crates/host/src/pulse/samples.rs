//! A stream's bytes to and from what the engine takes: byte order, A-law and µ-law, the order of channels.

use soundpost_core::{Format, FrameCount, SampleFormat as Sample};
use soundpost_dsp::convert;
use soundpost_pulse::{Mixing, SampleFormat, Spec};

use super::places::{Places, Stretch};

/// How a sample is rewritten on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    /// Not at all.
    Same,
    /// From the other end.
    Swapped,
    ALaw,
    MuLaw,
}

/// Between the bytes of one of the protocol's streams and those of its engine stream.
#[derive(Debug)]
pub(super) struct Adapter {
    format: Format,
    code: Code,
    /// Bytes of one of the client's samples, and of its frame.
    sample: usize,
    frame: usize,
    silence: u8,
    /// None where channels are in the engine's order already.
    sources: Option<Vec<Option<usize>>>,
    stretch: Stretch,
    /// By how much each of the engine's channels is turned down; empty: by nothing.
    factors: Vec<f32>,
    bytes: Vec<u8>,
    scaled: Vec<f32>,
}

impl Adapter {
    /// For a stream of this spec that is mixed so into a device with this layout.
    pub(super) fn new(spec: &Spec, mixing: Mixing, device: soundpost_core::ChannelLayout) -> Self {
        let (sample, code) = carried(spec.format());
        let channels = usize::from(spec.channels());
        let places = Places::of(&spec.map(), mixing, device);
        let stretch = Stretch::of(spec);
        Self {
            format: Format { sample, rate: stretch.rate, layout: places.layout },
            code,
            sample: spec.format().bytes_per_sample(),
            frame: usize::try_from(spec.frame()).unwrap_or(1),
            silence: spec.silence(),
            sources: (!places.are_in_order(channels)).then_some(places.sources),
            stretch,
            factors: Vec::new(),
            bytes: Vec::new(),
            scaled: Vec::new(),
        }
    }

    /// What the engine's stream is.
    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// The client's bytes that come to `frames` of the engine's frames.
    pub(super) fn bytes_for(&self, frames: FrameCount) -> usize {
        let (repeat, drop) = (index(self.stretch.repeat), index(self.stretch.drop));
        frames.as_usize() / repeat * drop * self.frame
    }

    /// How many of the engine's frames `bytes` of the client's come to.
    pub(super) fn frames_of(&self, bytes: usize) -> FrameCount {
        let (repeat, drop) = (index(self.stretch.repeat), index(self.stretch.drop));
        FrameCount::from_usize((bytes / self.frame / drop).saturating_mul(repeat))
    }

    /// Turns each of the client's channels down to this share; an empty slice: none of them.
    pub(super) fn set_shares(&mut self, shares: &[f32]) {
        self.factors.clear();
        if shares.is_empty() {
            return;
        }
        for channel in 0..self.format.layout.channels().as_usize() {
            let source = self.sources.as_ref().map_or(Some(channel), |all| all.get(channel).copied().flatten());
            self.factors.push(source.and_then(|source| shares.get(source).copied()).unwrap_or(1.0));
        }
    }

    /// Silence for `frames` frames of the engine's.
    pub(super) fn silence(&mut self, frames: FrameCount) -> &[u8] {
        self.bytes.clear();
        self.bytes.resize(self.format.bytes_of(frames), self.format.sample.silence_byte());
        &self.bytes
    }

    /// The client's whole frames as the engine takes them.
    pub(super) fn for_engine<'a>(&'a mut self, client: &'a [u8]) -> &'a [u8] {
        let plain = self.code == Code::Same && self.sources.is_none();
        if plain && self.stretch.repeat == 1 && self.stretch.drop == 1 {
            if self.factors.is_empty() {
                return client;
            }
            self.bytes.clear();
            self.bytes.extend_from_slice(client);
        } else {
            self.rewrite(client);
        }
        if !self.factors.is_empty() {
            self.scale();
        }
        &self.bytes
    }

    fn rewrite(&mut self, client: &[u8]) {
        let Self { format, code, sample, frame, sources, stretch, bytes, .. } = self;
        bytes.clear();
        let channels = format.layout.channels().as_usize();
        for frame in client.chunks_exact(*frame).step_by(index(stretch.drop)) {
            let start = bytes.len();
            for channel in 0..channels {
                let source = sources.as_ref().map_or(Some(channel), |sources| sources.get(channel).copied().flatten());
                let found = source.and_then(|source| frame.get(source * *sample..(source + 1) * *sample));
                match (found, *code) {
                    (Some(found), Code::Same) => bytes.extend_from_slice(found),
                    (Some(found), Code::Swapped) => bytes.extend(found.iter().rev()),
                    (Some(&[law]), Code::ALaw) => bytes.extend_from_slice(&alaw(law).to_le_bytes()),
                    (Some(&[law]), Code::MuLaw) => bytes.extend_from_slice(&mulaw(law).to_le_bytes()),
                    _ => bytes.extend(std::iter::repeat_n(format.sample.silence_byte(), format.sample.bytes())),
                }
            }
            let end = bytes.len();
            for _ in 1..stretch.repeat {
                bytes.extend_from_within(start..end);
            }
        }
    }

    fn scale(&mut self) {
        let sample = self.format.sample;
        self.scaled.resize(self.bytes.len() / sample.bytes(), 0.0);
        convert::decode(sample, &self.bytes, &mut self.scaled);
        for frame in self.scaled.chunks_mut(self.format.layout.channels().as_usize()) {
            for (value, factor) in frame.iter_mut().zip(&self.factors) {
                *value *= factor;
            }
        }
        convert::encode(sample, &self.scaled, &mut self.bytes);
    }

    /// The engine's whole frames as the client wants them.
    pub(super) fn for_client<'a>(&'a mut self, engine: &'a [u8]) -> &'a [u8] {
        if self.code == Code::Same && self.sources.is_none() && self.stretch.repeat == 1 && self.stretch.drop == 1 {
            return engine;
        }
        let Self { format, code, sample, frame: length, silence, sources, stretch, bytes, .. } = self;
        bytes.clear();
        let width = format.sample.bytes();
        for frame in engine.chunks_exact(format.frame_bytes()).step_by(index(stretch.repeat)) {
            let start = bytes.len();
            bytes.resize(start + *length, *silence);
            for (channel, value) in frame.chunks_exact(width).enumerate() {
                let target = sources.as_ref().map_or(Some(channel), |sources| sources.get(channel).copied().flatten());
                let target = target.and_then(|target| {
                    let at = start + target * *sample;
                    bytes.get_mut(at..at + *sample)
                });
                match (target, *code, value) {
                    (Some(target), Code::Same, value) => target.copy_from_slice(value),
                    (Some(target), Code::Swapped, value) => {
                        for (to, from) in target.iter_mut().zip(value.iter().rev()) {
                            *to = *from;
                        }
                    }
                    (Some([law]), Code::ALaw, &[low, high]) => *law = to_alaw(i16::from_le_bytes([low, high])),
                    (Some([law]), Code::MuLaw, &[low, high]) => *law = to_mulaw(i16::from_le_bytes([low, high])),
                    _ => {}
                }
            }
            let end = bytes.len();
            for _ in 1..stretch.drop {
                bytes.extend_from_within(start..end);
            }
        }
        bytes
    }
}

/// How the engine names a format, and what is done to its samples before.
const fn carried(format: SampleFormat) -> (Sample, Code) {
    match format {
        SampleFormat::U8 => (Sample::U8, Code::Same),
        SampleFormat::Alaw => (Sample::S16, Code::ALaw),
        SampleFormat::Ulaw => (Sample::S16, Code::MuLaw),
        SampleFormat::S16Be => (Sample::S16, Code::Swapped),
        SampleFormat::Float32Le => (Sample::F32, Code::Same),
        SampleFormat::Float32Be => (Sample::F32, Code::Swapped),
        SampleFormat::S32Le => (Sample::S32, Code::Same),
        SampleFormat::S32Be => (Sample::S32, Code::Swapped),
        SampleFormat::S24Le => (Sample::S24, Code::Same),
        SampleFormat::S24Be => (Sample::S24, Code::Swapped),
        SampleFormat::S24In32Le => (Sample::S24In32, Code::Same),
        SampleFormat::S24In32Be => (Sample::S24In32, Code::Swapped),
        _ => (Sample::S16, Code::Same),
    }
}

/// A-law to linear (ITU-T G.711, table 1a).
fn alaw(code: u8) -> i16 {
    let code = code ^ 0x55;
    let (segment, step) = (u32::from(code >> 4 & 7), i16::from(code & 15));
    let value = match segment {
        0 => (step << 4) + 8,
        _ => ((step << 4) + 0x108) << (segment - 1),
    };
    if code & 0x80 == 0 { -value } else { value }
}

/// µ-law to linear (ITU-T G.711, table 2a).
fn mulaw(code: u8) -> i16 {
    let code = !code;
    let (segment, step) = (u32::from(code >> 4 & 7), i16::from(code & 15));
    let value = (((step << 3) + 0x84) << segment) - 0x84;
    if code & 0x80 == 0 { value } else { -value }
}

/// Linear to A-law: the code whose value is nearest below in size.
fn to_alaw(value: i16) -> u8 {
    let (sign, size) = if value < 0 { (0, !value) } else { (0x80, value) };
    let size = u16::try_from(size).unwrap_or(0) >> 4;
    let code = if size < 16 {
        size
    } else {
        let segment = size.ilog2().saturating_sub(3);
        u16::try_from(segment << 4).unwrap_or(0x70) | (size >> (segment - 1) & 15)
    };
    (sign | u8::try_from(code.min(0x7f)).unwrap_or(0x7f)) ^ 0x55
}

/// Linear to µ-law.
fn to_mulaw(value: i16) -> u8 {
    const BIAS: i32 = 0x84;
    let (sign, size) = if value < 0 { (0x80, -i32::from(value)) } else { (0, i32::from(value)) };
    let size = (size + BIAS).min(0x7fff).unsigned_abs();
    let segment = size.ilog2().saturating_sub(7);
    let step = size >> (segment + 3) & 15;
    !(sign | u8::try_from(segment << 4 | step).unwrap_or(0x7f))
}

fn index(count: u32) -> usize {
    usize::try_from(count).unwrap_or(1).max(1)
}

#[cfg(test)]
mod tests {
    use soundpost_core::ChannelLayout;
    use soundpost_pulse::{ChannelMap, ChannelPosition, default_map};

    use super::*;

    fn adapter(format: SampleFormat, rate: u32, map: ChannelMap) -> Adapter {
        Adapter::new(&Spec::new(format, rate, map).unwrap(), Mixing::default(), ChannelLayout::STEREO)
    }

    #[test]
    fn plain_sound_is_handed_through_where_it_lies() {
        let mut plain = adapter(SampleFormat::S16Le, 44_100, default_map(2));
        let bytes = [1, 2, 3, 4];
        assert_eq!(plain.for_engine(&bytes).as_ptr(), bytes.as_ptr());
        assert_eq!(plain.for_client(&bytes).as_ptr(), bytes.as_ptr());
    }

    #[test]
    fn the_other_byte_order_and_the_other_order_of_channels_come_right_both_ways() {
        let map = ChannelMap::new([ChannelPosition::FrontRight, ChannelPosition::FrontLeft]);
        let mut swapped = adapter(SampleFormat::S24Be, 48_000, map);
        let (client, engine) = ([1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1]);
        assert_eq!(swapped.for_engine(&client), engine);
        assert_eq!(swapped.for_client(&engine), client);
    }

    #[test]
    fn laws_agree_with_the_recommendation_and_survive_the_way_back() {
        // G.711: A-law 0xD5 is +8, 0xAA the most positive; µ-law 0xFF is 0, 0x80 the most positive.
        assert_eq!((alaw(0xD5), alaw(0x55), alaw(0xAA), alaw(0x2A)), (8, -8, 32_256, -32_256));
        assert_eq!((mulaw(0xFF), mulaw(0x80), mulaw(0x00)), (0, 32_124, -32_124));
        for code in 0..=255 {
            assert_eq!(to_alaw(alaw(code)), code, "A-law {code:#x}");
            let back = to_mulaw(mulaw(code));
            assert!(back == code || (code, back) == (0x7F, 0xFF), "µ-law {code:#x}: {back:#x}");
        }
        for value in [i16::MIN, -1, 0, 1, 15, 16, 31, i16::MAX] {
            let error = |back: i16| (i32::from(back) - i32::from(value)).abs();
            let allowed = (i32::from(value).abs() / 16).max(16) + 16;
            assert!(error(alaw(to_alaw(value))) <= allowed && error(mulaw(to_mulaw(value))) <= allowed, "{value}");
        }
    }

    #[test]
    fn channels_can_be_turned_down_each_by_itself() {
        let mut one = adapter(SampleFormat::S16Le, 48_000, default_map(2));
        one.set_shares(&[0.5, 1.0]);
        let client: Vec<u8> = [1000_i16, 1000, -600, -600].iter().flat_map(|value| value.to_le_bytes()).collect();
        let expected: Vec<u8> = [500_i16, 1000, -300, -600].iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(one.for_engine(&client), expected);
        one.set_shares(&[]);
        assert_eq!(one.for_engine(&client), client);
    }

    #[test]
    fn odd_rates_are_stretched() {
        let mut slow = adapter(SampleFormat::U8, 4_000, default_map(1));
        assert_eq!(slow.for_engine(&[1, 2]), [1, 1, 2, 2]);
        assert_eq!(slow.bytes_for(FrameCount::new(80)), 40);
        let mut fast = adapter(SampleFormat::U8, 384_000, default_map(1));
        assert_eq!(fast.for_engine(&[1, 2, 3, 4]), [1, 3]);
        assert_eq!(fast.for_client(&[1, 3]), [1, 1, 3, 3]);
        assert_eq!(fast.bytes_for(FrameCount::new(80)), 160);
    }
}
