//! What can be known of a listener.

use std::time::Duration;

use soundpost_core::Format;
use soundpost_rdp::rdpea::QualityMode;

/// What an RDP listener's pump knows, at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RdpAudioStats {
    /// What the pump is doing.
    pub state: PumpState,
    /// The format on the wire, once it is agreed on.
    pub format: Option<Format>,
    /// The client's wish, once it is known; dynamic where it said none.
    pub quality: Option<QualityMode>,
    /// Waves sent.
    pub waves: u64,
    /// Bytes of sound sent.
    pub bytes: u64,
    /// Confirmations of waves that came; up to two for each wave.
    pub confirms: u64,
    /// How the pump knows what has arrived.
    pub feedback: Feedback,
    /// The latest round trip.
    pub round_trip: Option<Duration>,
    /// What the client says that it holds before a wave sounds: its own buffer and device.
    pub client_latency: Option<Duration>,
    /// Sound under way: sent, not confirmed.
    pub unconfirmed: Duration,
    /// The most that may be under way before sending waits.
    pub window: Duration,
    /// Sound that waits here to be sent.
    pub queued: Duration,
    /// Frames that were dropped since they were past due.
    pub stale_dropped_frames: u64,
    /// How often that happened: stalls that the listener has heard.
    pub cuts: u64,
    /// Frames that were left out since the client held more than it usually does: latency that a stall had added.
    pub left_out_frames: u64,
    /// How often that happened.
    pub shortenings: u64,
    /// Frames lost since the pump was not run for half a second.
    pub overflow_frames: u64,
    /// How often the engine came too late to keep the client's play-out going.
    pub underruns: u64,
}

/// What the pump is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PumpState {
    /// Formats, quality mode and training are being exchanged.
    Negotiating,
    /// There is nothing but silence: nothing is sent.
    Idle,
    /// Sound is sent as it comes.
    Flowing,
    /// The client does not keep up: stale sound is dropped until it can go on from dry.
    Cut,
    /// There will be no sound: no format, no answer, or closed.
    Closed,
}

/// How the pump knows what has arrived at the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feedback {
    /// The client confirms waves, once or twice each.
    Waves,
    /// The client confirms Training PDUs that are sent between the waves.
    Training,
    /// The client answers nothing: only the transport says how much it takes.
    None,
}
