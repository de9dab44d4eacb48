//! Streams.

use std::sync::Arc;

use soundpost_core::{FrameCount, FramePosition, Gain, Hns};
use soundpost_dsp::ramp::Fader;
use soundpost_endpoint::DataFlow;
use soundpost_queue::frames;
use soundpost_rt::capture::{CaptureStream, CaptureStreamParts};
use soundpost_rt::path::{Path, Place};
use soundpost_rt::render::{RenderStream, RenderStreamParts};
use soundpost_rt::scratch::Scratch;
use soundpost_rt::stats;

use crate::command::{CaptureSlot, Command, NewStream, RenderSlot, StreamChange, VolumeChange};
use crate::engine::{Device, Stream};
use crate::{
    DeviceConfig, DeviceId, Engine, EngineError, SessionId, StreamConfig, StreamId, StreamReader, StreamState,
    StreamWriter,
};

impl Engine {
    /// Opens a stream into a render device. It plays as soon as something is written, unless it starts paused.
    ///
    /// # Errors
    /// [`EngineError::UnknownSession`], [`EngineError::UnknownDevice`], [`EngineError::WrongFlow`] for a capture
    /// device, [`EngineError::Capacity`], [`EngineError::Busy`].
    pub fn open_stream(
        &mut self,
        session: SessionId,
        device: DeviceId,
        config: StreamConfig,
    ) -> Result<(StreamId, StreamWriter), EngineError> {
        let (target, capacity) = self.check_stream(session, device, DataFlow::Render, &config)?;
        let format = config.format;
        let (writer, reader) = frames::queue(capacity, format.layout.channels().as_usize());
        let (publisher, stats) = stats::stream_stats();
        let (from, to) = (Place { rate: format.rate, layout: format.layout }, place(&target));
        let packet = target.rate.frames_covering(target.period);
        let stream = RenderStream::new(RenderStreamParts {
            input: reader,
            path: path(from, to, Scratch::largest_block(from.rate, to.rate, packet))?,
            volume: self.fader(&config, to),
            ramp: self.ramp(to.rate),
            paused: config.paused,
            prebuffer: config.prebuffer.min(capacity),
            publisher,
        });
        let id = StreamId::new(self.next_id());
        let slot = Box::new(RenderSlot { id, stream, notify: config.notify.clone() });
        let room = self.device(session, device)?.stream_places.take();
        self.send(session, Command::AddStream { device, stream: NewStream::Render(slot, room) })
            .map_err(|_| EngineError::Busy)?;
        let wake = self.wake_of(session)?;
        let prebuffer = config.prebuffer.min(capacity);
        self.device(session, device)?.streams.insert(id, Stream::new(config, stats.clone()));
        Ok((id, StreamWriter::new(writer, format, prebuffer, wake, stats)))
    }

    /// Opens a stream from a capture device.
    ///
    /// # Errors
    /// [`EngineError::UnknownSession`], [`EngineError::UnknownDevice`], [`EngineError::WrongFlow`] for a render
    /// device, [`EngineError::Capacity`], [`EngineError::Busy`].
    pub fn open_capture(
        &mut self,
        session: SessionId,
        device: DeviceId,
        config: StreamConfig,
    ) -> Result<(StreamId, StreamReader), EngineError> {
        let (source, capacity) = self.check_stream(session, device, DataFlow::Capture, &config)?;
        let format = config.format;
        let (writer, reader) = frames::queue(capacity, format.layout.channels().as_usize());
        let (publisher, stats) = stats::stream_stats();
        let (from, to) = (place(&source), Place { rate: format.rate, layout: format.layout });
        let stream = CaptureStream::new(CaptureStreamParts {
            output: writer,
            path: path(from, to, source.rate.frames_covering(source.period))?,
            volume: self.fader(&config, to),
            ramp: self.ramp(to.rate),
            paused: config.paused,
            publisher,
        });
        let id = StreamId::new(self.next_id());
        let slot = Box::new(CaptureSlot { id, stream, notify: config.notify.clone() });
        let room = self.device(session, device)?.stream_places.take();
        self.send(session, Command::AddStream { device, stream: NewStream::Capture(slot, room) })
            .map_err(|_| EngineError::Busy)?;
        self.device(session, device)?.streams.insert(id, Stream::new(config, stats.clone()));
        Ok((id, StreamReader::new(reader, format, stats)))
    }

    /// Closes a stream at once; what is queued is not played.
    ///
    /// # Errors
    /// [`EngineError::UnknownSession`], [`EngineError::UnknownStream`], [`EngineError::Busy`].
    pub fn close_stream(&mut self, session: SessionId, stream: StreamId) -> Result<(), EngineError> {
        let device = self.device_of_stream(session, stream)?;
        self.ready(session)?;
        self.send(session, Command::RemoveStream { device, stream }).map_err(|_| EngineError::Busy)?;
        let device = self.device(session, device)?;
        device.streams.remove(&stream);
        device.stream_places.free();
        Ok(())
    }

    /// Sets a stream's volume. The change is a ramp.
    ///
    /// # Errors
    /// [`EngineError::UnknownSession`], [`EngineError::UnknownStream`], [`EngineError::Busy`].
    pub fn set_stream_volume(&mut self, session: SessionId, stream: StreamId, volume: Gain) -> Result<(), EngineError> {
        self.change_stream(session, stream, StreamChange::Volume(VolumeChange::Gain(volume)))?.volume = volume;
        Ok(())
    }

    /// Mutes a stream, or lets it be heard again. The change is a ramp. A muted stream goes on being played.
    ///
    /// # Errors
    /// [`EngineError::UnknownSession`], [`EngineError::UnknownStream`], [`EngineError::Busy`].
    pub fn set_stream_muted(&mut self, session: SessionId, stream: StreamId, muted: bool) -> Result<(), EngineError> {
        self.change_stream(session, stream, StreamChange::Volume(VolumeChange::Muted(muted)))?.muted = muted;
        Ok(())
    }

    /// Pauses a stream (corks it): it fades out, and then nothing is taken from its queue. Or lets it go on.
    ///
    /// # Errors
    /// [`EngineError::UnknownSession`], [`EngineError::UnknownStream`], [`EngineError::Busy`].
    pub fn set_paused(&mut self, session: SessionId, stream: StreamId, paused: bool) -> Result<(), EngineError> {
        let state = if paused { StreamState::Paused } else { StreamState::Running };
        self.change_stream(session, stream, StreamChange::Paused(paused))?.state = state;
        Ok(())
    }

    /// Asks for [`crate::EngineEvent::StreamDrained`] when everything written so far has been heard, whatever is
    /// written after it. Several calls before the first is answered share a second answer. A paused stream drains after
    /// it goes on; one that has ended answers at once.
    ///
    /// # Errors
    /// [`EngineError::UnknownSession`], [`EngineError::UnknownStream`], [`EngineError::Busy`].
    pub fn drain(&mut self, session: SessionId, stream: StreamId) -> Result<(), EngineError> {
        let found = self.change_stream(session, stream, StreamChange::Drain)?;
        if found.state == StreamState::Running {
            found.state = StreamState::Draining;
        }
        Ok(())
    }

    /// Throws away what is queued in a render stream of the frames before `until` ([`crate::StreamWriter::written`]). What is written
    /// behind them stays, also where it is written before the worker comes to this.
    ///
    /// # Errors
    /// [`EngineError::UnknownSession`], [`EngineError::UnknownStream`], [`EngineError::Busy`].
    pub fn flush(&mut self, session: SessionId, stream: StreamId, until: FramePosition) -> Result<(), EngineError> {
        self.change_stream(session, stream, StreamChange::Flush(until)).map(|_| ())
    }

    fn change_stream(
        &mut self,
        session: SessionId,
        stream: StreamId,
        change: StreamChange,
    ) -> Result<&mut Stream, EngineError> {
        let device = self.device_of_stream(session, stream)?;
        self.ready(session)?;
        self.send(session, Command::ChangeStream { device, stream, change }).map_err(|_| EngineError::Busy)?;
        self.device(session, device)?.streams.get_mut(&stream).ok_or(EngineError::UnknownStream(stream))
    }

    fn device_of_stream(&mut self, session: SessionId, stream: StreamId) -> Result<DeviceId, EngineError> {
        let mut devices = self.session(session)?.devices.iter();
        let found = devices.find(|(_, device)| device.streams.contains_key(&stream));
        found.map(|(id, _)| *id).ok_or(EngineError::UnknownStream(stream))
    }

    /// Whether a stream can be opened; its device's configuration and the frames that its queue holds.
    fn check_stream(
        &mut self,
        session: SessionId,
        device: DeviceId,
        flow: DataFlow,
        config: &StreamConfig,
    ) -> Result<(DeviceConfig, FrameCount), EngineError> {
        let Device { config: device, .. } = self.device(session, device)?;
        let device = device.clone();
        if device.flow != flow {
            return Err(EngineError::WrongFlow { expected: device.flow, got: flow });
        }
        let shortest = device.period.saturating_mul(2);
        if config.capacity < shortest.to_duration() || config.capacity > StreamConfig::LONGEST_QUEUE {
            return Err(EngineError::Capacity { asked: Hns::from(config.capacity), shortest });
        }
        let capacity = config.format.rate.frames_in_duration(config.capacity);
        self.ready(session)?;
        Ok((device, FrameCount::new(u32::try_from(capacity).unwrap_or(u32::MAX))))
    }

    fn fader(&self, config: &StreamConfig, place: Place) -> Fader {
        let mut fader = Fader::new(config.volume, self.ramp(place.rate));
        fader.set_muted(config.muted);
        fader.settle();
        fader
    }

    pub(crate) fn wake_of(&mut self, session: SessionId) -> Result<Arc<dyn soundpost_endpoint::Event>, EngineError> {
        let worker = self.session(session)?.worker;
        self.config.wake.get(worker).cloned().ok_or(EngineError::Busy)
    }
}

impl Stream {
    fn new(config: StreamConfig, stats: stats::StreamReader) -> Self {
        Self {
            name: config.name,
            format: config.format,
            volume: config.volume,
            muted: config.muted,
            state: if config.paused { StreamState::Paused } else { StreamState::Running },
            stats,
        }
    }
}

pub(crate) fn place(device: &DeviceConfig) -> Place {
    Place { rate: device.rate, layout: device.layout }
}

/// A path for blocks of at most `largest` frames.
pub(crate) fn path(from: Place, to: Place, largest: FrameCount) -> Result<Path, EngineError> {
    Path::new(from, to, largest).map_err(|_| EngineError::Conversion { from: from.rate, to: to.rate })
}
