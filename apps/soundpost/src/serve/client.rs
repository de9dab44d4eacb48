//! What one RDP connection is to the daemon: a listener of its session.

use std::sync::Arc;

use soundpost_core::{Hns, Instant};
use soundpost_endpoint::Event as _;
use soundpost_engine::EngineError;
use soundpost_host::event::EventFd;
use soundpost_host::rdp::{Login, Meter, PanelState, Peer, SessionApp, SessionRefused, Sessions, SoundState};
use soundpost_link::rdp::{PumpState, RdpAudio, RdpAudioConfig, RdpAudioEvent, RdpAudioStats, RdpeaConfig};
use soundpost_rdp::mux::{AudioTransport, AudioUnavailable};
use tokio::sync::mpsc::UnboundedSender;

use super::hub::{Attached, Hub, HubEvent, HubSession, Listener, TRY_AGAIN};

/// Leads logins to their sessions.
pub(crate) struct Listeners {
    pub(crate) hub: Arc<Hub>,
    pub(crate) events: UnboundedSender<HubEvent>,
    pub(crate) period: Hns,
    pub(crate) rate: soundpost_core::SampleRate,
}

impl Sessions for Listeners {
    fn open(&self, login: &Login, peer: &Peer) -> Result<Box<dyn SessionApp>, SessionRefused> {
        let found = self.hub.sessions().iter().enumerate().find(|(_, session)| session.name == login.session);
        let (index, session) = found.ok_or_else(|| SessionRefused(format!("no session named {}", login.session)))?;
        let wake = EventFd::new().map_err(|error| SessionRefused(format!("no more events: {error}")))?;
        let wake = Arc::new(wake);
        let rdpea = RdpeaConfig { preferred_rate: Some(self.rate), ..RdpeaConfig::default() };
        // A wave cannot be shorter than what one pass renders; below 10 ms more packets cost more than they save.
        let config = RdpAudioConfig { rdpea, wave: self.period.max(Hns::from_millis(10)), ..RdpAudioConfig::default() };
        Ok(Box::new(Client {
            hub: self.hub.clone(),
            events: self.events.clone(),
            index,
            session: session.clone(),
            user: login.user.clone(),
            name: peer.to_string(),
            listener: Arc::new(Listener::new(wake.clone())),
            wake,
            config,
            audio: None,
            attached: None,
            attach_at: None,
            closed: false,
            fault_told: false,
            trouble: None,
        }))
    }
}

/// One connection. Dropped when it is over, and its endpoint with it.
struct Client {
    hub: Arc<Hub>,
    events: UnboundedSender<HubEvent>,
    /// The session's place in the hub's list.
    index: usize,
    session: HubSession,
    user: String,
    name: String,
    wake: Arc<EventFd>,
    listener: Arc<Listener>,
    config: RdpAudioConfig,
    audio: Option<RdpAudio>,
    attached: Option<Attached>,
    /// When to try again to attach the endpoint, where the engine was too busy.
    attach_at: Option<Instant>,
    /// Whether the client was told that the sound has ended.
    closed: bool,
    /// Whether the log has been told that the client sends what makes no sense.
    fault_told: bool,
    /// Why there is no sound, in words for the client's panel.
    trouble: Option<String>,
}

impl Client {
    /// Acts on what the pump has to say, and notes its state for the rest of the daemon. After every call into it.
    fn settle(&mut self, now: Instant) {
        while let Some(event) = self.audio.as_mut().and_then(RdpAudio::poll_event) {
            match event {
                RdpAudioEvent::Ready(ready) => {
                    tracing::info!(
                        format = %ready.format,
                        version = %ready.version,
                        wave2 = ready.wave2,
                        quality = ?ready.quality,
                        round_trip_ms = ready.round_trip.map(|time| time.as_secs_f64() * 1e3),
                        "sound is agreed on"
                    );
                    self.attach_at = Some(now);
                }
                RdpAudioEvent::FormatRejected(rejected) => {
                    tracing::warn!(%rejected, "no sound for this client");
                    self.trouble = Some("no audio format in common".into());
                }
                RdpAudioEvent::NegotiationTimedOut => {
                    tracing::warn!("no sound for this client: it did not answer with its formats");
                    self.trouble = Some("the client did not name its formats".into());
                }
                RdpAudioEvent::QualityMode(mode) => tracing::debug!(?mode, "quality mode"),
            }
        }
        if self.attach_at.is_some_and(|at| at <= now) {
            self.attach(now);
        }
        let Some(audio) = &mut self.audio else { return };
        if self.listener.is_asked_to_finish() {
            audio.finish(now);
        }
        if audio.faults().total() > 0 && !std::mem::replace(&mut self.fault_told, true) {
            // Once: how often in all is told when the listener goes.
            tracing::info!(faults = ?audio.faults(), "the client sent audio messages that make no sense: ignored");
        }
        let drained = audio.drained(now);
        self.listener.note(audio.stats(), drained);
        if drained && !std::mem::replace(&mut self.closed, true) {
            // Nothing more will come: the client may let go of its loudspeaker.
            audio.close(now);
            self.wake.signal();
        }
    }

    /// Makes the endpoint for the format that was agreed on and attaches it to the session's device.
    fn attach(&mut self, now: Instant) {
        self.attach_at = None;
        let Some(audio) = &mut self.audio else { return };
        let Some(endpoint) = audio.make_endpoint(self.hub.clock(), self.wake.clone()) else { return };
        match self.hub.attach(&self.session, &self.name, endpoint) {
            Ok(attached) => {
                self.hub.announce(&self.session, attached.endpoint(), self.listener.clone());
                self.attached = Some(attached);
                // Nobody listens any more when the daemon is ending.
                let _ = self.events.send(HubEvent::Listening(self.index));
            }
            Err(EngineError::Busy) => {
                tracing::debug!("the engine is busy: the listener is attached a little later");
                self.attach_at = Some(now + TRY_AGAIN);
            }
            Err(error) => {
                tracing::error!(%error, "the listener's endpoint could not be attached");
                self.trouble = Some(error.to_string());
            }
        }
    }

    fn sound_state(&self, stats: Option<&RdpAudioStats>) -> SoundState {
        match stats.map(|stats| stats.state) {
            _ if self.trouble.is_some() => SoundState::Unavailable,
            None | Some(PumpState::Negotiating) => SoundState::Connecting,
            Some(PumpState::Idle) => SoundState::Silent,
            Some(PumpState::Flowing) => SoundState::Playing,
            Some(PumpState::Cut) => SoundState::Stalled,
            Some(PumpState::Closed) => SoundState::Unavailable,
        }
    }
}

impl SessionApp for Client {
    fn wakeup(&self) -> Arc<EventFd> {
        self.wake.clone()
    }

    fn audio_opened(&mut self, _transport: AudioTransport, now: Instant) {
        self.audio = Some(RdpAudio::open(self.config.clone(), now));
        self.settle(now);
    }

    fn audio_received(&mut self, message: Vec<u8>, now: Instant) {
        if let Some(audio) = &mut self.audio {
            audio.handle_payload(now, &message);
        }
        self.settle(now);
    }

    fn audio_closed(&mut self, _now: Instant) {
        self.attached = None;
        self.attach_at = None;
        self.audio = None;
        self.trouble = Some("the client closed its audio channel".into());
    }

    fn audio_unavailable(&mut self, why: AudioUnavailable, _now: Instant) {
        self.trouble = Some(why.to_string());
    }

    fn next_audio(&mut self, now: Instant) -> Option<Vec<u8>> {
        let payload = self.audio.as_mut()?.poll(now);
        self.settle(now);
        payload
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.audio.as_ref().and_then(RdpAudio::next_timeout).into_iter().chain(self.attach_at).min()
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let Some(audio) = &mut self.audio {
            audio.handle_timeout(now);
        }
        self.settle(now);
    }

    fn panel(&mut self, _now: Instant) -> PanelState {
        let stats = self.audio.as_ref().map(RdpAudio::stats);
        let device = self.hub.device(&self.session);
        let meters = device.map(|device| {
            let levels = &device.stats.levels;
            let channels = device.format.layout.channels().as_usize();
            // A meter that shows an old level of an idle device would be wrong.
            let shown = if device.active { channels } else { 0 };
            levels
                .rms
                .iter()
                .zip(&levels.peak)
                .take(shown)
                .map(|(rms, peak)| Meter::new(dbfs(*rms), dbfs(*peak)))
                .collect()
        });
        PanelState {
            session: self.session.name.clone(),
            user: self.user.clone(),
            format: stats.as_ref().and_then(|stats| stats.format).map(|format| format.to_string()).unwrap_or_default(),
            sound: self.sound_state(stats.as_ref()),
            detail: self.trouble.clone().unwrap_or_else(|| stats.as_ref().map(detail).unwrap_or_default()),
            meters: meters.unwrap_or_default(),
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(audio) = &self.audio {
            let (stats, faults) = (audio.stats(), audio.faults());
            tracing::info!(
                waves = stats.waves,
                confirms = stats.confirms,
                cuts = stats.cuts,
                stale_dropped_frames = stats.stale_dropped_frames,
                shortenings = stats.shortenings,
                left_out_frames = stats.left_out_frames,
                underruns = stats.underruns,
                faults = faults.total(),
                "listener gone"
            );
        }
    }
}

/// What a person wants to know about the way to the client. Rounded, so that the panel is not redrawn for nothing.
fn detail(stats: &RdpAudioStats) -> String {
    let mut parts = Vec::new();
    if let Some(round_trip) = stats.round_trip {
        parts.push(format!("round trip {} ms", round_trip.as_millis()));
    }
    if let Some(latency) = stats.client_latency.filter(|latency| !latency.is_zero()) {
        parts.push(format!("client buffer {} ms", latency.as_millis() / 5 * 5));
    }
    match stats.cuts {
        0 => {}
        1 => parts.push("1 stall".to_owned()),
        more => parts.push(format!("{more} stalls")),
    }
    parts.join(", ")
}

/// A linear level in dB below full scale.
fn dbfs(level: f32) -> f32 {
    20.0 * level.max(1e-6).log10()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::hub::tests::{fill, hub};
    use super::*;

    /// A Client Audio Formats PDU (MS-RDPEA 2.2.2.2): version 5, and PCM at 48 kHz, 16 bit, stereo, alone.
    const FORMATS: [u8; 42] = [
        7, 0, 38, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 5, 0, 0, 1, 0, 2, 0, 0x80, 0xBB, 0, 0, 0, 0xEE,
        2, 0, 4, 0, 16, 0, 0, 0,
    ];

    #[test]
    fn r1_a_busy_engine_gets_the_listener_a_little_later() {
        let (hub, mut worker) = hub();
        let (events, mut inbox) = tokio::sync::mpsc::unbounded_channel();
        let listeners = Listeners {
            hub: hub.clone(),
            events,
            period: Hns::from_millis(10),
            rate: soundpost_core::SampleRate::HZ_48000,
        };
        let login = Login { user: "anna".into(), session: "anna".into() };
        let peer = Peer { connection: 1, address: "192.0.2.1:40000".parse().unwrap(), client_name: "pc".into() };
        let mut client = listeners.open(&login, &peer).unwrap();
        let mut now = Instant::ORIGIN + Duration::from_secs(1);
        client.audio_opened(AudioTransport::Static, now);
        client.audio_received(FORMATS.to_vec(), now);
        fill(&hub);
        // The training is not confirmed: sound goes on without.
        now += Duration::from_secs(4);
        client.handle_timeout(now);
        assert!(inbox.try_recv().is_err(), "nobody listens yet");
        worker.run_pass(now);
        let again = client.next_timeout().unwrap();
        assert!(again <= now + Duration::from_millis(100));
        client.handle_timeout(again);
        assert_eq!(inbox.try_recv(), Ok(HubEvent::Listening(0)));
        assert_eq!(hub.snapshot().sessions[0].endpoints[0].name, "192.0.2.1:40000 (pc)");
    }
}
