//! What a simulation came to.

use std::fmt;

use serde::Serialize;

use super::scenario::Flow;
use crate::Digest;

/// What a simulation came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Of everything that listeners and recording applications were given, and of all counters.
    pub digest: Digest,
    /// Seconds of the virtual clock.
    pub seconds: f64,
    /// Sessions.
    pub sessions: u64,
    /// How often a worker ran.
    pub runs: u64,
    /// Each group's devices, render before capture.
    pub groups: Vec<GroupOutcome>,
    /// Endpoints that were detached for a breach of the contract, in order.
    pub faults: Vec<FaultSeen>,
}

/// All devices of one direction of a group of sessions.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupOutcome {
    /// The group's name.
    pub name: String,
    /// The direction.
    pub flow: Flow,
    /// How many sessions.
    pub sessions: u64,
    /// What was counted.
    pub totals: Totals,
    /// Latency and padding over time.
    pub points: Vec<Point>,
}

/// Counts over all devices, streams and endpoints of a group, those that have left included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Passes of devices.
    pub passes: u64,
    /// Passes that came later than a quarter of the period.
    pub late: u64,
    /// Periods without a pass that were not caught up.
    pub missed: u64,
    /// Passes whose whole block was silent.
    pub silent: u64,
    /// Frames mixed or taken in.
    pub frames: u64,
    /// Streams that were opened.
    pub streams: u64,
    /// Times that a playing stream had too little.
    pub stream_underruns: u64,
    /// Frames that recording streams lost, their readers being late.
    pub stream_lost: u64,
    /// Endpoints that were attached.
    pub endpoints: u64,
    /// Times that an endpoint ran dry (render) or had too little (capture).
    pub endpoint_underruns: u64,
    /// Frames of silence that were put in: those that a listener heard between sounds (its device was dry, its cushion
    /// was filled anew, or nobody played), and those that a microphone did not have.
    pub inserted: u64,
    /// Frames that were cut, since the endpoint took fewer than were mixed, or gave more than were wanted.
    pub lost: u64,
    /// Frames exchanged with endpoints.
    pub exchanged: u64,
}

/// Latency and padding of a group at one time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Seconds since the start.
    pub at: f64,
    /// How long a frame written now takes until it is heard (render), or has taken until it can be read (capture), of
    /// all streams.
    pub latency: Option<Spread>,
    /// The padding of all endpoints.
    pub padding: Option<Spread>,
}

/// Milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The least.
    pub min: f64,
    /// The median.
    pub median: f64,
    /// The most.
    pub max: f64,
}

/// An endpoint that was detached.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultSeen {
    /// Seconds since the start.
    pub at: f64,
    /// Group and number of its session.
    pub session: String,
    /// What it did, with the requirement's number.
    pub what: String,
}

impl Spread {
    /// Of some values; none of none.
    #[must_use]
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        Some(Self { min, median: *values.get(values.len() / 2)?, max })
    }

    /// Over several times: the least, the median of the medians, the most.
    #[must_use]
    pub fn over(spreads: impl Iterator<Item = Self>) -> Option<Self> {
        let all: Vec<Self> = spreads.collect();
        let of = |pick: fn(&Self) -> f64| Self::of(all.iter().map(pick).collect());
        Some(Self { min: of(|s| s.min)?.min, median: of(|s| s.median)?.median, max: of(|s| s.max)?.max })
    }
}

impl GroupOutcome {
    /// Latency over the whole time.
    #[must_use]
    pub fn latency(&self) -> Option<Spread> {
        Spread::over(self.points.iter().filter_map(|point| point.latency))
    }

    /// Padding over the whole time.
    #[must_use]
    pub fn padding(&self) -> Option<Spread> {
        Spread::over(self.points.iter().filter_map(|point| point.padding))
    }
}

impl Totals {
    /// As numbers, for a digest.
    pub(super) fn words(&self) -> [u64; 13] {
        [
            self.passes,
            self.late,
            self.missed,
            self.silent,
            self.frames,
            self.streams,
            self.stream_underruns,
            self.stream_lost,
            self.endpoints,
            self.endpoint_underruns,
            self.inserted,
            self.lost,
            self.exchanged,
        ]
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.data_flow().fmt(f)
    }
}
