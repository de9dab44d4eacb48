//! The stock endpoints against the contract, on a virtual clock.

#![allow(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use soundpost_core::{
    ChannelCount, ChannelLayout, Clock, Format, FrameCount, Gain, Hns, Instant, PacketSchedule, SampleFormat,
    SampleRate,
};
use soundpost_endpoint::stock::{
    RateOffset, Stock, StockConfig, TestSignal, Tone, null_capture, null_render, test_signal, tone,
};
use soundpost_endpoint::{
    BufferFlag, Captured, ControlHalf, CurrentPadding, EndpointError, EndpointRt, Event, InputEndpointRt,
    OutputEndpointRt, Position, PositionFlag, RtHalf, StreamFlags,
};
use soundpost_guards::no_alloc_with;

soundpost_guards::install!();

#[derive(Default)]
struct VirtualClock(AtomicU64);

impl Clock for VirtualClock {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

impl VirtualClock {
    fn pass(&self, time: Duration) {
        self.0.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Bell(AtomicU64);

impl Event for Bell {
    fn signal(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

const MS: Duration = Duration::from_millis(1);

fn s16(rate: u32) -> Format {
    Format { sample: SampleFormat::S16, rate: SampleRate::new(rate).unwrap(), layout: ChannelLayout::STEREO }
}

fn all_formats() -> impl Iterator<Item = Format> {
    SampleFormat::ALL.into_iter().flat_map(|sample| {
        [8_000, 11_025, 44_100, 48_000, 192_000].into_iter().flat_map(move |rate| {
            (1..=8).map(move |channels| Format {
                sample,
                rate: SampleRate::new(rate).unwrap(),
                layout: ChannelLayout::default_for(ChannelCount::new(channels).unwrap()),
            })
        })
    })
}

fn render(stock: Stock) -> (Box<dyn ControlHalf>, Box<dyn OutputEndpointRt>) {
    match stock.endpoint.realtime {
        RtHalf::Render(realtime) => (stock.endpoint.control, Box::new(Guarded(realtime))),
        RtHalf::Capture(_) => panic!("not a render endpoint"),
    }
}

fn capture(stock: Stock) -> (Box<dyn ControlHalf>, Box<dyn InputEndpointRt>) {
    match stock.endpoint.realtime {
        RtHalf::Capture(realtime) => (stock.endpoint.control, Box::new(Guarded(realtime))),
        RtHalf::Render(_) => panic!("not a capture endpoint"),
    }
}

/// A real-time half, each call of which is made as in a pass: under the guard.
struct Guarded<T: ?Sized>(Box<T>);

impl<T: EndpointRt + ?Sized> EndpointRt for Guarded<T> {
    fn current_padding(&mut self) -> CurrentPadding {
        no_alloc_with(|| self.0.current_padding())
    }

    fn processing_complete(&mut self) {
        no_alloc_with(|| self.0.processing_complete());
    }

    fn set_pin_active(&mut self) -> Result<(), EndpointError> {
        no_alloc_with(|| self.0.set_pin_active())
    }

    fn set_pin_inactive(&mut self) -> Result<(), EndpointError> {
        no_alloc_with(|| self.0.set_pin_inactive())
    }
}

impl OutputEndpointRt for Guarded<dyn OutputEndpointRt> {
    fn acquire(&mut self, frames: FrameCount, time: Option<&Position>) -> Option<&mut [u8]> {
        no_alloc_with(|| self.0.acquire(frames, time))
    }

    fn release(&mut self, frames: FrameCount, flag: BufferFlag) {
        no_alloc_with(|| self.0.release(frames, flag));
    }

    fn release_last(&mut self, frames: FrameCount, flag: BufferFlag) {
        no_alloc_with(|| self.0.release_last(frames, flag));
    }

    fn pulse(&mut self) {
        no_alloc_with(|| self.0.pulse());
    }
}

impl InputEndpointRt for Guarded<dyn InputEndpointRt> {
    fn acquire(&mut self, frames: FrameCount, position: Option<&mut Position>) -> Option<Captured<'_>> {
        no_alloc_with(|| self.0.acquire(frames, position))
    }

    fn release(&mut self, used: FrameCount) {
        no_alloc_with(|| self.0.release(used));
    }

    fn pulse(&mut self) {
        no_alloc_with(|| self.0.pulse());
    }
}

fn write(realtime: &mut dyn OutputEndpointRt, frames: u32) {
    assert!(realtime.acquire(FrameCount::new(frames), None).is_some());
    realtime.release(FrameCount::new(frames), BufferFlag::Valid);
    realtime.processing_complete();
    realtime.pulse();
}

fn take(realtime: &mut dyn InputEndpointRt, frames: u32) -> (Vec<u8>, BufferFlag, Position) {
    let mut position = Position::default();
    let captured = realtime.acquire(FrameCount::new(frames), Some(&mut position)).unwrap();
    let answer = (captured.data.to_vec(), captured.flag, position);
    realtime.release(FrameCount::new(frames));
    realtime.processing_complete();
    answer
}

#[test]
fn e2_e3_d1_d2_sizes_follow_from_set_buffer() {
    let clock: Arc<VirtualClock> = Arc::default();
    let config = StockConfig { minimum_latency: Hns::from_millis(15), ..StockConfig::new(s16(44_100)) };
    let (mut control, mut realtime) = render(null_render(&config, clock));
    assert_eq!(control.frames_per_packet(), Err(EndpointError::NotInitialized));
    assert_eq!(control.latency(), Err(EndpointError::NotInitialized));
    assert!(realtime.acquire(FrameCount::new(1), None).is_none());
    assert!(control.set_buffer(Hns::new(24_999), 2).is_err());
    assert_eq!(control.latency(), Err(EndpointError::NotInitialized));
    control.set_buffer(Hns::new(25_000), 0).unwrap();
    assert_eq!(control.frames_per_packet().unwrap().get(), 111);
    assert_eq!(control.latency(), Ok(Hns::from_millis(15)));
    assert!(realtime.acquire(FrameCount::new(112), None).is_none());
    control.set_buffer(Hns::from_millis(10), 2).unwrap(); // D1: replaces the first
    assert_eq!(control.latency(), Ok(Hns::from_millis(20)));
    control.start().unwrap();
    assert_eq!(control.set_buffer(Hns::from_millis(10), 2), Err(EndpointError::NotStopped));
}

#[test]
fn t5_t7_buffers_are_aligned_and_of_the_length_asked_for_in_every_format() {
    for format in all_formats() {
        let clock: Arc<VirtualClock> = Arc::default();
        let (mut control, mut sink) = render(null_render(&StockConfig::new(format), clock.clone()));
        let (mut control2, mut source) =
            capture(test_signal(&StockConfig::new(format), clock.clone(), TestSignal::Counter));
        for control in [&mut control, &mut control2] {
            control.set_buffer(Hns::from_millis(100), 2).unwrap();
            control.start().unwrap();
        }
        clock.pass(100 * MS);
        let packet = control.frames_per_packet().unwrap();
        let alignment = if format.sample == SampleFormat::S24 { 1 } else { format.sample.bytes() };
        for frames in [0, 1, packet.get()] {
            let frames = FrameCount::new(frames);
            let room = sink.acquire(frames, None).unwrap();
            assert_eq!(room.len(), format.bytes_of(frames));
            assert!(room.as_ptr().addr().is_multiple_of(alignment));
            sink.release(frames, BufferFlag::Silent);
            let captured = source.acquire(frames, None).unwrap();
            assert_eq!(captured.data.len(), format.bytes_of(frames));
            assert!(captured.data.as_ptr().addr().is_multiple_of(alignment));
            source.release(FrameCount::ZERO);
        }
    }
}

#[test]
fn t1_t2_render_positions_follow_the_clock() {
    for (rate, ppm) in [(48_000, 0), (44_100, 300), (11_025, -1_000)] {
        let clock: Arc<VirtualClock> = Arc::default();
        let config = StockConfig { offset: RateOffset::from_ppm(ppm), ..StockConfig::new(s16(rate)) };
        let (mut control, mut realtime) = render(null_render(&config, clock.clone()));
        control.set_buffer(Hns::from_millis(10), 5).unwrap();
        control.start().unwrap();
        let rate = SampleRate::new(rate).unwrap();
        let mut written = 0_u64;
        for pass in 0..20_000_u64 {
            let padding = realtime.current_padding();
            let record = padding.position;
            assert_eq!(record.flag, PositionFlag::Continuous, "pass {pass}");
            assert_eq!(record.time, clock.now().as_hns());
            assert_eq!(record.stream.get(), written);
            assert_eq!(record.stream.get() - record.device.get(), record.padding);
            assert!(rate.frames_nearest(padding.time).abs_diff(record.padding) <= 1);
            let exact = pass as f64 * 0.01 * f64::from(rate.get()) * (1.0 + f64::from(ppm) * 1e-6);
            assert!((record.device.get() as f64 - exact).abs() <= 1.0, "pass {pass}: {} {exact}", record.device.get());
            assert!(
                (f64::from(record.frames_per_second) / f64::from(rate.get()) - 1.0 - f64::from(ppm) * 1e-6).abs()
                    < 1e-7
            );
            // As an engine with a trimmed rate: keep 30 ms ahead.
            let target = rate.frames_in(Hns::from_millis(30));
            let mut missing = u32::try_from(target - record.padding).unwrap();
            written += u64::from(missing);
            while missing > 0 {
                let packet = missing.min(control.frames_per_packet().unwrap().get());
                write(&mut *realtime, packet);
                missing -= packet;
            }
            clock.pass(10 * MS);
        }
    }
}

#[test]
fn t2_an_underrun_holds_the_device_and_is_counted_once() {
    let clock: Arc<VirtualClock> = Arc::default();
    let stock = null_render(&StockConfig::new(s16(48_000)), clock.clone());
    let counts = stock.clock.clone();
    let (mut control, mut realtime) = render(stock);
    control.set_buffer(Hns::from_millis(10), 2).unwrap();
    control.start().unwrap();
    clock.pass(500 * MS);
    assert_eq!(realtime.current_padding().position.flag, PositionFlag::Continuous);
    assert_eq!(counts.counts().underruns, 0, "waiting for the first sound is no underrun");
    write(&mut *realtime, 480);
    clock.pass(30 * MS);
    let record = realtime.current_padding().position;
    assert_eq!((record.device.get(), record.padding, record.flag), (480, 0, PositionFlag::Discontinuous));
    clock.pass(5 * MS);
    assert_eq!(realtime.current_padding().position.flag, PositionFlag::Continuous);
    write(&mut *realtime, 480);
    clock.pass(5 * MS);
    let record = realtime.current_padding().position;
    assert_eq!((record.device.get(), record.padding), (720, 240));
    let counts = counts.counts();
    assert_eq!((counts.underruns, counts.underrun_frames, counts.exchanged), (1, 1_200, 960));
}

#[test]
fn c3_t2_stop_keeps_what_is_queued_and_reset_throws_it_away() {
    let clock: Arc<VirtualClock> = Arc::default();
    let (mut control, mut realtime) = render(null_render(&StockConfig::new(s16(48_000)), clock.clone()));
    control.set_buffer(Hns::from_millis(10), 2).unwrap();
    control.start().unwrap();
    write(&mut *realtime, 480);
    clock.pass(4 * MS);
    control.stop().unwrap();
    clock.pass(100 * MS);
    assert_eq!(realtime.current_padding().position.padding, 288);
    control.start().unwrap();
    clock.pass(MS);
    let record = realtime.current_padding().position;
    assert_eq!((record.device.get(), record.padding, record.flag), (240, 240, PositionFlag::Discontinuous));
    assert_eq!(realtime.current_padding().position.flag, PositionFlag::Continuous);
    control.stop().unwrap();
    control.reset().unwrap();
    control.start().unwrap();
    let record = realtime.current_padding().position;
    assert_eq!((record.stream.get(), record.device.get(), record.flag), (0, 0, PositionFlag::Continuous));
}

#[test]
fn c2_t2_any_number_of_unseen_control_calls_leaves_the_last_word() {
    let clock: Arc<VirtualClock> = Arc::default();
    let (mut control, mut realtime) = render(null_render(&StockConfig::new(s16(48_000)), clock.clone()));
    control.set_buffer(Hns::from_millis(10), 2).unwrap();
    control.start().unwrap();
    write(&mut *realtime, 480);
    for _ in 0..1_000 {
        control.stop().unwrap();
        control.reset().unwrap();
        control.start().unwrap();
        assert!(control.start().is_err());
        assert!(control.reset().is_err());
    }
    assert_eq!(realtime.current_padding().position.stream.get(), 0);
    control.stop().unwrap();
    control.reset().unwrap();
    control.start().unwrap();
    control.stop().unwrap();
    control.start().unwrap();
    assert_eq!(realtime.current_padding().position.flag, PositionFlag::Discontinuous);
}

#[test]
fn t5_t6_capture_gives_every_frame_once() {
    for (rate, period) in [(48_000, 100_000), (44_100, 25_000), (11_025, 200_000)] {
        let clock: Arc<VirtualClock> = Arc::default();
        let (mut control, mut realtime) =
            capture(test_signal(&StockConfig::new(s16(rate)), clock.clone(), TestSignal::Counter));
        control.set_buffer(Hns::new(period), 4).unwrap();
        control.start().unwrap();
        let mut schedule = PacketSchedule::new(Hns::new(period), SampleRate::new(rate).unwrap());
        let mut expected = 0_u32;
        for pass in 0..2_000 {
            clock.pass(Hns::new(period).to_duration());
            let ready = realtime.current_padding();
            assert!(ready.position.padding <= u64::from(control.frames_per_packet().unwrap().get()));
            let asked = schedule.next_packet().get();
            assert!(ready.position.padding >= u64::from(asked), "pass {pass}");
            if pass % 3 == 0 {
                // T6: what is not used comes again.
                let again = realtime.acquire(FrameCount::new(asked), None).unwrap().data.to_vec();
                realtime.release(FrameCount::ZERO);
                assert_eq!(again, realtime.acquire(FrameCount::new(asked), None).unwrap().data);
                realtime.release(FrameCount::ZERO);
            }
            let (data, flag, position) = take(&mut *realtime, asked);
            assert_eq!((flag, position.flag), (BufferFlag::Valid, PositionFlag::Continuous));
            assert_eq!(position.stream.get(), u64::from(expected));
            for frame in data.chunks(4) {
                assert_eq!(u32::from_le_bytes(frame.try_into().unwrap()), expected);
                expected += 1;
            }
        }
    }
}

#[test]
fn t5_what_is_not_recorded_yet_is_silence_and_the_signal_loses_nothing() {
    let clock: Arc<VirtualClock> = Arc::default();
    let stock = test_signal(&StockConfig::new(s16(48_000)), clock.clone(), TestSignal::Counter);
    let counts = stock.clock.clone();
    let (mut control, mut realtime) = capture(stock);
    control.set_buffer(Hns::from_millis(10), 4).unwrap();
    control.start().unwrap();
    clock.pass(5 * MS);
    let (data, flag, _) = take(&mut *realtime, 480);
    assert_eq!(flag, BufferFlag::Valid);
    assert!(data[240 * 4..].iter().all(|byte| *byte == 0));
    clock.pass(10 * MS);
    let (data, _, position) = take(&mut *realtime, 480);
    assert_eq!(u32::from_le_bytes(data[..4].try_into().unwrap()), 240);
    assert_eq!((position.flag, position.stream.get(), position.device.get()), (PositionFlag::Discontinuous, 480, 960));
    assert_eq!((counts.counts().underruns, counts.counts().underrun_frames), (1, 240));
}

#[test]
fn t6_an_overrun_is_told_and_only_the_oldest_frames_are_lost() {
    let clock: Arc<VirtualClock> = Arc::default();
    let stock = test_signal(&StockConfig::new(s16(48_000)), clock.clone(), TestSignal::Counter);
    let counts = stock.clock.clone();
    let (mut control, mut realtime) = capture(stock);
    control.set_buffer(Hns::from_millis(10), 4).unwrap();
    control.start().unwrap();
    clock.pass(10 * MS);
    take(&mut *realtime, 480);
    clock.pass(50 * MS); // 40 ms are held
    realtime.acquire(FrameCount::new(480), None).unwrap();
    realtime.release(FrameCount::ZERO);
    let (data, _, position) = take(&mut *realtime, 480);
    assert_eq!(u32::from_le_bytes(data[..4].try_into().unwrap()), 960);
    assert_eq!((position.flag, position.stream.get()), (PositionFlag::Discontinuous, 960));
    assert_eq!((counts.counts().overruns, counts.counts().overrun_frames), (1, 480));
    assert_eq!(take(&mut *realtime, 480).2.flag, PositionFlag::Continuous);
}

#[test]
fn t10_silence_is_flagged_and_a_tone_is_not() {
    let clock: Arc<VirtualClock> = Arc::default();
    let config = StockConfig::new(s16(48_000));
    let (mut control, mut silence) = capture(null_capture(&config, clock.clone()));
    let (mut control2, mut sine) = capture(tone(&config, clock.clone(), Tone::new(440_000, Gain::new(0.5))));
    for control in [&mut control, &mut control2] {
        control.set_buffer(Hns::from_millis(10), 2).unwrap();
        control.start().unwrap();
    }
    clock.pass(10 * MS);
    assert_eq!(take(&mut *silence, 480).1, BufferFlag::Silent);
    assert_eq!(take(&mut *sine, 480).1, BufferFlag::Valid);
}

#[test]
fn d4_e5_the_device_signals_each_packet_on_its_own_clock() {
    let clock: Arc<VirtualClock> = Arc::default();
    let config =
        StockConfig { event_driven: true, offset: RateOffset::from_ppm(-1_000), ..StockConfig::new(s16(44_100)) };
    let stock = null_render(&config, clock.clone());
    let (mut device, bell) = (stock.device, Arc::new(Bell::default()));
    let (mut control, mut realtime) = match stock.endpoint.realtime {
        RtHalf::Render(realtime) => (stock.endpoint.control, Guarded(realtime)),
        RtHalf::Capture(_) => panic!(),
    };
    assert!(control.event_driven_capable());
    assert_eq!(control.set_event(bell.clone()), Err(EndpointError::NotInitialized));
    control.set_buffer(Hns::new(25_000), 2).unwrap();
    assert_eq!(control.set_event(bell.clone()), Err(EndpointError::EventNotExpected));
    control.set_stream_flags(StreamFlags::EVENT_CALLBACK).unwrap();
    assert_eq!(control.start(), Err(EndpointError::EventNotSet));
    control.set_event(bell.clone()).unwrap();
    assert_eq!(device.next_tick(), None);
    control.start().unwrap();
    let start = clock.now();
    for tick in 1..=4_000_u64 {
        let next = device.next_tick().unwrap();
        device.tick(Instant::from_nanos(next.as_nanos() - 1));
        assert_eq!(bell.0.load(Ordering::Relaxed), tick - 1, "not before its time");
        clock.pass(next.saturating_since(clock.now()));
        device.tick(next);
        assert_eq!(bell.0.load(Ordering::Relaxed), tick);
        write(&mut realtime, 110); // T12: pulse within does not signal
    }
    let seconds = clock.now().saturating_since(start).as_secs_f64();
    assert!((seconds - 10.0 / 0.999).abs() < 1e-4, "{seconds}");
    clock.pass(50 * MS);
    device.tick(clock.now());
    assert_eq!(bell.0.load(Ordering::Relaxed), 4_001, "late ticks do not pile up");
}

#[test]
fn e5_set_buffer_forgets_the_event_of_before() {
    let clock: Arc<VirtualClock> = Arc::default();
    let config = StockConfig { event_driven: true, ..StockConfig::new(s16(48_000)) };
    let stock = null_render(&config, clock.clone());
    let (mut device, bell) = (stock.device, Arc::new(Bell::default()));
    let mut control = stock.endpoint.control;
    control.set_stream_flags(StreamFlags::EVENT_CALLBACK).unwrap();
    control.set_buffer(Hns::from_millis(10), 2).unwrap();
    control.set_event(bell.clone()).unwrap();
    control.start().unwrap();
    control.stop().unwrap();
    control.reset().unwrap();
    // Used anew by an engine that paces itself: the event is another's, who may be gone.
    control.set_stream_flags(StreamFlags::NONE).unwrap();
    control.set_buffer(Hns::from_millis(10), 2).unwrap();
    control.start().unwrap();
    clock.pass(100 * MS);
    device.tick(clock.now());
    assert_eq!((bell.0.load(Ordering::Relaxed), Arc::strong_count(&bell)), (0, 1));
    control.stop().unwrap();
    control.set_stream_flags(StreamFlags::EVENT_CALLBACK).unwrap();
    control.set_buffer(Hns::from_millis(10), 2).unwrap();
    assert_eq!(control.start(), Err(EndpointError::EventNotSet));
}

#[test]
fn t13_a_device_that_is_idled_does_not_starve() {
    let clock: Arc<VirtualClock> = Arc::default();
    let stock = null_render(&StockConfig::new(s16(48_000)), clock.clone());
    let counts = stock.clock.clone();
    let (mut control, mut realtime) = render(stock);
    control.set_buffer(Hns::from_millis(10), 3).unwrap();
    control.start().unwrap();
    realtime.set_pin_active().unwrap();
    write(&mut *realtime, 480);
    clock.pass(5 * MS);
    realtime.set_pin_inactive().unwrap();
    clock.pass(1_000 * MS);
    realtime.set_pin_active().unwrap();
    let record = realtime.current_padding().position;
    assert_eq!((record.device.get(), record.padding), (480, 0), "it played what it had, and held");
    assert_eq!(record.flag, PositionFlag::Discontinuous);
    clock.pass(5 * MS);
    write(&mut *realtime, 480);
    assert_eq!((counts.counts().underruns, counts.counts().underrun_frames), (0, 0));
    // From the first frame on it is an underrun again.
    clock.pass(15 * MS);
    realtime.current_padding();
    assert_eq!((counts.counts().underruns, counts.counts().underrun_frames), (1, 240));
    // What had begun before it was idled is one, too.
    write(&mut *realtime, 480);
    clock.pass(15 * MS);
    realtime.set_pin_inactive().unwrap();
    clock.pass(1_000 * MS);
    realtime.current_padding();
    assert_eq!((counts.counts().underruns, counts.counts().underrun_frames), (2, 480));
}

#[test]
fn e4_flags_that_cannot_be_honoured_are_refused() {
    let clock: Arc<VirtualClock> = Arc::default();
    let (mut control, _) = render(null_render(&StockConfig::new(s16(48_000)), clock));
    let refused = |flags: StreamFlags| Err(EndpointError::InvalidStreamFlag { bits: flags.bits() });
    assert_eq!(control.set_stream_flags(StreamFlags::EVENT_CALLBACK), refused(StreamFlags::EVENT_CALLBACK));
    let both = StreamFlags::LOOPBACK | StreamFlags::NO_PERSIST;
    assert_eq!(control.set_stream_flags(both), refused(StreamFlags::LOOPBACK));
    assert_eq!(control.set_stream_flags(StreamFlags::NO_PERSIST), Ok(()));
}

#[test]
fn a_steered_clock_does_not_jump() {
    let clock: Arc<VirtualClock> = Arc::default();
    let stock = null_capture(&StockConfig::new(s16(48_000)), clock.clone());
    let (steer, mut reader) = (stock.clock.clone(), stock.clock.reader());
    let (mut control, _) = capture(stock);
    control.set_buffer(Hns::from_millis(10), 2).unwrap();
    control.start().unwrap();
    clock.pass(1_000 * MS);
    let before = reader.read().1;
    steer.set_offset(RateOffset::from_ppm(1_000));
    assert_eq!(reader.read().1, before);
    clock.pass(1_000 * MS);
    assert_eq!(reader.read().1, 48_000 + 48_048);
}
