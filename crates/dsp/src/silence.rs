//! Is there anything to hear.

use soundpost_core::SampleFormat;

/// Whether every sample is zero (either sign). Reads no further than the first 64 samples that hold sound.
#[must_use]
pub fn is_silent(samples: &[f32]) -> bool {
    let (blocks, rest) = samples.as_chunks::<64>();
    // Without the sign bit only zero has no bits; the fold has no branch, so it is vectorised.
    let sounds = |block: &[f32]| block.iter().fold(0, |bits, sample| bits | sample.to_bits()) << 1 != 0;
    !blocks.iter().any(|block| sounds(block)) && !sounds(rest)
}

/// Whether every byte is the silence of `format` ([`SampleFormat::silence_byte`]). A negative zero among floats
/// counts as sound: saying "not silent" of silence costs a pass some work, never a listener some sound.
#[must_use]
pub fn is_silent_bytes(format: SampleFormat, bytes: &[u8]) -> bool {
    let silence = format.silence_byte();
    let (blocks, rest) = bytes.as_chunks::<64>();
    let sounds = |block: &[u8]| block.iter().fold(0, |bits, byte| bits | (byte ^ silence)) != 0;
    !blocks.iter().any(|block| sounds(block)) && !sounds(rest)
}

/// Fills `bytes` with the silence of `format`.
pub fn fill_silence(format: SampleFormat, bytes: &mut [u8]) {
    bytes.fill(format.silence_byte());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sample_anywhere_is_sound() {
        for len in [1, 63, 64, 65, 200] {
            let mut samples = vec![0.0; len];
            samples[0] = -0.0;
            assert!(is_silent(&samples));
            for place in 0..len {
                samples[place] = f32::from_bits(1);
                assert!(!is_silent(&samples), "{place} of {len}");
                samples[place] = 0.0;
            }
        }
        assert!(is_silent(&[]));
    }

    #[test]
    fn silent_bytes_are_those_of_the_format() {
        for format in SampleFormat::ALL {
            let mut bytes = vec![1; 240];
            assert!(!is_silent_bytes(format, &bytes));
            fill_silence(format, &mut bytes);
            assert!(is_silent_bytes(format, &bytes));
            bytes[239] ^= 1;
            assert!(!is_silent_bytes(format, &bytes));
        }
    }
}
