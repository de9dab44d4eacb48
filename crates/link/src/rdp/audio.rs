//! Negotiation and pump of one listener.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use soundpost_core::{Clock, Format, Hns, Instant};
use soundpost_endpoint::stock::RateOffset;
use soundpost_endpoint::{BufferPlan, Endpoint, Event};
use soundpost_rdp::rdpea::Volume;
use soundpost_rdp::rdpea::{self, FormatRejected, QualityMode, Rdpea, RdpeaConfig, RdpeaCounters, RdpeaOutput, Ready};

use super::backlog::{Backlog, Flow};
use super::endpoint::{EndpointLink, rdp_endpoint};
use super::excess::Excess;
use super::stats::{Feedback, PumpState, RdpAudioStats};
use super::window::Window;

/// How a listener is served.
#[derive(Clone, Debug)]
pub struct RdpAudioConfig {
    /// The negotiation.
    pub rdpea: RdpeaConfig,
    /// How much sound one wave carries, within 2.5 to 100 ms. 10 and 20 ms are known to play well.
    pub wave: Hns,
    /// How late sound may be and still be sent; beyond it, a cut. What the client says that it holds itself comes on
    /// top: sound that comes within that is heard without a gap.
    pub late_limit: Duration,
    /// After how much silence nothing is sent any more.
    pub idle_after: Hns,
    /// How long [`RdpAudio::drained`] waits for the client at most.
    pub drain_limit: Duration,
    /// A volume that the client is to apply, where it can.
    pub volume: Option<Volume>,
}

impl Default for RdpAudioConfig {
    fn default() -> Self {
        Self {
            rdpea: RdpeaConfig::default(),
            wave: Hns::from_millis(10),
            late_limit: Duration::from_millis(100),
            idle_after: Hns::from_millis(1_000),
            drain_limit: Duration::from_secs(2),
            volume: None,
        }
    }
}

/// What the owner of an [`RdpAudio`] has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RdpAudioEvent {
    /// Everything is agreed on: time for [`RdpAudio::make_endpoint`].
    Ready(Ready),
    /// There will be no sound: nothing that the client lists can be used.
    FormatRejected(FormatRejected),
    /// There will be no sound: the client did not answer.
    NegotiationTimedOut,
    /// The client changed its quality mode.
    QualityMode(QualityMode),
}

/// The sound of one listener: negotiation, then the pump. Owned by the connection's network task; never used on a
/// real-time thread. See the [module documentation](super) for who calls what.
pub struct RdpAudio {
    config: RdpAudioConfig,
    rdpea: Rdpea,
    outbox: VecDeque<Vec<u8>>,
    events: VecDeque<RdpAudioEvent>,
    format: Option<Format>,
    quality: Option<QualityMode>,
    pump: Option<Pump>,
    ending: Ending,
    waves: u64,
    bytes: u64,
    confirms: u64,
    /// Waits for an endpoint: the first training's round trip.
    round_trip: Option<Duration>,
    /// The latest time that was handed in.
    now: Instant,
}

/// A client that says that it holds more than this is not believed. FreeRDP's buffer is about that long by default.
const LONGEST_HELD: Duration = Duration::from_millis(200);

/// What there is once an endpoint is made.
struct Pump {
    link: EndpointLink,
    backlog: Backlog,
    window: Window,
    excess: Excess,
    /// The client confirms twice, and says with the second how long it holds a wave.
    confirms_twice: bool,
    /// Sound was flowing at the last look.
    flowing: bool,
    shortenings: u64,
}

impl Pump {
    /// Where sound begins from dry, what the client holds is watched from then on.
    fn watch_flow(&mut self, now: Instant) {
        let flowing = self.backlog.flow() == Flow::Flowing;
        if flowing && !std::mem::replace(&mut self.flowing, flowing) {
            self.excess.begin(now);
        }
        self.flowing = flowing;
    }

    /// The client says how long it holds a wave. What a stall has added to that is left out of the sound.
    fn client_holds(&mut self, now: Instant, held: Duration) {
        let out = self.excess.held(now, held);
        if let Some(out) = out.filter(|_| self.flowing) {
            self.backlog.leave_out(out);
            self.shortenings += 1;
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Running,
    /// No more sound comes; what is there is sent, and waited for until then.
    Finishing(Instant),
    Closed,
}

impl RdpAudio {
    /// Begins the negotiation on an audio channel that has just opened.
    #[must_use]
    pub fn open(config: RdpAudioConfig, now: Instant) -> Self {
        let mut audio = Self {
            rdpea: Rdpea::new(config.rdpea.clone(), now),
            config,
            outbox: VecDeque::new(),
            events: VecDeque::new(),
            format: None,
            quality: None,
            pump: None,
            ending: Ending::Running,
            waves: 0,
            bytes: 0,
            confirms: 0,
            round_trip: None,
            now,
        };
        audio.take_outputs(now);
        audio
    }

    /// Takes one whole message of the audio channel.
    pub fn handle_payload(&mut self, now: Instant, payload: &[u8]) {
        self.now = now;
        self.rdpea.handle_pdu(payload, now);
        self.take_outputs(now);
    }

    /// When [`RdpAudio::handle_timeout`] and [`RdpAudio::poll`] want to be called, if nothing happens before. A time
    /// that was reached is not named again: what could be done then is done as soon as the transport takes it.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        if self.ending == Ending::Closed {
            return None;
        }
        let limit = match self.ending {
            Ending::Finishing(limit) => Some(limit),
            Ending::Running | Ending::Closed => None,
        };
        let pump = self.pump.as_ref().into_iter().flat_map(|pump| {
            let dry = pump.window.dry_at(self.device_latency());
            let dry = dry.filter(|_| limit.is_some() || pump.backlog.flow() == Flow::Cut);
            [pump.backlog.flush_at(), dry, pump.window.gives_up_at()]
        });
        let ahead = pump.chain([limit]).flatten().filter(|at| *at > self.now);
        ahead.chain(self.rdpea.next_timeout()).min()
    }

    /// Time has come to `now`, or the endpoint has rung its waker: takes over what was rendered and drops what is
    /// stale. To be called also while the transport takes nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        self.rdpea.handle_timeout(now);
        self.take_outputs(now);
        self.absorb(now);
    }

    /// The next payload for the audio channel. To be called while the transport takes more; what is not pulled stays
    /// here, and is dropped when it gets stale.
    pub fn poll(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.now = now;
        if let Some(payload) = self.outbox.pop_front() {
            return Some(payload);
        }
        self.absorb(now);
        self.send_next(now);
        self.outbox.pop_front()
    }

    /// What has happened, oldest first. To be called until `None` after every other call.
    pub fn poll_event(&mut self) -> Option<RdpAudioEvent> {
        self.events.pop_front()
    }

    /// The endpoint for the engine, in the format that was agreed on; `None` before [`RdpAudioEvent::Ready`]. A second
    /// call makes another one and lets go of the first. `waker` is signalled on the real-time thread after each pass
    /// that rendered something; it must neither block nor allocate.
    pub fn make_endpoint(&mut self, clock: Arc<dyn Clock>, waker: Arc<dyn Event>) -> Option<Endpoint> {
        let format = self.format?;
        let wave = self.config.wave.clamp(BufferPlan::SHORTEST_PERIOD, BufferPlan::LONGEST_PERIOD);
        // A wave must be whole before it is due.
        let minimum_latency = wave.saturating_mul(2);
        let (endpoint, link) = rdp_endpoint(format, minimum_latency, self.config.idle_after, clock, waker);
        let (late_limit, idle_after) = (self.config.late_limit, self.config.idle_after);
        let window = match self.pump.take() {
            Some(pump) => pump.window,
            None => Window::new(self.round_trip),
        };
        let backlog = Backlog::new(format, wave, late_limit, idle_after);
        self.pump = Some(Pump {
            link,
            backlog,
            window,
            excess: Excess::default(),
            confirms_twice: false,
            flowing: false,
            shortenings: 0,
        });
        Some(endpoint)
    }

    /// Steers the model of the client's play-out: from now on it runs so much faster than the clock. The engine
    /// follows, and with it the pace on the wire. Nothing is dropped or repeated by it.
    pub fn correct(&mut self, offset: RateOffset) {
        if let Some(pump) = &self.pump {
            pump.link.clock.set_offset(offset);
        }
    }

    /// No more sound comes: what was rendered until now is sent to the end. What is rendered later is thrown away.
    pub fn finish(&mut self, now: Instant) {
        if self.ending == Ending::Running {
            self.absorb(now);
            self.ending = Ending::Finishing(now + self.config.drain_limit);
        }
    }

    /// After [`RdpAudio::finish`]: whether everything was sent and the client has played it, or the limit has passed.
    #[must_use]
    pub fn drained(&self, now: Instant) -> bool {
        let limit = match self.ending {
            Ending::Running => return false,
            Ending::Finishing(limit) => limit,
            Ending::Closed => return self.outbox.is_empty(),
        };
        let played = self.pump.as_ref().is_none_or(|pump| {
            pump.backlog.is_empty() && pump.window.dry_at(self.device_latency()).is_some_and(|dry| dry <= now)
        });
        now >= limit || (self.outbox.is_empty() && played)
    }

    /// Tells the client that the sound ends here; [`RdpAudio::poll`] gives the Close PDU and then nothing more.
    pub fn close(&mut self, now: Instant) {
        // Before Ready there is nothing to close.
        if self.ending != Ending::Closed && self.rdpea.close().is_ok() {
            self.take_outputs(now);
        }
        self.ending = Ending::Closed;
        self.pump = None;
    }

    /// What is known of the listener now.
    #[must_use]
    pub fn stats(&self) -> RdpAudioStats {
        let pump = self.pump.as_ref();
        let counts = pump.map(|pump| pump.link.clock.counts()).unwrap_or_default();
        RdpAudioStats {
            state: self.state(),
            format: self.format,
            quality: self.quality,
            waves: self.waves,
            bytes: self.bytes,
            confirms: self.confirms,
            feedback: pump.map_or(Feedback::None, |pump| pump.window.feedback()),
            round_trip: pump.and_then(|pump| pump.window.round_trip()).or(self.round_trip),
            client_latency: self.rdpea.device_latency(),
            unconfirmed: pump.map(|pump| pump.window.under_way()).unwrap_or_default(),
            window: pump.map(|pump| pump.window.limit()).unwrap_or_default(),
            queued: pump.map(|pump| pump.backlog.length()).unwrap_or_default(),
            stale_dropped_frames: pump.map_or(0, |pump| pump.backlog.dropped),
            cuts: pump.map_or(0, |pump| pump.backlog.cuts),
            left_out_frames: pump.map_or(0, |pump| pump.backlog.left_out),
            shortenings: pump.map_or(0, |pump| pump.shortenings),
            overflow_frames: pump.map_or(0, |pump| pump.link.overflow.load(Ordering::Relaxed)),
            underruns: counts.underruns,
        }
    }

    /// What the client sent and was ignored.
    #[must_use]
    pub fn faults(&self) -> &RdpeaCounters {
        self.rdpea.counters()
    }

    fn state(&self) -> PumpState {
        match (self.ending, &self.pump) {
            (Ending::Closed, _) => PumpState::Closed,
            (_, None) if self.format.is_none() => PumpState::Negotiating,
            (_, None) => PumpState::Idle,
            (_, Some(pump)) => match pump.backlog.flow() {
                Flow::Idle => PumpState::Idle,
                Flow::Flowing => PumpState::Flowing,
                Flow::Cut => PumpState::Cut,
            },
        }
    }

    fn device_latency(&self) -> Duration {
        self.rdpea.device_latency().unwrap_or_default()
    }

    fn absorb(&mut self, now: Instant) {
        let late_limit = self.config.late_limit + self.device_latency().min(LONGEST_HELD);
        let Some(pump) = &mut self.pump else { return };
        pump.backlog.set_late_limit(late_limit);
        if self.ending == Ending::Running {
            let resets = pump.link.reader.resets();
            pump.backlog.absorb(now, &mut pump.link.packets, resets, pump.window.dry_at(Duration::ZERO));
        } else {
            while let Some(packet) = pump.link.packets.pop() {
                pump.link.packets.skip(&packet);
            }
            pump.backlog.trim(now);
        }
        pump.watch_flow(now);
    }

    /// Hands the next wave or ping to the protocol core, if it is time for one.
    fn send_next(&mut self, now: Instant) {
        let device_latency = self.device_latency();
        let Some(pump) = &mut self.pump else { return };
        if self.ending == Ending::Closed {
            return;
        }
        let finishing = self.ending != Ending::Running;
        let full = pump.window.is_full(now);
        let cut = pump.backlog.flow() == Flow::Cut;
        let last = full || cut || (finishing && pump.backlog.is_empty());
        if pump.window.wants_ping(now, last) && self.rdpea.ping(now).is_ok() {
            pump.window.ping_sent(now);
            self.take_outputs(now);
            return;
        }
        if cut && !full && pump.window.dry_at(device_latency).is_some_and(|dry| dry <= now) {
            pump.backlog.resume();
            pump.watch_flow(now);
        }
        if full || pump.backlog.flow() == Flow::Cut {
            return;
        }
        let Some(wave) = pump.backlog.take_wave(now, finishing) else { return };
        // The protocol core stamps a wave with the time it is told: the stream's, so that stamps are even. When it was
        // really sent is the window's to know.
        let audio_time = u32::try_from(wave.stamp.as_nanos() / 1_000_000 % (1 << 32)).unwrap_or(0);
        if let Ok(block) = self.rdpea.wave(wave.stamp, &wave.bytes, audio_time) {
            pump.window.wave_sent(now, block, wave.duration);
            self.waves += 1;
            self.bytes += u64::try_from(wave.bytes.len()).unwrap_or(0);
        }
        self.take_outputs(now);
    }

    fn take_outputs(&mut self, now: Instant) {
        while let Some(output) = self.rdpea.poll_output() {
            match output {
                RdpeaOutput::Send(payload) => self.outbox.push_back(payload),
                RdpeaOutput::Event(event) => self.handle_event(event, now),
            }
        }
    }

    fn handle_event(&mut self, event: rdpea::Event, now: Instant) {
        match event {
            rdpea::Event::Ready(ready) => self.become_ready(ready),
            rdpea::Event::FormatRejected(rejected) => {
                self.ending = Ending::Closed;
                self.events.push_back(RdpAudioEvent::FormatRejected(rejected));
            }
            rdpea::Event::NegotiationTimedOut => {
                self.ending = Ending::Closed;
                self.events.push_back(RdpAudioEvent::NegotiationTimedOut);
            }
            rdpea::Event::Confirmed(confirmation) => {
                self.confirms += 1;
                if let Some(pump) = &mut self.pump {
                    pump.window.confirmed(now, confirmation.block, confirmation.held);
                    pump.confirms_twice |= confirmation.ordinal == 2;
                    if confirmation.ordinal == 2 || !pump.confirms_twice {
                        pump.client_holds(now, confirmation.held);
                    }
                }
            }
            rdpea::Event::RoundTrip(round_trip) => {
                if let Some(pump) = &mut self.pump {
                    pump.window.ping_answered(now, round_trip);
                }
            }
            rdpea::Event::QualityMode(mode) => {
                self.quality = Some(mode);
                // A client that changes its mind all the time must not fill the memory.
                self.events.pop_back_if(|event| matches!(event, RdpAudioEvent::QualityMode(_)));
                self.events.push_back(RdpAudioEvent::QualityMode(mode));
            }
        }
    }

    fn become_ready(&mut self, ready: Ready) {
        self.quality = Some(ready.quality);
        self.round_trip = ready.round_trip;
        match ready.format.pcm() {
            Some(format) => {
                self.format = Some(format);
                if let Some(volume) = self.config.volume {
                    // A client that cannot change its volume plays at its own.
                    let _ = self.rdpea.set_volume(volume);
                }
                self.events.push_back(RdpAudioEvent::Ready(ready));
            }
            // Only PCM can be packed here; another offer than PCM finds no use.
            None => {
                self.ending = Ending::Closed;
                let client_formats = vec![ready.format.to_string()];
                self.events
                    .push_back(RdpAudioEvent::FormatRejected(FormatRejected { not_alive: false, client_formats }));
            }
        }
    }
}
