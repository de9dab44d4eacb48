//! A sink: it plays nothing, and tells how loud the loudest sample of the last pass was.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use soundpost_core::{Clock, Format, FrameCount, SampleFormat};
use soundpost_endpoint::stock::{ClockControl, ClockedControl, PacketBuffer, RateOffset, RenderClock, StockConfig};
use soundpost_endpoint::{BufferFlag, CurrentPadding, Endpoint, EndpointRt, OutputEndpointRt, Position};

/// The real-time half. What it has to tell goes out through an atomic: it must neither print nor lock.
struct Level {
    clock: RenderClock,
    buffer: PacketBuffer,
    peak: u32,
    shown: Arc<AtomicU32>,
}

/// The sink (16 bits), and where it shows its level: 0 is silence, 32,768 full scale. Control side.
#[must_use]
pub fn level(clock: Arc<dyn Clock>) -> (Endpoint, Arc<AtomicU32>) {
    let format = Format { sample: SampleFormat::S16, ..Format::DEFAULT };
    let clock = ClockControl::new(format.rate, RateOffset::NONE, clock);
    let shown = Arc::new(AtomicU32::new(0));
    let (clock_rt, buffer) = (clock.render(), PacketBuffer::new(format));
    let realtime = Level { clock: clock_rt, buffer, peak: 0, shown: Arc::clone(&shown) };
    (Endpoint::render(ClockedControl::new(&StockConfig::new(format), clock), realtime), shown)
}

impl EndpointRt for Level {
    fn current_padding(&mut self) -> CurrentPadding {
        self.clock.padding()
    }

    fn processing_complete(&mut self) {
        self.shown.store(std::mem::take(&mut self.peak), Ordering::Relaxed);
    }
}

impl OutputEndpointRt for Level {
    fn acquire(&mut self, frames: FrameCount, _time: Option<&Position>) -> Option<&mut [u8]> {
        if frames > self.clock.packet() { None } else { self.buffer.get(frames) }
    }

    fn release(&mut self, frames: FrameCount, flag: BufferFlag) {
        if flag == BufferFlag::Invalid {
            return;
        }
        let sound = self.buffer.get(frames).filter(|_| flag == BufferFlag::Valid);
        for sample in sound.unwrap_or_default().as_chunks().0 {
            self.peak = self.peak.max(i16::from_le_bytes(*sample).unsigned_abs().into());
        }
        self.clock.wrote(frames);
    }
}
