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
//! What costs time is what is done: a write and a pull each copy their bytes once, and neither they nor the search for
//! clients to send to get slower with the number of other streams and clients.
//!
//! # What is as in PulseAudio, and what there is not
//!
//! A stream whose device has got rid of its sound cannot have it back: as on a PulseAudio sink that cannot rewind, what was
//! pulled counts as played. A client that goes back behind the read index writes what is never heard, and FLUSH forgets
//! what was not pulled; of what was pulled and not heard, [`Change::Flushed`] says that it may be thrown away as well.
//!
//! No command of the protocol carries a volume ramp: the ramps that PulseAudio has are its modules' own. So a volume is
//! told as it is to be, and a host that does not want it to click lets it glide.
//!
//! Modules, cards and ports: there are none, and requests about them are answered as PulseAudio answers where there are
//! none. Of the extensions there is stream-restore, on what [`Event::Remember`] hands over. Shared memory, memfd included,
//! is declined at login, which every client accepts; the host must not take descriptors from sockets (a plain read
//! does not), so there is none to be leaked.
//!
//! What happens to objects, clients that have subscribed are told once for each object and call of the host. Whoever has
//! more than 4 KiB waiting for it is told later, when it has read: then once for each object that has changed meanwhile.
//!
//! # Bounds
//!
//! Nothing a client sends can panic, or take more memory than [`limits`] says. The facts are those of PulseAudio 16's
//! own documentation (`PROTOCOL`) and behaviour.

#![forbid(unsafe_code)]

pub mod buffer;
mod device;
mod event;
mod formats;
mod id;
pub mod limits;
mod names;
mod peaks;
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
pub use self::peaks::Peaks;
pub use self::server::{COOKIE, DeviceError, Peer, Server, ServerConfig, TooManyClients, VERSIONS};
pub use self::spec::{MAX_CHANNELS, MAX_RATE, Spec, default_map};
pub use self::time::{Now, WallTime};
