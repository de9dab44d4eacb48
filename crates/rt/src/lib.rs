//! The processing pass.
//!
//! What happens in one period of one device, as functions over memory that the control side has allocated: nothing in
//! this crate's own source can allocate (`no_std`, no `alloc`), lock, block, or read a clock.
//!
//! | module | what it is |
//! |---|---|
//! | [`timeline`] | when a self-paced bus is due, how late it is, and what it owes |
//! | [`bus`] | a device's pace, volume and statistics, whichever way its sound goes |
//! | [`render`] | streams mixed into a block, and the block carried to each connection's endpoint |
//! | [`capture`] | one endpoint's sound fanned out to any number of streams |
//! | [`path`] | from one rate and layout to another |
//! | [`scratch`] | the memory that a pass works in |
//! | [`rate`] | a device's rate, calculated from its position records |
//! | [`guard`] | an endpoint's panic, caught by whoever can |
//! | [`stats`] | what a pass counts |
//!
//! A bus is a device seen from here. The engine crate decides which buses, streams and connections exist, and on
//! which thread; this crate only knows what to do with them when their time has come.

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_lossless,
        clippy::cast_possible_wrap,
        reason = "test arithmetic"
    )
)]

#[cfg(test)]
extern crate std;

pub mod bus;
pub mod capture;
pub mod guard;
pub mod path;
pub mod rate;
pub mod render;
pub mod scratch;
pub mod stats;
pub mod timeline;

mod account;
mod levels;
mod words;
