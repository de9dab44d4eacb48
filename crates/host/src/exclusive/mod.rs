//! Exclusive mode (contract D5): one client process plays into an endpoint, or records from it, without the engine
//! between them.
//!
//! ```text
//! client process                                              server
//! ExclusiveClient ──frames──► sealed memfd (record and ring) ──► pass ──► real-time half of the endpoint ──► device
//!                 ◄─positions─┘                                   │
//!                 ◄──────────────── eventfd, each period ─────────┘
//!                 ─────── Unix socket: request, reply with the descriptors, hang-up ──────► supervisor
//! ```
//!
//! [`Exclusive`] is the server's side: [`Exclusive::grant`] asks the endpoint (D5), makes memory and event, starts a
//! real-time thread for this client alone and hands everything over; [`Exclusive::serve`] waits for the end, whichever
//! it is, and gives the endpoint back. [`ExclusiveClient`] is the client's side. The record and the exchange on the
//! socket are written down in `docs/exclusive-mode.md` (in the repository), for clients in other languages.
//!
//! What a client can do wrong ends its own use and nothing else: it dies (the socket hangs up, the pidfd tells), it
//! stands still, it writes positions that cannot be, it blocks the event. The server goes by its own copies of all
//! sizes and positions, and copies sound byte by byte out of memory that only atomics reach.

mod client;
mod error;
mod memory;
mod message;
mod pass;
mod server;

#[cfg(test)]
mod tests;

pub use client::{ExclusiveClient, Played};
pub use error::{ClientError, GrantError, OpenError};
pub use message::{Granted, OpenRequest, REQUEST, RequestError};
pub use server::{Ended, Exclusive, Peer, Refused, Revoke, refuse};
