//! A stream that an application records.

use soundpost_core::{FrameCount, Gain, Hns};
use soundpost_dsp::meter;
use soundpost_dsp::ramp::Fader;
use soundpost_queue::frames::FrameWriter;

use crate::levels::LevelWindow;
use crate::path::Path;
use crate::stats::{self, StreamStats};

/// The real-time side of a capture stream: puts the bus's sound into its queue.
#[derive(Debug)]
pub struct CaptureStream {
    output: FrameWriter<f32>,
    path: Path,
    volume: Fader,
    gate: Fader,
    paused: bool,
    moved: bool,
    /// The last block did not fit whole.
    full: bool,
    levels: LevelWindow,
    stats: StreamStats,
    publisher: stats::StreamWriter,
}

/// What a capture stream is made of; allocated by the control side.
#[derive(Debug)]
pub struct CaptureStreamParts {
    /// What the application reads, at the path's end.
    pub output: FrameWriter<f32>,
    /// From the bus's rate and layout to the stream's.
    pub path: Path,
    /// Volume and mute, at the stream's rate.
    pub volume: Fader,
    /// Length of the ramp of a pause, at the stream's rate.
    pub ramp: FrameCount,
    /// Whether it starts paused.
    pub paused: bool,
    /// Where statistics go.
    pub publisher: stats::StreamWriter,
}

impl CaptureStream {
    /// A stream that has recorded nothing yet.
    #[must_use]
    pub fn new(parts: CaptureStreamParts) -> Self {
        let CaptureStreamParts { output, path, volume, ramp, paused, publisher } = parts;
        let mut gate = Fader::new(Gain::UNITY, ramp);
        gate.set_muted(paused);
        gate.settle();
        let levels = LevelWindow::new(path.to().rate);
        let stats = StreamStats::default();
        Self { output, path, volume, gate, paused, moved: false, full: false, levels, stats, publisher }
    }

    /// Volume and mute.
    pub fn volume(&mut self) -> &mut Fader {
        &mut self.volume
    }

    /// Pauses (fading out, then nothing is recorded) or goes on (fading in).
    pub fn set_paused(&mut self, paused: bool) {
        if self.is_closed() {
            // What the filter holds is from before the pause.
            self.path.reset();
        }
        self.paused = paused;
        self.gate.set_muted(paused);
        if self.stats.frames == 0 {
            self.gate.settle();
        }
    }

    /// Whether frames moved since this was last asked.
    pub fn take_moved(&mut self) -> bool {
        core::mem::take(&mut self.moved)
    }

    /// Whether somebody may be reading.
    #[must_use]
    pub fn wants_passes(&self) -> bool {
        !self.is_closed() && !self.output.is_peer_gone()
    }

    /// Takes a block of the bus. `onward` is how old its sound is.
    pub(crate) fn push(&mut self, bus: &[f32], onward: Hns, between: &mut [f32], block: &mut [f32]) {
        if !self.wants_passes() {
            return;
        }
        let width = self.path.to().width();
        let produced = self.path.carry(bus, between, block);
        let sound = block.get_mut(..produced.as_usize() * width).unwrap_or_default();
        let channels = self.path.to().layout.channels();
        self.gate.apply(sound, channels);
        self.volume.apply(sound, channels);
        self.levels.add(&meter::measure(sound, channels));
        let pushed = self.output.write(sound);
        let lost = produced.saturating_sub(pushed);
        // A reader that stays away is one overrun, however many blocks are lost.
        if !lost.is_zero() && !self.full {
            self.stats.overruns = self.stats.overruns.saturating_add(1);
        }
        self.full = !lost.is_zero();
        self.stats.lost = self.stats.lost.saturating_add(u64::from(lost.get()));
        self.stats.frames = self.stats.frames.saturating_add(u64::from(pushed.get()));
        self.moved |= !pushed.is_zero();
        self.publish(onward);
    }

    fn is_closed(&self) -> bool {
        self.paused && self.gate.is_silent()
    }

    pub(crate) fn publish(&mut self, onward: Hns) {
        let queued = self.output.queued();
        self.stats.queued = queued;
        self.stats.levels = self.levels.levels();
        let inside = u64::from(queued.saturating_add(self.path.delay()).get());
        self.stats.latency = self.path.to().rate.hns_of(inside).saturating_add(onward);
        self.publisher.write(&self.stats);
    }

    pub(crate) fn idle(&mut self) {
        self.levels.clear();
        self.publish(Hns::ZERO);
    }
}
