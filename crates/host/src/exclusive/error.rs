//! What can go wrong on either side.

use std::io;
use std::path::PathBuf;

use soundpost_endpoint::EndpointError;
use soundpost_endpoint::exclusive::RecordError;
use thiserror::Error;

/// Why a client gets no exclusive use. The server's errors; the client is told the same words.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GrantError {
    /// Another process asks than the one that the memory is to be for (D5).
    #[error("process {peer} asked for exclusive use by process {asked}: a process can only ask for itself")]
    WrongProcess {
        /// The process that the request names.
        asked: u32,
        /// The process at the other end of the socket.
        peer: u32,
    },
    /// Another user asks.
    #[error("user {peer} asked for exclusive use of an endpoint of user {own}")]
    WrongUser {
        /// This process's user.
        own: u32,
        /// The other end's.
        peer: u32,
    },
    /// The endpoint refuses.
    #[error("{0}")]
    Endpoint(#[from] EndpointError),
    /// No memory, no event, no thread, or the peer is gone already.
    #[error("the system does not give what exclusive use needs: {0}")]
    System(#[source] io::Error),
}

impl GrantError {
    /// The requirement that says so, where one does.
    #[must_use]
    pub const fn requirement(&self) -> Option<&'static str> {
        match self {
            Self::WrongProcess { .. } | Self::WrongUser { .. } | Self::Endpoint(_) => Some("D5"),
            Self::System(_) => None,
        }
    }
}

/// Why a client could not open an endpoint.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Nobody answers at the socket.
    #[error("no soundpost answers at {0}: start `soundpost serve`, or name its --state-dir")]
    NotRunning(PathBuf),
    /// The socket belongs to another user.
    #[error("no permission to ask the soundpost at {0}: it belongs to another user")]
    Denied(PathBuf),
    /// The exchange broke off.
    #[error("the soundpost at {path} did not answer: {source}")]
    Socket {
        /// The socket.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The server said no.
    #[error("{message}")]
    Refused {
        /// Its words.
        message: String,
        /// The requirement that it named.
        requirement: Option<String>,
    },
    /// The server's answer is none.
    #[error("the soundpost answered something else than a grant ({0}): is it of another version?")]
    Reply(String),
    /// The memory cannot be mapped, or could be cut short.
    #[error("the shared memory cannot be used: {0}")]
    Memory(#[source] io::Error),
    /// The memory holds no record that fits.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Why a client's use is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The server took the endpoint back.
    #[error("the endpoint was taken back: {}", .reason)]
    Over {
        /// In words.
        reason: &'static str,
    },
    /// The server's positions cannot be.
    #[error("the server's position {server} cannot be, where this client is at {client}")]
    Nonsense {
        /// The server's.
        server: u64,
        /// This client's.
        client: u64,
    },
    /// The server's process is gone.
    #[error("the server is gone")]
    Gone,
}

impl ClientError {
    /// The words for a reason's number in the record.
    pub(super) const fn over(code: u64) -> Self {
        let reason = match code {
            1 => "as this client asked",
            2 => "the server believes this client's process to be gone",
            3 => "this client stood still for too long",
            4 => "this client wrote what cannot be",
            5 => "the endpoint failed",
            6 => "the endpoint came to an end",
            _ => "for a reason that this client does not know",
        };
        Self::Over { reason }
    }
}
