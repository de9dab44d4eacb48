//! Render: streams into a mix, the mix to connections.

mod connection;
mod drain;
mod stream;

use core::time::Duration;

use soundpost_core::{Hns, Instant, PacketSchedule};
use soundpost_dsp::limit::Limiter;
use soundpost_dsp::ramp::Fader;

use crate::guard::Protection;
use crate::levels::LevelWindow;
use crate::path::Place;
use crate::scratch::Scratch;
use crate::stats::{self, DeviceStats};
use crate::timeline::{Timeline, Turn};

pub use connection::{Limits, RenderConnection, RenderConnectionParts};
pub use stream::{RenderStream, RenderStreamParts};

/// A render device seen from the real-time thread.
#[derive(Debug)]
pub struct RenderBus {
    place: Place,
    period: Hns,
    packet: PacketSchedule,
    timeline: Timeline,
    volume: Fader,
    limiter: Limiter,
    /// Packets that late passes have left out and that may still be caught up.
    debt: u32,
    /// Frames since a stream last had a reason to go on.
    quiet: u64,
    idle_after: u64,
    /// Frames mixed so far.
    frames: u64,
    limits: Limits,
    levels: LevelWindow,
    stats: DeviceStats,
    publisher: stats::DeviceWriter,
}

/// What a bus, render or capture, is made of.
#[derive(Debug)]
pub struct BusParts {
    /// Rate and layout of the mix.
    pub place: Place,
    /// The time between two passes.
    pub period: Hns,
    /// Volume and mute.
    pub volume: Fader,
    /// How long a bus without sound stays active.
    pub idle_after: Duration,
    /// What calls into an endpoint may cost.
    pub limits: Limits,
    /// Where statistics go.
    pub publisher: stats::DeviceWriter,
}

impl RenderBus {
    /// An idle bus.
    #[must_use]
    pub fn new(parts: BusParts) -> Self {
        let BusParts { place, period, volume, idle_after, limits, publisher } = parts;
        Self {
            place,
            period,
            packet: PacketSchedule::new(period, place.rate),
            timeline: Timeline::new(period),
            volume,
            limiter: Limiter::new(place.layout.channels()),
            debt: 0,
            quiet: 0,
            idle_after: place.rate.frames_in_duration(idle_after),
            frames: 0,
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
    pub fn activate<C: AsMut<RenderConnection>>(
        &mut self,
        now: Instant,
        connections: &mut [C],
        protection: Protection<'_>,
    ) {
        self.stats.active = true;
        (self.quiet, self.debt) = (0, 0);
        self.packet = PacketSchedule::new(self.period, self.place.rate);
        self.timeline.start(now);
        for connection in connections {
            connection.as_mut().set_active(true, protection);
        }
    }

    /// Ends passes.
    fn idle<S, C>(&mut self, streams: &mut [S], connections: &mut [C], protection: Protection<'_>)
    where
        S: AsMut<RenderStream>,
        C: AsMut<RenderConnection>,
    {
        self.stats.active = false;
        self.timeline.stop();
        self.limiter.reset();
        self.levels.clear();
        for connection in connections {
            connection.as_mut().set_active(false, protection);
        }
        for stream in streams {
            stream.as_mut().idle();
        }
        self.publish();
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

    /// One pass. Afterwards the bus may have gone idle.
    pub fn pass<S, C>(
        &mut self,
        now: Instant,
        turn: Turn,
        streams: &mut [S],
        connections: &mut [C],
        scratch: &mut Scratch<'_>,
        protection: Protection<'_>,
    ) where
        S: AsMut<RenderStream>,
        C: AsMut<RenderConnection>,
    {
        let started = protection.costs.map(soundpost_core::Clock::now);
        for connection in connections.iter_mut() {
            connection.as_mut().begin(now, turn, protection);
        }
        let largest = self.packet.largest_packet();
        let room = connections.iter_mut().all(|connection| connection.as_mut().has_room_for_two(largest));
        let mut busy = false;
        for _ in 0..self.packets(turn, room, !connections.is_empty()) {
            busy |= self.packet(streams, connections, scratch);
        }
        for connection in connections.iter_mut() {
            connection.as_mut().end(now, self.limits, scratch.source, protection);
        }
        self.stats.passes = self.stats.passes.saturating_add(1);
        self.stats.late = self.stats.late.saturating_add(u64::from(turn.late));
        if let (Some(started), Some(clock)) = (started, protection.costs) {
            self.stats.cost.add(clock.now().saturating_since(started));
        }
        let onward = connections.iter_mut().map(|connection| connection.as_mut().latency()).max().unwrap_or(Hns::ZERO);
        for stream in streams.iter_mut() {
            stream.as_mut().publish(onward);
        }
        self.publish();
        if busy {
            self.quiet = 0;
        } else if self.quiet > self.idle_after.max(self.on_the_way(connections)) {
            self.idle(streams, connections, protection);
        }
    }

    /// How many packets this pass mixes: one, and one more where late passes have left some out and every endpoint
    /// has space for it. What cannot be caught up is given up: the streams' frames are not lost, they come later.
    fn packets(&mut self, turn: Turn, room: bool, connected: bool) -> u32 {
        if turn.stalled {
            self.stats.missed = self.stats.missed.saturating_add(u64::from(turn.missed.saturating_add(self.debt)));
            self.debt = 0;
            return 1;
        }
        if turn.driven {
            // The event says that a packet's time has passed at least; how much exactly, the endpoint's space says.
            return if room && connected { 2 } else { 1 };
        }
        self.debt = self.debt.saturating_add(turn.missed);
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

    /// Mixes one packet and sends it on its way. Returns whether a stream has a reason to go on.
    fn packet<S, C>(&mut self, streams: &mut [S], connections: &mut [C], scratch: &mut Scratch<'_>) -> bool
    where
        S: AsMut<RenderStream>,
        C: AsMut<RenderConnection>,
    {
        let frames = self.packet.next_packet();
        let samples = frames.as_usize() * self.place.width();
        let Scratch { source, between, block, mix } = scratch;
        let mix = mix.get_mut(..samples).unwrap_or_default();
        mix.fill(0.0);
        self.frames = self.frames.saturating_add(u64::from(frames.get()));
        let (mut sounds, mut busy) = (false, false);
        for stream in streams {
            let stream = stream.as_mut();
            sounds |= stream.mix_into(mix, frames, self.frames, source, between, block);
            busy |= stream.is_busy();
        }
        let silent = !(sounds && self.finish(mix));
        if silent {
            self.volume.advance(frames);
            self.levels.add_silence(frames);
            self.stats.silent = self.stats.silent.saturating_add(1);
        }
        self.quiet = self.quiet.saturating_add(u64::from(frames.get()));
        for connection in connections {
            connection.as_mut().push(mix, silent, between, block);
        }
        busy
    }

    /// Volume and limiter of the device. Returns whether there is sound left.
    fn finish(&mut self, mix: &mut [f32]) -> bool {
        if self.volume.is_silent() {
            mix.fill(0.0);
            return false;
        }
        self.volume.apply(mix, self.place.layout.channels());
        let level = self.limiter.process(mix);
        if !self.limiter.is_idle() {
            self.stats.limited = self.stats.limited.saturating_add(u64::from(level.frames().get()));
        }
        if level.highest_peak() == 0.0 {
            return false;
        }
        self.levels.add(&level);
        true
    }

    /// Up to which frame of the bus every endpoint has played.
    pub fn heard<C: AsMut<RenderConnection>>(&self, connections: &mut [C]) -> u64 {
        if self.stats.active { self.frames.saturating_sub(self.on_the_way(connections)) } else { self.frames }
    }

    fn on_the_way<C: AsMut<RenderConnection>>(&self, connections: &mut [C]) -> u64 {
        connections.iter_mut().map(|connection| connection.as_mut().bus_frames_on_the_way()).max().unwrap_or(0)
    }

    fn publish(&mut self) {
        self.stats.frames = self.frames;
        self.stats.levels = self.levels.levels();
        self.publisher.write(&self.stats);
    }
}
