//! What the integration tests and the fuzz targets share: the oracles, a scripted client, a
//! real client, and a judge of what clients hear.
//!
//! A module that needs more than the core crates stands behind the feature `client`, which is on by default; the build
//! for fuzzing turns it off.

#![forbid(unsafe_code)]

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "client")]
pub mod ear;
pub mod judge;
pub mod oracles;
