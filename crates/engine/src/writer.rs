//! The application's end of a render stream.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use soundpost_core::{Format, FrameCount, FramePosition};
use soundpost_dsp::convert;
use soundpost_endpoint::Event;
use soundpost_queue::frames::FrameWriter;
use soundpost_rt::stats;

/// Writes sound into a render stream. Belongs to one thread at a time; on a real-time thread only [`StreamWriter::write`] and
/// the questions may be used.
///
/// Dropping it, or [`StreamWriter::finish`], ends the stream: what was written is played, then
/// [`crate::EngineEvent::StreamDrained`] comes.
pub struct StreamWriter {
    /// None only while being dropped.
    queue: Option<FrameWriter<f32>>,
    format: Format,
    prebuffer: FrameCount,
    wake: Arc<dyn Event>,
    stats: stats::StreamReader,
    position: FramePosition,
    written: FramePosition,
}

impl StreamWriter {
    pub(crate) fn new(
        queue: FrameWriter<f32>,
        format: Format,
        prebuffer: FrameCount,
        wake: Arc<dyn Event>,
        stats: stats::StreamReader,
    ) -> Self {
        Self {
            queue: Some(queue),
            format,
            prebuffer,
            wake,
            stats,
            position: FramePosition::ZERO,
            written: FramePosition::ZERO,
        }
    }

    /// The stream's format.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Writes as many whole frames of `bytes`, in the stream's format, as there is space for, and returns how many.
    /// Never waits. None are taken after the engine or the stream is gone.
    pub fn write(&mut self, bytes: &[u8]) -> FrameCount {
        let Some(queue) = &mut self.queue else { return FrameCount::ZERO };
        if queue.is_peer_gone() {
            return FrameCount::ZERO;
        }
        let format = self.format;
        let frames = format.frames_in(bytes.len()).min(queue.room());
        let written = queue.write_with(frames, |first, second| {
            let samples = convert::decode(format.sample, bytes, first);
            let rest = bytes.get(samples * format.sample.bytes()..).unwrap_or_default();
            convert::decode(format.sample, rest, second);
        });
        if written.is_zero() {
            return written;
        }
        self.written = FramePosition::new(self.written.get().saturating_add(u64::from(written.get())));
        // Pairs with the fence in Worker::run_pass. Either the worker, which looks at the queue before it goes idle,
        // sees what was just written; or the level seen here shows that it had taken everything before, and it is
        // woken.
        fence(Ordering::SeqCst);
        let before = queue.queued().saturating_sub(written);
        if before < self.prebuffer.max(FrameCount::new(1)) {
            self.wake.signal();
        }
        written
    }

    /// Frames that can be written now. The engine can only make it more.
    #[must_use]
    pub fn space(&self) -> FrameCount {
        self.queue.as_ref().map_or(FrameCount::ZERO, FrameWriter::room)
    }

    /// Frames written that the engine has not taken yet.
    #[must_use]
    pub fn queued(&self) -> FrameCount {
        self.queue.as_ref().map_or(FrameCount::ZERO, FrameWriter::queued)
    }

    /// Frames that the queue holds when full.
    #[must_use]
    pub fn capacity(&self) -> FrameCount {
        self.queue.as_ref().map_or(FrameCount::ZERO, FrameWriter::capacity)
    }

    /// How many frames were written so far.
    #[must_use]
    pub fn written(&self) -> FramePosition {
        self.written
    }

    /// How many frames the engine has taken so far: the stream's position. Never goes back.
    pub fn position(&mut self) -> FramePosition {
        if let Some(stats) = self.stats.read() {
            self.position = self.position.max(FramePosition::new(stats.frames));
        }
        self.position
    }

    /// The stream's statistics after the last pass, read without disturbing the passes.
    #[must_use]
    pub fn stats(&self) -> stats::StreamStats {
        self.stats.read().unwrap_or_default()
    }

    /// Whether the stream was closed on the engine's side: nothing that is written will be heard.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.queue.as_ref().is_none_or(FrameWriter::is_peer_gone)
    }

    /// Ends the stream: what was written is played to the end, then [`crate::EngineEvent::StreamDrained`] comes.
    pub fn finish(self) {
        drop(self);
    }
}

impl Drop for StreamWriter {
    fn drop(&mut self) {
        // The worker must find the queue closed when it wakes.
        self.queue = None;
        self.wake.signal();
    }
}
