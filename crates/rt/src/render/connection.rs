//! From the mix to one endpoint.

use core::time::Duration;

use soundpost_core::{FrameCount, Hns, Instant};
use soundpost_dsp::convert;
use soundpost_endpoint::{BufferFlag, Fault, Filled, RenderPort};
use soundpost_queue::frames::{FrameReader, FrameWriter};

use super::stream::Course;
use crate::account::{Account, Limits};
use crate::guard::Protection;
use crate::path::Path;
use crate::stats;
use crate::timeline::Turn;

/// The real-time side of a connection to a render endpoint.
///
/// The endpoint's buffer is the listener's cushion. When sound starts the buffer is primed with silence, all but one
/// packet; from then on each pass adds what the bus has mixed and the endpoint's own clock takes it away. Frames for
/// which the endpoint has no space wait here, and are cut when they become too many: the endpoint's clock is slower
/// then. When it is faster it runs dry in the end, and is primed anew.
pub struct RenderConnection {
    port: RenderPort,
    path: Path,
    /// Frames on their way, at the endpoint's rate and layout.
    waiting: (FrameWriter<f32>, FrameReader<f32>),
    /// More than this is too much.
    most_waiting: FrameCount,
    /// Frames at the front of the waiting ones up to the last that may hold sound.
    sounding: u64,
    /// Frames that come out of the path after silence went in, until it is silent too.
    ringing: FrameCount,
    /// Sound starts: prime.
    starting: bool,
    /// Whether the endpoint is told where sound ends (X1).
    last_buffer: bool,
    /// Whether the endpoint applies the device's volume and mute (X1), and not the bus.
    applies_volume: bool,
    end: End,
    /// Sound begins anew after its end: prime before it.
    again: bool,
    /// How late this pass is.
    lateness: Duration,
    /// When the endpoint was last filled, and up to where.
    filled: Option<(Instant, FrameCount)>,
    account: Account,
}

/// How the sound of an endpoint with last-buffer control stands (X1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Its end is not known.
    Open,
    /// What waits is all there is.
    Near,
    /// The endpoint has it all and was told so.
    Over,
}

/// What a connection is made of; allocated by the control side.
pub struct RenderConnectionParts {
    /// The endpoint's real-time half.
    pub port: RenderPort,
    /// From the bus's rate and layout to the endpoint's.
    pub path: Path,
    /// A queue for frames that wait, at the endpoint's layout: at least four packets long.
    pub waiting: (FrameWriter<f32>, FrameReader<f32>),
    /// Whether the endpoint has last-buffer control (X1).
    pub last_buffer: bool,
    /// Whether the endpoint applies the device's volume and mute instead of the bus (X1). One of a bus at most.
    pub applies_volume: bool,
    /// Where statistics go.
    pub publisher: stats::ConnectionWriter,
}

/// Packets that may wait before the excess is cut.
const MOST_WAITING: u32 = 2;
/// Acquires of one pass: no buffer needs more for two packets and what waited.
const MOST_ACQUIRES: u32 = 8;

impl RenderConnection {
    /// A connection over which nothing has gone yet.
    #[must_use]
    pub fn new(parts: RenderConnectionParts) -> Self {
        let RenderConnectionParts { port, path, waiting, last_buffer, applies_volume, publisher } = parts;
        let most_waiting = FrameCount::new(port.largest_packet().get().saturating_mul(MOST_WAITING));
        Self {
            port,
            path,
            waiting,
            most_waiting,
            sounding: 0,
            ringing: FrameCount::ZERO,
            starting: true,
            last_buffer,
            applies_volume,
            end: End::Open,
            again: false,
            lateness: Duration::ZERO,
            filled: None,
            account: Account::new(publisher),
        }
    }

    /// What the endpoint did wrong. From then on it is not called any more.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        self.account.fault()
    }

    /// Whether the endpoint applies the device's volume and mute (X1).
    pub(crate) fn applies_volume(&self) -> bool {
        self.applies_volume && self.account.fault().is_none()
    }

    /// Gives the endpoint's port back.
    #[must_use]
    pub fn into_port(self) -> RenderPort {
        self.port
    }

    /// Prepares or idles the endpoint's streaming resource (T13) as sound starts or has ended.
    pub fn set_active(&mut self, active: bool, protection: Protection<'_>) {
        if self.account.fault().is_some() {
            return;
        }
        if active {
            self.starting = true;
            (self.end, self.again) = (End::Open, false);
            self.account.start();
            let left = self.waiting.1.queued();
            self.waiting.1.discard(left);
            self.sounding = 0;
        }
        let port = &mut self.port;
        let answer =
            protection.call(if active { "set_pin_active" } else { "set_pin_inactive" }, || port.set_pin(active));
        self.account.keep(answer);
        if !active {
            self.filled = None;
            self.account.padding = FrameCount::ZERO;
            self.publish();
        }
    }

    /// Begins a pass: asks the endpoint how much it holds, and primes it where it runs dry.
    pub(crate) fn begin(&mut self, now: Instant, turn: Turn, protection: Protection<'_>) {
        if self.account.fault().is_some() {
            return;
        }
        self.lateness = turn.lateness;
        let started = protection.now();
        let port = &mut self.port;
        let answer = protection.call("current_padding", || port.padding());
        if let Some((padding, position)) = self.account.keep(answer) {
            self.account.observe(padding, &position);
            if self.starting || self.ran_dry(now) {
                self.starting = false;
                self.prime(self.waiting.1.queued(), protection);
            }
        }
        self.account.spent_since(started, protection);
    }

    /// Whether the endpoint has played everything although it was not meant to. One that takes a whole packet at once
    /// instead of playing it in time is not dry: it has no clock.
    fn ran_dry(&mut self, now: Instant) -> bool {
        let Some((when, level)) = self.filled else { return false };
        if !self.account.padding.is_zero() || self.port.buffer() <= self.port.largest_packet() {
            return false;
        }
        let played = self.port.format().rate.frames_in_duration(now.saturating_since(when));
        let dry = played.saturating_mul(20) >= u64::from(level.get()).saturating_mul(19);
        if dry {
            self.account.stats.underruns = self.account.stats.underruns.saturating_add(1);
        }
        dry
    }

    /// Fills the endpoint with silence up to where it would stand if the pass had come in time and sound had been
    /// going on: a packet below full. `before` frames that wait come before what this pass mixes, and count.
    fn prime(&mut self, before: FrameCount, protection: Protection<'_>) {
        let rate = self.port.format().rate;
        let late = FrameCount::new(u32::try_from(rate.frames_in_duration(self.lateness)).unwrap_or(u32::MAX));
        let level = self.port.buffer().saturating_sub(self.port.largest_packet()).saturating_sub(late);
        let mut missing = level.saturating_sub(self.account.padding).saturating_sub(before);
        for _ in 0..self.port.buffer().get().div_ceil(self.port.largest_packet().get().max(1)) {
            let frames = missing.min(self.port.largest_packet());
            if frames.is_zero() || !self.release_silence(frames, protection) {
                return;
            }
            missing = missing.saturating_sub(frames);
        }
    }

    fn release_silence(&mut self, frames: FrameCount, protection: Protection<'_>) -> bool {
        let port = &mut self.port;
        let silence = Filled { frames, flag: BufferFlag::Silent };
        let answer = protection.call("acquire and release", || port.packet(frames, None, |_| silence));
        let Some(released) = self.account.keep(answer) else { return false };
        self.account.padding = self.account.padding.saturating_add(released);
        self.account.moved(released, true);
        true
    }

    /// Whether the endpoint has space for `frames` bus frames and as many again, without anything having to wait.
    pub(crate) fn has_room_for_two(&self, frames: FrameCount) -> bool {
        let packet = Path::largest_output(self.path.from().rate, self.path.to().rate, frames);
        let level = self.account.padding.saturating_add(self.waiting.1.queued());
        self.account.fault().is_some()
            || level.saturating_add(packet).saturating_add(packet) <= self.port.buffer().saturating_add(SLACK)
    }

    /// Takes a mixed block on its way. An endpoint that knows the end of sound gets, of the block in which all sound ends,
    /// what comes before the end and what is still inside of the path, and nothing more until a stream plays again (X1).
    pub(crate) fn push(&mut self, mix: &[f32], silent: bool, course: Course, between: &mut [f32], block: &mut [f32]) {
        let nothing = matches!(course, Course::Absent | Course::Ends(FrameCount::ZERO));
        if self.account.fault().is_some() || (nothing && self.end != End::Open) {
            return;
        }
        if self.end == End::Over {
            // Another sound begins. It has nothing to do with what is left in the path.
            self.path.reset();
            self.again = true;
        }
        self.end = End::Open;
        let ends = self.last_buffer && matches!(course, Course::Ends(_));
        let mix = match course {
            Course::Ends(frames) if ends => mix.get(..frames.as_usize() * self.path.from().width()).unwrap_or_default(),
            _ => mix,
        };
        let carried = if self.path.is_identity() {
            mix
        } else {
            let produced = self.path.carry(mix, between, block).as_usize() * self.path.to().width();
            block.get(..produced).unwrap_or_default()
        };
        let frames = FrameCount::from_usize(carried.len() / self.path.to().width());
        let pushed = self.waiting.0.write(carried);
        self.account.cut(frames.saturating_sub(pushed));
        if !silent {
            self.ringing = FrameCount::new(self.path.delay().get().saturating_mul(2));
            self.sounding = u64::from(self.waiting.1.queued().get());
        } else if !self.ringing.is_zero() {
            self.ringing = self.ringing.saturating_sub(pushed);
            self.sounding = u64::from(self.waiting.1.queued().get());
        }
        if ends {
            self.end = End::Near;
            self.empty_path(between, block);
        }
    }

    /// Sound is over: what is still inside of the path comes out.
    fn empty_path(&mut self, between: &mut [f32], block: &mut [f32]) {
        for _ in 0..MOST_ACQUIRES {
            let frames = self.path.flush(between, block);
            if frames.is_zero() {
                break;
            }
            let pushed =
                self.waiting.0.write(block.get(..frames.as_usize() * self.path.to().width()).unwrap_or_default());
            self.account.cut(frames.saturating_sub(pushed));
            if !self.ringing.is_zero() {
                self.sounding = u64::from(self.waiting.1.queued().get());
            }
        }
        self.ringing = FrameCount::ZERO;
    }

    /// Moves what waits to the endpoint as far as it has space, and ends the pass.
    pub(crate) fn end(&mut self, now: Instant, limits: Limits, source: &mut [f32], protection: Protection<'_>) {
        if self.account.fault().is_some() {
            return;
        }
        let started = protection.now();
        if core::mem::take(&mut self.again) {
            self.prime(FrameCount::ZERO, protection);
        }
        for _ in 0..MOST_ACQUIRES {
            if !self.transfer(source, protection) {
                break;
            }
        }
        let waiting = self.waiting.1.queued();
        if waiting > self.most_waiting {
            // Down to one packet, so that a slow clock does not cut a little in every pass.
            let excess = waiting.saturating_sub(self.port.largest_packet());
            self.waiting.1.discard(excess);
            self.sounding = self.sounding.saturating_sub(u64::from(excess.get()));
            self.account.cut(excess);
        }
        if self.account.fault().is_none() {
            let port = &mut self.port;
            let answer = protection.call("processing_complete", || {
                port.complete();
                Ok(())
            });
            self.account.keep(answer);
        }
        // An endpoint that plays its last frames is meant to run dry.
        self.filled = (self.end == End::Open).then_some((now, self.account.padding));
        self.account.spent_since(started, protection);
        self.account.end_pass(limits, protection);
        self.publish();
    }

    /// One acquire and release. Returns whether another may follow.
    fn transfer(&mut self, source: &mut [f32], protection: Protection<'_>) -> bool {
        let waiting = self.waiting.1.queued();
        let space = self.port.buffer().saturating_sub(self.account.padding);
        let frames = space.min(waiting).min(self.port.largest_packet());
        let last = self.end == End::Near && frames == waiting;
        if frames.is_zero() && !last {
            return false;
        }
        let silent = self.sounding == 0;
        let format = self.port.format();
        let samples = frames.as_usize() * format.layout.channels().as_usize();
        let source = source.get_mut(..samples).unwrap_or_default();
        let (port, queue) = (&mut self.port, &mut self.waiting.1);
        let answer = protection.call("acquire and release", || {
            let fill = |bytes: &mut [u8]| {
                if silent {
                    queue.discard(frames);
                    return Filled { frames, flag: BufferFlag::Silent };
                }
                queue.read(source);
                convert::encode(format.sample, source, bytes);
                Filled { frames, flag: BufferFlag::Valid }
            };
            if last { port.last_packet(frames, None, fill) } else { port.packet(frames, None, fill) }
        });
        if last {
            self.end = End::Over;
        }
        let Some(released) = self.account.keep(answer) else { return false };
        self.account.padding = self.account.padding.saturating_add(released);
        self.sounding = self.sounding.saturating_sub(u64::from(frames.get()));
        self.account.moved(released, silent);
        !released.is_zero()
    }

    /// How long a frame mixed now takes until the endpoint has played it.
    pub(crate) fn latency(&self) -> Hns {
        let frames = u64::from(self.account.padding.get())
            + u64::from(self.waiting.1.queued().get())
            + u64::from(self.path.delay().get());
        self.port.format().rate.hns_of(frames)
    }

    /// Frames of the bus that are still on their way, rounded up.
    pub(crate) fn bus_frames_on_the_way(&self) -> u64 {
        if self.account.fault().is_some() {
            return 0;
        }
        let frames = u64::from(self.account.padding.get())
            + u64::from(self.waiting.1.queued().get())
            + u64::from(self.path.delay().get());
        (frames * u64::from(self.path.from().rate.get())).div_ceil(u64::from(self.path.to().rate.get()))
    }

    fn publish(&mut self) {
        self.account.publish(self.waiting.1.queued(), self.latency());
    }
}

/// Frames by which rounding may be off when two packets just fit.
const SLACK: FrameCount = FrameCount::new(16);
