//! Many operations in random order, from a seed: whatever is done, the engine's promises hold.

use soundpost_core::{FrameCount, Gain, SampleFormat};
use soundpost_endpoint::DataFlow;
use soundpost_endpoint::stock::{RateOffset, StockConfig};
use soundpost_engine::{
    AttachConfig, ConnectionId, DeviceConfig, DeviceId, EndpointId, SessionId, StreamConfig, StreamId, StreamReader,
    StreamWriter,
};
use soundpost_testkit::{Digest, Probe, Random, Runner, capture_probe, check_order, render_probe};

use super::scene::{format, ms, noise};
use crate::guard::no_alloc;

/// What a run holds of the engine.
struct World {
    runner: Runner,
    random: Random,
    sessions: Vec<SessionId>,
    devices: Vec<(SessionId, DeviceId, DataFlow)>,
    streams: Vec<(SessionId, StreamId)>,
    writers: Vec<StreamWriter>,
    readers: Vec<StreamReader>,
    connections: Vec<(SessionId, ConnectionId)>,
    endpoints: Vec<(SessionId, EndpointId)>,
    probes: Vec<(Probe, DataFlow, Vec<soundpost_testkit::Entry>)>,
    digest: Digest,
}

impl World {
    fn step(&mut self) {
        let choice = self.random.below(18);
        let random = self.random.number();
        let engine = &mut self.runner.engine;
        let session = self.random.pick(&self.sessions).copied();
        let device = self.random.pick(&self.devices).copied();
        let stream = self.random.pick(&self.streams).copied();
        let connection = self.random.pick(&self.connections).copied();
        // Mostly one of the connection's own session: those of others are only refused.
        let mut near = self.endpoints.clone();
        near.retain(|(session, _)| connection.is_some_and(|(own, _)| own == *session) || random.is_multiple_of(8));
        let endpoint = self.random.pick(&near).copied();
        // Results are not looked at: a refusal is as good as a success, what counts is what holds afterwards.
        match (choice, session, device, stream, connection, endpoint) {
            (0, ..) if self.sessions.len() < 6 => self.sessions.extend(engine.open_session("session").ok()),
            (1, Some(session), ..) if self.devices.len() < 12 => {
                let flow = if random.is_multiple_of(3) { DataFlow::Capture } else { DataFlow::Render };
                let mut config = DeviceConfig::new("device", flow);
                config.period = soundpost_core::Hns::new([25_000, 50_000, 100_000, 200_000][random as usize % 4]);
                if let Ok(device) = engine.open_device(session, config) {
                    self.devices.push((session, device, flow));
                }
            }
            (2 | 3, _, Some((session, device, flow)), ..) if self.streams.len() < 30 => {
                let rate = [8_000, 44_100, 48_000, 96_000][random as usize % 4];
                let format = format(SampleFormat::ALL[random as usize % 6], rate, 1 + (random % 6) as u16);
                let config = StreamConfig::new("stream", format);
                match flow {
                    DataFlow::Render => {
                        if let Ok((id, writer)) = engine.open_stream(session, device, config) {
                            self.streams.push((session, id));
                            self.writers.push(writer);
                        }
                    }
                    DataFlow::Capture => {
                        if let Ok((id, reader)) = engine.open_capture(session, device, config) {
                            self.streams.push((session, id));
                            self.readers.push(reader);
                        }
                    }
                }
            }
            (4, _, Some((session, device, _)), ..) => {
                self.connections.extend(engine.connect(session, device).ok().map(|id| (session, id)));
            }
            (5 | 6, Some(session), ..) if self.probes.len() < 60 => {
                let mut config = StockConfig::new(format(SampleFormat::S16, 48_000, 2));
                config.offset = RateOffset::from_ppb((random % 2_000_000) as i32 - 1_000_000);
                let clock = self.runner.endpoint_clock();
                let capture = random.is_multiple_of(3);
                let (endpoint, probe) = if capture {
                    capture_probe(&config, clock, noise(config.format, 1_000, random))
                } else {
                    render_probe(&config, clock)
                };
                let flow = if capture { DataFlow::Capture } else { DataFlow::Render };
                self.probes.push((probe, flow, Vec::new()));
                let registered = self.runner.engine.register(session, "probe", endpoint);
                self.endpoints.extend(registered.ok().map(|id| (session, id)));
            }
            (7 | 8, _, _, _, Some((session, connection)), Some((_, endpoint))) => {
                let _ = engine.attach(session, connection, endpoint, AttachConfig::default());
            }
            (9, _, _, _, Some((session, connection)), _) => {
                let _ = engine.detach(session, connection);
            }
            (10, _, _, Some((session, stream)), ..) => {
                let _ = engine.set_stream_volume(session, stream, Gain::new((random % 100) as f32 / 50.0));
                let _ = engine.set_paused(session, stream, random.is_multiple_of(4));
            }
            (11, _, Some((session, device, _)), ..) => {
                let _ = engine.set_device_muted(session, device, random.is_multiple_of(2));
            }
            (12, _, _, Some((session, stream)), ..) if random.is_multiple_of(3) => {
                let _ = engine.close_stream(session, stream);
            }
            (13, _, Some((session, device, _)), ..) if random.is_multiple_of(8) => {
                let _ = engine.close_device(session, device);
            }
            (14, _, _, _, _, Some((session, endpoint))) if random.is_multiple_of(4) => {
                let _ = engine.unregister(session, endpoint);
            }
            (15, Some(session), ..) if random.is_multiple_of(16) => {
                let _ = engine.close_session(session);
            }
            (16, ..) if random.is_multiple_of(8) => self.runner.stall(ms(random % 300)),
            (17, _, _, Some((session, stream)), ..) => {
                let _ = engine.drain(session, stream);
            }
            _ => {}
        }
        let mut bytes = [0_u8; 4_096];
        for writer in &mut self.writers {
            let format = writer.format();
            writer.write(&noise(format, 300, random));
        }
        for reader in &mut self.readers {
            let frames = reader.read(&mut bytes);
            self.digest.add(&bytes[..reader.format().bytes_of(frames)]);
        }
        if self.random.below(40) == 0 && !self.writers.is_empty() {
            self.writers.remove(0).finish();
        }
        self.runner.run_for(ms(self.random.below(20)));
        self.check();
        if self.random.below(4) == 0 {
            self.forget_what_is_gone();
        }
    }

    /// Until then calls are made with ids that are gone, too.
    fn forget_what_is_gone(&mut self) {
        let snapshot = self.runner.engine.snapshot();
        let sessions = &snapshot.sessions;
        let devices = || sessions.iter().flat_map(|session| &session.devices);
        self.sessions.retain(|id| sessions.iter().any(|session| session.id == *id));
        self.devices.retain(|(_, id, _)| devices().any(|device| device.id == *id));
        self.streams.retain(|(_, id)| devices().flat_map(|device| &device.streams).any(|stream| stream.id == *id));
        self.connections
            .retain(|(_, id)| devices().flat_map(|device| &device.connections).any(|found| found.id == *id));
        let endpoints = || sessions.iter().flat_map(|session| &session.endpoints);
        self.endpoints.retain(|(_, id)| endpoints().any(|endpoint| endpoint.id == *id));
        self.writers.retain(|writer| !writer.is_closed());
        self.readers.retain(|reader| !reader.is_closed());
    }

    fn check(&mut self) {
        for (probe, _, calls) in &mut self.probes {
            calls.extend(probe.take_calls());
            self.digest.add(&probe.take_sound());
        }
        for event in self.runner.events.drain(..) {
            let faulted = matches!(event, soundpost_engine::EngineEvent::EndpointFaulted { .. });
            assert!(!faulted, "a sound endpoint was called faulty: {event:?}");
        }
        for session in self.runner.engine.snapshot().sessions {
            for device in session.devices {
                assert!(device.stats.levels.peak.iter().all(|peak| *peak <= 16.0));
                for stream in device.streams {
                    assert!(stream.stats.queued.get() < 2_000_000);
                }
            }
        }
    }
}

fn run(seed: u64, operations: u32) -> Digest {
    let mut world = World {
        runner: Runner::new(2, no_alloc),
        random: Random::new(seed),
        sessions: Vec::new(),
        devices: Vec::new(),
        streams: Vec::new(),
        writers: Vec::new(),
        readers: Vec::new(),
        connections: Vec::new(),
        endpoints: Vec::new(),
        probes: Vec::new(),
        digest: Digest::new(),
    };
    for _ in 0..operations {
        world.step();
    }
    for session in std::mem::take(&mut world.sessions) {
        let _ = world.runner.engine.close_session(session);
    }
    world.runner.run_for(ms(100));
    assert_eq!(world.runner.next_wake(), None, "everything is closed, and something is still due");
    assert!(world.runner.engine.snapshot().sessions.is_empty());
    world.check();
    for (_, flow, calls) in &world.probes {
        let packet = calls.iter().filter_map(|entry| match entry.call {
            soundpost_testkit::Call::SetBuffer { period, .. } => {
                Some(soundpost_core::SampleRate::HZ_48000.frames_covering(period))
            }
            _ => None,
        });
        assert_eq!(check_order(calls, packet.max().unwrap_or(FrameCount::ZERO), *flow), [], "seed {seed}");
    }
    let attached = world.probes.iter().filter(|(_, _, calls)| calls.len() > 10).count();
    assert!(attached >= 8, "seed {seed} attached only {attached} endpoints: the run tests nothing");
    world.digest
}

#[test]
fn a_thousand_random_operations_break_nothing_and_repeat_exactly() {
    for seed in 0..6 {
        let digest = run(seed, 1_000);
        if seed == 0 {
            assert_eq!(digest, run(seed, 1_000), "the same seed gave another run");
        }
    }
}
