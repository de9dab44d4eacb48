//! Wire-side audio formats and their encoders.
//!
//! [`WaveFormat`] is a format as it stands on the wire (WAVEFORMATEX, MS-RDPEA's AUDIO_FORMAT): parsed from untrusted
//! bytes, checked once, and kept in private fields. [`WireEncoder`] is what every encoder offers: frames in the device's
//! format in, wire bytes out, with its frame size and delay stated. [`PcmEncoder`] is the one for PCM.
//!
//! [`mp4_edit`] and [`rf64`] read the parts of a sound file's container that the decoder library leaves unread.
//!
//! Encoders allocate when they are made and never while they encode, so that `encode` may be called from a real-time
//! thread.

#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_lossless,
        clippy::cast_precision_loss,
        reason = "test arithmetic"
    )
)]

mod bytes;
mod encoder;
mod mp4_edit;
mod pcm;
mod rf64;
mod wave_format;

pub use encoder::{EncodeError, Encoded, UnsupportedEncoding, WireEncoder};
pub use mp4_edit::{Edit, mp4_edit};
pub use pcm::PcmEncoder;
pub use rf64::{Rf64, rf64};
pub use wave_format::{FormatTag, MAX_EXTRA, ParseError, WaveFormat};
