//! The only crate that does I/O: threads, sockets, files, the real clock.

#![deny(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::as_conversions,
        clippy::cast_lossless,
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "tests"
    )
)]

pub mod clock;
pub mod decode;
pub mod event;
pub mod exclusive;
pub mod measure;
pub mod play;
pub mod pulse;
pub mod pulse_client;
pub mod rdp;
pub mod record;
pub mod submix;
mod sys;
pub mod thread;
pub mod wav;
