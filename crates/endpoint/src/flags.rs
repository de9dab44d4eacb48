//! Flags of buffers and streams, with the reference's numbers.

use std::fmt;
use std::ops::BitOr;

use crate::EndpointError;

/// What a buffer holds (APO_BUFFER_FLAGS).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum BufferFlag {
    /// Nothing to be used (BUFFER_INVALID). At release: no frames (T8).
    Invalid = 0,
    /// Sound (BUFFER_VALID).
    Valid = 1,
    /// Silence, whatever the bytes are (BUFFER_SILENT).
    Silent = 2,
}

/// How a stream is used (AUDCLNT_STREAMFLAGS_*, E4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamFlags(u32);

impl StreamFlags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// The session's volume is shared between processes.
    pub const CROSS_PROCESS: Self = Self(0x0001_0000);
    /// A capture of what a render device plays.
    pub const LOOPBACK: Self = Self(0x0002_0000);
    /// The endpoint drives the engine by its event (D4).
    pub const EVENT_CALLBACK: Self = Self(0x0004_0000);
    /// Volume and mute do not persist.
    pub const NO_PERSIST: Self = Self(0x0008_0000);
    /// The stream's rate may be adjusted.
    pub const RATE_ADJUST: Self = Self(0x0010_0000);
    /// The default quality of sample rate conversion.
    pub const SRC_DEFAULT_QUALITY: Self = Self(0x0800_0000);
    /// PCM formats are converted.
    pub const AUTO_CONVERT_PCM: Self = Self(0x8000_0000);

    const KNOWN: u32 = 0x881F_0000;

    /// The flags of a bit-or of `AUDCLNT_STREAMFLAGS_*`.
    ///
    /// # Errors
    /// [`EndpointError::InvalidStreamFlag`] with the bits that are not known (E4).
    pub const fn from_bits(bits: u32) -> Result<Self, EndpointError> {
        if bits & !Self::KNOWN != 0 {
            return Err(EndpointError::InvalidStreamFlag { bits: bits & !Self::KNOWN });
        }
        Ok(Self(bits))
    }

    /// The bit-or.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether all of `other`'s flags are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for StreamFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for StreamFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e4_unknown_stream_flags_are_refused() {
        for bit in 0..32 {
            let bits = 1_u32 << bit;
            let known = [0x0001_0000, 0x0002_0000, 0x0004_0000, 0x0008_0000, 0x0010_0000, 0x0800_0000, 0x8000_0000];
            match StreamFlags::from_bits(bits) {
                Ok(flags) => assert!(known.contains(&flags.bits())),
                Err(EndpointError::InvalidStreamFlag { bits: refused }) => {
                    assert_eq!(refused, bits);
                    assert!(!known.contains(&bits));
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
}
