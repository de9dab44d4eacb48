//! The contract's calls, through the ports that the engine makes them through.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use soundpost_core::{Clock, FrameCount, Hns, Instant, SampleFormat};
use soundpost_endpoint::stock::{StockConfig, null_capture, null_render};
use soundpost_endpoint::{BufferFlag, CapturePort, ControlHalf, Filled, RenderPort, RtHalf};

use crate::BenchError;
use crate::cases::Case;
use crate::rig::{FRAMES, stereo};

/// Which calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Calls {
    /// GetCurrentPadding (T1, T2).
    Padding,
    /// Acquire and release of a packet (T5 to T8), without what is in it.
    Packet,
    /// ProcessingComplete, and on render PulseEndpoint (T11, T12).
    Complete,
    /// All of these, as a pass makes them.
    All,
}

impl Calls {
    fn padding(self) -> bool {
        matches!(self, Self::Padding | Self::All)
    }

    fn packet(self) -> bool {
        matches!(self, Self::Packet | Self::All)
    }

    fn complete(self) -> bool {
        matches!(self, Self::Complete | Self::All)
    }
}

/// Calls of a render endpoint that plays to nobody.
pub(crate) struct Render {
    calls: Calls,
    port: RenderPort,
    clock: Arc<Now>,
    /// Runs the endpoint; dropped last.
    _control: Box<dyn ControlHalf>,
}

/// Calls of a capture endpoint that gives silence.
pub(crate) struct Capture {
    calls: Calls,
    port: CapturePort,
    clock: Arc<Now>,
    _control: Box<dyn ControlHalf>,
}

const PERIOD: Hns = Hns::from_millis(10);

impl Render {
    pub(crate) fn new(calls: Calls) -> Result<Self, BenchError> {
        let clock = Arc::<Now>::default();
        let config = StockConfig::new(stereo(SampleFormat::S16, 48_000)?);
        let endpoint = null_render(&config, Arc::<Now>::clone(&clock)).endpoint;
        let mut control = endpoint.control;
        let (packet, buffer) = start(control.as_mut(), &config)?;
        let RtHalf::Render(half) = endpoint.realtime else { return Err(BenchError::Idle("a render endpoint")) };
        Ok(Self { calls, port: RenderPort::new(half, config.format, packet, buffer), clock, _control: control })
    }
}

impl Capture {
    pub(crate) fn new(calls: Calls) -> Result<Self, BenchError> {
        let clock = Arc::<Now>::default();
        let config = StockConfig::new(stereo(SampleFormat::S16, 48_000)?);
        let endpoint = null_capture(&config, Arc::<Now>::clone(&clock)).endpoint;
        let mut control = endpoint.control;
        let (packet, buffer) = start(control.as_mut(), &config)?;
        let RtHalf::Capture(half) = endpoint.realtime else { return Err(BenchError::Idle("a capture endpoint")) };
        Ok(Self { calls, port: CapturePort::new(half, config.format, packet, buffer), clock, _control: control })
    }
}

fn start(control: &mut dyn ControlHalf, config: &StockConfig) -> Result<(FrameCount, FrameCount), BenchError> {
    control.set_buffer(PERIOD, 2)?;
    control.start()?;
    Ok((control.frames_per_packet()?, config.format.rate.frames_covering(control.latency()?)))
}

impl Render {
    fn call(&mut self, measured: bool) {
        if self.calls.padding() == measured {
            let _ = black_box(self.port.padding());
        }
        if self.calls.packet() == measured {
            let filled = Filled { frames: FrameCount::new(FRAMES), flag: BufferFlag::Valid };
            let _ = black_box(self.port.packet(filled.frames, None, |bytes| {
                black_box(bytes);
                filled
            }));
        }
        if self.calls.complete() == measured {
            self.port.complete();
        }
    }
}

impl Capture {
    fn call(&mut self, measured: bool) {
        if self.calls.padding() == measured {
            let _ = black_box(self.port.padding());
        }
        if self.calls.packet() == measured {
            let frames = FrameCount::new(FRAMES);
            let _ = black_box(self.port.packet(frames, |bytes, position| {
                black_box((bytes, position));
                frames
            }));
        }
        if self.calls.complete() == measured {
            self.port.complete();
        }
    }
}

/// Before each run a period passes, and the calls of a pass that are not measured are made: what is measured finds the
/// endpoint as a pass does.
impl Case for Render {
    fn prepare(&mut self) {
        self.clock.0.fetch_add(10_000_000, Ordering::Relaxed);
        self.call(false);
    }

    fn run(&mut self) {
        self.call(true);
    }
}

impl Case for Capture {
    fn prepare(&mut self) {
        self.clock.0.fetch_add(10_000_000, Ordering::Relaxed);
        self.call(false);
    }

    fn run(&mut self) {
        self.call(true);
    }
}

/// A clock that is moved before each run.
#[derive(Default)]
struct Now(AtomicU64);

impl Clock for Now {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.0.load(Ordering::Relaxed))
    }
}
