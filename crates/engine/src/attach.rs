//! Connections, and endpoints on them.

use std::sync::Arc;

use soundpost_core::{Format, FrameCount, Gain, Hns};
use soundpost_endpoint::{CapturePort, DataFlow, Fault, RenderPort, Requirement, RtHalf, StreamFlags};
use soundpost_queue::frames;
use soundpost_rt::capture::{CaptureConnection, CaptureConnectionParts};
use soundpost_rt::path::Place;
use soundpost_rt::render::{RenderConnection, RenderConnectionParts};
use soundpost_rt::scratch::Scratch;
use soundpost_rt::stats;

use crate::command::{CaptureLink, Command, Drive, NewConnection, RenderLink};
use crate::engine::{Connection, HalfPlace, Registered};
use crate::guarded::Guarded;
use crate::stream::{path, place};
use crate::{AttachConfig, ConnectionId, DeviceConfig, DeviceId, EndpointId, Engine, EngineError, SessionId};

/// What SetBuffer has settled.
#[derive(Clone, Copy)]
struct Settled {
    format: Format,
    packet: FrameCount,
    buffer: FrameCount,
    latency: Hns,
    /// The endpoint applies the device's volume and mute (X1).
    applies_volume: bool,
}

impl Engine {
    /// Makes a connection, without an endpoint yet (R1). A render device has any number, a capture device one.
    ///
    /// # Errors
    /// [`EngineError::UnknownSession`], [`EngineError::UnknownDevice`], [`EngineError::DeviceFed`].
    pub fn connect(&mut self, session: SessionId, device: DeviceId) -> Result<ConnectionId, EngineError> {
        let found = self.device(session, device)?;
        if found.config.flow == DataFlow::Capture && !found.connections.is_empty() {
            return Err(EngineError::DeviceFed(device));
        }
        let id = ConnectionId::new(self.next_id());
        self.device(session, device)?.connections.insert(id, Connection::default());
        Ok(id)
    }

    /// Removes a connection; an endpoint on it is detached and stays registered.
    ///
    /// # Errors
    /// [`EngineError::UnknownSession`], [`EngineError::UnknownConnection`], [`EngineError::Busy`].
    pub fn disconnect(&mut self, session: SessionId, connection: ConnectionId) -> Result<(), EngineError> {
        let device = self.known_connection(session, connection)?;
        self.detach_from(session, device, connection)?;
        self.device(session, device)?.connections.remove(&connection);
        Ok(())
    }

    /// Attaches a registered endpoint to a connection (R1, R2), initialises and starts it. In the order of D4:
    /// capability, stream flags, SetBuffer, event, Start. An endpoint's own volume and mute (X1) are set just before Start:
    /// to the device's where it is the device's only endpoint and applies them, else to unity.
    ///
    /// # Errors
    /// Ids that are unknown in the session; [`EngineError::ConnectionTaken`], and the connection keeps what it has;
    /// [`EngineError::EndpointTaken`]; [`EngineError::EndpointFaulty`]; [`EngineError::WrongFlow`];
    /// [`EngineError::Endpoint`] or [`EngineError::Breach`] where the endpoint does not come up: it stays registered
    /// and stopped; [`EngineError::EndpointPanicked`], and it is faulty from now on; [`EngineError::Busy`].
    pub fn attach(
        &mut self,
        session: SessionId,
        connection: ConnectionId,
        endpoint: EndpointId,
        config: AttachConfig,
    ) -> Result<(), EngineError> {
        let device_id = self.known_connection(session, connection)?;
        let device = self.device(session, device_id)?;
        let (device_config, driven) =
            (device.config.clone(), device.connections.values().any(|connection| connection.event_driven));
        let alone = device_config.flow == DataFlow::Render
            && device.connections.values().all(|connection| connection.endpoint.is_none());
        let volume = (device.volume, device.muted);
        if let Some(Connection { endpoint: Some(endpoint), .. }) = device.connections.get(&connection) {
            return Err(EngineError::ConnectionTaken { connection, endpoint: *endpoint });
        }
        self.ready(session)?;
        let wake = self.wake_of(session)?;
        let registered = self.endpoint(session, endpoint)?;
        match registered.place {
            HalfPlace::Here(_) => {}
            HalfPlace::On(_) | HalfPlace::Lent => return Err(EngineError::EndpointTaken(endpoint)),
            HalfPlace::Faulty(fault) => return Err(EngineError::EndpointFaulty { endpoint, fault }),
        }
        if registered.flow != device_config.flow {
            return Err(EngineError::WrongFlow { expected: device_config.flow, got: registered.flow });
        }
        let wants_to_drive = config.event_driven && !driven;
        let applies_volume = alone && registered.interfaces.volume;
        let volume = if applies_volume { volume } else { (Gain::UNITY, false) };
        let (settled, drive) =
            registered.bring_up(device_config.period, config.coefficient, wants_to_drive, wake, volume)?;
        let event_driven = drive.is_some();
        let settled = Settled { applies_volume, ..settled };
        let reader = match self.send_half(session, device_id, connection, endpoint, (&device_config, settled, drive)) {
            Ok(reader) => reader,
            Err(error) => {
                // The first error is the one to tell; one in here makes the endpoint faulty.
                let _ = self.endpoint(session, endpoint)?.bring_down();
                return Err(error);
            }
        };
        let registered = self.endpoint(session, endpoint)?;
        registered.latency = Some(settled.latency);
        if let Some(found) = self.device(session, device_id)?.connections.get_mut(&connection) {
            *found = Connection { endpoint: Some(endpoint), event_driven, applies_volume, stats: Some(reader) };
        }
        Ok(())
    }

    /// Takes the endpoint off a connection, which stays (R4). When its real-time half has come back, the endpoint is
    /// stopped and reset, and [`crate::EngineEvent::EndpointDetached`] comes. Nothing happens on an empty connection.
    ///
    /// # Errors
    /// [`EngineError::UnknownSession`], [`EngineError::UnknownConnection`], [`EngineError::Busy`].
    pub fn detach(&mut self, session: SessionId, connection: ConnectionId) -> Result<(), EngineError> {
        let device = self.known_connection(session, connection)?;
        self.detach_from(session, device, connection)
    }

    pub(crate) fn detach_from(
        &mut self,
        session: SessionId,
        device: DeviceId,
        connection: ConnectionId,
    ) -> Result<(), EngineError> {
        let found = self.device(session, device)?.connections.get(&connection);
        if found.is_none_or(|connection| connection.endpoint.is_none()) {
            return Ok(());
        }
        self.ready(session)?;
        self.send(session, Command::RemoveConnection { device, connection }).map_err(|_| EngineError::Busy)?;
        let device = self.device(session, device)?;
        device.connection_places.free();
        device.connections.insert(connection, Connection::default());
        Ok(())
    }

    fn known_connection(&mut self, session: SessionId, connection: ConnectionId) -> Result<DeviceId, EngineError> {
        self.session(session)?;
        self.device_of(session, connection).ok_or(EngineError::UnknownConnection(connection))
    }

    /// Makes the real-time side of a connection and sends it to the worker.
    fn send_half(
        &mut self,
        session: SessionId,
        device: DeviceId,
        connection: ConnectionId,
        endpoint: EndpointId,
        (config, settled, drive): (&DeviceConfig, Settled, Option<Arc<Drive>>),
    ) -> Result<stats::ConnectionReader, EngineError> {
        let (bus, there) = (place(config), Place { rate: settled.format.rate, layout: settled.format.layout });
        let packet = config.rate.frames_covering(config.period);
        let (publisher, reader) = stats::connection_stats();
        // Whatever can fail comes before the half is taken out of the registry.
        let (path, waiting) = match config.flow {
            DataFlow::Render => {
                let largest = Scratch::largest_block(there.rate, bus.rate, packet);
                let capacity = largest.max(settled.packet).get().saturating_mul(6);
                (path(bus, there, packet)?, frames::queue(FrameCount::new(capacity), there.width()))
            }
            DataFlow::Capture => {
                let stall = config.rate.frames_covering(Hns::from_millis(200));
                let capacity = stall.saturating_add(FrameCount::new(packet.get().saturating_mul(8)));
                (path(there, bus, settled.packet)?, frames::queue(capacity, bus.width()))
            }
        };
        let registered = self.endpoint(session, endpoint)?;
        let last_buffer = registered.interfaces.last_buffer;
        let place = std::mem::replace(&mut registered.place, HalfPlace::On(connection));
        let Settled { format, packet: most, buffer, applies_volume, .. } = settled;
        let half = match place {
            HalfPlace::Here(half) => half.into_inner(),
            elsewhere => {
                registered.place = elsewhere;
                None
            }
        };
        let link = match half {
            Some(RtHalf::Render(half)) => {
                let port = RenderPort::new(half, format, most, buffer);
                let parts = RenderConnectionParts { port, path, waiting, last_buffer, applies_volume, publisher };
                let rt = RenderConnection::new(parts);
                let room = self.device(session, device)?.connection_places.take();
                NewConnection::Render(Box::new(RenderLink { id: connection, endpoint, drive, connection: rt }), room)
            }
            Some(RtHalf::Capture(half)) => {
                let port = CapturePort::new(half, format, most, buffer);
                let parts = CaptureConnectionParts { port, path, waiting, packet, publisher };
                let rt = CaptureConnection::new(parts);
                NewConnection::Capture(Box::new(CaptureLink { id: connection, endpoint, drive, connection: rt }))
            }
            None => return Err(EngineError::EndpointTaken(endpoint)),
        };
        let Err(command) = self.send(session, Command::AddConnection { device, connection: link }) else {
            return Ok(reader);
        };
        if let Command::AddConnection { connection: link, .. } = *command {
            let (half, _) = match link {
                NewConnection::Render(link, _) => link.into_half(),
                NewConnection::Capture(link) => link.into_half(),
            };
            let half = Guarded::new(half, &self.config.guard);
            self.endpoint(session, endpoint)?.place = HalfPlace::Here(half);
            self.device(session, device)?.connection_places.free();
        }
        Err(EngineError::Busy)
    }
}

impl Registered {
    /// Initialises and starts the endpoint.
    fn bring_up(
        &mut self,
        period: Hns,
        coefficient: u32,
        wants_to_drive: bool,
        wake: Arc<dyn soundpost_endpoint::Event>,
        (volume, muted): (Gain, bool),
    ) -> Result<(Settled, Option<Arc<Drive>>), EngineError> {
        let drives = self.ask("event_driven_capable", |control| control.event_driven_capable())? && wants_to_drive;
        let flags = if drives { StreamFlags::EVENT_CALLBACK } else { StreamFlags::NONE };
        self.demand("set_stream_flags", |control| control.set_stream_flags(flags))?;
        self.demand("set_buffer", |control| control.set_buffer(period, coefficient))?;
        let drive = drives.then(|| Arc::new(Drive::new(wake)));
        if let Some(drive) = &drive {
            let event: Arc<dyn soundpost_endpoint::Event> = Arc::<Drive>::clone(drive);
            self.demand("set_event", |control| control.set_event(event))?;
        }
        let settled = self.settled(period)?;
        self.tune(volume, muted)?;
        self.demand("start", |control| control.start())?;
        Ok((settled, drive))
    }

    /// Reads once what the real-time side goes by (E2, E3).
    fn settled(&mut self, period: Hns) -> Result<Settled, EngineError> {
        let breach = |requirement, what| Err(EngineError::Breach { requirement, what });
        let format = self.ask("frame_format", |control| control.frame_format())?;
        if format != self.format {
            return breach(Requirement::E1, "the frame format has changed since registration");
        }
        let packet = self.demand("frames_per_packet", |control| control.frames_per_packet())?;
        if packet != format.rate.frames_covering(period) {
            return breach(Requirement::E2, "frames per packet are not ceil(period × rate)");
        }
        let latency = self.demand("latency", |control| control.latency())?;
        if latency.get() < 0 || latency > soundpost_endpoint::BufferPlan::LONGEST_LATENCY {
            return breach(Requirement::E3, "the latency is negative or longer than 10 s");
        }
        let buffer = format.rate.frames_covering(latency).max(packet);
        Ok(Settled { format, packet, buffer, latency, applies_volume: false })
    }

    /// Stops and resets the endpoint and its own volume, so that it can be attached anew. What it answers no longer matters; a panic makes
    /// it faulty.
    pub(crate) fn bring_down(&mut self) -> Result<(), Fault> {
        self.latency = None;
        if let Some(call) = self.panicked.get() {
            return Err(Fault::Panicked { call });
        }
        let stopped = self.ask("stop", |control| control.stop());
        let reset = stopped.and_then(|_| self.ask("reset", |control| control.reset()));
        // Whoever uses it next, without the engine (D5), finds it as it came.
        match reset.and_then(|_| self.tune(Gain::UNITY, false)) {
            Err(EngineError::EndpointPanicked { call, .. }) => Err(Fault::Panicked { call }),
            _ => Ok(()),
        }
    }
}
