//! What must hold for any input at all: one function for each fuzz target.
//!
//! An oracle takes bytes, drives the code under test with them, and panics where a promise is broken. State machines are
//! driven by operations that the bytes choose, so that the fuzzer gets past the first check. `fuzz/fuzz_targets` calls
//! them one by one; every input that ever broke one lies in `data/fuzz_regression/<oracle>` and is replayed by the
//! ordinary tests.
//!
//! The build for fuzzing takes this crate without its default features: an oracle uses crates of the core alone.

#![expect(clippy::panic, reason = "a broken promise is told by a panic: that is what the fuzzer looks for")]

use std::io::{Cursor, Read, Result, Seek, SeekFrom};

mod exclusive;
mod mp4_edit;
mod mux;
mod pulse;
mod rdpea;
mod rf64;
mod spnego;
mod wave_format;

pub use self::exclusive::exclusive;
pub use self::mp4_edit::mp4_edit;
pub use self::mux::mux;
pub use self::pulse::{pulse, pulse_bytes};
pub use self::rdpea::rdpea;
pub use self::rf64::rf64;
pub use self::spnego::spnego;
pub use self::wave_format::wave_format;

/// An oracle: its name (that of the fuzz target and of its folders), and the function.
pub type Oracle = (&'static str, fn(&[u8]));

/// All oracles.
pub const ALL: &[Oracle] = &[
    ("exclusive", exclusive),
    ("mp4_edit", mp4_edit),
    ("mux", mux),
    ("pulse", pulse),
    ("pulse_bytes", pulse_bytes),
    ("rdpea", rdpea),
    ("rf64", rf64),
    ("spnego", spnego),
    ("wave_format", wave_format),
];

/// A file that counts how often it is read.
struct Counted<'a> {
    inner: Cursor<&'a [u8]>,
    reads: usize,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.reads += 1;
        self.inner.read(buffer)
    }
}

impl Seek for Counted<'_> {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        self.inner.seek(to)
    }
}

/// Takes operations and their arguments from the front of the fuzzer's bytes. Past the end everything is 0 and empty.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn u8(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    /// A length in one byte, and so many bytes or what is left.
    fn bytes(&mut self) -> &'a [u8] {
        let length = usize::from(self.u8()).min(self.0.len());
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let length = N.min(self.0.len());
        let (taken, rest) = self.0.split_at(length);
        for (to, from) in array.iter_mut().zip(taken) {
            *to = *from;
        }
        self.0 = rest;
        array
    }
}
