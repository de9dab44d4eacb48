//! The control side: what exists, and where.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};

use soundpost_core::{Format, Gain, Hns};
use soundpost_endpoint::{ControlHalf, DataFlow, Endpoint, EndpointError, Fault, RtHalf};
use soundpost_queue::commands::{CommandSender, channel};
use soundpost_rt::guard::Panicked;
use soundpost_rt::stats;

use crate::command::{Command, Report};
use crate::guarded::Guarded;
use crate::{
    ConnectionId, DeviceConfig, DeviceId, EndpointId, EngineConfig, EngineError, EngineEvent, Interfaces, SessionId,
    StreamId, StreamState, Worker,
};

/// The audio engine's control side. Never on a real-time thread.
///
/// No call waits for a real-time thread: what has to happen there is sent as a command and happens at the worker's
/// next pass.
pub struct Engine {
    pub(crate) config: EngineConfig,
    pub(crate) workers: Vec<CommandSender<Command, Report>>,
    /// Places in each worker's list of devices.
    pub(crate) places: Vec<Places>,
    pub(crate) sessions: BTreeMap<SessionId, Session>,
    pub(crate) endpoints: BTreeMap<EndpointId, Registered>,
    pub(crate) events: VecDeque<EngineEvent>,
    ids: u64,
}

pub(crate) struct Session {
    pub(crate) name: String,
    pub(crate) worker: usize,
    pub(crate) devices: BTreeMap<DeviceId, Device>,
}

pub(crate) struct Device {
    pub(crate) config: DeviceConfig,
    pub(crate) volume: Gain,
    pub(crate) muted: bool,
    pub(crate) active: bool,
    pub(crate) stats: stats::DeviceReader,
    pub(crate) streams: BTreeMap<StreamId, Stream>,
    pub(crate) stream_places: Places,
    pub(crate) connections: BTreeMap<ConnectionId, Connection>,
    pub(crate) connection_places: Places,
}

pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) format: Format,
    pub(crate) volume: Gain,
    pub(crate) muted: bool,
    pub(crate) state: StreamState,
    pub(crate) stats: stats::StreamReader,
}

#[derive(Default)]
pub(crate) struct Connection {
    pub(crate) endpoint: Option<EndpointId>,
    pub(crate) event_driven: bool,
    /// The endpoint applies the device's volume and mute (X1).
    pub(crate) applies_volume: bool,
    pub(crate) stats: Option<stats::ConnectionReader>,
}

/// A registered endpoint.
pub(crate) struct Registered {
    pub(crate) id: EndpointId,
    pub(crate) session: SessionId,
    pub(crate) name: String,
    pub(crate) flow: DataFlow,
    pub(crate) format: Format,
    pub(crate) latency: Option<Hns>,
    pub(crate) interfaces: Interfaces,
    /// A method that has panicked when it was only looked at: the endpoint is to be detached and not called again.
    pub(crate) panicked: Cell<Option<&'static str>>,
    pub(crate) control: Guarded<Box<dyn ControlHalf>>,
    pub(crate) place: HalfPlace,
    /// To be dropped when its real-time half has come back.
    pub(crate) leaving: bool,
}

/// Where an endpoint's real-time half is.
pub(crate) enum HalfPlace {
    Here(Guarded<RtHalf>),
    On(ConnectionId),
    /// Nowhere: the endpoint broke the contract, or its control half panicked.
    Faulty(Fault),
    /// With a client that uses the endpoint exclusively (D5), and its control half too.
    Lent,
}

/// Counts the places in a list on the real-time side, which the control side has to lengthen.
#[derive(Clone, Copy, Default)]
pub(crate) struct Places {
    used: usize,
    there: usize,
}

impl Places {
    /// Takes one place; returns a longer list to send along where the present one is full.
    pub(crate) fn take<T>(&mut self) -> Option<Vec<T>> {
        self.used += 1;
        if self.used <= self.there {
            return None;
        }
        self.there = (self.used * 2).max(4);
        Some(Vec::with_capacity(self.there))
    }

    /// One is removed. Commands keep their order, so its place is free before a later one needs it.
    pub(crate) fn free(&mut self) {
        self.used = self.used.saturating_sub(1);
    }
}

/// Commands that may wait for a worker, and reports for the engine.
const QUEUE: usize = 4_096;

impl Engine {
    /// An engine without sessions, and a worker for each real-time thread that `config.wake` has an event for. With
    /// no event there is no worker, and no session can be made.
    #[must_use]
    pub fn new(config: EngineConfig) -> (Self, Vec<Worker>) {
        let (mut workers, mut senders) = (Vec::new(), Vec::new());
        for _ in &config.wake {
            let (sender, receiver) = channel(QUEUE);
            workers.push(Worker::new(receiver, &config));
            senders.push(sender);
        }
        let engine = Self {
            places: vec![Places::default(); senders.len()],
            config,
            workers: senders,
            sessions: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            events: VecDeque::new(),
            ids: 0,
        };
        (engine, workers)
    }

    /// Opens a session on the worker that has the fewest.
    ///
    /// # Errors
    /// [`EngineError::Busy`] when the engine was made without a worker.
    pub fn open_session(&mut self, name: impl Into<String>) -> Result<SessionId, EngineError> {
        let mut loads = vec![0_u32; self.workers.len()];
        for session in self.sessions.values() {
            if let Some(load) = loads.get_mut(session.worker) {
                *load += 1;
            }
        }
        let worker = (0..).zip(loads).min_by_key(|(_, load)| *load).ok_or(EngineError::Busy)?.0;
        let id = SessionId::new(self.next_id());
        self.sessions.insert(id, Session { name: name.into(), worker, devices: BTreeMap::new() });
        Ok(id)
    }

    /// Which worker runs a session's passes: its place among those that [`Engine::new`] has made.
    ///
    /// # Errors
    /// [`EngineError::UnknownSession`].
    pub fn worker_of(&self, session: SessionId) -> Result<usize, EngineError> {
        self.sessions.get(&session).map(|found| found.worker).ok_or(EngineError::UnknownSession(session))
    }

    /// Closes a session with all its devices and streams, and unregisters its endpoints.
    ///
    /// # Errors
    /// [`EngineError::UnknownSession`], [`EngineError::Busy`].
    pub fn close_session(&mut self, session: SessionId) -> Result<(), EngineError> {
        let devices: Vec<_> = self.session(session)?.devices.keys().copied().collect();
        for device in devices {
            self.close_device(session, device)?;
        }
        self.sessions.remove(&session);
        self.endpoints.retain(|_, endpoint| {
            endpoint.leaving |= endpoint.session == session;
            !endpoint.leaving || matches!(endpoint.place, HalfPlace::On(_))
        });
        Ok(())
    }

    /// Registers an endpoint with a session (R2, R3). Nothing of it is called yet but its format, and what says which of
    /// the header's further interfaces it offers (X1).
    ///
    /// # Errors
    /// [`EngineError::UnknownSession`]; [`EngineError::EndpointPanicked`]; [`EngineError::Breach`] of X1 where a further
    /// interface has not as many channels as the format. The endpoint is dropped then.
    pub fn register(
        &mut self,
        session: SessionId,
        name: impl Into<String>,
        endpoint: Endpoint,
    ) -> Result<EndpointId, EngineError> {
        self.session(session)?;
        let id = EndpointId::new(self.next_id());
        let flow = endpoint.flow();
        let Endpoint { control, realtime } = endpoint;
        let mut control = Guarded::new(control, &self.config.guard);
        let place = HalfPlace::Here(Guarded::new(realtime, &self.config.guard));
        let call = "frame_format";
        let format = control.call(|control| control.frame_format());
        let format = format.map_err(|Panicked| EngineError::EndpointPanicked { endpoint: id, call })?;
        let mut registered = Registered {
            id,
            session,
            name: name.into(),
            flow,
            format,
            latency: None,
            interfaces: Interfaces::default(),
            panicked: Cell::new(None),
            control,
            place,
            leaving: false,
        };
        registered.find_interfaces()?;
        self.endpoints.insert(id, registered);
        Ok(id)
    }

    /// Unregisters an endpoint. If it is attached it is detached first, alone (R4), and dropped when its real-time
    /// half has come back; its id is unknown from now on.
    ///
    /// # Errors
    /// [`EngineError::UnknownSession`], [`EngineError::UnknownEndpoint`], [`EngineError::Busy`];
    /// [`EngineError::EndpointPanicked`] where it was not attached and panicked as it was dropped: it is gone then, too.
    pub fn unregister(&mut self, session: SessionId, endpoint: EndpointId) -> Result<(), EngineError> {
        self.session(session)?;
        if let HalfPlace::On(connection) = self.endpoint(session, endpoint)?.place {
            // Where the connection is gone, or holds another one by now, the half is on its way back already.
            if let Some(device) = self.device_of(session, connection)
                && self.device(session, device)?.connections.get(&connection).and_then(|there| there.endpoint)
                    == Some(endpoint)
            {
                self.detach_from(session, device, connection)?;
            }
            self.endpoint(session, endpoint)?.leaving = true;
        } else if let Some(registered) = self.endpoints.remove(&endpoint) {
            registered.end()?;
        }
        Ok(())
    }

    /// The next thing that happened, in order.
    pub fn poll_event(&mut self) -> Option<EngineEvent> {
        self.events.pop_front()
    }

    pub(crate) fn next_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    pub(crate) fn session(&mut self, id: SessionId) -> Result<&mut Session, EngineError> {
        self.sessions.get_mut(&id).ok_or(EngineError::UnknownSession(id))
    }

    pub(crate) fn device(&mut self, session: SessionId, id: DeviceId) -> Result<&mut Device, EngineError> {
        self.session(session)?.devices.get_mut(&id).ok_or(EngineError::UnknownDevice(id))
    }

    pub(crate) fn endpoint(&mut self, session: SessionId, id: EndpointId) -> Result<&mut Registered, EngineError> {
        let found = self.endpoints.get_mut(&id).filter(|endpoint| endpoint.session == session && !endpoint.leaving);
        found.ok_or(EngineError::UnknownEndpoint(id))
    }

    /// The device that a connection of a session belongs to.
    pub(crate) fn device_of(&self, session: SessionId, connection: ConnectionId) -> Option<DeviceId> {
        let devices = &self.sessions.get(&session)?.devices;
        devices.iter().find(|(_, device)| device.connections.contains_key(&connection)).map(|(id, _)| *id)
    }

    /// Whether a session's worker takes a command: asked before anything is changed for one.
    pub(crate) fn ready(&mut self, session: SessionId) -> Result<(), EngineError> {
        let worker = self.session(session)?.worker;
        match self.workers.get(worker) {
            Some(sender) if sender.room() > 0 && !sender.is_peer_gone() => Ok(()),
            _ => Err(EngineError::Busy),
        }
    }

    /// Sends a command after [`Engine::ready`] and wakes the worker. What is not taken comes back.
    pub(crate) fn send(&mut self, session: SessionId, command: Command) -> Result<(), Box<Command>> {
        let Some(worker) = self.sessions.get(&session).map(|session| session.worker) else {
            return Err(Box::new(command));
        };
        let Some(sender) = self.workers.get_mut(worker) else { return Err(Box::new(command)) };
        let sent = sender.send(command).map_err(|error| match error {
            soundpost_queue::commands::SendError::Full(command)
            | soundpost_queue::commands::SendError::PeerGone(command) => Box::new(command),
        });
        if let Some(wake) = self.config.wake.get(worker) {
            wake.signal();
        }
        sent
    }
}

impl Registered {
    /// Calls a method of the control half that cannot fail. One that panics makes the endpoint faulty.
    pub(crate) fn ask<T>(
        &mut self,
        call: &'static str,
        method: impl FnOnce(&mut dyn ControlHalf) -> T,
    ) -> Result<T, EngineError> {
        self.control.call(|control| method(control.as_mut())).map_err(|Panicked| {
            self.panicked.set(Some(call));
            if !matches!(self.place, HalfPlace::On(_)) {
                self.place = HalfPlace::Faulty(Fault::Panicked { call });
            }
            EngineError::EndpointPanicked { endpoint: self.id, call }
        })
    }

    /// Calls a method of the control half that may refuse.
    pub(crate) fn demand<T>(
        &mut self,
        call: &'static str,
        method: impl FnOnce(&mut dyn ControlHalf) -> Result<T, EndpointError>,
    ) -> Result<T, EngineError> {
        self.ask(call, method)?.map_err(|error| EngineError::Endpoint { call, error })
    }

    /// Drops the endpoint.
    fn end(self) -> Result<(), EngineError> {
        let Self { id, control, place, .. } = self;
        let control = control.end();
        let half = if let HalfPlace::Here(half) = place { half.end() } else { Ok(()) };
        control.and(half).map_err(|Panicked| EngineError::EndpointPanicked { endpoint: id, call: "drop" })
    }
}
