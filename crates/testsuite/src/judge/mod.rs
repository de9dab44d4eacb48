//! Judges what a listener heard against what was played.
//!
//! [`exact`] is for chains that hand samples through unchanged: it counts every frame that was lost, put in or altered.
//! [`tolerant`] is for chains that resample, decode or mix: it gives the signal-to-noise ratio, drift and jumps.
//!
//! Both expect 16-bit interleaved stereo, and a played signal in which every stretch occurs once only (music, or seeded
//! noise from [`noise`]; not a tone: a tone that has lost a period is still that tone).

mod exact;
mod resample;
mod tolerant;

use std::error::Error;
use std::fmt;

use soundpost_core::SampleRate;

pub use self::exact::{Break, Exact, Place, exact};
pub use self::tolerant::{Jump, Tolerant, tolerant};

/// A piece of sound: 16-bit interleaved stereo.
#[derive(Clone, Copy, Debug)]
pub struct Pcm<'a> {
    /// Left and right in turn. A last sample without its partner is left out.
    pub samples: &'a [i16],
    /// Frames per second.
    pub rate: SampleRate,
}

/// The played signal does not occur in what was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotFound {
    /// Nothing was heard at all: every sample is 0, or there is none.
    Silence,
    /// It occurs with left and right exchanged.
    Swapped,
    /// Something else was heard.
    Other,
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silence => "nothing but silence was heard",
            Self::Swapped => "the played signal was heard with left and right exchanged",
            Self::Other => "the played signal does not occur in what was heard",
        })
    }
}

impl Error for NotFound {}

/// A stereo signal for the judge: `frames` frames of seeded low-passed noise, other noise in each channel.
///
/// Deterministic and made of integers alone. Its level is about -22 dBFS, most of it below 3 kHz.
#[must_use]
pub fn noise(seed: u32, frames: usize) -> Vec<i16> {
    let mut state = seed.wrapping_mul(0x9E37_79B9) | 1;
    let mut level = [0_i16; 2];
    let mut samples = Vec::with_capacity(frames * 2);
    for _ in 0..frames {
        for level in &mut level {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            let [_, _, third, fourth] = state.to_le_bytes();
            let white = i16::from_le_bytes([third, fourth]) / 2;
            *level += (white - *level) / 8;
            samples.push(*level);
        }
    }
    samples
}
