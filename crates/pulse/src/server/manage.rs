//! What clients do to devices and to each other's streams: volume, moves, ends. And what there is none of here.

use std::ffi::{CStr, CString};

use pulseaudio::protocol::{
    ChannelVolume, CommandTag, PlaybackStreamMovedParams, PulseError, RecordStreamMovedParams, StreamSuspendedParams,
};

use super::create::{wire_attr, wire_record_attr};
use super::lookup::{ensure, one_way};
use super::notify::Facility;
use super::{Answer, Answered, Call, Server};
use crate::event::{Change, CloseReason, Event, Remembered};
use crate::id::{ClientId, PlaybackId, RecordId, SinkId, SourceId};
use crate::limits::MAX_REMEMBERED;
use crate::names;
use crate::request::{Kind, Which};
use crate::spec;
use crate::stream::{Playback, Record};
use crate::time::Now;
use crate::wire::Packet;

impl Server {
    pub(super) fn set_volume(&mut self, kind: Kind, which: &Which, raw: &[u32]) -> Answered {
        one_way(which)?;
        let volume = spec::volume(raw).ok_or(PulseError::Invalid)?;
        self.set_level(kind, which, Some(volume), None)
    }

    pub(super) fn set_mute(&mut self, kind: Kind, which: &Which, mute: bool) -> Answered {
        one_way(which)?;
        self.set_level(kind, which, None, Some(mute))
    }

    fn set_level(&mut self, kind: Kind, which: &Which, volume: Option<ChannelVolume>, mute: Option<bool>) -> Answered {
        match kind {
            Kind::Sink => {
                let sink = self.sink(which)?;
                fits(volume.as_ref(), self.sinks.get(&sink).map(|sink| sink.device.config.spec.channels()))?;
                self.set_sink_level(sink, volume, mute);
            }
            Kind::Source => {
                let source = self.source(which)?;
                fits(volume.as_ref(), self.sources.get(&source).map(|source| source.device.config.spec.channels()))?;
                self.set_source_level(source, volume, mute);
            }
            Kind::SinkInput => {
                let id = PlaybackId(which.index.ok_or(PulseError::Invalid)?);
                let channels = self.playbacks.get(&id).map(|stream| stream.common.spec.channels());
                fits(volume.as_ref(), Some(channels.ok_or(PulseError::NoEntity)?))?;
                self.change_playback_level(id, volume, mute);
            }
            _ => {
                let id = RecordId(which.index.ok_or(PulseError::Invalid)?);
                let channels = self.records.get(&id).map(|stream| stream.common.spec.channels());
                fits(volume.as_ref(), Some(channels.ok_or(PulseError::NoEntity)?))?;
                self.change_record_level(id, volume, mute);
            }
        }
        Ok(Answer::Ack)
    }

    pub(super) fn change_playback_level(&mut self, id: PlaybackId, volume: Option<ChannelVolume>, mute: Option<bool>) {
        let Some(playback) = self.playbacks.get_mut(&id) else { return };
        let common = &mut playback.common;
        common.volume = volume.map_or(common.volume, |volume| spec::fitted(&volume, common.spec.channels()));
        common.muted = mute.unwrap_or(common.muted);
        let (volume, muted) = (common.volume, common.muted);
        self.events.push_back(Event::Playback(id, Change::Level { volume, muted }));
        self.notices.changed(Facility::SinkInput, id.0);
        let key = self.playbacks.get(&id).and_then(|stream| stream.common.memory.clone());
        self.remember(key, |kept| (kept.volume, kept.muted) = (Some(volume), Some(muted)));
    }

    pub(super) fn change_record_level(&mut self, id: RecordId, volume: Option<ChannelVolume>, mute: Option<bool>) {
        let Some(record) = self.records.get_mut(&id) else { return };
        let common = &mut record.common;
        common.volume = volume.map_or(common.volume, |volume| spec::fitted(&volume, common.spec.channels()));
        common.muted = mute.unwrap_or(common.muted);
        let (volume, muted) = (common.volume, common.muted);
        self.events.push_back(Event::Record(id, Change::Level { volume, muted }));
        self.notices.changed(Facility::SourceOutput, id.0);
        let key = self.records.get(&id).and_then(|stream| stream.common.memory.clone());
        self.remember(key, |kept| (kept.volume, kept.muted) = (Some(volume), Some(muted)));
    }

    pub(super) fn remember(&mut self, key: Option<CString>, change: impl FnOnce(&mut Remembered)) {
        let Some(key) = key else { return };
        let before = self.remembered.get(&key);
        if before.is_none() && self.remembered.len() >= MAX_REMEMBERED {
            return;
        }
        let mut kept = before.cloned().unwrap_or_default();
        change(&mut kept);
        if before != Some(&kept) {
            self.keep(key, kept);
        }
    }

    pub(super) fn set_default(&mut self, kind: Kind, name: Option<&CStr>, now: Now) -> Answered {
        let none = name == Some(names::NONE);
        ensure(none || name.is_none_or(names::is_valid), PulseError::Invalid)?;
        let before = self.defaults();
        if kind == Kind::Sink {
            let sink = if none { None } else { Some(self.sink_by_name(name).ok_or(PulseError::NoEntity)?) };
            self.default_sink = sink.and_then(|id| self.sinks.get(&id)).map(|sink| sink.device.config.name.clone());
        } else {
            let source = if none { None } else { Some(self.source_by_name(name).ok_or(PulseError::NoEntity)?) };
            self.default_source = source.and_then(|id| self.sources.get(&id)).map(|s| s.device.config.name.clone());
        }
        self.follow_defaults(before, now);
        let (sink, source) = (self.default_sink.clone(), self.default_source.clone());
        self.events.push_back(Event::Defaults { sink, source });
        Ok(Answer::Ack)
    }

    /// The default devices as they are now.
    pub(super) fn defaults(&self) -> (Option<SinkId>, Option<SourceId>) {
        (self.default_sink(), self.default_source())
    }

    /// The default devices may be others than `before`: streams on those move to the new ones, but for such as were put
    /// where they are or must stay.
    pub(super) fn follow_defaults(&mut self, before: (Option<SinkId>, Option<SourceId>), now: Now) {
        self.notices.changed(Facility::Server, u32::MAX);
        let after = self.defaults();
        if let (Some(old), Some(new)) = (before.0, after.0)
            && old != new
        {
            let follows = |stream: &Playback| stream.sink == old && !stream.common.placed;
            let streams: Vec<_> = self.playbacks.iter().filter(|(_, s)| follows(s)).map(|(&id, _)| id).collect();
            let free: Vec<_> = streams.into_iter().filter(|stream| self.may_move(*stream)).collect();
            free.into_iter().for_each(|stream| self.move_playback(stream, new, now));
        }
        if let (Some(old), Some(new)) = (before.1, after.1)
            && old != new
        {
            let free = |stream: &Record| !stream.common.placed && !stream.common.no_move && stream.direct_on.is_none();
            let streams = self.records.iter().filter(|(_, stream)| stream.source == old && free(stream));
            let streams: Vec<_> = streams.map(|(&id, _)| id).collect();
            streams.into_iter().for_each(|stream| self.move_record(stream, new));
        }
    }

    /// Devices here have no ports: what PulseAudio says of a device that has none to set.
    pub(super) fn set_port(&self, kind: Kind, which: &Which, port: Option<&CStr>) -> Answered {
        ensure(port.is_some(), PulseError::Invalid)?;
        one_way(which)?;
        match kind {
            Kind::Sink => drop(self.sink(which)?),
            _ => drop(self.source(which)?),
        }
        Err(PulseError::NotImplemented)
    }

    /// Suspends a device, or all of them where the name is empty.
    pub(super) fn suspend(&mut self, kind: Kind, which: &Which, suspend: bool) -> Answered {
        let all = which.index.is_none() && which.name.as_deref().is_some_and(CStr::is_empty);
        if !all {
            one_way(which)?;
        }
        if kind == Kind::Sink {
            let sinks = if all { self.sinks.keys().copied().collect() } else { vec![self.sink(which)?] };
            sinks.into_iter().for_each(|sink| self.suspend_sink(sink, suspend));
        } else {
            let sources = if all { self.sources.keys().copied().collect() } else { vec![self.source(which)?] };
            sources.into_iter().for_each(|source| self.suspend_source(source, suspend));
        }
        Ok(Answer::Ack)
    }

    fn suspend_sink(&mut self, id: SinkId, suspend: bool) {
        let Some(sink) = self.sinks.get_mut(&id) else { return };
        let monitor = sink.monitor;
        if std::mem::replace(&mut sink.device.suspended, suspend) == suspend {
            return;
        }
        self.events.push_back(Event::SinkSuspended(id, suspend));
        self.notices.changed(Facility::Sink, id.0);
        let on_it: Vec<_> = self.playbacks.iter().filter(|(_, p)| p.sink == id).map(|(&id, _)| id).collect();
        for stream in on_it {
            let Some(playback) = self.playbacks.get(&stream) else { continue };
            if suspend && playback.common.fail_on_suspend {
                self.kill_playback(stream);
            } else if let Some(owner) = playback.common.owner {
                let params = StreamSuspendedParams { stream_index: owner.channel, suspended: suspend };
                self.tell_client(owner.client, CommandTag::PlaybackStreamSuspended, |packet| packet.put(params));
            }
        }
        self.suspend_source(monitor, suspend);
    }

    fn suspend_source(&mut self, id: SourceId, suspend: bool) {
        let Some(source) = self.sources.get_mut(&id) else { return };
        if std::mem::replace(&mut source.device.suspended, suspend) == suspend {
            return;
        }
        self.events.push_back(Event::SourceSuspended(id, suspend));
        self.notices.changed(Facility::Source, id.0);
        let on_it: Vec<_> = self.records.iter().filter(|(_, r)| r.source == id).map(|(&id, _)| id).collect();
        for stream in on_it {
            let Some(record) = self.records.get(&stream) else { continue };
            if suspend && record.common.fail_on_suspend {
                self.kill_record(stream);
            } else if let Some(owner) = record.common.owner {
                let params = StreamSuspendedParams { stream_index: owner.channel, suspended: suspend };
                self.tell_client(owner.client, CommandTag::RecordStreamSuspended, |packet| packet.put(params));
            }
        }
    }

    pub(super) fn tell_client(&mut self, client: ClientId, command: CommandTag, write: impl FnOnce(&mut Packet)) {
        let Some(version) = self.clients.get(&client).map(|client| client.version) else { return };
        let mut packet = Packet::event(command, version);
        write(&mut packet);
        self.send(client, packet);
    }

    pub(super) fn kill_one(&mut self, kind: Kind, index: Option<u32>) -> Answered {
        let index = index.ok_or(PulseError::NoEntity)?;
        match kind {
            Kind::Client => {
                let id = ClientId(index);
                ensure(self.clients.get(&id).is_some_and(|client| client.admitted), PulseError::NoEntity)?;
                self.close(id, CloseReason::Killed);
            }
            Kind::SinkInput => {
                ensure(self.playbacks.contains_key(&PlaybackId(index)), PulseError::NoEntity)?;
                self.kill_playback(PlaybackId(index));
            }
            _ => {
                ensure(self.records.contains_key(&RecordId(index)), PulseError::NoEntity)?;
                self.kill_record(RecordId(index));
            }
        }
        Ok(Answer::Ack)
    }

    /// Ends a stream that its client did not want to end.
    pub(super) fn kill_playback(&mut self, id: PlaybackId) {
        if let Some(owner) = self.playbacks.get(&id).and_then(|stream| stream.common.owner) {
            self.tell_client(owner.client, CommandTag::PlaybackStreamKilled, |packet| packet.u32(owner.channel));
        }
        self.remove_playback(id);
    }

    /// The same for a record stream.
    pub(super) fn kill_record(&mut self, id: RecordId) {
        if let Some(owner) = self.records.get(&id).and_then(|stream| stream.common.owner) {
            self.tell_client(owner.client, CommandTag::RecordStreamKilled, |packet| packet.u32(owner.channel));
        }
        self.remove_record(id);
    }

    pub(super) fn move_stream(&mut self, kind: Kind, index: Option<u32>, device: &Which, now: Now) -> Answered {
        let index = index.ok_or(PulseError::Invalid)?;
        one_way(device)?;
        if kind == Kind::SinkInput {
            let (id, sink) = (PlaybackId(index), self.sink(device)?);
            let stream = self.playbacks.get(&id).ok_or(PulseError::NoEntity)?;
            ensure(self.may_move(id), PulseError::Invalid)?;
            let key = stream.common.memory.clone();
            self.place_playback(id, sink, now);
            let name = self.sinks.get(&sink).map(|sink| sink.device.config.name.clone());
            let placed = Some(sink) != self.default_sink();
            self.remember(key, |kept| kept.device = name.filter(|_| placed));
        } else {
            let (id, source) = (RecordId(index), self.source(device)?);
            let stream = self.records.get(&id).ok_or(PulseError::NoEntity)?;
            ensure(!stream.common.no_move && stream.direct_on.is_none(), PulseError::Invalid)?;
            let key = stream.common.memory.clone();
            self.place_record(id, source);
            let name = self.sources.get(&source).map(|source| source.device.config.name.clone());
            let placed = Some(source) != self.default_source();
            self.remember(key, |kept| kept.device = name.filter(|_| placed));
        }
        Ok(Answer::Ack)
    }

    /// Whether a stream, and those that start together with it, may go to another device.
    pub(super) fn may_move(&self, id: PlaybackId) -> bool {
        let free = |stream: &PlaybackId| self.playbacks.get(stream).is_some_and(|stream| !stream.common.no_move);
        self.group(id).iter().all(free)
    }

    /// Moves a stream as the user wants it, with those that start together with it: they play on one device. Who chooses
    /// the default device wants whatever is the default.
    pub(super) fn place_playback(&mut self, id: PlaybackId, sink: SinkId, now: Now) {
        let placed = Some(sink) != self.default_sink();
        for member in self.group(id) {
            if let Some(stream) = self.playbacks.get_mut(&member) {
                (stream.common.placed, stream.common.misses) = (placed, None);
            }
            self.move_playback(member, sink, now);
        }
    }

    /// The same for a record stream.
    pub(super) fn place_record(&mut self, id: RecordId, source: SourceId) {
        let placed = Some(source) != self.default_source();
        if let Some(stream) = self.records.get_mut(&id) {
            (stream.common.placed, stream.common.misses) = (placed, None);
        }
        self.move_record(id, source);
    }

    pub(super) fn move_playback(&mut self, id: PlaybackId, sink: SinkId, now: Now) {
        let Some(stream) = self.playbacks.get_mut(&id).filter(|stream| stream.sink != sink) else { return };
        stream.sink = sink;
        let owner = stream.common.owner;
        self.events.push_back(Event::Playback(id, Change::Moved(sink)));
        let fitted = self.refit_playback(id);
        let device = self.sinks.get(&sink).map(|sink| (sink.device.config.name.clone(), sink.device.suspended));
        if let (Some(owner), Some((attr, latency)), Some((name, suspended))) = (owner, fitted, device) {
            let params = PlaybackStreamMovedParams {
                stream_index: owner.channel,
                device_index: sink.0,
                device_name: name,
                device_suspended: suspended,
                buffer_attr: wire_attr(&attr),
                configured_sink_latency: latency,
            };
            self.tell_client(owner.client, CommandTag::PlaybackStreamMoved, |packet| packet.put(params));
        }
        self.notices.changed(Facility::SinkInput, id.0);
        self.settle(id, now);
    }

    pub(super) fn move_record(&mut self, id: RecordId, source: SourceId) {
        let Some(stream) = self.records.get_mut(&id).filter(|stream| stream.source != source) else { return };
        stream.source = source;
        let owner = stream.common.owner;
        self.events.push_back(Event::Record(id, Change::Moved(source)));
        let fitted = self.refit_record(id);
        let device =
            self.sources.get(&source).map(|source| (source.device.config.name.clone(), source.device.suspended));
        if let (Some(owner), Some((attr, latency)), Some((name, suspended))) = (owner, fitted, device) {
            let params = RecordStreamMovedParams {
                stream_index: owner.channel,
                device_index: source.0,
                device_name: name,
                device_suspended: suspended,
                buffer_attr: wire_record_attr(&attr),
                configured_source_latency: latency,
            };
            self.tell_client(owner.client, CommandTag::RecordStreamMoved, |packet| packet.put(params));
        }
        self.notices.changed(Facility::SourceOutput, id.0);
    }

    /// There are no modules, so none can be loaded: the error of a module that does not exist.
    pub(super) fn load_module(name: Option<&CStr>, argument: Option<&CStr>) -> PulseError {
        let text = |text: &CStr| text.to_str().is_ok();
        let fine = name.is_some_and(|name| !name.is_empty() && text(name) && !name.to_bytes().contains(&b'/'));
        if fine && argument.is_none_or(text) { PulseError::ModInitFailed } else { PulseError::Invalid }
    }

    /// A message to the extension of a module that is none here.
    pub(super) fn extension(module: &Which) -> PulseError {
        let text = module.name.as_deref().is_none_or(|name| name.to_str().is_ok());
        if text && module.index.is_some() != module.name.is_some() {
            PulseError::NoExtension
        } else {
            PulseError::Invalid
        }
    }

    /// There are no cards.
    pub(super) fn no_card(card: &Which, what: Option<&CStr>) -> PulseError {
        let named = card.name.as_deref().is_none_or(names::is_valid);
        let fine = named && what.is_some() && card.index.is_some() != card.name.is_some();
        if fine { PulseError::NoEntity } else { PulseError::Invalid }
    }

    /// A message to an object: the server itself is the only one, and knows one message, which lists the objects.
    pub(super) fn object_message(
        call: &Call,
        path: Option<&CStr>,
        message: Option<&CStr>,
        parameters: Option<&CStr>,
    ) -> Answered {
        let text = |text: Option<&CStr>| text.is_some_and(|text| text.to_str().is_ok());
        ensure(text(path) && text(message) && (parameters.is_none() || text(parameters)), PulseError::Invalid)?;
        ensure(path == Some(c"/core"), PulseError::NoEntity)?;
        ensure(message == Some(c"list-handlers"), PulseError::NotImplemented)?;
        let mut reply = call.reply();
        reply.string(Some(c"[{\"name\":\"/core\",\"description\":\"Core message handler\"}]"));
        Ok(Answer::Reply(reply))
    }
}

/// A volume must have one channel, or as many as what it is for.
fn fits(volume: Option<&ChannelVolume>, channels: Option<u8>) -> Result<(), PulseError> {
    let channels = channels.map(usize::from);
    let fine = volume.is_none_or(|volume| volume.channels().len() == 1 || Some(volume.channels().len()) == channels);
    ensure(fine, PulseError::Invalid)
}
