//! A client of a sound server that speaks PulseAudio's protocol: Soundpost's own, PulseAudio, PipeWire.
//!
//! [`Client`] is one connection, used from one thread: it sends requests, waits for their answers, and hands out what
//! the server says unasked ([`Notice`]). [`Place::find`] looks for the server where libpulse looks for it.
//!
//! What is sent is written with the crate `pulseaudio`. Its own client is not used: it does not notice a stream that the
//! server has taken away, waits for ever for a server that does not answer, and knows Unix sockets only. What comes is
//! read here, bounded, as the crate's reader takes memory by declared length.
//!
//! Facts are those of PulseAudio's documentation (`PROTOCOL`, 16.1) and of libpulse's behaviour.

mod connection;
mod error;
mod frames;
mod place;
mod reader;
mod reply;
mod stream;

pub use self::connection::{Client, Notice, Ticket};
pub use self::error::{ClientError, Refusal};
pub use self::place::{Place, PlaceError};
pub use self::reply::{Device, Module, Timing};
pub use self::stream::{Playback, PlaybackRequest, Record, RecordRequest};

#[cfg(test)]
mod tests;
