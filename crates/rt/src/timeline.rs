//! When a self-paced bus is due.

use core::time::Duration;

use soundpost_core::{Hns, Instant};

/// The times at which a self-paced bus has its passes: the multiples of its period on the engine's clock.
///
/// All buses of one period share these times, so that a thread with many of them wakes once for all. A bus that
/// starts between two of them has its first pass at once and counts as having begun at the earlier one.
#[derive(Clone, Copy, Debug)]
pub struct Timeline {
    period: Duration,
    next: Option<Instant>,
    /// No turn was taken since the start: the first cannot be late.
    fresh: bool,
}

/// A pass that is due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// How long ago the pass was due.
    pub lateness: Duration,
    /// Whether that is more than a quarter of the period.
    pub late: bool,
    /// Whole periods that have gone by without their pass.
    pub missed: u32,
    /// Whether so much time was lost that the timeline starts anew instead of being caught up.
    pub stalled: bool,
    /// Whether an endpoint's event asked for the pass (D4), not the bus's own time.
    pub driven: bool,
}

impl Timeline {
    /// A delay longer than this is not caught up.
    pub const STALL: Duration = Duration::from_millis(100);

    /// The timeline of a period; stopped.
    #[must_use]
    pub fn new(period: Hns) -> Self {
        Self { period: period.to_duration().max(Duration::from_micros(100)), next: None, fresh: false }
    }

    /// The time between two passes.
    #[must_use]
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Starts: a pass is due at once.
    pub fn start(&mut self, now: Instant) {
        self.fresh = true;
        self.next = Some(self.grid(now));
    }

    /// Puts the next pass off until `at`.
    pub fn postpone(&mut self, at: Instant) {
        self.next = Some(at);
    }

    /// Stops: nothing is due.
    pub fn stop(&mut self) {
        self.next = None;
    }

    /// When the next pass is due.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Takes the turn that is due at `now`, if one is, and moves on.
    pub fn take(&mut self, now: Instant) -> Option<Turn> {
        let due = self.next.filter(|due| *due <= now)?;
        let behind = now.saturating_since(due);
        let fresh = core::mem::take(&mut self.fresh);
        let missed = u32::try_from(behind.as_nanos() / self.period.as_nanos()).unwrap_or(u32::MAX);
        if behind > Self::STALL {
            let grid = self.grid(now);
            self.next = Some(grid + self.period);
            return Some(Turn {
                lateness: now.saturating_since(grid),
                late: true,
                missed,
                stalled: true,
                driven: false,
            });
        }
        self.next = Some(due + self.period * missed.saturating_add(1));
        Some(Turn { lateness: behind, late: !fresh && behind > self.period / 4, missed, stalled: false, driven: false })
    }

    /// The last of the shared times that is not after `now`.
    fn grid(&self, now: Instant) -> Instant {
        let period = u64::try_from(self.period.as_nanos()).unwrap_or(u64::MAX);
        Instant::from_nanos(now.as_nanos() - now.as_nanos() % period)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    #[test]
    fn passes_stay_on_the_grid_however_late_they_come() {
        let mut line = Timeline::new(Hns::from_millis(10));
        assert_eq!(line.take(at(0)), None);
        line.start(at(13 * MS));
        let turn = line.take(at(13 * MS)).unwrap();
        assert_eq!((turn.lateness, turn.missed, turn.stalled), (Duration::from_millis(3), 0, false));
        assert!(!turn.late, "the first pass cannot be late");
        assert_eq!(line.next(), Some(at(20 * MS)));
        let turn = line.take(at(22 * MS)).unwrap();
        assert!(!turn.late);
        let turn = line.take(at(33 * MS)).unwrap();
        assert!(turn.late);
        assert_eq!(line.next(), Some(at(40 * MS)));
        let turn = line.take(at(75 * MS)).unwrap();
        assert_eq!((turn.missed, turn.stalled), (3, false));
        assert_eq!(line.next(), Some(at(80 * MS)));
        assert_eq!(line.take(at(79 * MS)), None);
    }

    #[test]
    fn a_stall_starts_the_timeline_anew() {
        let mut line = Timeline::new(Hns::new(25_000));
        line.start(at(0));
        line.take(at(0)).unwrap();
        let turn = line.take(at(1_001 * MS)).unwrap();
        assert!(turn.stalled && turn.late);
        assert_eq!(turn.missed, 399);
        assert_eq!(turn.lateness, Duration::from_millis(1));
        assert_eq!(line.next(), Some(at(1_002 * MS + MS / 2)));
    }
}
