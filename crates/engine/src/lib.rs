//! The audio engine: sessions, their devices, streams and connections, and the passes that move sound between them.
//!
//! # Threads
//!
//! [`Engine`] is the control side. It lives on one ordinary thread (or behind a lock), allocates, and calls the
//! control halves of endpoints. A [`Worker`] is the real-time side of a share of the sessions and belongs to one
//! real-time thread. [`StreamWriter`] and [`StreamReader`] belong to whoever plays or records, one thread each.
//!
//! ```text
//! application thread                real-time thread (Worker)                         control thread (Engine)
//! StreamWriter ──frame queue──► render stream ─┐                    ◄──commands───── open, attach, volume, close ...
//! StreamWriter ──frame queue──► render stream ─┴► bus ─► connection ─► endpoint
//!                                                  └───► connection ─► endpoint ──reports──► maintain, poll_event
//! StreamReader ◄─frame queue── capture stream ◄── bus ◄─ connection ◄─ endpoint   ◄──snapshots── statistics (any thread)
//! ```
//!
//! Between the sides there are bounded lock-free queues and snapshots and nothing else. Whatever the real-time side
//! holds was allocated by the control side and goes back there to be freed: [`Engine::maintain`] has to be called now
//! and then (the `notify` event of [`EngineConfig`] says when).
//!
//! # Time
//!
//! The engine reads no clock. [`Worker::run_pass`] is handed the time, does what is due, and says when it wants to be
//! called again; [`Engine`] needs no time at all. A virtual clock therefore runs the same code deterministically.
//! (One clock may be configured to measure what calls into endpoints *cost*; it decides nothing but whether an
//! endpoint overran its time.)
//!
//! # The timeline of a device
//!
//! A device is a *bus*: rate, layout, period. Its passes are due at the multiples of its period on the engine's clock,
//! so that all devices of one period on a worker share their wake-ups. Pass k asks for the k-th packet of
//! `PacketSchedule` (contract E2), so that odd periods never drift. A device whose endpoint drives it (D4) has its
//! passes when that endpoint signals instead, and falls back to its own time when the signal stays away.
//!
//! A pass that comes more than a quarter of a period late is counted. A period without a pass is caught up later, by
//! at most one extra packet in each pass and only while every endpoint has space for it; otherwise, and after a stall
//! of more than 100 ms, the timeline moves instead, and the periods are counted as missed. Either way streams lose no
//! frame: what was not mixed waits.
//!
//! # A render pass
//!
//! 1. Every connection asks its endpoint for the padding (T1). Where sound starts, or where the endpoint has run dry,
//!    the endpoint is *primed* with silence up to a packet below full: its buffer is the listener's cushion.
//! 2. Every running stream gives a packet: frames from its queue, channels mapped, rate converted, gain ramped,
//!    added to the mix. Device volume, limiter and meter follow. One stream at unity passes bit for bit.
//! 3. Every connection takes the same block, maps and converts it to its endpoint's format, and moves as much to the
//!    endpoint as that has space for, never more than E2 at once (T3, T7 to T9). Silence is released as silence,
//!    without touching a byte (T8). What there is no space for waits, two packets at most; the excess is cut and
//!    counted, because then the endpoint's clock is slower than ours.
//! 4. ProcessingComplete and PulseEndpoint (T11, T12).
//!
//! Without a connection streams run on at the bus's pace. A device without sound goes idle after a while: its pins
//! are made inactive (T13), no pass is due, and writing to a stream wakes it. A capture pass is the mirror image.
//!
//! # Faults
//!
//! Every call into an endpoint is caught if it panics, measured if a clock was given, and every answer is held against
//! the contract. A breach detaches that endpoint and nothing else (R4, X3); [`EngineEvent::EndpointFaulted`] names it.
//! A panic in the control half is caught as well: the call that led to it answers [`EngineError::EndpointPanicked`].
//!
//! # What endpoints do themselves
//!
//! An endpoint may offer more than the contract (X1); [`Interfaces`] says what was found at registration. Where it has
//! *last-buffer control*, it gets the sound of a device exactly to its last frame, and nothing after it until sound begins
//! anew. The end is known when every stream that still played has ended (its writer is gone, or it was asked to drain and has
//! nothing more). An endpoint with a *volume* that is attached while its device has no other applies the device's volume
//! and mute for itself, as long as it is attached; the bus does for all connections that come after it, behind the
//! place where that endpoint takes the mix. So for each listener one of the two applies, and never the other within
//! its sound. An endpoint with a *meter* is read for snapshots. *Local effects* are switched by
//! [`Engine::set_local_effects`].
//!
//! # Sessions
//!
//! Ids are looked up in the session that a call names; another session's are as unknown as ones that never were.
//! Streams know devices and never endpoints (R5).

#![forbid(unsafe_code)]

mod attach;
mod command;
mod config;
mod device;
mod engine;
mod error;
mod events;
mod further;
mod guarded;
mod ids;
mod lend;
mod maintain;
mod reader;
mod snapshot;
mod stream;
mod unwind;
mod worker;
mod worker_commands;
mod writer;

pub use config::{AttachConfig, DeviceConfig, EngineConfig, StreamConfig};
pub use engine::Engine;
pub use error::EngineError;
pub use events::EngineEvent;
pub use further::{Interface, Interfaces, Metering};
pub use ids::{ConnectionId, DeviceId, EndpointId, SessionId, StreamId};
pub use reader::StreamReader;
pub use snapshot::{
    AttachedEndpoint, ConnectionSnapshot, DeviceSnapshot, EndpointSnapshot, EndpointState, EngineSnapshot,
    SessionSnapshot, StreamSnapshot, StreamState,
};
pub use soundpost_rt::guard::{PanicGuard, Panicked};
pub use soundpost_rt::stats::{ConnectionStats, DeviceStats, Histogram, StreamStats};
pub use unwind::UnwindGuard;
pub use worker::{NextWake, Worker};
pub use writer::StreamWriter;
