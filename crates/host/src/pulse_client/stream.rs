//! Streams, devices and modules: what is asked of a server.

use std::time::{Duration, SystemTime};

use pulseaudio::protocol::stream::{BufferAttr, StreamFlags};
use pulseaudio::protocol::{
    ChannelMap, ChannelPosition, ChannelVolume, Command, GetSinkInfo, GetSourceInfo, LatencyParams, LoadModuleParams,
    PlaybackStreamParams, Prop, Props, RecordStreamParams, SampleFormat as Wire, SampleSpec, SubscriptionMask, Volume,
};
use soundpost_core::{ChannelLayout, Format, FrameCount, SampleFormat};

use super::connection::{Client, Ticket, text};
use super::error::{ClientError, Refusal};
use super::reader::{Read, Reader};
use super::reply::{Device, Module, Timing, places_of};

/// A playback stream to be opened.
#[derive(Clone, Debug)]
pub struct PlaybackRequest {
    /// What a person calls it.
    pub name: String,
    /// The format that is written.
    pub format: Format,
    /// The sink's name; none for the server's default.
    pub sink: Option<String>,
    /// The volume as mixers show it, 1 for full; none for what the server remembers of this application.
    pub volume: Option<f32>,
    /// How much sound the server keeps ahead, its device included; none for what the server likes (2 s, with PulseAudio).
    pub latency: Option<Duration>,
    /// Whether the stream stays at this sink whatever happens.
    pub fixed: bool,
}

/// A record stream to be opened.
#[derive(Clone, Debug)]
pub struct RecordRequest {
    /// What a person calls it.
    pub name: String,
    /// The format that is read.
    pub format: Format,
    /// The source's name; none for the server's default.
    pub source: Option<String>,
    /// The volume as mixers show it, 1 for full; none for what the server remembers of this application.
    pub volume: Option<f32>,
    /// How much sound the server sends at once.
    pub latency: Duration,
    /// Whether the stream stays at this source whatever happens.
    pub fixed: bool,
}

/// A playback stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Playback {
    /// Its number on this connection.
    pub channel: u32,
    /// Bytes that the server wants at once.
    pub wanted: u32,
    /// Bytes that the server keeps ahead.
    pub ahead: u32,
    /// The name of its sink; empty where the server does not say.
    pub sink: String,
}

/// A record stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number on this connection.
    pub channel: u32,
    /// The name of its source; empty where the server does not say.
    pub source: String,
}

impl Client {
    /// Opens a playback stream. It plays when the server has enough.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn open_playback(&mut self, request: &PlaybackRequest) -> Result<Playback, ClientError> {
        let target = request.latency.map_or(u32::MAX, |latency| bytes_in(request.format, latency));
        let params = PlaybackStreamParams {
            sample_spec: spec(request.format),
            channel_map: map(request.format.layout),
            sink_name: request.sink.as_deref().map(text),
            buffer_attr: BufferAttr { target_length: target, ..BufferAttr::default() },
            cvolume: request.volume.map(|volume| volumes(request.format, volume)),
            props: props(&request.name),
            flags: StreamFlags {
                adjust_latency: request.latency.is_some(),
                no_move: request.fixed,
                ..StreamFlags::default()
            },
            ..PlaybackStreamParams::default()
        };
        let answer = self.ask("open a stream", &Command::CreatePlaybackStream(params))?;
        Playback::read(&answer).map_err(|wrong| self.nonsense(wrong))
    }

    /// Opens a record stream.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn open_record(&mut self, request: &RecordRequest) -> Result<Record, ClientError> {
        let params = RecordStreamParams {
            sample_spec: spec(request.format),
            channel_map: map(request.format.layout),
            source_name: request.source.as_deref().map(text),
            buffer_attr: BufferAttr {
                fragment_size: bytes_in(request.format, request.latency),
                ..BufferAttr::default()
            },
            cvolume: request.volume.map(|volume| volumes(request.format, volume)),
            props: props(&request.name),
            flags: StreamFlags { adjust_latency: true, no_move: request.fixed, ..StreamFlags::default() },
            ..RecordStreamParams::default()
        };
        let answer = self.ask("record", &Command::CreateRecordStream(params))?;
        Record::read(&answer).map_err(|wrong| self.nonsense(wrong))
    }

    /// Ends a playback stream at once: what was not heard yet is not heard any more.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn close_playback(&mut self, channel: u32) -> Result<(), ClientError> {
        self.ask("close a stream", &Command::DeletePlaybackStream(channel)).map(|_| ())
    }

    /// Ends a record stream.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn close_record(&mut self, channel: u32) -> Result<(), ClientError> {
        self.ask("close a stream", &Command::DeleteRecordStream(channel)).map(|_| ())
    }

    /// Asks to be told when everything that was written has been heard. Answered then, without a limit of time.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn drain(&mut self, channel: u32) -> Result<Ticket, ClientError> {
        self.begin(&Command::DrainPlaybackStream(channel))
    }

    /// Asks where a playback stream is; [`Timing::of`] reads the answer.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn ask_timing(&mut self, channel: u32) -> Result<Ticket, ClientError> {
        self.begin(&Command::GetPlaybackLatency(LatencyParams { channel, now: SystemTime::now() }))
    }

    /// A sink, by its name; the default one for none. None where there is no such.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn sink(&mut self, name: Option<&str>) -> Result<Option<Device>, ClientError> {
        let name = text(name.unwrap_or("@DEFAULT_SINK@"));
        let asked = self.ask("describe a sink", &Command::GetSinkInfo(GetSinkInfo { index: None, name: Some(name) }));
        self.device(asked)
    }

    /// A source, by its name; the default one for none. None where there is no such.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn source(&mut self, name: Option<&str>) -> Result<Option<Device>, ClientError> {
        let name = text(name.unwrap_or("@DEFAULT_SOURCE@"));
        let command = Command::GetSourceInfo(GetSourceInfo { index: None, name: Some(name) });
        let asked = self.ask("describe a source", &command);
        self.device(asked)
    }

    fn device(&mut self, asked: Result<Vec<u8>, ClientError>) -> Result<Option<Device>, ClientError> {
        match asked {
            Ok(answer) => Device::read(&answer).map(Some).map_err(|wrong| self.nonsense(wrong)),
            Err(ClientError::Refused { reason: Refusal::NO_ENTITY, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Asks for [`super::Notice::Changed`] whenever a source, or who records from one, changes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn subscribe_sources(&mut self) -> Result<(), ClientError> {
        let mask = SubscriptionMask::SOURCE | SubscriptionMask::SOURCE_OUTPUT;
        self.ask("tell of changes", &Command::Subscribe(mask)).map(|_| ())
    }

    /// The modules that the server has loaded.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn modules(&mut self) -> Result<Vec<Module>, ClientError> {
        let answer = self.ask("list its modules", &Command::GetModuleInfoList)?;
        Module::read_list(&answer).map_err(|wrong| self.nonsense(wrong))
    }

    /// Has the server load a module; answers its number.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn load_module(&mut self, name: &str, arguments: &str) -> Result<u32, ClientError> {
        let params = LoadModuleParams { name: text(name), arguments: Some(text(arguments)) };
        let answer = self.ask("load a module", &Command::LoadModule(params))?;
        Reader::new(&answer).u32().map_err(|wrong| self.nonsense(wrong))
    }

    /// Has the server unload a module.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn unload_module(&mut self, index: u32) -> Result<(), ClientError> {
        self.ask("unload a module", &Command::UnloadModule(index)).map(|_| ())
    }
}

impl Timing {
    /// Reads the answer to [`Client::ask_timing`]; none where it is not understood.
    #[must_use]
    pub fn of(answer: &[u8]) -> Option<Self> {
        Self::read(answer).ok()
    }
}

impl Playback {
    pub(super) fn read(packet: &[u8]) -> Read<Self> {
        let mut reader = Reader::new(packet);
        let (channel, _index, wanted) = (reader.u32()?, reader.u32()?, reader.u32()?);
        let (_longest, ahead, _prebuffer, _least) = (reader.u32()?, reader.u32()?, reader.u32()?, reader.u32()?);
        reader.spec()?;
        reader.map()?;
        reader.u32()?;
        Ok(Self { channel, wanted, ahead, sink: reader.text()? })
    }
}

impl Record {
    pub(super) fn read(packet: &[u8]) -> Read<Self> {
        let mut reader = Reader::new(packet);
        let (channel, _index, _longest, _fragment) = (reader.u32()?, reader.u32()?, reader.u32()?, reader.u32()?);
        reader.spec()?;
        reader.map()?;
        reader.u32()?;
        Ok(Self { channel, source: reader.text()? })
    }
}

fn spec(format: Format) -> SampleSpec {
    SampleSpec {
        format: match format.sample {
            SampleFormat::U8 => Wire::U8,
            SampleFormat::S16 => Wire::S16Le,
            SampleFormat::S24 => Wire::S24Le,
            SampleFormat::S24In32 => Wire::S24In32Le,
            SampleFormat::S32 => Wire::S32Le,
            SampleFormat::F32 => Wire::Float32Le,
        },
        channels: format.layout.channels().get(),
        sample_rate: format.rate.get(),
    }
}

fn map(layout: ChannelLayout) -> ChannelMap {
    const PLACES: [ChannelPosition; 12] = [
        ChannelPosition::Mono,
        ChannelPosition::FrontLeft,
        ChannelPosition::FrontRight,
        ChannelPosition::FrontCenter,
        ChannelPosition::RearCenter,
        ChannelPosition::RearLeft,
        ChannelPosition::RearRight,
        ChannelPosition::Lfe,
        ChannelPosition::FrontLeftOfCenter,
        ChannelPosition::FrontRightOfCenter,
        ChannelPosition::SideLeft,
        ChannelPosition::SideRight,
    ];
    ChannelMap::new(places_of(layout).into_iter().filter_map(|place| PLACES.get(usize::from(place)).copied()))
}

fn volumes(format: Format, volume: f32) -> ChannelVolume {
    // Its own curve is cubic, and undone by this.
    let one = Volume::from_linear(volume.max(0.0).powi(3));
    let mut volumes = ChannelVolume::empty();
    for _ in 0..format.layout.channels().get() {
        volumes.push(one);
    }
    volumes
}

fn props(name: &str) -> Props {
    let mut props = Props::new();
    props.set(Prop::MediaName, text(name));
    props
}

/// Whole frames, one at least.
fn bytes_in(format: Format, time: Duration) -> u32 {
    let frames = FrameCount::new(u32::try_from(format.rate.frames_in_duration(time)).unwrap_or(u32::MAX).max(1));
    u32::try_from(format.bytes_of(frames)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use soundpost_core::SampleRate;

    use super::*;

    #[test]
    fn a_volume_is_what_mixers_show() {
        let stereo = Format::DEFAULT;
        let raw = |volume: f32| -> Vec<u32> { volumes(stereo, volume).channels().iter().map(Volume::as_u32).collect() };
        assert_eq!(raw(1.0), [0x10000, 0x10000]);
        assert_eq!(raw(0.0), [0, 0]);
        let half = raw(0.5)[0];
        assert!(half.abs_diff(0x8000) <= 1, "{half:#x}");
    }

    #[test]
    fn lengths_are_whole_frames() {
        let cd = Format { sample: SampleFormat::S24, rate: SampleRate::HZ_44100, layout: ChannelLayout::STEREO };
        assert_eq!(bytes_in(cd, Duration::from_millis(20)), 882 * 6);
        assert_eq!(bytes_in(cd, Duration::ZERO), 6);
    }
}
