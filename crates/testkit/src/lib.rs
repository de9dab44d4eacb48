//! What it takes to run an engine and its endpoints without hardware, threads or waiting, and to hold them against
//! the contract: a virtual clock, a runner that jumps from one wake-up to the next, endpoints that record what is done
//! to them, endpoints that break the contract on purpose, and the conformance kit itself ([`verify`]).
//!
//! The same run gives the same sound: [`Digest`] says so in one number.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::as_conversions, clippy::cast_possible_truncation, reason = "test arithmetic"))]

mod clock;
mod digest;
mod faulty;
mod known_keys;
mod order;
mod probe;
mod runner;
mod seed;
pub mod simulate;
pub mod verify;

pub use clock::VirtualClock;
pub use digest::Digest;
pub use faulty::{Breach, CaptureBreach, PLANNED_PANIC, faulty_capture, faulty_render};
pub use known_keys::{TomlError, read_toml};
pub use order::{Finding, check_order};
pub use probe::{Call, Entry, Offers, Probe, capture_probe, render_probe, render_probe_with};
pub use runner::{Gate, Runner, WakeFlag};
pub use seed::Random;
