//! What passes count. Plain values, copied out whole through a snapshot while the passes go on.

use core::time::Duration;

use soundpost_core::{FrameCount, Hns};
use soundpost_dsp::meter::Levels;
use soundpost_queue::snapshot::{SnapshotReader, SnapshotWriter, snapshot};

pub use crate::words::{CONNECTION_WORDS, DEVICE_WORDS, STREAM_WORDS};

/// Where a bus writes its statistics.
pub type DeviceWriter = SnapshotWriter<DeviceStats, DEVICE_WORDS>;
/// Where a bus's statistics are read. Any thread.
pub type DeviceReader = SnapshotReader<DeviceStats, DEVICE_WORDS>;
/// Where a connection writes its statistics.
pub type ConnectionWriter = SnapshotWriter<ConnectionStats, CONNECTION_WORDS>;
/// Where a connection's statistics are read. Any thread.
pub type ConnectionReader = SnapshotReader<ConnectionStats, CONNECTION_WORDS>;
/// Where a stream writes its statistics.
pub type StreamWriter = SnapshotWriter<StreamStats, STREAM_WORDS>;
/// Where a stream's statistics are read. Any thread.
pub type StreamReader = SnapshotReader<StreamStats, STREAM_WORDS>;

/// A place for a bus's statistics. Allocates; control side.
#[must_use]
pub fn device_stats() -> (DeviceWriter, DeviceReader) {
    snapshot(DeviceStats::default())
}

/// A place for a connection's statistics. Allocates; control side.
#[must_use]
pub fn connection_stats() -> (ConnectionWriter, ConnectionReader) {
    snapshot(ConnectionStats::default())
}

/// A place for a stream's statistics. Allocates; control side.
#[must_use]
pub fn stream_stats() -> (StreamWriter, StreamReader) {
    snapshot(StreamStats::default())
}

/// Of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DeviceStats {
    /// Whether passes are going on; an idle device has none.
    pub active: bool,
    /// Passes so far.
    pub passes: u64,
    /// Passes that came later than a quarter of the period.
    pub late: u64,
    /// Periods without a pass that were not caught up: streams waited so long.
    pub missed: u64,
    /// Packets that were silent as a whole. A pass has one packet, and a second one where it catches up; so this may be
    /// more than `passes`.
    pub silent: u64,
    /// Frames mixed (render) or taken in (capture) so far, at the device's rate.
    pub frames: u64,
    /// Levels of the last full tenth of a second, after the device's volume.
    pub levels: Levels,
    /// Frames in which the limiter turned the sound down.
    pub limited: u64,
    /// What the passes cost.
    pub cost: Histogram,
}

/// Of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ConnectionStats {
    /// Passes that reached the endpoint.
    pub passes: u64,
    /// Frames moved to or from the endpoint, at its rate; silence included.
    pub frames: u64,
    /// Of these, frames released or acquired as silence (T8, T10).
    pub silent: u64,
    /// Times that the endpoint ran dry (render) or had too little (capture); the gap was filled with silence.
    pub underruns: u64,
    /// Times that more came than the other side took; the excess was cut.
    pub overruns: u64,
    /// Frames cut so.
    pub cut: u64,
    /// The endpoint's padding at the last pass (T1).
    pub padding: FrameCount,
    /// Frames that wait between the device and the endpoint, at the endpoint's rate.
    pub waiting: FrameCount,
    /// How long a frame mixed now takes until the endpoint has played it, or has taken since it was captured.
    pub latency: Hns,
    /// Frames per second as calculated from position records, once known (T2).
    pub rate: Option<f64>,
    /// What the calls into the endpoint cost, a pass.
    pub cost: Histogram,
    /// Passes in which they cost more than half a period.
    pub slow: u64,
}

/// Of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StreamStats {
    /// Frames consumed (render) or handed over (capture) so far, at the stream's rate: its position. Never goes back.
    pub frames: u64,
    /// Times that a running render stream had too little; the gap was silence.
    pub underruns: u64,
    /// Times that a capture stream's reader left no space; frames were lost for this stream alone.
    pub overruns: u64,
    /// Frames lost so.
    pub lost: u64,
    /// Frames waiting in the stream's queue at the last pass.
    pub queued: FrameCount,
    /// Levels of the last full tenth of a second, after the stream's volume.
    pub levels: Levels,
    /// How long a frame written now takes until an endpoint has played it; without a connection, until it is mixed.
    pub latency: Hns,
}

/// How often passes took how long: buckets of powers of two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; Self::BUCKETS],
    longest: Duration,
}

impl Histogram {
    /// Number of buckets: the first holds what took less than 256 ns, the last what took 2³⁰ ns (a second) or more.
    pub const BUCKETS: usize = 24;

    /// Counts a duration.
    pub fn add(&mut self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bits = u64::BITS - nanos.leading_zeros();
        let bucket = usize::try_from(bits.saturating_sub(8)).unwrap_or(0).min(Self::BUCKETS - 1);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count = count.saturating_add(1);
        }
        self.longest = self.longest.max(duration);
    }

    pub(crate) fn of(counts: [u64; Self::BUCKETS], longest: Duration) -> Self {
        Self { counts, longest }
    }

    pub(crate) fn counts(&self) -> &[u64; Self::BUCKETS] {
        &self.counts
    }

    /// Every bucket: the duration below which its entries lie, and their number. The last bucket has no upper end.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> {
        self.counts.iter().zip(8_u32..).map(|(count, bits)| (Duration::from_nanos(1_u64 << bits), *count))
    }

    /// How many durations were counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The longest duration.
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.longest
    }

    /// An upper bound of the given share of all durations (0.99: at least 99 % lie below it), by bucket.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        let total = self.total();
        let mut seen = 0_u64;
        for (below, count) in self.buckets() {
            seen = seen.saturating_add(count);
            if as_f64(seen) >= as_f64(total) * share {
                return below.min(self.longest);
            }
        }
        self.longest
    }
}

#[expect(clippy::as_conversions, reason = "u64 to f64 rounds to nearest, which a share of a count can bear")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_their_bucket() {
        let mut histogram = Histogram::default();
        for nanos in [0, 255, 256, 511, 512, 1 << 29, 1 << 30, u64::MAX] {
            histogram.add(Duration::from_nanos(nanos));
        }
        let counts: std::vec::Vec<u64> = histogram.buckets().map(|(_, count)| count).collect();
        assert_eq!(counts[..3], [2, 2, 1]);
        assert_eq!(counts[22..], [1, 2]);
        for (below, _) in histogram.buckets().take(2) {
            assert!(below == Duration::from_nanos(256) || below == Duration::from_nanos(512));
        }
        assert_eq!(histogram.total(), 8);
        assert_eq!(histogram.longest(), Duration::from_nanos(u64::MAX));
    }

    #[test]
    fn a_share_lies_below_the_end_of_its_bucket() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.99), Duration::ZERO);
        for _ in 0..99 {
            histogram.add(Duration::from_nanos(1_000));
        }
        histogram.add(Duration::from_nanos(5_000));
        assert_eq!(histogram.quantile(0.99), Duration::from_nanos(1_024));
        assert_eq!(histogram.quantile(1.0), Duration::from_nanos(5_000), "never above the longest");
    }
}
