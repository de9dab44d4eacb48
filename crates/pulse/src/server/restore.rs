//! What is remembered of applications, and PulseAudio's stream-restore extension, by which mixers read and write it.

use std::collections::BTreeMap;
use std::ffi::CString;

use pulseaudio::protocol::{ChannelMap, ChannelVolume, CommandTag};

use super::notify::Facility;
use super::{Answer, Answered, Call, Server};
use crate::event::{Event, Remembered};
use crate::id::{ClientId, PlaybackId, RecordId};
use crate::limits::{MAX_REMEMBERED, MAX_REMEMBERED_NAME};
use crate::request::{EVENT, Entry, MODULE, Restore, UpdateMode, VERSION};
use crate::spec::{self, default_map};
use crate::wire::Packet;

impl Server {
    /// What an application's streams had when they were last changed, as [`Event::Remember`] told it.
    pub fn restore(&mut self, key: CString, value: Remembered) {
        if self.remembered.len() < MAX_REMEMBERED || self.remembered.contains_key(&key) {
            self.remembered.insert(key, value);
        }
    }

    /// Keeps what is not kept in this form yet.
    pub(super) fn keep(&mut self, key: CString, value: Remembered) {
        self.remembered.insert(key.clone(), value.clone());
        self.events.push_back(Event::Remember(key, value));
        self.notices.changed(Facility::Restore, 0);
    }

    fn forget(&mut self, key: CString) {
        if self.remembered.remove(&key).is_some() {
            self.events.push_back(Event::Remember(key, Remembered::default()));
        }
    }

    pub(super) fn stream_restore(&mut self, call: &Call, command: Restore) -> Answered {
        match command {
            Restore::Test => {
                let mut reply = call.reply();
                reply.u32(VERSION);
                return Ok(Answer::Reply(reply));
            }
            Restore::Read => return Ok(Answer::Reply(self.read_remembered(call))),
            Restore::Write { mode, apply, entries } => {
                if mode == UpdateMode::Set {
                    let all: Vec<CString> = self.remembered.keys().cloned().collect();
                    all.into_iter().for_each(|key| self.forget(key));
                }
                let streams = if apply { self.streams_by_memory() } else { BTreeMap::new() };
                for entry in entries {
                    self.write_remembered(call, mode, entry, &streams);
                }
                self.notices.changed(Facility::Restore, 0);
            }
            Restore::Delete(names) => {
                names.into_iter().for_each(|name| self.forget(name));
                self.notices.changed(Facility::Restore, 0);
            }
            Restore::Subscribe(wanted) => {
                if let Some(client) = self.clients.get_mut(&call.client) {
                    client.hears_restore = wanted;
                }
                self.note_listener(call.client);
            }
        }
        Ok(Answer::Ack)
    }

    fn read_remembered(&self, call: &Call) -> Packet {
        let mut reply = call.reply();
        for (name, kept) in &self.remembered {
            let volume = kept.volume.unwrap_or_else(ChannelVolume::empty);
            let channels = u8::try_from(volume.channels().len()).unwrap_or(0);
            let map = if channels == 0 { ChannelMap::empty() } else { default_map(channels) };
            reply.string(Some(name));
            reply.put(map);
            reply.put(volume);
            reply.string(kept.device.as_deref());
            reply.bool(kept.muted.unwrap_or(false));
        }
        reply
    }

    fn write_remembered(&mut self, call: &Call, mode: UpdateMode, entry: Entry, streams: &ByMemory) {
        let known = self.remembered.contains_key(&entry.name);
        let room = known || self.remembered.len() < MAX_REMEMBERED;
        let short = entry.name.as_bytes().len() <= MAX_REMEMBERED_NAME;
        if !room || !short || known && mode != UpdateMode::Replace {
            return;
        }
        let volume = spec::volume(&entry.volume);
        let kept = Remembered { volume, muted: Some(entry.muted), device: entry.device };
        let device = kept.device.clone();
        if self.remembered.get(&entry.name) != Some(&kept) {
            self.keep(entry.name.clone(), kept);
        }
        let Some((playbacks, records)) = streams.get(&entry.name) else { return };
        for &stream in playbacks {
            self.change_playback_level(stream, volume, Some(entry.muted));
            let may = self.may_move(stream);
            let named = device.as_deref();
            let sink = if named.is_some() { self.sink_by_name(named) } else { self.default_sink() };
            if let Some(sink) = sink.filter(|_| may) {
                self.place_playback(stream, sink, call.now);
            }
        }
        for &stream in records {
            self.change_record_level(stream, volume, Some(entry.muted));
            let free = |record: &crate::stream::Record| !record.common.no_move && record.direct_on.is_none();
            let may = self.records.get(&stream).is_some_and(free);
            let named = device.as_deref();
            let source = if named.is_some() { self.source_by_name(named) } else { self.default_source() };
            if let Some(source) = source.filter(|_| may) {
                self.place_record(stream, source);
            }
        }
    }

    fn streams_by_memory(&self) -> ByMemory {
        let mut streams = ByMemory::new();
        for (&id, stream) in &self.playbacks {
            if let Some(key) = &stream.common.memory {
                streams.entry(key.clone()).or_default().0.push(id);
            }
        }
        for (&id, stream) in &self.records {
            if let Some(key) = &stream.common.memory {
                streams.entry(key.clone()).or_default().1.push(id);
            }
        }
        streams
    }

    /// Tells a client that something remembered has changed.
    pub(super) fn tell_restore(&mut self, id: ClientId) {
        self.tell_client(id, CommandTag::Extension, |packet| {
            packet.u32(u32::MAX);
            packet.string(Some(MODULE));
            packet.u32(EVENT);
        });
    }
}

/// The streams that are remembered under a name.
type ByMemory = BTreeMap<CString, (Vec<PlaybackId>, Vec<RecordId>)>;
