//! What lies between MCS and audio: static virtual channels, the dynamic virtual channel server, and the choice of the
//! channel that audio travels by.
//!
//! A client may offer audio output on the static channel `rdpsnd`, on the dynamic channel `AUDIO_PLAYBACK_DVC`, or on
//! both. Clients since Windows 8 try the dynamic one first and fall back to the static one (MS-RDPEA 2.1, behaviour
//! note 11); [`AudioChannelPolicy::Auto`] does the same from this side. Audio never travels by both at once.

mod dvc;
mod faults;
mod svc;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use soundpost_core::Instant;

use self::dvc::{DvcId, DvcOutput, DvcServer};
pub use self::faults::{MuxCounters, MuxFault};
use self::svc::Reassembly;
pub use self::svc::{ChunkSize, InvalidChunkSize};

/// The largest message that is put together on a static or dynamic channel, in bytes. The longest honest one is a
/// client's list of formats: a few hundred bytes.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// The dynamic channel's name (MS-RDPEA 2.1).
pub const AUDIO_PLAYBACK_DVC: &str = "AUDIO_PLAYBACK_DVC";

/// Which channel audio may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AudioChannelPolicy {
    /// The dynamic channel where the client takes it, else the static one.
    #[default]
    Auto,
    /// `rdpsnd` alone.
    Static,
    /// `AUDIO_PLAYBACK_DVC` alone.
    Dynamic,
}

/// A static virtual channel that the client joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaticChannel {
    /// Its MCS channel id.
    pub id: u16,
    /// Whether the client defined it with CHANNEL_OPTION_SHOW_PROTOCOL: every chunk to it then carries
    /// CHANNEL_FLAG_SHOW_PROTOCOL (MS-RDPBCGR 2.2.6.1.1).
    pub show_protocol: bool,
}

/// What a [`Mux`] is made from.
#[derive(Clone, Debug)]
pub struct MuxConfig {
    /// The channel named `rdpsnd`, where the client has it.
    pub rdpsnd: Option<StaticChannel>,
    /// The channel named `drdynvc`, where the client has it.
    pub drdynvc: Option<StaticChannel>,
    /// Which channel audio may use.
    pub policy: AudioChannelPolicy,
    /// The most bytes of data in one chunk to the client: the default, or the VCChunkSize that the server's own virtual
    /// channel capability set announced (what the client's says does not count, MS-RDPBCGR 2.2.7.1.10).
    pub chunk_size: ChunkSize,
    /// How long the client may take for each answer of the dynamic channel's set-up before it counts as none.
    pub answer_timeout: Duration,
}

impl Default for MuxConfig {
    fn default() -> Self {
        Self {
            rdpsnd: None,
            drdynvc: None,
            policy: AudioChannelPolicy::Auto,
            chunk_size: ChunkSize::DEFAULT,
            answer_timeout: Duration::from_secs(5),
        }
    }
}

/// The channel that audio travels by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudioTransport {
    /// The static channel `rdpsnd`.
    Static,
    /// The dynamic channel `AUDIO_PLAYBACK_DVC`.
    Dynamic,
}

/// Why there is no channel for audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AudioUnavailable {
    /// The client joined none of the channels that the policy allows.
    #[error(
        "the client has no audio channel that may be used: it opened neither rdpsnd nor drdynvc, or the setting forbids the one it has"
    )]
    NoChannel,
    /// The client refused the dynamic channel, and the static one may not be used or is not there.
    #[error(
        "the client refused the channel AUDIO_PLAYBACK_DVC with status {0:#010x}, and there is no static channel to fall back to"
    )]
    Refused(u32),
    /// The client did not answer on its dynamic channel manager, and the static channel may not be used or is not there.
    #[error("the client did not answer the set-up of dynamic channels, and there is no static channel to fall back to")]
    NoAnswer,
}

/// What the caller has to act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MuxOutput {
    /// Send this on an MCS channel: a CHANNEL_PDU_HEADER and one chunk.
    Send {
        /// The MCS channel id.
        channel_id: u16,
        /// The payload of one MCS Send Data Indication.
        bytes: Vec<u8>,
    },
    /// Audio may be sent from now on: start an [`Rdpea`](crate::rdpea::Rdpea).
    AudioOpen(AudioTransport),
    /// One whole audio message from the client, at most [`MAX_MESSAGE`] bytes.
    AudioData(Vec<u8>),
    /// The audio channel is closed. It is not opened again in this connection.
    AudioClosed,
    /// There will be no audio in this connection.
    AudioUnavailable(AudioUnavailable),
}

/// Audio was to be sent while no audio channel is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no audio channel is open: wait for AudioOpen, and stop sending at AudioClosed")]
pub struct NoAudioChannel;

/// The virtual channels of one connection. See the [crate documentation](crate) for the run loop.
#[derive(Debug)]
pub struct Mux {
    config: MuxConfig,
    rdpsnd: Reassembly,
    drdynvc: Reassembly,
    dvc: DvcServer,
    audio: Audio,
    outputs: VecDeque<MuxOutput>,
    counters: MuxCounters,
}

/// How far audio has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Audio {
    /// [`Mux::start`] has not been called.
    Idle,
    /// The capabilities of the dynamic channel manager have been asked for.
    AwaitingVersion {
        deadline: Instant,
    },
    /// The dynamic channel has been asked for.
    AwaitingCreate {
        channel: DvcId,
        deadline: Instant,
    },
    OpenStatic(StaticChannel),
    OpenDynamic(DvcId),
    /// Closed, or not to be had.
    Ended,
}

impl Mux {
    /// The channels of a connection whose client has joined those in `config`. Does nothing until [`start`](Self::start).
    #[must_use]
    pub fn new(config: MuxConfig) -> Self {
        Self {
            config,
            rdpsnd: Reassembly::new(MAX_MESSAGE),
            drdynvc: Reassembly::new(MAX_MESSAGE),
            dvc: DvcServer::new(),
            audio: Audio::Idle,
            outputs: VecDeque::new(),
            counters: MuxCounters::default(),
        }
    }

    /// Begins to set up the audio channel. To be called once, when the connection sequence is complete; further calls
    /// do nothing.
    pub fn start(&mut self, now: Instant) {
        if self.audio != Audio::Idle {
            return;
        }
        match (self.config.policy, self.config.drdynvc) {
            (AudioChannelPolicy::Auto | AudioChannelPolicy::Dynamic, Some(_)) => {
                self.dvc.start();
                self.audio = Audio::AwaitingVersion { deadline: now + self.config.answer_timeout };
                self.settle_dvc(now);
            }
            _ => self.fall_back(AudioUnavailable::NoChannel),
        }
    }

    /// The payload of an MCS Send Data Request that the client sent on a static channel: CHANNEL_PDU_HEADER and chunk.
    pub fn handle_static(&mut self, channel_id: u16, payload: &[u8], now: Instant) {
        let is = |channel: Option<StaticChannel>| channel.is_some_and(|channel| channel.id == channel_id);
        if is(self.config.rdpsnd) {
            let Some(message) = self.rdpsnd.push(payload, &mut self.counters) else { return };
            if matches!(self.audio, Audio::OpenStatic(_)) {
                self.outputs.push_back(MuxOutput::AudioData(message.into_owned()));
            } else {
                self.counters.count(MuxFault::AudioNotOpen);
            }
        } else if is(self.config.drdynvc) {
            let Some(message) = self.drdynvc.push(payload, &mut self.counters) else { return };
            self.dvc.handle(&message, &mut self.counters);
            self.settle_dvc(now);
        } else {
            self.counters.count(MuxFault::UnknownStaticChannel);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        match self.audio {
            Audio::AwaitingVersion { deadline } | Audio::AwaitingCreate { deadline, .. } => Some(deadline),
            _ => None,
        }
    }

    /// Time has come to `now`. Does nothing before [`next_timeout`](Self::next_timeout).
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.next_timeout().is_none_or(|deadline| now < deadline) {
            return;
        }
        if let Audio::AwaitingCreate { channel, .. } = self.audio {
            // A late consent is answered by closing the channel again, so that audio never has two.
            self.dvc.close(channel);
        }
        self.fall_back(AudioUnavailable::NoAnswer);
        self.settle_dvc(now);
    }

    /// Sends one audio message to the client, cut up as its channel needs it.
    ///
    /// # Errors
    /// [`NoAudioChannel`] before `AudioOpen` and after `AudioClosed`.
    pub fn send_audio(&mut self, message: &[u8]) -> Result<(), NoAudioChannel> {
        match self.audio {
            Audio::OpenStatic(channel) => {
                send_static(&mut self.outputs, channel, self.config.chunk_size, message);
                Ok(())
            }
            Audio::OpenDynamic(channel) => {
                self.dvc.send(channel, message);
                self.forward_dvc();
                Ok(())
            }
            _ => Err(NoAudioChannel),
        }
    }

    /// The channel that audio travels by at present.
    #[must_use]
    pub fn audio_transport(&self) -> Option<AudioTransport> {
        match self.audio {
            Audio::OpenStatic(_) => Some(AudioTransport::Static),
            Audio::OpenDynamic(_) => Some(AudioTransport::Dynamic),
            _ => None,
        }
    }

    /// The next thing to act on, in the order in which it happened.
    pub fn poll_output(&mut self) -> Option<MuxOutput> {
        self.outputs.pop_front()
    }

    /// What was dropped and ignored so far.
    #[must_use]
    pub fn counters(&self) -> &MuxCounters {
        &self.counters
    }

    /// Bytes held for messages that are not complete yet: at most twice [`MAX_MESSAGE`] for each static channel and
    /// each open dynamic channel.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.rdpsnd.held_bytes() + self.drdynvc.held_bytes() + self.dvc.held_bytes()
    }

    /// Acts on what the dynamic channel server has to say, and on what follows from that.
    fn settle_dvc(&mut self, now: Instant) {
        while let Some(output) = self.dvc.poll_output() {
            match (output, self.audio) {
                (DvcOutput::Send(pdu), _) => self.send_dvc_pdu(&pdu),
                (DvcOutput::Ready, Audio::AwaitingVersion { .. }) => {
                    let channel = self.dvc.create(AUDIO_PLAYBACK_DVC, MAX_MESSAGE);
                    self.audio = Audio::AwaitingCreate { channel, deadline: now + self.config.answer_timeout };
                }
                (DvcOutput::Opened(id), Audio::AwaitingCreate { channel, .. }) if id == channel => {
                    self.audio = Audio::OpenDynamic(channel);
                    self.outputs.push_back(MuxOutput::AudioOpen(AudioTransport::Dynamic));
                }
                (DvcOutput::Refused { id, status }, Audio::AwaitingCreate { channel, .. }) if id == channel => {
                    self.fall_back(AudioUnavailable::Refused(status));
                }
                (DvcOutput::Closed(id), Audio::AwaitingCreate { channel, .. }) if id == channel => {
                    self.fall_back(AudioUnavailable::NoAnswer);
                }
                (DvcOutput::Data { id, message }, Audio::OpenDynamic(channel)) if id == channel => {
                    self.outputs.push_back(MuxOutput::AudioData(message));
                }
                (DvcOutput::Closed(id), Audio::OpenDynamic(channel)) if id == channel => {
                    self.audio = Audio::Ended;
                    self.outputs.push_back(MuxOutput::AudioClosed);
                }
                // The answer to something that has timed out, or a channel that is not audio's.
                _ => {}
            }
        }
    }

    /// Passes on the PDUs of a call that can have led to nothing else.
    fn forward_dvc(&mut self) {
        while let Some(output) = self.dvc.poll_output() {
            if let DvcOutput::Send(pdu) = output {
                self.send_dvc_pdu(&pdu);
            }
        }
    }

    fn send_dvc_pdu(&mut self, pdu: &[u8]) {
        if let Some(channel) = self.config.drdynvc {
            send_static(&mut self.outputs, channel, self.config.chunk_size, pdu);
        }
    }

    /// The dynamic channel is not to be had: takes the static one where it is allowed and there.
    fn fall_back(&mut self, why: AudioUnavailable) {
        match (self.config.policy, self.config.rdpsnd) {
            (AudioChannelPolicy::Auto | AudioChannelPolicy::Static, Some(channel)) => {
                self.audio = Audio::OpenStatic(channel);
                self.outputs.push_back(MuxOutput::AudioOpen(AudioTransport::Static));
            }
            _ => {
                self.audio = Audio::Ended;
                self.outputs.push_back(MuxOutput::AudioUnavailable(why));
            }
        }
    }
}

fn send_static(outputs: &mut VecDeque<MuxOutput>, channel: StaticChannel, chunk_size: ChunkSize, message: &[u8]) {
    outputs.extend(
        svc::chunks(message, chunk_size, channel.show_protocol)
            .map(|bytes| MuxOutput::Send { channel_id: channel.id, bytes }),
    );
}
