//! Positions, padding and flags from the device's clock and the frames exchanged (T1, T2).

use soundpost_core::{FrameCount, FramePosition, Instant};

use super::ClockReader;
use super::clock::{Counters, Timeline};
use crate::{CurrentPadding, Position, PositionFlag};

/// The positions of a render endpoint: what the engine has written, and what the device has played of it by its own
/// clock. Owned by the real-time half.
///
/// The device plays what is there. Where nothing is there it *holds*: its position stands still until more is
/// written, so that `stream − device = padding` holds always, and playing goes on without a skip (T2).
pub struct RenderClock {
    reader: ClockReader,
    epoch: Epoch,
    written: u64,
    /// Frames of clock time in which the device held.
    held: u64,
    dry: bool,
    /// Nothing is to come for a while: running dry is no underrun.
    idle: bool,
    discontinuous: bool,
}

impl RenderClock {
    pub(super) fn new(mut reader: ClockReader) -> Self {
        let epoch = Epoch::of(reader.timeline());
        Self { reader, epoch, written: 0, held: 0, dry: false, idle: false, discontinuous: false }
    }

    /// The answer to GetCurrentPadding (T1, T2). The first record after a start or reset is continuous, the first
    /// after a resumption or an underrun discontinuous.
    pub fn padding(&mut self) -> CurrentPadding {
        let (now, played) = self.look();
        let discontinuous = std::mem::take(&mut self.discontinuous);
        record(self.reader.timeline(), now, played, self.written, self.written - played, discontinuous)
    }

    /// The engine has released `frames` frames (T8).
    pub fn wrote(&mut self, frames: FrameCount) {
        if frames.is_zero() {
            return;
        }
        self.look();
        self.written += u64::from(frames.get());
        (self.dry, self.idle) = (false, false);
        Counters::add(&self.reader.counters().exchanged, u64::from(frames.get()));
    }

    /// The engine lets the device idle (T13): until the next frame is written, having nothing to play is no underrun.
    pub fn idle(&mut self) {
        self.look();
        self.idle = true;
    }

    /// Frames written since the start or reset: the position of the next frame that comes.
    pub fn written(&mut self) -> FramePosition {
        self.look();
        FramePosition::new(self.written)
    }

    /// When the next frame that is written will be played. While the clock stands still: as if it started now.
    pub fn due(&mut self) -> Instant {
        let (now, played) = self.look();
        let ahead = self.reader.rate().duration_of(self.written - played);
        self.reader.time_at(self.written + self.held).unwrap_or(now + ahead)
    }

    /// The most frames of one packet (E2); 0 before `set_buffer`.
    pub fn packet(&mut self) -> FrameCount {
        self.reader.packet()
    }

    /// How often the clock has been reset: what was written before is thrown away (C1).
    pub fn resets(&mut self) -> u64 {
        self.look();
        self.epoch.resets
    }

    /// The time, and the frames played by then.
    fn look(&mut self) -> (Instant, u64) {
        let timeline = *self.reader.timeline();
        match self.epoch.follow(&timeline) {
            Change::None => {}
            Change::Reset => {
                (self.written, self.held, self.dry, self.idle) = (0, 0, false, false);
                self.discontinuous = timeline.resumes > 0;
            }
            Change::Resumed => self.discontinuous = true,
        }
        let now = self.reader.now();
        let clock = timeline.frames_at(now);
        let played = clock.saturating_sub(self.held);
        if played <= self.written {
            return (now, played);
        }
        // Waiting for the first sound is no underrun.
        if self.written > 0 {
            self.discontinuous |= !self.dry;
            if !self.idle {
                let counters = self.reader.counters();
                Counters::add(&counters.underrun_frames, played - self.written);
                Counters::add(&counters.underruns, u64::from(!self.dry));
            }
        }
        self.dry = true;
        self.held = clock - self.written;
        (now, self.written)
    }
}

/// The positions of a capture endpoint: what its device has recorded by its own clock, and what the engine has taken.
/// Owned by the real-time half.
///
/// Frames that the engine takes before they are recorded are silence that is put in (T5); frames that it does not
/// take while a whole buffer of newer ones is recorded are lost. Both are counted and make the next record
/// discontinuous.
pub struct CaptureClock {
    reader: ClockReader,
    epoch: Epoch,
    /// The source's frame that comes next.
    next: u64,
    inserted: u64,
    begun: bool,
    discontinuous: bool,
    /// Recorded frames within the packet that is acquired.
    acquired: u64,
}

impl CaptureClock {
    pub(super) fn new(mut reader: ClockReader) -> Self {
        let epoch = Epoch::of(reader.timeline());
        Self { reader, epoch, next: 0, inserted: 0, begun: false, discontinuous: false, acquired: 0 }
    }

    /// The answer to GetCurrentPadding (T1, T2): what is ready in the next packet. The record's device position less
    /// its stream position is all that is recorded and not yet taken.
    pub fn padding(&mut self) -> CurrentPadding {
        let (now, recorded) = self.look();
        self.record(now, recorded)
    }

    /// Acquire of `frames` frames (T5): the source's index of the first one, how many of them are recorded (the rest
    /// is to be silence), and their record. `None` where more is asked than a packet holds.
    pub fn acquire(&mut self, frames: FrameCount) -> Option<(u64, FrameCount, Position)> {
        if frames > self.reader.packet() {
            return None;
        }
        let (now, recorded) = self.look();
        let position = self.record(now, recorded).position;
        let there = u32::try_from(recorded - self.next).unwrap_or(u32::MAX).min(frames.get());
        self.acquired = u64::from(there);
        Some((self.next, FrameCount::new(there), position))
    }

    /// Release of `used` frames (T6).
    pub fn release(&mut self, used: FrameCount) {
        let used = u64::from(used.get());
        if used == 0 {
            return;
        }
        let recorded = used.min(self.acquired);
        self.begun = true;
        self.discontinuous = recorded < used;
        self.next += recorded;
        self.inserted += used - recorded;
        self.acquired = 0;
        let counters = self.reader.counters();
        Counters::add(&counters.exchanged, used);
        if recorded < used {
            Counters::add(&counters.underruns, 1);
            Counters::add(&counters.underrun_frames, used - recorded);
        }
    }

    /// The most frames of one packet (E2); 0 before `set_buffer`.
    pub fn packet(&mut self) -> FrameCount {
        self.reader.packet()
    }

    fn record(&mut self, now: Instant, recorded: u64) -> CurrentPadding {
        let (device, stream) = (recorded + self.inserted, self.next + self.inserted);
        let discontinuous = self.discontinuous;
        let timeline = self.reader.timeline();
        let ready = (recorded - self.next).min(u64::from(timeline.packet.get()));
        record(timeline, now, device, stream, ready, discontinuous)
    }

    /// The time, and the source's frames recorded by then.
    fn look(&mut self) -> (Instant, u64) {
        let timeline = *self.reader.timeline();
        match self.epoch.follow(&timeline) {
            Change::None => {}
            Change::Reset => {
                (self.next, self.inserted, self.acquired) = (0, 0, 0);
                (self.begun, self.discontinuous) = (false, timeline.resumes > 0);
            }
            Change::Resumed => self.discontinuous = true,
        }
        let now = self.reader.now();
        // A timeline that was just reset may lie before what was taken of it; then nothing is ready.
        let recorded = timeline.frames_at(now).max(self.next);
        let oldest = recorded.saturating_sub(u64::from(timeline.buffer.get()));
        if oldest > self.next {
            // What passed before the engine first took anything is not missed.
            if self.begun {
                let counters = self.reader.counters();
                Counters::add(&counters.overruns, 1);
                Counters::add(&counters.overrun_frames, oldest - self.next);
                self.discontinuous = true;
            }
            self.next = oldest;
        }
        (now, recorded)
    }
}

/// Which run of the clock the positions belong to.
struct Epoch {
    resets: u64,
    resumes: u64,
}

enum Change {
    None,
    Reset,
    Resumed,
}

impl Epoch {
    fn of(timeline: &Timeline) -> Self {
        Self { resets: timeline.resets, resumes: timeline.resumes }
    }

    fn follow(&mut self, timeline: &Timeline) -> Change {
        let change = if self.resets != timeline.resets {
            Change::Reset
        } else if self.resumes != timeline.resumes {
            Change::Resumed
        } else {
            Change::None
        };
        *self = Self::of(timeline);
        change
    }
}

fn record(
    timeline: &Timeline,
    now: Instant,
    device: u64,
    stream: u64,
    padding: u64,
    discontinuous: bool,
) -> CurrentPadding {
    CurrentPadding {
        time: timeline.rate.hns_of(padding),
        position: Position {
            device: FramePosition::new(device),
            stream: FramePosition::new(stream),
            padding,
            time: now.as_hns(),
            frames_per_second: timeline.frames_per_second(),
            flag: if discontinuous { PositionFlag::Discontinuous } else { PositionFlag::Continuous },
        },
    }
}
