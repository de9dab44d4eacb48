//! Levels for a display: those of the last full tenth of a second.

use soundpost_core::{FrameCount, SampleRate};
use soundpost_dsp::meter::{BlockLevel, Levels, Meter};

/// Collects the levels of blocks and shows them a tenth of a second at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LevelWindow {
    meter: Meter,
    length: u32,
    seen: u32,
    shown: Levels,
}

impl LevelWindow {
    pub(crate) fn new(rate: SampleRate) -> Self {
        Self { meter: Meter::default(), length: rate.get() / 10, seen: 0, shown: Levels::default() }
    }

    pub(crate) fn add(&mut self, level: &BlockLevel) {
        self.meter.add(level);
        self.seen = self.seen.saturating_add(level.frames().get());
        if self.seen >= self.length {
            self.shown = self.meter.take();
            self.seen = 0;
        }
    }

    pub(crate) fn add_silence(&mut self, frames: FrameCount) {
        if !frames.is_zero() {
            self.add(&BlockLevel::silent(frames));
        }
    }

    /// Nothing is to be heard, and nothing will be for a while.
    pub(crate) fn clear(&mut self) {
        *self = Self { meter: Meter::default(), seen: 0, shown: Levels::default(), ..*self };
    }

    pub(crate) fn levels(&self) -> Levels {
        self.shown
    }
}
