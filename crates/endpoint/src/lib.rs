//! The AudioEndpoint contract in safe Rust.
//!
//! An *endpoint* is a sink or source of sound that an audio engine drives: a device, a file, the listener at the far
//! end of a wire. It is handed to the engine as an [`Endpoint`] of two halves, because the contract has two kinds of
//! methods and mixing them up is the usual way to make sound crackle:
//!
//! - the **control half** ([`ControlHalf`]) configures, starts and stops. It may allocate, lock and block, and is
//!   never called on the real-time thread;
//! - the **real-time half** ([`RtHalf`]) moves data. The real-time thread owns it, and from it the control methods
//!   cannot be reached: the rule is a matter of ownership, not of discipline.
//!
//! The two halves of one endpoint talk to each other in whatever way its author likes, as long as the real-time half
//! neither allocates, nor locks, nor blocks.
//!
//! Requirements are numbered as in the contract (R1, E2, T5, ...): [`Requirement`] lists them, errors and faults carry
//! them, tests name them. `docs/contract-map.md` (in the repository) says which item here stands for which part of Microsoft's reference.
//!
//! The engine reaches a real-time half through a [`RenderPort`] or [`CapturePort`] alone. They make acquire and
//! release a scope that cannot be left unpaired (T9), hold every answer of the endpoint against the contract, and
//! report a [`Fault`] where it does not hold.

#![forbid(unsafe_code)]

mod control;
mod error;
pub mod exclusive;
mod flags;
mod further;
mod lifecycle;
mod plan;
mod port;
mod position;
mod realtime;
mod requirement;
pub mod stock;

pub use control::{AudioEndpoint, ControlHalf, DeviceEndpoint, EndpointControl, Event};
pub use error::{EndpointError, Fault};
pub use flags::{BufferFlag, StreamFlags};
pub use further::{LocalEffects, OffloadMeter, OffloadMute, OffloadVolume, VolumeCurve};
pub use lifecycle::{Lifecycle, Start};
pub use plan::BufferPlan;
pub use port::{CapturePort, Filled, Port, RenderPort};
pub use position::{CurrentPadding, Position, PositionFlag};
pub use realtime::{Captured, EndpointRt, InputEndpointRt, OutputEndpointRt};
pub use requirement::{Obliged, Requirement};

/// An endpoint as it is registered with an engine (R2, R3): all five interfaces of the contract, in two halves.
///
/// That an interface is missing cannot be expressed here; adapters for foreign endpoints (which can lack one) must
/// refuse before they can make one of these, and name what is missing.
pub struct Endpoint {
    /// Configures, starts and stops; never used on the real-time thread.
    pub control: Box<dyn ControlHalf>,
    /// Moves data; owned by the real-time thread once the endpoint is attached.
    pub realtime: RtHalf,
}

/// The real-time half of an endpoint. Which variant it is says in which direction the endpoint carries sound (R3:
/// exactly one of the two).
pub enum RtHalf {
    /// The engine's output goes to the endpoint.
    Render(Box<dyn OutputEndpointRt>),
    /// The endpoint feeds the engine.
    Capture(Box<dyn InputEndpointRt>),
}

/// In which direction sound flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DataFlow {
    /// From the engine to the endpoint (eRender).
    Render,
    /// From the endpoint to the engine (eCapture).
    Capture,
}

impl Endpoint {
    /// A render endpoint.
    #[must_use]
    pub fn render(control: impl ControlHalf + 'static, realtime: impl OutputEndpointRt + 'static) -> Self {
        Self { control: Box::new(control), realtime: RtHalf::Render(Box::new(realtime)) }
    }

    /// A capture endpoint.
    #[must_use]
    pub fn capture(control: impl ControlHalf + 'static, realtime: impl InputEndpointRt + 'static) -> Self {
        Self { control: Box::new(control), realtime: RtHalf::Capture(Box::new(realtime)) }
    }

    /// In which direction the endpoint carries sound.
    #[must_use]
    pub fn flow(&self) -> DataFlow {
        match self.realtime {
            RtHalf::Render(_) => DataFlow::Render,
            RtHalf::Capture(_) => DataFlow::Capture,
        }
    }
}

impl std::fmt::Display for DataFlow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Render => "render",
            Self::Capture => "capture",
        })
    }
}
