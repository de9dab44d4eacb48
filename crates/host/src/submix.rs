//! A device that is heard through another: a render endpoint whose sound is a stream of that other device.
//!
//! Both devices must have the same rate, and be of the same session, so that the same real-time thread runs their passes.
//! The sound is heard a period later than what is played on the other device itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use soundpost_core::{Clock, FrameCount, FramePosition, Hns, Instant};
use soundpost_endpoint::stock::{ClockControl, ClockedControl, PacketBuffer, RateOffset, RenderClock, StockConfig};
use soundpost_endpoint::{BufferFlag, CurrentPadding, Endpoint, EndpointRt, OutputEndpointRt, Position};
use soundpost_engine::StreamWriter;

/// How long sound takes from the submix to the end of the other device's endpoints. Written in passes, read by any thread.
#[derive(Debug, Default)]
pub struct Onward(AtomicI64);

impl Onward {
    /// As the last pass has seen it; 0 before there was one.
    #[must_use]
    pub fn get(&self) -> Hns {
        // Nothing else depends on it: any value that was true is fine.
        Hns::new(self.0.load(Ordering::Relaxed))
    }
}

/// An endpoint that writes what it is given into the stream of `writer`, in that stream's format, and how long it takes
/// from there. To be attached with any coefficient; `clock` is the engine's.
#[must_use]
pub fn submix(writer: StreamWriter, clock: Arc<dyn Clock>) -> (Endpoint, Arc<Onward>) {
    let format = writer.format();
    // Its own clock stands still: what it plays is what the other device takes.
    let still = ClockControl::new(format.rate, RateOffset::NONE, Arc::new(Still));
    let onward = Arc::new(Onward::default());
    let realtime =
        Submix { buffer: PacketBuffer::new(format), positions: still.render(), clock, writer, onward: onward.clone() };
    (Endpoint::render(ClockedControl::new(&StockConfig::new(format), still), realtime), onward)
}

struct Still;

impl Clock for Still {
    fn now(&self) -> Instant {
        Instant::ORIGIN
    }
}

/// The real-time half. The writer's queue is lock-free and its wake an event of the thread that runs the pass.
struct Submix {
    buffer: PacketBuffer,
    positions: RenderClock,
    clock: Arc<dyn Clock>,
    writer: StreamWriter,
    onward: Arc<Onward>,
}

impl EndpointRt for Submix {
    fn current_padding(&mut self) -> CurrentPadding {
        // What the other device has not taken yet is what waits here: the engine keeps a packet of it in store, so that it
        // does not matter which of the two devices' passes comes first.
        let queued = self.writer.queued();
        let record = self.positions.padding().position;
        let device = FramePosition::new(self.positions.written().get().saturating_sub(u64::from(queued.get())));
        let (padding, time) = (u64::from(queued.get()), self.clock.now().as_hns());
        let position = Position { device, padding, time, ..record };
        CurrentPadding { time: self.buffer.format().rate.hns_of(padding), position }
    }

    fn processing_complete(&mut self) {}
}

impl OutputEndpointRt for Submix {
    fn acquire(&mut self, frames: FrameCount, _time: Option<&Position>) -> Option<&mut [u8]> {
        if frames > self.positions.packet() { None } else { self.buffer.get(frames) }
    }

    fn release(&mut self, frames: FrameCount, flag: BufferFlag) {
        if flag == BufferFlag::Invalid {
            return;
        }
        let silence = self.buffer.format().sample.silence_byte();
        if let Some(sound) = self.buffer.get(frames) {
            if flag == BufferFlag::Silent {
                sound.fill(silence);
            }
            // Where the other device does not take it, it is not kept for later.
            let _ = self.writer.write(sound);
        }
        self.onward.0.store(self.writer.stats().latency.get(), Ordering::Relaxed);
        self.positions.wrote(frames);
    }
}
