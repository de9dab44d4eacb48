//! Bytes of any sample format to `f32` and back.
//!
//! Full scale is ±1. An integer of `n` bits is divided by 2ⁿ⁻¹, so that its most negative value is exactly −1 and its
//! most positive one lies one step below +1. On the way back a value is multiplied by the same power of two, rounded
//! to the nearest integer (a tie goes to the even one) and held at the ends of the range. Both ways together return
//! u8, s16 and s24 bit for bit; s32 keeps its 24 upper bits, which is what an `f32` holds.
//!
//! `f32` is copied bit for bit, but a value that is not finite becomes 0: an application's stray NaN must not reach
//! the streams it is mixed with. Writing integers takes NaN for 0 and infinities for full scale.
//!
//! There is no dither. An undisturbed stream must arrive as it was sent, which dither would prevent; where the mix
//! has been scaled, the error of rounding to 16 bits lies 98 dB below full scale and is correlated with the signal
//! only for signals of a few steps.

use soundpost_core::SampleFormat;

use crate::num::f32_of_i32;

/// Reads samples of `format` from `bytes` into `out`; returns how many: as many as both hold.
pub fn decode(format: SampleFormat, bytes: &[u8], out: &mut [f32]) -> usize {
    match format {
        SampleFormat::U8 => read(bytes, out, |b: &[u8; 1]| (f32::from(b[0]) - 128.0) * (1.0 / 128.0)),
        SampleFormat::S16 => read(bytes, out, |b| f32::from(i16::from_le_bytes(*b)) * (1.0 / 32_768.0)),
        SampleFormat::S24 => {
            read(bytes, out, |b: &[u8; 3]| f32_of_i32(i32::from_le_bytes([0, b[0], b[1], b[2]])) * (1.0 / S32_SCALE))
        }
        // The upper byte is ignored: some writers extend the sign into it, some leave it 0.
        SampleFormat::S24In32 => {
            read(bytes, out, |b| f32_of_i32(i32::from_le_bytes(*b).wrapping_shl(8)) * (1.0 / S32_SCALE))
        }
        SampleFormat::S32 => read(bytes, out, |b| f32_of_i32(i32::from_le_bytes(*b)) * (1.0 / S32_SCALE)),
        SampleFormat::F32 => read(bytes, out, |b| {
            let value = f32::from_le_bytes(*b);
            if value.abs() < f32::INFINITY { value } else { 0.0 }
        }),
    }
}

/// Writes `samples` as `format` into `bytes`; returns how many: as many as both hold.
pub fn encode(format: SampleFormat, samples: &[f32], bytes: &mut [u8]) -> usize {
    match format {
        SampleFormat::U8 => write(samples, bytes, |x| {
            // 128 steps up, so that the rounded number is the byte.
            let [low, ..] = narrow(x, 128.0, 128.0).to_le_bytes();
            [low]
        }),
        SampleFormat::S16 => write(samples, bytes, |x| {
            let [low, high, ..] = narrow(x, 32_768.0, 0.0).to_le_bytes();
            [low, high]
        }),
        SampleFormat::S24 => write(samples, bytes, |x| {
            let [low, middle, high, _] = wide(x, S24_SCALE).to_le_bytes();
            [low, middle, high]
        }),
        SampleFormat::S24In32 => write(samples, bytes, |x| wide(x, S24_SCALE).to_le_bytes()),
        SampleFormat::S32 => write(samples, bytes, |x| wide(x, f64::from(S32_SCALE)).to_le_bytes()),
        SampleFormat::F32 => write(samples, bytes, f32::to_le_bytes),
    }
}

const S32_SCALE: f32 = 2_147_483_648.0;
const S24_SCALE: f64 = 8_388_608.0;

fn read<const BYTES: usize>(bytes: &[u8], out: &mut [f32], sample: impl Fn(&[u8; BYTES]) -> f32) -> usize {
    let (packed, _) = bytes.as_chunks::<BYTES>();
    for (out, bytes) in out.iter_mut().zip(packed) {
        *out = sample(bytes);
    }
    out.len().min(packed.len())
}

fn write<const BYTES: usize>(samples: &[f32], bytes: &mut [u8], packed: impl Fn(f32) -> [u8; BYTES]) -> usize {
    let (out, _) = bytes.as_chunks_mut::<BYTES>();
    for (out, sample) in out.iter_mut().zip(samples) {
        *out = packed(*sample);
    }
    samples.len().min(out.len())
}

/// `x·scale + offset` rounded and held in the range of a `scale`-sized integer, in the low bits of the result.
///
/// Adding 1.5·2²³ leaves the rounded integer in the low bits of the float: the processor's own rounding, to nearest
/// and even, and unlike a saturating cast it is vectorised.
#[inline]
fn narrow(x: f32, scale: f32, offset: f32) -> u32 {
    let x = if x.is_nan() { 0.0 } else { x } * scale;
    let x = if x > scale - 1.0 { scale - 1.0 } else { x };
    let x = if x < -scale { -scale } else { x };
    (x + (12_582_912.0 + offset)).to_bits()
}

/// The same for integers that an `f32` cannot hold with room to spare: 1.5·2⁵² in an `f64`.
#[inline]
#[expect(clippy::as_conversions, clippy::cast_possible_truncation, reason = "the low 32 bits are the integer")]
fn wide(x: f32, scale: f64) -> u32 {
    let x = f64::from(if x.is_nan() { 0.0 } else { x }) * scale;
    let x = if x > scale - 1.0 { scale - 1.0 } else { x };
    let x = if x < -scale { -scale } else { x };
    (x + 6_755_399_441_055_744.0).to_bits() as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(format: SampleFormat, bytes: &[u8]) -> Vec<u8> {
        let mut samples = vec![0.0; bytes.len() / format.bytes()];
        assert_eq!(decode(format, bytes, &mut samples), samples.len());
        let mut back = vec![0; bytes.len()];
        assert_eq!(encode(format, &samples, &mut back), samples.len());
        back
    }

    #[test]
    fn every_u8_and_s16_returns_bit_for_bit() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(round_trip(SampleFormat::U8, &all), all);
        let all: Vec<u8> = (i16::MIN..=i16::MAX).flat_map(i16::to_le_bytes).collect();
        assert_eq!(round_trip(SampleFormat::S16, &all), all);
    }

    #[test]
    fn every_s24_returns_bit_for_bit() {
        for start in (-8_388_608..8_388_608_i32).step_by(65_536) {
            let values = start..start + 65_536;
            let packed: Vec<u8> = values.clone().flat_map(|v| v.to_le_bytes().into_iter().take(3)).collect();
            assert_eq!(round_trip(SampleFormat::S24, &packed), packed);
            let padded: Vec<u8> = values.flat_map(i32::to_le_bytes).collect();
            assert_eq!(round_trip(SampleFormat::S24In32, &padded), padded);
        }
    }

    #[test]
    fn the_upper_byte_of_s24_in_32_is_ignored() {
        let mut out = [0.0; 2];
        decode(SampleFormat::S24In32, &[0, 0, 0x80, 0x55, 0, 0, 0x40, 0xFF], &mut out);
        assert_eq!(out, [-1.0, 0.5]);
    }

    #[test]
    fn extremes_are_held_and_nan_is_silence() {
        let input = [2.0, -2.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX];
        let written = |format: SampleFormat| {
            let mut bytes = vec![0xAA; input.len() * format.bytes()];
            encode(format, &input, &mut bytes);
            bytes
        };
        assert_eq!(written(SampleFormat::U8), [255, 0, 255, 0, 128, 255]);
        let expected = [i16::MAX, i16::MIN, i16::MAX, i16::MIN, 0, i16::MAX];
        assert_eq!(written(SampleFormat::S16), expected.map(i16::to_le_bytes).concat());
        let expected = [i32::MAX, i32::MIN, i32::MAX, i32::MIN, 0, i32::MAX];
        assert_eq!(written(SampleFormat::S32), expected.map(i32::to_le_bytes).concat());
        let expected = expected.map(|v| v >> 8);
        assert_eq!(written(SampleFormat::S24In32), expected.map(i32::to_le_bytes).concat());
        let packed: Vec<u8> = expected.iter().flat_map(|v| v.to_le_bytes().into_iter().take(3)).collect();
        assert_eq!(written(SampleFormat::S24), packed);
    }

    #[test]
    fn floats_are_copied_but_for_what_is_not_finite() {
        let input = [1.5, -0.0, f32::MIN_POSITIVE / 2.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
        let mut out = [9.0; 6];
        decode(SampleFormat::F32, &input.map(f32::to_le_bytes).concat(), &mut out);
        assert_eq!(out.map(f32::to_bits), [1.5, -0.0, f32::MIN_POSITIVE / 2.0, 0.0, 0.0, 0.0].map(f32::to_bits));
    }

    proptest! {
        #[test]
        fn rounding_is_to_nearest_with_ties_to_even(x in -1.1_f32..1.1) {
            let mut bytes = [0; 2];
            encode(SampleFormat::S16, &[x], &mut bytes);
            let expected = (f64::from(x) * 32_768.0).round_ties_even().clamp(-32_768.0, 32_767.0);
            prop_assert_eq!(f64::from(i16::from_le_bytes(bytes)), expected);
            let mut bytes = [0; 4];
            encode(SampleFormat::S24In32, &[x], &mut bytes);
            let expected = (f64::from(x) * S24_SCALE).round_ties_even().clamp(-S24_SCALE, S24_SCALE - 1.0);
            prop_assert_eq!(f64::from(i32::from_le_bytes(bytes)), expected);
        }

        #[test]
        fn s32_keeps_its_upper_24_bits(value: i32) {
            let back = round_trip(SampleFormat::S32, &value.to_le_bytes());
            let back = i32::from_le_bytes([back[0], back[1], back[2], back[3]]);
            prop_assert!((i64::from(back) - i64::from(value)).abs() <= 64);
        }

        #[test]
        fn lengths_never_matter(len in 0_usize..40, out in 0_usize..12) {
            for format in SampleFormat::ALL {
                let count = decode(format, &vec![1; len], &mut vec![0.0; out]);
                prop_assert_eq!(count, out.min(len / format.bytes()));
                let count = encode(format, &vec![0.0; out], &mut vec![1; len]);
                prop_assert_eq!(count, out.min(len / format.bytes()));
            }
        }
    }
}
