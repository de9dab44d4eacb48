//! What most tests begin with.

use std::time::Duration;

use soundpost_core::{ChannelLayout, Format, FrameCount, SampleFormat, SampleRate};
use soundpost_endpoint::DataFlow;
use soundpost_endpoint::stock::StockConfig;
use soundpost_engine::{
    AttachConfig, ConnectionId, DeviceConfig, DeviceId, EndpointId, EngineEvent, SessionId, StreamConfig, StreamId,
    StreamWriter,
};
use soundpost_testkit::{Gate, Probe, Random, Runner, render_probe};

use crate::guard::no_alloc;

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn format(sample: SampleFormat, rate: u32, channels: u16) -> Format {
    let layout = ChannelLayout::new(channels, 0).unwrap();
    Format { sample, rate: SampleRate::new(rate).unwrap(), layout }
}

pub(crate) const S16: Format =
    Format { sample: SampleFormat::S16, rate: SampleRate::HZ_48000, layout: ChannelLayout::STEREO };

/// Frames that are all different from silence and from their neighbours.
pub(crate) fn noise(format: Format, frames: u32, seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let samples = FrameCount::new(frames).as_usize() * format.layout.channels().as_usize();
    let mut bytes = Vec::new();
    for _ in 0..samples {
        let value = i32::from_le_bytes([0, 0, random.number() as u8, random.number() as u8 & 0x3F]) | 0x0100_0000;
        let word = value.to_le_bytes();
        match format.sample {
            SampleFormat::U8 => bytes.push(0x81 | word[3]),
            SampleFormat::S16 => bytes.extend_from_slice(&word[2..]),
            SampleFormat::S24 => bytes.extend_from_slice(&word[1..]),
            SampleFormat::S24In32 => bytes.extend_from_slice(&(value >> 8).to_le_bytes()),
            SampleFormat::S32 => bytes.extend_from_slice(&word),
            SampleFormat::F32 => bytes.extend_from_slice(&(value as f32 / 2_147_483_648.0).to_le_bytes()),
        }
    }
    bytes
}

/// An engine with one session and one render device.
pub(crate) struct Scene {
    pub(crate) runner: Runner,
    pub(crate) session: SessionId,
    pub(crate) device: DeviceId,
}

/// An application that keeps its stream's queue full.
pub(crate) struct Player {
    pub(crate) id: StreamId,
    pub(crate) writer: Option<StreamWriter>,
    pub(crate) sound: Vec<u8>,
    pub(crate) at: usize,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::with(no_alloc, DeviceConfig::new("speakers", DataFlow::Render))
    }

    pub(crate) fn with(gate: Gate, device: DeviceConfig) -> Self {
        let mut runner = Runner::new(1, gate);
        let session = runner.engine.open_session("alice").unwrap();
        let device = runner.engine.open_device(session, device).unwrap();
        Self { runner, session, device }
    }

    pub(crate) fn listener(&mut self, format: Format) -> (ConnectionId, EndpointId, Probe) {
        self.listener_with(&StockConfig::new(format), AttachConfig::default())
    }

    pub(crate) fn listener_with(
        &mut self,
        config: &StockConfig,
        attach: AttachConfig,
    ) -> (ConnectionId, EndpointId, Probe) {
        let (endpoint, probe) = render_probe(config, self.runner.endpoint_clock());
        let endpoint = self.runner.engine.register(self.session, "listener", endpoint).unwrap();
        let connection = self.runner.engine.connect(self.session, self.device).unwrap();
        self.runner.engine.attach(self.session, connection, endpoint, attach).unwrap();
        (connection, endpoint, probe)
    }

    pub(crate) fn player(&mut self, format: Format, sound: Vec<u8>) -> Player {
        self.player_with(StreamConfig::new("player", format), sound)
    }

    pub(crate) fn player_with(&mut self, config: StreamConfig, sound: Vec<u8>) -> Player {
        let (id, writer) = self.runner.engine.open_stream(self.session, self.device, config).unwrap();
        Player { id, writer: Some(writer), sound, at: 0 }
    }

    /// Runs while the players feed their streams every 5 ms; a player without more to say finishes.
    pub(crate) fn play(&mut self, players: &mut [&mut Player], duration: Duration) {
        self.runner.run_steps(duration, ms(5), |_| {
            for player in players.iter_mut() {
                player.feed();
            }
        });
    }

    pub(crate) fn device_stats(&self) -> soundpost_engine::DeviceStats {
        self.runner.engine.snapshot().sessions[0].devices[0].stats
    }

    pub(crate) fn connection_stats(&self, index: usize) -> soundpost_engine::ConnectionStats {
        self.runner.engine.snapshot().sessions[0].devices[0].connections[index].stats
    }

    pub(crate) fn stream_stats(&self, index: usize) -> soundpost_engine::StreamStats {
        self.runner.engine.snapshot().sessions[0].devices[0].streams[index].stats
    }

    pub(crate) fn drained(&self, stream: StreamId) -> bool {
        self.runner.events.contains(&EngineEvent::StreamDrained { session: self.session, stream })
    }
}

impl Player {
    pub(crate) fn feed(&mut self) {
        let Some(writer) = &mut self.writer else { return };
        let frames = writer.write(&self.sound[self.at..]);
        self.at += writer.format().bytes_of(frames);
        if self.at == self.sound.len() {
            self.writer = None;
        }
    }
}

/// Where `part` begins in `whole`, looking at multiples of `step` only.
pub(crate) fn find(whole: &[u8], part: &[u8], step: usize) -> Option<usize> {
    (0..whole.len().saturating_sub(part.len() - 1)).step_by(step).find(|at| whole[*at..].starts_with(part))
}
