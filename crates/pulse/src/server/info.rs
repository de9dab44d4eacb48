//! What clients are told about everything there is.

use std::ffi::{CStr, CString};

use pulseaudio::protocol::{
    ChannelVolume, ClientInfo, PulseError, SampleInfo, SinkFlags, SinkInfo, SinkInputInfo, SinkState, SourceFlags,
    SourceInfo, SourceOutputInfo, SourceState, StatInfo, Volume,
};

use super::client::Client;
use super::lookup::ensure;
use super::samples::Sample;
use super::{Answer, Answered, Call, Server};
use crate::device::{Sink, Source};
use crate::formats;
use crate::id::{ClientId, PlaybackId, RecordId, SinkId, SourceId};
use crate::names;
use crate::props;
use crate::request::{Kind, Which};
use crate::spec::Spec;
use crate::stream::{Playback, Record};
use crate::time::Now;
use crate::wire::Packet;

/// What stands for "driver" and for whatever handles streams.
const DRIVER: &CStr = c"soundpost";
/// Steps between silent and full.
const VOLUME_STEPS: u32 = 0x1_0001;

impl Server {
    pub(super) fn server_info(&self, call: &Call) -> Answer {
        let config = &self.config;
        let sink = self.default_sink().and_then(|id| self.sinks.get(&id));
        let source = self.default_source().and_then(|id| self.sources.get(&id));
        let mut reply = call.reply();
        reply.string(Some(&config.name));
        reply.string(Some(&config.version));
        reply.string(Some(&config.user));
        reply.string(Some(&config.host));
        reply.put(config.spec.to_wire().protocol_downgrade(call.version));
        reply.string(sink.map(|sink| sink.device.config.name.as_c_str()));
        reply.string(source.map(|source| source.device.config.name.as_c_str()));
        reply.u32(config.instance);
        // The crate's own ServerInfo writes this for every version.
        if call.version >= 15 {
            reply.put(config.spec.map());
        }
        Answer::Reply(reply)
    }

    /// Memory in use: sound in streams and samples.
    pub(super) fn stat(&self, call: &Call) -> Answer {
        let narrow = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        let streams = self.playbacks.values().map(|playback| playback.queue.stored()).sum::<usize>();
        let waiting = self.records.values().map(|record| record.waiting.len()).sum::<usize>();
        let samples = self.samples.values().map(|sample| sample.bytes.len()).sum::<usize>();
        let count = narrow(self.playbacks.len() + self.records.len() + self.samples.len());
        let size = narrow(streams + waiting + samples);
        let mut reply = call.reply();
        reply.put(StatInfo {
            memblock_total: count,
            memblock_total_size: size,
            memblock_allocated: count,
            memblock_allocated_size: size,
            sample_cache_size: narrow(samples),
        });
        Answer::Reply(reply)
    }

    pub(super) fn info(&self, call: &Call, kind: Kind, which: &Which) -> Answered {
        let mut reply = call.reply();
        match kind {
            Kind::Sink => {
                let id = self.sink(which)?;
                reply.put(self.sink_info(id, self.sinks.get(&id).ok_or(PulseError::NoEntity)?, call));
            }
            Kind::Source => {
                let id = self.source(which)?;
                reply.put(self.source_info(id, self.sources.get(&id).ok_or(PulseError::NoEntity)?, call));
            }
            _ => {
                ensure(which.name.as_deref().is_none_or(names::is_valid), PulseError::Invalid)?;
                ensure(which.index.is_some() != which.name.is_some(), PulseError::Invalid)?;
                self.other_info(call, kind, which, &mut reply).ok_or(PulseError::NoEntity)?;
            }
        }
        Ok(Answer::Reply(reply))
    }

    fn other_info(&self, call: &Call, kind: Kind, which: &Which, reply: &mut Packet) -> Option<()> {
        match kind {
            Kind::SinkInput => {
                let id = PlaybackId(which.index?);
                reply.put(self.sink_input_info(id, self.playbacks.get(&id)?, call));
            }
            Kind::SourceOutput => {
                let id = RecordId(which.index?);
                reply.put(self.source_output_info(id, self.records.get(&id)?, call));
            }
            Kind::Client => {
                let id = ClientId(which.index?);
                reply.put(client_info(id, self.clients.get(&id).filter(|client| client.admitted)?));
            }
            Kind::Sample => {
                let index = which.index.or_else(|| self.sample_named(which.name.as_deref()?))?;
                reply.put(sample_info(index, self.samples.get(&index)?, reply.version()));
            }
            Kind::Sink | Kind::Source | Kind::Module | Kind::Card => return None,
        }
        Some(())
    }

    pub(super) fn info_list(&self, call: &Call, kind: Kind) -> Answer {
        let mut reply = call.reply();
        match kind {
            Kind::Sink => self.sinks.iter().for_each(|(&id, sink)| reply.put(self.sink_info(id, sink, call))),
            Kind::Source => self.sources.iter().for_each(|(&id, one)| reply.put(self.source_info(id, one, call))),
            Kind::SinkInput => {
                self.playbacks.iter().for_each(|(&id, one)| reply.put(self.sink_input_info(id, one, call)));
            }
            Kind::SourceOutput => {
                self.records.iter().for_each(|(&id, one)| reply.put(self.source_output_info(id, one, call)));
            }
            Kind::Client => {
                let admitted = self.clients.iter().filter(|(_, client)| client.admitted);
                admitted.for_each(|(&id, client)| reply.put(client_info(id, client)));
            }
            Kind::Sample => {
                self.samples.iter().for_each(|(&index, one)| reply.put(sample_info(index, one, call.version)));
            }
            Kind::Module | Kind::Card => {}
        }
        Answer::Reply(reply)
    }

    fn sink_info(&self, id: SinkId, sink: &Sink, call: &Call) -> SinkInfo {
        let device = &sink.device;
        let used = self.playbacks.values().any(|stream| stream.sink == id && !stream.common.corked);
        let state = if device.suspended {
            SinkState::Suspended
        } else if used {
            SinkState::Running
        } else {
            SinkState::Idle
        };
        let asked =
            self.playbacks.values().filter(|stream| stream.sink == id).map(|stream| stream.common.latency).min();
        SinkInfo {
            index: id.0,
            name: device.config.name.clone(),
            description: Some(device.config.description.clone()),
            props: described(&device.config.props, &device.config.description),
            state,
            sample_spec: device.config.spec.to_wire().protocol_downgrade(call.version),
            channel_map: device.config.spec.map(),
            owner_module_index: None,
            cvolume: device.volume,
            muted: device.muted,
            monitor_source_index: Some(sink.monitor.0),
            monitor_source_name: self.sources.get(&sink.monitor).map(|source| source.device.config.name.clone()),
            flags: SinkFlags::LATENCY | SinkFlags::DECIBEL_VOLUME | SinkFlags::DYNAMIC_LATENCY,
            actual_latency: device.latency,
            configured_latency: asked.unwrap_or(device.config.range.max),
            driver: Some(DRIVER.to_owned()),
            base_volume: Volume::NORM,
            volume_steps: Some(VOLUME_STEPS),
            card_index: None,
            ports: Vec::new(),
            active_port: 0,
            formats: vec![formats::any_pcm()],
        }
    }

    fn source_info(&self, id: SourceId, source: &Source, call: &Call) -> SourceInfo {
        let device = &source.device;
        let used = self.records.values().any(|stream| stream.source == id && !stream.common.corked);
        let state = match (device.suspended, used) {
            (true, _) => SourceState::Suspended,
            (false, true) => SourceState::Running,
            (false, false) => SourceState::Idle,
        };
        let asked = self.records.values().filter(|stream| stream.source == id && stream.common.latency > 0);
        let monitored = source.monitor_of.and_then(|sink| self.sinks.get(&sink));
        SourceInfo {
            index: id.0,
            name: device.config.name.clone(),
            description: Some(device.config.description.clone()),
            props: described(&device.config.props, &device.config.description),
            state,
            sample_spec: device.config.spec.to_wire().protocol_downgrade(call.version),
            channel_map: device.config.spec.map(),
            owner_module_index: None,
            cvolume: device.volume,
            base_volume: Volume::NORM,
            volume_steps: Some(VOLUME_STEPS),
            muted: device.muted,
            monitor_of_sink_index: source.monitor_of.map(SinkId::get),
            monitor_of_sink_name: monitored.map(|sink| sink.device.config.name.clone()),
            flags: SourceFlags::LATENCY | SourceFlags::DECIBEL_VOLUME | SourceFlags::DYNAMIC_LATENCY,
            actual_latency: device.latency,
            configured_latency: asked.map(|stream| stream.common.latency).min().unwrap_or(device.config.range.max),
            driver: Some(DRIVER.to_owned()),
            card_index: None,
            ports: Vec::new(),
            active_port: 0,
            formats: vec![formats::any_pcm()],
        }
    }

    fn sink_input_info(&self, id: PlaybackId, stream: &Playback, call: &Call) -> SinkInputInfo {
        let common = &stream.common;
        let device = self.sinks.get(&stream.sink).map(|sink| &sink.device);
        SinkInputInfo {
            index: id.0,
            name: named(props::text(&common.props, c"media.name")),
            owner_module_index: None,
            client_index: common.owner.map(|owner| owner.client.0),
            sink_index: stream.sink.0,
            sample_spec: common.spec.to_wire().protocol_downgrade(call.version),
            channel_map: common.spec.map(),
            cvolume: common.volume,
            buffer_latency: common.spec.micros(u64::try_from(stream.queue.length()).unwrap_or(0)),
            sink_latency: stream.micros_to_ear(call.now.at, device.map_or(0, |device| device.latency)),
            resample_method: Some(resampling(&common.spec, device.map(|device| device.config.spec)).to_owned()),
            driver: Some(DRIVER.to_owned()),
            props: common.props.clone(),
            muted: common.muted,
            corked: common.corked,
            has_volume: true,
            volume_writable: true,
            format: formats::of_spec(&common.spec),
        }
    }

    fn source_output_info(&self, id: RecordId, stream: &Record, call: &Call) -> SourceOutputInfo {
        let common = &stream.common;
        let device = self.sources.get(&stream.source).map(|source| &source.device);
        SourceOutputInfo {
            index: id.0,
            name: named(props::text(&common.props, c"media.name")),
            owner_module_index: None,
            client_index: common.owner.map(|owner| owner.client.0),
            source_index: stream.source.0,
            sample_spec: common.spec.to_wire().protocol_downgrade(call.version),
            channel_map: common.spec.map(),
            cvolume: common.volume,
            buffer_latency: common.spec.micros(u64::try_from(stream.waiting.len()).unwrap_or(0)),
            source_latency: age(stream, call.now, device.map_or(0, |device| device.latency)),
            resample_method: Some(resampling(&common.spec, device.map(|device| device.config.spec)).to_owned()),
            driver: Some(DRIVER.to_owned()),
            props: common.props.clone(),
            muted: common.muted,
            corked: common.corked,
            has_volume: true,
            volume_writable: true,
            format: formats::of_spec(&common.spec),
        }
    }
}

fn age(stream: &Record, now: Now, device: u64) -> u64 {
    stream.age(now.at, device)
}

/// Whether a stream's rate is converted.
fn resampling(stream: &Spec, device: Option<Spec>) -> &'static CStr {
    if device.is_some_and(|device| device.rate() == stream.rate()) { c"copy" } else { c"soundpost" }
}

fn named(name: Option<&CStr>) -> CString {
    name.unwrap_or(c"(null)").to_owned()
}

fn described(list: &pulseaudio::protocol::Props, description: &CStr) -> pulseaudio::protocol::Props {
    let mut list = list.clone();
    props::set(&mut list, c"device.description", description);
    list
}

fn client_info(id: ClientId, client: &Client) -> ClientInfo {
    ClientInfo {
        index: id.0,
        name: named(props::text(&client.props, c"application.name")),
        owner_module_index: None,
        driver: Some(DRIVER.to_owned()),
        props: client.props.clone(),
    }
}

fn sample_info(index: u32, sample: &Sample, version: u16) -> SampleInfo {
    let length = u32::try_from(sample.bytes.len()).unwrap_or(u32::MAX);
    SampleInfo {
        index,
        name: sample.name.clone(),
        cvolume: ChannelVolume::norm(sample.spec.channels()),
        sample_spec: sample.spec.to_wire().protocol_downgrade(version),
        channel_map: sample.spec.map(),
        duration: sample.spec.micros(length.into()),
        length,
        lazy: None,
        props: sample.props.clone(),
    }
}
