//! One connection to the server, from its first request to its end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use soundpost_core::{Format, FrameCount};
use soundpost_endpoint::DataFlow;
use soundpost_engine::{DeviceId, StreamConfig, StreamId, StreamReader, StreamWriter};
use soundpost_host::event::EventFd;
use soundpost_host::pulse_client::{Client, ClientError, Notice, Place, PlaybackRequest, RecordRequest};

use super::modules::{Loaded, SINK, SOURCE, SOURCE_FEED};
use super::{AttachError, CUSHION, SOUND};
use crate::serve::hub::{Hub, HubSession};

/// Sound that the server sends at once, and that it keeps ahead of the virtual source.
const FRAGMENT: Duration = Duration::from_millis(20);
const AHEAD: Duration = Duration::from_millis(40);
/// What may wait between the two before some of it is dropped: their clocks are not the same on every machine.
const BACKLOG: Duration = Duration::from_millis(100);
/// After so much silence the session's stream gets nothing, so that an idle session does not wake the processor.
const QUIET: Duration = Duration::from_secs(5);
/// How long the thread sleeps at most.
const TURN: Duration = Duration::from_secs(1);

/// Where the applications' sound goes: the session's stream. It outlives connections.
pub(super) struct Feed {
    writer: StreamWriter,
    /// Frames of silence since the last sound.
    silent: u64,
    dropped: u64,
}

impl Feed {
    pub(super) fn new(writer: StreamWriter) -> Self {
        // As if it had been quiet for long: silence alone does not begin anything.
        Self { writer, silent: u64::MAX, dropped: 0 }
    }

    fn format(&self) -> Format {
        self.writer.format()
    }

    fn write(&mut self, sound: &[u8]) {
        let format = self.format();
        let frames = format.frames_in(sound.len());
        if sound.iter().all(|byte| *byte == 0) {
            self.silent = self.silent.saturating_add(frames.get().into());
            if self.silent > format.rate.frames_in_duration(QUIET) {
                return;
            }
        } else {
            self.silent = 0;
        }
        let waiting = u64::from(self.writer.queued().get());
        let most = format.rate.frames_in_duration(CUSHION + BACKLOG);
        let taken = if waiting > most { FrameCount::ZERO } else { self.writer.write(sound) };
        let lost = frames.saturating_sub(taken);
        if !lost.is_zero() {
            self.dropped = self.dropped.saturating_add(lost.get().into());
            tracing::debug!(frames = lost.get(), all = self.dropped, "the server is faster than the session: dropped");
        }
    }
}

/// A connection with the virtual devices in place.
pub(super) struct Link {
    client: Client,
    hub: Arc<Hub>,
    session: HubSession,
    wake: Arc<EventFd>,
    loaded: Loaded,
    monitor: u32,
    microphone: Option<Microphone>,
}

/// The way from the session's microphone to the virtual source.
struct Microphone {
    device: DeviceId,
    format: Format,
    /// There while somebody records from the source.
    open: Option<OpenMicrophone>,
}

struct OpenMicrophone {
    stream: StreamId,
    reader: StreamReader,
    channel: u32,
    /// Bytes that the server has room for.
    wanted: usize,
    /// Sound that it has no room for yet.
    pending: VecDeque<u8>,
}

impl Link {
    /// Connects, sees to the virtual devices, and begins to record what applications play.
    pub(super) fn open(
        places: &[Place],
        hub: Arc<Hub>,
        session: HubSession,
        wake: &Arc<EventFd>,
        feed: &Feed,
    ) -> Result<Self, AttachError> {
        let mut client = Client::connect(places, "Soundpost").map_err(|error| match error {
            ClientError::NoServer(tried) => {
                let tried: Vec<String> = tried.iter().map(Place::to_string).collect();
                AttachError::NoServer(format!("no server answers at {}", tried.join(" or ")))
            }
            error => error.into(),
        })?;
        let mut loaded = Loaded::default();
        let microphone = microphone(&hub, &session);
        let monitor = match set_up(&mut client, &mut loaded, microphone.as_ref(), &session, feed.format()) {
            Ok(monitor) => monitor,
            Err(error) => {
                loaded.unload(&mut client);
                return Err(error);
            }
        };
        tracing::info!(
            server = %client.place(), sink = SINK, source = microphone.as_ref().map(|_| SOURCE),
            "attached: what is played into the sink is heard"
        );
        let wake = wake.clone();
        let mut link = Self { client, hub, session, wake, loaded, monitor, microphone };
        link.look_who_records()?;
        Ok(link)
    }

    /// Moves sound until it is told to stop.
    pub(super) fn run(&mut self, stop: &AtomicBool, feed: &mut Feed) -> Result<(), AttachError> {
        while !stop.load(Ordering::Acquire) {
            match self.client.next(TURN, Some(&self.wake))? {
                Some(Notice::Sound { channel, bytes }) if channel == self.monitor => feed.write(&bytes),
                Some(Notice::Gone { channel }) if channel == self.monitor => return Err(AttachError::NoDevice(SINK)),
                Some(Notice::Changed) => self.look_who_records()?,
                Some(notice) => self.microphone_notice(&notice)?,
                None => {}
            }
            self.move_microphone()?;
        }
        Ok(())
    }

    /// Has the modules unloaded.
    pub(super) fn close(mut self) {
        self.close_microphone();
        std::mem::take(&mut self.loaded).unload(&mut self.client);
    }

    fn microphone_notice(&mut self, notice: &Notice) -> Result<(), AttachError> {
        let Some(open) = self.microphone.as_mut().and_then(|microphone| microphone.open.as_mut()) else {
            return Ok(());
        };
        match *notice {
            Notice::Wants { channel, bytes } if channel == open.channel => {
                open.wanted = open.wanted.saturating_add(usize::try_from(bytes).unwrap_or(0));
                Ok(())
            }
            Notice::Gone { channel } if channel == open.channel => Err(AttachError::NoDevice(SOURCE)),
            _ => Ok(()),
        }
    }

    /// Opens the session's microphone while somebody records from the virtual source, and only then: whoever speaks into
    /// it sees that it is in use.
    fn look_who_records(&mut self) -> Result<(), AttachError> {
        let Some(microphone) = &self.microphone else { return Ok(()) };
        let used = self.client.source(Some(SOURCE))?.ok_or(AttachError::NoDevice(SOURCE))?.running;
        match (used, microphone.open.is_some()) {
            (true, false) => self.open_microphone(),
            (false, true) => {
                self.close_microphone();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn open_microphone(&mut self) -> Result<(), AttachError> {
        let Some(microphone) = &mut self.microphone else { return Ok(()) };
        let config = StreamConfig { notify: Some(self.wake.clone()), ..StreamConfig::new(SOURCE, microphone.format) };
        let opened = self.hub.engine().open_capture(self.session.id, microphone.device, config);
        let (stream, reader) = opened?;
        let playback = self.client.open_playback(&PlaybackRequest {
            name: format!("{}'s microphone", self.session.name),
            format: microphone.format,
            sink: Some(SOURCE_FEED.into()),
            volume: Some(1.0),
            latency: Some(AHEAD),
            fixed: true,
        });
        let playback = match playback {
            Ok(playback) => playback,
            Err(error) => {
                // Nothing has come from it yet; if the engine is too busy, it goes with the session.
                let _ = self.hub.engine().close_stream(self.session.id, stream);
                return Err(error.into());
            }
        };
        tracing::info!(session = self.session.name, "an application records from the microphone");
        let wanted = usize::try_from(playback.wanted).unwrap_or(0);
        let pending = VecDeque::new();
        microphone.open = Some(OpenMicrophone { stream, reader, channel: playback.channel, wanted, pending });
        Ok(())
    }

    fn close_microphone(&mut self) {
        let Some(open) = self.microphone.as_mut().and_then(|microphone| microphone.open.take()) else { return };
        tracing::info!(session = self.session.name, "nobody records from the microphone any more");
        if let Err(error) = self.hub.engine().close_stream(self.session.id, open.stream) {
            tracing::debug!(%error, "the microphone's stream");
        }
        if let Err(error) = self.client.close_playback(open.channel) {
            tracing::debug!(%error, "the stream into the virtual source");
        }
    }

    /// Moves what the microphone has given to the server, as far as that has room.
    fn move_microphone(&mut self) -> Result<(), AttachError> {
        let Some(Microphone { format, open: Some(open), .. }) = &mut self.microphone else { return Ok(()) };
        let mut room = [0; 8_192];
        loop {
            let frames = open.reader.read(&mut room);
            if frames.is_zero() {
                break;
            }
            open.pending.extend(room.get(..format.bytes_of(frames)).unwrap_or_default());
        }
        let most = format.frame_bytes() * usize::try_from(format.rate.frames_in_duration(BACKLOG)).unwrap_or(0);
        let excess = open.pending.len().saturating_sub(most.max(open.wanted));
        if excess > 0 {
            tracing::debug!(bytes = excess, "the microphone is faster than the server: dropped");
            open.pending.drain(..excess);
        }
        let now = format.bytes_of(format.frames_in(open.wanted.min(open.pending.len())));
        if now > 0 {
            let sound: Vec<u8> = open.pending.drain(..now).collect();
            self.client.write(open.channel, &sound)?;
            open.wanted -= now;
        }
        Ok(())
    }
}

impl Drop for Link {
    /// A connection that has failed takes the microphone's stream with it.
    fn drop(&mut self) {
        if let Some(open) = self.microphone.as_mut().and_then(|microphone| microphone.open.take()) {
            // If the engine is too busy now, the stream stays until the daemon ends, and loses what it is given.
            let _ = self.hub.engine().close_stream(self.session.id, open.stream);
        }
    }
}

/// Sees to the virtual devices, and begins to record what is played into the sink; answers the stream's number.
fn set_up(
    client: &mut Client,
    loaded: &mut Loaded,
    microphone: Option<&Microphone>,
    session: &HubSession,
    format: Format,
) -> Result<u32, AttachError> {
    loaded.sink(client, format)?;
    if let Some(microphone) = microphone {
        client.subscribe_sources()?;
        loaded.source(client, microphone.format)?;
    }
    let record = client.open_record(&RecordRequest {
        name: format!("what is played to {}'s listeners", session.name),
        format,
        source: Some(format!("{SINK}.monitor")),
        volume: Some(1.0),
        latency: FRAGMENT,
        fixed: true,
    })?;
    Ok(record.channel)
}

/// The session's capture device, where it has one.
fn microphone(hub: &Hub, session: &HubSession) -> Option<Microphone> {
    let sessions = hub.snapshot().sessions;
    let devices = sessions.into_iter().find(|one| one.id == session.id)?.devices;
    let device = devices.into_iter().find(|device| device.flow == DataFlow::Capture)?;
    let format = Format { sample: SOUND.sample, ..device.format };
    Some(Microphone { device: device.id, format, open: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::hub::tests::hub;

    /// A block of 10 ms in which every sample is this.
    fn block(sample: f32) -> Vec<u8> {
        std::iter::repeat_n(sample.to_le_bytes(), 480 * 2).flatten().collect()
    }

    fn feed(hub: &Hub) -> Feed {
        let config = StreamConfig { capacity: Duration::from_millis(500), ..StreamConfig::new("applications", SOUND) };
        Feed::new(hub.open_stream(&hub.sessions()[0], config).unwrap().1)
    }

    #[test]
    fn silence_begins_nothing_and_after_five_seconds_it_ends_what_was() {
        // The session takes nothing here: what it would have waits.
        let (hub, _worker) = hub();
        let mut feed = feed(&hub);
        feed.write(&block(0.0));
        assert_eq!(feed.writer.queued().get(), 0);
        feed.write(&block(0.1));
        feed.write(&block(0.0));
        assert_eq!(feed.writer.queued().get(), 960, "a pause in the sound belongs to it");
        feed.silent = 5 * 48_000 - 480;
        feed.write(&block(0.0));
        assert_eq!(feed.writer.queued().get(), 1_440);
        feed.write(&block(0.0));
        assert_eq!(feed.writer.queued().get(), 1_440);
        feed.write(&block(0.1));
        assert_eq!(feed.writer.queued().get(), 1_920);
    }

    #[test]
    fn what_the_session_does_not_take_is_not_heaped_up() {
        let (hub, _worker) = hub();
        let mut feed = feed(&hub);
        for _ in 0..100 {
            feed.write(&block(0.1));
        }
        // 130 ms, and the block that passed them.
        assert_eq!((feed.writer.queued().get(), feed.dropped), (14 * 480, 86 * 480));
    }
}
