//! Recording a session's sound into a file: a render endpoint whose device is a WAV file (`--render FILE.wav`).
//!
//! ```text
//! real-time half ──► lock-free queue (2 s) ──► thread of its own ──► WavWriter
//! ```
//!
//! The real-time half never meets the disk. Where the disk stalls for longer than the queue holds, sound is cut,
//! counted, and silence of the same length is written instead, so that everything after it stays at its time. Where
//! the engine is late nothing is put in: the file has what was played, without gaps.
//!
//! The file ends with the last frame of the sound: both endpoints have last-buffer control. They apply the device's volume
//! and mute for themselves where they are its only endpoint, have a meter, and can take a constant offset away
//! (X1; all of it [`soundpost_endpoint::stock::sound_stage`]).
//!
//! [`offline`] is for runs on a virtual clock, where no thread could keep up with the time: it writes in the pass.

mod endpoint;
mod queue;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use soundpost_core::{Clock, Format, UnsupportedFormat};
use soundpost_endpoint::{Endpoint, Event};
use thiserror::Error;

use crate::event::EventFd;
use crate::wav::{self, CreateError, WavFormat, WavWriter};
use writer::{Shared, WriterThread};

/// Why a recording cannot begin.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The file cannot be made.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// WAV cannot carry the format.
    #[error("{0}; use s16, s24 or f32")]
    Format(#[from] UnsupportedFormat),
    /// No thread or no event can be had.
    #[error("cannot record: the system gives no more threads or files ({0}); close something or raise its limits")]
    System(#[source] std::io::Error),
}

/// How a recording ended, or how it is going.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordStatus {
    /// Frames that are in the file, silence included.
    pub frames: u64,
    /// Of these, frames that are silence because the disk was too slow or full.
    pub cut_frames: u64,
    /// What is wrong with the disk just now: one line that says what to do.
    pub trouble: Option<String>,
    /// The file is closed, with everything in it.
    pub closed: bool,
}

impl fmt::Display for RecordStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} frames, {} cut", self.frames, self.cut_frames)?;
        self.trouble.as_ref().map_or(Ok(()), |trouble| write!(f, "; {trouble}"))
    }
}

/// Begins a recording at the pace of `clock`: an endpoint for the engine, and the hold on its file. An existing WAV
/// file at `path` is replaced.
///
/// # Errors
/// [`RecordError`].
pub fn record(path: &Path, format: Format, clock: Arc<dyn Clock>) -> Result<(Endpoint, Recording), RecordError> {
    let wav_format = WavFormat::try_from(format)?;
    let file = wav::create(path)?;
    let wav = WavWriter::new(file, wav_format).map_err(|source| CreateError::from_io(path, source))?;
    let wake = Arc::new(EventFd::new().map_err(RecordError::System)?);
    let (sound, queue) = queue::queue(format, wake.clone());
    let shared = Arc::new(Shared::default());
    let thread =
        WriterThread::spawn(path, wav, format, queue, wake.clone(), shared.clone()).map_err(RecordError::System)?;
    let endpoint = endpoint::paced(format, clock, sound);
    Ok((endpoint, Recording { path: path.to_owned(), shared, wake, thread }))
}

/// Begins a recording at the pace of its data: whatever the engine has is taken at once, nothing is ever queued, and
/// the pass itself writes to the file. For bit-exact runs on a virtual clock; **not for real-time threads**, since the
/// pass waits for the disk. The file is complete when the engine has given the endpoint back. To be attached with a
/// coefficient of 1: an endpoint with a longer buffer that never holds anything looks to the engine as if it ran dry.
///
/// # Errors
/// [`RecordError`].
pub fn offline(path: &Path, format: Format, clock: Arc<dyn Clock>) -> Result<Endpoint, RecordError> {
    let wav_format = WavFormat::try_from(format)?;
    let file = wav::create(path)?;
    let wav = WavWriter::new(file, wav_format).map_err(|source| CreateError::from_io(path, source))?;
    Ok(endpoint::offline(format, clock, wav))
}

/// A running recording. Dropping it closes the file, waiting at most [`Recording::PATIENCE`].
#[derive(Debug)]
pub struct Recording {
    path: PathBuf,
    shared: Arc<Shared>,
    wake: Arc<EventFd>,
    thread: WriterThread,
}

impl Recording {
    /// How long closing waits for a disk that does not answer.
    pub const PATIENCE: Duration = Duration::from_secs(2);

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How it is going.
    #[must_use]
    pub fn status(&self) -> RecordStatus {
        self.shared.status()
    }

    /// Writes what is queued and closes the file; first take the endpoint away from the engine, so that nothing more
    /// comes. Waits at most `patience` for the disk; where that is not enough, the status is not `closed`, and the
    /// file holds all but the last moments.
    #[must_use]
    pub fn finish(mut self, patience: Duration) -> RecordStatus {
        self.close(patience);
        self.shared.status()
    }

    fn close(&mut self, patience: Duration) {
        self.shared.stop.store(true, Ordering::Release);
        self.wake.signal();
        self.thread.join(patience);
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.close(Self::PATIENCE);
    }
}

#[cfg(test)]
mod tests;
