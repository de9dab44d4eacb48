//! Units, formats, channel layouts and the clock trait that every other crate of Soundpost speaks in.
//!
//! The rule behind this crate: a number that has a unit has a type. [`FrameCount`] and [`FramePosition`] count
//! frames (one sample for every channel), [`Hns`] counts 100 ns as the AudioEndpoint contract does, [`Instant`] is a
//! point on a clock, [`SampleRate`] is frames per second. Conversions between them are explicit, take the rate they
//! need, and say how they round.
//!
//! Nothing here reads a clock: [`Clock`] is the trait through which time is handed in.

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "test arithmetic"
    )
)]

mod format;
mod frames;
mod gain;
mod layout;
mod rate;
mod schedule;
mod time;

pub use format::{Format, SampleFormat, UnsupportedFormat};
pub use frames::{FrameCount, FramePosition};
pub use gain::Gain;
pub use layout::{ChannelCount, ChannelLayout, Speaker, UnsupportedLayout};
pub use rate::{SampleRate, UnsupportedRate};
pub use schedule::PacketSchedule;
pub use time::{Clock, Hns, Instant};
