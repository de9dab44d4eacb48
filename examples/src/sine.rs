//! A source: a sine of 440 Hz, at the pace of the clock that it is given.

use std::sync::Arc;

use soundpost_core::{Clock, Format, FrameCount, Gain};
use soundpost_endpoint::stock::{
    CaptureClock, ClockControl, ClockedControl, PacketBuffer, RateOffset, StockConfig, Tone, fill,
};
use soundpost_endpoint::{BufferFlag, Captured, CurrentPadding, Endpoint, EndpointRt, InputEndpointRt, Position};

/// The real-time half: which frames have been recorded by now is the clock's to say.
struct Sine {
    clock: CaptureClock,
    buffer: PacketBuffer,
    tone: Tone,
}

/// A sine at half of full scale. Control side.
#[must_use]
pub fn sine(format: Format, clock: Arc<dyn Clock>) -> Endpoint {
    let clock = ClockControl::new(format.rate, RateOffset::NONE, clock);
    let realtime =
        Sine { clock: clock.capture(), buffer: PacketBuffer::new(format), tone: Tone::new(440_000, Gain::new(0.5)) };
    Endpoint::capture(ClockedControl::new(&StockConfig::new(format), clock), realtime)
}

impl EndpointRt for Sine {
    fn current_padding(&mut self) -> CurrentPadding {
        self.clock.padding()
    }

    fn processing_complete(&mut self) {}
}

impl InputEndpointRt for Sine {
    fn acquire(&mut self, frames: FrameCount, position: Option<&mut Position>) -> Option<Captured<'_>> {
        let (first, there, record) = self.clock.acquire(frames)?;
        if let Some(position) = position {
            *position = record;
        }
        let format = self.buffer.format();
        let data = self.buffer.get(frames)?;
        let (sound, missing) = data.split_at_mut_checked(format.bytes_of(there))?;
        fill(&self.tone, first, format, sound);
        missing.fill(format.sample.silence_byte());
        Some(Captured { data, flag: BufferFlag::Valid })
    }

    fn release(&mut self, used: FrameCount) {
        self.clock.release(used);
    }
}
