//! Endpoints over a wire: pacing, latency, format choice. Sans I/O: time and payloads are handed in and out.
//!
//! [`rdp`] is the listener at an RDP client: [`rdp::RdpAudio`] negotiates, makes the engine's endpoint, and turns what
//! the engine renders into audio PDUs.

#![forbid(unsafe_code)]

pub mod rdp;
