//! T1 and T3 to T12 at the ports, with endpoints that say what they are told to.

#![allow(clippy::disallowed_types, reason = "endpoints that only tests have")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use soundpost_core::{Format, FrameCount, Hns};
use soundpost_endpoint::stock::PacketBuffer;
use soundpost_endpoint::{
    BufferFlag, CapturePort, Captured, CurrentPadding, EndpointError, EndpointRt, Fault, Filled, InputEndpointRt,
    OutputEndpointRt, Position, PositionFlag, RenderPort, Requirement,
};

const PACKET: FrameCount = FrameCount::new(480);
const BUFFER: FrameCount = FrameCount::new(960);

fn frames(count: u32) -> FrameCount {
    FrameCount::new(count)
}

/// The calls that came.
type Log = Arc<Mutex<Vec<String>>>;

/// An endpoint that answers what it is told to.
struct Told {
    log: Log,
    data: PacketBuffer,
    /// Bytes by which the buffer is longer or shorter than asked; `None`: no buffer.
    error: Option<isize>,
    /// Bytes by which it begins too late.
    shift: usize,
    flag: BufferFlag,
    padding: CurrentPadding,
    panics: &'static str,
}

impl Told {
    fn new() -> (Self, Log) {
        let log = Log::default();
        let told = Self {
            log: Arc::clone(&log),
            data: PacketBuffer::new(Format::DEFAULT),
            error: Some(0),
            shift: 0,
            flag: BufferFlag::Valid,
            padding: CurrentPadding::default(),
            panics: "",
        };
        (told, log)
    }

    fn note(&self, call: &str, what: String) {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{call} {what}").trim().to_owned());
        assert!(self.panics != call, "told to panic");
    }

    fn bytes(&mut self, frames: FrameCount) -> Option<&mut [u8]> {
        let length = Format::DEFAULT.bytes_of(frames).checked_add_signed(self.error?)?;
        // Aligned at its beginning.
        self.data.get(FrameCount::new(1_000))?.get_mut(self.shift..self.shift + length)
    }
}

impl EndpointRt for Told {
    fn current_padding(&mut self) -> CurrentPadding {
        self.note("padding", String::new());
        self.padding
    }

    fn processing_complete(&mut self) {
        self.note("complete", String::new());
    }

    fn set_pin_active(&mut self) -> Result<(), EndpointError> {
        Err(EndpointError::Device { reason: "told to fail" })
    }
}

impl OutputEndpointRt for Told {
    fn acquire(&mut self, frames: FrameCount, _time: Option<&Position>) -> Option<&mut [u8]> {
        self.note("acquire", frames.get().to_string());
        self.bytes(frames)
    }

    fn release(&mut self, frames: FrameCount, flag: BufferFlag) {
        self.note("release", format!("{} {flag:?}", frames.get()));
    }

    fn release_last(&mut self, frames: FrameCount, flag: BufferFlag) {
        self.note("release_last", format!("{} {flag:?}", frames.get()));
    }

    fn pulse(&mut self) {
        self.note("pulse", String::new());
    }
}

impl InputEndpointRt for Told {
    fn acquire(&mut self, frames: FrameCount, position: Option<&mut Position>) -> Option<Captured<'_>> {
        self.note("acquire", frames.get().to_string());
        if let Some(position) = position {
            position.flag = PositionFlag::Continuous;
        }
        let flag = self.flag;
        self.bytes(frames).map(|data| Captured { data, flag })
    }

    fn release(&mut self, used: FrameCount) {
        self.note("release", used.get().to_string());
    }

    fn pulse(&mut self) {
        self.note("pulse", String::new());
    }
}

fn render(change: impl FnOnce(&mut Told)) -> (RenderPort, Log) {
    let (mut told, log) = Told::new();
    change(&mut told);
    (RenderPort::new(Box::new(told), Format::DEFAULT, PACKET, BUFFER), log)
}

fn capture(change: impl FnOnce(&mut Told)) -> (CapturePort, Log) {
    let (mut told, log) = Told::new();
    change(&mut told);
    (CapturePort::new(Box::new(told), Format::DEFAULT, PACKET, BUFFER), log)
}

fn calls(log: &Log) -> Vec<String> {
    std::mem::take(&mut *log.lock().unwrap_or_else(PoisonError::into_inner))
}

fn valid(count: u32) -> Filled {
    Filled { frames: frames(count), flag: BufferFlag::Valid }
}

#[test]
fn t3_t8_t9_a_render_packet_is_one_acquire_and_one_release() {
    let (mut port, log) = render(|_| {});
    assert_eq!(port.packet(frames(100), None, |_| valid(60)), Ok(frames(60)));
    assert_eq!(calls(&log), ["acquire 100", "release 60 Valid"]);
    assert_eq!(port.packet(frames(10_000), None, |data| valid(u32::try_from(data.len()).unwrap())), Ok(PACKET));
    assert_eq!(calls(&log), ["acquire 480", "release 480 Valid"], "T3: no more than E2; T8: no more than asked");
    assert_eq!(port.packet(frames(0), None, |_| valid(0)), Ok(frames(0)));
    assert_eq!(calls(&log), ["acquire 0", "release 0 Valid"]);
    let invalid = Filled { frames: frames(7), flag: BufferFlag::Invalid };
    assert_eq!(port.packet(frames(7), None, |_| invalid), Ok(frames(0)));
    assert_eq!(calls(&log), ["acquire 7", "release 0 Invalid"], "T8: invalid means no frames");
}

#[test]
fn t7_a_wrong_render_buffer_is_a_fault_and_is_released() {
    for (error, shift, expected) in
        [(None, 0, "NoBuffer"), (Some(-1), 0, "WrongLength"), (Some(8), 0, "WrongLength"), (Some(0), 1, "Misaligned")]
    {
        let (mut port, log) = render(|told| (told.error, told.shift) = (error, shift));
        let fault = port.packet(frames(100), None, |_| unreachable!("a wrong buffer must not be filled")).unwrap_err();
        assert!(format!("{fault:?}").starts_with(expected), "{fault:?}");
        assert_eq!(fault.requirement(), Requirement::T7);
        assert_eq!(calls(&log), ["acquire 100", "release 0 Invalid"], "T9");
    }
}

#[test]
fn t9_a_panic_while_filling_releases_and_one_in_acquire_does_not() {
    let (mut port, log) = render(|_| {});
    let caught = catch_unwind(AssertUnwindSafe(|| port.packet(frames(5), None, |_| panic!("the engine's own"))));
    assert!(caught.is_err());
    assert_eq!(calls(&log), ["acquire 5", "release 0 Invalid"]);
    let (mut port, log) = render(|told| told.panics = "acquire");
    assert!(catch_unwind(AssertUnwindSafe(|| port.packet(frames(5), None, |_| valid(5)))).is_err());
    assert_eq!(calls(&log), ["acquire 5"]);
    let (mut port, log) = capture(|_| {});
    assert!(catch_unwind(AssertUnwindSafe(|| port.packet(frames(5), |_, _| panic!("the engine's own")))).is_err());
    assert_eq!(calls(&log), ["acquire 5", "release 0"]);
    let (mut port, log) = capture(|told| told.panics = "acquire");
    assert!(catch_unwind(AssertUnwindSafe(|| port.packet(frames(5), |_, _| frames(5)))).is_err());
    assert_eq!(calls(&log), ["acquire 5"]);
}

#[test]
fn t5_t6_t10_a_capture_packet_is_shown_unless_it_is_silent() {
    let (mut port, log) = capture(|_| {});
    let used = port.packet(frames(1_000), |data, position| {
        assert_eq!(data.map(<[u8]>::len), Some(480 * 8));
        assert_eq!(position.flag, PositionFlag::Continuous);
        frames(9_999)
    });
    assert_eq!(used, Ok(PACKET));
    assert_eq!(calls(&log), ["acquire 480", "release 480"], "T6: used is no more than asked");
    let (mut port, _) = capture(|told| told.flag = BufferFlag::Silent);
    assert_eq!(
        port.packet(frames(10), |data, _| {
            assert!(data.is_none(), "T10");
            frames(0)
        }),
        Ok(frames(0))
    );
    let (mut port, log) = capture(|told| told.flag = BufferFlag::Invalid);
    assert_eq!(port.packet(frames(10), |_, _| unreachable!()), Err(Fault::InvalidData));
    assert_eq!(calls(&log), ["acquire 10", "release 0"]);
    for (error, shift) in [(None, 0), (Some(-8), 0), (Some(0), 2)] {
        let (mut port, log) = capture(|told| (told.error, told.shift) = (error, shift));
        let fault = port.packet(frames(10), |_, _| unreachable!()).unwrap_err();
        assert_eq!(fault.requirement(), Requirement::T5);
        assert_eq!(calls(&log), ["acquire 10", "release 0"]);
    }
}

#[test]
fn t11_t12_the_end_of_a_pass_pulses_on_render_only() {
    let (mut port, log) = render(|_| {});
    port.complete();
    assert_eq!(calls(&log), ["complete", "pulse"]);
    let (mut port, log) = capture(|_| {});
    port.complete();
    assert_eq!(calls(&log), ["complete"]);
}

#[test]
fn t1_padding_is_held_against_time_and_buffer() {
    let says = |padding: u64, time: i64, flag| {
        let position = Position { padding, flag, ..Position::default() };
        let (mut port, _) = render(|told| told.padding = CurrentPadding { time: Hns::new(time), position });
        port.padding().map(|(frames, _)| frames.get()).map_err(|fault| fault.requirement())
    };
    let whole = PositionFlag::Continuous;
    assert_eq!(says(480, 100_000, whole), Ok(480));
    assert_eq!(says(480, 100_200, whole), Ok(480), "within a frame");
    assert_eq!(says(480, 480, whole), Err(Requirement::T1), "frames in the HNS field");
    assert_eq!(says(7, 100_000, PositionFlag::Invalid), Ok(480), "an invalid record leaves the time");
    assert_eq!(says(1_440, 300_000, whole), Ok(1_440), "a packet may be in flight");
    assert_eq!(says(1_441, 300_208, whole), Err(Requirement::T1));
    assert_eq!(says(u64::MAX, i64::MAX, whole), Err(Requirement::T1));
}

#[test]
fn t13_a_pin_that_fails_is_a_fault() {
    let (mut port, _) = render(|_| {});
    assert_eq!(port.set_pin(true).unwrap_err().requirement(), Requirement::T13);
    assert_eq!(port.set_pin(false), Ok(()));
}

#[test]
fn x1_the_last_packet_is_released_as_the_last_unless_it_is_faulty() {
    let (mut port, log) = render(|_| {});
    assert_eq!(port.last_packet(frames(123), None, |_| valid(100)), Ok(frames(100)));
    assert_eq!(calls(&log), ["acquire 123", "release_last 100 Valid"]);
    let silence = Filled { frames: frames(0), flag: BufferFlag::Silent };
    assert_eq!(port.last_packet(frames(0), None, |_| silence), Ok(frames(0)));
    assert_eq!(calls(&log), ["acquire 0", "release_last 0 Silent"]);
    let (mut port, log) = render(|told| told.error = Some(-1));
    assert!(port.last_packet(frames(123), None, |_| valid(123)).is_err());
    assert_eq!(calls(&log), ["acquire 123", "release 0 Invalid"]);
    let (mut port, log) = render(|_| {});
    let panicked = catch_unwind(AssertUnwindSafe(|| port.last_packet(frames(123), None, |_| panic!("told to"))));
    assert!(panicked.is_err());
    assert_eq!(calls(&log), ["acquire 123", "release 0 Invalid"]);
}
