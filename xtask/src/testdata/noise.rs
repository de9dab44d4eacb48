//! The known signal of the decoders' tests: integers alone, so that a test computes the same samples again.

/// One sample of the signal: 16 bits that every format carries, and 8 more for those that carry 24.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    high: i16,
    low: u8,
}

/// `frames` frames, one channel for each seed (not 0).
pub(crate) fn interleaved(seeds: &[u32], frames: u32) -> Vec<Sample> {
    let mut channels: Vec<Noise> =
        seeds.iter().map(|&seed| Noise { state: seed.wrapping_mul(0x9E37_79B9), level: 0 }).collect();
    (0..frames).flat_map(|_| channels.iter_mut().map(Noise::next).collect::<Vec<_>>()).collect()
}

pub(crate) fn as_s16(samples: &[Sample]) -> Vec<i16> {
    samples.iter().map(|sample| sample.high).collect()
}

/// 24 bits in 32.
pub(crate) fn as_s24(samples: &[Sample]) -> Vec<i32> {
    samples.iter().map(|sample| i32::from(sample.high) * 256 + i32::from(sample.low)).collect()
}

pub(crate) fn as_f32(samples: &[Sample]) -> Vec<f32> {
    samples.iter().map(|sample| f32::from(sample.high) / 32_768.0).collect()
}

/// Xorshift noise of 14 bits behind a low-pass of one pole, so that a lossy codec keeps most of it.
#[derive(Debug)]
struct Noise {
    state: u32,
    level: i16,
}

impl Noise {
    fn next(&mut self) -> Sample {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 17;
        self.state ^= self.state << 5;
        let [low, _, third, fourth] = self.state.to_le_bytes();
        let white = i16::from_le_bytes([third, fourth]) / 2;
        self.level += (white - self.level) / 8;
        Sample { high: self.level, low }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The files in the repository hold these; a change here makes tests of decoders fail.
    #[test]
    fn the_signal_does_not_change() {
        let start = as_s16(&interleaved(&[1, 2], 4));
        assert_eq!(start, [1296, -1502, 625, -2333, 2526, -2458, 2235, -3147]);
        assert_eq!(as_s24(&interleaved(&[3], 2)).len(), 2);
    }
}
