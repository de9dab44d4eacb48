//! The listener at an RDP client: an endpoint for the engine, and the pump that sends what is rendered into it.
//!
//! # Who calls what
//!
//! The connection's network task owns an [`RdpAudio`]. It hands in what comes on the audio channel
//! ([`RdpAudio::handle_payload`]), pulls payloads while the transport takes them ([`RdpAudio::poll`]), and calls
//! [`RdpAudio::handle_timeout`] at [`RdpAudio::next_timeout`] and whenever the endpoint has rung its waker, whether
//! the transport takes anything or not. Once [`RdpAudioEvent::Ready`] has come, [`RdpAudio::make_endpoint`] makes the
//! endpoint, which is registered with the engine. The endpoint's real-time half and the pump share a bounded queue,
//! and nothing else.
//!
//! # Pace, latency, and how both come back after a stall
//!
//! The endpoint's clock models the client's play-out: it runs from the first frame written, and the engine keeps the
//! endpoint's buffer (20 ms by default) full ahead of it. So every frame has a time at which it is *due*, and is sent
//! up to a buffer's length before. That lead is what the client has against jitter. The rules that follow from it:
//!
//! - A wave is sent as soon as it is whole: the engine's pace is the pace on the wire, there are no bursts.
//! - *Starting from dry* (the first sound, or sound after a long silence): the first wave begins at what is due now;
//!   frames that are due before the first sound are sent as silence. So the client gets the whole lead at once, plays
//!   from its arrival on, and its latency is the same at every start. Nothing of the sound is cut.
//! - *Held up* for less than [`RdpAudioConfig::late_limit`] and what the client holds in hand: everything is sent, late
//!   but whole.
//! - Held up for longer: a *cut*. Whatever is past due is stale and is dropped, again and again until sending is
//!   possible, so the queue never holds more than the lead. The client meanwhile plays out what was under way and
//!   runs dry. Sending goes on when it has confirmed all of that and its playing time has passed: from dry, as at any
//!   start. So neither the stall nor what was under way is added to the latency, and the lead is whole again.
//! - *Come in a burst*: what was held up is sent late but whole, and a client that had run dry meanwhile holds that much
//!   more from then on. It says so in its confirmations; where it holds 10 ms more than it usually does, for a second, as
//!   much sound is left out, once and counted. So latency that has grown comes back, whoever was held up: the engine, the
//!   network or the client.
//! - What is under way is bounded: nothing is sent while more is unconfirmed than the round trip and the client's own
//!   way of confirming explain ([`RdpAudioStats::window`]). A client that never confirms waves is asked by Training
//!   PDUs instead; for one that answers neither, the transport alone is the bound.
//! - Long silence is not sent at all.

mod audio;
mod backlog;
mod endpoint;
mod excess;
mod packets;
mod stats;
mod window;

pub use audio::{RdpAudio, RdpAudioConfig, RdpAudioEvent};
pub use backlog::LONGEST_LEAD;
pub use soundpost_rdp::rdpea::{
    AudioFormat, ClientFamily, FormatRejected, NegotiatedFormat, Offer, QualityMode, RdpeaConfig, RdpeaCounters, Ready,
    Volume, WaveKind,
};
pub use stats::{Feedback, PumpState, RdpAudioStats};
