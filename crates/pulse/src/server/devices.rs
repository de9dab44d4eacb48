//! Devices, as the host adds, changes and removes them.

use std::ffi::CString;

use pulseaudio::protocol::ChannelVolume;

use super::Server;
use super::notify::Facility;
use crate::device::{Device, DeviceConfig, Sink, Source};
use crate::event::Event;
use crate::id::{PlaybackId, RecordId, SinkId, SourceId};
use crate::limits::MAX_NAME;
use crate::names;
use crate::props;
use crate::stream::Common;
use crate::time::Now;

/// Why a device was not added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The name is not one that clients could use.
    #[error("the device name {0:?} is not usable: take letters, digits, `.`, `-` and `_`, at most 120 of them")]
    Name(CString),
    /// There is one of that name.
    #[error("there is a device named {0:?} already: choose another name")]
    Taken(CString),
}

impl Server {
    /// Adds a sink, and its monitor: a source of the same name with `.monitor` behind it.
    ///
    /// # Errors
    ///
    /// [`DeviceError`].
    pub fn add_sink(&mut self, config: DeviceConfig) -> Result<(SinkId, SourceId), DeviceError> {
        self.check_name(&config.name)?;
        let monitor_name = joined(&[config.name.to_bytes(), b".monitor"]);
        self.check_name(&monitor_name)?;
        let sink = SinkId(self.sink_indices.next(|index| self.sinks.contains_key(&SinkId(index))));
        let monitor = self.next_source();
        let mut monitor_props = config.props.clone();
        props::set(&mut monitor_props, c"device.class", c"monitor");
        let monitor_config = DeviceConfig {
            name: monitor_name,
            description: joined(&[b"Monitor of ", config.description.to_bytes()]),
            props: monitor_props,
            volume: None,
            muted: false,
            ..config.clone()
        };
        let before = self.defaults();
        self.sinks.insert(sink, Sink { device: Device::new(config), monitor });
        self.sources.insert(monitor, Source { device: Device::new(monitor_config), monitor_of: Some(sink) });
        self.notices.added(Facility::Sink, sink.0);
        self.notices.added(Facility::Source, monitor.0);
        self.follow_defaults(before, self.now);
        self.come_back_to_sink(sink);
        self.come_back_to_source(monitor);
        self.deliver();
        Ok((sink, monitor))
    }

    /// Adds a source.
    ///
    /// # Errors
    ///
    /// [`DeviceError`].
    pub fn add_source(&mut self, config: DeviceConfig) -> Result<SourceId, DeviceError> {
        self.check_name(&config.name)?;
        let source = self.next_source();
        let before = self.defaults();
        self.sources.insert(source, Source { device: Device::new(config), monitor_of: None });
        self.notices.added(Facility::Source, source.0);
        self.follow_defaults(before, self.now);
        self.come_back_to_source(source);
        self.deliver();
        Ok(source)
    }

    /// Streams that users had put on a device of this name go back to it.
    fn come_back_to_sink(&mut self, id: SinkId) {
        let Some(name) = self.sinks.get(&id).map(|sink| sink.device.config.name.clone()) else { return };
        let missing = self.playbacks.iter().filter(|(_, stream)| stream.common.misses.as_ref() == Some(&name));
        let missing: Vec<PlaybackId> = missing.map(|(&id, _)| id).collect();
        missing.into_iter().for_each(|stream| self.place_playback(stream, id, self.now));
    }

    /// The same for a source.
    fn come_back_to_source(&mut self, id: SourceId) {
        let Some(name) = self.sources.get(&id).map(|source| source.device.config.name.clone()) else { return };
        let missing = self.records.iter().filter(|(_, stream)| stream.common.misses.as_ref() == Some(&name));
        let missing: Vec<RecordId> = missing.map(|(&id, _)| id).collect();
        missing.into_iter().for_each(|stream| self.place_record(stream, id));
    }

    fn next_source(&mut self) -> SourceId {
        SourceId(self.source_indices.next(|index| self.sources.contains_key(&SourceId(index))))
    }

    fn check_name(&self, name: &CString) -> Result<(), DeviceError> {
        if !names::is_valid(name) || name.as_bytes().len() > MAX_NAME {
            return Err(DeviceError::Name(name.clone()));
        }
        let sinks = self.sinks.values().map(|sink| &sink.device);
        let mut all = sinks.chain(self.sources.values().map(|source| &source.device));
        if all.any(|device| device.config.name == *name) { Err(DeviceError::Taken(name.clone())) } else { Ok(()) }
    }

    /// Removes a sink and its monitor. Streams on them move to the default, or end where there is none, or they may not
    /// be moved. Those that a user had put there come back when there is a sink of that name again.
    pub fn remove_sink(&mut self, id: SinkId, now: Now) {
        let before = self.defaults();
        let Some(sink) = self.sinks.remove(&id) else { return };
        let playing: Vec<PlaybackId> = self.playbacks.iter().filter(|(_, p)| p.sink == id).map(|(&id, _)| id).collect();
        for stream in playing {
            let may = self.playbacks.get(&stream).is_some_and(|playback| !playback.common.no_move);
            match self.default_sink().filter(|_| may) {
                Some(other) => {
                    if let Some(playback) = self.playbacks.get_mut(&stream) {
                        playback.common.misses(&sink.device);
                    }
                    self.move_playback(stream, other, now);
                }
                None => self.kill_playback(stream),
            }
        }
        self.notices.removed(Facility::Sink, id.0);
        self.take_source(sink.monitor);
        self.follow_defaults(before, now);
        self.deliver();
    }

    /// Removes a source. Streams on it move to the default, or end where there is none, or they may not be moved.
    /// A monitor goes with its sink alone.
    pub fn remove_source(&mut self, id: SourceId) {
        if self.sources.get(&id).is_none_or(|source| source.monitor_of.is_some()) {
            return;
        }
        let before = self.defaults();
        self.take_source(id);
        self.follow_defaults(before, self.now);
        self.deliver();
    }

    fn take_source(&mut self, id: SourceId) {
        let Some(source) = self.sources.remove(&id) else { return };
        let recording: Vec<RecordId> = self.records.iter().filter(|(_, r)| r.source == id).map(|(&id, _)| id).collect();
        for stream in recording {
            let may =
                self.records.get(&stream).is_some_and(|record| !record.common.no_move && record.direct_on.is_none());
            match self.default_source().filter(|_| may) {
                Some(other) => {
                    if let Some(record) = self.records.get_mut(&stream) {
                        record.common.misses(&source.device);
                    }
                    self.move_record(stream, other);
                }
                None => self.kill_record(stream),
            }
        }
        self.notices.removed(Facility::Source, id.0);
    }

    /// Sets a sink's volume or mute in the host's name, such as when the listener has changed it.
    pub fn set_sink_level(&mut self, id: SinkId, volume: Option<ChannelVolume>, muted: Option<bool>) {
        let Some(sink) = self.sinks.get_mut(&id) else { return };
        let (volume, muted) = sink.device.set_level(volume, muted);
        self.events.push_back(Event::SinkLevel { sink: id, volume, muted });
        self.notices.changed(Facility::Sink, id.0);
        self.deliver();
    }

    /// The same for a source.
    pub fn set_source_level(&mut self, id: SourceId, volume: Option<ChannelVolume>, muted: Option<bool>) {
        let Some(source) = self.sources.get_mut(&id) else { return };
        let (volume, muted) = source.device.set_level(volume, muted);
        self.events.push_back(Event::SourceLevel { source: id, volume, muted });
        self.notices.changed(Facility::Source, id.0);
        self.deliver();
    }

    /// How long sound takes in microseconds from a sink's buffer to the ear, for streams that do not play just now.
    pub fn set_sink_latency(&mut self, id: SinkId, micros: u64) {
        if let Some(sink) = self.sinks.get_mut(&id) {
            sink.device.latency = micros;
        }
    }

    /// How long sound takes in microseconds from the mouth to a source's streams.
    pub fn set_source_latency(&mut self, id: SourceId, micros: u64) {
        if let Some(source) = self.sources.get_mut(&id) {
            source.device.latency = micros;
        }
    }

    /// Chooses the defaults in the host's name, as [`Event::Defaults`] told them at an earlier start. A name of a device
    /// that is not there counts from when it is. Streams on the defaults that were follow, as after a client's choice.
    pub fn set_defaults(&mut self, sink: Option<CString>, source: Option<CString>) {
        let before = self.defaults();
        (self.default_sink, self.default_source) = (sink, source);
        self.follow_defaults(before, self.now);
        self.deliver();
    }
}

impl Common {
    /// Its device has gone: where a user had put it there, that is remembered while it follows the default.
    fn misses(&mut self, device: &Device) {
        if std::mem::take(&mut self.placed) {
            self.misses = Some(device.config.name.clone());
        }
    }
}

impl Device {
    fn set_level(&mut self, volume: Option<ChannelVolume>, muted: Option<bool>) -> (ChannelVolume, bool) {
        let channels = self.config.spec.channels();
        self.volume = volume.map_or(self.volume, |volume| crate::spec::fitted(&volume, channels));
        self.muted = muted.unwrap_or(self.muted);
        (self.volume, self.muted)
    }
}

fn joined(parts: &[&[u8]]) -> CString {
    CString::new(parts.concat()).unwrap_or_default()
}
