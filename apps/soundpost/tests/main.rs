//! The daemon as its users meet it: the real binary, real sockets, real time.
//!
//! `SOUNDPOST_TEST_SECONDS` sets how long the sound is that listeners have to hear in full (15 where it is not set).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::as_conversions, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "tests")]
#![allow(clippy::print_stderr, reason = "tests say what they measured")]

mod applications;
mod attach;
mod command;
mod counter;
mod daemon;
mod ending;
mod exclusive;
mod hostile;
mod listeners;
mod play_record;
mod real_client;
mod simulate;
mod sound_server;
mod verify;
