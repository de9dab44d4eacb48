//! What the engine and its objects are made with.

use std::sync::Arc;
use std::time::Duration;

use soundpost_core::{ChannelLayout, Clock, Format, FrameCount, Gain, Hns, SampleFormat, SampleRate};
use soundpost_endpoint::{DataFlow, Event};
use soundpost_rt::guard::PanicGuard;

use crate::UnwindGuard;

/// What an engine is made with.
#[derive(Clone)]
pub struct EngineConfig {
    /// For each real-time thread, what wakes it; one worker is made for each. Signalled by the control side, by
    /// writers, and by endpoints that drive the engine (D4).
    pub wake: Vec<Arc<dyn Event>>,
    /// What wakes whoever calls [`crate::Engine::maintain`]; signalled from real-time threads.
    pub notify: Option<Arc<dyn Event>>,
    /// Catches the panics of endpoints (X3).
    pub guard: Arc<dyn PanicGuard>,
    /// Measures what passes and endpoints cost (X3). Without one, costs are 0 and no endpoint overruns its time.
    pub costs: Option<Arc<dyn Clock>>,
    /// How long a device without sound stays active.
    pub idle_after: Duration,
    /// Over how long a change of volume, a mute or a pause is spread.
    pub ramp: Duration,
    /// How many passes in a row an endpoint may take more than half a period before it is detached.
    pub tolerated_overruns: u32,
}

impl EngineConfig {
    /// The usual settings for real-time threads that are woken by `wake`.
    #[must_use]
    pub fn new(wake: Vec<Arc<dyn Event>>) -> Self {
        Self {
            wake,
            notify: None,
            guard: Arc::new(UnwindGuard),
            costs: None,
            idle_after: Duration::from_secs(1),
            ramp: Duration::from_millis(10),
            tolerated_overruns: 8,
        }
    }
}

/// A device to be opened.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceConfig {
    /// What a person calls it.
    pub name: String,
    /// Render: applications play into it. Capture: they record from it.
    pub flow: DataFlow,
    /// Frames per second of the mix.
    pub rate: SampleRate,
    /// Channels of the mix. Samples are 32-bit floats.
    pub layout: ChannelLayout,
    /// The time between two passes, 2.5 to 20 ms.
    pub period: Hns,
    /// The volume at the start.
    pub volume: Gain,
    /// Whether it starts muted.
    pub muted: bool,
}

impl DeviceConfig {
    /// The shortest period of a device.
    pub const SHORTEST_PERIOD: Hns = Hns::new(25_000);
    /// The longest period of a device.
    pub const LONGEST_PERIOD: Hns = Hns::from_millis(20);

    /// A device with 48 kHz, stereo, 10 ms and full volume.
    #[must_use]
    pub fn new(name: impl Into<String>, flow: DataFlow) -> Self {
        Self {
            name: name.into(),
            flow,
            rate: SampleRate::HZ_48000,
            layout: ChannelLayout::STEREO,
            period: Hns::from_millis(10),
            volume: Gain::UNITY,
            muted: false,
        }
    }

    /// The format of the mix.
    #[must_use]
    pub fn format(&self) -> Format {
        Format { sample: SampleFormat::F32, rate: self.rate, layout: self.layout }
    }
}

/// A stream to be opened.
#[derive(Clone)]
pub struct StreamConfig {
    /// What a person calls it.
    pub name: String,
    /// The format that is written or read.
    pub format: Format,
    /// The stream's own volume at the start.
    pub volume: Gain,
    /// Whether it starts muted.
    pub muted: bool,
    /// Whether it starts paused.
    pub paused: bool,
    /// How much the queue between the application and the engine holds.
    pub capacity: Duration,
    /// Render: how much has to be in the queue before playing starts, at first and after it ran dry.
    pub prebuffer: FrameCount,
    /// Signalled from the real-time thread after each pass that has moved frames of this stream.
    pub notify: Option<Arc<dyn Event>>,
}

impl StreamConfig {
    /// The longest queue of a stream.
    pub const LONGEST_QUEUE: Duration = Duration::from_secs(10);

    /// A stream at full volume with a queue of 200 ms.
    #[must_use]
    pub fn new(name: impl Into<String>, format: Format) -> Self {
        Self {
            name: name.into(),
            format,
            volume: Gain::UNITY,
            muted: false,
            paused: false,
            capacity: Duration::from_millis(200),
            prebuffer: FrameCount::ZERO,
            notify: None,
        }
    }
}

/// How an endpoint is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttachConfig {
    /// SetBuffer's latency coefficient (D1): how many periods the endpoint's buffer holds. 0: as few as it can (D2).
    pub coefficient: u32,
    /// Whether the endpoint drives the device's passes by its events, if it can and no other does (D4).
    pub event_driven: bool,
}

impl Default for AttachConfig {
    /// Two periods, self-paced.
    fn default() -> Self {
        Self { coefficient: 2, event_driven: false }
    }
}
