//! Timers: a table indexed by an enum, as long as the enum.

use soundpost_core::Instant;

/// What is waited for, and until when: one place for each [`Timer`].
#[derive(Debug, Default)]
pub(super) struct Timers([Option<Instant>; Timer::ALL.len()]);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    Formats,
    Quality,
    Training,
}

impl Timer {
    const ALL: [Self; 3] = [Self::Formats, Self::Quality, Self::Training];
}

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, at: Instant) {
        *self.slot(timer) = Some(at);
    }

    pub(super) fn clear(&mut self, timer: Timer) {
        *self.slot(timer) = None;
    }

    pub(super) fn take_expired(&mut self, timer: Timer, now: Instant) -> bool {
        self.slot(timer).take_if(|at| *at <= now).is_some()
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.0.iter().flatten().min().copied()
    }

    fn slot(&mut self, timer: Timer) -> &mut Option<Instant> {
        let [formats, quality, training] = &mut self.0;
        match timer {
            Timer::Formats => formats,
            Timer::Quality => quality,
            Timer::Training => training,
        }
    }
}
