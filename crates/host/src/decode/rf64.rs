//! A WAV file of more than 4 GiB, as one that symphonia can read.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use soundpost_codec::Rf64;
use symphonia::core::io::MediaSource;

/// Frames in one of symphonia's packets of PCM. Where it does not know the end of the sound it reads whole packets only.
const PACKET: u64 = 1_152;
/// "RIFF", and the size that says that the end is not known.
const START: [u8; 8] = [b'R', b'I', b'F', b'F', 0xFF, 0xFF, 0xFF, 0xFF];

/// Shows an RF64 file as a RIFF file of unknown length. Behind its sound come zeros that fill up the last packet; the
/// reader has to cut them off.
pub(super) struct Rf64View {
    file: File,
    at: u64,
    /// Where the bytes of the file end and zeros begin.
    sound_end: u64,
    end: u64,
}

impl Rf64View {
    pub(super) fn new(file: File, rf64: Rf64) -> io::Result<Self> {
        let (there, sound_end) = (file.metadata()?.len(), rf64.start.saturating_add(rf64.bytes));
        let filled = sound_end.saturating_add(PACKET * u64::from(rf64.block));
        // A file that is cut short gets no zeros: that it is short has to be seen.
        let (sound_end, end) = if there < sound_end { (there, there) } else { (sound_end, filled) };
        Ok(Self { file, at: 0, sound_end, end })
    }
}

impl Read for Rf64View {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let upto = if self.at < self.sound_end { self.sound_end } else { self.end };
        let most = usize::try_from(upto.saturating_sub(self.at)).unwrap_or(usize::MAX).min(bytes.len());
        let bytes = bytes.get_mut(..most).unwrap_or_default();
        let count = if self.at < self.sound_end {
            self.file.read_at(bytes, self.at)?
        } else {
            bytes.fill(0);
            bytes.len()
        };
        if let Some(start) = usize::try_from(self.at).ok().and_then(|at| START.get(at..)) {
            for (byte, shown) in bytes.iter_mut().take(count).zip(start) {
                *byte = *shown;
            }
        }
        self.at = self.at.saturating_add(u64::try_from(count).unwrap_or(0));
        Ok(count)
    }
}

impl Seek for Rf64View {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.end.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

impl MediaSource for Rf64View {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.end)
    }
}
