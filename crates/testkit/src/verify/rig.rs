//! One endpoint under test: every call into it goes through here, is watched, and its answer is looked at.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use soundpost_core::{Clock, Format, FrameCount, Hns, Instant};
use soundpost_endpoint::{
    BufferFlag, ControlHalf, CurrentPadding, DataFlow, EndpointError, Position, Requirement, RtHalf, StreamFlags,
};

use super::bench::Side;
use super::{Backstage, Broken, Made, Pace, Tools, Usage};
use crate::VirtualClock;

/// By which clock a check runs.
#[derive(Clone)]
pub(super) enum Time {
    Virtual(Arc<VirtualClock>),
    Real,
}

/// A thread can be made to wait by the kernel as well, once in a while: for a page that was taken away, for a lock on the
/// process's memory. Code that waits does it again and again.
pub(super) const FORGIVEN_WAITS: u32 = 2;

/// Watches calls: panics, allocations, waits, time.
pub(super) struct Watch<'a> {
    tools: &'a dyn Tools,
    time: Time,
    side: Side,
    /// Whether the endpoint owes the real-time rules.
    strict: bool,
    /// Whether waits are counted, which takes time.
    pub(super) closely: Cell<bool>,
    /// Calls that have waited.
    waits: Cell<u32>,
    /// The processor's time that real-time calls have taken since this was last set to 0.
    pub(super) cost: Cell<Duration>,
}

impl<'a> Watch<'a> {
    pub(super) fn new(tools: &'a dyn Tools, time: Time, side: Side, strict: bool) -> Self {
        Self {
            tools,
            time,
            side,
            strict,
            closely: Cell::new(false),
            waits: Cell::new(0),
            cost: Cell::new(Duration::ZERO),
        }
    }

    pub(super) fn now(&self) -> Instant {
        match &self.time {
            Time::Virtual(clock) => clock.now(),
            Time::Real => self.tools.now(),
        }
    }

    pub(super) fn usage(&self) -> Usage {
        self.tools.usage(self.closely.get())
    }

    /// Notes a breach beside the check's own.
    pub(super) fn note(&self, requirement: Requirement, what: String) {
        let mut side = self.side.borrow_mut();
        // The first of a kind says enough.
        if side.len() < 64 && !side.iter().any(|known| known.requirement == requirement && known.what == what) {
            side.push(Broken::new(requirement, what));
        }
    }

    /// A call into the control half.
    fn control<T>(&self, call: &'static str, run: impl FnOnce() -> T) -> Result<T, Broken> {
        self.tools.begin(call, false);
        let answer = catch_unwind(AssertUnwindSafe(run));
        self.tools.end();
        answer.map_err(|payload| Broken::new(Requirement::C2, format!("{call} panicked: {}", said(payload))))
    }

    /// A call into the real-time half (X2).
    fn real_time<T>(&self, call: &'static str, run: impl FnOnce() -> T) -> Result<T, Broken> {
        self.tools.begin(call, true);
        let before = self.usage();
        let answer = catch_unwind(AssertUnwindSafe(run));
        let after = self.usage();
        self.tools.end();
        let answer =
            answer.map_err(|payload| Broken::new(Requirement::X2, format!("{call} panicked: {}", said(payload))))?;
        if !self.strict {
            return Ok(answer);
        }
        let more = |before: Option<u64>, after: Option<u64>| match (before, after) {
            (Some(before), Some(after)) => after.saturating_sub(before),
            _ => 0,
        };
        if more(before.allocations, after.allocations) > 0 {
            self.note(Requirement::X2, format!("{call} allocates or frees memory"));
        }
        if more(before.waits, after.waits) > 0 {
            self.waits.set(self.waits.get() + 1);
            if self.waits.get() > FORGIVEN_WAITS {
                self.note(Requirement::X2, format!("{call} waits: it gave up the processor"));
            }
        }
        if let (Some(before), Some(after)) = (before.processor, after.processor) {
            self.cost.set(self.cost.get().saturating_add(after.saturating_sub(before)));
        }
        Ok(answer)
    }
}

/// What a panic said.
fn said(payload: Box<dyn std::any::Any + Send>) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    // It may be anything, also something whose drop panics.
    std::mem::forget(payload);
    text.chars().take(80).collect()
}

/// What a capture packet was.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Taken {
    pub(super) data: Vec<u8>,
    pub(super) flag: BufferFlag,
    pub(super) position: Position,
}

impl Taken {
    /// The bytes as they sound: silent ones may hold anything (T10).
    pub(super) fn sound(&self, format: Format) -> Vec<u8> {
        match self.flag {
            BufferFlag::Valid => self.data.clone(),
            _ => vec![format.sample.silence_byte(); self.data.len()],
        }
    }
}

/// One endpoint.
pub(super) struct Rig<'a> {
    control: Box<dyn ControlHalf>,
    realtime: RtHalf,
    backstage: Box<dyn Backstage>,
    pub(super) watch: Watch<'a>,
    pub(super) pace: Pace,
    pub(super) format: Format,
    /// Frames exchanged since Start of a fresh stream or Reset, as the kit counts them.
    pub(super) exchanged: u64,
}

impl<'a> Rig<'a> {
    pub(super) fn new(made: Made, watch: Watch<'a>, pace: Pace) -> Self {
        let Made { endpoint, backstage } = made;
        let format = endpoint.control.frame_format();
        Self { control: endpoint.control, realtime: endpoint.realtime, backstage, watch, pace, format, exchanged: 0 }
    }

    pub(super) fn flow(&self) -> DataFlow {
        match self.realtime {
            RtHalf::Render(_) => DataFlow::Render,
            RtHalf::Capture(_) => DataFlow::Capture,
        }
    }

    /// A call into the control half; its own answer is the check's to judge.
    pub(super) fn ask<T>(
        &mut self,
        call: &'static str,
        run: impl FnOnce(&mut dyn ControlHalf) -> T,
    ) -> Result<T, Broken> {
        let control = &mut *self.control;
        self.watch.control(call, || run(control))
    }

    /// A call into the control half that has to succeed, or `requirement` is broken.
    pub(super) fn must<T>(
        &mut self,
        requirement: Requirement,
        call: &'static str,
        run: impl FnOnce(&mut dyn ControlHalf) -> Result<T, EndpointError>,
    ) -> Result<T, Broken> {
        self.ask(call, run)?.map_err(|error| Broken::new(requirement, format!("{call} failed: {error}")))
    }

    /// Brings the endpoint up to SetBuffer, in the order of D4.
    pub(super) fn prepare(&mut self, period: Hns, coefficient: u32) -> Result<(), Broken> {
        self.must(Requirement::E4, "set_stream_flags", |control| control.set_stream_flags(StreamFlags::NONE))?;
        self.must(Requirement::D1, "set_buffer", |control| control.set_buffer(period, coefficient))
    }

    /// Brings the endpoint up and starts it, with its pin active.
    pub(super) fn run(&mut self, period: Hns, coefficient: u32) -> Result<(), Broken> {
        self.prepare(period, coefficient)?;
        self.start()?;
        self.pin(true)
    }

    pub(super) fn start(&mut self) -> Result<(), Broken> {
        self.must(Requirement::C1, "start", |control| control.start())
    }

    pub(super) fn stop(&mut self) -> Result<(), Broken> {
        self.must(Requirement::C1, "stop", |control| control.stop())
    }

    pub(super) fn reset(&mut self) -> Result<(), Broken> {
        self.exchanged = 0;
        self.must(Requirement::C1, "reset", |control| control.reset())
    }

    /// E2.
    pub(super) fn packet(&mut self) -> Result<FrameCount, Broken> {
        self.must(Requirement::E2, "frames_per_packet", |control| control.frames_per_packet())
    }

    /// E3.
    pub(super) fn latency(&mut self) -> Result<Hns, Broken> {
        self.must(Requirement::E3, "latency", |control| control.latency())
    }

    /// E3 as a length of buffer.
    pub(super) fn buffer(&mut self) -> Result<FrameCount, Broken> {
        let packet = self.packet()?;
        Ok(self.format.rate.frames_covering(self.latency()?).max(packet))
    }

    /// T1, with what has to hold for every answer: time and frames agree, or the flag says that the frames are not to
    /// be used.
    pub(super) fn padding(&mut self) -> Result<CurrentPadding, Broken> {
        let padding = match &mut self.realtime {
            RtHalf::Render(half) => self.watch.real_time("current_padding", || half.current_padding())?,
            RtHalf::Capture(half) => self.watch.real_time("current_padding", || half.current_padding())?,
        };
        let (frames, time) = (padding.position.padding, padding.time);
        if padding.position.flag != soundpost_endpoint::PositionFlag::Invalid
            && frames.abs_diff(self.format.rate.frames_nearest(time)) > 1
        {
            return Err(Broken::new(Requirement::T1, format!("{frames} frames of padding, but {time} as time")));
        }
        Ok(padding)
    }

    /// Acquire and release of a render endpoint (T7, T8): `fill` is handed the buffer.
    pub(super) fn render(
        &mut self,
        asked: FrameCount,
        used: FrameCount,
        flag: BufferFlag,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<(), Broken> {
        self.render_with(asked, used, flag, fill, false)
    }

    /// The same for the last frames of a sound (X1).
    pub(super) fn render_last(
        &mut self,
        asked: FrameCount,
        used: FrameCount,
        flag: BufferFlag,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<(), Broken> {
        self.render_with(asked, used, flag, fill, true)
    }

    fn render_with(
        &mut self,
        asked: FrameCount,
        used: FrameCount,
        flag: BufferFlag,
        fill: impl FnOnce(&mut [u8]),
        last: bool,
    ) -> Result<(), Broken> {
        let RtHalf::Render(half) = &mut self.realtime else { return Ok(()) };
        let answer = self.watch.real_time("acquire", || half.acquire(asked, None))?;
        let Some(data) = answer else {
            return Err(Broken::new(Requirement::T7, format!("acquire gave no buffer for {asked} frames")));
        };
        check_data(self.format, asked, data, Requirement::T7)?;
        fill(data);
        if last {
            self.watch.real_time("release_last", || half.release_last(used, flag))?;
        } else {
            self.watch.real_time("release", || half.release(used, flag))?;
        }
        if flag != BufferFlag::Invalid {
            self.exchanged += u64::from(used.get());
        }
        Ok(())
    }

    /// Acquire and release of a capture endpoint (T5, T6). `stamped`: with a position to be filled in.
    pub(super) fn capture(&mut self, asked: FrameCount, used: FrameCount, stamped: bool) -> Result<Taken, Broken> {
        let mut position = Position::default();
        let RtHalf::Capture(half) = &mut self.realtime else {
            return Ok(Taken { data: Vec::new(), flag: BufferFlag::Invalid, position });
        };
        let stamp = stamped.then_some(&mut position);
        let answer = self.watch.real_time("acquire", || half.acquire(asked, stamp))?;
        let Some(captured) = answer else {
            return Err(Broken::new(Requirement::T5, format!("acquire gave no buffer for {asked} frames")));
        };
        check_data(self.format, asked, captured.data, Requirement::T5)?;
        let (data, flag) = (captured.data.to_vec(), captured.flag);
        if flag == BufferFlag::Invalid {
            return Err(Broken::new(Requirement::T5, "acquire flagged its data neither valid nor silent"));
        }
        self.watch.real_time("release", || half.release(used))?;
        self.exchanged += u64::from(used.get());
        Ok(Taken { data, flag, position })
    }

    /// The end of a pass (T11, T12), as the engine ends one.
    pub(super) fn complete(&mut self) -> Result<(), Broken> {
        match &mut self.realtime {
            RtHalf::Render(half) => {
                self.watch.real_time("processing_complete", || half.processing_complete())?;
                self.watch.real_time("pulse", || half.pulse())
            }
            RtHalf::Capture(half) => self.watch.real_time("processing_complete", || half.processing_complete()),
        }
    }

    /// T12: callable in both directions.
    pub(super) fn pulse(&mut self) -> Result<(), Broken> {
        match &mut self.realtime {
            RtHalf::Render(half) => self.watch.real_time("pulse", || half.pulse()),
            RtHalf::Capture(half) => self.watch.real_time("pulse", || half.pulse()),
        }
    }

    /// T13.
    pub(super) fn pin(&mut self, active: bool) -> Result<(), Broken> {
        let call = if active { "set_pin_active" } else { "set_pin_inactive" };
        let answer = match (&mut self.realtime, active) {
            (RtHalf::Render(half), true) => self.watch.real_time(call, || half.set_pin_active()),
            (RtHalf::Render(half), false) => self.watch.real_time(call, || half.set_pin_inactive()),
            (RtHalf::Capture(half), true) => self.watch.real_time(call, || half.set_pin_active()),
            (RtHalf::Capture(half), false) => self.watch.real_time(call, || half.set_pin_inactive()),
        }?;
        answer.map_err(|error| Broken::new(Requirement::T13, format!("{call} failed: {error}")))
    }

    /// One pass as an engine makes it, with a packet of `asked` frames of which `used` are moved as far as there is
    /// room or data. `seed` numbers the frames that are written. Answers the record at its beginning.
    pub(super) fn pass(&mut self, asked: FrameCount, used: FrameCount) -> Result<Position, Broken> {
        let record = self.padding()?.position;
        match self.flow() {
            DataFlow::Render => {
                let room = u64::from(self.buffer()?.get()).saturating_sub(record.padding);
                let used = FrameCount::new(u32::try_from(room).unwrap_or(u32::MAX)).min(used).min(asked);
                let (format, first) = (self.format, self.exchanged);
                self.render(asked, used, BufferFlag::Valid, |data| pattern(format, first, data))?;
            }
            DataFlow::Capture => {
                let ready = FrameCount::new(u32::try_from(record.padding).unwrap_or(u32::MAX));
                let asked = ready.min(asked);
                self.capture(asked, used.min(asked), true)?;
            }
        }
        self.complete()?;
        Ok(record)
    }

    /// Lets time pass, and has the device attended to whenever it wants.
    pub(super) fn elapse(&mut self, duration: Duration) {
        let end = self.watch.now() + duration;
        loop {
            let now = self.watch.now();
            if now >= end {
                break;
            }
            let step = now + Duration::from_millis(1);
            let next = self.backstage.next().map_or(step, |at| at.min(step)).min(end);
            match &self.watch.time {
                Time::Virtual(clock) => {
                    // A device that wants to be attended to in the past must not hold the time.
                    clock.set(if next > now { next } else { step.min(end) });
                }
                Time::Real => self.watch.tools.sleep(next.saturating_since(now).max(Duration::from_micros(200))),
            }
            self.backstage.attend(self.watch.now());
        }
    }

    /// Splits the endpoint, for two threads.
    pub(super) fn halves(&mut self) -> (&mut dyn ControlHalf, &mut RtHalf, &Watch<'a>) {
        (&mut *self.control, &mut self.realtime, &self.watch)
    }

    /// Ends it: stops the endpoint, drops it, and asks what was heard.
    pub(super) fn heard(self) -> Result<Option<Vec<u8>>, Broken> {
        let Self { mut control, realtime, mut backstage, watch, .. } = self;
        watch.control("stop", || control.stop())?.ok();
        watch.control("drop", || drop((control, realtime)))?;
        backstage.attend(watch.now());
        Ok(backstage.heard())
    }
}

/// T5, T7: the buffer is as long as asked, and aligned to a sample.
fn check_data(format: Format, asked: FrameCount, data: &[u8], requirement: Requirement) -> Result<(), Broken> {
    let expected = format.bytes_of(asked);
    if data.len() != expected {
        let got = data.len();
        return Err(Broken::new(requirement, format!("acquire gave {got} bytes where {asked} frames are {expected}")));
    }
    let sample = format.sample.bytes();
    let alignment = if sample.is_power_of_two() { sample } else { 1 };
    if !data.as_ptr().addr().is_multiple_of(alignment) {
        return Err(Broken::new(requirement, format!("the buffer is not aligned to a sample of {sample} bytes")));
    }
    Ok(())
}

/// Fills `out` with frames that are all different from their neighbours and from silence; the first is number `first`.
pub(super) fn pattern(format: Format, first: u64, out: &mut [u8]) {
    for (number, frame) in (first..).zip(out.chunks_mut(format.frame_bytes().max(1))) {
        let mut chance = crate::Random::new(number);
        for byte in frame {
            let [low, ..] = chance.number().to_le_bytes();
            // Odd, so never a format's silence.
            *byte = low | 1;
        }
    }
}
