//! What can go wrong between a client and its server.

use thiserror::Error;

use super::place::{Place, PlaceError};

/// Why a client cannot go on. Each is one line that says what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The address cannot be understood.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// Nobody answers at any of the places.
    #[error("no sound server runs at {}: start one (such as `soundpost serve`), or name another with --server", list(.0))]
    NoServer(Vec<Place>),
    /// The server is there and does not let this user in.
    #[error(
        "the sound server at {0} does not let you in: use the account that it runs under, or its cookie ($PULSE_COOKIE)"
    )]
    Denied(Place),
    /// The connection failed.
    #[error("the connection to the sound server at {0} failed: {1}")]
    Io(Place, #[source] std::io::Error),
    /// The server has gone, or has closed the connection.
    #[error("the sound server at {0} has closed the connection: is it still running?")]
    Closed(Place),
    /// The server did not answer in time.
    #[error("the sound server at {0} does not answer: is it overloaded or stopped?")]
    Silent(Place),
    /// What the server sends is not the protocol.
    #[error("the sound server at {0} answers nonsense ({1}): is it one that speaks PulseAudio's protocol?")]
    Nonsense(Place, &'static str),
    /// The server has refused something.
    #[error("the sound server refuses to {what}: {reason}")]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// Why not.
        reason: Refusal,
    },
}

/// An error that a server answers with, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal(pub u32);

impl Refusal {
    /// There is no such device, stream or module.
    pub const NO_ENTITY: Self = Self(5);
    /// Access denied.
    pub const ACCESS: Self = Self(1);
}

impl std::fmt::Display for Refusal {
    /// What the numbers stand for: `PA_ERR_*` of PulseAudio's `def.h`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            1 => "access is denied",
            2 => "it does not know the command",
            3 => "an argument is not valid",
            4 => "there is one already",
            5 => "there is no such device, stream or module",
            6 | 11 => "the connection is closed",
            7 => "the protocol was broken",
            8 => "it took too long",
            9 => "there is no cookie",
            12 => "it was ended",
            14 => "the module does not start",
            15 => "not in this state",
            16 => "there is no data",
            17 => "it speaks another version",
            18 => "too much at once",
            19 => "it is not supported",
            26 => "the device is busy",
            other => return write!(f, "error {other}"),
        })
    }
}

fn list(places: &[Place]) -> String {
    places.iter().map(Place::to_string).collect::<Vec<_>>().join(" or ")
}
