//! Statistics as words, the way snapshots carry them.

use core::time::Duration;

use soundpost_core::{FrameCount, Hns};
use soundpost_dsp::meter::Levels;
use soundpost_queue::snapshot::Words;

use crate::stats::{ConnectionStats, DeviceStats, Histogram, StreamStats};

const LEVELS: usize = 9;
const HISTOGRAM: usize = Histogram::BUCKETS + 1;

/// Words of a [`DeviceStats`].
pub const DEVICE_WORDS: usize = 7 + LEVELS + HISTOGRAM;
/// Words of a [`ConnectionStats`].
pub const CONNECTION_WORDS: usize = 11 + HISTOGRAM;
/// Words of a [`StreamStats`].
pub const STREAM_WORDS: usize = 6 + LEVELS;

impl Words<DEVICE_WORDS> for DeviceStats {
    fn to_words(&self) -> [u64; DEVICE_WORDS] {
        let mut out = Writer::new();
        let numbers =
            [u64::from(self.active), self.passes, self.late, self.missed, self.silent, self.frames, self.limited];
        out.all(&numbers);
        out.levels(&self.levels);
        out.histogram(&self.cost);
        out.words
    }

    fn from_words(words: [u64; DEVICE_WORDS]) -> Self {
        let mut words = Reader(&words);
        Self {
            active: words.next() != 0,
            passes: words.next(),
            late: words.next(),
            missed: words.next(),
            silent: words.next(),
            frames: words.next(),
            limited: words.next(),
            levels: words.levels(),
            cost: words.histogram(),
        }
    }
}

impl Words<CONNECTION_WORDS> for ConnectionStats {
    fn to_words(&self) -> [u64; CONNECTION_WORDS] {
        let mut out = Writer::new();
        out.all(&[self.passes, self.frames, self.silent, self.underruns, self.overruns, self.cut, self.slow]);
        out.all(&[u64::from(self.padding.get()), u64::from(self.waiting.get()), self.latency.get().cast_unsigned()]);
        out.all(&[self.rate.unwrap_or(f64::NAN).to_bits()]);
        out.histogram(&self.cost);
        out.words
    }

    fn from_words(words: [u64; CONNECTION_WORDS]) -> Self {
        let mut words = Reader(&words);
        let mut stats = Self {
            passes: words.next(),
            frames: words.next(),
            silent: words.next(),
            underruns: words.next(),
            overruns: words.next(),
            cut: words.next(),
            slow: words.next(),
            padding: words.frames(),
            waiting: words.frames(),
            latency: words.time(),
            ..Self::default()
        };
        stats.rate = Some(f64::from_bits(words.next())).filter(|rate| !rate.is_nan());
        stats.cost = words.histogram();
        stats
    }
}

impl StreamStats {
    /// The first words: what changes in every pass.
    #[inline]
    pub(crate) fn counters(&self) -> [u64; STREAM_WORDS - LEVELS] {
        let (queued, latency) = (u64::from(self.queued.get()), self.latency.get().cast_unsigned());
        [self.frames, self.underruns, self.overruns, self.lost, queued, latency]
    }
}

impl Words<STREAM_WORDS> for StreamStats {
    fn to_words(&self) -> [u64; STREAM_WORDS] {
        let mut out = Writer::new();
        out.all(&self.counters());
        out.levels(&self.levels);
        out.words
    }

    fn from_words(words: [u64; STREAM_WORDS]) -> Self {
        let mut words = Reader(&words);
        Self {
            frames: words.next(),
            underruns: words.next(),
            overruns: words.next(),
            lost: words.next(),
            queued: words.frames(),
            latency: words.time(),
            levels: words.levels(),
        }
    }
}

struct Writer<const N: usize> {
    words: [u64; N],
    at: usize,
}

impl<const N: usize> Writer<N> {
    fn new() -> Self {
        Self { words: [0; N], at: 0 }
    }

    #[inline(always)]
    fn put(&mut self, word: u64) {
        if let Some(place) = self.words.get_mut(self.at) {
            *place = word;
            self.at += 1;
        }
    }

    #[inline(always)]
    fn all(&mut self, words: &[u64]) {
        for word in words {
            self.put(*word);
        }
    }

    #[inline(always)]
    fn levels(&mut self, levels: &Levels) {
        for (peak, rms) in levels.peak.iter().zip(levels.rms) {
            self.put(u64::from(peak.to_bits()) << 32 | u64::from(rms.to_bits()));
        }
        self.put(levels.frames);
    }

    #[inline(always)]
    fn histogram(&mut self, histogram: &Histogram) {
        self.all(histogram.counts());
        self.put(u64::try_from(histogram.longest().as_nanos()).unwrap_or(u64::MAX));
    }
}

struct Reader<'a>(&'a [u64]);

impl Reader<'_> {
    fn next(&mut self) -> u64 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn frames(&mut self) -> FrameCount {
        FrameCount::new(u32::try_from(self.next()).unwrap_or(u32::MAX))
    }

    fn time(&mut self) -> Hns {
        Hns::new(self.next().cast_signed())
    }

    fn levels(&mut self) -> Levels {
        let mut levels = Levels::default();
        for (peak, rms) in levels.peak.iter_mut().zip(&mut levels.rms) {
            let word = self.next();
            *peak = f32::from_bits(u32::try_from(word >> 32).unwrap_or(0));
            *rms = f32::from_bits(u32::try_from(word & 0xFFFF_FFFF).unwrap_or(0));
        }
        levels.frames = self.next();
        levels
    }

    fn histogram(&mut self) -> Histogram {
        let mut counts = [0; Histogram::BUCKETS];
        for count in &mut counts {
            *count = self.next();
        }
        Histogram::of(counts, Duration::from_nanos(self.next()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_survives_the_way_through_words() {
        let mut cost = Histogram::default();
        cost.add(Duration::from_micros(3));
        cost.add(Duration::from_secs(9));
        let mut levels = Levels { frames: 5, ..Levels::default() };
        (levels.peak[7], levels.rms[0]) = (0.5, -1.5);
        let device = DeviceStats {
            active: true,
            passes: 1,
            late: 2,
            missed: 3,
            silent: 4,
            frames: u64::MAX,
            levels,
            limited: 6,
            cost,
        };
        assert_eq!(DeviceStats::from_words(device.to_words()), device);
        let connection = ConnectionStats {
            passes: 1,
            frames: 2,
            silent: 3,
            underruns: 4,
            overruns: 5,
            cut: 6,
            padding: FrameCount::new(7),
            waiting: FrameCount::new(8),
            latency: Hns::new(-9),
            rate: Some(48_000.5),
            cost,
            slow: 10,
        };
        assert_eq!(ConnectionStats::from_words(connection.to_words()), connection);
        assert_eq!(ConnectionStats::from_words(ConnectionStats::default().to_words()), ConnectionStats::default());
        let stream = StreamStats {
            frames: 1,
            underruns: 2,
            overruns: 3,
            lost: 4,
            queued: FrameCount::new(5),
            levels,
            latency: Hns::new(6),
        };
        assert_eq!(StreamStats::from_words(stream.to_words()), stream);
        // What is written in every pass takes the place of the same words.
        assert_eq!(stream.counters(), stream.to_words()[..STREAM_WORDS - LEVELS]);
    }
}
