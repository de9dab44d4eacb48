//! Devices and streams: what clients want, done with the engine.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use soundpost_core::{Gain, Instant, SampleRate};
use soundpost_engine::{EngineError, StreamConfig, StreamId, StreamReader, StreamWriter};
use soundpost_pulse::buffer::LatencyRange;
use soundpost_pulse::{
    Change, DeviceConfig, Event, NewStream, Now, PlaybackId, Props, RecordId, SampleFormat, Server, SinkId, SourceId,
    Spec, default_map,
};

use super::balance;
use super::feed::{DEVICE, Feed, FeedParts, Lead};
use super::samples::Adapter;
use super::take::{Take, TakeParts};
use super::wake::Wake;
use super::{PulseConfig, PulseSession};

/// What is left of a stream in the engine is taken away so long after it must have been mixed.
const LINGER: Duration = Duration::from_millis(300);
/// After which time the engine is asked again where it was too busy.
const TRY_AGAIN: Duration = Duration::from_millis(50);
/// How much recorded sound waits for the thread at most.
const RECORDED: Duration = Duration::from_millis(500);

/// The streams of all clients, on the engine's side.
pub(super) struct Streams<S> {
    config: PulseConfig,
    session: S,
    wake: Arc<Wake>,
    sink: SinkId,
    source: SourceId,
    feeds: BTreeMap<PlaybackId, Feed>,
    takes: BTreeMap<RecordId, Take>,
    /// Streams that have ended, and when they may be taken away.
    ending: Vec<(Instant, StreamId)>,
    lead: Lead,
    /// How long a frame takes from the mix to the endpoint's end, as a pass has told it last.
    onward: Duration,
    room: Vec<u8>,
}

/// The format of a device's mix as clients see it.
pub(super) fn mix_spec(rate: SampleRate) -> io::Result<Spec> {
    // Every rate of the engine's is one of the protocol's.
    Spec::new(SampleFormat::Float32Le, rate.get(), default_map(2)).ok_or_else(|| io::Error::other("no such rate"))
}

impl<S: PulseSession> Streams<S> {
    pub(super) fn new(
        config: PulseConfig,
        session: S,
        server: &mut Server,
        wake: Arc<Wake>,
        now: Instant,
    ) -> io::Result<Self> {
        let lead = Lead::new(config.period.to_duration(), now);
        let device = |name: &CStr, description: &CStr, icon: &CStr, rate| -> io::Result<DeviceConfig> {
            let mut props = Props::new();
            props.set_bytes(c"device.description", description.to_bytes_with_nul());
            props.set_bytes(c"device.class", c"sound".to_bytes_with_nul());
            props.set_bytes(c"device.icon_name", icon.to_bytes_with_nul());
            let (name, description) = (name.to_owned(), description.to_owned());
            let range = range(&lead);
            let spec = mix_spec(rate)?;
            Ok(DeviceConfig { name, description, spec, range, props, volume: None, muted: false })
        };
        let speakers = device(c"soundpost", c"Remote speakers", c"audio-speakers", config.rate)?;
        let microphone =
            device(c"soundpost.microphone", c"Remote microphone", c"audio-input-microphone", SampleRate::HZ_48000)?;
        let (sink, _) = server.add_sink(speakers).map_err(io::Error::other)?;
        let source = server.add_source(microphone).map_err(io::Error::other)?;
        Ok(Self {
            config,
            session,
            wake,
            sink,
            source,
            feeds: BTreeMap::new(),
            takes: BTreeMap::new(),
            ending: Vec::new(),
            lead,
            onward: Duration::ZERO,
            room: Vec::new(),
        })
    }

    /// What the server has told, done.
    pub(super) fn act(&mut self, server: &mut Server, event: Event, now: Now) {
        match event {
            Event::NewPlayback(stream) => {
                let id = stream.id;
                if let Err(error) = self.play(*stream) {
                    tracing::warn!(%error, "an application's stream cannot be played");
                    server.end_playback(id);
                }
            }
            Event::NewRecord(stream) => {
                let id = stream.id;
                if let Err(error) = self.record(*stream) {
                    tracing::warn!(%error, "an application cannot record");
                    server.end_record(id);
                }
            }
            Event::Playback(id, change) => {
                if let Err(error) = self.change_feed(id, change, now) {
                    tracing::warn!(%error, "a change of an application's stream is lost");
                }
            }
            Event::Record(id, change) => {
                if let Err(error) = self.change_take(id, change, now) {
                    tracing::warn!(%error, "a change of an application's recording is lost");
                }
            }
            Event::Readable(id) => {
                if let Some(feed) = self.feeds.get_mut(&id) {
                    feed.readable = true;
                }
                self.top_up(server, id, now);
            }
            Event::SinkLevel { sink, volume, muted } if sink == self.sink => {
                self.device_level(self.config.speakers, balance::split(&volume).0, muted);
            }
            Event::SourceLevel { source, volume, muted } if source == self.source => {
                self.device_level(self.config.microphone, balance::split(&volume).0, muted);
            }
            _ => {}
        }
    }

    fn device_level(&self, device: soundpost_engine::DeviceId, gain: Gain, muted: bool) {
        let mut engine = self.session.engine();
        let session = self.config.session;
        let done = engine.set_device_volume(session, device, gain);
        let done = done.and_then(|()| engine.set_device_muted(session, device, muted));
        if let Err(error) = done {
            tracing::warn!(%error, "a device's volume is not what clients were told");
        }
    }

    fn play(&mut self, stream: NewStream<PlaybackId, SinkId>) -> Result<(), EngineError> {
        let parts = FeedParts {
            sink: stream.device,
            spec: stream.spec,
            mixing: stream.mixing,
            volume: stream.volume,
            muted: stream.muted,
            corked: stream.corked,
            name: name_of(&stream.props),
        };
        let mut adapter = Adapter::new(&parts.spec, parts.mixing, DEVICE);
        let (gain, shares) = balance::split(&parts.volume);
        adapter.set_shares(&shares);
        let (id, writer) = self.open_writer(&adapter, &parts.name, gain, (parts.muted, parts.corked))?;
        self.feeds.insert(stream.id, Feed::new(parts, id, writer, adapter));
        Ok(())
    }

    fn open_writer(
        &self,
        adapter: &Adapter,
        name: &str,
        volume: Gain,
        (muted, paused): (bool, bool),
    ) -> Result<(StreamId, StreamWriter), EngineError> {
        let config = StreamConfig {
            volume,
            muted,
            paused,
            // Room for the longest lead, and for the silence that comes first where one stream takes another's place.
            capacity: self.lead.longest() * 3,
            notify: Some(self.wake.clone()),
            ..StreamConfig::new(name, adapter.format())
        };
        self.session.engine().open_stream(self.config.session, self.config.speakers, config)
    }

    fn record(&mut self, stream: NewStream<RecordId, SourceId>) -> Result<(), EngineError> {
        let parts = TakeParts {
            source: stream.device,
            spec: stream.spec,
            mixing: stream.mixing,
            volume: stream.volume,
            muted: stream.muted,
            corked: stream.corked,
            name: name_of(&stream.props),
        };
        let adapter = Adapter::new(&parts.spec, parts.mixing, DEVICE);
        let gain = balance::split(&parts.volume).0;
        let (id, reader) = self.open_reader(&adapter, &parts.name, gain, (parts.muted, parts.corked))?;
        self.takes.insert(stream.id, Take::new(parts, id, reader, adapter));
        Ok(())
    }

    fn open_reader(
        &self,
        adapter: &Adapter,
        name: &str,
        volume: Gain,
        (muted, paused): (bool, bool),
    ) -> Result<(StreamId, StreamReader), EngineError> {
        let config = StreamConfig {
            volume,
            muted,
            paused,
            capacity: RECORDED,
            notify: Some(self.wake.clone()),
            ..StreamConfig::new(name, adapter.format())
        };
        self.session.engine().open_capture(self.config.session, self.config.microphone, config)
    }

    fn change_feed(&mut self, id: PlaybackId, change: Change<SinkId>, now: Now) -> Result<(), EngineError> {
        let session = self.config.session;
        let Some(feed) = self.feeds.get_mut(&id) else { return Ok(()) };
        match change {
            Change::Corked(corked) => {
                feed.corked = corked;
                feed.readable = false;
                feed.begin();
                self.session.engine().set_paused(session, feed.stream, corked)
            }
            Change::Level { volume, muted } => {
                (feed.volume, feed.muted) = (volume, muted);
                let gain = feed.level();
                let mut engine = self.session.engine();
                engine.set_stream_volume(session, feed.stream, gain)?;
                engine.set_stream_muted(session, feed.stream, muted)
            }
            Change::Moved(sink) => {
                feed.sink = sink;
                Ok(())
            }
            Change::Rate(rate) => {
                let Some(spec) = feed.spec.with_rate(rate) else { return Ok(()) };
                feed.spec = spec;
                let mut adapter = Adapter::new(&spec, feed.mixing, DEVICE);
                let (gain, shares) = balance::split(&feed.volume);
                adapter.set_shares(&shares);
                let (name, flags) = (feed.name.clone(), (feed.muted, feed.corked));
                let (stream, writer) = self.open_writer(&adapter, &name, gain, flags)?;
                if let Some(feed) = self.feeds.get_mut(&id) {
                    let old = feed.replace(stream, writer, adapter);
                    self.ending.push((now.at + self.lead.longest() * 3 + LINGER, old));
                }
                Ok(())
            }
            Change::Flushed => {
                feed.begin();
                feed.readable = false;
                self.session.engine().flush(session, feed.stream)
            }
            Change::Latency(_) => Ok(()),
            Change::Gone => {
                if let Some(feed) = self.feeds.remove(&id) {
                    // A stopped one has nothing more to say.
                    let wait = if feed.corked { Duration::ZERO } else { LINGER };
                    let (stream, left) = feed.finish();
                    self.ending.push((now.at + left + wait, stream));
                }
                Ok(())
            }
        }
    }

    fn change_take(&mut self, id: RecordId, change: Change<SourceId>, now: Now) -> Result<(), EngineError> {
        let session = self.config.session;
        let Some(take) = self.takes.get_mut(&id) else { return Ok(()) };
        match change {
            Change::Corked(corked) => {
                take.corked = corked;
                self.session.engine().set_paused(session, take.stream, corked)
            }
            Change::Level { volume, muted } => {
                (take.volume, take.muted) = (volume, muted);
                let mut engine = self.session.engine();
                engine.set_stream_volume(session, take.stream, balance::split(&volume).0)?;
                engine.set_stream_muted(session, take.stream, muted)
            }
            Change::Moved(source) => {
                take.source = source;
                Ok(())
            }
            Change::Rate(rate) => {
                let Some(spec) = take.spec.with_rate(rate) else { return Ok(()) };
                take.spec = spec;
                let adapter = Adapter::new(&spec, take.mixing, DEVICE);
                let (gain, name, flags) =
                    (balance::split(&take.volume).0, take.name.clone(), (take.muted, take.corked));
                let (stream, reader) = self.open_reader(&adapter, &name, gain, flags)?;
                if let Some(take) = self.takes.get_mut(&id) {
                    self.ending.push((now.at, take.replace(stream, reader, adapter)));
                }
                Ok(())
            }
            Change::Flushed | Change::Latency(_) => Ok(()),
            Change::Gone => {
                if let Some(take) = self.takes.remove(&id) {
                    self.ending.push((now.at, take.stream));
                }
                Ok(())
            }
        }
    }

    fn top_up(&mut self, server: &mut Server, id: PlaybackId, now: Now) {
        let Some(feed) = self.feeds.get_mut(&id) else { return };
        let timing = (self.lead.get(), self.session.behind_endpoint(), self.onward);
        feed.top_up(id, server, now, timing, &mut self.room);
    }

    /// A pass has taken what streams had, or brought what was recorded.
    pub(super) fn after_pass(&mut self, server: &mut Server, now: Now) {
        let behind = self.session.behind_endpoint();
        let (mut late, mut onward) = (false, None);
        for (id, feed) in &mut self.feeds {
            let look = feed.top_up(*id, server, now, (self.lead.get(), behind, self.onward), &mut self.room);
            late |= look.late;
            onward = onward.max(look.onward);
        }
        for (id, take) in &mut self.takes {
            take.hand_over(*id, server, now, &mut self.room);
        }
        if let Some(onward) = onward {
            self.onward = onward;
        }
        if self.lead.learn(late, now.at) {
            tracing::debug!(lead = ?self.lead.get(), late, "sound kept ahead for applications");
            server.set_sink_range(self.sink, range(&self.lead), now);
        }
    }

    /// When [`Streams::handle_timeout`] wants to be called.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.ending.iter().map(|(at, _)| *at).min()
    }

    /// Takes away what has ended.
    pub(super) fn handle_timeout(&mut self, _server: &mut Server, now: Now) {
        if self.next_timeout().is_none_or(|at| at > now.at) {
            return;
        }
        let mut engine = self.session.engine();
        let session = self.config.session;
        self.ending.retain_mut(|(at, stream)| {
            if *at > now.at {
                return true;
            }
            let busy = matches!(engine.close_stream(session, *stream), Err(EngineError::Busy));
            *at = now.at + TRY_AGAIN;
            busy
        });
    }
}

fn range(lead: &Lead) -> LatencyRange {
    let micros = u64::try_from(lead.get().as_micros()).unwrap_or(u64::MAX);
    LatencyRange { min: micros, max: micros }
}

/// What a person calls the stream: application and what it plays.
fn name_of(props: &Props) -> String {
    let value = |key: &CStr| {
        let bytes = props.get_bytes(key)?;
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        Some(String::from_utf8_lossy(bytes.get(..end)?).into_owned()).filter(|text| !text.is_empty())
    };
    match (value(c"application.name"), value(c"media.name")) {
        (Some(application), Some(media)) if application != media => format!("{application}: {media}"),
        (Some(one), _) | (None, Some(one)) => one,
        (None, None) => "an application".into(),
    }
}
