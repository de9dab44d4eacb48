//! What exists and how it is doing, as plain values for a display.

use soundpost_core::{Format, Gain, Hns};
use soundpost_endpoint::{DataFlow, Fault};
use soundpost_rt::stats::{ConnectionStats, DeviceStats, StreamStats};

use crate::engine::{Connection, Device, HalfPlace};
use crate::{ConnectionId, DeviceId, EndpointId, Engine, EngineError, Interfaces, Metering, SessionId, StreamId};

/// Everything that the engine holds, at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EngineSnapshot {
    /// All sessions, oldest first.
    pub sessions: Vec<SessionSnapshot>,
}

/// A session.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionSnapshot {
    /// Its id.
    pub id: SessionId,
    /// Its name.
    pub name: String,
    /// Which worker runs its passes.
    pub worker: usize,
    /// Its devices.
    pub devices: Vec<DeviceSnapshot>,
    /// Its registered endpoints.
    pub endpoints: Vec<EndpointSnapshot>,
}

/// A device.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceSnapshot {
    /// Its id.
    pub id: DeviceId,
    /// Its name.
    pub name: String,
    /// Its direction.
    pub flow: DataFlow,
    /// The format of its mix.
    pub format: Format,
    /// The time between its passes.
    pub period: Hns,
    /// Its volume.
    pub volume: Gain,
    /// Whether it is muted.
    pub muted: bool,
    /// Whether passes are going on.
    pub active: bool,
    /// Its statistics.
    pub stats: DeviceStats,
    /// Its streams.
    pub streams: Vec<StreamSnapshot>,
    /// Its connections.
    pub connections: Vec<ConnectionSnapshot>,
}

/// What a stream is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamState {
    /// Playing or recording, or ready to.
    Running,
    /// Paused (corked).
    Paused,
    /// Asked to say when it has been heard.
    Draining,
}

/// A stream.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamSnapshot {
    /// Its id.
    pub id: StreamId,
    /// Its name.
    pub name: String,
    /// Its format.
    pub format: Format,
    /// Its volume.
    pub volume: Gain,
    /// Whether it is muted.
    pub muted: bool,
    /// What it is doing.
    pub state: StreamState,
    /// Its statistics.
    pub stats: StreamStats,
}

/// A connection.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionSnapshot {
    /// Its id.
    pub id: ConnectionId,
    /// Its endpoint, where it has one.
    pub endpoint: Option<AttachedEndpoint>,
    /// Its statistics, since its endpoint was attached.
    pub stats: ConnectionStats,
}

/// An endpoint as its connection shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct AttachedEndpoint {
    /// Its id.
    pub id: EndpointId,
    /// Its name.
    pub name: String,
    /// Its format (E1).
    pub format: Format,
    /// What it adds to the stream (E3).
    pub latency: Hns,
    /// Whether it drives the device's passes (D4).
    pub event_driven: bool,
    /// Whether it applies the device's volume and mute (X1); else the engine does.
    pub applies_volume: bool,
    /// How loud it is.
    pub metering: Metering,
}

/// A registered endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointSnapshot {
    /// Its id.
    pub id: EndpointId,
    /// Its name.
    pub name: String,
    /// Its direction.
    pub flow: DataFlow,
    /// Its format (E1).
    pub format: Format,
    /// Which of the header's further interfaces it offers (X1).
    pub interfaces: Interfaces,
    /// What it is doing.
    pub state: EndpointState,
}

/// What a registered endpoint is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointState {
    /// Registered, not attached.
    Registered,
    /// Attached to a connection, or on its way back from it.
    Attached(ConnectionId),
    /// Detached for a breach of the contract.
    Faulty(Fault),
    /// In exclusive use by a client (D5).
    Lent,
}

impl Engine {
    /// Everything at one moment. Reading the statistics does not disturb the passes.
    #[must_use]
    pub fn snapshot(&self) -> EngineSnapshot {
        let session = |(id, session): (&SessionId, &crate::engine::Session)| SessionSnapshot {
            id: *id,
            name: session.name.clone(),
            worker: session.worker,
            devices: session.devices.iter().map(|(id, device)| self.device_snapshot(*id, device)).collect(),
            endpoints: self.endpoint_snapshots(*id),
        };
        EngineSnapshot { sessions: self.sessions.iter().map(session).collect() }
    }

    /// One device at one moment: for a display that asks several times a second, and for which a look at every other
    /// session would be too much. Reading the statistics does not disturb the passes.
    ///
    /// # Errors
    /// [`EngineError::UnknownSession`], [`EngineError::UnknownDevice`].
    pub fn snapshot_of(&self, session: SessionId, device: DeviceId) -> Result<DeviceSnapshot, EngineError> {
        let found = self.sessions.get(&session).ok_or(EngineError::UnknownSession(session))?;
        let found = found.devices.get(&device).ok_or(EngineError::UnknownDevice(device))?;
        Ok(self.device_snapshot(device, found))
    }

    fn device_snapshot(&self, id: DeviceId, device: &Device) -> DeviceSnapshot {
        let stream = |(id, stream): (&StreamId, &crate::engine::Stream)| StreamSnapshot {
            id: *id,
            name: stream.name.clone(),
            format: stream.format,
            volume: stream.volume,
            muted: stream.muted,
            state: stream.state,
            stats: stream.stats.read().unwrap_or_default(),
        };
        let stats = device.stats.read().unwrap_or_default();
        let connection = |(id, connection): (&ConnectionId, &Connection)| ConnectionSnapshot {
            id: *id,
            endpoint: connection.endpoint.and_then(|endpoint| self.attached(endpoint, connection, &stats)),
            stats: connection.stats.as_ref().and_then(soundpost_rt::stats::ConnectionReader::read).unwrap_or_default(),
        };
        DeviceSnapshot {
            id,
            name: device.config.name.clone(),
            flow: device.config.flow,
            format: device.config.format(),
            period: device.config.period,
            volume: device.volume,
            muted: device.muted,
            active: device.active,
            stats,
            streams: device.streams.iter().map(stream).collect(),
            connections: device.connections.iter().map(connection).collect(),
        }
    }

    fn attached(&self, id: EndpointId, connection: &Connection, stats: &DeviceStats) -> Option<AttachedEndpoint> {
        let endpoint = self.endpoints.get(&id)?;
        Some(AttachedEndpoint {
            id,
            name: endpoint.name.clone(),
            format: endpoint.format,
            latency: endpoint.latency.unwrap_or(Hns::ZERO),
            event_driven: connection.event_driven,
            applies_volume: connection.applies_volume,
            metering: endpoint.peaks().map_or(Metering::Engine(stats.levels.peak), Metering::Endpoint),
        })
    }

    fn endpoint_snapshots(&self, session: SessionId) -> Vec<EndpointSnapshot> {
        let of_session = self.endpoints.iter().filter(|(_, endpoint)| endpoint.session == session && !endpoint.leaving);
        of_session
            .map(|(id, endpoint)| EndpointSnapshot {
                id: *id,
                name: endpoint.name.clone(),
                flow: endpoint.flow,
                format: endpoint.format,
                interfaces: endpoint.interfaces,
                state: match endpoint.place {
                    HalfPlace::Here(_) => EndpointState::Registered,
                    HalfPlace::On(connection) => EndpointState::Attached(connection),
                    HalfPlace::Faulty(fault) => EndpointState::Faulty(fault),
                    HalfPlace::Lent => EndpointState::Lent,
                },
            })
            .collect()
    }
}
