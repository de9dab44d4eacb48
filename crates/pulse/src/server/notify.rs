//! What clients have subscribed to hear of.

use std::collections::BTreeMap;

use pulseaudio::protocol::CommandTag;

use super::Server;
use crate::id::ClientId;
use crate::wire::Short;

/// What there is to hear of; the number is the facility's in the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Facility {
    Sink,
    Source,
    SinkInput,
    SourceOutput,
    Client,
    Sample,
    Server,
    /// What is remembered of applications. Nothing that SUBSCRIBE knows: the extension's own subscribers hear of it.
    Restore,
}

impl Facility {
    const fn number(self) -> u32 {
        match self {
            Self::Sink => 0,
            Self::Source => 1,
            Self::SinkInput => 2,
            Self::SourceOutput => 3,
            Self::Client => 5,
            Self::Sample => 6,
            Self::Server => 7,
            Self::Restore => 31,
        }
    }
}

const NEW: u32 = 0x00;
const CHANGED: u32 = 0x10;
const REMOVED: u32 = 0x20;

/// How much may wait for a client before what happens is gathered for it: then it hears of each object once, however
/// often that changes until it reads on.
pub(super) const GATHER: usize = 4 * 1024;

/// What has happened since somebody was last told, in order, one thing for each object: no more than there are objects.
#[derive(Debug, Default)]
pub(super) struct Notices {
    happened: BTreeMap<u64, (Facility, u32, u32)>,
    places: BTreeMap<(Facility, u32), u64>,
    next: u64,
}

impl Notices {
    pub(super) fn added(&mut self, facility: Facility, index: u32) {
        self.post(facility, NEW, index);
    }

    pub(super) fn changed(&mut self, facility: Facility, index: u32) {
        self.post(facility, CHANGED, index);
    }

    pub(super) fn removed(&mut self, facility: Facility, index: u32) {
        self.post(facility, REMOVED, index);
    }

    fn post(&mut self, facility: Facility, kind: u32, index: u32) {
        let place = self.places.get(&(facility, index)).copied();
        let entry = place.and_then(|place| self.happened.get_mut(&place));
        match (entry, kind) {
            // Whoever hears that it is there, or has changed, will look.
            (Some(_), CHANGED) => {}
            // Nobody knows of it.
            (Some(&mut (_, NEW, _)), REMOVED) => {
                self.happened.remove(&place.unwrap_or_default());
                self.places.remove(&(facility, index));
            }
            (Some(entry), _) => entry.1 = kind,
            (None, _) => {
                self.places.insert((facility, index), self.next);
                self.happened.insert(self.next, (facility, kind, index));
                self.next += 1;
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.happened.is_empty()
    }

    fn take(&mut self) -> impl Iterator<Item = (Facility, u32, u32)> + use<> {
        self.places.clear();
        std::mem::take(&mut self.happened).into_values()
    }
}

impl Server {
    /// Tells clients what has happened. The last step of everything that the host calls.
    pub(super) fn deliver(&mut self) {
        if self.notices.is_empty() {
            return;
        }
        let happened: Vec<_> = self.notices.take().collect();
        let listeners: Vec<_> = self.listeners.iter().copied().collect();
        for id in listeners {
            let Some(client) = self.clients.get_mut(&id).filter(|client| !client.closing) else { continue };
            let mask = client.mask | if client.hears_restore { 1 << Facility::Restore.number() } else { 0 };
            let heard = happened.iter().filter(|(facility, ..)| mask & 1 << facility.number() != 0);
            if client.output.len() > GATHER || !client.notices.is_empty() {
                heard.for_each(|&(facility, kind, index)| client.notices.post(facility, kind, index));
            } else {
                heard.for_each(|&notice| self.tell_notice(id, notice));
            }
        }
    }

    /// Tells a client what was gathered for it.
    pub(super) fn deliver_gathered(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        if client.output.len() > GATHER || client.notices.is_empty() {
            return;
        }
        for notice in client.notices.take() {
            self.tell_notice(id, notice);
        }
    }

    /// Keeps who is to be told of anything.
    pub(super) fn note_listener(&mut self, id: ClientId) {
        if self.clients.get(&id).is_some_and(|client| client.mask != 0 || client.hears_restore) {
            self.listeners.insert(id);
        } else {
            self.listeners.remove(&id);
        }
    }

    fn tell_notice(&mut self, id: ClientId, (facility, kind, index): (Facility, u32, u32)) {
        if facility == Facility::Restore {
            self.tell_restore(id);
            return;
        }
        let packet = Short::two(CommandTag::SubscribeEvent, facility.number() | kind, index);
        self.send_bytes(id, packet.bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_object_is_told_of_once() {
        let mut notices = Notices::default();
        notices.added(Facility::Client, 1);
        notices.added(Facility::SinkInput, 1);
        notices.changed(Facility::SinkInput, 1);
        notices.changed(Facility::Sink, 0);
        notices.changed(Facility::Sink, 0);
        notices.removed(Facility::Sink, 0);
        let told: Vec<_> = notices.take().collect();
        assert_eq!(told, [(Facility::Client, NEW, 1), (Facility::SinkInput, NEW, 1), (Facility::Sink, REMOVED, 0)]);
        assert!(notices.is_empty() && notices.take().next().is_none());
    }

    #[test]
    fn what_came_and_went_unheard_of_is_nothing() {
        let mut notices = Notices::default();
        for index in 0..10_000 {
            notices.added(Facility::SinkInput, index);
            notices.changed(Facility::SinkInput, index);
            notices.removed(Facility::SinkInput, index);
        }
        assert!(notices.happened.is_empty() && notices.places.is_empty());
    }
}
