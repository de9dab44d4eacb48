//! The engine through its public interface, on the virtual clock.

#![allow(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    reason = "test arithmetic, and helpers of tests that may fail as tests do"
)]

mod capture;
mod control;
mod drain;
mod faults;
mod further;
mod further_faults;
mod lend;
mod mixing;
mod random;
mod registry;
mod render;
mod reports;
mod requirements;
mod scene;
mod timing;
