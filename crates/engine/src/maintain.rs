//! What comes back from the real-time side.

use soundpost_endpoint::{Fault, RtHalf};
use soundpost_queue::commands::CommandSender;

use crate::command::{NewConnection, Report, RtDevice, RtKind};
use crate::engine::{Connection, HalfPlace};
use crate::guarded::Guarded;
use crate::{ConnectionId, DeviceId, EndpointId, Engine, EngineEvent, StreamId, StreamState};

impl Engine {
    /// Takes back what the real-time threads have let go of, frees it, and makes events of what they report. To be
    /// called when the configured `notify` event is signalled, or now and then.
    pub fn maintain(&mut self) {
        self.detach_panicked();
        for worker in 0..self.workers.len() {
            while let Some(report) = self.workers.get_mut(worker).and_then(CommandSender::collect) {
                self.take(report);
            }
            // What the worker had no room for, or commands that had to wait for room, it would not look at while idle.
            if self.workers.get(worker).is_some_and(CommandSender::take_held)
                && let Some(wake) = self.config.wake.get(worker)
            {
                wake.signal();
            }
        }
    }

    fn take(&mut self, report: Report) {
        match report {
            Report::Device(device) => self.device_came_back(*device),
            Report::RenderLink(link) | Report::RefusedConnection(NewConnection::Render(link, _)) => {
                let (connection, endpoint) = (link.id, link.endpoint);
                let (half, fault) = link.into_half();
                self.half_came_back(connection, endpoint, half, fault);
            }
            Report::CaptureLink(link) | Report::RefusedConnection(NewConnection::Capture(link)) => {
                let (connection, endpoint) = (link.id, link.endpoint);
                let (half, fault) = link.into_half();
                self.half_came_back(connection, endpoint, half, fault);
            }
            Report::Drained(stream) => self.stream_drained(stream),
            Report::Active(device, active) => self.device_active(device, active),
            Report::Stream { .. } | Report::List { .. } | Report::RefusedStream { .. } => {}
        }
    }

    fn device_came_back(&mut self, device: RtDevice) {
        match device.kind {
            RtKind::Render { links, .. } => {
                for link in links {
                    let (connection, endpoint) = (link.id, link.endpoint);
                    let (half, fault) = link.into_half();
                    self.half_came_back(connection, endpoint, half, fault);
                }
            }
            RtKind::Capture { link: Some(link), .. } => {
                let (connection, endpoint) = (link.id, link.endpoint);
                let (half, fault) = link.into_half();
                self.half_came_back(connection, endpoint, half, fault);
            }
            RtKind::Capture { link: None, .. } => {}
        }
    }

    /// An endpoint's real-time half is back: stops the endpoint, and keeps, frees or condemns it.
    fn half_came_back(&mut self, connection: ConnectionId, id: EndpointId, half: RtHalf, fault: Option<Fault>) {
        let half = Guarded::new(half, &self.config.guard);
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        let (session, leaving) = (endpoint.session, endpoint.leaving);
        let name = endpoint.name.clone();
        let stopped = endpoint.bring_down();
        match fault.or(stopped.err()) {
            Some(fault) => {
                endpoint.place = HalfPlace::Faulty(fault);
                drop(half);
                self.empty(session, connection, id);
                if !leaving {
                    self.events.push_back(EngineEvent::EndpointFaulted {
                        session,
                        connection,
                        endpoint: id,
                        name,
                        fault,
                    });
                }
            }
            None => {
                endpoint.place = HalfPlace::Here(half);
                if !leaving {
                    self.events.push_back(EngineEvent::EndpointDetached { session, endpoint: id });
                }
            }
        }
        if leaving {
            self.endpoints.remove(&id);
        }
    }

    /// Empties a connection whose endpoint was detached by its worker.
    fn empty(&mut self, session: crate::SessionId, connection: ConnectionId, endpoint: EndpointId) {
        let Some(device) = self.device_of(session, connection) else { return };
        let Ok(device) = self.device(session, device) else { return };
        if device.connections.get(&connection).is_some_and(|there| there.endpoint == Some(endpoint)) {
            device.connection_places.free();
            device.connections.insert(connection, Connection::default());
        }
    }

    fn stream_drained(&mut self, stream: StreamId) {
        for (session, found) in &mut self.sessions {
            for device in found.devices.values_mut() {
                if let Some(found) = device.streams.get_mut(&stream) {
                    if found.state == StreamState::Draining {
                        found.state = StreamState::Running;
                    }
                    self.events.push_back(EngineEvent::StreamDrained { session: *session, stream });
                    return;
                }
            }
        }
    }

    fn device_active(&mut self, id: DeviceId, active: bool) {
        for (session, found) in &mut self.sessions {
            if let Some(device) = found.devices.get_mut(&id) {
                device.active = active;
                self.events.push_back(EngineEvent::DeviceActive { session: *session, device: id, active });
                return;
            }
        }
    }
}
