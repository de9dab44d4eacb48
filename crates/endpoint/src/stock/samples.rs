//! Samples as numbers and back, for what works on sound in an endpoint's own format.

use soundpost_core::SampleFormat;

/// A sample as a number, full scale is ±1. `bytes` is one sample long; another length, and a float that is not finite,
/// count as silence.
pub(super) fn read(format: SampleFormat, bytes: &[u8]) -> f64 {
    match (format, bytes) {
        (SampleFormat::U8, [a]) => (f64::from(*a) - 128.0) / 128.0,
        (SampleFormat::S16, [a, b]) => f64::from(i16::from_le_bytes([*a, *b])) / 32_768.0,
        // The upper byte of s24 in 32 bits is ignored, as everywhere.
        (SampleFormat::S24, [a, b, c]) | (SampleFormat::S24In32, [a, b, c, _]) => {
            f64::from(i32::from_le_bytes([0, *a, *b, *c])) / FULL
        }
        (SampleFormat::S32, [a, b, c, d]) => f64::from(i32::from_le_bytes([*a, *b, *c, *d])) / FULL,
        (SampleFormat::F32, [a, b, c, d]) => {
            let value = f32::from_le_bytes([*a, *b, *c, *d]);
            if value.is_finite() { f64::from(value) } else { 0.0 }
        }
        _ => 0.0,
    }
}

/// Writes a number as a sample: rounded, and held at the ends of the range.
pub(super) fn write(format: SampleFormat, value: f64, bytes: &mut [u8]) {
    match (format, bytes) {
        (SampleFormat::U8, [out]) => {
            let [low, ..] = (whole(value, 128.0) + 128).to_le_bytes();
            *out = low;
        }
        (SampleFormat::S16, out @ [_, _]) => copy_low(out, whole(value, 32_768.0)),
        (SampleFormat::S24, out @ [_, _, _]) | (SampleFormat::S24In32, out @ [_, _, _, _]) => {
            copy_low(out, whole(value, 8_388_608.0));
        }
        (SampleFormat::S32, out @ [_, _, _, _]) => copy_low(out, whole(value, FULL)),
        (SampleFormat::F32, out @ [_, _, _, _]) => {
            #[expect(clippy::as_conversions, clippy::cast_possible_truncation, reason = "rounds to 24 bits")]
            out.copy_from_slice(&(value as f32).to_le_bytes());
        }
        // A slice of another length does not come: the caller cuts by the format's size.
        _ => {}
    }
}

const FULL: f64 = 2_147_483_648.0;

fn whole(value: f64, scale: f64) -> i32 {
    let rounded = (value * scale).round_ties_even().clamp(-scale, scale - 1.0);
    #[expect(clippy::as_conversions, clippy::cast_possible_truncation, reason = "clamped to the bits of the format")]
    {
        rounded as i32
    }
}

fn copy_low(out: &mut [u8], value: i32) {
    for (out, byte) in out.iter_mut().zip(value.to_le_bytes()) {
        *out = byte;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_comes_back_bit_for_bit_and_holds_at_its_ends() {
        for format in SampleFormat::ALL {
            for number in 0..1_000_u16 {
                let seed = u32::from(number).wrapping_mul(2_654_435_761).to_le_bytes();
                let mut bytes = seed[4 - format.bytes()..].to_vec();
                match format {
                    // A sign, as writers have it.
                    SampleFormat::S24In32 => bytes[3] = if bytes[2] & 0x80 == 0 { 0 } else { 0xFF },
                    SampleFormat::F32 => bytes = (f32::from(number) / 777.0 - 0.6).to_le_bytes().to_vec(),
                    _ => {}
                }
                let mut back = vec![0x55; bytes.len()];
                write(format, read(format, &bytes), &mut back);
                assert_eq!(back, bytes, "{format:?}");
            }
            let mut loud = vec![0; format.bytes()];
            for (value, most) in [(40.0, 1.0), (-40.0, -1.0)] {
                write(format, value, &mut loud);
                let due = if format == SampleFormat::F32 { value } else { most };
                assert!((read(format, &loud) - due).abs() < 0.01, "{format:?}");
            }
        }
        assert_eq!(read(SampleFormat::F32, &f32::NAN.to_le_bytes()), 0.0);
    }
}
