//! Devices and streams: what clients want, done with the engine.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use soundpost_core::{Format, Gain, Hns, Instant, SampleRate};
use soundpost_endpoint::DataFlow;
use soundpost_engine::{DeviceId, EngineError, StreamConfig, StreamId, StreamReader, StreamWriter};
use soundpost_pulse::buffer::LatencyRange;
use soundpost_pulse::{
    Change, Event, NewStream, Now, PlaybackId, Props, RecordId, SampleFormat, Server, SinkId, SourceId, Spec,
    default_map,
};

use super::balance;
use super::devices::{Devices, PulseDevice, Recording};
use super::feed::{DEVICE, Feed, FeedParts, Lead, Timing};
use super::memory::Memory;
use super::samples::Adapter;
use super::take::{Direct, From, Recorded, Take, TakeParts};
use super::tapping::Tapping;
use super::wake::{Passes, Wake};
use super::{PulseConfig, PulseSession, PulseStartError};

/// What is left of a stream in the engine is taken away so long after it must have been mixed.
const LINGER: Duration = Duration::from_millis(300);
/// Most streams that have ended and are not taken away yet.
const MOST_ENDING: usize = 128;
/// Streams that are taken away in one round, for a client may leave hundreds behind.
const CLOSED: usize = 32;
/// After which time the engine is asked again where it was too busy.
const TRY_AGAIN: Duration = Duration::from_millis(50);
/// From so many playing streams on, clients are asked less often, and their packets are gathered.
const CROWD: usize = 8;
/// From so many on the thread looks at them at every second pass alone, while nobody records.
const THRONG: usize = 24;
/// A device without sound goes idle after this time, the engine's default.
const AWAKE: Duration = Duration::from_secs(1);
/// How much recorded sound waits for the thread at most.
const RECORDED: Duration = Duration::from_millis(500);

/// The streams of all clients, on the engine's side.
pub(super) struct Streams<S> {
    config: PulseConfig,
    session: S,
    passes: Arc<Passes>,
    /// When the last pass was.
    passed_at: Instant,
    devices: Devices,
    memory: Memory,
    feeds: BTreeMap<PlaybackId, Feed>,
    takes: BTreeMap<RecordId, Take>,
    /// Streams that have ended, and when they may be taken away.
    ending: Vec<(Instant, StreamId)>,
    lead: Lead,
    room: Vec<u8>,
    /// Streams of which the engine would have taken more than their clients had sent; kept to save its memory.
    hungry: Vec<PlaybackId>,
    /// Streams of which something was given to the engine after the last pass.
    playing: usize,
    /// They are a throng.
    throng: bool,
}

/// The format of a device's mix as clients see it.
pub(super) fn mix_spec(rate: SampleRate) -> io::Result<Spec> {
    // Every rate of the engine's is one of the protocol's.
    Spec::new(SampleFormat::Float32Le, rate.get(), default_map(2)).ok_or_else(|| io::Error::other("no such rate"))
}

/// Why something is not done with a stream.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("its device is gone")]
    NoDevice,
}

impl<S: PulseSession> Streams<S> {
    pub(super) fn new(
        config: PulseConfig,
        session: S,
        server: &mut Server,
        wake: Arc<Wake>,
        now: Instant,
    ) -> Result<Self, PulseStartError> {
        let lead = Lead::new(config.period.to_duration(), now);
        let ranges = ranges(&lead, config.period);
        let mut devices = Devices::default();
        for device in &config.devices {
            devices.add(server, device.clone(), ranges)?;
        }
        let memory = Memory::load(config.memory.clone(), server);
        Ok(Self {
            config,
            session,
            passes: Arc::new(Passes::new(wake)),
            passed_at: Instant::ORIGIN,
            devices,
            memory,
            feeds: BTreeMap::new(),
            takes: BTreeMap::new(),
            ending: Vec::new(),
            lead,
            room: Vec::new(),
            hungry: Vec::new(),
            playing: 0,
            throng: false,
        })
    }

    /// A device that is there from now on.
    pub(super) fn plug(&mut self, server: &mut Server, device: PulseDevice) -> Result<(), PulseStartError> {
        self.devices.add(server, device, ranges(&self.lead, self.config.period))
    }

    /// A device is not there any more: its streams go to the default, or end. What the server tells then has to be done
    /// before [`Streams::forget`].
    pub(super) fn unplug(&self, server: &mut Server, flow: DataFlow, name: &CStr, now: Now) {
        self.devices.remove(server, flow, name, now);
    }

    /// Nothing is left of a device that was unplugged.
    pub(super) fn forget(&mut self, flow: DataFlow, name: &CStr) {
        self.devices.forget(flow, name, &mut self.session.engine(), &self.config);
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
                let moved = matches!(change, Change::Moved(_));
                if let Err(error) = self.change_feed(id, change, now) {
                    tracing::warn!(%error, "a change of an application's stream is lost");
                    // Its old device may be gone: nothing would ever take its sound.
                    if moved {
                        server.end_playback(id);
                    }
                }
            }
            Event::Record(id, change) => {
                if let Err(error) = self.change_take(id, change, now) {
                    tracing::warn!(%error, "a change of an application's recording is lost");
                    // It was taken down to be opened anew: nothing would ever come of it.
                    if !self.takes.contains_key(&id) {
                        server.end_record(id);
                    }
                }
            }
            Event::Readable(id) => {
                if let Some(feed) = self.feeds.get_mut(&id) {
                    feed.readable = true;
                }
                self.top_up(server, id, now);
            }
            Event::SinkLevel { sink, volume, muted } => {
                let device = self.devices.sink(sink).map(|side| side.device);
                self.device_level(device, balance::split(&volume).0, muted);
            }
            // A monitor's level is not the speakers'.
            Event::SourceLevel { source, volume, muted } => {
                let device = self.devices.source(source).map(|side| side.device);
                self.device_level(device, balance::split(&volume).0, muted);
            }
            Event::SinkSuspended(sink, suspended) => {
                self.devices.suspend_sink(sink, suspended);
                let on_it = self.feeds.iter().filter(|(_, feed)| feed.sink == sink);
                for id in on_it.map(|(id, _)| *id).collect::<Vec<_>>() {
                    self.pause_feed(server, id, now);
                }
            }
            Event::SourceSuspended(source, suspended) => {
                self.devices.suspend_source(source, suspended);
                for take in self.takes.values().filter(|take| take.parts.source == source) {
                    if let Err(error) = self.pause_take(take) {
                        tracing::warn!(%error, "a recording does not do what its source's state says");
                    }
                }
            }
            Event::Remember(key, value) => self.memory.remember(key, value, now.at),
            Event::Defaults { sink, source } => self.memory.defaults(sink, source, now.at),
            _ => {}
        }
    }

    /// A playback stream's sink was suspended or goes on.
    fn pause_feed(&mut self, server: &mut Server, id: PlaybackId, now: Now) {
        let Some(feed) = self.feeds.get_mut(&id) else { return };
        feed.begin();
        let paused = feed.corked || self.devices.is_sink_suspended(feed.sink);
        if let Err(error) = self.session.engine().set_paused(self.config.session, feed.stream, paused) {
            tracing::warn!(%error, "a stream does not do what its sink's state says");
        }
        self.top_up(server, id, now);
    }

    /// Lets a recording run or stand still, as its client and the state of its source say.
    fn pause_take(&self, take: &Take) -> Result<(), EngineError> {
        let paused = take.parts.corked || self.devices.is_source_suspended(take.parts.source);
        let stream = take.stream();
        stream.map_or(Ok(()), |stream| self.session.engine().set_paused(self.config.session, stream, paused))
    }

    fn device_level(&self, device: Option<DeviceId>, gain: Gain, muted: bool) {
        let Some(device) = device else { return };
        let mut engine = self.session.engine();
        let session = self.config.session;
        let done = engine.set_device_volume(session, device, gain);
        let done = done.and_then(|()| engine.set_device_muted(session, device, muted));
        if let Err(error) = done {
            tracing::warn!(%error, "a device's volume is not what clients were told");
        }
    }

    fn play(&mut self, stream: NewStream<PlaybackId, SinkId>) -> Result<(), Failed> {
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
        let (id, writer) = self.open_writer(parts.sink, &adapter, &parts.name, gain, (parts.muted, parts.corked))?;
        self.feeds.insert(stream.id, Feed::new(parts, id, writer, adapter));
        Ok(())
    }

    fn open_writer(
        &self,
        sink: SinkId,
        adapter: &Adapter,
        name: &str,
        volume: Gain,
        (muted, paused): (bool, bool),
    ) -> Result<(StreamId, StreamWriter), Failed> {
        let config = StreamConfig {
            volume,
            muted,
            paused,
            // Room for the longest lead, and not much more: the queue is a ring, so that all of it goes through the
            // processor's caches again and again, that of every stream.
            capacity: self.lead.longest() + self.config.period.to_duration(),
            notify: Some(self.passes.clone()),
            ..StreamConfig::new(name, adapter.format())
        };
        let config = StreamConfig { paused: config.paused || self.devices.is_sink_suspended(sink), ..config };
        let device = self.devices.sink(sink).map(|side| side.device).ok_or(Failed::NoDevice)?;
        Ok(self.session.engine().open_stream(self.config.session, device, config)?)
    }

    fn record(&mut self, stream: NewStream<RecordId, SourceId>) -> Result<(), Failed> {
        let parts = TakeParts {
            source: stream.device,
            spec: stream.spec,
            mixing: stream.mixing,
            volume: stream.volume,
            muted: stream.muted,
            corked: stream.corked,
            name: name_of(&stream.props),
            peak_detect: stream.peak_detect,
            direct_on: stream.direct_on,
            tapping: None,
        };
        let take = self.take(stream.id, parts)?;
        self.takes.insert(stream.id, take);
        Ok(())
    }

    /// Opens what a recording needs, from the device that it is on now.
    fn take(&mut self, id: RecordId, mut parts: TakeParts) -> Result<Take, Failed> {
        let (from, rate) = self.devices.recorded(parts.source).ok_or(Failed::NoDevice)?;
        let (adapter, format, meter) = parts.way(rate);
        let direct = parts.direct_on.and_then(|playback| self.feeds.get_mut(&playback));
        if direct.is_some() && meter.is_some() {
            return Ok(Take { parts, from: From::Level { adapter, since: None, owed: 0 } });
        }
        let mut gain = balance::split(&parts.volume).0;
        let device = if let Some(feed) = direct {
            let mut engine = self.session.engine();
            let (tapping, queue) = Tapping::of_stream(&mut engine, &self.config, feed.format())?;
            feed.directs.push(Direct { record: id, queue });
            gain = product(gain, feed);
            parts.tapping.insert(tapping).device
        } else {
            match from {
                Recording::Source(device) => device,
                Recording::Monitor(sink) => self.devices.monitored(sink, &mut self.session.engine(), &self.config)?,
            }
        };
        let (stream, reader) = self.open_reader(device, format, &parts, gain)?;
        Ok(Take { parts, from: From::Engine(Box::new(Recorded { stream, reader, adapter, meter })) })
    }

    /// Takes away what a recording has had.
    fn end_take(&mut self, id: RecordId, take: Take, now: Now) {
        if let Some(feed) = take.parts.direct_on.and_then(|playback| self.feeds.get_mut(&playback)) {
            feed.directs.retain(|direct| direct.record != id);
        }
        if let Some(tapping) = take.parts.tapping {
            tapping.end(&mut self.session.engine(), &self.config);
        } else if let Some(stream) = take.stream() {
            self.ending.push((now.at, stream));
        }
        let source = take.parts.source;
        let monitors = |take: &Take| take.parts.source == source && take.parts.tapping.is_none();
        if !self.takes.values().any(monitors) {
            self.devices.not_monitored(source, &mut self.session.engine(), &self.config);
        }
    }

    fn open_reader(
        &self,
        device: DeviceId,
        format: Format,
        parts: &TakeParts,
        volume: Gain,
    ) -> Result<(StreamId, StreamReader), Failed> {
        let config = StreamConfig {
            volume,
            muted: parts.muted,
            paused: parts.corked || self.devices.is_source_suspended(parts.source),
            capacity: RECORDED,
            notify: Some(self.passes.clone()),
            ..StreamConfig::new(parts.name.clone(), format)
        };
        Ok(self.session.engine().open_capture(self.config.session, device, config)?)
    }

    fn change_feed(&mut self, id: PlaybackId, change: Change<SinkId>, now: Now) -> Result<(), Failed> {
        let session = self.config.session;
        let Some(feed) = self.feeds.get_mut(&id) else { return Ok(()) };
        match change {
            Change::Corked(corked) => {
                feed.corked = corked;
                feed.readable = false;
                feed.begin();
                let paused = corked || self.devices.is_sink_suspended(feed.sink);
                Ok(self.session.engine().set_paused(session, feed.stream, paused)?)
            }
            Change::Level { volume, muted } => {
                (feed.volume, feed.muted) = (volume, muted);
                let gain = feed.level();
                let records: Vec<RecordId> = feed.directs.iter().map(|direct| direct.record).collect();
                let stream = feed.stream;
                let done = self.session.engine().set_stream_volume(session, stream, gain);
                done.and_then(|()| self.session.engine().set_stream_muted(session, stream, muted))?;
                records.into_iter().try_for_each(|record| self.level_take(record))
            }
            Change::Moved(sink) => {
                feed.sink = sink;
                self.reopen(id, now)
            }
            Change::Rate(rate) => {
                let Some(spec) = feed.spec.with_rate(rate) else { return Ok(()) };
                feed.spec = spec;
                self.reopen(id, now)
            }
            Change::Flushed => {
                feed.readable = false;
                let until = feed.flush();
                Ok(self.session.engine().flush(session, feed.stream, until)?)
            }
            Change::Latency(_) => Ok(()),
            Change::Gone => {
                if let Some(feed) = self.feeds.remove(&id) {
                    // A stopped one, or one that never began, has nothing more to say.
                    let wait = if feed.corked || feed.is_unused() { Duration::ZERO } else { LINGER };
                    let (stream, left) = feed.finish();
                    self.ends(now.at + left + wait, stream);
                }
                Ok(())
            }
        }
    }

    /// Gives a stream a new engine stream, of its present rate and on its present device.
    fn reopen(&mut self, id: PlaybackId, now: Now) -> Result<(), Failed> {
        let Some(feed) = self.feeds.get(&id) else { return Ok(()) };
        let mut adapter = Adapter::new(&feed.spec, feed.mixing, DEVICE);
        let (gain, shares) = balance::split(&feed.volume);
        adapter.set_shares(&shares);
        let (stream, writer) = self.open_writer(feed.sink, &adapter, &feed.name, gain, (feed.muted, feed.corked))?;
        let Some(feed) = self.feeds.get_mut(&id) else { return Ok(()) };
        let old = feed.replace(stream, writer, adapter);
        let records: Vec<RecordId> = feed.directs.iter().map(|direct| direct.record).collect();
        self.ends(now.at + self.lead.longest() * 3 + LINGER, old);
        records.into_iter().try_for_each(|record| self.retake(record, now, |_| ()))
    }

    fn change_take(&mut self, id: RecordId, change: Change<SourceId>, now: Now) -> Result<(), Failed> {
        let Some(take) = self.takes.get_mut(&id) else { return Ok(()) };
        match change {
            Change::Corked(corked) => {
                take.parts.corked = corked;
                let Some(take) = self.takes.get(&id) else { return Ok(()) };
                Ok(self.pause_take(take)?)
            }
            Change::Level { volume, muted } => {
                (take.parts.volume, take.parts.muted) = (volume, muted);
                self.level_take(id)
            }
            Change::Moved(source) => self.retake(id, now, |parts| parts.source = source),
            Change::Rate(rate) => match take.parts.spec.with_rate(rate) {
                Some(spec) => self.retake(id, now, |parts| parts.spec = spec),
                None => Ok(()),
            },
            Change::Flushed | Change::Latency(_) => Ok(()),
            Change::Gone => {
                if let Some(take) = self.takes.remove(&id) {
                    self.end_take(id, take, now);
                }
                Ok(())
            }
        }
    }

    /// A stream is taken away at that time; where a client makes and ends very many, the one that ended first is at once.
    fn ends(&mut self, at: Instant, stream: StreamId) {
        self.ending.push((at, stream));
        if self.ending.len() > MOST_ENDING
            && let Some((first, _)) = self.ending.iter_mut().find(|(at, _)| *at > Instant::ORIGIN)
        {
            *first = Instant::ORIGIN;
        }
    }

    /// Sets a recording's volume and mute: its own, and those of the stream that it records alone.
    fn level_take(&mut self, id: RecordId) -> Result<(), Failed> {
        let Some(take) = self.takes.get(&id) else { return Ok(()) };
        let mut gain = balance::split(&take.parts.volume).0;
        if let Some(feed) = take.parts.direct_on.and_then(|playback| self.feeds.get(&playback)) {
            gain = product(gain, feed);
        }
        let Some(stream) = take.stream() else { return Ok(()) };
        let mut engine = self.session.engine();
        engine.set_stream_volume(self.config.session, stream, gain)?;
        Ok(engine.set_stream_muted(self.config.session, stream, take.parts.muted)?)
    }

    /// Opens a recording anew after `change`.
    fn retake(&mut self, id: RecordId, now: Now, change: impl FnOnce(&mut TakeParts)) -> Result<(), Failed> {
        let Some(take) = self.takes.remove(&id) else { return Ok(()) };
        let mut parts = take.parts.again();
        change(&mut parts);
        self.end_take(id, take, now);
        let take = self.take(id, parts)?;
        self.takes.insert(id, take);
        Ok(())
    }

    /// Whether so many streams were played at the last pass that what each of them costs is worth a wait.
    pub(super) fn is_crowd(&self) -> bool {
        self.playing >= CROWD
    }

    /// Whether there are so many of them that they are looked at at every second pass.
    pub(super) fn is_throng(&self) -> bool {
        self.throng
    }

    /// Whether the engine would take more of a stream than its client has sent so far.
    pub(super) fn is_hungry(&self) -> bool {
        !self.hungry.is_empty()
    }

    /// Whether a pass has been since this was asked last.
    pub(super) fn has_passed(&self) -> bool {
        self.passes.take()
    }

    /// Whether a pass is of interest.
    pub(super) fn is_idle(&self) -> bool {
        self.feeds.is_empty() && self.takes.is_empty()
    }

    /// Passes from one look to the next.
    fn stride(&self) -> u32 {
        if self.throng { 2 } else { 1 }
    }

    /// In what time the next pass takes something of a stream that begins now.
    fn next_pass(&self, now: Now) -> Duration {
        let since = now.at.saturating_since(self.passed_at);
        // An idle device begins at once.
        if since >= AWAKE { Duration::ZERO } else { self.period() - remainder(since, self.period()) }
    }

    fn period(&self) -> Duration {
        self.config.period.to_duration()
    }

    /// How streams are topped up just now, for each sink.
    fn look(&mut self, now: Now) {
        let lead = self.lead.get() + self.period() * (self.stride() - 1);
        let (period, next_pass) = (self.period(), self.next_pass(now));
        let timing = Timing { lead, longest: self.lead.longest(), next_pass, period, ..Timing::default() };
        self.devices.look(timing, |device| self.session.behind_endpoint(device));
    }

    fn top_up(&mut self, server: &mut Server, id: PlaybackId, now: Now) {
        self.look(now);
        let Some(feed) = self.feeds.get_mut(&id) else { return };
        let Some(timing) = self.devices.timing(feed.sink) else { return };
        if feed.top_up(id, server, now, timing, &mut self.room).hungry {
            self.hungry.push(id);
        }
    }

    /// Clients have sent something: streams that the engine would have taken more of are looked at again.
    pub(super) fn after_input(&mut self, server: &mut Server, now: Now) {
        if self.hungry.is_empty() {
            return;
        }
        self.look(now);
        let Self { hungry, feeds, room, devices, .. } = self;
        hungry.retain(|id| {
            let Some(feed) = feeds.get_mut(id) else { return false };
            devices.timing(feed.sink).is_some_and(|timing| feed.top_up(*id, server, now, timing, room).hungry)
        });
    }

    /// A pass has taken what streams had, or brought what was recorded.
    pub(super) fn after_pass(&mut self, server: &mut Server, now: Now) {
        self.passed_at = now.at;
        self.look(now);
        let mut late = false;
        self.hungry.clear();
        self.playing = 0;
        for (id, feed) in &mut self.feeds {
            let Some(timing) = self.devices.timing(feed.sink) else { continue };
            let look = feed.top_up(*id, server, now, timing, &mut self.room);
            late |= look.late;
            self.devices.note(feed.sink, look.onward);
            self.playing += usize::from(look.given);
            if look.hungry {
                self.hungry.push(*id);
            }
        }
        for (id, take) in &mut self.takes {
            match take.parts.direct_on.filter(|_| take.stream().is_none()) {
                None => take.hand_over(*id, server, now, &mut self.room),
                Some(playback) => {
                    let suspended = self.devices.is_source_suspended(take.parts.source);
                    let Some(feed) = self.feeds.get(&playback).filter(|_| !suspended) else { continue };
                    let levels = feed.levels().peak;
                    take.hand_over_level(*id, server, now, &levels);
                }
            }
        }
        // Once it is one it remains so with some fewer, or the clients' buffers would change all the time.
        let least = if self.throng { THRONG / 4 * 3 } else { THRONG };
        self.throng = self.takes.is_empty() && self.playing >= least;
        let pace = self.period() * self.stride();
        server.set_pace(if self.is_crowd() { u64::try_from(pace.as_micros()).ok() } else { None });
        if self.lead.learn(late, now.at) {
            tracing::debug!(lead = ?self.lead.get(), late, "sound kept ahead for applications");
        }
    }

    /// A round of the thread's work took so long: with many streams that is a part of the period that must be kept ahead.
    pub(super) fn round_took(&mut self, now: Instant, took: Duration) {
        if !self.feeds.is_empty() && self.lead.needs(took, now) {
            tracing::debug!(lead = ?self.lead.get(), ?took, "sound kept ahead for applications");
        }
    }

    /// When [`Streams::handle_timeout`] wants to be called.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.ending.iter().map(|(at, _)| *at).chain(self.memory.next_timeout()).min()
    }

    /// Takes away what has ended.
    pub(super) fn handle_timeout(&mut self, _server: &mut Server, now: Now) {
        if self.next_timeout().is_none_or(|at| at > now.at) {
            return;
        }
        self.memory.handle_timeout(now.at);
        let mut engine = self.session.engine();
        let session = self.config.session;
        let mut closed = 0;
        self.ending.retain_mut(|(at, stream)| {
            if *at > now.at || closed >= CLOSED {
                return true;
            }
            closed += 1;
            let busy = matches!(engine.close_stream(session, *stream), Err(EngineError::Busy));
            *at = now.at + TRY_AGAIN;
            busy
        });
    }
}

/// `gain` behind what a playback stream has.
fn product(gain: Gain, feed: &Feed) -> Gain {
    let of_stream = if feed.muted { Gain::ZERO } else { balance::split(&feed.volume).0 };
    Gain::new(gain.get() * of_stream.get())
}

/// The latencies that clients may ask a sink and a source for. A sink's is what is kept ahead for streams; their own buffer
/// in the server need not be longer than a pass, since clients send while it lasts. For the same reason nothing is
/// negotiated anew where the lead changes.
fn ranges(lead: &Lead, period: Hns) -> (LatencyRange, LatencyRange) {
    let period = period.to_duration();
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let ahead = micros(lead.get());
    let sink = LatencyRange { min: ahead, max: ahead, takes: Some(micros(period)) };
    (sink, LatencyRange { min: micros(period / 2), max: micros(period), takes: None })
}

/// What is left of `time` after whole periods.
fn remainder(time: Duration, period: Duration) -> Duration {
    let rest = time.as_nanos() % period.as_nanos().max(1);
    Duration::from_nanos(u64::try_from(rest).unwrap_or(0))
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
