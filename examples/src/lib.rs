//! Two endpoints, each whole in a file of at most 60 lines: a [`sine`] generator and a [`level`] printer.
//!
//! `cargo run -p soundpost-examples --bin play` connects them; `--bin verify` holds them against the contract.

#![forbid(unsafe_code)]

pub mod level;
pub mod sine;
