//! An engine with a session, devices, streams and probes.

use std::time::Duration;

use soundpost_core::{ChannelLayout, Format, SampleFormat, SampleRate};
use soundpost_endpoint::stock::StockConfig;
use soundpost_endpoint::{DataFlow, Endpoint, Requirement as Req};
use soundpost_engine::{
    AttachConfig, ConnectionId, DeviceConfig, DeviceId, EndpointId, EngineError, SessionId, StreamConfig, StreamReader,
    StreamWriter,
};

use super::EngineBench;
use crate::verify::Broken;
use crate::verify::rig::pattern;
use crate::{Offers, Probe, Runner, capture_probe, render_probe_with};

/// The format of everything that is compared bit by bit.
pub(super) const FORMAT: Format =
    Format { sample: SampleFormat::S16, rate: SampleRate::HZ_48000, layout: ChannelLayout::STEREO };

pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Frames that are different from silence and from their neighbours.
pub(super) fn noise(frames: usize) -> Vec<u8> {
    let mut sound = vec![0; frames * FORMAT.frame_bytes()];
    pattern(FORMAT, 1, &mut sound);
    // Quiet enough for the limiter to leave it as it is.
    for sample in sound.chunks_exact_mut(2) {
        if let [_, high] = sample {
            *high = 0x10 | *high & 0x1F;
        }
    }
    sound
}

/// The sound without frames of silence.
pub(super) fn sounding(heard: &[u8]) -> Vec<u8> {
    heard.chunks(FORMAT.frame_bytes()).filter(|frame| frame.iter().any(|byte| *byte != 0)).flatten().copied().collect()
}

pub(super) struct Scene {
    pub(super) runner: Runner,
    pub(super) session: SessionId,
    pub(super) device: DeviceId,
}

/// What the engine refuses although it has to take it breaks `requirement`.
pub(super) fn taken<T>(requirement: Req, what: &str, answer: Result<T, EngineError>) -> Result<T, Broken> {
    answer.map_err(|error| Broken::new(requirement, format!("{what} was refused: {error}")))
}

impl Scene {
    pub(super) fn new(bench: &EngineBench<'_>, device: DeviceConfig) -> Result<Self, Broken> {
        let mut runner = Runner::new(1, bench.tools.gate());
        let session = taken(Req::R1, "a session", runner.engine.open_session("verify"))?;
        let device = taken(Req::R1, "a device", runner.engine.open_device(session, device))?;
        Ok(Self { runner, session, device })
    }

    pub(super) fn render(bench: &EngineBench<'_>) -> Result<Self, Broken> {
        Self::new(bench, DeviceConfig::new("speakers", DataFlow::Render))
    }

    pub(super) fn capture(bench: &EngineBench<'_>) -> Result<Self, Broken> {
        Self::new(bench, DeviceConfig::new("microphone", DataFlow::Capture))
    }

    pub(super) fn attach(
        &mut self,
        endpoint: Endpoint,
        config: AttachConfig,
    ) -> Result<(ConnectionId, EndpointId), Broken> {
        let engine = &mut self.runner.engine;
        let endpoint = taken(Req::R2, "an endpoint", engine.register(self.session, "endpoint", endpoint))?;
        let connection = taken(Req::R1, "a connection", engine.connect(self.session, self.device))?;
        taken(Req::R2, "attaching", engine.attach(self.session, connection, endpoint, config))?;
        Ok((connection, endpoint))
    }

    pub(super) fn listener(
        &mut self,
        config: &StockConfig,
        attach: AttachConfig,
    ) -> Result<(ConnectionId, EndpointId, Probe), Broken> {
        self.listener_with(config, attach, Offers::default())
    }

    pub(super) fn listener_with(
        &mut self,
        config: &StockConfig,
        attach: AttachConfig,
        offers: Offers,
    ) -> Result<(ConnectionId, EndpointId, Probe), Broken> {
        let (endpoint, mut probe) = render_probe_with(config, self.runner.endpoint_clock(), offers);
        if let (true, Some(device)) = (config.event_driven, probe.take_device()) {
            self.runner.drive(device);
        }
        let (connection, endpoint) = self.attach(endpoint, attach)?;
        Ok((connection, endpoint, probe))
    }

    pub(super) fn microphone(&mut self, config: &StockConfig, sound: Vec<u8>) -> Result<Probe, Broken> {
        let (endpoint, probe) = capture_probe(config, self.runner.endpoint_clock(), sound);
        self.attach(endpoint, AttachConfig::default())?;
        Ok(probe)
    }

    pub(super) fn player(&mut self) -> Result<StreamWriter, Broken> {
        let config = StreamConfig::new("player", FORMAT);
        let (_, writer) =
            taken(Req::R5, "a stream", self.runner.engine.open_stream(self.session, self.device, config))?;
        Ok(writer)
    }

    pub(super) fn recorder(&mut self) -> Result<StreamReader, Broken> {
        let config = StreamConfig::new("recorder", FORMAT);
        let (_, reader) =
            taken(Req::R5, "a stream", self.runner.engine.open_capture(self.session, self.device, config))?;
        Ok(reader)
    }

    /// Plays all of `sound`, then lets it ring out.
    pub(super) fn play(&mut self, writer: StreamWriter, sound: &[u8], duration: Duration) {
        let (mut writer, mut at) = (Some(writer), 0);
        self.runner.run_steps(duration, ms(5), |_| {
            let Some(stream) = &mut writer else { return };
            let frames = stream.write(sound.get(at..).unwrap_or_default());
            at += FORMAT.bytes_of(frames);
            if at >= sound.len() {
                writer = None;
            }
        });
    }

    /// Records for `duration`.
    pub(super) fn record(&mut self, reader: &mut StreamReader, duration: Duration) -> Vec<u8> {
        let (mut heard, mut bytes) = (Vec::new(), vec![0; FORMAT.frame_bytes() * 9_600]);
        self.runner.run_steps(duration, ms(13), |_| {
            let frames = reader.read(&mut bytes);
            heard.extend_from_slice(bytes.get(..FORMAT.bytes_of(frames)).unwrap_or_default());
        });
        heard
    }
}
