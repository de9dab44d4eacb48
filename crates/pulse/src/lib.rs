//! The PulseAudio native protocol, server side, as a state machine without I/O.
//!
//! A [`Server`] is everything that the clients of one session share. The host (the crate `soundpost-host`) gives it
//! bytes, sound and time, and takes bytes, sound and wishes from it:
//!
//! 1. For a new connection, [`Server::connect`]; for one that is gone, [`Server::disconnect`].
//! 2. For bytes that came, [`Server::handle_input`], while [`Server::wants_input`] says so.
//! 3. When [`Server::next_timeout`] has come, [`Server::handle_timeout`].
//! 4. For a playback stream, [`Server::pull`] what it plays next, when the engine has room for it; for a record stream,
//!    [`Server::push`] what it has recorded.
//! 5. After any of these: [`Server::poll_event`] until there is none; for each client of
//!    [`Server::clients_with_output`], send [`Server::output`] and say how much with [`Server::sent`]; ask
//!    [`Server::next_timeout`] anew.
//!
//! A stream's buffer is here, not in the engine: clients may write anywhere in it, and read its indices. So the host pulls
//! as late as it can. All calls are made from one thread, which need not be a real-time thread; none blocks.
//!
//! Nothing a client sends can panic, or take more memory than [`limits`] says. The facts are those of PulseAudio 16's
//! own documentation (`PROTOCOL`) and behaviour; what makes no sense here (modules, cards, ports, shared memory) is
//! answered as PulseAudio answers where there are none.

#![forbid(unsafe_code)]

pub mod buffer;
mod device;
mod event;
mod formats;
mod id;
pub mod limits;
mod names;
mod props;
mod queue;
mod request;
mod server;
mod spec;
mod stream;
mod time;
mod timing;
mod wire;

pub use pulseaudio::protocol::{ChannelMap, ChannelPosition, ChannelVolume, Props, SampleFormat, Volume};

pub use self::device::DeviceConfig;
pub use self::event::{Change, CloseReason, Event, Mixing, NewStream, Remembered};
pub use self::id::{ClientId, PlaybackId, RecordId, SinkId, SourceId};
pub use self::server::{COOKIE, DeviceError, Peer, Server, ServerConfig, TooManyClients, VERSIONS};
pub use self::spec::{MAX_CHANNELS, MAX_RATE, Spec, default_map};
pub use self::time::{Now, WallTime};
