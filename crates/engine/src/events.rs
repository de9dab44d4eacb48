//! What the engine tells its owner.

use soundpost_endpoint::Fault;

use crate::{ConnectionId, DeviceId, EndpointId, SessionId, StreamId};

/// Something that happened on a real-time thread, given out by [`crate::Engine::poll_event`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum EngineEvent {
    /// An endpoint broke the contract and was detached, alone (X3, R4); or its control half panicked when it was stopped
    /// after it had been detached. The connection stays, empty; the endpoint
    /// stays registered until it is unregistered, but is not attached again.
    EndpointFaulted {
        /// The endpoint's session.
        session: SessionId,
        /// The connection that it was on.
        connection: ConnectionId,
        /// The endpoint.
        endpoint: EndpointId,
        /// Its name.
        name: String,
        /// What it did; carries the requirement's number.
        fault: Fault,
    },
    /// A detached endpoint has come back from the real-time side, is stopped, and can be attached again.
    EndpointDetached {
        /// The endpoint's session.
        session: SessionId,
        /// The endpoint.
        endpoint: EndpointId,
    },
    /// A render stream has been played by every endpoint that was attached, or mixed where none was: to its last frame,
    /// after its writer was finished or dropped; or as far as it had been written at [`crate::Engine::drain`]. What
    /// falls together is told once.
    StreamDrained {
        /// The stream's session.
        session: SessionId,
        /// The stream.
        stream: StreamId,
    },
    /// A device's passes began (sound came) or ended (it went idle).
    DeviceActive {
        /// The device's session.
        session: SessionId,
        /// The device.
        device: DeviceId,
        /// Whether passes are going on.
        active: bool,
    },
}
