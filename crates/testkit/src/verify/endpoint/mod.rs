//! What an endpoint owes, group by group as in the contract. The table below is all of it.

mod c;
mod d;
mod e;
mod exclusive;
mod further;
mod order;
mod t_capture;
mod t_positions;
mod t_render;
mod x;

use soundpost_core::{FrameCount, Hns};
use soundpost_endpoint::DataFlow::{Capture, Render};
use soundpost_endpoint::{DataFlow, Requirement as Req};

use super::Level::{Contract, Reference, Stress};
use super::{Bench, Check, Level, Outcome};

/// The period that most checks run at.
const PERIOD: Hns = Hns::from_millis(10);

/// A row of [`CHECKS`].
pub type EndpointCheck = Check<fn(&mut Bench<'_>) -> Outcome>;

/// What is tried on an endpoint.
pub const CHECKS: &[EndpointCheck] = &[
    row(Req::E1, Reference, None, "the format stays the same", e::format),
    row(Req::E2, Reference, None, "unknown before SetBuffer", e::packet_unknown),
    row(Req::E2, Contract, None, "ceil(period × rate) at every period", e::packet),
    row(Req::E3, Reference, None, "unknown before SetBuffer, sensible and steady after it", e::latency),
    row(Req::E4, Reference, None, "each flag is honoured or refused", e::flags),
    row(Req::E5, Reference, None, "an event too early or without its flag is refused", e::event),
    row(Req::T1, Reference, None, "padding as time and as frames", t_positions::padding),
    row(Req::T1, Contract, Some(Render), "padding counts what was written", t_positions::padding_counts),
    row(Req::T2, Reference, None, "records over many passes", t_positions::records),
    row(Req::T2, Contract, None, "flags and positions after Start, Stop and Reset", t_positions::restarts),
    row(Req::T5, Reference, Some(Capture), "lengths, alignment, flags and time stamps", t_capture::buffers),
    row(Req::T5, Reference, Some(Capture), "silence where nothing is recorded yet", t_capture::ahead),
    row(Req::T6, Contract, Some(Capture), "after 0 used the same frames come again", t_capture::again),
    row(Req::T6, Contract, Some(Capture), "the read position moves by the used count", t_capture::part),
    row(Req::T7, Reference, Some(Render), "lengths and alignment, no count kept", t_render::buffers),
    row(Req::T8, Reference, Some(Render), "the position moves by the used count", t_render::used),
    row(Req::T8, Contract, Some(Render), "what was written is played, and silence as silence", t_render::played),
    row(Req::T12, Reference, None, "a pulse is harmless", t_render::pulse),
    row(Req::T12, Contract, None, "a pulse does not signal the driving event", d::pulse_is_not_the_event),
    row(Req::T13, Reference, None, "pins may be set again and again", t_render::pins),
    row(Req::D1, Reference, None, "latency is coefficient × period", d::latency),
    row(Req::D1, Contract, None, "a second SetBuffer replaces the first; none while running", d::again),
    row(Req::D2, Reference, None, "a small coefficient gets the minimum", d::minimum),
    row(Req::D3, Reference, None, "never capable of real time", d::rt_caps),
    row(Req::D4, Contract, None, "events follow the device's clock", d::events),
    row(Req::D5, Reference, None, "exclusive mode", exclusive::exclusive),
    row(Req::C1, Reference, None, "Start, Stop, Reset; Reset throws away", c::reset),
    row(Req::C2, Contract, None, "calls out of order", c::out_of_order),
    row(Req::C2, Stress, None, "random control calls", order::random_control),
    row(Req::C3, Contract, None, "queued data plays on after Stop and Start", c::resumed),
    row(Req::T2, Stress, None, "random passes", order::random_passes),
    row(Req::X1, Reference, None, "the header's further interfaces", further::further),
    row(Req::X2, Reference, None, "no allocation, no wait, no long run in a pass", x::passes),
    row(Req::X2, Contract, None, "no wait for the control half", x::contention),
];

const fn row(
    requirement: Req,
    level: Level,
    flow: Option<DataFlow>,
    what: &'static str,
    run: fn(&mut Bench<'_>) -> Outcome,
) -> EndpointCheck {
    Check { requirement, level, flow, what, run }
}

/// Frames as acquire counts them.
fn frames(count: u64) -> FrameCount {
    FrameCount::new(u32::try_from(count).unwrap_or(u32::MAX))
}
