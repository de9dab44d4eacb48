//! What the host is told: what clients want of the sound.

use std::ffi::CString;

use pulseaudio::protocol::{ChannelVolume, Props};

use crate::id::{ClientId, PlaybackId, RecordId, SinkId, SourceId};
use crate::spec::Spec;

/// A stream that has begun to exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewStream<Id, Device> {
    /// Its number.
    pub id: Id,
    /// Whose it is; none for a sample that the server plays.
    pub client: Option<ClientId>,
    /// Where it plays to, or what it records.
    pub device: Device,
    /// What its bytes are.
    pub spec: Spec,
    /// Whether it waits to be uncorked.
    pub corked: bool,
    /// Its volume, a cubic scale per channel.
    pub volume: ChannelVolume,
    /// Whether it is muted.
    pub muted: bool,
    /// The latency in microseconds that its device should have for it; 0: as the device likes.
    pub latency: u64,
    /// How its channels find those of the device.
    pub mixing: Mixing,
    /// Of a record stream: hand over the highest value of each stretch instead of resampling (a level meter). See
    /// [`Peaks`](crate::Peaks).
    pub peak_detect: bool,
    /// Of a record stream on a monitor: this playback stream alone.
    pub direct_on: Option<PlaybackId>,
    /// What the client says of it.
    pub props: Props,
}

/// How channels of a stream and of a device find each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mixing {
    /// By number instead of by place.
    pub no_remap: bool,
    /// Without mixing up or down: what has no counterpart stays silent.
    pub no_remix: bool,
}

/// What has changed about a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<Device> {
    /// It is stopped, or goes on. While corked nothing is pulled from it or pushed into it.
    Corked(bool),
    /// Its volume or mute.
    Level {
        /// For each channel.
        volume: ChannelVolume,
        /// Whether it is muted.
        muted: bool,
    },
    /// It is on another device.
    Moved(Device),
    /// Its rate in Hz, that of its bytes.
    Rate(u32),
    /// The latency in microseconds that its device should have for it.
    Latency(u64),
    /// Of a playback stream: what has been pulled of it and not been heard should be thrown away, as far as the host still
    /// has it. For the stream's indices and its timing it counts as played either way. Of a record stream: what was
    /// pushed and not sent has been thrown away.
    Flushed,
    /// It has ended. What has been pulled of it may be played to its end.
    Gone,
}

/// What the host is told. Taken with [`Server::poll_event`](crate::Server::poll_event) until there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A client has shown that it may be here.
    Admitted(ClientId),
    /// A connection is over for this reason. What is left of its output may still be sent; then the host closes it and
    /// calls [`Server::disconnect`](crate::Server::disconnect).
    Close(ClientId, CloseReason),
    /// A stream plays.
    NewPlayback(Box<NewStream<PlaybackId, SinkId>>),
    /// A stream records.
    NewRecord(Box<NewStream<RecordId, SourceId>>),
    /// A playback stream has changed.
    Playback(PlaybackId, Change<SinkId>),
    /// A record stream has changed.
    Record(RecordId, Change<SourceId>),
    /// There is something to pull of a stream of which there was nothing. Of a stream without prebuffering: it has begun,
    /// and there always is something.
    Readable(PlaybackId),
    /// A sink's volume or mute.
    SinkLevel {
        /// Which.
        sink: SinkId,
        /// For each channel.
        volume: ChannelVolume,
        /// Whether it is muted.
        muted: bool,
    },
    /// A source's volume or mute.
    SourceLevel {
        /// Which.
        source: SourceId,
        /// For each channel.
        volume: ChannelVolume,
        /// Whether it is muted.
        muted: bool,
    },
    /// A sink was suspended, or goes on.
    SinkSuspended(SinkId, bool),
    /// A source was suspended, or goes on.
    SourceSuspended(SourceId, bool),
    /// The default sink and source, where a client chose them.
    Defaults {
        /// By name; none: the server's own choice.
        sink: Option<CString>,
        /// By name; none: the server's own choice.
        source: Option<CString>,
    },
    /// An application's choice is to be kept: hand it to [`Server::restore`](crate::Server::restore) at the next start.
    /// Where nothing is in it, it is to be forgotten.
    Remember(CString, Remembered),
}

/// What an application's streams had last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// Volume of each channel.
    pub volume: Option<ChannelVolume>,
    /// Whether muted.
    pub muted: Option<bool>,
    /// The device's name, where the user has moved a stream there.
    pub device: Option<CString>,
}

/// Why a connection is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// Its bytes are not the protocol.
    #[error("what it sent is not the PulseAudio protocol: {0}")]
    Protocol(String),
    /// It has not shown in time that it may be here.
    #[error("it did not log in within a minute")]
    NotAdmitted,
    /// It does not read what it asked for.
    #[error("it does not read: more than 16 MiB wait for it")]
    Deaf,
    /// It has not logged in, and newer connections needed the room.
    #[error("it had not logged in yet, and too many others came")]
    Pushed,
    /// Another client has asked for its end, or the host.
    #[error("it was ended on request")]
    Killed,
}
