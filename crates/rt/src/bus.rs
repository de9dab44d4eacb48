//! What a device is, whichever way the sound goes: its pace, its volume, its statistics.

use core::time::Duration;

use soundpost_core::{FrameCount, Hns, Instant, PacketSchedule};
use soundpost_dsp::ramp::Fader;

use crate::guard::Protection;
use crate::levels::LevelWindow;
use crate::path::Place;
use crate::stats::{self, DeviceStats};
use crate::timeline::{Timeline, Turn};

pub use crate::account::Limits;

/// What a bus, render or capture, is made of.
#[derive(Debug)]
pub struct BusParts {
    /// Rate and layout of the mix.
    pub place: Place,
    /// The time between two passes.
    pub period: Hns,
    /// Volume and mute.
    pub volume: Fader,
    /// How long a render bus without sound stays active. A capture bus is idle as soon as nobody records.
    pub idle_after: Duration,
    /// What calls into an endpoint may cost.
    pub limits: Limits,
    /// Where statistics go.
    pub publisher: stats::DeviceWriter,
}

/// The part that a [`crate::render::RenderBus`] and a [`crate::capture::CaptureBus`] have in common.
#[derive(Debug)]
pub struct Bus {
    pub(crate) place: Place,
    period: Hns,
    packet: PacketSchedule,
    timeline: Timeline,
    pub(crate) volume: Fader,
    /// Packets that late passes have left out and that may still be caught up.
    pub(crate) debt: u32,
    pub(crate) limits: Limits,
    pub(crate) levels: LevelWindow,
    pub(crate) stats: DeviceStats,
    publisher: stats::DeviceWriter,
}

impl Bus {
    /// An idle bus.
    pub(crate) fn new(parts: BusParts) -> Self {
        let BusParts { place, period, volume, idle_after: _, limits, publisher } = parts;
        Self {
            place,
            period,
            packet: PacketSchedule::new(period, place.rate),
            timeline: Timeline::new(period),
            volume,
            debt: 0,
            limits,
            levels: LevelWindow::new(place.rate),
            stats: DeviceStats::default(),
            publisher,
        }
    }

    /// Volume and mute of the device.
    pub fn volume(&mut self) -> &mut Fader {
        &mut self.volume
    }

    /// Whether passes are going on.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.stats.active
    }

    /// When the next pass is due; none while idle.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.timeline.next()
    }

    /// Takes the turn that is due by the bus's own time.
    pub fn take_turn(&mut self, now: Instant) -> Option<Turn> {
        self.timeline.take(now)
    }

    /// Takes a turn because the endpoint that drives the bus has signalled (D4). Should its event stay away for four
    /// periods, the bus goes on by its own time.
    pub fn take_driven_turn(&mut self, now: Instant) -> Turn {
        self.timeline.postpone(now + self.timeline.period() * 4);
        Turn { driven: true, ..Turn::default() }
    }

    /// Starts passes: the first is due at once.
    pub(crate) fn start(&mut self, now: Instant) {
        self.stats.active = true;
        self.debt = 0;
        self.packet = PacketSchedule::new(self.period, self.place.rate);
        self.timeline.start(now);
    }

    /// Ends passes.
    pub(crate) fn stop(&mut self) {
        self.stats.active = false;
        self.timeline.stop();
        self.levels.clear();
    }

    pub(crate) fn largest_packet(&self) -> FrameCount {
        self.packet.largest_packet()
    }

    /// The frames of the next packet, counted.
    pub(crate) fn next_packet(&mut self) -> FrameCount {
        let frames = self.packet.next_packet();
        self.stats.frames = self.stats.frames.saturating_add(u64::from(frames.get()));
        frames
    }

    /// How many packets a pass by the bus's own time has: one, and one more where late passes have left some out and
    /// `room` says that endpoints can bear it. What cannot be caught up is given up.
    pub(crate) fn packets_owed(&mut self, room: bool) -> u32 {
        if self.debt == 0 {
            return 1;
        }
        if room {
            self.debt -= 1;
            return 2;
        }
        self.stats.missed = self.stats.missed.saturating_add(u64::from(self.debt));
        self.debt = 0;
        1
    }

    /// Counts a pass that began at `started`, as [`Protection::now`] gave it.
    pub(crate) fn end_pass(&mut self, turn: Turn, started: Option<Instant>, protection: Protection<'_>) {
        self.stats.passes = self.stats.passes.saturating_add(1);
        self.stats.late = self.stats.late.saturating_add(u64::from(turn.late));
        if let (Some(started), Some(now)) = (started, protection.now()) {
            self.stats.cost.add(now.saturating_since(started));
        }
    }

    /// Makes the statistics readable.
    pub(crate) fn publish(&mut self) {
        self.stats.levels = self.levels.levels();
        self.publisher.write(&self.stats);
    }
}
