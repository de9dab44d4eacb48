//! Streams, as the server keeps them.

use std::collections::VecDeque;
use std::ffi::{CStr, CString};
use std::time::Duration;

use pulseaudio::protocol::{ChannelVolume, Props};
use soundpost_core::Instant;

use crate::buffer::{BufferAttr, LatencyMode, RecordAttr};
use crate::id::{ClientId, PlaybackId, SinkId, SourceId};
use crate::limits::{MAX_REMEMBERED_NAME, MAX_SAMPLE};
use crate::props;
use crate::queue::Queue;
use crate::spec::Spec;
use crate::timing::Timing;

/// The stream of which client, under which number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) client: ClientId,
    pub(crate) channel: u32,
}

/// What both kinds of stream have.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) owner: Option<Owner>,
    pub(crate) spec: Spec,
    pub(crate) corked: bool,
    pub(crate) volume: ChannelVolume,
    pub(crate) muted: bool,
    pub(crate) props: Props,
    pub(crate) mode: LatencyMode,
    /// In microseconds: what its device is to have for it.
    pub(crate) latency: u64,
    pub(crate) no_move: bool,
    /// Under which name its application's choices are remembered.
    pub(crate) memory: Option<CString>,
    /// It is where the user wants it: it does not follow the default device.
    pub(crate) placed: bool,
    /// The device that the user had put it on, and that went away: it goes back when that is there again.
    pub(crate) misses: Option<CString>,
    pub(crate) variable_rate: bool,
    pub(crate) fail_on_suspend: bool,
}

#[derive(Debug)]
pub(crate) struct Playback {
    pub(crate) common: Common,
    pub(crate) sink: SinkId,
    pub(crate) queue: Queue,
    pub(crate) asked: BufferAttr,
    /// Streams of one client with the same number are stopped and started together.
    pub(crate) sync: u32,
    /// The number of the client's packet that waits for the end.
    pub(crate) drain: Option<u32>,
    /// Whether the client knows already that it ran empty.
    pub(crate) is_underrun: bool,
    /// Bytes of silence since it ran empty; none where it has never played.
    pub(crate) underrun_for: Option<u64>,
    /// Bytes since it last began to play.
    pub(crate) playing_for: u64,
    /// When the last byte that was pulled and that the client had written is heard.
    pub(crate) heard_until: Instant,
    /// What the client is told of the way to the ear.
    pub(crate) timing: Timing,
    /// When it is looked at whether everything has been heard.
    pub(crate) end_timer: Option<Instant>,
    /// Whether the host was told that there is something to pull.
    pub(crate) told_readable: bool,
}

impl Playback {
    /// How long in microseconds until the next byte to be pulled is heard, with `device` where that is unknown.
    pub(crate) fn micros_to_ear(&self, now: Instant, device: u64) -> u64 {
        self.timing.told(now).unwrap_or(device)
    }
}

/// A duration in whole microseconds.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) common: Common,
    pub(crate) source: SourceId,
    pub(crate) attr: RecordAttr,
    pub(crate) asked: RecordAttr,
    pub(crate) waiting: VecDeque<u8>,
    /// Bytes sent to the client so far.
    pub(crate) sent: i64,
    /// When the last push was, and how old its last byte was then, in microseconds.
    pub(crate) pushed: Option<(Instant, u64)>,
    pub(crate) direct_on: Option<PlaybackId>,
}

impl Record {
    /// How old in microseconds what is pushed next will be at least.
    pub(crate) fn age(&self, now: Instant, device: u64) -> u64 {
        self.pushed.map_or(device, |(at, age)| age.saturating_add(micros(now.saturating_since(at))))
    }
}

/// A sample on its way into the cache.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) name: CString,
    pub(crate) spec: Spec,
    pub(crate) props: Props,
    pub(crate) length: u32,
    pub(crate) bytes: Vec<u8>,
}

impl Upload {
    /// How many bytes are still to come.
    pub(crate) fn missing(&self) -> usize {
        usize::try_from(self.length.min(MAX_SAMPLE)).unwrap_or(0).saturating_sub(self.bytes.len())
    }
}

/// The property that holds what [`memory_key`] answers: mixers find out by it which streams belong together.
pub(crate) const MEMORY: &CStr = c"module-stream-restore.id";

/// By what an application's choices are remembered: a name that the stream has for that already, else its role, id, name,
/// or what it plays, the first that there is, in the words of PulseAudio's own store. None where there is nothing, or the
/// name is too long to be kept.
pub(crate) fn memory_key(direction: &str, list: &Props) -> Option<CString> {
    const KEYS: [(&CStr, &str); 4] = [
        (c"media.role", "media-role"),
        (c"application.id", "application-id"),
        (c"application.name", "application-name"),
        (c"media.name", "media-name"),
    ];
    let named = props::text(list, MEMORY).map(CStr::to_owned);
    let key = named.or_else(|| {
        let (word, value) = KEYS.iter().find_map(|(key, word)| Some((word, props::text(list, key)?)))?;
        let mut key = format!("{direction}-by-{word}:").into_bytes();
        key.extend_from_slice(value.to_bytes());
        CString::new(key).ok()
    });
    key.filter(|key| (1..=MAX_REMEMBERED_NAME).contains(&key.as_bytes().len()))
}
