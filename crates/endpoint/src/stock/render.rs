//! A sink that plays to nobody.

use std::sync::Arc;

use soundpost_core::{Clock, FrameCount};

use super::{ClockControl, ClockedControl, PacketBuffer, RenderClock, Stock, StockConfig};
use crate::{BufferFlag, CurrentPadding, Endpoint, EndpointError, EndpointRt, OutputEndpointRt, Position};

/// A render endpoint that consumes what it is given at the pace of its own clock. Streams run on against it while
/// there is no listener.
#[must_use]
pub fn null_render(config: &StockConfig, clock: Arc<dyn Clock>) -> Stock {
    let clock = ClockControl::new(config.format.rate, config.offset, clock);
    let control = ClockedControl::new(config, clock.clone());
    let device = control.device();
    let realtime = NullRender { buffer: PacketBuffer::new(config.format), clock: clock.render() };
    Stock { endpoint: Endpoint::render(control, realtime), device, clock }
}

struct NullRender {
    buffer: PacketBuffer,
    clock: RenderClock,
}

impl EndpointRt for NullRender {
    fn current_padding(&mut self) -> CurrentPadding {
        self.clock.padding()
    }

    fn processing_complete(&mut self) {}

    fn set_pin_inactive(&mut self) -> Result<(), EndpointError> {
        self.clock.idle();
        Ok(())
    }
}

impl OutputEndpointRt for NullRender {
    fn acquire(&mut self, frames: FrameCount, _time: Option<&Position>) -> Option<&mut [u8]> {
        if frames > self.clock.packet() {
            return None;
        }
        self.buffer.get(frames)
    }

    fn release(&mut self, frames: FrameCount, flag: BufferFlag) {
        if flag != BufferFlag::Invalid {
            self.clock.wrote(frames);
        }
    }
}
