//! An engine with one session, to run single passes of.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use soundpost_core::{ChannelLayout, Clock, Format, FrameCount, Instant, SampleFormat, SampleRate};
use soundpost_endpoint::stock::{StockConfig, null_render};
use soundpost_endpoint::{DataFlow, Event};
use soundpost_engine::{
    AttachConfig, DeviceConfig, DeviceId, Engine, EngineConfig, NextWake, SessionId, StreamConfig, StreamWriter, Worker,
};

use crate::BenchError;
use crate::cases::Case;

/// 10 ms at 48 kHz: the period of all passes here.
pub(crate) const FRAMES: u32 = 480;
const PERIOD: Duration = Duration::from_millis(10);
/// Passes until ramps are over and meters have shown their first level. Not more: under valgrind each is slow.
const WARM_UP: u64 = 25;

/// What a rig is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RigConfig {
    pub(crate) streams: usize,
    /// The streams' rate; the device mixes at 48 kHz.
    pub(crate) rate: u32,
    /// The streams' samples.
    pub(crate) sample: SampleFormat,
    /// The listener's samples; none: nobody listens.
    pub(crate) listener: Option<SampleFormat>,
}

/// A session with playing streams and a listener. Each run is one pass; before it every stream is given a packet.
pub(crate) struct PassRig {
    worker: Worker,
    clock: Arc<Now>,
    writers: Vec<StreamWriter>,
    packet: Vec<u8>,
    session: SessionId,
    engine: Engine,
    device: DeviceId,
}

/// A format of stereo sound.
pub(crate) fn stereo(sample: SampleFormat, rate: u32) -> Result<Format, BenchError> {
    Ok(Format { sample, rate: SampleRate::new(rate)?, layout: ChannelLayout::STEREO })
}

/// Frames of sound, quiet enough that 256 streams of it do not reach the limiter.
pub(crate) fn sound(format: Format, frames: FrameCount) -> Vec<u8> {
    let mut samples = vec![0.0_f32; frames.as_usize() * format.layout.channels().as_usize()];
    let mut noise = soundpost_dsp::generate::Noise::new(soundpost_dsp::generate::Colour::White, 1, 0.002);
    noise.fill(&mut samples, format.layout.channels());
    let mut bytes = vec![0; format.bytes_of(frames)];
    soundpost_dsp::convert::encode(format.sample, &samples, &mut bytes);
    bytes
}

impl PassRig {
    pub(crate) fn new(config: RigConfig) -> Result<Self, BenchError> {
        let clock = Arc::new(Now(AtomicU64::new(1_000_000_000)));
        let (mut engine, mut workers) = Engine::new(EngineConfig::new(vec![Arc::new(NoEvent)]));
        let worker = workers.pop().ok_or(BenchError::Idle("an engine without a worker"))?;
        let session = engine.open_session("bench")?;
        let device = engine.open_device(session, DeviceConfig::new("speakers", DataFlow::Render))?;
        if let Some(sample) = config.listener {
            let listener = null_render(&StockConfig::new(stereo(sample, 48_000)?), Arc::<Now>::clone(&clock));
            let endpoint = engine.register(session, "listener", listener.endpoint)?;
            let connection = engine.connect(session, device)?;
            engine.attach(session, connection, endpoint, AttachConfig::default())?;
        }
        let format = stereo(config.sample, config.rate)?;
        let mut writers = Vec::new();
        for _ in 0..config.streams {
            writers.push(engine.open_stream(session, device, StreamConfig::new("player", format))?.1);
        }
        let packet = sound(format, format.rate.frames_covering(PERIOD.into()));
        let mut rig = Self { worker, clock, writers, packet, session, engine, device };
        rig.warm_up()?;
        Ok(rig)
    }

    /// A device whose one stream is muted: passes go on, and all of them are silent.
    pub(crate) fn silent() -> Result<Self, BenchError> {
        let config =
            RigConfig { streams: 1, rate: 48_000, sample: SampleFormat::F32, listener: Some(SampleFormat::F32) };
        let mut rig = Self::new(config)?;
        rig.engine.set_device_muted(rig.session, rig.device, true)?;
        for _ in 0..WARM_UP {
            rig.prepare();
            rig.run();
        }
        Ok(rig)
    }

    /// Runs until queues, ramps and the listener's cushion are as they stay, and looks whether sound is really mixed.
    fn warm_up(&mut self) -> Result<(), BenchError> {
        // A packet in store: a resampler wants a little more than a packet's worth at first.
        for writer in &mut self.writers {
            writer.write(&self.packet);
        }
        for _ in 0..WARM_UP {
            self.prepare();
            self.run();
            self.engine.maintain();
        }
        let snapshot = self.engine.snapshot();
        let devices =
            snapshot.sessions.iter().filter(|found| found.id == self.session).flat_map(|found| &found.devices);
        let device = devices.into_iter().find(|found| found.id == self.device);
        let device = device.ok_or(BenchError::Idle("a session without its device"))?;
        let sounding = device.stats.levels.peak.iter().any(|peak| *peak > 0.0);
        let dry = device.streams.iter().any(|stream| stream.stats.underruns > 0);
        if device.stats.passes < WARM_UP || !sounding || dry || device.stats.limited > 0 {
            return Err(BenchError::Idle("passes that are not of playing streams"));
        }
        Ok(())
    }
}

impl Case for PassRig {
    fn prepare(&mut self) {
        for writer in &mut self.writers {
            writer.write(black_box(&self.packet));
        }
        self.clock.0.fetch_add(u64::try_from(PERIOD.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn run(&mut self) {
        let next: NextWake = self.worker.run_pass(self.clock.now());
        black_box(next);
    }
}

/// A clock that [`PassRig`] moves.
struct Now(AtomicU64);

impl Clock for Now {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// Passes are run by hand: nobody has to be woken.
struct NoEvent;

impl Event for NoEvent {
    fn signal(&self) {}
}
