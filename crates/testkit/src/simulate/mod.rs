//! Scenarios on the virtual clock: many sessions, long times, clock errors, arrivals, departures and faults, as data.
//!
//! A [`Scenario`] says who is there and when; [`Simulation`] plays it with a real engine, real streams and endpoints
//! whose clocks are off by as much as they are told, and answers an [`Outcome`]: what was counted, latency and padding
//! over time, and a digest of everything that every listener was given.
//!
//! **What is promised.** The same scenario with the same seed has the same digest on every run of the same program;
//! and between debug and release builds and between processors, as long as no rate is converted and no tone is played:
//! the resampling library and the system's sine choose their instructions by the processor, and round by them.

mod cast;
mod lane;
mod listener;
mod outcome;
mod plan;
mod read;
mod room;
mod run;
mod scenario;
mod sound;
mod stage;

pub use outcome::{FaultSeen, GroupOutcome, Outcome, Point, Spread, Totals};
pub use read::ScenarioError;
pub use run::{Simulation, SimulationError};
pub use scenario::{EndpointGroup, Fault, Flow, SampleKind, Scenario, SessionGroup, SignalKind, Stall, StreamGroup};
