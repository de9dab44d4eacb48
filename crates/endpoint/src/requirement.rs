//! The numbered requirements of the AudioEndpoint contract.

use std::fmt;

/// Who owes a requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obliged {
    /// The endpoint.
    Endpoint,
    /// The engine.
    Engine,
    /// Both.
    Both,
}

macro_rules! requirements {
    ($($name:ident, $obliged:ident, $text:literal;)*) => {
        /// A numbered requirement of the AudioEndpoint contract: R registration, E endpoint, T real-time, D device,
        /// C control, X beyond the reference.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Requirement {
            $(#[doc = $text] $name,)*
        }

        impl Requirement {
            /// All requirements, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The number, such as `T5`.
            #[must_use]
            pub const fn number(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// The requirement in a sentence.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Who owes it.
            #[must_use]
            pub const fn obliged(self) -> Obliged {
                match self { $(Self::$name => Obliged::$obliged,)* }
            }
        }
    };
}

requirements! {
    R1, Engine, "Data flows only through a connection, which holds at most one endpoint; a second one is refused.";
    R2, Engine, "An endpoint is registered, then attached; nothing on the real-time side is called before.";
    R3, Both, "An endpoint offers all five interfaces; registration refuses one that lacks any, and names it.";
    R4, Engine, "Unregistering or a fault detaches only that connection; the others lose and repeat no frame.";
    R5, Engine, "Applications see streams and devices, never endpoints.";
    E1, Endpoint, "The frame format is a WAVEFORMATEX of the device.";
    E2, Endpoint, "Frames per packet is the most one acquire may ask for: ceil(period × rate), known after SetBuffer.";
    E3, Endpoint, "Latency is what the endpoint itself adds to the stream; the actual value after SetBuffer.";
    E4, Endpoint, "Stream flags are AUDCLNT_STREAMFLAGS bits; unknown bits are refused.";
    E5, Both, "An event before SetBuffer is refused, and needs the event-callback flag.";
    T1, Endpoint, "Padding as time is time, the record's padding is frames, and both agree within a frame.";
    T2, Endpoint, "Position records: device, stream, padding, time, rate, and one flag; no discontinuity at the start.";
    T3, Engine, "The engine works out from the padding how much to process, and never asks for more than E2.";
    T4, Engine, "Before every acquire the engine marks the connection buffer invalid.";
    T5, Endpoint, "Capture acquire gives all frames asked for, valid or silent, in an aligned buffer.";
    T6, Both, "Captured data stays valid until release; the read position moves by the used count.";
    T7, Endpoint, "Render acquire gives an aligned writable buffer for the frames asked for, and keeps no count.";
    T8, Both, "Render release takes the frames really generated; silent means that the endpoint plays silence.";
    T9, Engine, "Acquire and release come in pairs, in order, one at a time for a connection.";
    T10, Engine, "A silent capture buffer may contain anything: the engine does not read it.";
    T11, Engine, "ProcessingComplete comes once a pass, after the releases.";
    T12, Both, "PulseEndpoint follows ProcessingComplete on render, never on capture; it never signals a driving event.";
    T13, Endpoint, "SetPinActive and SetPinInactive mostly just succeed, and may be repeated.";
    T14, Both, "A valid connection record carries the signature; the engine sets it, the endpoint leaves it.";
    D1, Endpoint, "SetBuffer initialises the endpoint: latency is coefficient × period; refused while running.";
    D2, Endpoint, "A coefficient of 0, or one below the device's minimum latency, gets the minimum.";
    D3, Endpoint, "RT capability is always false for remote-desktop endpoints.";
    D4, Both, "Event-driven capability is asked first; such an endpoint can set the engine's period by its events.";
    D5, Both, "Exclusive mode hands parameters and the buffer to one client process in shared memory.";
    C1, Endpoint, "Start, Stop, Reset; Reset throws away everything not yet processed.";
    C2, Endpoint, "Calls out of order are a documented error or do nothing; never a hang or a lost endpoint.";
    C3, Endpoint, "After Stop and Start without Reset queued data plays on; after Reset it does not.";
    X1, Both, "The header's further interfaces are optional, and used where present.";
    X2, Both, "The real-time rules are enforced: by types in Rust, by the conformance kit elsewhere.";
    X3, Engine, "A misbehaving endpoint is caught, named by requirement, and isolated.";
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.number())
    }
}
