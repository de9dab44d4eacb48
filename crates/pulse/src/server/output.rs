//! What goes to clients.

use super::Server;
use crate::event::{CloseReason, Event};
use crate::id::ClientId;
use crate::limits::OUTPUT_PAUSE;
use crate::wire::Packet;

impl Server {
    /// Whether bytes from this client would be taken now. Not while much waits to be sent to it, nor once it is over.
    #[must_use]
    pub fn wants_input(&self, id: ClientId) -> bool {
        self.clients.get(&id).is_some_and(|client| !client.closing && client.output.len() < OUTPUT_PAUSE)
    }

    /// What is to be sent to this client; empty where there is nothing.
    #[must_use]
    pub fn output(&self, id: ClientId) -> &[u8] {
        self.clients.get(&id).map_or(&[], |client| client.output.bytes())
    }

    /// Clients to whom something is to be sent. Costs what those do, however many others there are.
    pub fn clients_with_output(&self) -> impl Iterator<Item = ClientId> {
        self.with_output.iter().copied()
    }

    /// The first `count` bytes of [`output`](Self::output) have been sent. Recorded sound that waited follows, and what
    /// the client has subscribed to hear of.
    pub fn sent(&mut self, id: ClientId, count: usize) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.output.sent(count);
        if client.output.len() == 0 {
            self.with_output.remove(&id);
        }
        for stream in std::mem::take(&mut client.held_up) {
            self.send_recorded(stream);
        }
        self.deliver_gathered(id);
        self.deliver();
    }

    pub(super) fn close(&mut self, id: ClientId, reason: CloseReason) {
        let Some(client) = self.clients.get_mut(&id).filter(|client| !client.closing) else { return };
        client.closing = true;
        if matches!(reason, CloseReason::Deaf) {
            client.output.clear();
            self.with_output.remove(&id);
        }
        self.events.push_back(Event::Close(id, reason));
    }

    /// Puts a packet into a client's output.
    pub(super) fn send(&mut self, id: ClientId, packet: Packet) {
        if let Some(bytes) = packet.finish() {
            self.send_bytes(id, &bytes);
        }
    }

    pub(super) fn send_bytes(&mut self, id: ClientId, bytes: &[u8]) {
        self.send_filled(id, bytes.len(), |output| output.extend_from_slice(bytes));
    }

    /// Has `fill` put `count` bytes into a client's output.
    pub(super) fn send_filled(&mut self, id: ClientId, count: usize, fill: impl FnOnce(&mut Vec<u8>)) {
        let Some(client) = self.clients.get_mut(&id).filter(|client| !client.closing) else { return };
        if client.output.len() == 0 {
            self.with_output.insert(id);
        }
        if client.output.push(count, fill).is_err() {
            self.close(id, CloseReason::Deaf);
        }
    }
}
