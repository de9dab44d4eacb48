//! The real-time half of a source with a flaw.

use soundpost_core::FrameCount;
use soundpost_endpoint::stock::{CaptureClock, PacketBuffer};
use soundpost_endpoint::{
    BufferFlag, Captured, CurrentPadding, EndpointError, EndpointRt, InputEndpointRt, Position, PositionFlag,
};

use super::{FORMAT, Flaw};
use crate::verify::rig::pattern;

pub(super) struct FlawedCapture {
    clock: CaptureClock,
    buffer: PacketBuffer,
    flaw: Flaw,
    asked: FrameCount,
    longest: FrameCount,
    acquires: u64,
    active: bool,
    begun: bool,
    garbage: Vec<Vec<u8>>,
}

impl FlawedCapture {
    pub(super) fn new(clock: CaptureClock, flaw: Flaw) -> Self {
        Self {
            clock,
            buffer: PacketBuffer::new(FORMAT),
            flaw,
            asked: FrameCount::ZERO,
            longest: FrameCount::ZERO,
            acquires: 0,
            active: false,
            begun: false,
            garbage: vec![vec![0]; 10_000],
        }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }
}

/// Panics again while it is dropped for a panic, which ends the process.
struct PanicsTwice;

impl Drop for PanicsTwice {
    #[expect(clippy::panic, reason = "an endpoint that takes the process along is what is tested")]
    fn drop(&mut self) {
        panic!("a flawed endpoint panics a second time")
    }
}

#[expect(clippy::panic, reason = "an endpoint that takes the process along is what is tested")]
fn crash() {
    let _twice = PanicsTwice;
    panic!("a flawed endpoint panics on purpose")
}

impl EndpointRt for FlawedCapture {
    fn current_padding(&mut self) -> CurrentPadding {
        let mut padding = self.clock.padding();
        let first = !std::mem::replace(&mut self.begun, true);
        let position = &mut padding.position;
        match self.flaw {
            Flaw::NoRate => position.frames_per_second = 0.0,
            Flaw::DiscontinuousStart if first => position.flag = PositionFlag::Discontinuous,
            Flaw::PaddingOfAll => {
                position.padding = position.device.saturating_since(position.stream).saturating_add(4_800);
                padding.time = FORMAT.rate.hns_of(position.padding);
            }
            _ => {}
        }
        padding
    }

    fn processing_complete(&mut self) {
        if self.has(Flaw::Crashes) {
            crash();
        }
    }

    fn set_pin_active(&mut self) -> Result<(), EndpointError> {
        let again = std::mem::replace(&mut self.active, true);
        if again && self.has(Flaw::PinsOnce) {
            return Err(EndpointError::Device { reason: "the pin is active already" });
        }
        Ok(())
    }

    fn set_pin_inactive(&mut self) -> Result<(), EndpointError> {
        self.active = false;
        Ok(())
    }
}

impl InputEndpointRt for FlawedCapture {
    fn acquire(&mut self, frames: FrameCount, position: Option<&mut Position>) -> Option<Captured<'_>> {
        if frames.is_zero() && self.has(Flaw::ZeroRefused) {
            return None;
        }
        self.acquires = self.acquires.wrapping_add(1);
        self.asked = frames;
        self.longest = self.longest.max(frames);
        let (first, there, record) = self.clock.acquire(frames)?;
        if let Some(position) = position
            && !self.has(Flaw::NoTimeStamp)
        {
            *position = record;
        }
        let first = if self.has(Flaw::OtherBytesAgain) { first.wrapping_add(self.acquires) } else { first };
        let given = if self.has(Flaw::KeepsCount) { self.longest } else { frames };
        let stale = self.has(Flaw::StaleTail);
        let data = self.buffer.get(given)?;
        let (sound, missing) = data.split_at_mut_checked(FORMAT.bytes_of(there))?;
        pattern(FORMAT, first, sound);
        if !stale {
            missing.fill(FORMAT.sample.silence_byte());
        }
        Some(Captured { data, flag: BufferFlag::Valid })
    }

    fn release(&mut self, used: FrameCount) {
        if self.has(Flaw::Frees) {
            drop(self.garbage.pop());
        }
        let all = self.has(Flaw::MovesByAsked) || (self.has(Flaw::MovesByZero) && used.is_zero());
        self.clock.release(if all { self.asked } else { used });
    }
}
