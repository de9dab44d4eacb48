//! The bytes before the sound.

use soundpost_core::{ChannelLayout, Format, SampleFormat};

/// RIFF/WAVE, or RF64/WAVE once the sizes need it: always the same length for a format, so that sound never moves.
///
/// ```text
/// "RIFF" size "WAVE" | "JUNK" 28 0... | "fmt " ... | ["fact" 4 frames] | "data" size
/// "RF64"  -1  "WAVE" | "ds64" 28 sizes | "fmt " ... | ["fact" 4   -1  ] | "data"  -1
/// ```
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    format: Format,
}

/// WAVE_FORMAT_PCM.
const TAG_PCM: u16 = 1;
/// WAVE_FORMAT_IEEE_FLOAT.
const TAG_FLOAT: u16 = 3;
/// WAVE_FORMAT_EXTENSIBLE.
const TAG_EXTENSIBLE: u16 = 0xFFFE;
/// The rest of every sub-format's GUID; its first two bytes are the tag.
const GUID_TAIL: [u8; 14] = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71];
/// A size that stands in the ds64 chunk instead (EBU Tech 3306).
const IN_DS64: u32 = u32::MAX;

impl Header {
    /// The longest header, that of an extensible format.
    pub(super) const MAX_LEN: usize = 12 + 36 + (8 + 40) + 12 + 8;

    pub(super) fn new(format: Format) -> Self {
        Self { format }
    }

    /// The header's length: where the sound begins.
    pub(super) fn len(self) -> u64 {
        let (junk, fact) = (8 + 28, if self.is_plain_pcm() { 0 } else { 8 + 4 });
        12 + junk + 8 + u64::from(self.fmt_len()) + fact + 8
    }

    pub(super) fn frames_in(self, data: u64) -> u64 {
        data / u64::from(self.block_align())
    }

    /// Puts the header of a file with `data` bytes of sound into `bytes`, in place of what is there. At most
    /// [`Header::MAX_LEN`].
    pub(super) fn put(self, data: u64, bytes: &mut Vec<u8>) {
        bytes.clear();
        let frames = self.frames_in(data);
        let riff = self.len() - 8 + data + data % 2;
        let sizes = match (u32::try_from(riff), u32::try_from(data), u32::try_from(frames)) {
            // The value that means "see ds64" is no size.
            (Ok(riff), Ok(data), Ok(frames)) if riff < IN_DS64 => Some((riff, data, frames)),
            _ => None,
        };
        let (riff32, data32, frames32) = sizes.unwrap_or((IN_DS64, IN_DS64, IN_DS64));
        bytes.extend(if sizes.is_some() { b"RIFF" } else { b"RF64" });
        bytes.extend(riff32.to_le_bytes());
        bytes.extend(b"WAVE");
        match sizes {
            Some(_) => {
                bytes.extend(b"JUNK");
                bytes.extend(28_u32.to_le_bytes());
                bytes.extend([0; 28]);
            }
            None => {
                bytes.extend(b"ds64");
                bytes.extend(28_u32.to_le_bytes());
                bytes.extend(riff.to_le_bytes());
                bytes.extend(data.to_le_bytes());
                bytes.extend(frames.to_le_bytes());
                bytes.extend(0_u32.to_le_bytes());
            }
        }
        self.put_fmt(bytes);
        if !self.is_plain_pcm() {
            bytes.extend(b"fact");
            bytes.extend(4_u32.to_le_bytes());
            bytes.extend(frames32.to_le_bytes());
        }
        bytes.extend(b"data");
        bytes.extend(data32.to_le_bytes());
    }

    fn put_fmt(self, bytes: &mut Vec<u8>) {
        let Format { sample, rate, layout } = self.format;
        let kind = if sample == SampleFormat::F32 { TAG_FLOAT } else { TAG_PCM };
        let tag = if self.is_extensible() { TAG_EXTENSIBLE } else { kind };
        bytes.extend(b"fmt ");
        bytes.extend(self.fmt_len().to_le_bytes());
        bytes.extend(tag.to_le_bytes());
        bytes.extend(u16::from(layout.channels().get()).to_le_bytes());
        bytes.extend(rate.get().to_le_bytes());
        bytes.extend(rate.get().saturating_mul(u32::from(self.block_align())).to_le_bytes());
        bytes.extend(self.block_align().to_le_bytes());
        bytes.extend(sample.valid_bits().to_le_bytes());
        if self.is_extensible() {
            bytes.extend(22_u16.to_le_bytes());
            bytes.extend(sample.valid_bits().to_le_bytes());
            bytes.extend(layout.mask().to_le_bytes());
            bytes.extend(kind.to_le_bytes());
            bytes.extend(GUID_TAIL);
        } else if kind == TAG_FLOAT {
            bytes.extend(0_u16.to_le_bytes());
        }
    }

    /// Bytes per frame: at most 8 channels of 4 bytes.
    fn block_align(self) -> u16 {
        u16::try_from(self.format.frame_bytes()).unwrap_or(1).max(1)
    }

    fn fmt_len(self) -> u32 {
        match (self.is_extensible(), self.is_plain_pcm()) {
            (true, _) => 40,
            (false, true) => 16,
            (false, false) => 18,
        }
    }

    /// Whether the long form is needed: more than 16 bits, or loudspeakers that the short form does not imply.
    fn is_extensible(self) -> bool {
        let usual = [ChannelLayout::MONO, ChannelLayout::STEREO].contains(&self.format.layout);
        !usual || matches!(self.format.sample, SampleFormat::S24 | SampleFormat::S32)
    }

    /// Whether the fact chunk can be left out, as it can for the oldest form alone.
    fn is_plain_pcm(self) -> bool {
        !self.is_extensible() && self.format.sample != SampleFormat::F32
    }
}
