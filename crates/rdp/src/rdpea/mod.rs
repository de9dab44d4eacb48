//! The server side of MS-RDPEA, audio output: formats, training, waves, confirmations.
//!
//! # The order of things
//!
//! [`Rdpea::new`] makes the Server Audio Formats and Version PDU. The client answers with its list
//! ([`Event::FormatRejected`] where nothing in it serves) and, from version 6 on, a quality mode; a training PDU measures
//! the round trip. Then [`Event::Ready`] comes, and waves may be sent until the channel closes. A client that never
//! answers ends in [`Event::NegotiationTimedOut`]; one that does not say its quality mode or does not confirm the training
//! gets sound without.
//!
//! What [`Rdpea::poll_output`] gives to send is one whole message of the audio channel each:
//! [`Mux::send_audio`](crate::mux::Mux::send_audio) takes it. For the run loop see the [crate documentation](crate).

mod choice;
mod events;
mod faults;
mod formats;
mod ledger;
mod pdu;
#[cfg(test)]
mod tests;
mod timers;

use std::collections::VecDeque;
use std::time::Duration;

use soundpost_core::{Instant, SampleRate};

pub use self::choice::{ChoiceInput, ClientFamily, QUIRKS, Quirks, resolve};
pub use self::events::{Event, FormatRejected, RdpeaOutput, Ready, SendError};
pub use self::faults::{RdpeaCounters, RdpeaFault};
pub use self::formats::{AudioFormat, FormatTag, InvalidOffer, MAX_OFFER, NegotiatedFormat, Offer};
pub use self::ledger::Confirmation;
use self::ledger::Ledger;
use self::pdu::{ClientFormats, ClientPdu, WaveHead};
pub use self::pdu::{QualityMode, Version, Volume};
use self::timers::{Timer, Timers};

/// The most formats that are read from a client's list.
pub const MAX_CLIENT_FORMATS: usize = 128;

/// Trainings under way at once; an older one is forgotten.
const MAX_TRAININGS: usize = 4;

/// Which PDUs carry the sound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WaveKind {
    /// Wave2 where version and quirks allow it, else WaveInfo and Wave.
    #[default]
    Newest,
    /// WaveInfo and Wave always.
    Wave,
}

/// What an [`Rdpea`] is made from.
#[derive(Clone, Debug)]
pub struct RdpeaConfig {
    /// The formats that the client is offered.
    pub offer: Offer,
    /// Who the client is, as far as known.
    pub family: ClientFamily,
    /// The rate that costs least on this side; decides between rates that are equally good for the client.
    pub preferred_rate: Option<SampleRate>,
    /// Which PDUs carry the sound.
    pub waves: WaveKind,
    /// The size of the first training PDU in bytes; later ones carry no data.
    pub training_size: u16,
    /// How long the client may take for its list. Windows servers wait 10 s.
    pub formats_timeout: Duration,
    /// How long the client may take for its quality mode; then it counts as dynamic. Windows servers wait 10 s.
    pub quality_timeout: Duration,
    /// How long sound waits for the first training's confirmation.
    pub training_timeout: Duration,
}

impl Default for RdpeaConfig {
    fn default() -> Self {
        Self {
            offer: Offer::pcm(),
            family: ClientFamily::Unknown,
            preferred_rate: None,
            waves: WaveKind::Newest,
            training_size: 1024,
            formats_timeout: Duration::from_secs(10),
            quality_timeout: Duration::from_secs(10),
            training_timeout: Duration::from_secs(3),
        }
    }
}

/// The audio output channel of one client.
#[derive(Debug)]
pub struct Rdpea {
    config: RdpeaConfig,
    phase: Phase,
    timers: Timers,
    session: Session,
    trainings: VecDeque<Training>,
    round_trip: Option<Duration>,
    device_latency: Option<Duration>,
    confirms_twice: bool,
    ledger: Ledger,
    outputs: VecDeque<RdpeaOutput>,
    counters: RdpeaCounters,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    AwaitingFormats,
    /// The formats are agreed on; training and quality mode may be missing yet.
    Preparing,
    Ready,
    Ended,
}

/// What is known of the client; empty until its list has come.
#[derive(Debug)]
struct Session {
    version: Version,
    volume: Option<Volume>,
    formats: Vec<NegotiatedFormat>,
    chosen: Option<NegotiatedFormat>,
    quality: QualityMode,
}

#[derive(Clone, Copy, Debug)]
struct Training {
    timestamp: u16,
    pack_size: u16,
    sent: Instant,
}

impl Rdpea {
    /// Begins on a channel that has just opened.
    #[must_use]
    pub fn new(config: RdpeaConfig, now: Instant) -> Self {
        let mut timers = Timers::default();
        timers.set(Timer::Formats, now + config.formats_timeout);
        let outputs = VecDeque::from([RdpeaOutput::Send(pdu::server_formats(&config.offer, Version::V8))]);
        Self {
            config,
            phase: Phase::AwaitingFormats,
            timers,
            session: Session {
                version: Version::V8,
                volume: None,
                formats: Vec::new(),
                chosen: None,
                quality: QualityMode::Dynamic,
            },
            trainings: VecDeque::new(),
            round_trip: None,
            device_latency: None,
            confirms_twice: false,
            ledger: Ledger::default(),
            outputs,
            counters: RdpeaCounters::default(),
        }
    }

    /// Takes one whole message of the audio channel.
    pub fn handle_pdu(&mut self, pdu: &[u8], now: Instant) {
        let handled = pdu::parse_client(pdu).and_then(|pdu| match pdu {
            ClientPdu::Formats(formats) => self.handle_formats(formats, now),
            ClientPdu::QualityMode(mode) => self.handle_quality(mode),
            ClientPdu::TrainingConfirm { timestamp, pack_size } => self.handle_training(timestamp, pack_size, now),
            ClientPdu::WaveConfirm { timestamp, block } => self.handle_confirm(timestamp, block, now),
        });
        if let Err(fault) = handled {
            self.counters.count(fault);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Time has come to `now`. Does nothing before [`next_timeout`](Self::next_timeout).
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.timers.take_expired(Timer::Formats, now) {
            self.phase = Phase::Ended;
            self.outputs.push_back(RdpeaOutput::Event(Event::NegotiationTimedOut));
        }
        // Quality stays dynamic and the round trip unknown: sound need not wait for them any longer.
        let expired =
            [Timer::Quality, Timer::Training].map(|timer| self.timers.take_expired(timer, now)).contains(&true);
        if expired {
            self.become_ready();
        }
    }

    /// Whether [`wave`](Self::wave) takes sound.
    #[must_use]
    pub fn can_send(&self) -> bool {
        self.phase == Phase::Ready
    }

    /// Sends `audio`, encoded in the chosen format, and answers with its block number.
    ///
    /// `audio_time_ms` says when the sound was taken from its source, in milliseconds of a clock that runs as `now`
    /// does (dwAudioTimeStamp; carried by Wave2 alone).
    ///
    /// # Errors
    /// [`SendError`] before `Ready`, and for audio that is not whole blocks or does not fit into one PDU.
    pub fn wave(&mut self, now: Instant, audio: &[u8], audio_time_ms: u32) -> Result<u8, SendError> {
        let limits = self.wave_limits().ok_or(SendError::NotReady)?;
        let format = self.session.chosen.as_ref().ok_or(SendError::NotReady)?;
        let (bytes, block) = (audio.len(), limits.block);
        if bytes == 0 || !bytes.is_multiple_of(block) {
            return Err(SendError::NotWholeBlocks { bytes, block });
        }
        let too_large = SendError::Size { bytes, min: limits.min, max: limits.max };

        let head =
            WaveHead { timestamp: timestamp(now), format_number: format.number(), block: self.ledger.next_block() };
        if limits.wave2 {
            let pdu = pdu::wave2(head, audio_time_ms, audio).ok_or(too_large)?;
            self.outputs.push_back(RdpeaOutput::Send(pdu));
        } else {
            let (info, wave) = pdu::wave(head, audio).ok_or(too_large)?;
            self.outputs.extend([RdpeaOutput::Send(info), RdpeaOutput::Send(wave)]);
        }
        self.ledger.push(head.timestamp, now, duration_of(format, bytes));
        Ok(head.block)
    }

    /// The most bytes of audio that one wave takes in the chosen format, in whole blocks; 0 before `Ready`.
    #[must_use]
    pub fn max_wave_bytes(&self) -> usize {
        self.wave_limits().map_or(0, |limits| limits.max)
    }

    /// Sends a Training PDU without data: a ping. [`Event::RoundTrip`] follows when it is confirmed.
    ///
    /// # Errors
    /// [`SendError::NotReady`] before `Ready`.
    pub fn ping(&mut self, now: Instant) -> Result<(), SendError> {
        if !self.can_send() {
            return Err(SendError::NotReady);
        }
        self.train(0, now);
        Ok(())
    }

    /// Tells the client the volume that it is to apply.
    ///
    /// # Errors
    /// [`SendError::NotReady`] before `Ready`, [`SendError::NoVolume`] where the client cannot.
    pub fn set_volume(&mut self, volume: Volume) -> Result<(), SendError> {
        if !self.can_send() {
            return Err(SendError::NotReady);
        }
        if self.session.volume.is_none() {
            return Err(SendError::NoVolume);
        }
        self.session.volume = Some(volume);
        self.outputs.push_back(RdpeaOutput::Send(pdu::volume(volume)));
        Ok(())
    }

    /// Tells the client that the sound stops here (Close PDU). A later wave starts it again.
    ///
    /// # Errors
    /// [`SendError::NotReady`] before `Ready`.
    pub fn close(&mut self) -> Result<(), SendError> {
        if !self.can_send() {
            return Err(SendError::NotReady);
        }
        self.outputs.push_back(RdpeaOutput::Send(pdu::close()));
        Ok(())
    }

    /// Changes the format from the next wave on. `choose` picks one of the formats that both sides have, or none to
    /// leave it. Some clients want the sound closed first ([`close`](Self::close)).
    ///
    /// # Errors
    /// [`SendError::NotReady`] before `Ready`.
    pub fn change_format<F>(&mut self, choose: F) -> Result<(), SendError>
    where
        F: for<'a> FnOnce(&'a [NegotiatedFormat]) -> Option<&'a NegotiatedFormat>,
    {
        if !self.can_send() {
            return Err(SendError::NotReady);
        }
        if let Some(format) = choose(&self.session.formats) {
            self.session.chosen = Some(format.clone());
        }
        Ok(())
    }

    /// The formats that both sides have, in the client's order; empty before the client's list has come.
    #[must_use]
    pub fn formats(&self) -> &[NegotiatedFormat] {
        &self.session.formats
    }

    /// The format of the waves, once it is chosen.
    #[must_use]
    pub fn format(&self) -> Option<&NegotiatedFormat> {
        self.session.chosen.as_ref()
    }

    /// The round trip of the latest training that was confirmed.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// What the client adds between a wave's arrival and its sound, by its latest confirmation of a wave; by the second
    /// ones of a client that confirms twice.
    #[must_use]
    pub fn device_latency(&self) -> Option<Duration> {
        self.device_latency
    }

    /// Sound that is sent and not confirmed; none for a client that has never confirmed anything, which is normal too.
    #[must_use]
    pub fn unconfirmed(&self) -> Option<Duration> {
        self.ledger.unconfirmed()
    }

    /// The next thing to act on, in the order in which it happened.
    pub fn poll_output(&mut self) -> Option<RdpeaOutput> {
        self.outputs.pop_front()
    }

    /// What was ignored so far.
    #[must_use]
    pub fn counters(&self) -> &RdpeaCounters {
        &self.counters
    }

    fn handle_formats(&mut self, list: ClientFormats, now: Instant) -> Result<(), RdpeaFault> {
        if self.phase != Phase::AwaitingFormats {
            return Err(RdpeaFault::OutOfSequence);
        }
        self.timers.clear(Timer::Formats);
        if list.cut {
            self.counters.count(RdpeaFault::FormatListCut);
        }
        let found = formats::intersect(&self.config.offer, &list.formats);
        for _ in 0..found.foreign {
            self.counters.count(RdpeaFault::ForeignFormat);
        }
        let input = ChoiceInput {
            formats: &found.common,
            family: self.config.family,
            preferred_rate: self.config.preferred_rate,
        };
        let alive = list.flags & ClientFormats::ALIVE != 0;
        let Some(chosen) = resolve(&input).filter(|_| alive).cloned() else {
            self.phase = Phase::Ended;
            self.outputs.push_back(RdpeaOutput::Event(Event::FormatRejected(FormatRejected {
                not_alive: !alive,
                client_formats: list.formats.iter().map(formats::describe).collect(),
            })));
            return Ok(());
        };

        self.session.version = list.version.min(Version::V8);
        self.session.volume = (list.flags & ClientFormats::VOLUME != 0).then_some(list.volume);
        self.session.formats = found.common;
        self.session.chosen = Some(chosen);
        self.phase = Phase::Preparing;
        if self.session.version >= Version::V6 {
            self.timers.set(Timer::Quality, now + self.config.quality_timeout);
        }
        self.timers.set(Timer::Training, now + self.config.training_timeout);
        self.train(self.config.training_size, now);
        Ok(())
    }

    fn handle_quality(&mut self, mode: QualityMode) -> Result<(), RdpeaFault> {
        // Only used where both sides have version 6 (MS-RDPEA 2.2.2.3).
        if self.session.version < Version::V6 {
            return Err(RdpeaFault::OutOfSequence);
        }
        match self.phase {
            Phase::AwaitingFormats | Phase::Ended => Err(RdpeaFault::OutOfSequence),
            Phase::Preparing => {
                self.session.quality = mode;
                self.timers.clear(Timer::Quality);
                self.become_ready();
                Ok(())
            }
            Phase::Ready => {
                if self.session.quality != mode {
                    self.session.quality = mode;
                    self.outputs.push_back(RdpeaOutput::Event(Event::QualityMode(mode)));
                }
                Ok(())
            }
        }
    }

    fn handle_training(&mut self, timestamp: u16, pack_size: u16, now: Instant) -> Result<(), RdpeaFault> {
        let index = self
            .trainings
            .iter()
            .position(|training| training.timestamp == timestamp && training.pack_size == pack_size)
            .ok_or(RdpeaFault::UnexpectedTraining)?;
        let training = self.trainings.remove(index).ok_or(RdpeaFault::UnexpectedTraining)?;
        let round_trip = now.saturating_since(training.sent);
        self.round_trip = Some(round_trip);
        if self.phase == Phase::Ready {
            self.outputs.push_back(RdpeaOutput::Event(Event::RoundTrip(round_trip)));
        } else {
            self.timers.clear(Timer::Training);
            self.become_ready();
        }
        Ok(())
    }

    fn handle_confirm(&mut self, timestamp: u16, block: u8, now: Instant) -> Result<(), RdpeaFault> {
        if self.phase != Phase::Ready {
            return Err(RdpeaFault::OutOfSequence);
        }
        let (confirmation, odd) = self.ledger.confirm(block, timestamp, now)?;
        if let Some(fault) = odd {
            self.counters.count(fault);
        }
        // A client that confirms twice says its latency with the second.
        self.confirms_twice |= confirmation.ordinal == 2;
        if confirmation.ordinal == 2 || !self.confirms_twice {
            self.device_latency = Some(confirmation.device_latency());
        }
        self.outputs.push_back(RdpeaOutput::Event(Event::Confirmed(confirmation)));
        Ok(())
    }

    /// Says `Ready` once nothing is waited for any more.
    fn become_ready(&mut self) {
        let Some(format) = self.session.chosen.clone() else { return };
        if self.phase != Phase::Preparing || self.timers.next().is_some() {
            return;
        }
        self.phase = Phase::Ready;
        self.outputs.push_back(RdpeaOutput::Event(Event::Ready(Ready {
            format,
            version: self.session.version,
            wave2: self.wave2(),
            quality: self.session.quality,
            round_trip: self.round_trip,
            volume: self.session.volume,
        })));
    }

    fn train(&mut self, pack_size: u16, now: Instant) {
        // Two trainings under way must not look alike.
        let mut timestamp = timestamp(now);
        while self.trainings.iter().any(|training| training.timestamp == timestamp) {
            timestamp = timestamp.wrapping_add(1);
        }
        if self.trainings.len() == MAX_TRAININGS {
            self.trainings.pop_front();
        }
        let pdu = pdu::training(timestamp, pack_size);
        // What the client will echo: the size that the PDU says, which is 0 where it has no data.
        let pack_size = if pack_size > pdu::PROLOG + 4 { pack_size } else { 0 };
        self.trainings.push_back(Training { timestamp, pack_size, sent: now });
        self.outputs.push_back(RdpeaOutput::Send(pdu));
    }

    fn wave2(&self) -> bool {
        self.session.version >= Version::V8
            && self.config.waves == WaveKind::Newest
            && self.config.family.quirks().wave2
    }

    fn wave_limits(&self) -> Option<WaveLimits> {
        if self.phase != Phase::Ready {
            return None;
        }
        let block = usize::from(self.session.chosen.as_ref()?.format().n_block_align).max(1);
        let wave2 = self.wave2();
        let (min, max) = if wave2 { (1, pdu::MAX_WAVE2) } else { (pdu::MIN_WAVE, pdu::MAX_WAVE) };
        let max = usize::from(max);
        Some(WaveLimits { block, wave2, min, max: max - max % block })
    }
}

/// What one wave may be.
#[derive(Clone, Copy, Debug)]
struct WaveLimits {
    block: usize,
    wave2: bool,
    min: usize,
    max: usize,
}

/// Milliseconds, the lower 16 bits: wTimeStamp.
fn timestamp(now: Instant) -> u16 {
    let [b0, b1, ..] = (now.as_nanos() / 1_000_000).to_le_bytes();
    u16::from_le_bytes([b0, b1])
}

/// How long `bytes` bytes of audio last. For PCM from what was checked; nAvgBytesPerSec is the client's word.
fn duration_of(format: &NegotiatedFormat, bytes: usize) -> Duration {
    let bytes64 = u64::try_from(bytes).unwrap_or(u64::MAX);
    match format.pcm() {
        Some(pcm) => pcm.rate.duration_of(u64::from(pcm.frames_in(bytes).get())),
        None => {
            let per_second = u64::from(format.format().n_avg_bytes_per_sec.max(1));
            Duration::from_nanos(bytes64.saturating_mul(1_000_000_000) / per_second)
        }
    }
}
