//! The engine's side: a render endpoint whose device is the client.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use soundpost_core::{Clock, Format, FrameCount, Hns};
use soundpost_endpoint::stock::StockConfig;
use soundpost_endpoint::stock::{ClockControl, ClockReader, ClockedControl, PacketBuffer, RateOffset, RenderClock};
use soundpost_endpoint::{
    BufferFlag, CurrentPadding, Endpoint, EndpointError, EndpointRt, Event, OutputEndpointRt, Position,
};

use super::packets::{Packet, PacketReceiver, PacketSender, packet_queue};

/// The pump's hold on an endpoint that it made.
pub(super) struct EndpointLink {
    pub(super) packets: PacketReceiver,
    pub(super) clock: ClockControl,
    pub(super) reader: ClockReader,
    pub(super) overflow: Arc<AtomicU64>,
}

/// An endpoint in the wire's format, and the pump's hold on it.
pub(super) fn rdp_endpoint(
    format: Format,
    minimum_latency: Hns,
    idle_after: Hns,
    clock: Arc<dyn Clock>,
    waker: Arc<dyn Event>,
) -> (Endpoint, EndpointLink) {
    let clock = ClockControl::new(format.rate, RateOffset::NONE, clock);
    let config = StockConfig { minimum_latency, ..StockConfig::new(format) };
    let (sender, packets) = packet_queue(format);
    let overflow = Arc::new(AtomicU64::new(0));
    let realtime = RdpRender {
        buffer: PacketBuffer::new(format),
        clock: clock.render(),
        packets: sender,
        waker,
        idle_after: format.rate.frames_in(idle_after),
        silent_run: 0,
        ring: false,
        overflow: Arc::clone(&overflow),
    };
    let endpoint = Endpoint::render(ClockedControl::new(&config, clock.clone()), realtime);
    let reader = clock.reader();
    (endpoint, EndpointLink { packets, clock, reader, overflow })
}

struct RdpRender {
    buffer: PacketBuffer,
    clock: RenderClock,
    packets: PacketSender,
    waker: Arc<dyn Event>,
    /// Frames of silence after which nothing more is queued: an idle session wakes nobody.
    idle_after: u64,
    silent_run: u64,
    /// Something was queued in this pass.
    ring: bool,
    overflow: Arc<AtomicU64>,
}

impl EndpointRt for RdpRender {
    fn current_padding(&mut self) -> CurrentPadding {
        self.clock.padding()
    }

    fn processing_complete(&mut self) {
        if std::mem::take(&mut self.ring) {
            self.waker.signal();
        }
    }

    fn set_pin_inactive(&mut self) -> Result<(), EndpointError> {
        self.clock.idle();
        Ok(())
    }
}

impl OutputEndpointRt for RdpRender {
    fn acquire(&mut self, frames: FrameCount, _time: Option<&Position>) -> Option<&mut [u8]> {
        if frames > self.clock.packet() {
            return None;
        }
        self.buffer.get(frames)
    }

    fn release(&mut self, frames: FrameCount, flag: BufferFlag) {
        if frames.is_zero() || flag == BufferFlag::Invalid {
            return;
        }
        let silent = flag == BufferFlag::Silent;
        let packet = Packet {
            position: self.clock.written(),
            frames,
            due: self.clock.due(),
            silent,
            resets: self.clock.resets(),
        };
        self.clock.wrote(frames);
        let idle = silent && self.silent_run >= self.idle_after;
        self.silent_run = if silent { self.silent_run.saturating_add(u64::from(frames.get())) } else { 0 };
        if idle {
            return;
        }
        // Sound that the pump has no room for is lost: the network task has been away for half a second. The gap in
        // the positions tells the pump.
        let sound = self.buffer.get(frames).map_or(&[][..], |sound| &*sound);
        if self.packets.push(packet, sound) {
            self.ring = true;
        } else {
            self.overflow.fetch_add(u64::from(frames.get()), Ordering::Relaxed);
        }
    }
}
