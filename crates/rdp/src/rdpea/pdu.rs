//! The PDUs of MS-RDPEA, section 2.2.
//!
//! Written by hand where `ironrdp_rdpsnd::pdu` does not serve: its reader knows the versions 2, 5, 6 and 8 only and
//! refuses the whole list of a client that says another, and its writers can fail and want owned data. The tests read
//! what is written here with IronRDP's client side, and the other way round.
//!
//! BodySize of a client's PDU is not relied on: every field is checked against the bytes that are there.

use std::fmt;

use ironrdp_core::{Decode as _, NotEnoughBytesError, ReadCursor};
use ironrdp_rdpsnd::pdu::AudioFormat;

use super::MAX_CLIENT_FORMATS;
use super::faults::RdpeaFault;
use super::formats::Offer;

const SNDC_CLOSE: u8 = 0x01;
const SNDC_WAVE: u8 = 0x02;
const SNDC_SETVOLUME: u8 = 0x03;
const SNDC_WAVECONFIRM: u8 = 0x05;
const SNDC_TRAINING: u8 = 0x06;
const SNDC_FORMATS: u8 = 0x07;
const SNDC_QUALITYMODE: u8 = 0x0C;
const SNDC_WAVE2: u8 = 0x0D;

/// SNDPROLOG: type, padding, body size.
pub(super) const PROLOG: u16 = 4;
/// The most audio bytes of a Wave: BodySize is 8 more.
pub(super) const MAX_WAVE: u16 = u16::MAX - 8;
/// The fewest audio bytes of a Wave: the WaveInfo PDU always carries four.
pub(super) const MIN_WAVE: usize = 4;
/// The most audio bytes of a Wave2: BodySize is 12 more.
pub(super) const MAX_WAVE2: u16 = u16::MAX - 12;

/// A version of the protocol (MS-RDPEA 2.2.2.1, behaviour note 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub(super) u16);

impl Version {
    /// Windows 7: has the Quality Mode PDU.
    pub const V6: Self = Self(6);
    /// Windows 8: has Wave2. The version of this server.
    pub const V8: Self = Self(8);

    /// The number on the wire.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version {}", self.0)
    }
}

/// A loudness that the client is to apply: 0 is silence, 0xFFFF is full. The scale is logarithmic: equal steps sound
/// equally large (MS-RDPEA 2.2.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Volume {
    /// The left channel.
    pub left: u16,
    /// The right channel.
    pub right: u16,
}

/// How the client wants quality weighed against bandwidth (MS-RDPEA 2.2.2.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QualityMode {
    /// As the network allows.
    #[default]
    Dynamic,
    /// Moderate quality and bandwidth.
    Medium,
    /// The best format without regard to bandwidth.
    High,
}

/// What a client can send.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ClientPdu {
    Formats(ClientFormats),
    QualityMode(QualityMode),
    TrainingConfirm { timestamp: u16, pack_size: u16 },
    WaveConfirm { timestamp: u16, block: u8 },
}

/// Client Audio Formats and Version PDU (2.2.2.2).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ClientFormats {
    pub(super) flags: u32,
    pub(super) volume: Volume,
    pub(super) version: Version,
    pub(super) formats: Vec<AudioFormat>,
    /// The list was longer than [`MAX_CLIENT_FORMATS`].
    pub(super) cut: bool,
}

impl ClientFormats {
    /// TSSNDCAPS_ALIVE.
    pub(super) const ALIVE: u32 = 0x1;
    /// TSSNDCAPS_VOLUME.
    pub(super) const VOLUME: u32 = 0x2;
}

pub(super) fn parse_client(pdu: &[u8]) -> Result<ClientPdu, RdpeaFault> {
    let mut body = ReadCursor::new(pdu);
    let kind = body.try_read_u8()?;
    let _padding = body.try_read_u8()?;
    let _body_size = body.try_read_u16()?;
    match kind {
        SNDC_FORMATS => parse_formats(&mut body).map(ClientPdu::Formats),
        SNDC_QUALITYMODE => match body.try_read_u16()? {
            0 => Ok(ClientPdu::QualityMode(QualityMode::Dynamic)),
            1 => Ok(ClientPdu::QualityMode(QualityMode::Medium)),
            2 => Ok(ClientPdu::QualityMode(QualityMode::High)),
            _ => Err(RdpeaFault::InvalidField),
        },
        SNDC_TRAINING => {
            Ok(ClientPdu::TrainingConfirm { timestamp: body.try_read_u16()?, pack_size: body.try_read_u16()? })
        }
        // The fourth byte is padding; it need not be there.
        SNDC_WAVECONFIRM => Ok(ClientPdu::WaveConfirm { timestamp: body.try_read_u16()?, block: body.try_read_u8()? }),
        _ => Err(RdpeaFault::UnknownType),
    }
}

fn parse_formats(body: &mut ReadCursor<'_>) -> Result<ClientFormats, RdpeaFault> {
    let flags = body.try_read_u32()?;
    let volume = Volume { left: body.try_read_u16()?, right: body.try_read_u16()? };
    let _pitch = body.try_read_u32()?;
    let _udp_port = body.try_read_u16_be()?;
    let count = usize::from(body.try_read_u16()?);
    let _last_block = body.try_read_u8()?;
    let version = Version(body.try_read_u16()?);
    let _padding = body.try_read_u8()?;
    let mut formats = Vec::new();
    for _ in 0..count.min(MAX_CLIENT_FORMATS) {
        formats.push(AudioFormat::decode(body).map_err(|_| RdpeaFault::Truncated)?);
    }
    Ok(ClientFormats { flags, volume, version, formats, cut: count > MAX_CLIENT_FORMATS })
}

impl From<NotEnoughBytesError> for RdpeaFault {
    fn from(_: NotEnoughBytesError) -> Self {
        Self::Truncated
    }
}

/// Server Audio Formats and Version PDU (2.2.2.1). cLastBlockConfirmed is 0: the first wave is block 1.
pub(super) fn server_formats(offer: &Offer, version: Version) -> Vec<u8> {
    let mut body = vec![0; 14];
    body.extend_from_slice(&offer.count().to_le_bytes());
    body.push(0);
    body.extend_from_slice(&version.0.to_le_bytes());
    body.push(0);
    body.extend_from_slice(offer.encoded());
    let mut pdu = prolog(SNDC_FORMATS, u16::try_from(body.len()).unwrap_or(u16::MAX));
    pdu.append(&mut body);
    pdu
}

/// Training PDU (2.2.3.1) of `pack_size` bytes in all; no data where that is 0 or less than the fields take.
pub(super) fn training(timestamp: u16, pack_size: u16) -> Vec<u8> {
    let data = pack_size.saturating_sub(PROLOG + 4);
    let mut pdu = prolog(SNDC_TRAINING, 4 + data);
    pdu.extend_from_slice(&timestamp.to_le_bytes());
    pdu.extend_from_slice(&if data == 0 { 0 } else { pack_size }.to_le_bytes());
    pdu.resize(pdu.len() + usize::from(data), 0);
    pdu
}

/// What the three audio PDUs begin with.
#[derive(Clone, Copy, Debug)]
pub(super) struct WaveHead {
    pub(super) timestamp: u16,
    pub(super) format_number: u16,
    pub(super) block: u8,
}

/// WaveInfo and Wave PDU (2.2.3.3, 2.2.3.4): two messages. The first carries the first four bytes of audio; in the
/// second four bytes of zero stand in their place. None for audio outside of [`MIN_WAVE`] to [`MAX_WAVE`] bytes.
pub(super) fn wave(head: WaveHead, audio: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (first, rest) = audio.split_first_chunk::<MIN_WAVE>()?;
    let body_size = u16::try_from(audio.len()).ok()?.checked_add(8)?;
    let mut info = wave_head(prolog(SNDC_WAVE, body_size), head);
    info.extend_from_slice(first);
    let mut wave = Vec::with_capacity(audio.len());
    wave.extend_from_slice(&[0; 4]);
    wave.extend_from_slice(rest);
    Some((info, wave))
}

/// Wave2 PDU (2.2.3.10). None for more than [`MAX_WAVE2`] bytes.
pub(super) fn wave2(head: WaveHead, audio_time_ms: u32, audio: &[u8]) -> Option<Vec<u8>> {
    let body_size = u16::try_from(audio.len()).ok()?.checked_add(12)?;
    let mut pdu = prolog(SNDC_WAVE2, body_size);
    pdu.reserve_exact(usize::from(body_size));
    let mut pdu = wave_head(pdu, head);
    pdu.extend_from_slice(&audio_time_ms.to_le_bytes());
    pdu.extend_from_slice(audio);
    Some(pdu)
}

/// Volume PDU (2.2.4.1): left in the low word, right in the high word.
pub(super) fn volume(volume: Volume) -> Vec<u8> {
    let mut pdu = prolog(SNDC_SETVOLUME, 4);
    pdu.extend_from_slice(&volume.left.to_le_bytes());
    pdu.extend_from_slice(&volume.right.to_le_bytes());
    pdu
}

/// Close PDU (2.2.3.9).
pub(super) fn close() -> Vec<u8> {
    prolog(SNDC_CLOSE, 0)
}

fn prolog(kind: u8, body_size: u16) -> Vec<u8> {
    let [s0, s1] = body_size.to_le_bytes();
    vec![kind, 0, s0, s1]
}

fn wave_head(mut pdu: Vec<u8>, head: WaveHead) -> Vec<u8> {
    pdu.extend_from_slice(&head.timestamp.to_le_bytes());
    pdu.extend_from_slice(&head.format_number.to_le_bytes());
    pdu.extend_from_slice(&[head.block, 0, 0, 0]);
    pdu
}
