//! Render: streams into a mix, the mix to connections.

mod connection;
mod drain;
mod group;
mod stream;

use soundpost_core::{Hns, Instant};
use soundpost_dsp::limit::Limiter;

use crate::bus::{Bus, BusParts};
use crate::guard::Protection;
use crate::scratch::Scratch;
use crate::timeline::Turn;

pub use connection::{RenderConnection, RenderConnectionParts};
use group::{Blocks, Mixed};
pub use stream::{RenderStream, RenderStreamParts};

/// A render device seen from the real-time thread.
#[derive(Debug)]
pub struct RenderBus {
    bus: Bus,
    limiter: Limiter,
    /// Behind the volume, for connections that take the mix after an endpoint that applies it itself (X1).
    rest_limiter: Limiter,
    /// Frames since a stream last had a reason to go on.
    quiet: u64,
    idle_after: u64,
}

impl RenderBus {
    /// An idle bus.
    #[must_use]
    pub fn new(parts: BusParts) -> Self {
        Self {
            limiter: Limiter::new(parts.place.layout.channels()),
            rest_limiter: Limiter::new(parts.place.layout.channels()),
            quiet: 0,
            idle_after: parts.place.rate.frames_in_duration(parts.idle_after),
            bus: Bus::new(parts),
        }
    }

    /// What it has in common with a capture bus.
    #[must_use]
    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    /// What it has in common with a capture bus, to be changed.
    pub fn bus_mut(&mut self) -> &mut Bus {
        &mut self.bus
    }

    /// Starts passes: the first is due at once.
    pub fn activate<C: AsMut<RenderConnection>>(
        &mut self,
        now: Instant,
        connections: &mut [C],
        protection: Protection<'_>,
    ) {
        self.quiet = 0;
        self.bus.start(now);
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
        self.bus.stop();
        self.limiter.reset();
        self.rest_limiter.reset();
        for connection in connections {
            connection.as_mut().set_active(false, protection);
        }
        for stream in streams {
            stream.as_mut().idle();
        }
        self.bus.publish();
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
        let started = protection.now();
        for connection in connections.iter_mut() {
            connection.as_mut().begin(now, turn, protection);
        }
        let largest = self.bus.largest_packet();
        let room = connections.iter_mut().all(|connection| connection.as_mut().has_room_for_two(largest));
        let mut busy = false;
        for _ in 0..self.packets(turn, room, !connections.is_empty()) {
            busy |= self.packet(streams, connections, scratch);
        }
        for connection in connections.iter_mut() {
            connection.as_mut().end(now, self.bus.limits, scratch.source, protection);
        }
        self.bus.end_pass(turn, started, protection);
        let onward = connections.iter_mut().map(|connection| connection.as_mut().latency()).max().unwrap_or(Hns::ZERO);
        for stream in streams.iter_mut() {
            stream.as_mut().publish(onward);
        }
        self.bus.publish();
        if busy {
            self.quiet = 0;
        } else if self.quiet > self.idle_after.max(self.on_the_way(connections)) {
            self.idle(streams, connections, protection);
        }
    }

    /// How many packets this pass mixes: one, and one more where late passes have left some out and every endpoint
    /// has space for it. What cannot be caught up is given up: the streams' frames are not lost, they come later.
    fn packets(&mut self, turn: Turn, room: bool, connected: bool) -> u32 {
        let Bus { stats, debt, .. } = &mut self.bus;
        if turn.stalled {
            stats.missed = stats.missed.saturating_add(u64::from(turn.missed.saturating_add(*debt)));
            *debt = 0;
            return 1;
        }
        if turn.driven {
            // The event says that a packet's time has passed at least; how much exactly, the endpoint's space says.
            return if room && connected { 2 } else { 1 };
        }
        *debt = debt.saturating_add(turn.missed);
        self.bus.packets_owed(room)
    }

    /// Mixes one packet and sends it on its way. Returns whether a stream has a reason to go on.
    fn packet<S, C>(&mut self, streams: &mut [S], connections: &mut [C], scratch: &mut Scratch<'_>) -> bool
    where
        S: AsMut<RenderStream>,
        C: AsMut<RenderConnection>,
    {
        let frames = self.bus.next_packet();
        let samples = frames.as_usize() * self.bus.place.width();
        let Scratch { source, between, block, mix } = scratch;
        let mix = mix.get_mut(..samples).unwrap_or_default();
        mix.fill(0.0);
        let mut blocks = Blocks { frames, end: self.bus.stats.frames, source, between, block };
        let Mixed { sounds, busy, course } = group::mix(mix, streams, self.bus.place.layout.channels(), &mut blocks);
        let applied_there = connections.iter_mut().any(|connection| connection.as_mut().applies_volume());
        let silent = !(sounds && self.finish(mix, applied_there));
        if silent {
            let Bus { levels, stats, .. } = &mut self.bus;
            levels.add_silence(frames);
            stats.silent = stats.silent.saturating_add(1);
        }
        self.quiet = self.quiet.saturating_add(u64::from(frames.get()));
        let mut send = |there: bool, mix: &[f32], silent: bool| {
            for connection in connections.iter_mut().map(AsMut::as_mut) {
                if connection.applies_volume() == there {
                    connection.push(mix, silent, course, between, block);
                }
            }
        };
        if !applied_there {
            if silent {
                self.bus.volume.advance(frames);
            }
            send(false, mix, silent);
            return busy;
        }
        // An endpoint applies the volume for itself; the bus does for all others, after it has had the mix.
        send(true, mix, silent);
        let silent = silent || self.bus.volume.is_silent();
        if silent {
            self.bus.volume.advance(frames);
            mix.fill(0.0);
        } else {
            self.bus.volume.apply(mix, self.bus.place.layout.channels());
            self.rest_limiter.process(mix);
        }
        send(false, mix, silent);
        busy
    }

    /// Volume (but where an endpoint applies it) and limiter of the device. Returns whether there is sound left.
    fn finish(&mut self, mix: &mut [f32], applied_there: bool) -> bool {
        let Bus { place, volume, levels, stats, .. } = &mut self.bus;
        if !applied_there {
            if volume.is_silent() {
                mix.fill(0.0);
                return false;
            }
            volume.apply(mix, place.layout.channels());
        }
        let level = self.limiter.process(mix);
        if !self.limiter.is_idle() {
            stats.limited = stats.limited.saturating_add(u64::from(level.frames().get()));
        }
        if level.is_silent() {
            return false;
        }
        // Levels are shown as after the volume, whoever applies it.
        levels.add(&if applied_there { level.scaled(volume.current()) } else { level });
        true
    }

    /// Up to which frame of the bus every endpoint has played.
    pub fn heard<C: AsMut<RenderConnection>>(&self, connections: &mut [C]) -> u64 {
        let frames = self.bus.stats.frames;
        if self.bus.is_active() { frames.saturating_sub(self.on_the_way(connections)) } else { frames }
    }

    fn on_the_way<C: AsMut<RenderConnection>>(&self, connections: &mut [C]) -> u64 {
        connections.iter_mut().map(|connection| connection.as_mut().bus_frames_on_the_way()).max().unwrap_or(0)
    }
}
