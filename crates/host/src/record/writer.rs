//! The thread that writes.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use soundpost_core::{Clock, Format, Instant};

use super::RecordStatus;
use super::queue::{Piece, SoundReceiver};
use crate::clock::MonotonicClock;
use crate::event::EventFd;
use crate::wav::{CreateError, WavSink, WavWriter};

/// How often the header is brought up to date, and how long sound may wait in the queue.
const INTERVAL: Duration = Duration::from_millis(200);
/// How long a disk that failed is left alone.
const RETRY: Duration = Duration::from_secs(1);
/// Bytes written at once.
const BLOCK: usize = 64 * 1024;

/// What the thread and the [`super::Recording`] share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) stop: AtomicBool,
    status: Mutex<RecordStatus>,
}

impl Shared {
    pub(super) fn status(&self) -> RecordStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut RecordStatus)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The thread, and how its end is waited for.
#[derive(Debug)]
pub(super) struct WriterThread {
    thread: Option<JoinHandle<()>>,
    ended: Receiver<()>,
}

impl WriterThread {
    pub(super) fn spawn<S: WavSink + Send + 'static>(
        path: &Path,
        wav: WavWriter<S>,
        format: Format,
        queue: SoundReceiver,
        wake: Arc<EventFd>,
        shared: Arc<Shared>,
    ) -> std::io::Result<Self> {
        let (end, ended) = channel::<()>();
        let mut drain = Drain::new(path, wav, format, queue);
        let thread = Builder::new().name("soundpost-wav".into()).spawn(move || {
            // Dropped when the thread ends, in whichever way.
            let _end = end;
            run(&mut drain, &wake, &shared);
        })?;
        Ok(Self { thread: Some(thread), ended })
    }

    /// Waits for the thread's end. Where `patience` is not enough the thread is left to the disk.
    pub(super) fn join(&mut self, patience: Duration) {
        if self.ended.recv_timeout(patience) == Err(RecvTimeoutError::Disconnected)
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

fn run<S: WavSink>(drain: &mut Drain<S>, wake: &EventFd, shared: &Shared) {
    loop {
        let stop = shared.stop.load(Ordering::Acquire);
        let moved = drain.round(MonotonicClock.now(), stop);
        shared.change(|status| drain.report(status));
        if stop {
            shared.change(|status| status.closed = drain.trouble.is_none());
            return;
        }
        // While sound comes the thread looks every now and then; nobody has to wake it. When nothing came for a whole
        // interval and all is written, it sleeps until it is woken.
        let idle = !moved && drain.trouble.is_none() && drain.queue.sleep();
        wake.wait(if idle { None } else { Some(INTERVAL / 2) });
    }
}

/// The queue's end and the file, without thread and clock.
#[derive(Debug)]
pub(super) struct Drain<S> {
    path: PathBuf,
    wav: WavWriter<S>,
    queue: SoundReceiver,
    format: Format,
    room: Box<[u8]>,
    /// Silence that has to be written before anything else.
    silence: u64,
    checkpoint: Instant,
    /// What is wrong with the disk.
    pub(super) trouble: Option<String>,
    retry: Instant,
}

impl<S: WavSink> Drain<S> {
    pub(super) fn new(path: &Path, wav: WavWriter<S>, format: Format, queue: SoundReceiver) -> Self {
        // A whole number of frames, so that only the queue's own end can split one.
        let block = BLOCK - BLOCK % format.frame_bytes();
        Self {
            path: path.to_owned(),
            wav,
            queue,
            format,
            room: vec![0; block].into_boxed_slice(),
            silence: 0,
            checkpoint: Instant::ORIGIN,
            trouble: None,
            retry: Instant::ORIGIN,
        }
    }

    /// Writes what is there, and brings the header up to date where it is time to. Answers whether anything came.
    pub(super) fn round(&mut self, now: Instant, last: bool) -> bool {
        if self.trouble.is_some() && now < self.retry && !last {
            return true;
        }
        let result = self.write(last).and_then(|moved| {
            if moved && !last && now.saturating_since(self.checkpoint) < INTERVAL {
                return Ok(moved);
            }
            self.checkpoint = now;
            self.wav.checkpoint().map(|()| moved)
        });
        match result {
            Ok(moved) => {
                if self.trouble.take().is_some() {
                    tracing::info!("{} can be written again", self.path.display());
                }
                moved
            }
            Err(source) => {
                let trouble = CreateError::from_io(&self.path, source).to_string();
                if self.trouble.as_ref() != Some(&trouble) {
                    tracing::error!("{trouble}; silence takes the place of what is lost");
                }
                (self.trouble, self.retry) = (Some(trouble), now + RETRY);
                true
            }
        }
    }

    fn write(&mut self, last: bool) -> std::io::Result<bool> {
        let mut moved = false;
        loop {
            self.write_silence()?;
            match self.queue.next(&mut self.room) {
                Some(Piece::Sound(sound)) => self.wav.append(sound)?,
                Some(Piece::Silence(frames)) => self.silence = frames,
                None => break,
            }
            self.queue.done();
            moved = true;
        }
        if last {
            self.silence = self.queue.owed();
            self.write_silence()?;
        }
        Ok(moved)
    }

    fn write_silence(&mut self) -> std::io::Result<()> {
        if self.silence == 0 {
            return Ok(());
        }
        self.room.fill(self.format.sample.silence_byte());
        while self.silence > 0 {
            let block = u64::from(self.format.frames_in(self.room.len()).get()).min(self.silence);
            let bytes = usize::try_from(block).unwrap_or(0).saturating_mul(self.format.frame_bytes());
            self.wav.append(self.room.get(..bytes).unwrap_or_default())?;
            self.silence -= block;
        }
        Ok(())
    }

    pub(super) fn report(&self, status: &mut RecordStatus) {
        status.frames = self.wav.frames();
        status.cut_frames = self.queue.cut();
        status.trouble.clone_from(&self.trouble);
    }
}
