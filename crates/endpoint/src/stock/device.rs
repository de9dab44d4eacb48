//! The device behind an event-driven endpoint.

use std::sync::PoisonError;

use soundpost_core::{Hns, Instant};

use super::ClockReader;
use super::clock::Timeline;
use super::control::EventSlot;

/// Signals an event-driven endpoint's event when a packet's time has passed on its device's clock (E5, D4).
///
/// It follows the device's clock alone, never the engine's calls (T12), and reads no clock: its owner, which is a
/// thread of the host or a test, says what time it is. Neither the control half nor the real-time half needs it; an
/// endpoint whose event is not set has nothing to be signalled. Any thread but the real-time thread.
pub struct Device {
    reader: ClockReader,
    event: EventSlot,
    resets: u64,
    /// Packets whose end has been signalled.
    packets: u64,
}

impl Device {
    pub(super) fn new(mut reader: ClockReader, event: EventSlot) -> Self {
        let resets = reader.resets();
        Self { reader, event, resets, packets: 0 }
    }

    /// When the next packet's time will have passed; `None` while the endpoint does not run.
    pub fn next_tick(&mut self) -> Option<Instant> {
        let (_, end) = self.next_end();
        self.reader.time_at(end)
    }

    /// Signals the event if a packet's time has passed by `now`; several of them make one signal.
    pub fn tick(&mut self, now: Instant) {
        let (timeline, end) = self.next_end();
        let counted = timeline.frames_at(now);
        if counted < end || end == 0 {
            return;
        }
        self.packets = packets_within(counted, &timeline);
        let event = self.event.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(event) = event {
            event.signal();
        }
    }

    fn next_end(&mut self) -> (Timeline, u64) {
        let timeline = *self.reader.timeline();
        if self.resets != timeline.resets {
            (self.resets, self.packets) = (timeline.resets, 0);
        }
        (timeline, end_of(self.packets.saturating_add(1), &timeline))
    }
}

/// Where packet `count` ends, in frames of the device's clock: `floor(count · P · R)`, as the engine asks (E2).
fn end_of(count: u64, timeline: &Timeline) -> u64 {
    let (unit, second) = period_frames(timeline);
    u64::try_from(u128::from(count) * unit / second).unwrap_or(u64::MAX)
}

/// How many packets have ended once `frames` frames are counted: the largest count with `end_of(count) <= frames`.
fn packets_within(frames: u64, timeline: &Timeline) -> u64 {
    let (unit, second) = period_frames(timeline);
    let ended = ((u128::from(frames) + 1) * second - 1).checked_div(unit);
    u64::try_from(ended.unwrap_or(0)).unwrap_or(u64::MAX)
}

/// Frames per period as a fraction.
fn period_frames(timeline: &Timeline) -> (u128, u128) {
    let period = u128::from(timeline.period.get().max(0).unsigned_abs());
    (period * u128::from(timeline.rate.get()), u128::from(Hns::PER_SECOND.unsigned_abs()))
}
