//! What a connection keeps of its endpoint, whichever way the sound goes.

use core::time::Duration;

use soundpost_core::{FrameCount, Hns, Instant};
use soundpost_endpoint::{Fault, Position};

use crate::guard::Protection;
use crate::rate::RateEstimator;
use crate::stats::{self, ConnectionStats};

/// What calls into an endpoint may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// In one pass.
    pub allowed: Duration,
    /// How many passes in a row may cost more.
    pub tolerated: u32,
}

/// An endpoint's faults, the cost of its calls, and its connection's statistics.
#[derive(Debug)]
pub(crate) struct Account {
    /// What a pass counts; levels and times are filled in by [`Account::publish`].
    pub(crate) stats: ConnectionStats,
    /// The endpoint's padding, as far as it is known.
    pub(crate) padding: FrameCount,
    rate: RateEstimator,
    /// What the calls of this pass have cost so far.
    cost: Duration,
    slow_in_a_row: u32,
    fault: Option<Fault>,
    publisher: stats::ConnectionWriter,
}

impl Account {
    pub(crate) fn new(publisher: stats::ConnectionWriter) -> Self {
        Self {
            stats: ConnectionStats::default(),
            padding: FrameCount::ZERO,
            rate: RateEstimator::default(),
            cost: Duration::ZERO,
            slow_in_a_row: 0,
            fault: None,
            publisher,
        }
    }

    /// What the endpoint did wrong first. From then on it is not called any more.
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// The answer of a call, or none and the fault is noted.
    pub(crate) fn keep<T>(&mut self, answer: Result<T, Fault>) -> Option<T> {
        answer.map_err(|fault| *self.fault.get_or_insert(fault)).ok()
    }

    /// Sound starts: what was known of the device's rate is old.
    pub(crate) fn start(&mut self) {
        self.rate = RateEstimator::default();
    }

    /// The pass's first look at the endpoint.
    pub(crate) fn observe(&mut self, padding: FrameCount, position: &Position) {
        self.padding = padding;
        self.rate.observe(position);
    }

    /// Frames were lost because one side was too fast for the other.
    pub(crate) fn cut(&mut self, frames: FrameCount) {
        if !frames.is_zero() {
            self.stats.overruns = self.stats.overruns.saturating_add(1);
            self.stats.cut = self.stats.cut.saturating_add(u64::from(frames.get()));
        }
    }

    /// Frames went to the endpoint or came from it.
    pub(crate) fn moved(&mut self, frames: FrameCount, silent: bool) {
        let frames = u64::from(frames.get());
        self.stats.frames = self.stats.frames.saturating_add(frames);
        if silent {
            self.stats.silent = self.stats.silent.saturating_add(frames);
        }
    }

    /// Calls have been made since `started`, as [`Protection::now`] gave it.
    pub(crate) fn spent_since(&mut self, started: Option<Instant>, protection: Protection<'_>) {
        if let (Some(started), Some(now)) = (started, protection.now()) {
            self.cost = self.cost.saturating_add(now.saturating_since(started));
        }
    }

    /// Ends a pass that has reached the endpoint: counts it, and judges what it has cost.
    pub(crate) fn end_pass(&mut self, limits: Limits, protection: Protection<'_>) {
        self.stats.passes = self.stats.passes.saturating_add(1);
        let cost = core::mem::take(&mut self.cost);
        if protection.costs.is_none() {
            return;
        }
        self.stats.cost.add(cost);
        if cost <= limits.allowed {
            self.slow_in_a_row = 0;
            return;
        }
        self.stats.slow = self.stats.slow.saturating_add(1);
        self.slow_in_a_row = self.slow_in_a_row.saturating_add(1);
        if self.slow_in_a_row > limits.tolerated {
            self.fault = Some(Fault::Overran { overruns: self.slow_in_a_row });
        }
    }

    /// Makes the statistics readable.
    pub(crate) fn publish(&mut self, waiting: FrameCount, latency: Hns) {
        self.stats.padding = self.padding;
        self.stats.waiting = waiting;
        self.stats.latency = latency;
        self.stats.rate = self.rate.rate();
        self.publisher.write(&self.stats);
    }
}
