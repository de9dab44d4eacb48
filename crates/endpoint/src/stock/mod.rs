//! Endpoints that need no device and no wire, and the parts that every endpoint with a clock of its own shares.
//!
//! Ready-made: [`null_render`], [`null_capture`], [`tone`], [`test_signal`], and [`capture`] for any other [`Signal`].
//! Each answers a [`Stock`]: the [`Endpoint`] for the engine, a [`Device`] that signals the event of an event-driven
//! endpoint, and the [`ClockControl`] by which its clock can be steered and its counters read.
//!
//! For endpoints elsewhere (a wire, a file) the shared parts are:
//!
//! - [`ClockControl`]: the device's clock, started, stopped, reset and steered on the control side;
//! - [`ClockedControl`]: a whole control half (E1 to E5, D1 to D4, C1 to C3) over such a clock;
//! - [`RenderClock`] and [`CaptureClock`]: positions, padding and flags for the real-time half (T1, T2), from the
//!   time that has passed on the device's clock and the frames exchanged with the engine;
//! - [`PacketBuffer`]: the memory that acquire hands out, aligned as T5 and T7 ask;
//! - [`SoundControl`] and [`SoundStage`]: volume, mute, meter and an effect of the endpoint's own (X1), in software.
//!
//! A render endpoint is then a few lines: `acquire` answers [`PacketBuffer::get`], `release` takes the bytes and calls
//! [`RenderClock::wrote`], `current_padding` answers [`RenderClock::padding`], and `set_pin_inactive` calls
//! [`RenderClock::idle`].

mod buffer;
mod capture;
mod clock;
mod control;
mod device;
mod positions;
mod render;
mod samples;
mod seqlock;
mod signal;
mod sound;

pub use buffer::PacketBuffer;
pub use capture::{capture, null_capture, test_signal, tone};
pub use clock::{ClockControl, ClockCounts, ClockReader, RateOffset};
pub use control::ClockedControl;
pub use device::Device;
pub use positions::{CaptureClock, RenderClock};
pub use render::null_render;
pub use signal::{Signal, Silence, TestSignal, Tone, fill};
pub use sound::{SoundControl, SoundStage, sound_stage};

use soundpost_core::{Format, Hns};

use crate::Endpoint;

/// How a stock endpoint is made.
#[derive(Clone, Copy, Debug)]
pub struct StockConfig {
    /// The endpoint's format (E1); any that the engine carries.
    pub format: Format,
    /// How far the endpoint's clock is off the clock that it is given.
    pub offset: RateOffset,
    /// The least latency that `set_buffer` gives (D2).
    pub minimum_latency: Hns,
    /// Whether the endpoint can drive the engine by its event (D4). Someone must call [`Device::tick`] then.
    pub event_driven: bool,
}

impl StockConfig {
    /// A self-paced engine's endpoint: no clock error, no minimum latency.
    #[must_use]
    pub const fn new(format: Format) -> Self {
        Self { format, offset: RateOffset::NONE, minimum_latency: Hns::ZERO, event_driven: false }
    }
}

/// A stock endpoint and what goes with it.
pub struct Stock {
    /// For the engine.
    pub endpoint: Endpoint,
    /// Signals the event of an event-driven endpoint.
    pub device: Device,
    /// The endpoint's clock, to be steered and read.
    pub clock: ClockControl,
}
