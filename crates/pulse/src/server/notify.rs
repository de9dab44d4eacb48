//! What clients have subscribed to hear of.

use std::collections::BTreeMap;

use pulseaudio::protocol::CommandTag;

use super::Server;
use crate::wire::Packet;

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
        }
    }
}

const NEW: u32 = 0x00;
const CHANGED: u32 = 0x10;
const REMOVED: u32 = 0x20;

/// What has happened since clients were last told, in order, one thing for each object.
#[derive(Debug, Default)]
pub(super) struct Notices {
    happened: Vec<(Facility, u32, u32)>,
    places: BTreeMap<(Facility, u32), usize>,
}

impl Notices {
    pub(super) fn added(&mut self, facility: Facility, index: u32) {
        self.post(facility, NEW, index);
    }

    pub(super) fn changed(&mut self, facility: Facility, index: u32) {
        // Whoever hears that it is there, or has changed, will look.
        if !self.places.contains_key(&(facility, index)) {
            self.post(facility, CHANGED, index);
        }
    }

    pub(super) fn removed(&mut self, facility: Facility, index: u32) {
        match self.places.get(&(facility, index)).and_then(|&place| self.happened.get_mut(place)) {
            Some(entry) => entry.1 = REMOVED,
            None => self.post(facility, REMOVED, index),
        }
    }

    fn post(&mut self, facility: Facility, kind: u32, index: u32) {
        self.places.insert((facility, index), self.happened.len());
        self.happened.push((facility, kind, index));
    }

    fn take(&mut self) -> Vec<(Facility, u32, u32)> {
        self.places.clear();
        std::mem::take(&mut self.happened)
    }
}

impl Server {
    /// Tells clients what has happened. The last step of everything that the host calls.
    pub(super) fn deliver(&mut self) {
        let happened = self.notices.take();
        if happened.is_empty() {
            return;
        }
        let listeners: Vec<_> = self
            .clients
            .iter()
            .filter(|(_, client)| client.mask != 0)
            .map(|(&id, c)| (id, c.mask, c.version))
            .collect();
        for (id, mask, version) in listeners {
            for &(facility, kind, index) in &happened {
                if mask & 1 << facility.number() != 0 {
                    let mut packet = Packet::event(CommandTag::SubscribeEvent, version);
                    packet.u32(facility.number() | kind);
                    packet.u32(index);
                    self.send(id, packet);
                }
            }
        }
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
        let told = notices.take();
        assert_eq!(told, [(Facility::Client, NEW, 1), (Facility::SinkInput, NEW, 1), (Facility::Sink, REMOVED, 0)]);
        assert_eq!(notices.take(), []);
    }
}
