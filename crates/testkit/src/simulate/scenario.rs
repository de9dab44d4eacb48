//! A scenario as data.

use std::time::Duration;

use serde::Deserialize;
use soundpost_core::{ChannelLayout, Format, Hns, SampleFormat, SampleRate};
use soundpost_endpoint::DataFlow;

use super::read::{ScenarioError, refuse};
use crate::{Breach, CaptureBreach};

/// Who is there, and when. Times are seconds of the virtual clock since the start.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Scenario {
    /// What a person calls it.
    pub name: String,
    /// How long it lasts, up to seven days.
    pub seconds: f64,
    /// Another seed draws other offsets, phases and clock errors.
    #[serde(default)]
    pub seed: u64,
    /// Real-time threads that the sessions are spread over; on the virtual clock they take turns. 1 to 64.
    #[serde(default = "one")]
    pub workers: u32,
    /// Time between two points of latency and padding, in milliseconds; else a 600th of the time, 100 ms at least.
    pub sample_ms: Option<u32>,
    /// Groups of sessions that are alike.
    #[serde(default, rename = "session")]
    pub sessions: Vec<SessionGroup>,
    /// Times at which the machine is busy with something else.
    #[serde(default, rename = "stall")]
    pub stalls: Vec<Stall>,
}

/// Sessions that are alike. Each has a render device, and a capture device where something records or is recorded from.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct SessionGroup {
    /// What a person calls it.
    pub name: String,
    /// How many of them.
    #[serde(default = "one")]
    pub count: u32,
    /// Period of a pass in milliseconds, 2.5 to 20.
    #[serde(default = "period")]
    pub period_ms: f64,
    /// Rate of the mix in hertz.
    #[serde(default = "rate")]
    pub rate: u32,
    /// What plays and records in each.
    #[serde(default, rename = "stream")]
    pub streams: Vec<StreamGroup>,
    /// Who listens to each, and what is recorded from.
    #[serde(default, rename = "endpoint")]
    pub endpoints: Vec<EndpointGroup>,
}

/// Streams that are alike.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct StreamGroup {
    /// Render: plays; capture: records.
    pub flow: Flow,
    /// How many of them in each session.
    pub count: u32,
    /// Frames per second.
    pub rate: u32,
    /// Sample format: u8, s16, s24, s24in32, s32 or f32.
    pub format: SampleKind,
    /// Channels, 1 to 8.
    pub channels: u16,
    /// What is played.
    pub signal: SignalKind,
    /// Of a tone, whole hertz.
    pub hertz: u32,
    /// Peak of the signal, 0 to 1.
    pub level: f32,
    /// The stream's volume, 0 to 1.
    pub volume: f32,
    /// When it starts.
    pub starts: f64,
    /// When it ends: what was written by then is played to the end. Without it, never.
    pub ends: Option<f64>,
    /// Each stream starts and ends later by a time of its own, up to this.
    pub spread: f64,
    /// How much its queue holds; the application keeps it full (render) or empty (capture).
    pub queue_ms: u32,
    /// How often the application comes round.
    pub write_ms: u32,
}

/// Endpoints that are alike.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct EndpointGroup {
    /// Render: a listener; capture: a microphone.
    pub flow: Flow,
    /// How many of them at each session; a session has one microphone.
    pub count: u32,
    /// Frames per second.
    pub rate: u32,
    /// Sample format.
    pub format: SampleKind,
    /// Channels, 1 to 8.
    pub channels: u16,
    /// How far its clock is off, in parts per million; positive is fast.
    pub clock_ppm: f64,
    /// Each one's clock is off by up to this more or less.
    pub clock_spread_ppm: f64,
    /// How many periods its buffer holds.
    pub periods: u32,
    /// Whether it drives the passes by its event (D4).
    pub event_driven: bool,
    /// When it is attached.
    pub arrives: f64,
    /// When it is detached. Without it, never.
    pub leaves: Option<f64>,
    /// Each one arrives and leaves later by a time of its own, up to this.
    pub spread: f64,
    /// How it breaks the contract.
    pub fault: Option<Fault>,
    /// From when on.
    pub fault_at: f64,
}

/// The machine runs nothing of us for a while.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Stall {
    /// When.
    pub at: f64,
    /// How long.
    pub seconds: f64,
}

/// In which direction sound flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the contract's own words")]
pub enum Flow {
    #[default]
    Render,
    Capture,
}

/// What a stream plays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignalKind {
    /// White noise: no two frames alike.
    #[default]
    Noise,
    /// A sine.
    Tone,
    /// Written, but silent.
    Silence,
}

/// A sample format by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SampleKind {
    /// Unsigned 8 bits.
    U8,
    /// 16 bits.
    S16,
    /// 24 bits, packed.
    S24,
    /// 24 bits in 32.
    S24in32,
    /// 32 bits.
    S32,
    /// 32-bit float.
    F32,
}

/// How an endpoint breaks the contract: the breaches of [`Breach`] and [`CaptureBreach`] by their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each name says what goes wrong")]
pub enum Fault {
    NoBuffer,
    ShortBuffer,
    LongBuffer,
    MisalignedBuffer,
    ImpossiblePadding,
    FramesInHnsField,
    InvalidFlag,
    PanicInPadding,
    PanicInAcquire,
    PanicInRelease,
    PanicInComplete,
    PanicInPulse,
    Slow,
}

fn one() -> u32 {
    1
}

fn period() -> f64 {
    10.0
}

fn rate() -> u32 {
    48_000
}

impl Default for StreamGroup {
    fn default() -> Self {
        Self {
            flow: Flow::Render,
            count: 1,
            rate: rate(),
            format: SampleKind::S16,
            channels: 2,
            signal: SignalKind::Noise,
            hertz: 440,
            level: 0.1,
            volume: 1.0,
            starts: 0.0,
            ends: None,
            spread: 0.0,
            queue_ms: 40,
            write_ms: 10,
        }
    }
}

impl Default for EndpointGroup {
    fn default() -> Self {
        Self {
            flow: Flow::Render,
            count: 1,
            rate: rate(),
            format: SampleKind::S16,
            channels: 2,
            clock_ppm: 0.0,
            clock_spread_ppm: 0.0,
            periods: 2,
            event_driven: false,
            arrives: 0.0,
            leaves: None,
            spread: 0.0,
            fault: None,
            fault_at: 0.0,
        }
    }
}

impl Flow {
    /// As the engine says it.
    #[must_use]
    pub fn data_flow(self) -> DataFlow {
        match self {
            Self::Render => DataFlow::Render,
            Self::Capture => DataFlow::Capture,
        }
    }
}

impl Fault {
    /// Of a render endpoint; none where only a capture endpoint can do that.
    pub(super) fn render(self) -> Option<Breach> {
        Some(match self {
            Self::NoBuffer => Breach::NoBuffer,
            Self::ShortBuffer => Breach::ShortBuffer,
            Self::LongBuffer => Breach::LongBuffer,
            Self::MisalignedBuffer => Breach::MisalignedBuffer,
            Self::ImpossiblePadding => Breach::ImpossiblePadding,
            Self::FramesInHnsField => Breach::FramesInHnsField,
            Self::PanicInPadding => Breach::PanicInPadding,
            Self::PanicInAcquire => Breach::PanicInAcquire,
            Self::PanicInRelease => Breach::PanicInRelease,
            Self::PanicInComplete => Breach::PanicInComplete,
            Self::PanicInPulse => Breach::PanicInPulse,
            Self::Slow => Breach::Slow,
            Self::InvalidFlag => return None,
        })
    }

    /// Of a capture endpoint; none where only a render endpoint can do that.
    pub(super) fn capture(self) -> Option<CaptureBreach> {
        Some(match self {
            Self::NoBuffer => CaptureBreach::NoBuffer,
            Self::ShortBuffer => CaptureBreach::ShortBuffer,
            Self::MisalignedBuffer => CaptureBreach::MisalignedBuffer,
            Self::InvalidFlag => CaptureBreach::InvalidFlag,
            Self::PanicInPadding => CaptureBreach::PanicInPadding,
            Self::PanicInAcquire => CaptureBreach::PanicInAcquire,
            Self::PanicInRelease => CaptureBreach::PanicInRelease,
            Self::PanicInComplete => CaptureBreach::PanicInComplete,
            _ => return None,
        })
    }
}

impl SampleKind {
    fn sample(self) -> SampleFormat {
        match self {
            Self::U8 => SampleFormat::U8,
            Self::S16 => SampleFormat::S16,
            Self::S24 => SampleFormat::S24,
            Self::S24in32 => SampleFormat::S24In32,
            Self::S32 => SampleFormat::S32,
            Self::F32 => SampleFormat::F32,
        }
    }
}

impl StreamGroup {
    pub(super) fn format(&self) -> Result<Format, ScenarioError> {
        format("session.stream", self.format, self.rate, self.channels)
    }
}

impl EndpointGroup {
    pub(super) fn format(&self) -> Result<Format, ScenarioError> {
        format("session.endpoint", self.format, self.rate, self.channels)
    }
}

impl SessionGroup {
    /// The period; 10 ms where it was not checked.
    pub(super) fn period(&self) -> Hns {
        Hns::from(duration(self.period_ms / 1_000.0))
    }

    pub(super) fn sample_rate(&self) -> Result<SampleRate, ScenarioError> {
        SampleRate::new(self.rate)
            .map_err(|_| refuse("session.rate", self.rate, "use 8000 to 192000 (hertz); 48000 suits most"))
    }
}

impl Scenario {
    /// How long it lasts.
    #[must_use]
    pub fn duration(&self) -> Duration {
        duration(self.seconds)
    }

    /// Time between two points of latency and padding.
    #[must_use]
    pub fn sample_every(&self) -> Duration {
        match self.sample_ms {
            Some(millis) => Duration::from_millis(millis.into()),
            None => (self.duration() / 600).max(Duration::from_millis(100)),
        }
    }

    /// How many sessions there are.
    #[must_use]
    pub fn session_count(&self) -> u64 {
        self.sessions.iter().map(|group| u64::from(group.count)).sum()
    }
}

/// Seconds to a duration; what cannot be one (it was refused before) is none.
pub(super) fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO)
}

fn format(whose: &'static str, sample: SampleKind, rate: u32, channels: u16) -> Result<Format, ScenarioError> {
    let rate = SampleRate::new(rate).map_err(|_| {
        refuse(
            if whose == "session.stream" { "session.stream.rate" } else { "session.endpoint.rate" },
            rate,
            "use 8000 to 192000 (hertz)",
        )
    })?;
    let layout = ChannelLayout::new(channels, 0).map_err(|_| refuse("channels", channels, "use 1 to 8"))?;
    Ok(Format { sample: sample.sample(), rate, layout })
}
