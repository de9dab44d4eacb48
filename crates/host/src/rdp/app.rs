//! What a session does, seen from its connections: the border between RDP's transport and what is behind it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use soundpost_core::Instant;
use soundpost_rdp::mux::{AudioTransport, AudioUnavailable};

use super::accounts::Login;
use super::panel::PanelState;
use crate::event::EventFd;

/// Where logins lead. Any thread.
pub trait Sessions: Send + Sync {
    /// A client has logged in: the application for this one connection.
    ///
    /// # Errors
    /// [`SessionRefused`]: the client is told that the server ends the connection.
    fn open(&self, login: &Login, peer: &Peer) -> Result<Box<dyn SessionApp>, SessionRefused>;
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The number under which the log knows the connection.
    pub connection: u64,
    /// Where it comes from.
    pub address: SocketAddr,
    /// The name that the client gives itself, up to 15 printable characters; empty where it gives none.
    pub client_name: String,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.client_name.as_str() {
            "" => write!(f, "{}", self.address),
            name => write!(f, "{} ({name})", self.address),
        }
    }
}

/// A session cannot take a connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SessionRefused(pub String);

/// The application of one connection. It is driven by the connection's task, one call at a time, and dropped when the
/// connection is over.
///
/// Outgoing messages are fetched, never pushed: [`next_audio`](Self::next_audio) is called only when the kernel holds
/// less unsent data than [`ServerConfig::unsent_limit`](super::ServerConfig::unsent_limit), so that sound that cannot
/// be sent yet stays in the application's own bounded queue, where it can still be dropped or skipped.
pub trait SessionApp: Send {
    /// Signalled, from whichever thread, when [`next_audio`](Self::next_audio) may have something new or
    /// [`next_timeout`](Self::next_timeout) has become earlier. Asked for once.
    fn wakeup(&self) -> Arc<EventFd>;

    /// An audio channel is open.
    fn audio_opened(&mut self, transport: AudioTransport, now: Instant);

    /// A whole message of MS-RDPEA from the client.
    fn audio_received(&mut self, message: Vec<u8>, now: Instant);

    /// The audio channel is closed, and stays so.
    fn audio_closed(&mut self, now: Instant);

    /// There will be no audio channel in this connection.
    fn audio_unavailable(&mut self, why: AudioUnavailable, now: Instant);

    /// The next message of MS-RDPEA for the client, where there is one.
    fn next_audio(&mut self, now: Instant) -> Option<Vec<u8>>;

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    fn next_timeout(&self) -> Option<Instant>;

    /// Time has come to `now`, or [`wakeup`](Self::wakeup) was signalled. Called whether or not anything can be sent.
    fn handle_timeout(&mut self, now: Instant);

    /// What the client's desktop shows. Asked for a few times a second while [`wakeup`](Self::wakeup) is signalled or the
    /// answer changes, and every two seconds otherwise.
    fn panel(&mut self, now: Instant) -> PanelState;
}
