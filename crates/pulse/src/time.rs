//! The two clocks of a call: one that never jumps, and the time of day, which clients compare with their own.

use soundpost_core::Instant;

/// A time of day as the protocol writes it: seconds and microseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WallTime {
    /// Seconds since 1970-01-01 00:00 UTC.
    pub seconds: u32,
    /// Microseconds of the second. What a client sends is handed back as it is, in range or not.
    pub micros: u32,
}

/// When a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// On the clock that never jumps; timeouts are counted on it.
    pub at: Instant,
    /// The time of day, which timing replies carry.
    pub wall: WallTime,
}
