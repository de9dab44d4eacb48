//! How samples lie in memory.

use core::fmt;

use crate::{ChannelLayout, FrameCount, SampleRate};

/// The type of one sample. All are little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SampleFormat {
    /// Unsigned 8 bits; silence is 0x80.
    U8,
    /// Signed 16 bits.
    S16,
    /// Signed 24 bits in 3 bytes.
    S24,
    /// Signed 24 bits in the low-order 24 bits of 4 bytes, sign-extended (PulseAudio's `s24-32`, ALSA's `S24_LE`).
    S24In32,
    /// Signed 32 bits.
    S32,
    /// 32-bit float, full scale is ±1.
    F32,
}

impl SampleFormat {
    /// All formats.
    pub const ALL: [Self; 6] = [Self::U8, Self::S16, Self::S24, Self::S24In32, Self::S32, Self::F32];

    /// Bytes that one sample takes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::S16 => 2,
            Self::S24 => 3,
            Self::S24In32 | Self::S32 | Self::F32 => 4,
        }
    }

    /// Bits of a sample that carry sound.
    #[must_use]
    pub const fn valid_bits(self) -> u16 {
        match self {
            Self::U8 => 8,
            Self::S16 => 16,
            Self::S24 | Self::S24In32 => 24,
            Self::S32 | Self::F32 => 32,
        }
    }

    /// The byte that fills a silent buffer.
    #[must_use]
    pub const fn silence_byte(self) -> u8 {
        match self {
            Self::U8 => 0x80,
            _ => 0,
        }
    }
}

impl fmt::Display for SampleFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::U8 => "u8",
            Self::S16 => "s16",
            Self::S24 => "s24",
            Self::S24In32 => "s24-32",
            Self::S32 => "s32",
            Self::F32 => "f32",
        })
    }
}

/// The format of a stream or device: type of a sample, rate, channels (contract E1). Frames are interleaved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Format {
    /// The type of one sample.
    pub sample: SampleFormat,
    /// Frames per second.
    pub rate: SampleRate,
    /// The channels of a frame and their places.
    pub layout: ChannelLayout,
}

impl Format {
    /// What the engine mixes in by default: 32-bit float, 48 kHz, stereo.
    pub const DEFAULT: Self =
        Self { sample: SampleFormat::F32, rate: SampleRate::HZ_48000, layout: ChannelLayout::STEREO };

    /// Bytes that one frame takes (WAVEFORMATEX nBlockAlign).
    #[must_use]
    pub fn frame_bytes(self) -> usize {
        self.sample.bytes() * self.layout.channels().as_usize()
    }

    /// Bytes that `frames` frames take.
    #[must_use]
    pub fn bytes_of(self, frames: FrameCount) -> usize {
        self.frame_bytes() * frames.as_usize()
    }

    /// Whole frames that fit into `bytes` bytes.
    #[must_use]
    pub fn frames_in(self, bytes: usize) -> FrameCount {
        FrameCount::from_usize(bytes / self.frame_bytes())
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.sample, self.rate, self.layout)
    }
}

/// A format that the one who answers cannot carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsupportedFormat(
    /// The format that was asked for.
    pub Format,
);

impl fmt::Display for UnsupportedFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the format {} is not supported here", self.0)
    }
}

impl core::error::Error for UnsupportedFormat {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ChannelCount;

    #[test]
    fn frames_and_bytes_agree() {
        for sample in SampleFormat::ALL {
            for n in 1..=8 {
                let layout = ChannelLayout::default_for(ChannelCount::new(n).unwrap());
                let format = Format { sample, rate: SampleRate::HZ_48000, layout };
                assert_eq!(
                    format.frames_in(format.bytes_of(FrameCount::new(480)) + format.frame_bytes() - 1).get(),
                    480
                );
            }
        }
    }
}
