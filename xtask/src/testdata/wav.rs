//! WAV files, as small as they can be.

use std::fs;
use std::path::Path;

/// Interleaved samples, in the type in which they are written.
#[derive(Debug)]
pub(crate) enum Samples {
    S16(Vec<i16>),
    /// 24 bits in 32; written as 3 bytes.
    S24(Vec<i32>),
    F32(Vec<f32>),
}

/// What one file holds.
#[derive(Debug)]
pub(crate) struct Sound {
    pub(crate) rate: u32,
    pub(crate) channels: u16,
    pub(crate) samples: Samples,
}

impl Sound {
    pub(crate) fn write(&self, path: &Path) -> Result<(), String> {
        let bytes = self.to_bytes().ok_or_else(|| format!("{}: longer than a WAV file can be", path.display()))?;
        fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn to_bytes(&self) -> Option<Vec<u8>> {
        let (tag, sample_bytes, data): (u16, u16, Vec<u8>) = match &self.samples {
            Samples::S16(samples) => (1, 2, samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()),
            Samples::S24(samples) => {
                let three = |sample: &i32| sample.to_le_bytes().into_iter().take(3);
                (1, 3, samples.iter().flat_map(three).collect())
            }
            Samples::F32(samples) => (3, 4, samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()),
        };
        let frame_bytes = self.channels.checked_mul(sample_bytes)?;
        let data_bytes = u32::try_from(data.len()).ok()?;
        let mut file = Vec::with_capacity(data.len() + 44);
        file.extend(b"RIFF");
        file.extend(data_bytes.checked_add(36)?.to_le_bytes());
        file.extend(b"WAVEfmt ");
        file.extend(16_u32.to_le_bytes());
        file.extend(tag.to_le_bytes());
        file.extend(self.channels.to_le_bytes());
        file.extend(self.rate.to_le_bytes());
        file.extend(self.rate.checked_mul(u32::from(frame_bytes))?.to_le_bytes());
        file.extend(frame_bytes.to_le_bytes());
        file.extend((sample_bytes * 8).to_le_bytes());
        file.extend(b"data");
        file.extend(data_bytes.to_le_bytes());
        file.extend(data);
        Some(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_says_what_follows() {
        let sound = Sound { rate: 44_100, channels: 1, samples: Samples::S24(vec![0x0001_0203, -1]) };
        let bytes = sound.to_bytes().unwrap();
        assert_eq!(bytes.len(), 50);
        assert_eq!(bytes[4..8], 42_u32.to_le_bytes());
        assert_eq!(bytes[32..36], [3, 0, 24, 0]);
        assert_eq!(bytes[44..], [3, 2, 1, 255, 255, 255]);
    }
}
