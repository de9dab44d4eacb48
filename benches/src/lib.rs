//! What passes, conversions and the contract's calls cost.
//!
//! [`cases`] are the things that are measured, each with what has to be got ready before every run. Three programs
//! run them:
//!
//! - `cargo bench -p soundpost-benches`: wall time by criterion, for somebody who looks into one case;
//! - `soundpost bench`: wall time of all of them, and two of them beside plain code that does the same ([`compare`]);
//! - the program `counts` of this crate, under valgrind: instructions, which repeat exactly and are held against
//!   `benches/counts.toml` by `cargo xtask counts`.
//!
//! How to read the numbers is written in BENCHMARKS.md. No clock is read here: who times hands one in.

#![forbid(unsafe_code)]

pub mod cases;
pub mod compare;
mod contract;
mod error;
mod kernels;
mod rig;
pub mod sessions;
mod timing;

pub use error::BenchError;
pub use timing::{Nanos, Quantiles, Stopwatch, time, time_pair};
