//! Endpoints in exclusive use (D5): out of the engine's hands for a while.

use std::sync::Arc;

use soundpost_core::{Format, FrameCount, Hns};
use soundpost_endpoint::{
    AudioEndpoint, ControlHalf, DeviceEndpoint, Endpoint, EndpointControl, EndpointError, Event, Fault, StreamFlags,
};

use crate::engine::HalfPlace;
use crate::guarded::Guarded;
use crate::{EndpointId, Engine, EngineError, SessionId};

impl Engine {
    /// Hands a registered endpoint out, to be used exclusively; it has to be detached, and back from its worker
    /// ([`crate::EngineEvent::EndpointDetached`]). Its id and name stay, and it is shown as
    /// [`crate::EndpointState::Lent`] until [`Engine::give_back`].
    ///
    /// # Errors
    /// [`EngineError::UnknownSession`], [`EngineError::UnknownEndpoint`]; [`EngineError::EndpointTaken`] while it is
    /// attached, on its way back, or lent already; [`EngineError::EndpointFaulty`].
    pub fn lend(&mut self, session: SessionId, endpoint: EndpointId) -> Result<Endpoint, EngineError> {
        self.session(session)?;
        let guard = Arc::clone(&self.config.guard);
        let registered = self.endpoint(session, endpoint)?;
        match std::mem::replace(&mut registered.place, HalfPlace::Lent) {
            HalfPlace::Here(realtime) => {
                let absent: Box<dyn ControlHalf> = Box::new(Absent { format: registered.format });
                let control = std::mem::replace(&mut registered.control, Guarded::new(absent, &guard));
                // Both are there: only what is being dropped is not.
                let halves = control.into_inner().zip(realtime.into_inner());
                let (control, realtime) = halves.ok_or(EngineError::EndpointTaken(endpoint))?;
                Ok(Endpoint { control, realtime })
            }
            elsewhere => {
                let fault = if let HalfPlace::Faulty(fault) = &elsewhere { Some(*fault) } else { None };
                registered.place = elsewhere;
                Err(fault.map_or(EngineError::EndpointTaken(endpoint), |fault| EngineError::EndpointFaulty {
                    endpoint,
                    fault,
                }))
            }
        }
    }

    /// Takes back what [`Engine::lend`] has handed out; it is registered as before, and may be attached. With a
    /// `fault` it is condemned, as if it had broken the contract at a connection of its own (X3).
    ///
    /// # Errors
    /// [`EngineError::UnknownSession`], [`EngineError::UnknownEndpoint`] where it was unregistered meanwhile, and
    /// [`EngineError::EndpointTaken`] where it was not lent; the endpoint is dropped then.
    pub fn give_back(
        &mut self,
        session: SessionId,
        id: EndpointId,
        endpoint: Endpoint,
        fault: Option<Fault>,
    ) -> Result<(), EngineError> {
        self.session(session)?;
        let guard = Arc::clone(&self.config.guard);
        let registered = self.endpoint(session, id)?;
        if !matches!(registered.place, HalfPlace::Lent) {
            return Err(EngineError::EndpointTaken(id));
        }
        registered.control = Guarded::new(endpoint.control, &guard);
        registered.place = match fault {
            Some(fault) => HalfPlace::Faulty(fault),
            None => HalfPlace::Here(Guarded::new(endpoint.realtime, &guard)),
        };
        Ok(())
    }
}

/// Stands in for the control half of an endpoint that is lent: nothing can be done with it.
struct Absent {
    format: Format,
}

impl AudioEndpoint for Absent {
    fn frame_format(&self) -> Format {
        self.format
    }

    fn frames_per_packet(&self) -> Result<FrameCount, EndpointError> {
        Err(EndpointError::InUse)
    }

    fn latency(&self) -> Result<Hns, EndpointError> {
        Err(EndpointError::InUse)
    }

    fn set_stream_flags(&mut self, _flags: StreamFlags) -> Result<(), EndpointError> {
        Err(EndpointError::InUse)
    }

    fn set_event(&mut self, _event: Arc<dyn Event>) -> Result<(), EndpointError> {
        Err(EndpointError::InUse)
    }
}

impl DeviceEndpoint for Absent {
    fn set_buffer(&mut self, _max_period: Hns, _coefficient: u32) -> Result<(), EndpointError> {
        Err(EndpointError::InUse)
    }

    fn event_driven_capable(&self) -> bool {
        false
    }
}

impl EndpointControl for Absent {
    fn start(&mut self) -> Result<(), EndpointError> {
        Err(EndpointError::InUse)
    }

    fn stop(&mut self) -> Result<(), EndpointError> {
        Err(EndpointError::InUse)
    }

    fn reset(&mut self) -> Result<(), EndpointError> {
        Err(EndpointError::InUse)
    }
}
