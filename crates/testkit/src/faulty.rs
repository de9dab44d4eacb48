//! Endpoints that break the contract on purpose, to show that the engine finds out, names it, and harms nobody else.

use std::sync::Arc;
use std::time::Duration;

use soundpost_core::{Clock, FrameCount, Hns};
use soundpost_endpoint::stock::{CaptureClock, ClockControl, ClockedControl, PacketBuffer, RenderClock, StockConfig};
use soundpost_endpoint::{
    BufferFlag, Captured, CurrentPadding, Endpoint, EndpointError, EndpointRt, InputEndpointRt, OutputEndpointRt,
    Position, Requirement,
};

use crate::VirtualClock;

/// What a faulty render endpoint does once it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each name says what goes wrong")]
pub enum Breach {
    NoBuffer,
    ShortBuffer,
    LongBuffer,
    MisalignedBuffer,
    /// More queued than it can hold.
    ImpossiblePadding,
    /// Frames in the field for time.
    FramesInHnsField,
    PanicInPadding,
    PanicInAcquire,
    PanicInRelease,
    PanicInComplete,
    PanicInPulse,
    PanicInPin,
    PinFails,
    /// Each pass takes longer than its period.
    Slow,
}

impl Breach {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::NoBuffer,
        Self::ShortBuffer,
        Self::LongBuffer,
        Self::MisalignedBuffer,
        Self::ImpossiblePadding,
        Self::FramesInHnsField,
        Self::PanicInPadding,
        Self::PanicInAcquire,
        Self::PanicInRelease,
        Self::PanicInComplete,
        Self::PanicInPulse,
        Self::PanicInPin,
        Self::PinFails,
        Self::Slow,
    ];

    /// The requirement that it breaks.
    #[must_use]
    pub fn requirement(self) -> Requirement {
        match self {
            Self::NoBuffer | Self::ShortBuffer | Self::LongBuffer | Self::MisalignedBuffer => Requirement::T7,
            Self::ImpossiblePadding | Self::FramesInHnsField => Requirement::T1,
            Self::PinFails => Requirement::T13,
            _ => Requirement::X2,
        }
    }
}

/// What a faulty capture endpoint does once it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each name says what goes wrong")]
pub enum CaptureBreach {
    NoBuffer,
    ShortBuffer,
    MisalignedBuffer,
    InvalidFlag,
    PanicInPadding,
    PanicInAcquire,
    PanicInRelease,
    PanicInComplete,
}

impl CaptureBreach {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::NoBuffer,
        Self::ShortBuffer,
        Self::MisalignedBuffer,
        Self::InvalidFlag,
        Self::PanicInPadding,
        Self::PanicInAcquire,
        Self::PanicInRelease,
        Self::PanicInComplete,
    ];

    /// The requirement that it breaks.
    #[must_use]
    pub fn requirement(self) -> Requirement {
        match self {
            Self::NoBuffer | Self::ShortBuffer | Self::MisalignedBuffer | Self::InvalidFlag => Requirement::T5,
            _ => Requirement::X2,
        }
    }
}

/// A render endpoint that is sound for `passes` passes and then commits `breach`.
#[must_use]
pub fn faulty_render(config: &StockConfig, clock: &Arc<VirtualClock>, breach: Breach, passes: u32) -> Endpoint {
    faulty_render_on(config, Arc::<VirtualClock>::clone(clock), Some(Arc::clone(clock)), breach, passes)
}

/// The same on any clock; `time` is what [`Breach::Slow`] moves.
pub(crate) fn faulty_render_on(
    config: &StockConfig,
    clock: Arc<dyn Clock>,
    time: Option<Arc<VirtualClock>>,
    breach: Breach,
    passes: u32,
) -> Endpoint {
    let device = ClockControl::new(config.format.rate, config.offset, clock);
    let control = ClockedControl::new(config, device.clone());
    let (clock, buffer) = (device.render(), PacketBuffer::new(config.format));
    Endpoint::render(control, FaultyRender { clock, buffer, time, breach, passes_left: passes })
}

/// A capture endpoint that is sound for `passes` passes and then commits `breach`.
#[must_use]
pub fn faulty_capture(config: &StockConfig, clock: Arc<dyn Clock>, breach: CaptureBreach, passes: u32) -> Endpoint {
    let device = ClockControl::new(config.format.rate, config.offset, clock);
    let control = ClockedControl::new(config, device.clone());
    let buffer = PacketBuffer::new(config.format);
    Endpoint::capture(control, FaultyCapture { clock: device.capture(), buffer, breach, passes_left: passes })
}

struct FaultyRender {
    clock: RenderClock,
    buffer: PacketBuffer,
    time: Option<Arc<VirtualClock>>,
    breach: Breach,
    passes_left: u32,
}

impl FaultyRender {
    fn commits(&self, breach: Breach) -> bool {
        self.passes_left == 0 && self.breach == breach
    }
}

/// What an endpoint that panics on purpose says: the payload (`&str`) of its panic, by which a hook can tell.
pub const PLANNED_PANIC: &str = "a faulty endpoint panics on purpose";

/// The panic of an endpoint that breaks the contract on purpose.
#[expect(clippy::panic, reason = "an endpoint that panics is what is tested")]
fn misbehave() -> ! {
    std::panic::panic_any(PLANNED_PANIC)
}

impl EndpointRt for FaultyRender {
    fn current_padding(&mut self) -> CurrentPadding {
        if self.commits(Breach::PanicInPadding) {
            misbehave();
        }
        if self.commits(Breach::Slow)
            && let Some(time) = &self.time
        {
            time.advance(Duration::from_millis(25));
        }
        let mut padding = self.clock.padding();
        if self.commits(Breach::ImpossiblePadding) {
            padding.position.padding = 10_000_000;
            padding.time = self.buffer.format().rate.hns_of(10_000_000);
        }
        if self.commits(Breach::FramesInHnsField) {
            padding.position.padding += 100;
            padding.time = Hns::new(i64::try_from(padding.position.padding).unwrap_or(0));
        }
        padding
    }

    fn processing_complete(&mut self) {
        if self.commits(Breach::PanicInComplete) {
            misbehave();
        }
    }

    fn set_pin_active(&mut self) -> Result<(), EndpointError> {
        if self.commits(Breach::PanicInPin) {
            misbehave();
        }
        if self.commits(Breach::PinFails) {
            return Err(EndpointError::Device { reason: "no pin" });
        }
        Ok(())
    }
}

impl OutputEndpointRt for FaultyRender {
    fn acquire(&mut self, frames: FrameCount, _time: Option<&Position>) -> Option<&mut [u8]> {
        let one = FrameCount::new(1);
        let whole = self.buffer.format().bytes_of(frames);
        if self.commits(Breach::PanicInAcquire) {
            misbehave();
        } else if self.commits(Breach::NoBuffer) {
            None
        } else if self.commits(Breach::ShortBuffer) {
            self.buffer.get(frames.saturating_sub(one))
        } else if self.commits(Breach::LongBuffer) {
            self.buffer.get(frames.saturating_add(one))
        } else if self.commits(Breach::MisalignedBuffer) {
            self.buffer.get(frames.saturating_add(one))?.get_mut(1..=whole)
        } else {
            self.buffer.get(frames)
        }
    }

    fn release(&mut self, frames: FrameCount, flag: BufferFlag) {
        if self.commits(Breach::PanicInRelease) {
            misbehave();
        }
        if flag != BufferFlag::Invalid {
            self.clock.wrote(frames);
        }
    }

    fn pulse(&mut self) {
        if self.commits(Breach::PanicInPulse) {
            misbehave();
        }
        self.passes_left = self.passes_left.saturating_sub(1);
    }
}

struct FaultyCapture {
    clock: CaptureClock,
    buffer: PacketBuffer,
    breach: CaptureBreach,
    passes_left: u32,
}

impl FaultyCapture {
    fn commits(&self, breach: CaptureBreach) -> bool {
        self.passes_left == 0 && self.breach == breach
    }
}

impl EndpointRt for FaultyCapture {
    fn current_padding(&mut self) -> CurrentPadding {
        if self.commits(CaptureBreach::PanicInPadding) {
            misbehave();
        }
        self.clock.padding()
    }

    fn processing_complete(&mut self) {
        if self.commits(CaptureBreach::PanicInComplete) {
            misbehave();
        }
        self.passes_left = self.passes_left.saturating_sub(1);
    }
}

impl InputEndpointRt for FaultyCapture {
    fn acquire(&mut self, frames: FrameCount, position: Option<&mut Position>) -> Option<Captured<'_>> {
        let (one, whole) = (FrameCount::new(1), self.buffer.format().bytes_of(frames));
        if self.commits(CaptureBreach::PanicInAcquire) {
            misbehave();
        }
        if self.commits(CaptureBreach::NoBuffer) {
            return None;
        }
        let (_, _, record) = self.clock.acquire(frames)?;
        if let Some(position) = position {
            *position = record;
        }
        let flag = if self.commits(CaptureBreach::InvalidFlag) { BufferFlag::Invalid } else { BufferFlag::Valid };
        let data = if self.commits(CaptureBreach::ShortBuffer) {
            self.buffer.get(frames.saturating_sub(one))?
        } else if self.commits(CaptureBreach::MisalignedBuffer) {
            self.buffer.get(frames.saturating_add(one))?.get_mut(1..=whole)?
        } else {
            self.buffer.get(frames)?
        };
        Some(Captured { data, flag })
    }

    fn release(&mut self, used: FrameCount) {
        if self.commits(CaptureBreach::PanicInRelease) {
            misbehave();
        }
        self.clock.release(used);
    }
}
