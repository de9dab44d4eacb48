//! What an audio channel tells its caller.

use std::fmt;
use std::time::Duration;

use super::formats::NegotiatedFormat;
use super::ledger::Confirmation;
use super::pdu::{QualityMode, Version, Volume};

/// What the caller has to act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RdpeaOutput {
    /// Send this as one message on the audio channel.
    Send(Vec<u8>),
    /// This happened.
    Event(Event),
}

/// What happened on the audio channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Waves may be sent from now on.
    Ready(Ready),
    /// There will be no sound: no format of the client's can be used.
    FormatRejected(FormatRejected),
    /// The client did not answer with its formats. There will be no sound.
    NegotiationTimedOut,
    /// A wave was confirmed.
    Confirmed(Confirmation),
    /// A training beyond the first was confirmed: the round trip it took.
    RoundTrip(Duration),
    /// The client changed its quality mode after `Ready`.
    QualityMode(QualityMode),
}

/// What client and server agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The format of the waves.
    pub format: NegotiatedFormat,
    /// The lower one of both sides' versions.
    pub version: Version,
    /// Whether waves travel as Wave2.
    pub wave2: bool,
    /// The client's wish; dynamic where it said none.
    pub quality: QualityMode,
    /// The round trip of the first training; none where it was not confirmed in time.
    pub round_trip: Option<Duration>,
    /// The client's volume at the start, where it can change it.
    pub volume: Option<Volume>,
}

/// Why no format of the client's can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatRejected {
    /// The client did not set TSSNDCAPS_ALIVE: it does not want audio data (MS-RDPEA 2.2.2.2).
    pub not_alive: bool,
    /// The client's whole list, described.
    pub client_formats: Vec<String>,
}

impl fmt::Display for FormatRejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.not_alive {
            return f.write_str("the client says that it does not take audio data (TSSNDCAPS_ALIVE is not set)");
        }
        f.write_str("no audio format in common: the client lists ")?;
        if self.client_formats.is_empty() {
            return f.write_str("none");
        }
        f.write_str(&self.client_formats.join("; "))
    }
}

/// Why a wave, a volume or a training could not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Nothing is agreed on yet, or never will be.
    #[error("the audio channel is not ready: wait for Ready")]
    NotReady,
    /// The client did not set TSSNDCAPS_VOLUME.
    #[error("the client cannot change its volume")]
    NoVolume,
    /// Not a whole number of the format's blocks, or none at all.
    #[error("a wave of {bytes} bytes is not one or more whole blocks of {block} bytes")]
    NotWholeBlocks {
        /// Bytes of audio.
        bytes: usize,
        /// The format's block size.
        block: usize,
    },
    /// Too little or too much for one PDU.
    #[error("a wave of {bytes} bytes does not fit its PDU: use {min} to {max} bytes")]
    Size {
        /// Bytes of audio.
        bytes: usize,
        /// The fewest.
        min: usize,
        /// The most.
        max: usize,
    },
}
