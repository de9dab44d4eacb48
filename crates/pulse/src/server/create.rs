//! New streams.

use std::collections::VecDeque;
use std::ffi::CString;

use pulseaudio::protocol::{
    self, ChannelMap, ChannelVolume, CreatePlaybackStreamReply, CreateRecordStreamReply, Props, PulseError,
};
use soundpost_core::Instant;

use super::client::Outgoing;
use super::lookup::ensure;
use super::notify::Facility;
use super::{Answer, Answered, Call, Server};
use crate::buffer::{self, BufferAttr, RecordAttr};
use crate::device::Device;
use crate::event::{Event, Mixing, NewStream, Remembered};
use crate::formats;
use crate::id::{PlaybackId, RecordId};
use crate::limits::{MAX_ALL_STREAMS, MAX_CLIENT_PROPS, MAX_STREAMS, SURE_STREAMS};
use crate::names;
use crate::props;
use crate::queue::Queue;
use crate::request::{CreatePlayback, CreateRecord, Flags, UpdateMode, Which};
use crate::spec::{self, Spec, position, sample_format};
use crate::stream::{Common, MEMORY, Owner, Playback, Record, memory_key};
use crate::timing::Timing;
use crate::wire::{Packet, RawFormat, RawSpec, RawVolume};

impl Server {
    pub(super) fn create_playback(&mut self, call: &Call, request: &CreatePlayback) -> Answered {
        ensure(request.sink.name.as_deref().is_none_or(names::is_valid_sink), PulseError::Invalid)?;
        ensure(spec::volume(&request.volume).is_some(), PulseError::Invalid)?;
        let plain = checked_spec(&request.spec, &request.map, &request.formats)?;
        ensure(plain.is_none_or(|s| usize::from(s.channels()) == request.volume.len()), PulseError::Invalid)?;
        let client = self.clients.get_mut(&call.client).ok_or(PulseError::Internal)?;
        ensure(another(client.outgoing.len(), self.playbacks.len()), PulseError::TooLarge)?;
        let channel = client.outgoing_channels.next(|channel| client.outgoing.contains_key(&channel));
        self.room_for_props(call, &request.props, 0)?;

        let (list, memory) = self.stream_props(call, "sink-input", &request.props);
        let kept = memory.as_ref().and_then(|key| self.remembered.get(key)).cloned().unwrap_or_default();
        let mut placed = false;
        let mut sink = self.sink(&request.sink)?;
        let left_open = request.sink.index.is_none() && request.sink.name.is_none();
        let together = self.synced(call, request.sync).and_then(|id| self.playbacks.get(&id));
        if let Some((other, is_placed)) = together.map(|other| (other.sink, other.common.placed)) {
            // Streams that start together play on one device, and move together.
            ensure(left_open || other == sink, PulseError::Invalid)?;
            (sink, placed) = (other, is_placed);
        } else if left_open
            && let Some(name) = &kept.device
            && let Some(device) = self.sink_by_name(Some(name))
        {
            (sink, placed) = (device, true);
        }
        let device = &self.sinks.get(&sink).ok_or(PulseError::NoEntity)?.device;
        ensure(!(device.suspended && request.flags.fail_on_suspend), PulseError::BadState)?;
        let spec = chosen_spec(plain, &request.formats, &request.flags, device)?;
        let given = request.volume_set.then_some(&request.volume);
        let (volume, muted) = level(given, request.muted, &kept, &spec);
        let (attr, latency) = buffer::playback(request.attr, request.mode, &spec, device.config.range);
        let (device_name, suspended) = (device.config.name.clone(), device.suspended);
        let start =
            self.synced(call, request.sync).and_then(|id| self.playbacks.get(&id)).map_or(0, |s| s.queue.read_index());
        let mut queue = Queue::new(start, &attr, spec.frame(), spec.silence());
        let requested = queue.pop_missing();
        let attr = queue.attr();
        let id = PlaybackId(self.playback_indices.next(|index| self.playbacks.contains_key(&PlaybackId(index))));
        let common = Common {
            owner: Some(Owner { client: call.client, channel }),
            spec,
            corked: request.corked,
            volume,
            muted,
            props: list,
            mode: request.mode,
            latency,
            no_move: request.flags.no_move,
            memory,
            placed,
            misses: None,
            variable_rate: request.flags.variable_rate,
            fail_on_suspend: request.flags.fail_on_suspend,
        };
        self.events.push_back(Event::NewPlayback(Box::new(NewStream {
            id,
            client: Some(call.client),
            device: sink,
            spec,
            corked: common.corked,
            volume,
            muted,
            latency,
            mixing: mixing(&request.flags),
            peak_detect: false,
            direct_on: None,
            props: common.props.clone(),
        })));
        self.playbacks.insert(id, Playback::new(common, sink, queue, request.attr, request.sync));
        if let Some(client) = self.clients.get_mut(&call.client) {
            client.outgoing.insert(channel, Outgoing::Playback(id));
        }
        self.notices.added(Facility::SinkInput, id.0);
        // One that runs on without sound is read from the start.
        self.settle(id, call.now);
        let mut reply = call.reply();
        reply.put(CreatePlaybackStreamReply {
            channel,
            stream_index: id.0,
            requested_bytes: requested,
            buffer_attr: wire_attr(&attr),
            sample_spec: spec.to_wire(),
            channel_map: spec.map(),
            stream_latency: latency,
            sink_index: sink.0,
            sink_name: Some(device_name),
            suspended,
            format: formats::of_spec(&spec),
        });
        Ok(Answer::Reply(reply))
    }

    /// Another playback stream of the client with the same number to start with.
    fn synced(&self, call: &Call, sync: u32) -> Option<PlaybackId> {
        let client = self.clients.get(&call.client)?;
        client.playbacks().into_iter().find(|id| self.playbacks.get(id).is_some_and(|other| other.sync == sync))
    }

    pub(super) fn create_record(&mut self, call: &Call, request: &CreateRecord) -> Answered {
        ensure(request.source.name.as_deref().is_none_or(names::is_valid_source), PulseError::Invalid)?;
        let plain = checked_spec(&request.spec, &request.map, &request.formats)?;
        ensure(request.volume.as_ref().is_none_or(|raw| spec::volume(raw).is_some()), PulseError::Invalid)?;
        let client = self.clients.get_mut(&call.client).ok_or(PulseError::Internal)?;
        ensure(another(client.recording.len(), self.records.len()), PulseError::TooLarge)?;
        let channel = client.recording_channels.next(|channel| client.recording.contains_key(&channel));
        self.room_for_props(call, &request.props, 0)?;

        let (list, memory) = self.stream_props(call, "source-output", &request.props);
        let kept = memory.as_ref().and_then(|key| self.remembered.get(key)).cloned().unwrap_or_default();
        let mut placed = false;
        let mut source = self.source(&request.source)?;
        let direct_on = request.direct_on_input.map(PlaybackId);
        if let Some(direct) = direct_on {
            ensure(self.playbacks.contains_key(&direct), PulseError::NoEntity)?;
        }
        let left_open = request.source == Which { index: None, name: None };
        if left_open
            && let Some(name) = &kept.device
            && let Some(device) = self.source_by_name(Some(name))
        {
            (source, placed) = (device, true);
        }
        let device = &self.sources.get(&source).ok_or(PulseError::NoEntity)?.device;
        ensure(!(device.suspended && request.flags.fail_on_suspend), PulseError::BadState)?;
        let spec = chosen_spec(plain, &request.formats, &request.flags, device)?;
        let (volume, muted) = level(request.volume.as_ref(), request.muted, &kept, &spec);
        let (attr, latency) = buffer::record(request.attr, request.mode, &spec, device.config.range);
        let (device_name, suspended) = (device.config.name.clone(), device.suspended);
        let id = RecordId(self.record_indices.next(|index| self.records.contains_key(&RecordId(index))));
        let common = Common {
            owner: Some(Owner { client: call.client, channel }),
            spec,
            corked: request.corked,
            volume,
            muted,
            props: list,
            mode: request.mode,
            latency,
            no_move: request.flags.no_move,
            memory,
            placed,
            misses: None,
            variable_rate: request.flags.variable_rate,
            fail_on_suspend: request.flags.fail_on_suspend,
        };
        self.events.push_back(Event::NewRecord(Box::new(NewStream {
            id,
            client: Some(call.client),
            device: source,
            spec,
            corked: common.corked,
            volume,
            muted,
            latency,
            mixing: mixing(&request.flags),
            peak_detect: request.peak_detect,
            direct_on,
            props: common.props.clone(),
        })));
        let asked = request.attr;
        let record = Record { common, source, attr, asked, waiting: VecDeque::new(), sent: 0, pushed: None, direct_on };
        self.records.insert(id, record);
        if let Some(client) = self.clients.get_mut(&call.client) {
            client.recording.insert(channel, id);
        }
        self.notices.added(Facility::SourceOutput, id.0);
        // The crate writes the format from version 21 on; it came with 22.
        let mut reply = Packet::reply(call.sequence, if call.version == 21 { 20 } else { call.version });
        reply.put(CreateRecordStreamReply {
            channel,
            stream_index: id.0,
            buffer_attr: wire_record_attr(&attr),
            sample_spec: spec.to_wire(),
            channel_map: spec.map(),
            stream_latency: latency,
            sink_index: source.0,
            sink_name: Some(device_name),
            suspended,
            format: formats::of_spec(&spec),
        });
        Ok(Answer::Reply(reply))
    }

    /// A new stream's properties: its own, and those of its client that it does not have, as far as there is room for
    /// them; and under which name its application's choices are remembered.
    fn stream_props(&self, call: &Call, direction: &str, own: &Props) -> (Props, Option<CString>) {
        let mut list = own.clone();
        if let Some(client) = self.clients.get(&call.client) {
            list = props::updated(own, UpdateMode::Merge, &client.props);
        }
        let memory = memory_key(direction, &list);
        if let Some(key) = &memory {
            props::set(&mut list, MEMORY, key);
        }
        match self.room_for_props(call, &list, 0) {
            Ok(()) => (list, memory),
            Err(_) => (own.clone(), memory),
        }
    }

    /// That a list of properties is within its own bounds, and within those of its client where `replaced` bytes of it
    /// go away.
    pub(super) fn room_for_props(&self, call: &Call, list: &Props, replaced: usize) -> Result<(), PulseError> {
        let (count, bytes) = props::size(list);
        let fine = count <= crate::limits::MAX_PROPS && bytes <= crate::limits::MAX_PROPS_BYTES;
        ensure(fine && self.props_bytes(call) + bytes <= MAX_CLIENT_PROPS + replaced, PulseError::TooLarge)
    }

    /// Bytes of all property lists of the client.
    fn props_bytes(&self, call: &Call) -> usize {
        let Some(client) = self.clients.get(&call.client) else { return 0 };
        let outgoing = client.outgoing.values().map(|outgoing| match outgoing {
            Outgoing::Playback(id) => self.playbacks.get(id).map_or(0, |stream| props::size(&stream.common.props).1),
            Outgoing::Upload(upload) => props::size(&upload.props).1,
        });
        let recording = client.recording.values();
        let recording =
            recording.map(|id| self.records.get(id).map_or(0, |stream| props::size(&stream.common.props).1));
        props::size(&client.props).1 + outgoing.sum::<usize>() + recording.sum::<usize>()
    }
}

impl Playback {
    pub(super) fn new(common: Common, sink: crate::id::SinkId, queue: Queue, asked: BufferAttr, sync: u32) -> Self {
        Self {
            common,
            sink,
            queue,
            asked,
            sync,
            drain: None,
            is_underrun: true,
            underrun_for: None,
            playing_for: 0,
            heard_until: Instant::ORIGIN,
            timing: Timing::default(),
            end_timer: None,
            told_readable: false,
        }
    }
}

/// Whether a client that has `own` streams of a kind may have another, where all clients have `all`.
const fn another(own: usize, all: usize) -> bool {
    own < MAX_STREAMS && (all < MAX_ALL_STREAMS || own < SURE_STREAMS)
}

/// The spec that a request gives outright; none where it gives a list of formats instead.
fn checked_spec(raw: &RawSpec, map: &[u8], list: &[RawFormat]) -> Result<Option<Spec>, PulseError> {
    if list.is_empty() {
        return spec_of(raw, map).map(Some);
    }
    ensure(list.iter().all(formats::is_known), PulseError::Invalid).map(|()| None)
}

/// A spec out of raw numbers.
pub(super) fn spec_of(raw: &RawSpec, map: &[u8]) -> Result<Spec, PulseError> {
    let places: Option<Vec<_>> = map.iter().map(|&number| position(number)).collect();
    let places = places.filter(|places| places.len() == usize::from(raw.channels) && places.len() <= 32);
    let (format, places) = sample_format(raw.format).zip(places).ok_or(PulseError::Invalid)?;
    Spec::new(format, raw.rate, ChannelMap::new(places)).ok_or(PulseError::Invalid)
}

/// The spec that a stream gets: what it gave, or the first of its formats that fits, with what it wants to have of the
/// device in place of its own.
fn chosen_spec(plain: Option<Spec>, list: &[RawFormat], flags: &Flags, device: &Device) -> Result<Spec, PulseError> {
    ensure(!flags.passthrough, PulseError::NotSupported)?;
    let theirs = device.config.spec;
    let spec = plain.or_else(|| formats::choose(list, &theirs)).ok_or(PulseError::NotSupported)?;
    let format = if flags.fix_format { theirs.format() } else { spec.format() };
    let rate = if flags.fix_rate { theirs.rate() } else { spec.rate() };
    let map = if flags.fix_channels { theirs.map() } else { spec.map() };
    Spec::new(format, rate, map).ok_or(PulseError::NotSupported)
}

/// What a stream begins with: what the client says, else what was remembered, else full and not muted.
fn level(given: Option<&RawVolume>, muted: Option<bool>, kept: &Remembered, spec: &Spec) -> (ChannelVolume, bool) {
    let volume = given.and_then(|raw| spec::volume(raw)).or(kept.volume);
    let volume = volume.map_or_else(|| ChannelVolume::norm(spec.channels()), |v| spec::fitted(&v, spec.channels()));
    (volume, muted.or(kept.muted).unwrap_or(false))
}

const fn mixing(flags: &Flags) -> Mixing {
    Mixing { no_remap: flags.no_remap, no_remix: flags.no_remix }
}

pub(super) fn wire_attr(attr: &BufferAttr) -> protocol::stream::BufferAttr {
    protocol::stream::BufferAttr {
        max_length: attr.max_length,
        target_length: attr.target_length,
        pre_buffering: attr.prebuf,
        minimum_request_length: attr.min_request,
        fragment_size: 0,
    }
}

pub(super) fn wire_record_attr(attr: &RecordAttr) -> protocol::stream::BufferAttr {
    protocol::stream::BufferAttr { max_length: attr.max_length, fragment_size: attr.fragment, ..Default::default() }
}
