//! Capture: one endpoint's sound to any number of streams.

mod connection;
mod stream;

use soundpost_core::{Hns, Instant, PacketSchedule};
use soundpost_dsp::meter;
use soundpost_dsp::ramp::Fader;

use crate::guard::Protection;
use crate::levels::LevelWindow;
use crate::path::Place;
use crate::render::{BusParts, Limits};
use crate::scratch::Scratch;
use crate::stats::{self, DeviceStats};
use crate::timeline::{Timeline, Turn};

pub use connection::{CaptureConnection, CaptureConnectionParts};
pub use stream::{CaptureStream, CaptureStreamParts};

/// A capture device seen from the real-time thread. Without an endpoint it gives silence at the right pace.
#[derive(Debug)]
pub struct CaptureBus {
    place: Place,
    period: Hns,
    packet: PacketSchedule,
    timeline: Timeline,
    volume: Fader,
    debt: u32,
    limits: Limits,
    levels: LevelWindow,
    stats: DeviceStats,
    publisher: stats::DeviceWriter,
}

impl CaptureBus {
    /// An idle bus.
    #[must_use]
    pub fn new(parts: BusParts) -> Self {
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

    /// Starts passes: the first is due at once.
    pub fn activate(&mut self, now: Instant, connection: Option<&mut CaptureConnection>, protection: Protection<'_>) {
        self.stats.active = true;
        self.debt = 0;
        self.packet = PacketSchedule::new(self.period, self.place.rate);
        self.timeline.start(now);
        if let Some(connection) = connection {
            connection.set_active(true, protection);
        }
    }

    /// Takes the turn that is due by the bus's own time.
    pub fn take_turn(&mut self, now: Instant) -> Option<Turn> {
        self.timeline.take(now)
    }

    /// Takes a turn because the endpoint that feeds the bus has signalled (D4). Should its event stay away for four
    /// periods, the bus goes on by its own time.
    pub fn take_driven_turn(&mut self, now: Instant) -> Turn {
        self.timeline.postpone(now + self.timeline.period() * 4);
        Turn { driven: true, ..Turn::default() }
    }

    /// One pass. Afterwards the bus has gone idle where no stream wants more.
    pub fn pass<S: AsMut<CaptureStream>>(
        &mut self,
        turn: Turn,
        streams: &mut [S],
        mut connection: Option<&mut CaptureConnection>,
        scratch: &mut Scratch<'_>,
        protection: Protection<'_>,
    ) {
        let started = protection.costs.map(soundpost_core::Clock::now);
        self.debt = if turn.stalled { 0 } else { self.debt.saturating_add(turn.missed) };
        if turn.stalled {
            self.stats.missed = self.stats.missed.saturating_add(u64::from(turn.missed));
        }
        if let Some(connection) = connection.as_deref_mut() {
            let Scratch { source, between, block, .. } = scratch;
            connection.take_in(self.debt, source, between, block, protection);
        }
        for _ in 0..self.packets(turn, connection.as_deref()) {
            self.packet(streams, connection.as_deref_mut(), scratch);
        }
        if let Some(connection) = connection.as_deref_mut() {
            connection.end(self.limits, protection);
        }
        self.stats.passes = self.stats.passes.saturating_add(1);
        self.stats.late = self.stats.late.saturating_add(u64::from(turn.late));
        if let (Some(started), Some(clock)) = (started, protection.costs) {
            self.stats.cost.add(clock.now().saturating_since(started));
        }
        if !streams.iter_mut().any(|stream| stream.as_mut().wants_passes()) {
            self.idle(streams, connection, protection);
        }
        self.publish();
    }

    fn idle<S: AsMut<CaptureStream>>(
        &mut self,
        streams: &mut [S],
        connection: Option<&mut CaptureConnection>,
        protection: Protection<'_>,
    ) {
        self.stats.active = false;
        self.timeline.stop();
        self.levels.clear();
        if let Some(connection) = connection {
            connection.set_active(false, protection);
        }
        for stream in streams {
            stream.as_mut().idle();
        }
    }

    /// One packet, and one more where late passes have left some out and the endpoint has delivered it.
    fn packets(&mut self, turn: Turn, connection: Option<&CaptureConnection>) -> u32 {
        let has_two = connection.is_none_or(CaptureConnection::has_two);
        if turn.driven {
            return if has_two && connection.is_some_and(CaptureConnection::has_excess) { 2 } else { 1 };
        }
        if self.debt == 0 {
            return 1;
        }
        if has_two {
            self.debt -= 1;
            return 2;
        }
        self.stats.missed = self.stats.missed.saturating_add(u64::from(self.debt));
        self.debt = 0;
        1
    }

    fn packet<S: AsMut<CaptureStream>>(
        &mut self,
        streams: &mut [S],
        connection: Option<&mut CaptureConnection>,
        scratch: &mut Scratch<'_>,
    ) {
        let frames = self.packet.next_packet();
        let samples = frames.as_usize() * self.place.width();
        let Scratch { between, block, mix, .. } = scratch;
        let mix = mix.get_mut(..samples).unwrap_or_default();
        let (filled, age) = match connection {
            Some(connection) => (connection.give(mix), connection.latency()),
            None => (soundpost_core::FrameCount::ZERO, Hns::ZERO),
        };
        mix.get_mut(filled.as_usize() * self.place.width()..).unwrap_or_default().fill(0.0);
        let channels = self.place.layout.channels();
        self.volume.apply(mix, channels);
        let level = meter::measure(mix, channels);
        if level.highest_peak() == 0.0 {
            self.stats.silent = self.stats.silent.saturating_add(1);
        }
        self.levels.add(&level);
        self.stats.frames = self.stats.frames.saturating_add(u64::from(frames.get()));
        for stream in streams {
            stream.as_mut().push(mix, age, between, block);
        }
    }

    fn publish(&mut self) {
        self.stats.levels = self.levels.levels();
        self.publisher.write(&self.stats);
    }
}
