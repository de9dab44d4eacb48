//! PCM: the type of a sample changes, nothing else.

use soundpost_core::{Format, FrameCount, SampleFormat};

use crate::{EncodeError, Encoded, UnsupportedEncoding, WaveFormat, WireEncoder};

/// Encodes to PCM of 8 or 16 bits. One frame at a time, no delay.
///
/// Wider samples are rounded to the nearest step and held at the ends of the range; what came in as 16 bits and went
/// through the engine at unity gain comes out bit by bit. No dither: 16 bits to 16 bits is the usual case.
#[derive(Clone, Debug)]
pub struct PcmEncoder {
    device: Format,
    wire: WaveFormat,
    sample: SampleFormat,
}

impl PcmEncoder {
    /// An encoder from `device` to `wire`.
    ///
    /// # Errors
    /// [`UnsupportedEncoding`] where `wire` is not PCM of 8 or 16 bits, or has another rate or number of channels.
    pub fn new(device: Format, wire: WaveFormat) -> Result<Self, UnsupportedEncoding> {
        let Some(format) = wire.to_format() else { return Err(UnsupportedEncoding::Wire(wire)) };
        if format.rate != device.rate || format.layout.channels() != device.layout.channels() {
            return Err(UnsupportedEncoding::Shape { device, wire });
        }
        Ok(Self { device, wire, sample: format.sample })
    }

    fn wire_frame_bytes(&self) -> usize {
        self.sample.bytes() * self.device.layout.channels().as_usize()
    }
}

impl WireEncoder for PcmEncoder {
    fn device(&self) -> Format {
        self.device
    }

    fn wire(&self) -> &WaveFormat {
        &self.wire
    }

    fn frame_size(&self) -> FrameCount {
        FrameCount::new(1)
    }

    fn delay(&self) -> FrameCount {
        FrameCount::ZERO
    }

    fn max_wire_bytes(&self, frames: FrameCount) -> usize {
        self.wire_frame_bytes() * frames.as_usize()
    }

    fn encode(&mut self, device: &[u8], wire: &mut [u8]) -> Result<Encoded, EncodeError> {
        let frame_bytes = self.device.frame_bytes();
        if !device.len().is_multiple_of(frame_bytes) {
            return Err(EncodeError::PartialFrame { bytes: device.len(), frame_bytes });
        }
        let frames = (device.len() / frame_bytes).min(wire.len() / self.wire_frame_bytes());
        let bytes = frames * self.wire_frame_bytes();
        let (from, to) =
            (device.get(..frames * frame_bytes).unwrap_or_default(), wire.get_mut(..bytes).unwrap_or_default());
        convert(self.device.sample, from, self.sample, to);
        Ok(Encoded { frames: FrameCount::from_usize(frames), bytes })
    }

    fn reset(&mut self) {}
}

/// `from` and `to` hold equally many samples.
fn convert(from_sample: SampleFormat, from: &[u8], to_sample: SampleFormat, to: &mut [u8]) {
    if from_sample == to_sample {
        to.copy_from_slice(from);
        return;
    }
    match from_sample {
        SampleFormat::U8 => write(from.iter().map(|byte| (i64::from(*byte) - 0x80) << 24), to_sample, to),
        SampleFormat::S16 => {
            write(arrays(from).map(|bytes| i64::from(i16::from_le_bytes(bytes)) << 16), to_sample, to);
        }
        SampleFormat::S24 => {
            write(arrays(from).map(|[b0, b1, b2]| i64::from(i32::from_le_bytes([0, b0, b1, b2]))), to_sample, to);
        }
        SampleFormat::S24In32 => {
            // The upper byte is the sign's and says nothing new.
            write(arrays(from).map(|[b0, b1, b2, _]| i64::from(i32::from_le_bytes([0, b0, b1, b2]))), to_sample, to);
        }
        SampleFormat::S32 => write(arrays(from).map(|bytes| i64::from(i32::from_le_bytes(bytes))), to_sample, to),
        SampleFormat::F32 => write(arrays(from).map(|bytes| from_float(f32::from_le_bytes(bytes))), to_sample, to),
    }
}

fn arrays<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> + '_ {
    bytes.as_chunks().0.iter().copied()
}

/// A float as a 32-bit sample, not yet held at the ends of the range. What is no number is silence.
fn from_float(sample: f32) -> i64 {
    let scaled = f64::from(sample) * 2_147_483_648.0;
    if scaled.is_nan() {
        return 0;
    }
    #[expect(clippy::as_conversions, clippy::cast_possible_truncation, reason = "held within ±2^32 first")]
    {
        scaled.clamp(-4_294_967_296.0, 4_294_967_296.0) as i64
    }
}

/// Writes samples on the scale of 32 bits as 8 or 16 bits: rounded to the nearest step, held at the ends.
fn write(samples: impl Iterator<Item = i64>, sample: SampleFormat, to: &mut [u8]) {
    if sample == SampleFormat::U8 {
        for (out, sample) in to.iter_mut().zip(samples) {
            let step = ((sample + (1 << 23)) >> 24).clamp(-0x80, 0x7F) + 0x80;
            *out = u8::try_from(step).unwrap_or(0x80);
        }
    } else {
        let (outs, _) = to.as_chunks_mut::<2>();
        for (out, sample) in outs.iter_mut().zip(samples) {
            let step = ((sample + (1 << 15)) >> 16).clamp(i64::from(i16::MIN), i64::from(i16::MAX));
            *out = i16::try_from(step).unwrap_or(0).to_le_bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use soundpost_core::{ChannelCount, ChannelLayout, SampleRate};

    use super::*;

    fn format(sample: SampleFormat, channels: u16) -> Format {
        let layout = ChannelLayout::default_for(ChannelCount::new(channels).unwrap());
        Format { sample, rate: SampleRate::HZ_48000, layout }
    }

    fn encoder(from: SampleFormat, to: SampleFormat, channels: u16) -> PcmEncoder {
        PcmEncoder::new(format(from, channels), WaveFormat::pcm(format(to, channels)).unwrap()).unwrap()
    }

    fn encode(from: SampleFormat, to: SampleFormat, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![0; 64];
        let done = encoder(from, to, 1).encode(bytes, &mut out).unwrap();
        out.truncate(done.bytes);
        out
    }

    fn s16(samples: &[i16]) -> Vec<u8> {
        samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
    }

    fn f32s(samples: &[f32]) -> Vec<u8> {
        samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
    }

    #[test]
    fn every_16_bit_sample_survives_the_way_through_float() {
        for sample in i16::MIN..=i16::MAX {
            let float = f32s(&[f32::from(sample) / 32_768.0]);
            assert_eq!(encode(SampleFormat::F32, SampleFormat::S16, &float), s16(&[sample]));
        }
    }

    #[test]
    fn too_loud_floats_are_held_and_what_is_no_number_is_silence() {
        let loud = f32s(&[1.0, -1.0, 7.5, f32::NEG_INFINITY, f32::INFINITY, f32::NAN, -0.0]);
        let held = s16(&[i16::MAX, i16::MIN, i16::MAX, i16::MIN, i16::MAX, 0, 0]);
        assert_eq!(encode(SampleFormat::F32, SampleFormat::S16, &loud), held);
    }

    #[test]
    fn wider_samples_round_to_the_nearest_step() {
        // 0x0001_7FFF and 0x0001_8000 lie on either side of one and a half steps.
        let s32: Vec<u8> = [0x0001_7FFF_i32, 0x0001_8000, i32::MAX].iter().flat_map(|s| s.to_le_bytes()).collect();
        assert_eq!(encode(SampleFormat::S32, SampleFormat::S16, &s32), s16(&[1, 2, i16::MAX]));
        assert_eq!(encode(SampleFormat::S24, SampleFormat::S16, &[0x80, 1, 0, 0xFF, 0xFF, 0xFF]), s16(&[2, 0]));
        assert_eq!(encode(SampleFormat::S24In32, SampleFormat::S16, &[0x80, 0xFE, 0xFF, 0xFF]), s16(&[-1]));
    }

    #[test]
    fn eight_bits_are_unsigned() {
        assert_eq!(encode(SampleFormat::U8, SampleFormat::S16, &[0, 0x80, 0xFF]), s16(&[i16::MIN, 0, 0x7F00]));
        let wide = s16(&[i16::MIN, 0, i16::MAX, 0x7F]);
        assert_eq!(encode(SampleFormat::S16, SampleFormat::U8, &wide), [0, 0x80, 0xFF, 0x80]);
    }

    #[test]
    fn the_encoder_takes_what_fits_and_says_how_much() {
        let mut encoder = encoder(SampleFormat::F32, SampleFormat::S16, 2);
        assert_eq!((encoder.frame_size().get(), encoder.delay().get()), (1, 0));
        assert_eq!(encoder.max_wire_bytes(FrameCount::new(480)), 1920);
        let mut out = [0; 7];
        let done = encoder.encode(&[0; 24], &mut out).unwrap();
        assert_eq!((done.frames.get(), done.bytes), (1, 4));
        let error = encoder.encode(&[0; 9], &mut out).unwrap_err();
        assert_eq!(error, EncodeError::PartialFrame { bytes: 9, frame_bytes: 8 });
    }

    #[test]
    fn other_rates_channels_and_codecs_are_refused() {
        let device = format(SampleFormat::F32, 2);
        let mono = WaveFormat::pcm(format(SampleFormat::S16, 1)).unwrap();
        assert!(matches!(PcmEncoder::new(device, mono), Err(UnsupportedEncoding::Shape { .. })));
        let cd = Format { rate: SampleRate::HZ_44100, ..format(SampleFormat::S16, 2) };
        let cd = WaveFormat::pcm(cd).unwrap();
        assert!(matches!(PcmEncoder::new(device, cd), Err(UnsupportedEncoding::Shape { .. })));
        let ima = [0x11, 0, 2, 0, 0x80, 0xBB, 0, 0, 0, 0, 0, 0, 0, 8, 4, 0, 0, 0];
        let (ima, _) = WaveFormat::parse(&ima).unwrap();
        assert!(matches!(PcmEncoder::new(device, ima), Err(UnsupportedEncoding::Wire(_))));
    }

    proptest! {
        #[test]
        fn any_bytes_of_any_format_are_encoded_whole(
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
            from in 0..6_usize, to in 0..2_usize, channels in 1..=8_u16,
        ) {
            let to = [SampleFormat::U8, SampleFormat::S16][to];
            let mut encoder = encoder(SampleFormat::ALL[from], to, channels);
            let whole = bytes.len() - bytes.len() % encoder.device().frame_bytes();
            let frames = encoder.device().frames_in(whole);
            let mut out = vec![0; encoder.max_wire_bytes(frames)];
            let done = encoder.encode(&bytes[..whole], &mut out).unwrap();
            prop_assert_eq!(done, Encoded { frames, bytes: out.len() });
        }
    }
}
