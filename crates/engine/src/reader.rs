//! The application's end of a capture stream.

use soundpost_core::{Format, FrameCount, FramePosition};
use soundpost_dsp::convert;
use soundpost_queue::frames::FrameReader;
use soundpost_rt::stats;

/// Reads sound from a capture stream. Belongs to one thread at a time, never to a real-time thread.
///
/// A reader that stays away loses frames when its queue is full, it alone; they are counted in its statistics.
pub struct StreamReader {
    queue: FrameReader<f32>,
    format: Format,
    samples: Box<[f32]>,
    stats: stats::StreamReader,
    position: FramePosition,
}

/// Frames that are converted at once.
const CHUNK: usize = 1_024;

impl StreamReader {
    pub(crate) fn new(queue: FrameReader<f32>, format: Format, stats: stats::StreamReader) -> Self {
        let samples = vec![0.0; CHUNK * format.layout.channels().as_usize()].into_boxed_slice();
        Self { queue, format, samples, stats, position: FramePosition::ZERO }
    }

    /// The stream's format.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Fills the beginning of `bytes` with the frames that are there, in the stream's format, whole frames only, and
    /// returns how many. Never waits.
    pub fn read(&mut self, bytes: &mut [u8]) -> FrameCount {
        let width = self.format.layout.channels().as_usize();
        let mut read = FrameCount::ZERO;
        for chunk in bytes.chunks_mut(CHUNK * self.format.frame_bytes()) {
            let wanted = self.format.frames_in(chunk.len()).as_usize() * width;
            let samples = self.samples.get_mut(..wanted).unwrap_or_default();
            let frames = self.queue.read(samples);
            let samples = samples.get(..frames.as_usize() * width).unwrap_or_default();
            convert::encode(self.format.sample, samples, chunk);
            read = read.saturating_add(frames);
            if samples.len() < wanted {
                break;
            }
        }
        read
    }

    /// Frames that can be read now. The engine can only make it more.
    #[must_use]
    pub fn available(&self) -> FrameCount {
        self.queue.queued()
    }

    /// How many frames the engine has put into the queue so far. Never goes back.
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

    /// Whether the stream was closed on the engine's side: what is available now is the end.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.queue.is_peer_gone()
    }
}
