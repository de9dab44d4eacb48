//! The server's real-time part: what happens each period between the ring and the endpoint.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use soundpost_core::{FrameCount, Hns, Instant};
use soundpost_endpoint::exclusive::record::{CLIENT_POSITION, CLIENT_STATE, LOST, PASSES, SERVER_POSITION, UNDERRUNS};
use soundpost_endpoint::exclusive::{ClientState, ClientWatch, ClientWords, ExclusiveEnd, Look};
use soundpost_endpoint::{BufferFlag, CapturePort, Event, Filled, Position, PositionFlag, RenderPort, RtHalf};

use super::memory::SharedRing;
use crate::event::EventFd;

/// Packets that one capture pass takes at most, so that a source that never runs out cannot hold it.
const MOST_PACKETS: usize = 64;

/// Where a pass is, for the supervisor to see when one does not come back.
#[derive(Debug, Default)]
pub(super) struct Progress {
    phase: AtomicU8,
    passes: AtomicU64,
}

/// What a thread does at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It waits.
    Waiting,
    /// It moves frames: ring and endpoint.
    Moving,
    /// It signals the client's event.
    Signalling,
}

impl Progress {
    fn set(&self, phase: Phase) {
        let number = match phase {
            Phase::Waiting => 0,
            Phase::Moving => 1,
            Phase::Signalling => 2,
        };
        self.phase.store(number, Ordering::Relaxed);
    }

    /// Passes begun, and where the last one is.
    pub(super) fn read(&self) -> (u64, Phase) {
        let phase = match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Waiting,
            1 => Phase::Moving,
            _ => Phase::Signalling,
        };
        (self.passes.load(Ordering::Relaxed), phase)
    }
}

/// The engine's hold on the endpoint, in whichever direction.
pub(super) enum Port {
    Render(RenderPort),
    Capture(CapturePort),
}

impl Port {
    pub(super) fn into_half(self) -> RtHalf {
        match self {
            Self::Render(port) => RtHalf::Render(port.into_inner()),
            Self::Capture(port) => RtHalf::Capture(port.into_inner()),
        }
    }
}

/// Everything that a pass touches. Real-time thread only: no allocation, no lock, no wait.
pub(super) struct Pass {
    pub(super) port: Port,
    pub(super) client: Client,
    /// The client's.
    pub(super) event: Arc<EventFd>,
    /// The supervisor's.
    pub(super) over: Arc<EventFd>,
    pub(super) progress: Arc<Progress>,
    pub(super) state: ClientState,
    pub(super) end: Option<ExclusiveEnd>,
}

/// The client's side of a pass: the memory that it shares, and what is known of it.
pub(super) struct Client {
    pub(super) ring: Arc<SharedRing>,
    pub(super) watch: ClientWatch,
    pub(super) counts: Counts,
}

/// The server's own counts; what stands in the record is written, never read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    passes: u64,
    underruns: u64,
    lost: u64,
}

impl Pass {
    /// One pass; answers when the next one is due, `None` for "when the client says something".
    pub(super) fn run(&mut self, now: Instant) -> Option<Instant> {
        if self.end.is_some() {
            return None;
        }
        self.progress.passes.fetch_add(1, Ordering::Relaxed);
        self.progress.set(Phase::Moving);
        let next = match self.pass(now) {
            Ok(next) => next,
            Err(end) => {
                self.end = Some(end);
                self.over.signal();
                None
            }
        };
        self.progress.set(Phase::Waiting);
        next
    }

    fn pass(&mut self, now: Instant) -> Result<Option<Instant>, ExclusiveEnd> {
        // The state first: a client that says that it is finishing has written its last position before.
        let state = self.client.ring.load(CLIENT_STATE);
        let words = ClientWords { state, position: self.client.ring.load(CLIENT_POSITION) };
        let look = self.client.watch.look(words).map_err(ExclusiveEnd::Breach)?;
        let began = std::mem::replace(&mut self.state, look.state) == ClientState::Stopped;
        match look.state {
            ClientState::Closed => return Err(ExclusiveEnd::Closed),
            ClientState::Stopped => {
                if !began {
                    self.set_pin(false)?;
                }
                return Ok(None);
            }
            ClientState::Started | ClientState::Finishing if began => self.set_pin(true)?,
            ClientState::Started | ClientState::Finishing => {}
        }
        let (padding, position) = match &mut self.port {
            Port::Render(port) => self.client.render(port, look, began)?,
            Port::Capture(port) => self.client.capture(port, look, began)?,
        };
        self.publish(padding, &position);
        self.progress.set(Phase::Signalling);
        self.event.signal();
        if let Some(periods) = self.client.watch.end_pass(padding.is_zero()) {
            return Err(ExclusiveEnd::Stalled { periods });
        }
        Ok(Some(next_pass(now, &position, self.client.ring.record().period)))
    }

    fn set_pin(&mut self, active: bool) -> Result<(), ExclusiveEnd> {
        let answer = match &mut self.port {
            Port::Render(port) => port.set_pin(active),
            Port::Capture(port) => port.set_pin(active),
        };
        answer.map_err(ExclusiveEnd::Fault)
    }

    /// Tells the client: how far the server is, and where the device is on the client's stream.
    fn publish(&mut self, padding: FrameCount, position: &Position) {
        let Client { ring, watch, counts } = &mut self.client;
        let server = watch.position();
        let device = match self.port {
            Port::Render(_) => server.saturating_sub(u64::from(padding.get())),
            Port::Capture(_) => server.saturating_add(u64::from(padding.get())),
        };
        ring.store(UNDERRUNS, counts.underruns);
        ring.store(LOST, counts.lost);
        ring.publish_device(device, position.time.get().max(0).unsigned_abs());
        counts.passes = counts.passes.wrapping_add(1);
        ring.store(SERVER_POSITION, server);
        ring.store(PASSES, counts.passes);
    }
}

impl Client {
    /// Moves what is in the ring to the endpoint, as far as that has space.
    fn render(
        &mut self,
        port: &mut RenderPort,
        look: Look,
        began: bool,
    ) -> Result<(FrameCount, Position), ExclusiveEnd> {
        let Self { ring, watch, counts } = self;
        let fault = ExclusiveEnd::Fault;
        let mut left = look.frames;
        let (mut padding, mut position) = port.padding().map_err(fault)?;
        // The endpoint says so in its record when it has run dry; before the client's first frame, or when it has said
        // that there are no more, that is no underrun.
        let dry = position.flag == PositionFlag::Discontinuous;
        counts.underruns += u64::from(dry && !began && look.state == ClientState::Started);
        loop {
            let space = port.buffer().saturating_sub(padding);
            let frames = left.min(space).min(port.largest_packet());
            if frames.is_zero() {
                break;
            }
            let at = watch.position();
            let fill = |room: &mut [u8]| {
                ring.copy_out(at, room);
                Filled { frames, flag: BufferFlag::Valid }
            };
            let taken = port.packet(frames, None, fill).map_err(fault)?;
            watch.moved(taken);
            left = left.saturating_sub(taken);
            (padding, position) = port.padding().map_err(fault)?;
        }
        port.complete();
        Ok((padding, position))
    }

    /// Moves what the endpoint has to the ring. What finds no room there is lost and counted, so that what follows is at
    /// its time; what was recorded before the client began is not missed.
    fn capture(
        &mut self,
        port: &mut CapturePort,
        look: Look,
        began: bool,
    ) -> Result<(FrameCount, Position), ExclusiveEnd> {
        let Self { ring, watch, counts } = self;
        let fault = ExclusiveEnd::Fault;
        let mut room = if began { FrameCount::ZERO } else { look.frames };
        let (mut ready, mut position) = port.padding().map_err(fault)?;
        for _ in 0..MOST_PACKETS {
            let frames = ready.min(port.largest_packet());
            if frames.is_zero() {
                break;
            }
            let (kept, at) = (frames.min(room), watch.position());
            let bytes = port.format().bytes_of(kept);
            let take = |sound: Option<&[u8]>, _: &Position| {
                match sound.and_then(|sound| sound.get(..bytes)) {
                    Some(sound) => ring.copy_in(at, sound),
                    None => ring.silence(at, kept),
                }
                frames
            };
            let used = port.packet(frames, take).map_err(fault)?;
            watch.moved(kept);
            room = room.saturating_sub(kept);
            if !began {
                counts.lost += u64::from(used.saturating_sub(kept).get());
            }
            (ready, position) = port.padding().map_err(fault)?;
        }
        port.complete();
        Ok((ready, position))
    }
}

/// When the device will have ended its present period, by its own count and its own rate (D4). A device that stands
/// still, and one without a usable record, is looked at again a period later.
fn next_pass(now: Instant, position: &Position, period: Hns) -> Instant {
    let usual = now + period.to_duration();
    let rate = f64::from(position.frames_per_second);
    let usable = matches!(position.flag, PositionFlag::Continuous | PositionFlag::Discontinuous);
    if !usable || !rate.is_finite() || rate < 1.0 {
        return usual;
    }
    let length = period.to_duration().as_secs_f64() * rate;
    #[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "a count of frames is far below 2^53")]
    let device = position.device.get() as f64;
    let within = device.rem_euclid(length);
    // A quarter of a period at least: rounding must not make two passes of one.
    let wait = ((length - within) / rate).clamp(0.25 * length / rate, length / rate);
    now + Duration::try_from_secs_f64(wait).unwrap_or_else(|_| period.to_duration())
}

/// A pass on loan to a real-time thread: it goes home when the thread's work is dropped, in whichever way that comes
/// about.
pub(super) struct Held {
    pass: Option<Box<Pass>>,
    home: SyncSender<Box<Pass>>,
    over: Arc<EventFd>,
}

impl Held {
    pub(super) fn new(pass: Pass, home: SyncSender<Box<Pass>>) -> Self {
        let over = pass.over.clone();
        Self { pass: Some(Box::new(pass)), home, over }
    }

    pub(super) fn run(&mut self, now: Instant) -> Option<Instant> {
        self.pass.as_mut().and_then(|pass| pass.run(now))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(pass) = self.pass.take() {
            // There is room for the one there is; where nobody waits for it any more, it ends here.
            let _ = self.home.try_send(pass);
        }
        self.over.signal();
    }
}

/// Takes back what a client's event holds, so that a pass that hangs in signalling it comes back: the client has made
/// the event block, and filled it.
pub(super) fn unblock(event: &EventFd) {
    let _ = rustix::fs::fcntl_setfl(event, rustix::fs::OFlags::NONBLOCK);
    event.take();
}
