//! The engine and everyone who uses it: sessions, their devices, and what is attached to them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use soundpost_core::{Clock, Hns, SampleRate};
use soundpost_endpoint::{DataFlow, Endpoint, Event};
use soundpost_engine::{
    AttachConfig, ConnectionId, DeviceConfig, DeviceId, DeviceSnapshot, EndpointId, Engine, EngineConfig, EngineError,
    EngineEvent, EngineSnapshot, NextWake, SessionId, StreamConfig, StreamId, StreamWriter, Worker,
};
use soundpost_host::clock::MonotonicClock;
use soundpost_host::event::EventFd;
use soundpost_host::thread::{RtThreads, Work};
use soundpost_link::rdp::RdpAudioStats;
use tokio::sync::mpsc::UnboundedSender;

use super::exclusive::Uses;

/// A session of the daemon: one user's, with one device to play into and one to record from.
#[derive(Debug, Clone)]
pub(crate) struct HubSession {
    pub(crate) name: String,
    pub(crate) id: SessionId,
    pub(crate) device: DeviceId,
    /// Silent while no endpoint feeds it.
    pub(crate) microphone: DeviceId,
}

/// The engine's control side, shared by the connections, the control socket and the main task. The lock is held for
/// the length of a call and never by a real-time thread.
pub(crate) struct Hub {
    engine: Mutex<Engine>,
    clock: Arc<dyn Clock>,
    notify: Arc<EventFd>,
    sessions: Vec<HubSession>,
    listeners: Mutex<HashMap<EndpointId, (SessionId, Arc<Listener>)>>,
    /// Endpoints that are to be taken off, and could not be yet. Each is registered with the engine, which bounds them.
    leaving: Mutex<Vec<Leaving>>,
    /// Endpoints in exclusive use.
    uses: Uses,
    lead: u32,
    period: Hns,
    stopping: AtomicBool,
    /// A real-time thread has ended without being asked to.
    failed: Arc<AtomicBool>,
}

/// What the hub tells the main task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HubEvent {
    /// The first listener of a session has come.
    Listening(usize),
    /// The last frame of a stream has left for its listeners.
    Drained(StreamId),
    /// A real-time thread is gone: there will be no more sound.
    Failed,
}

/// An endpoint on its way off its device.
#[derive(Debug, Clone, Copy)]
struct Leaving {
    session: SessionId,
    endpoint: EndpointId,
    connection: ConnectionId,
}

/// How long it takes until an endpoint is tried again that the engine was too busy to let go.
pub(crate) const TRY_AGAIN: Duration = Duration::from_millis(50);

/// One listener, as the rest of the daemon sees it.
#[derive(Debug)]
pub(crate) struct Listener {
    stats: Mutex<Option<RdpAudioStats>>,
    finish: AtomicBool,
    drained: AtomicBool,
    wake: Arc<EventFd>,
}

impl Hub {
    /// Makes the engine with a session for each name, and starts its real-time threads and its upkeep.
    pub(crate) fn start(
        names: &[String],
        rate: SampleRate,
        period: Hns,
        lead: u32,
        events: UnboundedSender<HubEvent>,
    ) -> Result<(Arc<Self>, Running), HubError> {
        let event = || EventFd::new().map(Arc::new).map_err(HubError::Event);
        let (wake, notify) = (event()?, event()?);
        let clock: Arc<dyn Clock> = Arc::new(MonotonicClock);
        let config = EngineConfig {
            notify: Some(notify.clone()),
            costs: Some(clock.clone()),
            ..EngineConfig::new(vec![wake.clone()])
        };
        let (mut engine, workers) = Engine::new(config);
        let mut sessions = Vec::new();
        for name in names {
            let id = engine.open_session(name)?;
            let device =
                DeviceConfig { rate, period, ..DeviceConfig::new(format!("{name}'s speakers"), DataFlow::Render) };
            let device = engine.open_device(id, device)?;
            let microphone =
                DeviceConfig { period, ..DeviceConfig::new(format!("{name}'s microphone"), DataFlow::Capture) };
            let microphone = engine.open_device(id, microphone)?;
            sessions.push(HubSession { name: name.clone(), id, device, microphone });
        }
        let failed = Arc::new(AtomicBool::new(false));
        let alive = || Alive { failed: failed.clone(), notify: notify.clone() };
        let threads = RtThreads::start(workers.into_iter().map(|worker| (work(worker, alive()), wake.clone())))?;
        let hub = Arc::new(Self::new(engine, clock, notify, sessions, (lead, period), failed));
        let upkeep = {
            let hub = hub.clone();
            let thread = std::thread::Builder::new().name("soundpost-upkeep".into());
            thread.spawn(move || hub.upkeep(&events)).map_err(HubError::Event)?
        };
        Ok((hub.clone(), Running { hub, threads, upkeep }))
    }

    fn new(
        engine: Engine,
        clock: Arc<dyn Clock>,
        notify: Arc<EventFd>,
        sessions: Vec<HubSession>,
        (lead, period): (u32, Hns),
        failed: Arc<AtomicBool>,
    ) -> Self {
        let (listeners, leaving, stopping) = (Mutex::default(), Mutex::default(), AtomicBool::new(false));
        let uses = Uses::default();
        Self {
            engine: Mutex::new(engine),
            clock,
            notify,
            sessions,
            listeners,
            leaving,
            uses,
            lead,
            period,
            stopping,
            failed,
        }
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    /// What a player signals when it has ended: the upkeep has nothing to do then, but looks.
    pub(crate) fn player_changed(&self) -> Arc<dyn Event> {
        self.notify.clone()
    }

    pub(crate) fn sessions(&self) -> &[HubSession] {
        &self.sessions
    }

    /// Everything at one moment.
    pub(crate) fn snapshot(&self) -> EngineSnapshot {
        self.engine().snapshot()
    }

    /// A session's device at one moment, where it is (still) there.
    pub(crate) fn device(&self, session: &HubSession) -> Option<DeviceSnapshot> {
        self.engine().snapshot_of(session.id, session.device).ok()
    }

    /// Opens a stream into a session's device.
    pub(crate) fn open_stream(
        &self,
        session: &HubSession,
        config: StreamConfig,
    ) -> Result<(StreamId, StreamWriter), EngineError> {
        self.engine().open_stream(session.id, session.device, config)
    }

    /// Registers an endpoint and attaches it to a session's device on a connection of its own. It is detached and
    /// unregistered when the answer is dropped.
    pub(crate) fn attach(
        self: &Arc<Self>,
        session: &HubSession,
        name: &str,
        endpoint: Endpoint,
    ) -> Result<Attached, EngineError> {
        self.attach_to(session, session.device, name, endpoint)
    }

    /// Gives a session's microphone something to hear: this endpoint.
    pub(crate) fn attach_source(
        self: &Arc<Self>,
        session: &HubSession,
        name: &str,
        endpoint: Endpoint,
    ) -> Result<Attached, EngineError> {
        self.attach_to(session, session.microphone, name, endpoint)
    }

    /// Registers an endpoint and attaches it to one of a session's devices.
    pub(crate) fn attach_to(
        self: &Arc<Self>,
        session: &HubSession,
        device: DeviceId,
        name: &str,
        endpoint: Endpoint,
    ) -> Result<Attached, EngineError> {
        let mut engine = self.engine();
        let endpoint = engine.register(session.id, name, endpoint)?;
        let attach = AttachConfig { coefficient: self.lead, event_driven: false };
        let connected = engine.connect(session.id, device).and_then(|connection| {
            if let Err(error) = engine.attach(session.id, connection, endpoint, attach) {
                // Empty as it is, nothing but its id is lost if this fails too.
                let _ = engine.disconnect(session.id, connection);
                return Err(error);
            }
            Ok(connection)
        });
        match connected {
            Ok(connection) => {
                Ok(Attached { hub: self.clone(), place: Leaving { session: session.id, endpoint, connection } })
            }
            Err(error) => {
                // The endpoint did not come up; nothing else knows it, so nothing is lost if this fails too.
                let _ = engine.unregister(session.id, endpoint);
                Err(error)
            }
        }
    }

    /// Makes a listener known to the status display and to [`Hub::finish_listeners`].
    pub(crate) fn announce(&self, session: &HubSession, endpoint: EndpointId, listener: Arc<Listener>) {
        lock(&self.listeners).insert(endpoint, (session.id, listener));
    }

    /// How much later than their endpoints say the sound of a session is heard by those who listen to it, at most.
    ///
    /// A remote client is sent what a pass has mixed at once, and holds it itself: half a round trip and its own buffer
    /// later it sounds. The lead that its endpoint counts, but for the packet itself, lies within that.
    pub(crate) fn behind_endpoints(&self, session: &HubSession) -> Hns {
        let listeners = lock(&self.listeners);
        let of_session = listeners.values().filter(|(there, _)| *there == session.id);
        let behind = of_session.filter_map(|(_, listener)| {
            let stats = (*lock(&listener.stats))?;
            Some(Hns::from(stats.client_latency? + stats.round_trip.unwrap_or_default() / 2))
        });
        let counted = self.period.saturating_mul(self.lead.saturating_sub(1));
        behind.max().map_or(Hns::ZERO, |behind| Hns::new(behind.get() - counted.get()))
    }

    /// What the pump of a listener knows, where the endpoint is one.
    pub(crate) fn listener_stats(&self, endpoint: EndpointId) -> Option<RdpAudioStats> {
        lock(&self.listeners).get(&endpoint).and_then(|(_, listener)| *lock(&listener.stats))
    }

    /// Asks all listeners to send what they have, and says afterwards whether all have been heard.
    pub(crate) fn finish_listeners(&self) -> bool {
        let mut all = true;
        for (_, listener) in lock(&self.listeners).values() {
            listener.finish.store(true, Ordering::Release);
            listener.wake.signal();
            all &= listener.drained.load(Ordering::Acquire);
        }
        all
    }

    /// Which endpoints are in exclusive use.
    pub(crate) fn uses(&self) -> &Uses {
        &self.uses
    }

    /// Periods of sound that an endpoint keeps ahead.
    pub(crate) fn lead(&self) -> u32 {
        self.lead
    }

    /// The engine's control side. Held for the length of a call.
    pub(crate) fn engine(&self) -> MutexGuard<'_, Engine> {
        lock(&self.engine)
    }

    /// One round of the upkeep.
    fn maintain(&self, events: &UnboundedSender<HubEvent>) {
        let mut engine = self.engine();
        engine.maintain();
        lock(&self.leaving).retain(|leaving| !take_off(&mut engine, leaving));
        while let Some(event) = engine.poll_event() {
            report(&event);
            if let EngineEvent::StreamDrained { stream, .. } = event {
                // Nobody listens any more when the daemon is ending.
                let _ = events.send(HubEvent::Drained(stream));
            }
        }
    }

    /// Frees what the real-time side has given back and reports what it told, whenever it says so.
    fn upkeep(&self, events: &UnboundedSender<HubEvent>) {
        loop {
            let waiting = !lock(&self.leaving).is_empty();
            self.notify.wait(waiting.then_some(TRY_AGAIN));
            self.maintain(events);
            if self.stopping.load(Ordering::Acquire) {
                return;
            }
            if self.failed.load(Ordering::Acquire) {
                let _ = events.send(HubEvent::Failed);
            }
        }
    }
}

/// Takes an endpoint off its connection and out of the registry. Answers whether that is settled, for good or bad.
fn take_off(engine: &mut Engine, leaving: &Leaving) -> bool {
    let &Leaving { session, endpoint, connection } = leaving;
    let disconnected = match engine.disconnect(session, connection) {
        // Already done, at an earlier try.
        Err(EngineError::UnknownConnection(_)) => Ok(()),
        other => other,
    };
    match disconnected.and_then(|()| engine.unregister(session, endpoint)) {
        Ok(()) => true,
        Err(EngineError::Busy) => false,
        Err(error) => {
            tracing::warn!(%error, %endpoint, "an endpoint could not be taken off");
            true
        }
    }
}

fn report(event: &EngineEvent) {
    match event {
        EngineEvent::EndpointFaulted { name, fault, .. } => {
            tracing::error!(endpoint = name, requirement = %fault.requirement(), %fault, "endpoint detached for a fault");
        }
        EngineEvent::DeviceActive { device, active, .. } => tracing::debug!(%device, active, "device"),
        other => tracing::debug!(event = ?other, "engine"),
    }
}

/// What a real-time thread does.
fn work(mut worker: Worker, alive: Alive) -> Work {
    Box::new(move |now| {
        let _ = &alive;
        match worker.run_pass(now) {
            NextWake::At(then) => Some(then),
            NextWake::Idle => None,
        }
    })
}

/// Goes with a real-time thread's work, and tells when that is gone.
struct Alive {
    failed: Arc<AtomicBool>,
    notify: Arc<EventFd>,
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.failed.store(true, Ordering::Release);
        self.notify.signal();
    }
}

/// A panic while the lock was held leaves the engine as consistent as the failed call did; sound goes on.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The threads behind a hub.
pub(crate) struct Running {
    hub: Arc<Hub>,
    threads: RtThreads,
    upkeep: std::thread::JoinHandle<()>,
}

impl Running {
    /// Ends the threads. Waits for a second at most.
    pub(crate) fn stop(self) {
        // Before the threads end, so that their ending is not taken for a failure.
        self.hub.stopping.store(true, Ordering::Release);
        if let Err(error) = self.threads.stop(Duration::from_secs(1)) {
            tracing::error!(%error, "real-time threads");
        }
        self.hub.notify.signal();
        if self.upkeep.join().is_err() {
            tracing::error!("the upkeep thread panicked");
        }
    }
}

/// An endpoint's place at a device. Dropping it takes the endpoint off, now or as soon as the engine can.
pub(crate) struct Attached {
    hub: Arc<Hub>,
    place: Leaving,
}

impl Attached {
    pub(crate) fn endpoint(&self) -> EndpointId {
        self.place.endpoint
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        lock(&self.hub.listeners).remove(&self.place.endpoint);
        self.hub.uses.forget(self.place.endpoint);
        let gone = take_off(&mut self.hub.engine(), &self.place);
        if !gone {
            tracing::debug!(endpoint = %self.place.endpoint, "the engine is busy: the endpoint goes a little later");
            lock(&self.hub.leaving).push(self.place);
            self.hub.notify.signal();
        }
    }
}

impl Listener {
    pub(crate) fn new(wake: Arc<EventFd>) -> Self {
        Self { stats: Mutex::default(), finish: AtomicBool::new(false), drained: AtomicBool::new(false), wake }
    }

    /// Whether the listener has been asked to come to an end.
    pub(crate) fn is_asked_to_finish(&self) -> bool {
        self.finish.load(Ordering::Acquire)
    }

    /// Notes how the listener is doing.
    pub(crate) fn note(&self, stats: RdpAudioStats, drained: bool) {
        *lock(&self.stats) = Some(stats);
        self.drained.store(drained, Ordering::Release);
    }
}

/// Why the engine does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HubError {
    #[error("the system gives no more threads or events: {0}; close something or raise its limits")]
    Event(std::io::Error),
    #[error(transparent)]
    Threads(#[from] soundpost_host::thread::StartError),
    #[error(transparent)]
    Engine(#[from] EngineError),
}

#[cfg(test)]
pub(crate) mod tests {
    use soundpost_core::{ChannelLayout, Format, Gain, Instant, SampleFormat};
    use soundpost_endpoint::stock::{StockConfig, null_render};

    use super::*;

    /// A hub whose worker runs when the test says so.
    pub(crate) fn hub() -> (Arc<Hub>, Worker) {
        let event = || Arc::new(EventFd::new().unwrap());
        let (wake, notify) = (event(), event());
        let config = EngineConfig { notify: Some(notify.clone()), ..EngineConfig::new(vec![wake]) };
        let (mut engine, mut workers) = Engine::new(config);
        let id = engine.open_session("anna").unwrap();
        let device = engine.open_device(id, DeviceConfig::new("speakers", DataFlow::Render)).unwrap();
        let microphone = engine.open_device(id, DeviceConfig::new("microphone", DataFlow::Capture)).unwrap();
        let sessions = vec![HubSession { name: "anna".into(), id, device, microphone }];
        let clock: Arc<dyn Clock> = Arc::new(MonotonicClock);
        (
            Arc::new(Hub::new(engine, clock, notify, sessions, (2, Hns::from_millis(10)), Arc::default())),
            workers.remove(0),
        )
    }

    fn endpoint(hub: &Hub) -> Endpoint {
        let format = Format { sample: SampleFormat::S16, rate: SampleRate::HZ_48000, layout: ChannelLayout::STEREO };
        null_render(&StockConfig::new(format), hub.clock()).endpoint
    }

    /// Fills the queue of commands up to its end.
    pub(crate) fn fill(hub: &Hub) {
        let session = &hub.sessions[0];
        let set = || hub.engine().set_device_volume(session.id, session.device, Gain::UNITY);
        while set().is_ok() {}
        assert!(matches!(set(), Err(EngineError::Busy)));
    }

    #[test]
    fn r4_an_endpoint_that_a_busy_engine_keeps_goes_later() {
        let (hub, mut worker) = hub();
        let (events, _inbox) = tokio::sync::mpsc::unbounded_channel();
        let session = hub.sessions[0].clone();
        let attached = hub.attach(&session, "listener", endpoint(&hub)).unwrap();
        worker.run_pass(Instant::ORIGIN);
        fill(&hub);
        drop(attached);
        assert_eq!(hub.snapshot().sessions[0].endpoints.len(), 1, "the queue is full: it is still there");
        worker.run_pass(Instant::ORIGIN);
        hub.maintain(&events);
        worker.run_pass(Instant::ORIGIN);
        hub.maintain(&events);
        let session = &hub.snapshot().sessions[0];
        assert!(session.endpoints.is_empty(), "{:?}", session.endpoints);
        assert!(session.devices[0].connections.is_empty());
        assert!(lock(&hub.leaving).is_empty());
    }
}
