//! Audio formats as they stand on the wire.

use std::fmt;

use soundpost_core::{ChannelCount, ChannelLayout, Format, SampleFormat, SampleRate};

/// The most extra data that a format may have. The longest in use is AAC's and MP3's: 12 bytes, ADPCM's: 32.
pub const MAX_EXTRA: usize = 256;

/// Bytes of WAVEFORMATEX before the extra data.
const FIXED: usize = 18;

/// A WAVE form registration number (RFC 2361). An open set: those that are known have names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FormatTag(u16);

impl FormatTag {
    /// Linear PCM.
    pub const PCM: Self = Self(0x0001);
    /// Microsoft ADPCM.
    pub const MS_ADPCM: Self = Self(0x0002);
    /// G.711 A-law.
    pub const ALAW: Self = Self(0x0006);
    /// G.711 mu-law.
    pub const MULAW: Self = Self(0x0007);
    /// IMA (DVI) ADPCM.
    pub const IMA_ADPCM: Self = Self(0x0011);
    /// AAC as Windows 8 and later carry it.
    pub const AAC: Self = Self(0xA106);
    /// Opus, by a convention of FreeRDP's and gnome-remote-desktop's.
    pub const OPUS: Self = Self(0x704F);

    /// The tag with this number.
    #[must_use]
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// The number on the wire.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for FormatTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::PCM => f.write_str("PCM"),
            Self::MS_ADPCM => f.write_str("MS-ADPCM"),
            Self::ALAW => f.write_str("A-law"),
            Self::MULAW => f.write_str("mu-law"),
            Self::IMA_ADPCM => f.write_str("IMA ADPCM"),
            Self::AAC => f.write_str("AAC"),
            Self::OPUS => f.write_str("Opus"),
            Self(other) => write!(f, "format {other:#06x}"),
        }
    }
}

/// A checked WAVEFORMATEX (MS-RDPEA 2.2.2.1.1 AUDIO_FORMAT is the same): 1 or more channels, a rate and a block size
/// that are not 0, at most [`MAX_EXTRA`] bytes of extra data, and for PCM a block size that is channels times bytes of a
/// sample.
///
/// nAvgBytesPerSec is kept as it came: for compressed formats it tells variants apart, for PCM it is not relied on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WaveFormat {
    tag: FormatTag,
    channels: u16,
    rate: u32,
    bytes_per_second: u32,
    block_align: u16,
    bits: u16,
    extra: Vec<u8>,
}

/// Bytes that are no WAVEFORMATEX, or one that cannot be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The bytes end within the structure.
    #[error("a format needs {needed} bytes, {got} are there")]
    Truncated {
        /// Bytes that the structure takes.
        needed: usize,
        /// Bytes that there are.
        got: usize,
    },
    /// More than [`MAX_EXTRA`] bytes of extra data.
    #[error("{0} bytes of extra data are more than {MAX_EXTRA}")]
    ExtraTooLong(usize),
    /// Channels, rate or block size is 0.
    #[error("the field {0} is 0")]
    Zero(&'static str),
    /// PCM whose block size contradicts its channels and bits.
    #[error("PCM of {channels} channels with {bits} bits cannot have blocks of {block_align} bytes")]
    PcmBlock {
        /// nChannels.
        channels: u16,
        /// wBitsPerSample.
        bits: u16,
        /// nBlockAlign.
        block_align: u16,
    },
}

impl WaveFormat {
    /// Reads one structure from the front of `bytes`; answers with the bytes it took.
    ///
    /// # Errors
    /// [`ParseError`], for any bytes that are not a format that can be true.
    pub fn parse(bytes: &[u8]) -> Result<(Self, usize), ParseError> {
        let got = bytes.len();
        let (fixed, rest) = bytes.split_first_chunk::<FIXED>().ok_or(ParseError::Truncated { needed: FIXED, got })?;
        let [t0, t1, c0, c1, r0, r1, r2, r3, a0, a1, a2, a3, b0, b1, w0, w1, s0, s1] = *fixed;
        let size = usize::from(u16::from_le_bytes([s0, s1]));
        if size > MAX_EXTRA {
            return Err(ParseError::ExtraTooLong(size));
        }
        let extra = rest.get(..size).ok_or(ParseError::Truncated { needed: FIXED + size, got })?;
        let format = Self {
            tag: FormatTag(u16::from_le_bytes([t0, t1])),
            channels: u16::from_le_bytes([c0, c1]),
            rate: u32::from_le_bytes([r0, r1, r2, r3]),
            bytes_per_second: u32::from_le_bytes([a0, a1, a2, a3]),
            block_align: u16::from_le_bytes([b0, b1]),
            bits: u16::from_le_bytes([w0, w1]),
            extra: extra.to_vec(),
        };
        Ok((format.checked()?, FIXED + size))
    }

    /// The structure as it stands on the wire.
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.tag.0.to_le_bytes());
        out.extend_from_slice(&self.channels.to_le_bytes());
        out.extend_from_slice(&self.rate.to_le_bytes());
        out.extend_from_slice(&self.bytes_per_second.to_le_bytes());
        out.extend_from_slice(&self.block_align.to_le_bytes());
        out.extend_from_slice(&self.bits.to_le_bytes());
        // At most MAX_EXTRA, which fits.
        out.extend_from_slice(&u16::try_from(self.extra.len()).unwrap_or(u16::MAX).to_le_bytes());
        out.extend_from_slice(&self.extra);
    }

    /// PCM with the sample type, rate and channels of `format`; none where it is not u8 or s16.
    #[must_use]
    pub fn pcm(format: Format) -> Option<Self> {
        if !matches!(format.sample, SampleFormat::U8 | SampleFormat::S16) {
            return None;
        }
        let block_align = u16::try_from(format.frame_bytes()).ok()?;
        Some(Self {
            tag: FormatTag::PCM,
            channels: u16::from(format.layout.channels().get()),
            rate: format.rate.get(),
            bytes_per_second: format.rate.get().saturating_mul(u32::from(block_align)),
            block_align,
            bits: format.sample.valid_bits(),
            extra: Vec::new(),
        })
    }

    /// The format in the engine's terms, where it is PCM of 8 or 16 bits with channels and a rate that the engine
    /// carries. The channels stand at their usual places: WAVEFORMATEX does not say where.
    #[must_use]
    pub fn to_format(&self) -> Option<Format> {
        let sample = match (self.tag, self.bits) {
            (FormatTag::PCM, 8) => SampleFormat::U8,
            (FormatTag::PCM, 16) => SampleFormat::S16,
            _ => return None,
        };
        let layout = ChannelLayout::default_for(ChannelCount::new(self.channels).ok()?);
        Some(Format { sample, rate: SampleRate::new(self.rate).ok()?, layout })
    }

    /// wFormatTag.
    #[must_use]
    pub fn tag(&self) -> FormatTag {
        self.tag
    }

    /// nChannels.
    #[must_use]
    pub fn channels(&self) -> u16 {
        self.channels
    }

    /// nSamplesPerSec: frames per second.
    #[must_use]
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// nAvgBytesPerSec, as it came.
    #[must_use]
    pub fn bytes_per_second(&self) -> u32 {
        self.bytes_per_second
    }

    /// nBlockAlign: bytes of the smallest unit that can be decoded.
    #[must_use]
    pub fn block_align(&self) -> u16 {
        self.block_align
    }

    /// wBitsPerSample.
    #[must_use]
    pub fn bits(&self) -> u16 {
        self.bits
    }

    /// The format's own data after the fixed part.
    #[must_use]
    pub fn extra(&self) -> &[u8] {
        &self.extra
    }

    fn checked(self) -> Result<Self, ParseError> {
        let zero = [
            ("nChannels", u32::from(self.channels)),
            ("nSamplesPerSec", self.rate),
            ("nBlockAlign", u32::from(self.block_align)),
        ];
        if let Some((name, _)) = zero.into_iter().find(|(_, value)| *value == 0) {
            return Err(ParseError::Zero(name));
        }
        let sample_bytes = u32::from(self.bits).div_ceil(8);
        if self.tag == FormatTag::PCM && u32::from(self.block_align) != u32::from(self.channels) * sample_bytes {
            let Self { channels, bits, block_align, .. } = self;
            return Err(ParseError::PcmBlock { channels, bits, block_align });
        }
        Ok(self)
    }
}

impl fmt::Display for WaveFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} Hz, {} channels, {} bits", self.tag, self.rate, self.channels, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 48 kHz, 16 bits, stereo, written down from the structure's definition.
    const PCM_48K: [u8; 18] = [1, 0, 2, 0, 0x80, 0xBB, 0, 0, 0, 0xEE, 2, 0, 4, 0, 16, 0, 0, 0];
    /// IMA ADPCM at 22.05 kHz with 2 bytes of extra data (1017 samples in a block).
    const IMA: [u8; 20] = [0x11, 0, 2, 0, 0x22, 0x56, 0, 0, 0xB6, 0x56, 0, 0, 0, 4, 4, 0, 2, 0, 0xF9, 3];

    #[test]
    fn pcm_reads_and_writes_as_the_structure_says() {
        let (format, taken) = WaveFormat::parse(&PCM_48K).unwrap();
        assert_eq!(taken, 18);
        assert_eq!((format.channels(), format.rate(), format.bits()), (2, 48_000, 16));
        assert_eq!((format.bytes_per_second(), format.block_align()), (192_000, 4));
        let engine = format.to_format().unwrap();
        assert_eq!(WaveFormat::pcm(engine).unwrap(), format);
        let mut out = Vec::new();
        format.emit(&mut out);
        assert_eq!(out, PCM_48K);
    }

    #[test]
    fn extra_data_is_kept_and_what_follows_is_left() {
        let mut bytes = IMA.to_vec();
        bytes.extend_from_slice(&PCM_48K);
        let (format, taken) = WaveFormat::parse(&bytes).unwrap();
        assert_eq!((taken, format.extra()), (20, &[0xF9, 3][..]));
        assert_eq!(format.to_format(), None);
        let mut out = Vec::new();
        format.emit(&mut out);
        assert_eq!(out, IMA);
    }

    #[test]
    fn every_truncation_is_an_error() {
        for length in 0..IMA.len() {
            let error = WaveFormat::parse(&IMA[..length]).unwrap_err();
            assert!(matches!(error, ParseError::Truncated { got, .. } if got == length));
        }
    }

    #[test]
    fn formats_that_cannot_be_true_are_refused() {
        let with = |index: usize, value: u8| {
            let mut bytes = PCM_48K;
            bytes[index] = value;
            WaveFormat::parse(&bytes).map(|_| ())
        };
        assert_eq!(with(2, 0), Err(ParseError::Zero("nChannels")));
        assert_eq!(with(12, 0), Err(ParseError::Zero("nBlockAlign")));
        assert_eq!(with(12, 3), Err(ParseError::PcmBlock { channels: 2, bits: 16, block_align: 3 }));
        assert_eq!(with(17, 2), Err(ParseError::ExtraTooLong(512)));
    }

    #[test]
    fn a_rate_or_a_width_that_the_engine_does_not_carry_is_no_engine_format() {
        let mut bytes = PCM_48K;
        bytes[6] = 0xFF;
        assert_eq!(WaveFormat::parse(&bytes).unwrap().0.to_format(), None);
        let mut bytes = PCM_48K;
        (bytes[12], bytes[14]) = (8, 32);
        assert_eq!(WaveFormat::parse(&bytes).unwrap().0.to_format(), None);
    }
}
