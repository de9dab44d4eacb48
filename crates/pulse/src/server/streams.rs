//! What a client does with its own streams, and with its name.

use std::ffi::{CStr, CString};

use pulseaudio::protocol::{Props, PulseError, SetPlaybackStreamBufferAttrReply, SetRecordStreamBufferAttrReply};

use super::client::Outgoing;
use super::create::{wire_attr, wire_record_attr};
use super::lookup::ensure;
use super::notify::Facility;
use super::{Answer, Answered, Call, Server};
use crate::buffer::{self, BufferAttr, LatencyMode, RecordAttr};
use crate::event::{Change, Event};
use crate::id::{PlaybackId, RecordId};
use crate::props;
use crate::request::{BufferCommand, Stream, UpdateMode};
use crate::spec::MAX_RATE;
use crate::time::{Now, WallTime};

impl Server {
    pub(super) fn delete(&mut self, call: &Call, stream: Stream) -> Answered {
        match stream {
            Stream::Playback(channel) => {
                let id = self.own_playback(call, channel)?;
                self.remove_playback(id);
            }
            Stream::Record(channel) => {
                let id = self.own_record(call, channel)?;
                self.remove_record(id);
            }
            Stream::Upload(channel) => {
                self.take_upload(call, channel)?;
            }
        }
        Ok(Answer::Ack)
    }

    /// The stream and those that start together with it.
    pub(super) fn group(&self, id: PlaybackId) -> Vec<PlaybackId> {
        let Some(stream) = self.playbacks.get(&id) else { return Vec::new() };
        let sync = Some(stream.sync);
        let owner = stream.common.owner.and_then(|owner| self.clients.get(&owner.client));
        let Some(client) = owner else { return vec![id] };
        let same = |other: &PlaybackId| *other == id || self.playbacks.get(other).map(|stream| stream.sync) == sync;
        client.playbacks().into_iter().filter(same).collect()
    }

    pub(super) fn drain(&mut self, call: &Call, channel: u32) -> Answered {
        let id = self.own_playback(call, channel)?;
        for member in self.group(id) {
            if let Some(playback) = self.playbacks.get_mut(&member) {
                playback.queue.stop_prebuf();
            }
            if member != id {
                self.settle(member, call.now);
            }
        }
        let earlier = self.playbacks.get_mut(&id).and_then(|playback| playback.drain.replace(call.sequence));
        if let Some(sequence) = earlier {
            // One wait at a time: the earlier one is not answered by PulseAudio either way; this ends it.
            self.send_error(call.client, sequence, PulseError::BadState);
        }
        self.settle(id, call.now);
        Ok(Answer::Later)
    }

    pub(super) fn buffer_command(&mut self, call: &Call, command: BufferCommand, channel: u32) -> Answered {
        let id = self.own_playback(call, channel)?;
        for member in self.group(id) {
            let Some(playback) = self.playbacks.get_mut(&member) else { continue };
            let before = playback.queue.stored();
            match command {
                BufferCommand::Flush => {
                    playback.queue.flush();
                    playback.told_readable = false;
                    playback.timing.flush();
                    self.events.push_back(Event::Playback(member, Change::Flushed));
                }
                BufferCommand::Trigger => playback.queue.stop_prebuf(),
                BufferCommand::Prebuf => playback.queue.force_prebuf(),
            }
            let after = playback.queue.stored();
            self.free_sound(Some(call.client), before, after);
            self.settle(member, call.now);
        }
        Ok(Answer::Ack)
    }

    pub(super) fn flush_record(&mut self, call: &Call, channel: u32) -> Answered {
        let id = self.own_record(call, channel)?;
        if let Some(record) = self.records.get_mut(&id) {
            record.sent = record.sent.saturating_add(i64::try_from(record.waiting.len()).unwrap_or(0));
            let thrown = std::mem::take(&mut record.waiting).len();
            self.free_sound(Some(call.client), thrown, 0);
            self.events.push_back(Event::Record(id, Change::Flushed));
        }
        Ok(Answer::Ack)
    }

    pub(super) fn cork(&mut self, call: &Call, stream: Stream, cork: bool) -> Answered {
        match stream {
            Stream::Playback(channel) => {
                let id = self.own_playback(call, channel)?;
                for member in self.group(id) {
                    self.cork_playback(member, cork, call.now);
                }
            }
            Stream::Record(channel) | Stream::Upload(channel) => {
                let id = self.own_record(call, channel)?;
                let record = self.records.get_mut(&id).ok_or(PulseError::NoEntity)?;
                if std::mem::replace(&mut record.common.corked, cork) != cork {
                    self.events.push_back(Event::Record(id, Change::Corked(cork)));
                    self.notices.changed(Facility::SourceOutput, id.0);
                }
            }
        }
        Ok(Answer::Ack)
    }

    fn cork_playback(&mut self, id: PlaybackId, cork: bool, now: Now) {
        let Some(playback) = self.playbacks.get_mut(&id) else { return };
        if std::mem::replace(&mut playback.common.corked, cork) == cork {
            return;
        }
        // After a pause it waits for prebuf bytes again, unless the end is waited for: then nothing more would come.
        if playback.drain.is_none() {
            playback.queue.force_prebuf();
        }
        playback.told_readable = false;
        if cork {
            playback.playing_for = 0;
            playback.timing.stop(now.at);
        }
        self.events.push_back(Event::Playback(id, Change::Corked(cork)));
        self.notices.changed(Facility::SinkInput, id.0);
        self.settle(id, now);
    }

    /// Timing: where the stream is read and written, and how far its device is from the ear.
    pub(super) fn latency(&self, call: &Call, stream: Stream, local: WallTime) -> Answered {
        let mut reply = call.reply();
        match stream {
            Stream::Playback(channel) => {
                let playback = self.playbacks.get(&self.own_playback(call, channel)?).ok_or(PulseError::NoEntity)?;
                let device = self.sinks.get(&playback.sink).map(|sink| &sink.device);
                let suspended = device.is_some_and(|device| device.suspended);
                reply.micros(playback.micros_to_ear(call.now.at, device.map_or(0, |device| device.latency)));
                reply.micros(0);
                reply.bool(playback.playing_for > 0 && !suspended && !playback.common.corked);
                reply.time_of_day(local);
                reply.time_of_day(call.now.wall);
                reply.i64(playback.queue.write_index());
                reply.i64(playback.queue.read_index());
                reply.u64(playback.underrun_for.unwrap_or(u64::MAX));
                reply.u64(playback.playing_for);
            }
            Stream::Record(channel) | Stream::Upload(channel) => {
                let record = self.records.get(&self.own_record(call, channel)?).ok_or(PulseError::NoEntity)?;
                let source = self.sources.get(&record.source);
                let monitored = source.and_then(|source| self.sinks.get(&source.monitor_of?));
                let device = source.map(|source| &source.device);
                reply.micros(monitored.map_or(0, |sink| sink.device.latency));
                reply.micros(record.age(call.now.at, device.map_or(0, |device| device.latency)));
                reply.bool(!record.common.corked && !device.is_some_and(|device| device.suspended));
                reply.time_of_day(local);
                reply.time_of_day(call.now.wall);
                reply.i64(record.sent.saturating_add(i64::try_from(record.waiting.len()).unwrap_or(0)));
                reply.i64(record.sent);
            }
        }
        Ok(Answer::Reply(reply))
    }

    pub(super) fn set_playback_attr(
        &mut self,
        call: &Call,
        channel: u32,
        asked: BufferAttr,
        mode: LatencyMode,
    ) -> Answered {
        let id = self.own_playback(call, channel)?;
        let playback = self.playbacks.get_mut(&id).ok_or(PulseError::NoEntity)?;
        (playback.asked, playback.common.mode) = (asked, mode);
        let (attr, latency) = self.refit_playback(id).ok_or(PulseError::NoEntity)?;
        let mut reply = call.reply();
        reply.put(SetPlaybackStreamBufferAttrReply { buffer_attr: wire_attr(&attr), configured_sink_latency: latency });
        self.settle(id, call.now);
        Ok(Answer::Reply(reply))
    }

    /// Negotiates a stream's lengths anew, with the device that it is on.
    pub(super) fn refit_playback(&mut self, id: PlaybackId) -> Option<(BufferAttr, u64)> {
        let playback = self.playbacks.get_mut(&id)?;
        let range = self.sinks.get(&playback.sink)?.device.config.range;
        let (attr, latency) = buffer::playback(playback.asked, playback.common.mode, &playback.common.spec, range);
        playback.queue.apply(&attr);
        if std::mem::replace(&mut playback.common.latency, latency) != latency {
            self.events.push_back(Event::Playback(id, Change::Latency(latency)));
        }
        Some((playback.queue.attr(), latency))
    }

    pub(super) fn set_record_attr(
        &mut self,
        call: &Call,
        channel: u32,
        asked: RecordAttr,
        mode: LatencyMode,
    ) -> Answered {
        let id = self.own_record(call, channel)?;
        let record = self.records.get_mut(&id).ok_or(PulseError::NoEntity)?;
        (record.asked, record.common.mode) = (asked, mode);
        let (attr, latency) = self.refit_record(id).ok_or(PulseError::NoEntity)?;
        let mut reply = call.reply();
        let buffer_attr = wire_record_attr(&attr);
        reply.put(SetRecordStreamBufferAttrReply { buffer_attr, configured_source_latency: latency });
        Ok(Answer::Reply(reply))
    }

    /// The same for a record stream.
    pub(super) fn refit_record(&mut self, id: RecordId) -> Option<(RecordAttr, u64)> {
        let record = self.records.get_mut(&id)?;
        let range = self.sources.get(&record.source)?.device.config.range;
        let (attr, latency) = buffer::record(record.asked, record.common.mode, &record.common.spec, range);
        record.attr = attr;
        if std::mem::replace(&mut record.common.latency, latency) != latency {
            self.events.push_back(Event::Record(id, Change::Latency(latency)));
        }
        Some((attr, latency))
    }

    pub(super) fn set_rate(&mut self, call: &Call, stream: Stream, rate: u32) -> Answered {
        ensure((1..=MAX_RATE).contains(&rate), PulseError::Invalid)?;
        match stream {
            Stream::Playback(channel) => {
                let id = self.own_playback(call, channel)?;
                let playback = self.playbacks.get_mut(&id).ok_or(PulseError::NoEntity)?;
                ensure(playback.common.variable_rate, PulseError::Invalid)?;
                playback.common.spec = playback.common.spec.with_rate(rate).ok_or(PulseError::Invalid)?;
                self.events.push_back(Event::Playback(id, Change::Rate(rate)));
                self.notices.changed(Facility::SinkInput, id.0);
            }
            Stream::Record(channel) | Stream::Upload(channel) => {
                let id = self.own_record(call, channel)?;
                let record = self.records.get_mut(&id).ok_or(PulseError::NoEntity)?;
                ensure(record.common.variable_rate, PulseError::Invalid)?;
                record.common.spec = record.common.spec.with_rate(rate).ok_or(PulseError::Invalid)?;
                self.events.push_back(Event::Record(id, Change::Rate(rate)));
                self.notices.changed(Facility::SourceOutput, id.0);
            }
        }
        Ok(Answer::Ack)
    }

    pub(super) fn set_name(&mut self, call: &Call, stream: Stream, name: Option<&CStr>) -> Answered {
        let name = name.filter(|name| name.to_str().is_ok()).ok_or(PulseError::Invalid)?;
        let mut list = Props::new();
        props::set(&mut list, c"media.name", name);
        self.change_props(call, Some(stream), |old| Ok(props::updated(old, UpdateMode::Replace, &list)))?;
        Ok(Answer::Ack)
    }

    pub(super) fn update_props(&mut self, call: &Call, stream: Option<Stream>, mode: u32, list: &Props) -> Answered {
        let mode = UpdateMode::from_number(mode).ok_or(PulseError::Invalid)?;
        self.change_props(call, stream, |old| Ok(props::updated(old, mode, list)))?;
        Ok(Answer::Ack)
    }

    pub(super) fn remove_props(&mut self, call: &Call, stream: Option<Stream>, keys: &[CString]) -> Answered {
        self.change_props(call, stream, |old| Ok(props::without(old, keys).unwrap_or_else(|| old.clone())))?;
        Ok(Answer::Ack)
    }

    pub(super) fn set_client_name(&mut self, call: &Call, list: &Props) -> Answered {
        self.change_props(call, None, |old| Ok(props::updated(old, UpdateMode::Replace, list)))?;
        let mut reply = call.reply();
        reply.u32(call.client.0);
        Ok(Answer::Reply(reply))
    }

    /// Changes the properties of one of the client's streams, or of the client.
    fn change_props(
        &mut self,
        call: &Call,
        stream: Option<Stream>,
        change: impl FnOnce(&Props) -> Result<Props, PulseError>,
    ) -> Result<(), PulseError> {
        let place = match stream {
            None => None,
            Some(Stream::Playback(channel)) => Some(Ok(self.own_playback(call, channel)?)),
            Some(Stream::Record(channel) | Stream::Upload(channel)) => Some(Err(self.own_record(call, channel)?)),
        };
        let old = match place {
            None => self.clients.get(&call.client).map(|client| &client.props),
            Some(Ok(id)) => self.playbacks.get(&id).map(|stream| &stream.common.props),
            Some(Err(id)) => self.records.get(&id).map(|stream| &stream.common.props),
        };
        let old = old.ok_or(PulseError::NoEntity)?;
        let new = change(old)?;
        if new == *old {
            return Ok(());
        }
        self.room_for_props(call, &new, props::size(old).1)?;
        match place {
            None => {
                if let Some(client) = self.clients.get_mut(&call.client) {
                    client.props = new;
                }
                self.notices.changed(Facility::Client, call.client.0);
            }
            Some(Ok(id)) => {
                if let Some(stream) = self.playbacks.get_mut(&id) {
                    stream.common.props = new;
                }
                self.notices.changed(Facility::SinkInput, id.0);
            }
            Some(Err(id)) => {
                if let Some(stream) = self.records.get_mut(&id) {
                    stream.common.props = new;
                }
                self.notices.changed(Facility::SourceOutput, id.0);
            }
        }
        Ok(())
    }

    pub(super) fn subscribe(&mut self, call: &Call, mask: u32) -> Answered {
        const ALL: u32 = 0x02ff;
        ensure(mask & !ALL == 0, PulseError::Invalid)?;
        if let Some(client) = self.clients.get_mut(&call.client) {
            client.mask = mask;
        }
        self.note_listener(call.client);
        Ok(Answer::Ack)
    }

    /// Takes an upload out of the client's streams.
    pub(super) fn take_upload(&mut self, call: &Call, channel: u32) -> Result<crate::stream::Upload, PulseError> {
        let client = self.clients.get_mut(&call.client).ok_or(PulseError::Internal)?;
        match client.outgoing.remove(&channel) {
            Some(Outgoing::Upload(upload)) => {
                client.sound = client.sound.saturating_sub(upload.bytes.len());
                Ok(upload)
            }
            Some(playback) => {
                client.outgoing.insert(channel, playback);
                Err(PulseError::NoEntity)
            }
            None => Err(PulseError::NoEntity),
        }
    }
}
