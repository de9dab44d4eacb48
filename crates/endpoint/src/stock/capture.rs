//! Sources whose sound is worked out.

use std::sync::Arc;

use soundpost_core::{Clock, FrameCount};

use super::signal::fill;
use super::{CaptureClock, ClockControl, ClockedControl, PacketBuffer, Signal, Silence, Stock, StockConfig};
use super::{TestSignal, Tone};
use crate::{BufferFlag, Captured, CurrentPadding, Endpoint, EndpointRt, InputEndpointRt, Position};

/// A capture endpoint that gives silence at the pace of its own clock.
#[must_use]
pub fn null_capture(config: &StockConfig, clock: Arc<dyn Clock>) -> Stock {
    capture(config, clock, Silence)
}

/// A capture endpoint that gives a sine.
#[must_use]
pub fn tone(config: &StockConfig, clock: Arc<dyn Clock>, tone: Tone) -> Stock {
    capture(config, clock, tone)
}

/// A capture endpoint that gives a signal by which losses can be counted.
#[must_use]
pub fn test_signal(config: &StockConfig, clock: Arc<dyn Clock>, signal: TestSignal) -> Stock {
    capture(config, clock, signal)
}

/// A capture endpoint that gives `signal` at the pace of its own clock: its frame 0 is recorded at Start.
#[must_use]
pub fn capture(config: &StockConfig, clock: Arc<dyn Clock>, signal: impl Signal + 'static) -> Stock {
    let clock = ClockControl::new(config.format.rate, config.offset, clock);
    let control = ClockedControl::new(config, clock.clone());
    let device = control.device();
    let realtime = SignalCapture { buffer: PacketBuffer::new(config.format), clock: clock.capture(), signal };
    Stock { endpoint: Endpoint::capture(control, realtime), device, clock }
}

struct SignalCapture<S> {
    buffer: PacketBuffer,
    clock: CaptureClock,
    signal: S,
}

impl<S: Signal> EndpointRt for SignalCapture<S> {
    fn current_padding(&mut self) -> CurrentPadding {
        self.clock.padding()
    }

    fn processing_complete(&mut self) {}
}

impl<S: Signal> InputEndpointRt for SignalCapture<S> {
    fn acquire(&mut self, frames: FrameCount, position: Option<&mut Position>) -> Option<Captured<'_>> {
        let (first, there, record) = self.clock.acquire(frames)?;
        if let Some(position) = position {
            *position = record;
        }
        let format = self.buffer.format();
        let data = self.buffer.get(frames)?;
        if self.signal.is_silent() || there.is_zero() {
            // Nobody reads it (T10).
            return Some(Captured { data, flag: BufferFlag::Silent });
        }
        let (sound, missing) = data.split_at_mut_checked(format.bytes_of(there))?;
        fill(&self.signal, first, format, sound);
        missing.fill(format.sample.silence_byte());
        Some(Captured { data, flag: BufferFlag::Valid })
    }

    fn release(&mut self, used: FrameCount) {
        self.clock.release(used);
    }
}
