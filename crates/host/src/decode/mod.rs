//! Sound files: WAV, FLAC, Ogg Vorbis, MP3, AAC (ADTS and MP4), decoded block by block.
//!
//! Decoding is symphonia's. What this module adds: the format as the engine names it, integers kept bit-exact,
//! starting again without a gap, errors that say what to do, and a wall around the decoder. A file is input from
//! outside: a decoder that panics on it ends that file and nothing else, and what it produces is bounded.

mod error;
mod rf64;
mod samples;

use std::fs::File;
use std::io::{ErrorKind, Seek, SeekFrom};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use soundpost_core::{Format, FrameCount};
use symphonia::core::audio::GenericAudioBufferRef;
use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions, CODEC_ID_NULL_AUDIO};
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;

use self::rf64::Rf64View;
pub use error::{DecodeError, OpenError};
use soundpost_codec::{Edit, Rf64, mp4_edit, rf64 as find_rf64};

/// Packets in a row that may be broken, or give no sound, before a file counts as damaged.
const TOLERATED: u32 = 64;
/// The longest packet that is believed: more frames than any codec here puts into one.
const LONGEST_PACKET: u64 = 1 << 17;

/// A sound file, read from its start to its end. Blocks on the disk and allocates: never on a real-time thread.
pub struct AudioFile {
    path: PathBuf,
    file: File,
    decoding: Option<Decoding>,
    format: Format,
    length: Option<u64>,
    codec: &'static str,
    /// The block that [`AudioFile::next_block`] answered last.
    block: Vec<u8>,
    /// Frames of silence that took the place of broken packets.
    mended: u64,
}

impl AudioFile {
    /// Opens a file and finds out what is in it.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        if std::fs::metadata(path).map_err(|source| OpenError::from_io(path, source))?.is_dir() {
            return Err(OpenError::from_io(path, ErrorKind::IsADirectory.into()));
        }
        let file = File::open(path).map_err(|source| OpenError::from_io(path, source))?;
        // So that no recording of ours replaces the file while it plays. A file system without locks is no reason not
        // to play, nor is a recording that goes on just now.
        let _ = file.try_lock_shared();
        let decoding = Decoding::begin(path, &file)?;
        let (format, length, codec) = (decoding.format, decoding.length, decoding.codec);
        let decoding = Some(decoding);
        Ok(Self { path: path.to_owned(), file, decoding, format, length, codec, block: Vec::new(), mended: 0 })
    }

    /// The format of the blocks. Integers of up to 32 bits are as in the file; everything else is f32.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// The length in frames, where the file says it.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// The codec's short name, such as `flac`.
    #[must_use]
    pub fn codec(&self) -> &'static str {
        self.codec
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Frames of silence that took the place of broken packets so far.
    #[must_use]
    pub fn mended_frames(&self) -> u64 {
        self.mended
    }

    /// The next interleaved frames; `None` at the end of the file. The delay and padding that an encoder put around
    /// the sound are left out where the file says how much that is (MP3 with an encoder tag, Ogg Vorbis, MP4 with an edit
    /// list).
    ///
    /// # Errors
    /// [`DecodeError`]: the file is damaged from here on. Later calls answer `None`.
    pub fn next_block(&mut self) -> Result<Option<&[u8]>, DecodeError> {
        let Some(decoding) = &mut self.decoding else { return Ok(None) };
        self.block.clear();
        let answer = guarded(|| decoding.next_block(&mut self.block)).unwrap_or(Err(Why::Panicked));
        match answer {
            Ok(Next::Sound { mended }) => {
                self.mended = self.mended.saturating_add(mended);
                Ok(Some(&self.block))
            }
            Ok(Next::End) => {
                self.decoding = None;
                Ok(None)
            }
            Err(why) => {
                self.decoding = None;
                Err(DecodeError { path: self.path.clone(), why: why.to_string() })
            }
        }
    }

    /// Goes back to the start, with a new decoder over the same open file: what follows is exactly what followed the
    /// first time, so that a loop has no gap and repeats no frame.
    ///
    /// # Errors
    /// [`OpenError`], when the file has been changed meanwhile.
    pub fn rewind(&mut self) -> Result<(), OpenError> {
        self.decoding = None;
        let decoding = Decoding::begin(&self.path, &self.file)?;
        if decoding.format != self.format {
            return Err(OpenError::Changed { path: self.path.clone() });
        }
        self.decoding = Some(decoding);
        Ok(())
    }
}

impl std::fmt::Debug for AudioFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AudioFile({}, {} {})", self.path.display(), self.codec, self.format)
    }
}

/// Why a file cannot be read on.
#[derive(Debug, thiserror::Error)]
enum Why {
    #[error("{0}")]
    Symphonia(Error),
    #[error("{0}")]
    Format(String),
    #[error("too many broken packets in a row")]
    Broken,
    #[error("the format changes in the middle")]
    Changes,
    #[error("it ends before it should")]
    Short,
    #[error("the decoder failed")]
    Panicked,
}

enum Next {
    Sound { mended: u64 },
    End,
}

/// One run through a file.
struct Decoding {
    reader: Box<dyn FormatReader>,
    decoder: Box<dyn AudioDecoder>,
    state: State,
    format: Format,
    length: Option<u64>,
    codec: &'static str,
    /// The first block, decoded to learn the format and not answered yet.
    first: Vec<u8>,
}

impl Decoding {
    fn begin(path: &Path, file: &File) -> Result<Self, OpenError> {
        let io = |source| OpenError::from_io(path, source);
        let mut file = file.try_clone().map_err(io)?;
        file.seek(SeekFrom::Start(0)).map_err(io)?;
        let (edit, rf64) = (mp4_edit(&mut file), find_rf64(&mut file));
        file.seek(SeekFrom::Start(0)).map_err(io)?;
        let source: Box<dyn MediaSource> = match rf64 {
            Some(rf64) => Box::new(Rf64View::new(file, rf64).map_err(io)?),
            None => Box::new(file),
        };
        guarded(|| Self::probe(path, source, edit, rf64))
            .unwrap_or_else(|| Err(OpenError::Damaged { path: path.to_owned(), why: Why::Panicked.to_string() }))
    }

    fn probe(
        path: &Path,
        source: Box<dyn MediaSource>,
        edit: Option<Edit>,
        rf64: Option<Rf64>,
    ) -> Result<Self, OpenError> {
        let stream = MediaSourceStream::new(source, MediaSourceStreamOptions::default());
        let mut hint = Hint::new();
        if let Some(extension) = path.extension().and_then(|extension| extension.to_str()) {
            hint.with_extension(extension);
        }
        let reader = symphonia::default::get_probe()
            .probe(&hint, stream, FormatOptions::default(), MetadataOptions::default())
            .map_err(|error| OpenError::from_probe(path, error))?;
        let no_sound = || OpenError::NoSound { path: path.to_owned() };
        let track = reader.default_track(TrackType::Audio).ok_or_else(no_sound)?;
        let track_length = track.num_frames;
        let params = track.codec_params.as_ref().and_then(|params| params.audio()).ok_or_else(no_sound)?;
        if params.codec == CODEC_ID_NULL_AUDIO {
            return Err(no_sound());
        }
        let options = AudioDecoderOptions::default();
        let decoder = symphonia::default::get_codecs()
            .make_audio_decoder(params, &options)
            .map_err(|error| OpenError::from_codec(path, error))?;
        let (track, bits) = (track.id, params.bits_per_sample);
        let length = rf64.map(|rf64| rf64.blocks()).or(track_length);
        let codec = decoder.codec_info().short_name;
        if rf64.is_some() && !codec.starts_with("pcm") {
            // Its blocks are no frames.
            let unsupported = format!("RF64 with {codec} in it");
            return Err(OpenError::UnsupportedFormat { path: path.to_owned(), unsupported });
        }
        let end = length.unwrap_or(u64::MAX);
        let heard = match edit {
            Some(edit) => edit.skip..end.min(edit.skip.saturating_add(edit.play)),
            None if rf64.is_some() => 0..end,
            None => 0..u64::MAX,
        };
        let length = length.map(|length| heard.end.min(length).saturating_sub(heard.start));
        let state = State { track, bits, format: None, frames: 0, mended: 0, barren: 0, heard };
        let mut decoding = Self { reader, decoder, state, format: Format::DEFAULT, length, codec, first: Vec::new() };
        // What a decoder puts out is known for certain from its first block alone, whatever the headers say.
        let mut first = Vec::new();
        match decoding.decode_block(&mut first) {
            Ok(Next::Sound { .. }) => decoding.first = first,
            Ok(Next::End) => return Err(no_sound()),
            Err(Why::Format(unsupported)) => {
                return Err(OpenError::UnsupportedFormat { path: path.to_owned(), unsupported });
            }
            Err(why) => return Err(OpenError::Damaged { path: path.to_owned(), why: why.to_string() }),
        }
        decoding.format = decoding.state.format.ok_or_else(no_sound)?;
        Ok(decoding)
    }

    fn next_block(&mut self, out: &mut Vec<u8>) -> Result<Next, Why> {
        if !self.first.is_empty() {
            std::mem::swap(out, &mut self.first);
            return Ok(Next::Sound { mended: 0 });
        }
        self.decode_block(out)
    }

    fn decode_block(&mut self, out: &mut Vec<u8>) -> Result<Next, Why> {
        let mended_before = self.state.mended;
        while self.state.barren <= TOLERATED {
            if self.state.frames >= self.state.heard.end {
                return self.end();
            }
            let packet = match self.reader.next_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => return self.end(),
                Err(Error::IoError(error)) if error.kind() == ErrorKind::UnexpectedEof => return Err(Why::Short),
                Err(Error::ResetRequired) => return Err(Why::Changes),
                Err(error) => return Err(Why::Symphonia(error)),
            };
            if packet.track_id != self.state.track {
                continue;
            }
            match self.decoder.decode(&packet) {
                Ok(sound) => self.state.take(&sound, out)?,
                // Not the end yet: an MP3 file that was cut out of another begins so.
                Err(Error::DecodeError(_) | Error::IoError(_)) => self.state.mend(&packet, out),
                Err(Error::ResetRequired) => return Err(Why::Changes),
                Err(error) => return Err(Why::Symphonia(error)),
            }
            if !out.is_empty() {
                return Ok(Next::Sound { mended: self.state.mended - mended_before });
            }
        }
        Err(Why::Broken)
    }

    /// The reader has no more packets: is that where the file says it ends? Only of lossless files the length is
    /// certain; others may have an estimate.
    fn end(&self) -> Result<Next, Why> {
        let certain = self.codec == "flac" || self.codec.starts_with("pcm");
        match self.length {
            Some(length) if certain && self.state.frames < length => Err(Why::Short),
            _ => Ok(Next::End),
        }
    }
}

/// What is known of the sound so far.
struct State {
    track: u32,
    /// Bits of a sample that carry sound, where the file says it.
    bits: Option<u32>,
    /// Known from the first block on.
    format: Option<Format>,
    frames: u64,
    mended: u64,
    /// Packets since the last sound.
    barren: u32,
    /// The frames that are meant to be heard, of those that the decoder puts out.
    heard: Range<u64>,
}

impl State {
    fn take(&mut self, sound: &GenericAudioBufferRef<'_>, out: &mut Vec<u8>) -> Result<(), Why> {
        if sound.frames() == 0 {
            self.barren += 1;
            return Ok(());
        }
        self.barren = 0;
        let format = samples::format_of(sound, self.bits).map_err(Why::Format)?;
        if *self.format.get_or_insert(format) != format {
            return Err(Why::Changes);
        }
        samples::append(sound, format.sample, out);
        self.count(u64::try_from(sound.frames()).unwrap_or(u64::MAX), format, out);
        Ok(())
    }

    /// Counts `frames` frames that were just put into the empty `out`, and takes away what is not to be heard.
    fn count(&mut self, frames: u64, format: Format, out: &mut Vec<u8>) {
        let from = self.frames;
        self.frames = from.saturating_add(frames);
        let bytes = |frames: u64| usize::try_from(frames).unwrap_or(usize::MAX).saturating_mul(format.frame_bytes());
        out.truncate(bytes(self.heard.end.saturating_sub(from)));
        out.drain(..bytes(self.heard.start.saturating_sub(from)).min(out.len()));
    }

    /// Puts silence in the place of a packet that cannot be decoded, so that what follows stays at its time.
    fn mend(&mut self, packet: &Packet, out: &mut Vec<u8>) {
        self.barren += 1;
        let frames = packet.dur.get();
        if let (Some(format), 1..=LONGEST_PACKET) = (self.format, frames) {
            let frames32 = FrameCount::new(u32::try_from(frames).unwrap_or(0));
            out.resize(out.len() + format.bytes_of(frames32), format.sample.silence_byte());
            self.count(frames, format, out);
            self.mended = self.mended.saturating_add(frames);
        }
    }
}

/// Runs code of a decoder: `None` where it panics. Whatever it was at work on must not be used again.
fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

#[cfg(test)]
mod tests;
