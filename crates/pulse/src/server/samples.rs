//! The sample cache: short sounds that clients upload once and have played by name.

use std::ffi::{CStr, CString};
use std::sync::Arc;

use pulseaudio::protocol::{ChannelVolume, CreateUploadStreamReply, Props, PulseError};

use super::client::Outgoing;
use super::create::spec_of;
use super::lookup::ensure;
use super::notify::Facility;
use super::{Answer, Answered, Call, Server};
use crate::buffer::{BufferAttr, LatencyMode};
use crate::event::{Event, Mixing, NewStream};
use crate::id::PlaybackId;
use crate::limits::{MAX_PLAYING_SAMPLES, MAX_SAMPLE, MAX_SAMPLES, MAX_SAMPLES_BYTES, MAX_STREAMS};
use crate::names;
use crate::props;
use crate::queue::Queue;
use crate::request::{CreateUpload, UpdateMode, Which};
use crate::spec::{self, Spec};
use crate::stream::{Common, MEMORY, Playback, Upload, memory_key};

#[derive(Debug)]
pub(super) struct Sample {
    pub(super) name: CString,
    pub(super) spec: Spec,
    pub(super) props: Props,
    pub(super) bytes: Arc<Vec<u8>>,
}

impl Server {
    pub(super) fn create_upload(&mut self, call: &Call, request: &CreateUpload) -> Answered {
        let spec = spec_of(&request.spec, &request.map)?;
        ensure(request.length > 0 && request.length.is_multiple_of(spec.frame()), PulseError::Invalid)?;
        ensure(request.length <= MAX_SAMPLE, PulseError::TooLarge)?;
        let own = request.name.as_deref();
        let name = own
            .or_else(|| props::text(&request.props, c"event.id"))
            .or_else(|| props::text(&request.props, c"media.name"));
        let name = name.filter(|name| names::is_valid(name)).ok_or(PulseError::Invalid)?.to_owned();
        self.room_for_props(call, &request.props, 0)?;
        let client = self.clients.get_mut(&call.client).ok_or(PulseError::Internal)?;
        ensure(client.outgoing.len() < MAX_STREAMS, PulseError::TooLarge)?;
        let channel = client.outgoing_channels.next(|channel| client.outgoing.contains_key(&channel));
        let (length, list) = (request.length, request.props.clone());
        client
            .outgoing
            .insert(channel, Outgoing::Upload(Upload { name, spec, props: list, length, bytes: Vec::new() }));
        let mut reply = call.reply();
        reply.put(CreateUploadStreamReply { channel, length });
        Ok(Answer::Reply(reply))
    }

    /// The upload becomes a sample, in place of an older one of its name. What was announced and did not come is not in
    /// it.
    pub(super) fn finish_upload(&mut self, call: &Call, channel: u32) -> Answered {
        let mut upload = self.take_upload(call, channel)?;
        ensure(!upload.bytes.is_empty(), PulseError::TooLarge)?;
        let older = self.sample_named(&upload.name);
        let others = self.samples.iter().filter(|(index, _)| Some(**index) != older);
        let held: usize = others.map(|(_, sample)| sample.bytes.len() + props::size(&sample.props).1).sum();
        ensure(held + upload.bytes.len() + props::size(&upload.props).1 <= MAX_SAMPLES_BYTES, PulseError::TooLarge)?;
        ensure(older.is_some() || self.samples.len() < MAX_SAMPLES, PulseError::TooLarge)?;
        let whole = upload.bytes.len() / frame(&upload.spec) * frame(&upload.spec);
        // As it is: to copy 16 MiB would take longer than a pass may wait.
        upload.bytes.truncate(whole);
        let bytes = Arc::new(upload.bytes);
        let index = older.unwrap_or_else(|| self.sample_indices.next(|index| self.samples.contains_key(&index)));
        let sample = Sample { name: upload.name, spec: upload.spec, props: upload.props, bytes };
        if self.samples.insert(index, sample).is_some() {
            self.notices.changed(Facility::Sample, index);
        } else {
            self.notices.added(Facility::Sample, index);
        }
        Ok(Answer::Ack)
    }

    pub(super) fn sample_named(&self, name: &CStr) -> Option<u32> {
        self.samples.iter().find(|(_, sample)| *sample.name == *name).map(|(&index, _)| index)
    }

    /// Plays a sample as a stream that belongs to nobody and ends by itself.
    pub(super) fn play_sample(
        &mut self,
        call: &Call,
        sink: &Which,
        volume: u32,
        name: Option<&CStr>,
        list: Props,
    ) -> Answered {
        let name = name.filter(|name| names::is_valid(name)).ok_or(PulseError::Invalid)?;
        let sink = self.sink(sink)?;
        let index = self.sample_named(name).ok_or(PulseError::NoEntity)?;
        let sample = self.samples.get(&index).ok_or(PulseError::NoEntity)?;
        let playing = self.playbacks.values().filter(|playback| playback.common.owner.is_none()).count();
        ensure(playing < MAX_PLAYING_SAMPLES, PulseError::TooLarge)?;
        let length = u32::try_from(sample.bytes.len()).unwrap_or(MAX_SAMPLE);
        let attr = BufferAttr { max_length: length, target_length: length, prebuf: 0, min_request: length };
        let spec = sample.spec;
        let queue = Queue::of_sample(&sample.bytes, spec.frame(), spec.silence());
        // What the request says counts most, then the sample's own properties, then the client's.
        let mut props = props::updated(&sample.props, UpdateMode::Replace, &list);
        if let Some(client) = self.clients.get(&call.client) {
            props = props::updated(&props, UpdateMode::Merge, &client.props);
        }
        if props.get_bytes(c"media.name").is_none() {
            props::set(&mut props, c"media.name", name);
        }
        let memory = memory_key("sink-input", &props);
        if let Some(key) = &memory {
            props::set(&mut props, MEMORY, key);
        }
        // Who leaves the volume open gets that of his event sounds.
        let kept = memory.as_ref().and_then(|key| self.remembered.get(key)).cloned().unwrap_or_default();
        let given = spec::volume(&vec![volume; spec.channels().into()]).or(kept.volume);
        let volume = given.map_or_else(|| ChannelVolume::norm(spec.channels()), |v| spec::fitted(&v, spec.channels()));
        let muted = kept.muted.unwrap_or(false);
        let id = PlaybackId(self.playback_indices.next(|index| self.playbacks.contains_key(&PlaybackId(index))));
        let mixing = Mixing::default();
        self.events.push_back(Event::NewPlayback(Box::new(NewStream {
            id,
            client: None,
            device: sink,
            spec,
            corked: false,
            volume,
            muted,
            latency: 0,
            mixing,
            peak_detect: false,
            direct_on: None,
            props: props.clone(),
        })));
        let common = Common {
            owner: None,
            spec,
            corked: false,
            volume,
            muted,
            props,
            mode: LatencyMode::default(),
            latency: 0,
            no_move: false,
            memory,
            placed: false,
            misses: None,
            variable_rate: false,
            fail_on_suspend: false,
        };
        self.playbacks.insert(id, Playback::new(common, sink, queue, attr, u32::MAX));
        self.notices.added(Facility::SinkInput, id.0);
        self.settle(id, call.now);
        let mut reply = call.reply();
        reply.u32(id.0);
        Ok(Answer::Reply(reply))
    }

    pub(super) fn remove_sample(&mut self, name: Option<&CStr>) -> Answered {
        let name = name.filter(|name| names::is_valid(name)).ok_or(PulseError::Invalid)?;
        let index = self.sample_named(name).ok_or(PulseError::NoEntity)?;
        self.samples.remove(&index);
        self.notices.removed(Facility::Sample, index);
        Ok(Answer::Ack)
    }
}

fn frame(spec: &Spec) -> usize {
    usize::try_from(spec.frame()).unwrap_or(1)
}
