//! The lists of formats: what is offered, and what the client made of it.

use std::fmt;

use ironrdp_core::encode_vec;
pub use ironrdp_rdpsnd::pdu::{AudioFormat, WaveFormat as FormatTag};
use soundpost_core::{ChannelCount, ChannelLayout, Format, SampleFormat, SampleRate};

/// The most formats in an offer: clients are known that read no more (Guacamole).
pub const MAX_OFFER: usize = 16;

/// What every client is offered, in this order, before anything else: the PCM formats worth having, down to telephone
/// quality for clients that have nothing better.
const PCM_OFFER: &[(SampleFormat, u16, u32)] = &[
    (SampleFormat::S16, 2, 48_000),
    (SampleFormat::S16, 2, 44_100),
    (SampleFormat::S16, 1, 48_000),
    (SampleFormat::S16, 1, 44_100),
    (SampleFormat::S16, 2, 22_050),
    (SampleFormat::S16, 1, 22_050),
    (SampleFormat::S16, 1, 11_025),
    (SampleFormat::S16, 1, 8_000),
    (SampleFormat::U8, 2, 44_100),
    (SampleFormat::U8, 2, 22_050),
    (SampleFormat::U8, 1, 22_050),
    (SampleFormat::U8, 1, 11_025),
];

/// The list of formats in the Server Audio Formats and Version PDU: 1 to [`MAX_OFFER`] formats, in the order in which
/// the client sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    formats: Vec<AudioFormat>,
    encoded: Vec<u8>,
}

/// A list that cannot be offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOffer {
    /// No format, or too many.
    #[error("an offer of {0} formats is not possible: give 1 to {MAX_OFFER}")]
    Count(usize),
    /// A format with more extra data than its length field can say.
    #[error("format {0} of the offer has more extra data than 65535 bytes")]
    ExtraData(usize),
}

impl Offer {
    /// An offer of `formats`.
    ///
    /// # Errors
    /// [`InvalidOffer`] for none, more than [`MAX_OFFER`], or one that cannot be written down.
    pub fn new(formats: Vec<AudioFormat>) -> Result<Self, InvalidOffer> {
        if formats.is_empty() || formats.len() > MAX_OFFER {
            return Err(InvalidOffer::Count(formats.len()));
        }
        let mut encoded = Vec::new();
        for (index, format) in formats.iter().enumerate() {
            let bytes = encode_vec(format).map_err(|_| InvalidOffer::ExtraData(index))?;
            encoded.extend_from_slice(&bytes);
        }
        Ok(Self { formats, encoded })
    }

    /// PCM in every shape that clients of the last twenty years take.
    #[must_use]
    pub fn pcm() -> Self {
        let formats: Vec<AudioFormat> =
            PCM_OFFER.iter().map(|&(sample, channels, rate)| pcm_format(sample, channels, rate)).collect();
        let encoded = formats.iter().filter_map(|format| encode_vec(format).ok()).flatten().collect();
        Self { formats, encoded }
    }

    /// The formats, in order.
    #[must_use]
    pub fn formats(&self) -> &[AudioFormat] {
        &self.formats
    }

    pub(super) fn count(&self) -> u16 {
        u16::try_from(self.formats.len()).unwrap_or(u16::MAX)
    }

    pub(super) fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    fn has(&self, format: &AudioFormat) -> bool {
        self.formats.iter().any(|offered| offered.matches_for_negotiation(format))
    }
}

fn pcm_format(sample: SampleFormat, channels: u16, rate: u32) -> AudioFormat {
    let block = channels * sample.valid_bits() / 8;
    AudioFormat {
        format: FormatTag::PCM,
        n_channels: channels,
        n_samples_per_sec: rate,
        n_avg_bytes_per_sec: rate * u32::from(block),
        n_block_align: block,
        bits_per_sample: sample.valid_bits(),
        data: None,
    }
}

/// A format that both sides have, with the number that stands for it on the wire.
///
/// There is no way to make one but from a client's list, so that a number outside of the list cannot be written to the
/// wire (wFormatNo indexes the client's list, MS-RDPEA 2.2.3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NegotiatedFormat {
    number: u16,
    format: AudioFormat,
    pcm: Option<Format>,
}

impl NegotiatedFormat {
    /// Its place in the client's list.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }

    /// The format as the client wrote it.
    #[must_use]
    pub fn format(&self) -> &AudioFormat {
        &self.format
    }

    /// The format in the engine's terms, where it is PCM.
    #[must_use]
    pub fn pcm(&self) -> Option<Format> {
        self.pcm
    }

    /// The format as WAVEFORMATEX: 18 bytes and the extra data.
    #[must_use]
    pub fn to_wave_format_ex(&self) -> Vec<u8> {
        // Cannot fail: the length of the extra data came out of a 16-bit field.
        encode_vec(&self.format).unwrap_or_default()
    }
}

impl fmt::Display for NegotiatedFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&describe(&self.format))
    }
}

/// What a client's list came to.
#[derive(Debug, Default)]
pub(super) struct Intersection {
    pub(super) common: Vec<NegotiatedFormat>,
    /// Formats that were not offered.
    pub(super) foreign: usize,
}

/// The formats of the client's list that were offered, in the client's order and with the client's numbers.
pub(super) fn intersect(offer: &Offer, list: &[AudioFormat]) -> Intersection {
    let mut result = Intersection::default();
    for (number, format) in (0..=u16::MAX).zip(list) {
        let pcm = to_pcm(format);
        if offer.has(format) && (pcm.is_some() || format.format != FormatTag::PCM) {
            result.common.push(NegotiatedFormat { number, format: format.clone(), pcm });
        } else {
            result.foreign += 1;
        }
    }
    result
}

/// One line for a log: what the format is, and every field where it is something rare.
pub(super) fn describe(format: &AudioFormat) -> String {
    let (rate, channels, bits) = (format.n_samples_per_sec, format.n_channels, format.bits_per_sample);
    match tag_name(format.format) {
        Some(name) => format!("{name} {rate} Hz, {channels} channels, {bits} bits"),
        None => format!("format {} at {rate} Hz, {channels} channels, {bits} bits", format.format),
    }
}

fn tag_name(tag: FormatTag) -> Option<&'static str> {
    const NAMES: &[(FormatTag, &str)] = &[
        (FormatTag::PCM, "PCM"),
        (FormatTag::ADPCM, "MS-ADPCM"),
        (FormatTag::ALAW, "A-law"),
        (FormatTag::MULAW, "mu-law"),
        (FormatTag::DVI_ADPCM, "IMA ADPCM"),
        (FormatTag::GSM610, "GSM 6.10"),
        (FormatTag::MSG723, "G.723"),
        (FormatTag::MPEGLAYER3, "MP3"),
        (FormatTag::AAC_MS, "AAC"),
        (FormatTag::OPUS, "Opus"),
    ];
    NAMES.iter().find(|(known, _)| *known == tag).map(|(_, name)| *name)
}

fn to_pcm(format: &AudioFormat) -> Option<Format> {
    let sample = match (format.format, format.bits_per_sample, &format.data) {
        (FormatTag::PCM, 8, None) => SampleFormat::U8,
        (FormatTag::PCM, 16, None) => SampleFormat::S16,
        _ => return None,
    };
    let layout = ChannelLayout::default_for(ChannelCount::new(format.n_channels).ok()?);
    let rate = SampleRate::new(format.n_samples_per_sec).ok()?;
    let format_of = Format { sample, rate, layout };
    (usize::from(format.n_block_align) == format_of.frame_bytes()).then_some(format_of)
}
