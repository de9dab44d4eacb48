//! Why the control side refuses.

use soundpost_core::{Hns, SampleRate};
use soundpost_endpoint::{DataFlow, EndpointError, Fault};
use thiserror::Error;

use crate::{ConnectionId, DeviceConfig, DeviceId, EndpointId, SessionId, StreamId};

/// Why a call on the [`crate::Engine`] is refused. Nothing has changed then, but that an endpoint that panicked is not
/// used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The session does not exist (any more).
    #[error("{0} does not exist")]
    UnknownSession(SessionId),
    /// The session has no such device.
    #[error("{0} does not exist in this session")]
    UnknownDevice(DeviceId),
    /// The session has no such stream.
    #[error("{0} does not exist in this session")]
    UnknownStream(StreamId),
    /// The session has no such connection.
    #[error("{0} does not exist in this session")]
    UnknownConnection(ConnectionId),
    /// The session has no such endpoint: it was not registered, or not here (R2).
    #[error("{0} is not registered in this session: register it first")]
    UnknownEndpoint(EndpointId),
    /// A device's period outside of 2.5 to 20 ms.
    #[error(
        "a device period of {0} is not supported: use {shortest} to {longest}",
        shortest = DeviceConfig::SHORTEST_PERIOD,
        longest = DeviceConfig::LONGEST_PERIOD
    )]
    Period(Hns),
    /// A stream's queue that is longer than 10 s or shorter than two periods of its device.
    #[error("a stream queue of {asked} is not supported: use {shortest} to 10 s")]
    Capacity {
        /// The length asked for.
        asked: Hns,
        /// The shortest length on this device.
        shortest: Hns,
    },
    /// The connection has an endpoint already, which stays (R1).
    #[error("{connection} holds {endpoint} already: detach it first, or use another connection")]
    ConnectionTaken {
        /// The connection.
        connection: ConnectionId,
        /// The endpoint that it holds.
        endpoint: EndpointId,
    },
    /// The endpoint is attached already, or on its way back from a connection.
    #[error("{0} is in use on a connection: detach it, and wait for the event that says so")]
    EndpointTaken(EndpointId),
    /// The endpoint broke the contract earlier.
    #[error("{endpoint} was detached for a fault ({requirement}: {fault}): register it anew", requirement = .fault.requirement())]
    EndpointFaulty {
        /// The endpoint.
        endpoint: EndpointId,
        /// What it did.
        fault: Fault,
    },
    /// The direction does not fit.
    #[error("a {got} object cannot be used with a {expected} device")]
    WrongFlow {
        /// The device's direction.
        expected: DataFlow,
        /// The other's.
        got: DataFlow,
    },
    /// A capture device is fed by one connection at most.
    #[error("{0} has a connection already: a capture device is fed by one")]
    DeviceFed(DeviceId),
    /// The endpoint refused to be initialised or started.
    #[error("{call} failed: {error}")]
    Endpoint {
        /// The method of its control half.
        call: &'static str,
        /// Its answer.
        error: EndpointError,
    },
    /// A method of the endpoint's control half panicked. The endpoint is not used again: it stays registered as faulty,
    /// or is gone where it was being registered or unregistered.
    #[error("{endpoint} panicked in {call} and is not used again: unregister it, and register a new one")]
    EndpointPanicked {
        /// The endpoint.
        endpoint: EndpointId,
        /// The method.
        call: &'static str,
    },
    /// The endpoint does not offer an interface of X1.
    #[error("{endpoint} has no {interface} of its own")]
    NotOffered {
        /// The endpoint.
        endpoint: EndpointId,
        /// What it lacks.
        interface: crate::Interface,
    },
    /// The endpoint's answers at registration or after SetBuffer make no sense.
    #[error("the endpoint breaks {requirement}: {what}")]
    Breach {
        /// The requirement.
        requirement: soundpost_endpoint::Requirement,
        /// What was seen.
        what: &'static str,
    },
    /// There is no way from one rate to the other.
    #[error("{from} cannot be converted to {to}")]
    Conversion {
        /// The rate of the sound.
        from: SampleRate,
        /// The rate that is needed.
        to: SampleRate,
    },
    /// The worker takes no commands: its queue is full.
    #[error("the real-time thread does not take commands: it hangs, or is not running")]
    Busy,
}
