//! Sample conversion, channel mapping, mixing, ramps, limiting, metering and resampling.
//!
//! The engine's working format is interleaved `f32`, full scale ±1, in the device's channel layout. Every function
//! here that touches samples is real-time safe: it allocates nothing, takes no lock, reads no clock, and its time is
//! bounded by the length of the slices it is handed. Only constructors allocate.
//!
//! A slice of samples holds whole frames. Where a length is no whole number of frames, or two lengths differ, the
//! excess is left alone; nothing here panics over a length.
//!
//! | module | what it does |
//! |---|---|
//! | [`convert`] | bytes of any [`SampleFormat`](soundpost_core::SampleFormat) to `f32` and back |
//! | [`remap`] | channels from one [`ChannelLayout`](soundpost_core::ChannelLayout) to another |
//! | [`resample`] | one rate to another, fixed or trimmed by parts per million |
//! | [`ramp`] | volume and mute without clicks |
//! | [`mix`] | adding streams, metered on the way |
//! | [`limit`] | the limiter after the mix |
//! | [`meter`] | peak and RMS |
//! | [`generate`] | test signals |

#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_lossless,
        reason = "test arithmetic"
    )
)]

pub mod convert;
pub mod generate;
pub mod limit;
pub mod meter;
pub mod mix;
pub mod ramp;
pub mod remap;
pub mod resample;

mod num;
mod polyphase;
mod trimmable;
