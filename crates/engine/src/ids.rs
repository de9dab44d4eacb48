//! Names of the engine's objects.
//!
//! An id is given once and never again, so that an old one can only be unknown, never mean something else. Every
//! call names the session too: an id of another session is as unknown as one that never was.

use std::fmt;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident, $word:literal;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub struct $name(u64);

            impl $name {
                pub(crate) const fn new(number: u64) -> Self {
                    Self(number)
                }

                /// The number, for a display or a log.
                #[must_use]
                pub const fn get(self) -> u64 {
                    self.0
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    write!(f, concat!($word, " {}"), self.0)
                }
            }
        )*
    };
}

ids! {
    /// A session: what one user hears and says.
    SessionId, "session";
    /// A device of a session.
    DeviceId, "device";
    /// A stream into or out of a device.
    StreamId, "stream";
    /// A connection between a device and at most one endpoint.
    ConnectionId, "connection";
    /// A registered endpoint.
    EndpointId, "endpoint";
}
