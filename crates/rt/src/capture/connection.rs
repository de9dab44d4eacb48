//! From one endpoint to the bus.

use soundpost_core::{FrameCount, Hns};
use soundpost_dsp::convert;
use soundpost_endpoint::{CapturePort, Fault};
use soundpost_queue::frames::{FrameReader, FrameWriter};

use crate::account::{Account, Limits};
use crate::guard::Protection;
use crate::path::Path;
use crate::stats;

/// The real-time side of a connection to a capture endpoint.
///
/// Each pass takes what the endpoint has ready, and gives the bus what it asks for. In between lies a cushion of one
/// packet of the bus, filled with sound before the first frame is given out, and anew after it ran dry.
pub struct CaptureConnection {
    port: CapturePort,
    path: Path,
    /// Frames that wait for the bus, at its rate and layout.
    waiting: (FrameWriter<f32>, FrameReader<f32>),
    /// The bus's packet.
    packet: FrameCount,
    starting: bool,
    account: Account,
}

/// What a connection is made of; allocated by the control side.
pub struct CaptureConnectionParts {
    /// The endpoint's real-time half.
    pub port: CapturePort,
    /// From the endpoint's rate and layout to the bus's.
    pub path: Path,
    /// A queue for frames that wait, at the bus's layout: at least 150 ms and eight packets long.
    pub waiting: (FrameWriter<f32>, FrameReader<f32>),
    /// The largest packet of the bus.
    pub packet: FrameCount,
    /// Where statistics go.
    pub publisher: stats::ConnectionWriter,
}

/// Acquires of one pass: enough to catch up after a delay that is caught up at all.
const MOST_ACQUIRES: u32 = 64;
/// Packets that may wait before the excess is cut: the cushion, the packet on its way, and a packet of jitter.
const MOST_WAITING: u32 = 3;

impl CaptureConnection {
    /// A connection over which nothing has come yet.
    #[must_use]
    pub fn new(parts: CaptureConnectionParts) -> Self {
        let CaptureConnectionParts { port, path, waiting, packet, publisher } = parts;
        Self { port, path, waiting, packet, starting: true, account: Account::new(publisher) }
    }

    /// What the endpoint did wrong. From then on it is not called any more.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        self.account.fault()
    }

    /// Gives the endpoint's port back.
    #[must_use]
    pub fn into_port(self) -> CapturePort {
        self.port
    }

    /// Prepares or idles the endpoint's streaming resource (T13) as recording starts or has ended.
    pub fn set_active(&mut self, active: bool, protection: Protection<'_>) {
        if self.account.fault().is_some() {
            return;
        }
        if active {
            self.starting = true;
            self.account.start();
            let left = self.waiting.1.queued();
            self.waiting.1.discard(left);
            self.path.reset();
        }
        let port = &mut self.port;
        let answer =
            protection.call(if active { "set_pin_active" } else { "set_pin_inactive" }, || port.set_pin(active));
        self.account.keep(answer);
        self.publish();
    }

    /// Takes everything that the endpoint has ready.
    pub(crate) fn take_in(
        &mut self,
        debt: u32,
        source: &mut [f32],
        between: &mut [f32],
        block: &mut [f32],
        protection: Protection<'_>,
    ) {
        if self.account.fault().is_some() {
            return;
        }
        let started = protection.now();
        for first in 0..MOST_ACQUIRES {
            // What is ready in the next packet; more may be behind it.
            let port = &mut self.port;
            let answer = protection.call("current_padding", || port.padding());
            let Some((ready, position)) = self.account.keep(answer) else { break };
            if first == 0 {
                self.account.observe(ready, &position);
            }
            let frames = ready.min(self.port.largest_packet());
            if frames.is_zero() || !self.acquire(frames, source, between, block, protection) {
                break;
            }
        }
        if self.account.fault().is_none() {
            let port = &mut self.port;
            let answer = protection.call("processing_complete", || {
                port.complete();
                Ok(())
            });
            self.account.keep(answer);
        }
        let most = self.packet.get().saturating_mul(MOST_WAITING.saturating_add(debt));
        let waiting = self.waiting.1.queued();
        if waiting > FrameCount::new(most) {
            let excess = waiting.saturating_sub(self.packet.saturating_add(self.packet));
            self.waiting.1.discard(excess);
            self.account.cut(excess);
        }
        self.account.spent_since(started, protection);
    }

    /// One acquire and release. Returns whether another may follow.
    fn acquire(
        &mut self,
        frames: FrameCount,
        source: &mut [f32],
        between: &mut [f32],
        block: &mut [f32],
        protection: Protection<'_>,
    ) -> bool {
        let (port, path, queue) = (&mut self.port, &mut self.path, &mut self.waiting.0);
        let (format, width) = (port.format(), path.to().width());
        let mut lost = FrameCount::ZERO;
        let mut silent = false;
        let answer = protection.call("acquire and release", || {
            port.packet(frames, |data, _| {
                let samples = frames.as_usize() * path.from().width();
                let source = source.get_mut(..samples).unwrap_or_default();
                match data {
                    Some(bytes) => {
                        convert::decode(format.sample, bytes, source);
                    }
                    // T10: what is flagged silent is not read.
                    None => source.fill(0.0),
                }
                silent = data.is_none();
                let carried = if path.is_identity() {
                    &*source
                } else {
                    let produced = path.carry(source, between, block).as_usize() * width;
                    block.get(..produced).unwrap_or_default()
                };
                lost = FrameCount::from_usize(carried.len() / width).saturating_sub(queue.write(carried));
                frames
            })
        });
        let Some(used) = self.account.keep(answer) else { return false };
        self.account.cut(lost);
        self.account.moved(used, silent);
        true
    }

    /// Whether there is sound for a packet beyond the cushion and the packet that is due.
    pub(crate) fn has_two(&self) -> bool {
        let two = self.packet.saturating_add(self.packet);
        self.account.fault().is_some() || self.waiting.1.queued() >= two
    }

    /// Whether so much waits that the endpoint's clock must be ahead of the passes.
    pub(crate) fn has_excess(&self) -> bool {
        let two = self.packet.saturating_add(self.packet);
        self.waiting.1.queued() >= two.saturating_add(self.packet)
    }

    /// Gives the bus its next frames: fills `block` from the start and returns how much of it is filled; the rest is
    /// for the bus to fill with silence.
    pub(crate) fn give(&mut self, block: &mut [f32]) -> FrameCount {
        let wanted = FrameCount::from_usize(block.len() / self.path.to().width());
        let waiting = self.waiting.1.queued();
        if self.account.fault().is_some() || (self.starting && waiting < wanted.saturating_add(self.packet)) {
            return FrameCount::ZERO;
        }
        self.starting = false;
        let given = self.waiting.1.read(block);
        if given < wanted {
            self.account.stats.underruns = self.account.stats.underruns.saturating_add(1);
            self.starting = true;
        }
        given
    }

    /// Ends the pass: counts it and judges what it cost.
    pub(crate) fn end(&mut self, limits: Limits, protection: Protection<'_>) {
        if self.account.fault().is_some() {
            return;
        }
        self.account.end_pass(limits, protection);
        self.publish();
    }

    /// How old the sound is that the bus gets now.
    pub(crate) fn latency(&self) -> Hns {
        let inside = u64::from(self.waiting.1.queued().get()) + u64::from(self.path.delay().get());
        let ready = self.port.format().rate.hns_of(u64::from(self.account.padding.get()));
        self.path.to().rate.hns_of(inside).saturating_add(ready)
    }

    fn publish(&mut self) {
        self.account.publish(self.waiting.1.queued(), self.latency());
    }
}
