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
    /// Whether what is shown has changed since it was last taken.
    fresh: bool,
}

impl LevelWindow {
    pub(crate) fn new(rate: SampleRate) -> Self {
        Self { meter: Meter::default(), length: rate.get() / 10, seen: 0, shown: Levels::default(), fresh: true }
    }

    pub(crate) fn add(&mut self, level: &BlockLevel) {
        self.meter.add(level);
        self.seen = self.seen.saturating_add(level.frames().get());
        if self.seen >= self.length {
            self.shown = self.meter.take();
            self.seen = 0;
            self.fresh = true;
        }
    }

    pub(crate) fn add_silence(&mut self, frames: FrameCount) {
        if !frames.is_zero() {
            self.add(&BlockLevel::silent(frames));
        }
    }

    /// Nothing is to be heard, and nothing will be for a while.
    pub(crate) fn clear(&mut self) {
        *self = Self { meter: Meter::default(), seen: 0, shown: Levels::default(), fresh: true, ..*self };
    }

    /// What is shown, if that has changed since it was last taken.
    pub(crate) fn take_changed(&mut self) -> Option<Levels> {
        core::mem::take(&mut self.fresh).then_some(self.shown)
    }

    pub(crate) fn levels(&self) -> Levels {
        self.shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_new_once_for_each_window_and_when_they_are_cleared() {
        let mut window = LevelWindow::new(SampleRate::HZ_48000);
        assert!(window.take_changed().is_some() && window.take_changed().is_none());
        for _ in 0..9 {
            window.add_silence(FrameCount::new(480));
            assert!(window.take_changed().is_none());
        }
        window.add_silence(FrameCount::new(480));
        assert_eq!(window.take_changed().map(|levels| levels.frames), Some(4_800));
        assert!(window.take_changed().is_none());
        window.clear();
        assert_eq!(window.take_changed(), Some(Levels::default()));
    }
}
