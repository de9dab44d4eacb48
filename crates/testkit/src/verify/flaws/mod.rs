//! Endpoints that break the contract, each in one way, to prove that the kit finds out and names the right number.
//!
//! [`CASES`] is the list: what each does, and which requirement that breaks. Each is a [`Subject`], and is sound but for
//! its flaw.

mod capture;
mod control;
mod render;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use soundpost_core::{ChannelLayout, Clock, Format, FrameCount, Hns, Instant, SampleFormat, SampleRate};
use soundpost_endpoint::stock::{ClockControl, ClockedControl, Device, StockConfig};
use soundpost_endpoint::{DataFlow, Endpoint, Event, Requirement as Req};
use soundpost_queue::frames::{FrameReader, queue};

use super::{Backstage, Made, Subject};
use crate::faulty::faulty_render_on;
use crate::{Breach, CaptureBreach, faulty_capture};

use DataFlow::{Capture, Render};

/// A way to break the contract, beside those of [`Breach`] and [`CaptureBreach`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table of cases says what each does")]
pub enum Flaw {
    FormatChanges,
    PacketRoundedDown,
    PacketTooEarly,
    LatencyDrifts,
    LatencyTooEarly,
    TakesEveryFlag,
    RefusesNoFlags,
    EarlyEvent,
    UnexpectedEvent,
    LatencyInFrames,
    CoefficientIgnored,
    SecondSetBufferIgnored,
    SetBufferWhileRunning,
    ZeroCoefficientRefused,
    BelowMinimum,
    RtCapable,
    NeverSignals,
    StartsWithoutEvent,
    ResetKeeps,
    StopForgets,
    ExclusiveBeside,
    ExclusiveWithoutLimits,
    VolumeForgotten,
    VolumeOfAnyLength,
    MuteStuck,
    MeterOfNonsense,
    EffectsStuck,
    LastForgotten,
    ResetWhileRunning,
    StartTwice,
    StopHangs,
    LostAfterRefusal,
    PanicInStart,
    PaddingStaysZero,
    DiscontinuousStart,
    ContinuousResume,
    TimeInNanoseconds,
    NoRate,
    PositionGoesBack,
    KeepsCount,
    CountsAsked,
    CountsInvalid,
    SilencePlayedAsIs,
    SilenceDropped,
    PulseSignals,
    PulseMoves,
    PinsOnce,
    Allocates,
    Frees,
    Sleeps,
    BurnsTime,
    NeverReturns,
    Crashes,
    WaitsForControl,
    PaddingOfAll,
    NoTimeStamp,
    StaleTail,
    ZeroRefused,
    MovesByAsked,
    MovesByZero,
    OtherBytesAgain,
}

/// What a case is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Flaw(Flaw),
    Render(Breach),
    Capture(CaptureBreach),
}

/// An endpoint with one flaw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// Its name, for reports.
    pub name: &'static str,
    /// In which direction it carries sound.
    pub flow: DataFlow,
    /// What it breaks.
    pub requirement: Req,
    /// What it does.
    pub what: &'static str,
    how: How,
}

const fn flaw(name: &'static str, flow: DataFlow, requirement: Req, what: &'static str, flaw: Flaw) -> Case {
    Case { name, flow, requirement, what, how: How::Flaw(flaw) }
}

const fn render(name: &'static str, requirement: Req, what: &'static str, breach: Breach) -> Case {
    Case { name, flow: Render, requirement, what, how: How::Render(breach) }
}

const fn capture(name: &'static str, requirement: Req, what: &'static str, breach: CaptureBreach) -> Case {
    Case { name, flow: Capture, requirement, what, how: How::Capture(breach) }
}

/// All of them, in the contract's order.
pub const CASES: &[Case] = &[
    flaw("format-changes", Render, Req::E1, "the format is another one after SetBuffer", Flaw::FormatChanges),
    flaw("packet-rounded-down", Render, Req::E2, "floor instead of ceil of period × rate", Flaw::PacketRoundedDown),
    flaw("packet-too-early", Capture, Req::E2, "frames per packet before SetBuffer", Flaw::PacketTooEarly),
    flaw("latency-drifts", Render, Req::E3, "the latency changes while running", Flaw::LatencyDrifts),
    flaw("latency-too-early", Render, Req::E3, "a latency before SetBuffer", Flaw::LatencyTooEarly),
    flaw("takes-every-flag", Render, Req::E4, "takes the event-callback flag and cannot drive", Flaw::TakesEveryFlag),
    flaw("refuses-no-flags", Capture, Req::E4, "refuses to be used without any flag", Flaw::RefusesNoFlags),
    flaw("early-event", Render, Req::E5, "an event before initialisation is taken", Flaw::EarlyEvent),
    flaw("unexpected-event", Capture, Req::E5, "an event without its flag is taken", Flaw::UnexpectedEvent),
    render("frames-in-hns-field", Req::T1, "frames in the field for time", Breach::FramesInHnsField),
    render("impossible-padding", Req::T1, "more queued than it can hold", Breach::ImpossiblePadding),
    flaw("padding-stays-zero", Render, Req::T1, "the padding does not count what is queued", Flaw::PaddingStaysZero),
    flaw("padding-of-all", Capture, Req::T1, "the padding is more than the next packet", Flaw::PaddingOfAll),
    flaw("discontinuous-start", Render, Req::T2, "a discontinuity at stream start", Flaw::DiscontinuousStart),
    flaw("discontinuous-source", Capture, Req::T2, "a discontinuity at stream start", Flaw::DiscontinuousStart),
    flaw("continuous-resume", Render, Req::T2, "no discontinuity after Stop and Start", Flaw::ContinuousResume),
    flaw("time-in-nanoseconds", Render, Req::T2, "records are stamped in ns, not in 100 ns", Flaw::TimeInNanoseconds),
    flaw("no-rate", Capture, Req::T2, "the calculated rate is 0", Flaw::NoRate),
    flaw("position-goes-back", Render, Req::T2, "the device position goes back now and then", Flaw::PositionGoesBack),
    capture("no-data", Req::T5, "acquire gives no buffer", CaptureBreach::NoBuffer),
    capture("short-data", Req::T5, "acquire gives a frame too few", CaptureBreach::ShortBuffer),
    capture("misaligned-data", Req::T5, "a misaligned pointer", CaptureBreach::MisalignedBuffer),
    capture("invalid-flag", Req::T5, "data flagged invalid", CaptureBreach::InvalidFlag),
    flaw("no-time-stamp", Capture, Req::T5, "the time stamp is not written", Flaw::NoTimeStamp),
    flaw("stale-tail", Capture, Req::T5, "old bytes where nothing is recorded yet", Flaw::StaleTail),
    flaw("zero-refused", Capture, Req::T5, "no buffer for zero frames", Flaw::ZeroRefused),
    flaw("kept-count-of-data", Capture, Req::T5, "the count is kept from call to call", Flaw::KeepsCount),
    flaw("moves-by-asked", Capture, Req::T6, "moves by the asked instead of the used frames", Flaw::MovesByAsked),
    flaw("moves-by-zero", Capture, Req::T6, "0 used frames consume the packet", Flaw::MovesByZero),
    flaw(
        "other-bytes-again",
        Capture,
        Req::T6,
        "a stale pointer: other bytes for the same frames",
        Flaw::OtherBytesAgain,
    ),
    render("no-buffer", Req::T7, "acquire gives no buffer", Breach::NoBuffer),
    render("short-buffer", Req::T7, "acquire gives a frame too few", Breach::ShortBuffer),
    render("long-buffer", Req::T7, "acquire gives a frame too many", Breach::LongBuffer),
    render("misaligned-buffer", Req::T7, "a misaligned pointer", Breach::MisalignedBuffer),
    flaw("kept-count", Render, Req::T7, "the count is kept from call to call", Flaw::KeepsCount),
    flaw("counts-asked", Render, Req::T8, "moves by the asked instead of the used frames", Flaw::CountsAsked),
    flaw("counts-invalid", Render, Req::T8, "a release of nothing counts as a packet", Flaw::CountsInvalid),
    flaw("silence-as-it-was", Render, Req::T8, "a silent buffer is played as it was", Flaw::SilencePlayedAsIs),
    flaw("silence-dropped", Render, Req::T8, "silence is counted and not played", Flaw::SilenceDropped),
    flaw("self-waking-pulse", Render, Req::T12, "a pulse signals the event that drives the engine", Flaw::PulseSignals),
    flaw("moving-pulse", Render, Req::T12, "a pulse moves the stream", Flaw::PulseMoves),
    render("pin-fails", Req::T13, "the pin cannot be activated", Breach::PinFails),
    flaw("pins-once", Capture, Req::T13, "the pin cannot be activated again", Flaw::PinsOnce),
    flaw("latency-in-frames", Render, Req::D1, "frames in the latency's field for time", Flaw::LatencyInFrames),
    flaw(
        "coefficient-ignored",
        Render,
        Req::D1,
        "the latency is one period whatever was asked",
        Flaw::CoefficientIgnored,
    ),
    flaw("second-set-buffer", Capture, Req::D1, "a second SetBuffer does nothing", Flaw::SecondSetBufferIgnored),
    flaw("set-buffer-running", Render, Req::D1, "SetBuffer is taken while running", Flaw::SetBufferWhileRunning),
    flaw("zero-coefficient", Render, Req::D2, "a coefficient of 0 is refused", Flaw::ZeroCoefficientRefused),
    flaw("below-minimum", Render, Req::D2, "a latency below the minimum", Flaw::BelowMinimum),
    flaw("rt-capable", Render, Req::D3, "says that it is capable of real time", Flaw::RtCapable),
    flaw("never-signals", Capture, Req::D4, "can drive the engine and never signals", Flaw::NeverSignals),
    flaw("starts-without-event", Render, Req::D4, "drives, and starts without its event", Flaw::StartsWithoutEvent),
    flaw("exclusive-beside", Render, Req::D5, "exclusive mode beside SetBuffer", Flaw::ExclusiveBeside),
    flaw("exclusive-limits", Capture, Req::D5, "a shared buffer of any length", Flaw::ExclusiveWithoutLimits),
    flaw("reset-keeps", Render, Req::C1, "Reset throws nothing away", Flaw::ResetKeeps),
    flaw("reset-while-running", Render, Req::C2, "Reset is taken while running", Flaw::ResetWhileRunning),
    flaw("start-twice", Capture, Req::C2, "a second Start begins anew", Flaw::StartTwice),
    flaw("stop-hangs", Render, Req::C2, "a second Stop never returns", Flaw::StopHangs),
    flaw("lost-after-refusal", Render, Req::C2, "plays no more after a refused call", Flaw::LostAfterRefusal),
    flaw("panic-in-start", Capture, Req::C2, "a second Start panics", Flaw::PanicInStart),
    flaw("stop-forgets", Render, Req::C3, "Stop throws away what is queued", Flaw::StopForgets),
    flaw("volume-forgotten", Render, Req::X1, "the volume that was set is not answered", Flaw::VolumeForgotten),
    flaw("volume-of-any-length", Render, Req::X1, "volumes for too many channels are taken", Flaw::VolumeOfAnyLength),
    flaw("mute-stuck", Render, Req::X1, "once muted, it stays so", Flaw::MuteStuck),
    flaw("meter-of-nonsense", Capture, Req::X1, "peaks that are no numbers", Flaw::MeterOfNonsense),
    flaw("effects-stuck", Capture, Req::X1, "effects that cannot be switched off", Flaw::EffectsStuck),
    flaw("last-forgotten", Render, Req::X1, "the last frames of a sound are not taken", Flaw::LastForgotten),
    render("panic-in-padding", Req::X2, "panics", Breach::PanicInPadding),
    render("panic-in-acquire", Req::X2, "panics", Breach::PanicInAcquire),
    render("panic-in-release", Req::X2, "panics", Breach::PanicInRelease),
    render("panic-in-complete", Req::X2, "panics", Breach::PanicInComplete),
    render("panic-in-pulse", Req::X2, "panics", Breach::PanicInPulse),
    render("panic-in-pin", Req::X2, "panics", Breach::PanicInPin),
    capture("source-panics-in-padding", Req::X2, "panics", CaptureBreach::PanicInPadding),
    capture("source-panics-in-acquire", Req::X2, "panics", CaptureBreach::PanicInAcquire),
    capture("source-panics-in-release", Req::X2, "panics", CaptureBreach::PanicInRelease),
    capture("source-panics-in-complete", Req::X2, "panics", CaptureBreach::PanicInComplete),
    flaw("allocates", Render, Req::X2, "allocates in release", Flaw::Allocates),
    flaw("frees", Capture, Req::X2, "frees in release", Flaw::Frees),
    flaw("sleeps", Render, Req::X2, "blocks in release", Flaw::Sleeps),
    flaw("burns-time", Render, Req::X2, "takes longer than its period, of the processor's time", Flaw::BurnsTime),
    flaw("never-returns", Render, Req::X2, "never returns from release", Flaw::NeverReturns),
    flaw("crashes", Capture, Req::X2, "takes the process along", Flaw::Crashes),
    flaw("waits-for-control", Render, Req::X2, "shares a lock with its control half", Flaw::WaitsForControl),
];

const FORMAT: Format = Format { sample: SampleFormat::S16, rate: SampleRate::HZ_48000, layout: ChannelLayout::STEREO };

/// What the two halves of a flawed endpoint share, for the worse.
#[derive(Default)]
struct Shared {
    event: Mutex<Option<Arc<dyn Event>>>,
    lock: Mutex<()>,
    lost: AtomicBool,
    running: AtomicBool,
}

impl Subject for Case {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn flow(&self) -> DataFlow {
        self.flow
    }

    fn make(&self, clock: Arc<dyn Clock>) -> Result<Made, String> {
        let mut config = StockConfig::new(FORMAT);
        let flaw = match self.how {
            How::Flaw(flaw) => flaw,
            How::Render(breach) => return Ok(Made::new(faulty_render_on(&config, clock, None, breach, 3))),
            How::Capture(breach) => return Ok(Made::new(faulty_capture(&config, clock, breach, 3))),
        };
        let drives = [Flaw::PulseSignals, Flaw::NeverSignals, Flaw::StartsWithoutEvent];
        config.event_driven = drives.contains(&flaw);
        if flaw == Flaw::BelowMinimum {
            config.minimum_latency = Hns::from_millis(25);
        }
        let device = ClockControl::new(FORMAT.rate, config.offset, Arc::clone(&clock));
        let shared = Arc::<Shared>::default();
        let inner = ClockedControl::new(&config, device.clone());
        let ticker = (flaw != Flaw::NeverSignals).then(|| inner.device());
        let control = control::FlawedControl::new(inner, flaw, Arc::clone(&shared));
        let second = FrameCount::new(FORMAT.rate.get());
        let (sound, heard) = queue(FrameCount::new(second.get().saturating_mul(2)), FORMAT.frame_bytes());
        let endpoint = match self.flow {
            Render => Endpoint::render(control, render::FlawedRender::new(device.render(), flaw, shared, sound)),
            Capture => Endpoint::capture(control, capture::FlawedCapture::new(device.capture(), flaw)),
        };
        let observed = self.flow == Render;
        Ok(Made { endpoint, backstage: Box::new(Behind { device: ticker, heard: observed.then_some(heard) }) })
    }
}

struct Behind {
    device: Option<Device>,
    heard: Option<FrameReader<u8>>,
}

impl Backstage for Behind {
    fn next(&mut self) -> Option<Instant> {
        self.device.as_mut().and_then(Device::next_tick)
    }

    fn attend(&mut self, now: Instant) {
        if let Some(device) = &mut self.device {
            device.tick(now);
        }
    }

    fn heard(&mut self) -> Option<Vec<u8>> {
        let reader = self.heard.as_mut()?;
        let mut sound = vec![0; FORMAT.bytes_of(reader.queued())];
        reader.read(&mut sound);
        Some(sound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::{NoTools, Options, verify};

    /// What takes the process along, never returns, or can only be measured with real tools.
    const NEEDS_A_PROCESS: [Flaw; 8] = [
        Flaw::StopHangs,
        Flaw::Allocates,
        Flaw::Frees,
        Flaw::Sleeps,
        Flaw::BurnsTime,
        Flaw::NeverReturns,
        Flaw::Crashes,
        Flaw::WaitsForControl,
    ];

    #[test]
    fn each_flaw_is_found_under_its_number() {
        for case in CASES {
            if let How::Flaw(flaw) = case.how
                && NEEDS_A_PROCESS.contains(&flaw)
            {
                continue;
            }
            let report = verify(case, Options::default(), &NoTools);
            assert!(report.broken().contains(&case.requirement.number()), "{}: {report}", case.name);
        }
    }

    #[test]
    fn every_group_has_flaws_and_no_two_are_called_the_same() {
        for group in ["E", "T", "D", "C", "X"] {
            assert!(CASES.iter().any(|case| case.requirement.number().starts_with(group)), "{group}");
        }
        let mut names: Vec<_> = CASES.iter().map(|case| case.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CASES.len());
    }
}
