//! Writing WAV files that are valid at every moment.
//!
//! A [`WavWriter`] puts sound behind a header of fixed length and rewrites that header from time to time. Sound is
//! always written before the header that counts it, and the header always in one call. So whenever the process ends,
//! be it by `kill -9`, the file holds a header that fits: a reader finds everything up to the last header, and further
//! bytes behind it that it ignores.
//!
//! Nothing is forced to the disk while sound runs (it would stall the disk for everybody). After a loss of power the
//! file holds what the system had written back by then, usually all but the last half minute.
//!
//! The file starts as RIFF/WAVE, with room reserved. When its sizes no longer fit into 32 bits it becomes an RF64 file
//! in place (EBU Tech 3306, v2), in the same one write.

mod file;
mod header;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use soundpost_core::{Format, SampleFormat, UnsupportedFormat};

use header::Header;

pub use file::{CreateError, create};

/// Where a [`WavWriter`] puts its bytes: a file, or a stand-in for one in a test.
pub trait WavSink {
    /// Writes all of `bytes` at `offset` bytes from the start.
    ///
    /// # Errors
    /// The system's. Some of the bytes may have been written.
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;
}

impl WavSink for File {
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }
}

/// Writes one WAV file. Blocks on the disk: never on a real-time thread.
#[derive(Debug)]
pub struct WavWriter<S> {
    sink: S,
    header: Header,
    /// The header's bytes, kept: files of runs on a virtual clock are written in the pass, where nothing may be allocated.
    bytes: Vec<u8>,
    /// Bytes of sound in the file.
    data: u64,
    /// Of these, how many the header in the file counts.
    counted: u64,
}

impl<S: WavSink> WavWriter<S> {
    /// Begins a file in an empty sink: writes the header of a file without sound.
    ///
    /// # Errors
    /// The sink's.
    ///
    pub fn new(sink: S, format: WavFormat) -> io::Result<Self> {
        let mut writer = Self {
            sink,
            header: Header::new(format.0),
            bytes: Vec::with_capacity(Header::MAX_LEN),
            data: 0,
            counted: 0,
        };
        writer.write_header()?;
        Ok(writer)
    }

    /// Appends sound: whole frames in the file's format. The header counts it from the next [`WavWriter::checkpoint`]
    /// on.
    ///
    /// # Errors
    /// The sink's. Nothing counts as written then, and the same call may be made again.
    pub fn append(&mut self, frames: &[u8]) -> io::Result<()> {
        self.sink.write_all_at(frames, self.header.len().saturating_add(self.data))?;
        self.data = self.data.saturating_add(u64::try_from(frames.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    /// Brings the header up to date, where sound was appended since the last time.
    ///
    /// # Errors
    /// The sink's. The file still is what it was after the last success.
    pub fn checkpoint(&mut self) -> io::Result<()> {
        if self.counted == self.data {
            return Ok(());
        }
        if !self.data.is_multiple_of(2) {
            // Chunks are padded to an even length. What is appended next overwrites the pad.
            self.sink.write_all_at(&[0], self.header.len().saturating_add(self.data))?;
        }
        self.write_header()
    }

    /// Frames written so far.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.header.frames_in(self.data)
    }

    fn write_header(&mut self) -> io::Result<()> {
        self.header.put(self.data, &mut self.bytes);
        self.sink.write_all_at(&self.bytes, 0)?;
        self.counted = self.data;
        Ok(())
    }
}

/// A format that a WAV file can carry: u8, s16, s24, s32 or f32 in any layout and rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WavFormat(Format);

impl WavFormat {
    /// The engine's format.
    #[must_use]
    pub fn format(self) -> Format {
        self.0
    }
}

impl TryFrom<Format> for WavFormat {
    type Error = UnsupportedFormat;

    /// # Errors
    /// [`UnsupportedFormat`] for 24 bits in 4 bytes: WAV wants those in the high-order bits, the engine has them in the
    /// low-order ones.
    fn try_from(format: Format) -> Result<Self, UnsupportedFormat> {
        match format.sample {
            SampleFormat::S24In32 => Err(UnsupportedFormat(format)),
            _ => Ok(Self(format)),
        }
    }
}

#[cfg(test)]
mod tests;
