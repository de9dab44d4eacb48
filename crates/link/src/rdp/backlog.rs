//! What is rendered and not sent yet: put together into waves, dropped when stale.

use std::collections::VecDeque;
use std::time::Duration;

use soundpost_core::{Format, FrameCount, FramePosition, Hns, Instant, PacketSchedule, SampleFormat};

use super::packets::{Packet, PacketReceiver};

/// A run of frames without a gap, oldest first, each with a time at which it is due.
pub(super) struct Backlog {
    format: Format,
    late_limit: Duration,
    idle_after: u64,
    schedule: PacketSchedule,
    /// Frames of the next wave.
    wave: FrameCount,
    sound: VecDeque<u8>,
    /// The stream position behind the last frame.
    end: FramePosition,
    /// When the frame behind the last one is due.
    end_due: Instant,
    stamp: Stamp,
    silent_run: u64,
    flow: Flow,
    resets: u64,
    /// Frames still to be left out, and the first of them, which are faded into what follows.
    surplus: u64,
    fading: Vec<u8>,
    pub(super) dropped: u64,
    pub(super) cuts: u64,
    /// Frames left out since the client held too much.
    pub(super) left_out: u64,
}

/// Whether sound is running, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// No sound for long: nothing is sent, and the next sound starts from dry.
    Idle,
    /// Frames follow one another.
    Flowing,
    /// Frames had to be dropped; the client must run dry before more is sent.
    Cut,
}

/// One wave, ready to be sent.
pub(super) struct Wave {
    pub(super) bytes: Vec<u8>,
    pub(super) duration: Duration,
    /// When it is due, counted in frames: neither the engine's jitter nor rounding shows in it.
    pub(super) stamp: Instant,
}

impl Backlog {
    pub(super) fn new(format: Format, wave: Hns, late_limit: Duration, idle_after: Hns) -> Self {
        let mut schedule = PacketSchedule::new(wave, format.rate);
        let wave = schedule.next_packet();
        Self {
            format,
            late_limit,
            idle_after: format.rate.frames_in(idle_after),
            schedule,
            wave,
            sound: VecDeque::new(),
            end: FramePosition::ZERO,
            end_due: Instant::ORIGIN,
            stamp: Stamp::default(),
            silent_run: 0,
            flow: Flow::Idle,
            resets: 0,
            surplus: 0,
            fading: Vec::new(),
            dropped: 0,
            cuts: 0,
            left_out: 0,
        }
    }

    pub(super) fn flow(&self) -> Flow {
        self.flow
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sound.is_empty()
    }

    /// How much sound is held.
    pub(super) fn length(&self) -> Duration {
        self.format.rate.duration_of(u64::from(self.frames().get()))
    }

    /// Takes everything that the endpoint has queued. `resets` is how often the endpoint has been reset by now;
    /// `dry_at` is when the
    /// client will have played what it has been sent; `None` while some of that is under way.
    pub(super) fn absorb(&mut self, now: Instant, packets: &mut PacketReceiver, resets: u64, dry_at: Option<Instant>) {
        if self.resets != resets {
            self.rewind(resets);
        }
        while let Some(packet) = packets.pop() {
            // Thrown away by a reset since (C1).
            if packet.resets != resets {
                packets.skip(&packet);
                continue;
            }
            self.count_silence(&packet);
            if self.flow == Flow::Idle && packet.silent {
                continue;
            }
            if self.flow == Flow::Idle || packet.position != self.end || self.pause_before(&packet) > self.late_limit {
                self.join(now, &packet, dry_at);
            }
            self.append(&packet, packets);
            self.end = packet.position + packet.frames;
            self.end_due = packet.due + self.duration(packet.frames);
            // After a cut, that the client must run dry first stays true however long it takes.
            if self.silent_run >= self.idle_after && self.flow == Flow::Flowing {
                self.flow = Flow::Idle;
            }
            // Within the loop, so that a long queue does not pile up here first.
            self.trim(now);
        }
        self.trim(now);
    }

    /// How late sound may be from now on.
    pub(super) fn set_late_limit(&mut self, limit: Duration) {
        self.late_limit = limit;
    }

    /// When [`Backlog::take_wave`] will give what is there though it is no whole wave; `None` while there is nothing.
    pub(super) fn flush_at(&self) -> Option<Instant> {
        (!self.sound.is_empty()).then(|| self.head_due())
    }

    /// As much sound is left out of what comes next: the client holds so much too much. The places at its two ends are
    /// faded into each other (16-bit sound).
    pub(super) fn leave_out(&mut self, time: Duration) {
        self.surplus = self.format.rate.frames_in_duration(time);
        self.fading.clear();
    }

    /// Takes away what is to be left out, as far as it is there.
    fn skip_surplus(&mut self) {
        if self.surplus == 0 {
            return;
        }
        if self.fading.is_empty() && self.format.sample == SampleFormat::S16 {
            let faded = self.format.bytes_of(self.format.rate.frames_covering(FADE));
            self.fading.extend(self.sound.iter().take(faded));
        }
        let out = FrameCount::new(u32::try_from(self.surplus).unwrap_or(u32::MAX)).min(self.frames());
        self.sound.drain(..self.format.bytes_of(out));
        self.surplus -= u64::from(out.get());
        self.left_out += u64::from(out.get());
    }

    /// Something was left out before the head: the two ends go over into each other.
    fn fade_in(&mut self) {
        let fading = std::mem::take(&mut self.fading);
        let length = fading.len().min(self.sound.len());
        let total = i32::try_from(length.max(1)).unwrap_or(i32::MAX);
        let sound = self.sound.make_contiguous();
        for (at, (new, old)) in (0_i32..).step_by(2).zip(sound.chunks_exact_mut(2).zip(fading.chunks_exact(2))) {
            if let ([a, b], [c, d]) = (new, old) {
                let (rising, falling) = (i16::from_le_bytes([*a, *b]), i16::from_le_bytes([*c, *d]));
                let mixed = (i32::from(rising) * at + i32::from(falling) * (total - at)) / total;
                [*a, *b] = i16::try_from(mixed).unwrap_or(rising).to_le_bytes();
            }
        }
    }

    /// The next wave. One that is not whole is given when it is due, or when `flush` says that no more comes.
    pub(super) fn take_wave(&mut self, now: Instant, flush: bool) -> Option<Wave> {
        self.skip_surplus();
        let there = self.frames();
        let whole = there >= self.wave;
        if there.is_zero() || !(whole || flush || self.flow == Flow::Idle || self.head_due() <= now) {
            return None;
        }
        if !self.fading.is_empty() {
            self.fade_in();
        }
        self.stamp.follow(self.head_due());
        // Packets are as long as waves as a rule. What is over a whole number of them (silence before the first, a place
        // where something was left out) would be left behind otherwise, and wait for the next packet each time.
        let odd = if whole { there.get() % self.wave.get().max(1) } else { 0 };
        let frames = there.min(FrameCount::new(self.wave.get().saturating_add(odd)));
        let mut bytes: Vec<u8> = self.sound.drain(..self.format.bytes_of(frames)).collect();
        let stamp = self.stamp.take(frames, self.format);
        // A Wave PDU carries four bytes at least.
        while bytes.len() < 4 {
            bytes.push(self.format.sample.silence_byte());
        }
        if whole {
            self.wave = self.schedule.next_packet();
        }
        Some(Wave { duration: self.duration(frames), bytes, stamp })
    }

    /// The client has run dry after a cut: what is there goes out from now on.
    pub(super) fn resume(&mut self) {
        if self.flow == Flow::Cut {
            self.flow = Flow::Flowing;
        }
    }

    /// Drops what nobody should hear any more.
    pub(super) fn trim(&mut self, now: Instant) {
        let late = now.saturating_since(self.head_due());
        if self.flow == Flow::Idle || self.sound.is_empty() {
            // What is left before an idle time is silence; late or not, it is not worth a cut.
            if late > self.late_limit {
                self.sound.clear();
            }
            return;
        }
        if self.flow == Flow::Flowing && late > self.late_limit {
            self.flow = Flow::Cut;
            self.cuts += 1;
            self.end_surplus();
        }
        if self.flow == Flow::Cut {
            let stale = self.format.rate.frames_in_duration(late.saturating_sub(HEADROOM));
            let stale = FrameCount::new(u32::try_from(stale).unwrap_or(u32::MAX)).min(self.frames());
            self.sound.drain(..self.format.bytes_of(stale));
            self.dropped += u64::from(stale.get());
        }
    }

    /// A packet that does not follow on what is there: after an idle time or a stop, or after packets were lost.
    fn join(&mut self, now: Instant, packet: &Packet, dry_at: Option<Instant>) {
        let pause = self.pause_before(packet);
        let whole = packet.position >= self.end && (self.flow == Flow::Idle || self.sound.is_empty());
        // Until then the client has something of before: to send the whole pause keeps its latency as it is.
        let fed_until = dry_at.unwrap_or(self.end_due + self.late_limit).min(self.end_due + LONGEST_LEAD);
        let silence = if whole && self.stamp.started && fed_until > now {
            pause
        } else {
            // From dry: what is due before the packet is silence.
            self.end_surplus();
            self.dropped += u64::from(self.frames().get());
            self.sound.clear();
            packet.due.saturating_since(now).saturating_add(HEADROOM).min(LONGEST_LEAD)
        };
        let silence = FrameCount::new(u32::try_from(self.format.rate.frames_in_duration(silence)).unwrap_or(0));
        self.append_silence(silence);
        if self.flow == Flow::Idle {
            self.flow = Flow::Flowing;
        }
    }

    fn append(&mut self, packet: &Packet, packets: &mut PacketReceiver) {
        if packet.silent {
            self.append_silence(packet.frames);
            return;
        }
        let start = self.sound.len();
        self.append_silence(packet.frames);
        let sound = self.sound.make_contiguous();
        if let Some(room) = sound.get_mut(start..) {
            packets.read(room);
        }
    }

    fn append_silence(&mut self, frames: FrameCount) {
        let length = self.sound.len() + self.format.bytes_of(frames);
        self.sound.resize(length, self.format.sample.silence_byte());
    }

    /// How much later the packet is due than the frames that are there end.
    fn pause_before(&self, packet: &Packet) -> Duration {
        packet.due.saturating_since(self.end_due)
    }

    fn count_silence(&mut self, packet: &Packet) {
        self.silent_run =
            if packet.silent { self.silent_run.saturating_add(u64::from(packet.frames.get())) } else { 0 };
    }

    fn rewind(&mut self, resets: u64) {
        self.resets = resets;
        self.sound.clear();
        self.end = FramePosition::ZERO;
        self.flow = Flow::Idle;
        self.stamp = Stamp::default();
        self.silent_run = 0;
        self.end_surplus();
    }

    /// Sound begins from dry: the client holds nothing.
    fn end_surplus(&mut self) {
        self.surplus = 0;
        self.fading.clear();
    }

    fn head_due(&self) -> Instant {
        self.end_due - self.length()
    }

    fn frames(&self) -> FrameCount {
        self.format.frames_in(self.sound.len())
    }

    fn duration(&self, frames: FrameCount) -> Duration {
        self.format.rate.duration_of(u64::from(frames.get()))
    }
}

/// The most sound that a client can be kept ahead: the longest silence that is put before the first packet, which is
/// what makes the lead. An endpoint with a longer latency (SetBuffer's coefficient × period) works, but its listener
/// gets no more ahead than this.
pub const LONGEST_LEAD: Duration = Duration::from_millis(250);

/// What a client gets ahead beyond the lead when it starts. Clients begin to play once they hold a round number of
/// milliseconds and one frame: xfreerdp with `latency:60` at 30 ms and a frame. Without this a lead of 20 ms and a wave of
/// 10 ms would be that one frame short, and another wave would have to come first, whose length would stay in the latency.
const HEADROOM: Duration = Duration::from_micros(1500);

/// How long the two ends of what is left out take to go over into each other.
const FADE: Hns = Hns::from_millis(5);

/// The waves' time stamps: a base and the frames since, so that stamps are as even as the frames.
#[derive(Default)]
struct Stamp {
    started: bool,
    base: Instant,
    frames: u64,
    next: Instant,
}

impl Stamp {
    /// Beyond this difference the stream has jumped (a cut, a pause, a device that held).
    const SLACK: Duration = Duration::from_millis(2);

    fn follow(&mut self, due: Instant) {
        let apart = due.saturating_since(self.next).max(self.next.saturating_since(due));
        if !self.started || apart > Self::SLACK {
            *self = Self { started: true, base: due, frames: 0, next: due };
        }
    }

    fn take(&mut self, frames: FrameCount, format: Format) -> Instant {
        let stamp = self.next;
        self.frames += u64::from(frames.get());
        self.next = self.base + format.rate.duration_of(self.frames);
        stamp
    }
}
