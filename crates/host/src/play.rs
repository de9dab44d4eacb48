//! Playing a sound file into a stream (`--play FILE`).
//!
//! A [`Player`] decodes on a thread of its own and keeps the stream's queue full. It is driven by the engine alone:
//! where the engine takes nothing (no listener yet, the stream paused with `Engine::set_paused`) the thread sleeps, and
//! goes on where it was.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use soundpost_core::FrameCount;
use soundpost_endpoint::Event;
use soundpost_engine::{StreamConfig, StreamWriter};
use thiserror::Error;

use crate::decode::AudioFile;
use crate::event::EventFd;

/// How much decoded sound is kept ahead of the engine.
const AHEAD: Duration = Duration::from_millis(500);
/// How much has to be there before the engine begins.
const PREBUFFER: Duration = Duration::from_millis(100);

/// How often a file is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// Once; then the stream is finished.
    Once,
    /// Again and again, without a gap.
    Forever,
}

/// What a player is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PlayState {
    /// Not started yet.
    #[default]
    Waiting,
    /// Feeding the stream, or waiting for the engine to take something.
    Playing,
    /// Everything was written, and the stream finished: the engine says when it has been heard.
    Ended,
    /// Stopped, by [`Player::stop`] or since the engine closed the stream.
    Stopped,
    /// The file could not be read to its end: one line that says why. What was read is played.
    Failed(String),
}

/// How far a player is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlayProgress {
    /// What it is doing.
    pub state: PlayState,
    /// Frames written to the stream, over all turns.
    pub frames: u64,
    /// Frames of one turn, where the file says it.
    pub length: Option<u64>,
    /// Turns that were completed.
    pub turns: u64,
    /// Frames of silence that took the place of damaged sound in the turns that are over.
    pub mended: u64,
}

/// Why a player cannot be made.
#[derive(Debug, Error)]
#[error("cannot play: the system gives no more threads ({0}); close something or raise its limits")]
pub struct PlayError(#[source] std::io::Error);

/// Plays one file into one stream.
#[derive(Debug)]
pub struct Player {
    shared: Arc<Shared>,
    space: Arc<EventFd>,
    ended: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

/// The stream that a player needs for `file`: its format, a queue of half a second, and `space` as what the engine
/// signals when it has taken something. Hand the same `space` to [`Player::new`].
#[must_use]
pub fn stream_config(file: &AudioFile, space: &Arc<EventFd>) -> StreamConfig {
    let name = file.path().file_name().unwrap_or_else(|| Path::new("file").as_os_str());
    let rate = file.format().rate;
    let prebuffer = rate.frames_in_duration(PREBUFFER).min(file.length().unwrap_or(u64::MAX));
    StreamConfig {
        capacity: AHEAD,
        prebuffer: FrameCount::new(u32::try_from(prebuffer).unwrap_or(0)),
        notify: Some(space.clone()),
        ..StreamConfig::new(name.to_string_lossy(), file.format())
    }
}

impl Player {
    /// Makes a player that waits for [`Player::start`]. `writer` belongs to a stream that was opened with
    /// [`stream_config`]; `changed` is signalled when the player ends or fails.
    ///
    /// # Errors
    /// [`PlayError`].
    pub fn new(
        file: AudioFile,
        writer: StreamWriter,
        space: Arc<EventFd>,
        repeat: Repeat,
        changed: Arc<dyn Event>,
    ) -> Result<Self, PlayError> {
        Self::with_sink(file, writer, space, repeat, changed)
    }

    fn with_sink(
        file: AudioFile,
        sink: impl Sink,
        space: Arc<EventFd>,
        repeat: Repeat,
        changed: Arc<dyn Event>,
    ) -> Result<Self, PlayError> {
        let shared = Arc::new(Shared { length: file.length(), ..Shared::default() });
        let (end, ended) = channel::<()>();
        let thread = {
            let (shared, space) = (shared.clone(), space.clone());
            let run = move || {
                // Dropped when the thread ends, in whichever way.
                let _end = end;
                let state = Feed { file, sink, space: &space, shared: &shared, repeat }.run();
                if let PlayState::Failed(why) = &state {
                    tracing::warn!("{why}");
                }
                shared.set(state);
                changed.signal();
            };
            Builder::new().name("soundpost-play".into()).spawn(run).map_err(PlayError)?
        };
        Ok(Self { shared, space, ended, thread: Some(thread) })
    }

    /// Begins to play. Harmless when repeated.
    pub fn start(&self) {
        self.shared.started.store(true, Ordering::Release);
        self.space.signal();
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> PlayProgress {
        PlayProgress {
            state: self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            frames: self.shared.frames.load(Ordering::Relaxed),
            length: self.shared.length,
            turns: self.shared.turns.load(Ordering::Relaxed),
            mended: self.shared.mended.load(Ordering::Relaxed),
        }
    }

    /// Asks the player to stop, without waiting: it writes nothing more, and finishes the stream, so that what is
    /// queued is still played.
    pub fn ask_to_stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
        self.space.signal();
    }

    /// Stops; what is in the stream's queue is still played unless the stream is closed. Waits at most `patience` for
    /// a disk that does not answer. Answers how far it came.
    #[must_use]
    pub fn stop(mut self, patience: Duration) -> PlayProgress {
        self.end(patience);
        self.progress()
    }

    fn end(&mut self, patience: Duration) {
        self.ask_to_stop();
        if self.ended.recv_timeout(patience) == Err(RecvTimeoutError::Disconnected)
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.end(Duration::from_secs(1));
    }
}

#[derive(Debug, Default)]
struct Shared {
    started: AtomicBool,
    stop: AtomicBool,
    state: Mutex<PlayState>,
    frames: AtomicU64,
    turns: AtomicU64,
    mended: AtomicU64,
    length: Option<u64>,
}

impl Shared {
    fn set(&self, state: PlayState) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

/// Where decoded sound goes. Dropping it finishes the stream.
trait Sink: Send + 'static {
    /// Takes as many whole frames as it has room for; says how many.
    fn write(&mut self, bytes: &[u8]) -> FrameCount;
    /// Nothing that is written is heard any more.
    fn is_closed(&self) -> bool;
}

impl Sink for StreamWriter {
    fn write(&mut self, bytes: &[u8]) -> FrameCount {
        Self::write(self, bytes)
    }

    fn is_closed(&self) -> bool {
        Self::is_closed(self)
    }
}

/// The player's thread.
struct Feed<'a, S> {
    file: AudioFile,
    sink: S,
    space: &'a EventFd,
    shared: &'a Shared,
    repeat: Repeat,
}

impl<S: Sink> Feed<'_, S> {
    /// From the start to the end; dropping `self` finishes the stream.
    fn run(mut self) -> PlayState {
        while !self.shared.started.load(Ordering::Acquire) {
            if self.is_over() {
                return PlayState::Stopped;
            }
            self.space.wait(None);
        }
        self.shared.set(PlayState::Playing);
        let (mut warned, mut mended) = (false, false);
        loop {
            let turn = self.turn();
            self.shared.mended.store(self.file.mended_frames(), Ordering::Relaxed);
            // Once: every turn finds the same packets broken.
            if self.file.mended_frames() > 0 && !std::mem::replace(&mut mended, true) {
                let (file, frames) = (self.file.path().display(), self.file.mended_frames());
                tracing::warn!(%file, frames, "parts of the file are damaged: silence was played instead");
            }
            match (turn, self.repeat) {
                (Turn::Stopped, _) => return PlayState::Stopped,
                (Turn::Damaged(why), Repeat::Once) => return PlayState::Failed(why),
                (Turn::Damaged(why), Repeat::Forever) => {
                    // Its good part goes on being played, as every turn finds the same damage.
                    if !std::mem::replace(&mut warned, true) {
                        tracing::warn!("{why}");
                    }
                }
                (Turn::Complete, Repeat::Once) => return PlayState::Ended,
                (Turn::Complete, Repeat::Forever) => {}
            }
            self.shared.turns.fetch_add(1, Ordering::Relaxed);
            // Opening decodes the first block: a turn without sound, which would spin, is an error instead.
            if let Err(error) = self.file.rewind() {
                return PlayState::Failed(error.to_string());
            }
        }
    }

    fn turn(&mut self) -> Turn {
        let frame = self.file.format().frame_bytes();
        loop {
            let mut rest = match self.file.next_block() {
                Ok(Some(block)) => block,
                Ok(None) => return Turn::Complete,
                Err(error) => return Turn::Damaged(error.to_string()),
            };
            loop {
                if self.shared.stop.load(Ordering::Acquire) || self.sink.is_closed() {
                    return Turn::Stopped;
                }
                let taken = self.sink.write(rest);
                self.shared.frames.fetch_add(u64::from(taken.get()), Ordering::Relaxed);
                rest = rest.get(taken.as_usize().saturating_mul(frame)..).unwrap_or_default();
                if rest.is_empty() {
                    break;
                }
                // The engine signals after each pass that has taken something.
                self.space.wait(None);
            }
        }
    }

    fn is_over(&self) -> bool {
        self.shared.stop.load(Ordering::Acquire) || self.sink.is_closed()
    }
}

enum Turn {
    Complete,
    Stopped,
    Damaged(String),
}

#[cfg(test)]
mod tests;
