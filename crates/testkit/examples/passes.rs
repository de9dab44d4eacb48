//! Millions of passes of the real engine on the virtual clock, each under the guards of `soundpost-guards`, while the
//! control side opens, attaches, changes and closes what they work on: `cargo run --release -p soundpost-testkit
//! --example passes -- 10000000`.
//!
//! An allocation, a release of memory or a pass without an end aborts the process. Locks: `cargo xtask calls`, over the first of
//! these passes (docs/real-time.md).

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program for a check")]

use std::time::Duration;

use soundpost_core::{ChannelLayout, Format, Gain, Hns, SampleFormat, SampleRate};
use soundpost_endpoint::DataFlow;
use soundpost_endpoint::stock::{RateOffset, StockConfig, Tone, null_render, tone};
use soundpost_engine::{
    AttachConfig, ConnectionId, DeviceConfig, DeviceId, EndpointId, EngineEvent, SessionId, StreamConfig, StreamId,
    StreamReader, StreamWriter,
};
use soundpost_guards::{AllocDisabler, no_alloc};
use soundpost_testkit::{Random, Runner};

#[global_allocator]
static ALLOCATOR: AllocDisabler = AllocDisabler;

fn main() {
    let wanted = std::env::args().nth(1).map_or(200_000, |number| number.parse().unwrap());
    let mut world = World::new();
    let mut said = 0;
    loop {
        world.round();
        let passes = world.device_passes();
        if passes >= wanted {
            let now = world.runner.now();
            println!(
                "{passes} passes of {} devices in {} worker runs, {:.0} s of sound, {} operations meanwhile: no \
                 allocation",
                world.devices.len(),
                world.runner.passes(),
                Duration::from_nanos(now.as_nanos()).as_secs_f64(),
                world.operations
            );
            return;
        }
        if passes / 1_000_000 > said {
            said = passes / 1_000_000;
            println!("{passes} passes");
        }
    }
}

struct World {
    runner: Runner,
    random: Random,
    session: SessionId,
    /// These stay open for the whole run.
    devices: Vec<(DeviceId, DataFlow)>,
    writers: Vec<(StreamId, StreamWriter)>,
    readers: Vec<(StreamId, StreamReader)>,
    listeners: Vec<(ConnectionId, EndpointId)>,
    sound: Vec<u8>,
    operations: u64,
}

impl World {
    fn new() -> Self {
        let mut runner = Runner::new(2, no_alloc);
        let session = runner.engine.open_session("session").unwrap();
        let other = runner.engine.open_session("another, on the other worker").unwrap();
        let mut devices = Vec::new();
        for (hns, flow) in [
            (25_000, DataFlow::Render),
            (25_000, DataFlow::Render),
            (100_000, DataFlow::Render),
            (25_000, DataFlow::Capture),
        ] {
            let config = DeviceConfig { period: Hns::new(hns), ..DeviceConfig::new("device", flow) };
            devices.push((runner.engine.open_device(session, config).unwrap(), flow));
        }
        runner.engine.open_device(other, DeviceConfig::new("idle", DataFlow::Render)).unwrap();
        let random = Random::new(1);
        let sound = [0x12, 0x34, 0x56, 0x3A].repeat(16_384);
        let (writers, readers, listeners) = (Vec::new(), Vec::new(), Vec::new());
        Self { runner, random, session, devices, writers, readers, listeners, sound, operations: 0 }
    }

    /// An operation, and some passes.
    fn round(&mut self) {
        self.operations += u64::from(self.operation().is_some());
        let step = Duration::from_millis(10);
        let (writers, readers, sound) = (&mut self.writers, &mut self.readers, &self.sound);
        let mut bytes = [0; 8_192];
        self.runner.run_steps(step * 10, step, |_| {
            for (_, writer) in writers.iter_mut() {
                writer.write(sound);
            }
            for (_, reader) in readers.iter_mut() {
                while !reader.read(&mut bytes).is_zero() {}
            }
        });
        for event in std::mem::take(&mut self.runner.events) {
            match event {
                EngineEvent::EndpointFaulted { .. } => unreachable!("a sound endpoint was called faulty: {event:?}"),
                // What has been heard to its end is closed, as an application would.
                EngineEvent::StreamDrained { session, stream } => {
                    self.runner.engine.close_stream(session, stream).unwrap();
                }
                _ => {}
            }
        }
    }

    /// One change from the control side; nothing where the choice does not fit.
    fn operation(&mut self) -> Option<()> {
        let (choice, number) = (self.random.below(10), self.random.number());
        let (device, flow) = *self.random.pick(&self.devices)?;
        let (engine, session) = (&mut self.runner.engine, self.session);
        match choice {
            0 | 1 if flow == DataFlow::Render && self.writers.len() < 6 => {
                let config = StreamConfig::new("player", format(number));
                self.writers.push(engine.open_stream(session, device, config).unwrap());
            }
            0 | 1 if flow == DataFlow::Capture && self.readers.len() < 3 => {
                let config = StreamConfig::new("recorder", format(number));
                self.readers.push(engine.open_capture(session, device, config).unwrap());
            }
            2 if self.writers.len() > 3 => {
                let (stream, writer) = self.writers.remove(0);
                if number.is_multiple_of(2) {
                    // Paused it would never be heard to its end.
                    engine.set_paused(session, stream, false).unwrap();
                    writer.finish();
                } else {
                    engine.close_stream(session, stream).unwrap();
                }
            }
            3 if self.readers.len() > 1 => {
                engine.close_stream(session, self.readers.remove(0).0).unwrap();
            }
            4 | 5 if self.listeners.len() < 5 => self.attach(device, flow, number),
            6 if self.listeners.len() > 2 => {
                let (connection, endpoint) = self.listeners.remove(0);
                engine.detach(session, connection).unwrap();
                engine.unregister(session, endpoint).unwrap();
                engine.disconnect(session, connection).unwrap();
            }
            7 => {
                let (stream, _) = self.writers.first()?;
                engine.set_stream_volume(session, *stream, Gain::new(0.25)).unwrap();
                engine.set_paused(session, *stream, number.is_multiple_of(3)).unwrap();
            }
            8 => engine.set_device_muted(session, device, number.is_multiple_of(2)).unwrap(),
            _ => return None,
        }
        Some(())
    }

    fn attach(&mut self, device: DeviceId, flow: DataFlow, number: u64) {
        let mut config = StockConfig::new(format(number));
        config.offset = RateOffset::from_ppm(i32::try_from(number % 400).unwrap() - 200);
        let clock = self.runner.endpoint_clock();
        let stock = match flow {
            DataFlow::Render => null_render(&config, clock),
            DataFlow::Capture => tone(&config, clock, Tone::new(1_000_000, Gain::new(0.5))),
        };
        let engine = &mut self.runner.engine;
        let Ok(connection) = engine.connect(self.session, device) else { return };
        let endpoint = engine.register(self.session, "listener", stock.endpoint).unwrap();
        if engine.attach(self.session, connection, endpoint, AttachConfig::default()).is_ok() {
            self.listeners.push((connection, endpoint));
        }
    }

    /// Passes of all devices so far.
    fn device_passes(&self) -> u64 {
        let snapshot = self.runner.engine.snapshot();
        snapshot.sessions.iter().flat_map(|session| &session.devices).map(|device| device.stats.passes).sum()
    }
}

fn format(number: u64) -> Format {
    let samples = [SampleFormat::S16, SampleFormat::F32, SampleFormat::S24, SampleFormat::S32];
    let sample = samples[usize::try_from(number % 4).unwrap()];
    // Resampling costs ten times what the rest of a pass does: one in eight.
    let rate = if (number / 4).is_multiple_of(8) { 44_100 } else { 48_000 };
    Format { sample, rate: SampleRate::new(rate).unwrap(), layout: ChannelLayout::STEREO }
}
