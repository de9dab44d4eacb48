//! From a file's format to an endpoint's, outside of the engine.

use soundpost_core::{Format, FrameCount};
use soundpost_dsp::convert::{decode, encode};
use soundpost_dsp::remap::Remap;
use soundpost_dsp::resample::{Resampler, ResamplerConfig, ResamplerError};

/// Frames that are worked on at once.
const BLOCK: usize = 1_024;

/// Converts sound block by block. Where both formats are the same, every bit stays as it is.
pub(crate) struct Converter {
    from: Format,
    to: Format,
    remap: Remap,
    resampler: Resampler,
    /// Frames at the start that are the resampler's delay, and no sound.
    skip: usize,
    samples: Vec<f32>,
    mapped: Vec<f32>,
    resampled: Vec<f32>,
}

impl Converter {
    /// # Errors
    /// The resampler's, which cannot occur for formats that the engine carries.
    pub(crate) fn new(from: Format, to: Format) -> Result<Self, ResamplerError> {
        let config = ResamplerConfig {
            from: from.rate,
            to: to.rate,
            channels: to.layout.channels(),
            max_block: FrameCount::from_usize(BLOCK),
            max_trim: 0,
        };
        let resampler = Resampler::new(config)?;
        let width = to.layout.channels().as_usize();
        Ok(Self {
            from,
            to,
            remap: Remap::new(from.layout, to.layout),
            skip: resampler.delay().as_usize(),
            resampler,
            samples: Vec::new(),
            mapped: Vec::new(),
            resampled: vec![0.0; BLOCK * width],
        })
    }

    /// Whether nothing is converted.
    pub(crate) fn is_exact(&self) -> bool {
        self.from == self.to
    }

    /// Appends to `out` what comes of whole frames in the one format, in the other.
    pub(crate) fn push(&mut self, sound: &[u8], out: &mut Vec<u8>) {
        if self.is_exact() {
            out.extend_from_slice(sound);
            return;
        }
        let (wide, narrow) = (self.from.layout.channels().as_usize(), self.to.layout.channels().as_usize());
        let frames = self.from.frames_in(sound.len()).as_usize();
        self.samples.resize(frames * wide, 0.0);
        self.mapped.resize(frames * narrow, 0.0);
        decode(self.from.sample, sound, &mut self.samples);
        self.remap.process(&self.samples, &mut self.mapped);
        let mut at = 0;
        loop {
            let rest = self.mapped.get(at..).unwrap_or_default();
            let done = self.resampler.process(rest, &mut self.resampled);
            at += done.consumed.as_usize() * narrow;
            append(&mut self.skip, self.to, &self.resampled, done.produced, out);
            if at >= self.mapped.len() && done.produced.as_usize() < BLOCK || done.produced.is_zero() {
                return;
            }
        }
    }

    /// Appends what is still inside, at the end of the sound.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        loop {
            let frames = self.resampler.flush(&mut self.resampled);
            if frames.is_zero() {
                return;
            }
            append(&mut self.skip, self.to, &self.resampled, frames, out);
        }
    }
}

fn append(skip: &mut usize, to: Format, samples: &[f32], frames: FrameCount, out: &mut Vec<u8>) {
    let width = to.layout.channels().as_usize();
    let skipped = frames.as_usize().min(*skip);
    *skip -= skipped;
    let samples = samples.get(skipped * width..frames.as_usize() * width).unwrap_or_default();
    let begin = out.len();
    out.resize(begin + samples.len() * to.sample.bytes(), 0);
    encode(to.sample, samples, out.get_mut(begin..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use soundpost_core::{ChannelLayout, SampleFormat, SampleRate};

    use super::*;

    fn format(sample: SampleFormat, rate: SampleRate, layout: ChannelLayout) -> Format {
        Format { sample, rate, layout }
    }

    const S16: Format = Format { sample: SampleFormat::S16, rate: SampleRate::HZ_48000, layout: ChannelLayout::STEREO };

    fn convert(from: Format, to: Format, sound: &[u8], block: usize) -> Vec<u8> {
        let mut converter = Converter::new(from, to).unwrap();
        let mut out = Vec::new();
        sound.chunks(block * from.frame_bytes()).for_each(|block| converter.push(block, &mut out));
        converter.finish(&mut out);
        out
    }

    #[test]
    fn the_same_format_stays_bit_by_bit() {
        let sound: Vec<u8> = (0..40_000_u32).flat_map(|n| (n.wrapping_mul(2_654_435_761)).to_le_bytes()).collect();
        assert!(convert(S16, S16, &sound, 777) == sound);
    }

    #[test]
    fn a_wider_sample_and_back_is_the_same() {
        let sound: Vec<u8> = (0..40_000_u32).flat_map(|n| (n.wrapping_mul(2_654_435_761)).to_le_bytes()).collect();
        let wide = format(SampleFormat::F32, S16.rate, S16.layout);
        assert!(convert(wide, S16, &convert(S16, wide, &sound, 1_000), 999) == sound);
    }

    #[test]
    fn another_rate_has_the_same_length_in_time_whatever_the_blocks() {
        let cd = format(SampleFormat::S16, SampleRate::HZ_44100, ChannelLayout::MONO);
        let wave = |n: u32| (i16::try_from(n % 200).unwrap() - 100).abs() * 100;
        let sound: Vec<u8> = (0..44_100_u32).flat_map(|n| wave(n).to_le_bytes()).collect();
        let whole = convert(cd, S16, &sound, 44_100);
        let frames = whole.len() / 4;
        assert!(frames.abs_diff(48_000) <= 100, "{frames} frames");
        assert!(convert(cd, S16, &sound, 441) == whole && convert(cd, S16, &sound, 1) == whole, "by the block's size");
    }
}
