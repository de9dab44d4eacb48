//! Capture: one endpoint's sound to any number of streams.

mod connection;
mod stream;

use soundpost_core::{Hns, Instant};
use soundpost_dsp::meter;

use crate::bus::{Bus, BusParts};
use crate::guard::Protection;
use crate::scratch::Scratch;
use crate::timeline::Turn;

pub use connection::{CaptureConnection, CaptureConnectionParts};
pub use stream::{CaptureStream, CaptureStreamParts};

/// A capture device seen from the real-time thread. Without an endpoint it gives silence at the right pace.
#[derive(Debug)]
pub struct CaptureBus {
    bus: Bus,
}

impl CaptureBus {
    /// An idle bus.
    #[must_use]
    pub fn new(parts: BusParts) -> Self {
        Self { bus: Bus::new(parts) }
    }

    /// What it has in common with a render bus.
    #[must_use]
    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    /// What it has in common with a render bus, to be changed.
    pub fn bus_mut(&mut self) -> &mut Bus {
        &mut self.bus
    }

    /// Starts passes: the first is due at once.
    pub fn activate(&mut self, now: Instant, connection: Option<&mut CaptureConnection>, protection: Protection<'_>) {
        self.bus.start(now);
        if let Some(connection) = connection {
            connection.set_active(true, protection);
        }
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
        let started = protection.now();
        let Bus { stats, debt, .. } = &mut self.bus;
        *debt = if turn.stalled { 0 } else { debt.saturating_add(turn.missed) };
        if turn.stalled {
            stats.missed = stats.missed.saturating_add(u64::from(turn.missed));
        }
        if let Some(connection) = connection.as_deref_mut() {
            let Scratch { source, between, block, .. } = scratch;
            connection.take_in(self.bus.debt, source, between, block, protection);
        }
        for _ in 0..self.packets(turn, connection.as_deref()) {
            self.packet(streams, connection.as_deref_mut(), scratch);
        }
        if let Some(connection) = connection.as_deref_mut() {
            connection.end(self.bus.limits, protection);
        }
        self.bus.end_pass(turn, started, protection);
        if !streams.iter_mut().any(|stream| stream.as_mut().wants_passes()) {
            self.idle(streams, connection, protection);
        }
        self.bus.publish();
    }

    fn idle<S: AsMut<CaptureStream>>(
        &mut self,
        streams: &mut [S],
        connection: Option<&mut CaptureConnection>,
        protection: Protection<'_>,
    ) {
        self.bus.stop();
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
        self.bus.packets_owed(has_two)
    }

    fn packet<S: AsMut<CaptureStream>>(
        &mut self,
        streams: &mut [S],
        connection: Option<&mut CaptureConnection>,
        scratch: &mut Scratch<'_>,
    ) {
        let frames = self.bus.next_packet();
        let Bus { place, volume, levels, stats, .. } = &mut self.bus;
        let samples = frames.as_usize() * place.width();
        let Scratch { between, block, mix, .. } = scratch;
        let mix = mix.get_mut(..samples).unwrap_or_default();
        let (filled, age) = match connection {
            Some(connection) => (connection.give(mix), connection.latency()),
            None => (soundpost_core::FrameCount::ZERO, Hns::ZERO),
        };
        mix.get_mut(filled.as_usize() * place.width()..).unwrap_or_default().fill(0.0);
        let channels = place.layout.channels();
        volume.apply(mix, channels);
        let level = meter::measure(mix, channels);
        if level.highest_peak() == 0.0 {
            stats.silent = stats.silent.saturating_add(1);
        }
        levels.add(&level);
        for stream in streams {
            stream.as_mut().push(mix, age, between, block);
        }
    }
}
