//! A device's clock: steered on the control side, read anywhere without waiting.

#[expect(clippy::disallowed_types, reason = "for the control side: see ClockControl")]
use std::sync::Mutex;
use std::sync::{Arc, MutexGuard, PoisonError};

use soundpost_core::{Clock, FrameCount, Hns, Instant, SampleRate};

use super::seqlock::{AtomicU64, Ordering, Seqlock};
use super::{CaptureClock, RenderClock};
use crate::{BufferPlan, Start};

/// How far a device's clock is off, in parts per billion of its rate; within ±10 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct RateOffset(i32);

impl RateOffset {
    /// A clock that is right.
    pub const NONE: Self = Self(0);
    const LARGEST_PPB: i32 = 100_000_000;

    /// `ppm` parts per million, held within ±100,000; positive is fast.
    #[must_use]
    pub const fn from_ppm(ppm: i32) -> Self {
        Self::from_ppb(ppm.saturating_mul(1_000))
    }

    /// `ppb` parts per billion, held within ±100,000,000; positive is fast.
    #[must_use]
    pub const fn from_ppb(ppb: i32) -> Self {
        if ppb > Self::LARGEST_PPB {
            Self(Self::LARGEST_PPB)
        } else if ppb < -Self::LARGEST_PPB {
            Self(-Self::LARGEST_PPB)
        } else {
            Self(ppb)
        }
    }

    /// Parts per billion.
    #[must_use]
    pub const fn ppb(self) -> i32 {
        self.0
    }

    /// One plus the offset, in parts per billion: at least 0.9 billion.
    fn factor(self) -> u128 {
        u128::from(1_000_000_000_u32.saturating_add_signed(self.0))
    }
}

/// The clock of one device: whether it runs, since when, how fast. Control side; clones steer the same clock, and
/// may do so from several threads. Never used by a real-time half, which holds a [`RenderClock`] or [`CaptureClock`].
#[derive(Clone)]
pub struct ClockControl {
    #[expect(clippy::disallowed_types, reason = "locked on the control side alone: readers have `published`")]
    writer: Arc<Mutex<Timeline>>,
    reader: ClockReader,
}

impl ClockControl {
    /// A stopped clock at position 0 that will run at `rate`, off by `offset` against `clock`.
    #[must_use]
    pub fn new(rate: SampleRate, offset: RateOffset, clock: Arc<dyn Clock>) -> Self {
        let timeline = Timeline { rate, offset, ..Timeline::stopped(rate) };
        let published = Arc::new(Published::new(&timeline));
        let reader = ClockReader { clock, published, last: timeline };
        #[expect(clippy::disallowed_types, reason = "locked on the control side alone: readers have `published`")]
        let writer = Arc::new(Mutex::new(timeline));
        Self { writer, reader }
    }

    /// Notes what `set_buffer` worked out, and goes back to position 0 (D1).
    pub fn set_buffer(&self, plan: &BufferPlan) {
        self.change(|timeline, _| {
            timeline.rewind();
            timeline.period = plan.period;
            timeline.packet = plan.packet;
            timeline.buffer = plan.buffer;
        });
    }

    /// Lets the clock run from now on. [`Start::Resumed`] makes the next position record discontinuous (T2).
    pub fn start(&self, start: Start) {
        self.change(|timeline, now| {
            timeline.anchor = now;
            timeline.running = true;
            timeline.resumes += u64::from(start == Start::Resumed);
        });
    }

    /// Stops the clock where it is (C3).
    pub fn stop(&self) {
        self.change(|timeline, now| {
            timeline.move_anchor(now);
            timeline.running = false;
        });
    }

    /// Goes back to position 0; what the engine has written so far is thrown away (C1).
    pub fn reset(&self) {
        self.change(|timeline, _| timeline.rewind());
    }

    /// Steers the clock: from now on it runs at its rate with this offset. The position does not jump.
    pub fn set_offset(&self, offset: RateOffset) {
        self.change(|timeline, now| {
            timeline.move_anchor(now);
            timeline.offset = offset;
        });
    }

    /// What the clock has counted.
    #[must_use]
    pub fn counts(&self) -> ClockCounts {
        let counters = &self.reader.published.counters;
        ClockCounts {
            underruns: counters.underruns.load(Ordering::Relaxed),
            underrun_frames: counters.underrun_frames.load(Ordering::Relaxed),
            overruns: counters.overruns.load(Ordering::Relaxed),
            overrun_frames: counters.overrun_frames.load(Ordering::Relaxed),
            exchanged: counters.exchanged.load(Ordering::Relaxed),
        }
    }

    /// A reader of this clock, for any thread.
    #[must_use]
    pub fn reader(&self) -> ClockReader {
        self.reader.clone()
    }

    /// The positions of a render endpoint on this clock, for its real-time half.
    #[must_use]
    pub fn render(&self) -> RenderClock {
        RenderClock::new(self.reader())
    }

    /// The positions of a capture endpoint on this clock, for its real-time half.
    #[must_use]
    pub fn capture(&self) -> CaptureClock {
        CaptureClock::new(self.reader())
    }

    fn change(&self, change: impl FnOnce(&mut Timeline, Instant)) {
        // A panic between lock and unlock cannot leave a half-made timeline: it is a plain value, replaced field by
        // field by code that does not panic.
        let mut timeline: MutexGuard<'_, Timeline> = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut timeline, self.reader.clock.now());
        self.reader.published.store(&timeline);
    }
}

/// What went wrong on a device's clock, and how far it has come. Frames and occasions since the endpoint was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockCounts {
    /// Render: how often the device ran dry after sound had been written. Capture: how often more was taken than was
    /// there, so that silence was put in.
    pub underruns: u64,
    /// How many frames long that was.
    pub underrun_frames: u64,
    /// Capture: how often recorded frames were lost since the engine did not take them.
    pub overruns: u64,
    /// How many frames that were.
    pub overrun_frames: u64,
    /// Frames exchanged with the engine, over all starts and resets.
    pub exchanged: u64,
}

/// Reads a device's clock without waiting, from any thread, the real-time thread included.
#[derive(Clone)]
pub struct ClockReader {
    clock: Arc<dyn Clock>,
    published: Arc<Published>,
    /// The timeline as it was when it was last read whole.
    last: Timeline,
}

impl ClockReader {
    /// The present time and the frames that the device's clock has counted by then since the last reset, running
    /// times alone.
    pub fn read(&mut self) -> (Instant, u64) {
        let timeline = *self.timeline();
        let now = self.clock.now();
        (now, timeline.frames_at(now))
    }

    /// When the clock will have counted `frames` frames; `None` while it stands still.
    pub fn time_at(&mut self, frames: u64) -> Option<Instant> {
        self.timeline().time_at(frames)
    }

    /// How often the clock has been reset: what was written before the present count is thrown away (C1).
    pub fn resets(&mut self) -> u64 {
        self.timeline().resets
    }

    /// The most frames of one packet (E2); 0 before `set_buffer`.
    pub fn packet(&mut self) -> FrameCount {
        self.timeline().packet
    }

    /// The rate that the clock has where it is right.
    #[must_use]
    pub fn rate(&self) -> SampleRate {
        self.last.rate
    }

    pub(super) fn now(&self) -> Instant {
        self.clock.now()
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.published.counters
    }

    /// The timeline as it is; as it was, while the control side is just changing it.
    pub(super) fn timeline(&mut self) -> &Timeline {
        if let Some(timeline) = self.published.load(self.last.rate) {
            self.last = timeline;
        }
        &self.last
    }
}

/// A clock as a straight line: at `anchor` it had counted `frames` and a fraction, and goes on from there if it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timeline {
    pub(super) rate: SampleRate,
    pub(super) offset: RateOffset,
    pub(super) resets: u64,
    /// Since the last reset.
    pub(super) resumes: u64,
    pub(super) running: bool,
    pub(super) period: Hns,
    pub(super) packet: FrameCount,
    pub(super) buffer: FrameCount,
    anchor: Instant,
    frames: u64,
    /// In units of 1 / [`Timeline::UNIT`] of a frame, so that moving the anchor rounds nothing away.
    fraction: u64,
}

impl Timeline {
    /// Nanoseconds per second times parts per billion.
    const UNIT: u128 = 1_000_000_000_000_000_000;

    fn stopped(rate: SampleRate) -> Self {
        Self {
            rate,
            offset: RateOffset::NONE,
            resets: 0,
            resumes: 0,
            running: false,
            period: Hns::ZERO,
            packet: FrameCount::ZERO,
            buffer: FrameCount::ZERO,
            anchor: Instant::ORIGIN,
            frames: 0,
            fraction: 0,
        }
    }

    pub(super) fn frames_at(&self, now: Instant) -> u64 {
        self.split_at(now).0
    }

    pub(super) fn time_at(&self, frames: u64) -> Option<Instant> {
        if !self.running {
            return None;
        }
        let missing = u128::from(frames.saturating_sub(self.frames)) * Self::UNIT;
        let nanos = missing.saturating_sub(u128::from(self.fraction)).div_ceil(self.speed());
        Some(Instant::from_nanos(self.anchor.as_nanos().saturating_add(u64::try_from(nanos).unwrap_or(u64::MAX))))
    }

    /// What the device counts per second, by its offset.
    pub(super) fn frames_per_second(&self) -> f32 {
        let hertz = f64::from(self.rate.get()) * (1.0 + f64::from(self.offset.ppb()) * 1e-9);
        #[expect(clippy::as_conversions, clippy::cast_possible_truncation, reason = "the contract's record has an f32")]
        {
            hertz as f32
        }
    }

    fn speed(&self) -> u128 {
        u128::from(self.rate.get()) * self.offset.factor()
    }

    fn split_at(&self, now: Instant) -> (u64, u64) {
        if !self.running {
            return (self.frames, self.fraction);
        }
        let nanos = now.as_nanos().saturating_sub(self.anchor.as_nanos());
        let counted = u128::from(nanos) * self.speed() + u128::from(self.fraction);
        let frames = u64::try_from(counted / Self::UNIT).unwrap_or(u64::MAX);
        (self.frames.saturating_add(frames), u64::try_from(counted % Self::UNIT).unwrap_or(0))
    }

    fn move_anchor(&mut self, now: Instant) {
        (self.frames, self.fraction) = self.split_at(now);
        self.anchor = self.anchor.max(now);
    }

    fn rewind(&mut self) {
        self.resets += 1;
        self.resumes = 0;
        self.frames = 0;
        self.fraction = 0;
        self.running = false;
    }
}

/// A timeline that one thread writes (under [`ClockControl`]'s mutex) and any thread reads without waiting.
#[derive(Debug)]
struct Published {
    words: Seqlock<9>,
    counters: Counters,
}

impl Published {
    fn new(timeline: &Timeline) -> Self {
        Self { words: Seqlock::new(timeline.to_words()), counters: Counters::default() }
    }

    fn store(&self, timeline: &Timeline) {
        self.words.store(timeline.to_words());
    }

    fn load(&self, rate: SampleRate) -> Option<Timeline> {
        self.words.load().map(|(_, words)| Timeline::from_words(words, rate))
    }
}

impl Timeline {
    fn to_words(self) -> [u64; 9] {
        [
            self.anchor.as_nanos(),
            self.frames,
            self.fraction,
            self.resets,
            self.resumes,
            u64::from(self.offset.ppb().cast_unsigned()) << 1 | u64::from(self.running),
            self.period.get().max(0).unsigned_abs(),
            u64::from(self.packet.get()),
            u64::from(self.buffer.get()),
        ]
    }

    fn from_words(words: [u64; 9], rate: SampleRate) -> Self {
        let [anchor, frames, fraction, resets, resumes, speed, period, packet, buffer] = words;
        Self {
            rate,
            offset: RateOffset::from_ppb(u32::try_from(speed >> 1).unwrap_or(0).cast_signed()),
            resets,
            resumes,
            running: speed & 1 == 1,
            period: Hns::new(i64::try_from(period).unwrap_or(0)),
            packet: FrameCount::new(u32::try_from(packet).unwrap_or(u32::MAX)),
            buffer: FrameCount::new(u32::try_from(buffer).unwrap_or(u32::MAX)),
            anchor: Instant::from_nanos(anchor),
            frames,
            fraction,
        }
    }
}

/// Counted by the real-time half alone, read by anyone: each is a number of its own, so relaxed ordering is enough.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) underruns: AtomicU64,
    pub(super) underrun_frames: AtomicU64,
    pub(super) overruns: AtomicU64,
    pub(super) overrun_frames: AtomicU64,
    pub(super) exchanged: AtomicU64,
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(hertz: u32, ppm: i32) -> Timeline {
        let rate = SampleRate::new(hertz).unwrap();
        Timeline { offset: RateOffset::from_ppm(ppm), running: true, ..Timeline::stopped(rate) }
    }

    #[test]
    fn a_clock_that_is_off_counts_so_many_frames_more_or_fewer() {
        let hour = Instant::from_nanos(3_600_000_000_000);
        assert_eq!(running(48_000, 0).frames_at(hour), 172_800_000);
        assert_eq!(running(48_000, 300).frames_at(hour), 172_851_840);
        assert_eq!(running(44_100, -1_000).frames_at(hour), 158_601_240);
    }

    #[test]
    fn moving_the_anchor_never_loses_a_fraction() {
        let mut moved = running(44_100, 37);
        let still = moved;
        for step in 1..100_000_u64 {
            moved.move_anchor(Instant::from_nanos(step * 7_777));
        }
        let end = Instant::from_nanos(10_000_000_000);
        assert_eq!(moved.frames_at(end), still.frames_at(end));
    }

    #[test]
    fn the_time_of_a_frame_is_the_first_at_which_it_is_counted() {
        let timeline = running(44_100, -123);
        for frames in [1, 2, 440, 441, 44_100, 1 << 40] {
            let time = timeline.time_at(frames).unwrap();
            assert_eq!(timeline.frames_at(time), frames);
            assert_eq!(timeline.frames_at(Instant::from_nanos(time.as_nanos() - 1)), frames - 1);
        }
    }

    #[test]
    fn what_is_published_is_what_is_read() {
        let timeline = Timeline {
            offset: RateOffset::from_ppb(-100_000_000),
            resets: 3,
            resumes: 2,
            period: Hns::from_millis(10),
            packet: FrameCount::new(480),
            buffer: FrameCount::new(960),
            frames: 77,
            fraction: 1 << 59,
            anchor: Instant::from_nanos(u64::MAX),
            ..running(192_000, 0)
        };
        assert_eq!(Published::new(&timeline).load(timeline.rate), Some(timeline));
    }

    #[test]
    fn a_reader_never_sees_half_of_a_change() {
        let numbered = |number: u32| Timeline {
            resets: number.into(),
            resumes: number.into(),
            packet: FrameCount::new(number),
            buffer: FrameCount::new(number),
            frames: number.into(),
            fraction: number.into(),
            anchor: Instant::from_nanos(number.into()),
            ..running(48_000, 0)
        };
        let published = Published::new(&numbered(0));
        std::thread::scope(|scope| {
            scope.spawn(|| (1..=200_000).for_each(|number| published.store(&numbered(number))));
            let mut latest = 0;
            while latest < 200_000 {
                let Some(seen) = published.load(SampleRate::HZ_48000) else { continue };
                assert!(seen.packet.get() >= latest, "never back");
                latest = seen.packet.get();
                assert_eq!(seen, numbered(latest));
            }
        });
    }
}
