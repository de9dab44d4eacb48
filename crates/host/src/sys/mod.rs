//! The one place with unsafe code: system calls for which no safe wrapper is at hand.

#![expect(unsafe_code, reason = "the crate's only module that may; every block is argued")]

mod alloc;
mod peer;
mod sched;
mod shared;
mod user;
mod watch;

pub use alloc::CountingAllocator;
pub(crate) use alloc::calls as allocator_calls;
pub(crate) use peer::peer;
pub(crate) use sched::{Policy, set_scheduler};
pub(crate) use shared::Mapping;
pub(crate) use user::user;
pub(crate) use watch::watch;
