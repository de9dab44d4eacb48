//! RDP audio, server side: state machines without I/O.
//!
//! Two machines, one on top of the other:
//!
//! - [`mux::Mux`] lies between the MCS channels of a connection and audio. It puts static virtual channel messages
//!   together from their chunks and takes them apart again, runs the dynamic virtual channel server, and decides by
//!   which of the two channels audio travels.
//! - [`rdpea::Rdpea`] is the server side of [MS-RDPEA] (audio output): formats, training, waves, confirmations.
//!
//! Beside them, [`spnego`] reads and writes the tokens into which clients wrap NTLM at the login.
//!
//! # The run loop
//!
//! Nothing in here does I/O or reads a clock; both machines are driven alike:
//!
//! 1. Hand in what happened: bytes that came (`handle_static`, `handle_pdu`), or a point in time that was reached
//!    (`handle_timeout`), always with the present time.
//! 2. Call `poll_output` until it answers `None`, and act on every output. Every call that takes `&mut self` may have
//!    made outputs; the queue holds what one call made, so a loop that drains after each call bounds it.
//! 3. Ask `next_timeout` and wait for bytes or that time, whichever comes first.
//!
//! One thread owns a machine. None of this is real-time code: outputs are allocated.
//!
//! # Hostile peers
//!
//! Every byte that comes from the client may be a lie. What does not fit is dropped and counted by kind
//! ([`mux::MuxCounters`], [`rdpea::RdpeaCounters`]); no input ends the session, makes a machine panic, or makes it hold
//! more than its stated caps.
//!
//! [MS-RDPEA]: https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-rdpea/bea2d5cf-e3b9-4419-92e5-0e074ff9bc5b

#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_lossless,
        clippy::cast_sign_loss,
        reason = "test arithmetic"
    )
)]

mod counters;
pub mod mux;
pub mod rdpea;
pub mod spnego;
