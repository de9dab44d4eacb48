//! Bounded lock-free queues and snapshots between control and real-time side.
//!
//! | item | from → to | for |
//! |---|---|---|
//! | [`frames::queue`] | one → one | interleaved sound, in whole frames |
//! | [`commands::channel`] | control → real-time, and back | commands, and what they replace, so that it is freed where freeing is allowed |
//! | [`snapshot::snapshot`] | one → many | the latest value of a statistic |
//! | [`Flag`] | any → any | one bit |
//!
//! Every operation is wait-free: it ends after a bounded number of steps whatever the other side does, allocates
//! nothing and never blocks. Only constructors allocate, and only dropping the second of two halves frees. There is
//! no way to wait for the other side: the engine's passes come round by themselves.
//!
//! The two halves of a queue are `Send` and take `&mut self`, so that the type system keeps each on one side. Frames
//! and commands travel through the crate `rtrb`; what is made of atomics by hand is in [`snapshot`]
//! and [`Flag`]. (The device clock of `soundpost-endpoint`, which may not know this crate, has a few of its
//! own.) Their orderings are argued where they stand and modelled with loom:
//! `cargo xtask loom`.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::as_conversions, clippy::cast_possible_truncation, reason = "test arithmetic"))]

mod atomics;
pub mod commands;
pub mod frames;
pub mod snapshot;

pub use atomics::Flag;

/// The atomics, or loom's model of them.
mod sync {
    #[cfg(loom)]
    pub(crate) use loom::sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering, fence},
    };
    #[cfg(not(loom))]
    pub(crate) use std::sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering, fence},
    };
}
