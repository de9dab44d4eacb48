//! The endpoint that misbehaves.

use soundpost_core::FrameCount;
use soundpost_endpoint::{
    BufferFlag, CurrentPadding, Endpoint, EndpointError, EndpointRt, OutputEndpointRt, Position, RtHalf,
};

/// `endpoint` itself for `passes` passes; then it does `commit` at the end of each.
pub(crate) fn planted(endpoint: Endpoint, passes: u32, commit: fn()) -> Endpoint {
    let realtime = match endpoint.realtime {
        RtHalf::Render(inner) => RtHalf::Render(Box::new(Planted { inner, passes, commit })),
        capture @ RtHalf::Capture(_) => capture,
    };
    Endpoint { control: endpoint.control, realtime }
}

struct Planted {
    inner: Box<dyn OutputEndpointRt>,
    passes: u32,
    commit: fn(),
}

impl EndpointRt for Planted {
    fn current_padding(&mut self) -> CurrentPadding {
        self.inner.current_padding()
    }

    fn processing_complete(&mut self) {
        self.inner.processing_complete();
        match self.passes.checked_sub(1) {
            Some(left) => self.passes = left,
            None => (self.commit)(),
        }
    }

    fn set_pin_active(&mut self) -> Result<(), EndpointError> {
        self.inner.set_pin_active()
    }

    fn set_pin_inactive(&mut self) -> Result<(), EndpointError> {
        self.inner.set_pin_inactive()
    }
}

impl OutputEndpointRt for Planted {
    fn acquire(&mut self, frames: FrameCount, time: Option<&Position>) -> Option<&mut [u8]> {
        self.inner.acquire(frames, time)
    }

    fn release(&mut self, frames: FrameCount, flag: BufferFlag) {
        self.inner.release(frames, flag);
    }

    fn pulse(&mut self) {
        self.inner.pulse();
    }
}
