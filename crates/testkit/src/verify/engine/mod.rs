//! What the engine owes, seen from probe endpoints on the virtual clock. The engine cannot be swapped for a faulty one;
//! that these checks can fail is shown on their parts (`check_order` with planted calls, the comparisons of sound).

mod faults;
mod passes;
mod registry;
mod scene;

use soundpost_endpoint::Requirement as Req;

use super::Level::{Contract, Reference, Stress};
use super::{Broken, Check, Level, Options, Outcome, Tools};
use crate::Random;

/// What a check of the engine is run with.
pub struct EngineBench<'a> {
    pub(super) options: Options,
    pub(super) tools: &'a dyn Tools,
    pub(super) random: Random,
    pub(super) side: Vec<Broken>,
}

impl<'a> EngineBench<'a> {
    pub(super) fn new(options: Options, tools: &'a dyn Tools) -> Self {
        Self { options, tools, random: Random::new(options.seed), side: Vec::new() }
    }

    pub(super) fn into_side(self) -> Vec<Broken> {
        self.side
    }
}

/// A row of [`ENGINE_CHECKS`].
pub type EngineCheck = Check<fn(&mut EngineBench<'_>) -> Outcome>;

/// What is tried on the engine.
pub const ENGINE_CHECKS: &[EngineCheck] = &[
    row(Req::R1, Reference, "one endpoint a connection", registry::one_endpoint),
    row(Req::R2, Reference, "nothing before it is attached, nothing after it is detached", registry::attached_only),
    row(Req::R3, Reference, "the wrong direction is refused", registry::directions),
    row(Req::R4, Contract, "one endpoint goes, the others lose nothing", faults::one_goes),
    row(Req::R5, Reference, "sessions do not reach each other's endpoints", registry::sessions),
    row(Req::E5, Reference, "an event with its flag, after SetBuffer", passes::event),
    row(Req::T3, Reference, "never more than E2", |bench| passes::order(bench, Req::T3)),
    row(Req::T6, Reference, "captured frames are used once, in order", passes::captured),
    row(Req::T8, Reference, "no more than asked, silence as silence", passes::silence),
    row(Req::T9, Contract, "acquire and release in pairs", |bench| passes::order(bench, Req::T9)),
    row(Req::T10, Contract, "silent data is not read", passes::silent_data),
    row(Req::T11, Reference, "ProcessingComplete once a pass", |bench| passes::order(bench, Req::T11)),
    row(Req::T12, Contract, "a pulse after it, on render alone", |bench| passes::order(bench, Req::T12)),
    row(Req::T13, Contract, "data only while the pin is active", |bench| passes::order(bench, Req::T13)),
    row(Req::D4, Contract, "the order of initialisation, and passes by the endpoint's event", passes::driven),
    row(Req::X1, Reference, "further interfaces are used where they are offered", passes::further),
    row(Req::X2, Contract, "passes allocate nothing", passes::allocations),
    row(Req::X3, Contract, "misbehaving endpoints are named and isolated", faults::named),
    row(Req::X3, Stress, "also at any later pass", faults::named_later),
];

const fn row(
    requirement: Req,
    level: Level,
    what: &'static str,
    run: fn(&mut EngineBench<'_>) -> Outcome,
) -> EngineCheck {
    Check { requirement, level, flow: None, what, run }
}
