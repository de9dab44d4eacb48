//! What the host does to streams, and has clients told.

use std::ffi::CStr;

use pulseaudio::protocol::{
    ChannelVolume, ClientEvent, CommandTag, GenericStreamEvent, PlaybackBufferAttrChanged, Props,
};

use super::Server;
use super::create::wire_attr;
use crate::buffer::LatencyRange;
use crate::id::{ClientId, PlaybackId, RecordId, SinkId, SourceId};
use crate::time::Now;

/// The version since which clients know events and changes of their buffers.
const EVENTS_SINCE: u16 = 15;

impl Server {
    /// Sets a playback stream's volume or mute in the host's name. It is remembered as if a client had done it.
    pub fn set_playback_level(&mut self, id: PlaybackId, volume: Option<ChannelVolume>, muted: Option<bool>) {
        self.change_playback_level(id, volume, muted);
        self.deliver();
    }

    /// The same for a record stream.
    pub fn set_record_level(&mut self, id: RecordId, volume: Option<ChannelVolume>, muted: Option<bool>) {
        self.change_record_level(id, volume, muted);
        self.deliver();
    }

    /// Ends a playback stream; its client is told.
    pub fn end_playback(&mut self, id: PlaybackId) {
        self.kill_playback(id);
        self.deliver();
    }

    /// Ends a record stream; its client is told.
    pub fn end_record(&mut self, id: RecordId) {
        self.kill_record(id);
        self.deliver();
    }

    /// A sink can have other latencies from now on: its streams' lengths are negotiated anew, and clients are told of
    /// those that have changed.
    pub fn set_sink_range(&mut self, id: SinkId, range: LatencyRange, now: Now) {
        let Some(sink) = self.sinks.get_mut(&id) else { return };
        sink.device.config.range = range;
        let monitor = sink.monitor;
        let on_it: Vec<_> = self.playbacks.iter().filter(|(_, p)| p.sink == id).map(|(&id, _)| id).collect();
        for stream in on_it {
            let Some(before) = self.playbacks.get(&stream).map(|playback| playback.queue.attr()) else { continue };
            let Some((attr, latency)) = self.refit_playback(stream) else { continue };
            let owner = self.playbacks.get(&stream).and_then(|playback| playback.common.owner);
            if let Some(owner) = owner.filter(|_| attr != before) {
                let changed = PlaybackBufferAttrChanged {
                    stream_index: owner.channel,
                    buffer_attr: wire_attr(&attr),
                    sink_input_latency: latency,
                };
                self.tell_newer(owner.client, CommandTag::PlaybackBufferAttrChanged, |packet| packet.put(changed));
            }
            self.settle(stream, now);
        }
        self.set_source_range(monitor, range);
    }

    /// The same for a source, whose streams' clients are not told: PulseAudio never sends what its protocol has for that,
    /// and its client library takes it for a breach and ends the connection.
    pub fn set_source_range(&mut self, id: SourceId, range: LatencyRange) {
        let Some(source) = self.sources.get_mut(&id) else { return };
        source.device.config.range = range;
        let on_it: Vec<_> = self.records.iter().filter(|(_, r)| r.source == id).map(|(&id, _)| id).collect();
        for stream in on_it {
            let _ = self.refit_record(stream);
            self.send_recorded(stream);
        }
        self.deliver();
    }

    /// Tells a playback stream's client something by name, such as `request-cork` while somebody makes a call.
    pub fn tell_playback(&mut self, id: PlaybackId, event: &CStr, list: &Props) {
        let Some(owner) = self.playbacks.get(&id).and_then(|stream| stream.common.owner) else { return };
        let told = named_event(owner.channel, event, list);
        self.tell_newer(owner.client, CommandTag::PlaybackStreamEvent, |packet| packet.put(told));
    }

    /// The same for a record stream.
    pub fn tell_record(&mut self, id: RecordId, event: &CStr, list: &Props) {
        let Some(owner) = self.records.get(&id).and_then(|stream| stream.common.owner) else { return };
        let told = named_event(owner.channel, event, list);
        self.tell_newer(owner.client, CommandTag::RecordStreamEvent, |packet| packet.put(told));
    }

    /// The same for a client as a whole.
    pub fn tell(&mut self, id: ClientId, event: &CStr, list: &Props) {
        let told = ClientEvent { name: event.to_owned(), props: list.clone() };
        self.tell_newer(id, CommandTag::ClientEvent, |packet| packet.put(told));
    }

    /// Sends what older clients do not know to newer ones alone.
    fn tell_newer(&mut self, id: ClientId, command: CommandTag, write: impl FnOnce(&mut crate::wire::Packet)) {
        if self.clients.get(&id).is_some_and(|client| client.version >= EVENTS_SINCE) {
            self.tell_client(id, command, write);
        }
    }
}

fn named_event(channel: u32, event: &CStr, list: &Props) -> GenericStreamEvent {
    GenericStreamEvent { stream_index: channel, event_name: event.to_owned(), event_properties: list.clone() }
}
