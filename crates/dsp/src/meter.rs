//! Peak and RMS per channel.
//!
//! A pass measures each block once, on its way through [`crate::mix`] or [`crate::limit`], and adds the result to the
//! stream's or connection's [`Meter`]. What a display makes of it (decay, hold, decibels) is the reader's business.

use soundpost_core::{ChannelCount, FrameCount};

use crate::num::{f32_of_f64, f64_of_u64};

/// The most channels that are measured.
const CHANNELS: usize = 8;

/// The level of one block.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BlockLevel {
    /// Squares, because the sum needs them anyway: the largest square has the largest magnitude, and the square
    /// root of a rounded square is the magnitude again.
    largest: [f32; CHANNELS],
    sum: [f32; CHANNELS],
    frames: u32,
}

impl BlockLevel {
    /// The level of `frames` silent frames.
    #[must_use]
    pub fn silent(frames: FrameCount) -> Self {
        Self { frames: frames.get(), ..Self::default() }
    }

    /// Makes this the level of this block and the one that follows it.
    pub fn join(&mut self, next: &Self) {
        for channel in 0..CHANNELS {
            self.largest[channel] = larger(next.largest[channel], self.largest[channel]);
            self.sum[channel] += next.sum[channel];
        }
        self.frames = self.frames.saturating_add(next.frames);
    }

    /// The length of the block.
    #[must_use]
    pub fn frames(&self) -> FrameCount {
        FrameCount::new(self.frames)
    }

    /// The largest magnitude on a channel; 0 for a channel that the block does not have. Magnitudes below 10⁻¹⁹
    /// count as 0, those above 10¹⁹ as infinite, not-a-number is passed over.
    #[must_use]
    pub fn peak(&self, channel: usize) -> f32 {
        self.largest.get(channel).map_or(0.0, |square| square.sqrt())
    }

    /// Whether there is nothing to hear: the highest peak is 0.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.largest.iter().all(|square| *square == 0.0)
    }

    /// The largest magnitude on any channel.
    #[must_use]
    pub fn highest_peak(&self) -> f32 {
        self.largest.iter().fold(0.0_f32, |highest, square| highest.max(*square)).sqrt()
    }

    /// Root of the mean square on a channel; 0 for an empty block.
    #[must_use]
    pub fn rms(&self, channel: usize) -> f32 {
        if self.frames == 0 {
            return 0.0;
        }
        self.sum.get(channel).map_or(0.0, |sum| f32_of_f64((f64::from(*sum) / f64::from(self.frames)).sqrt()))
    }

    /// The level that the block would have after a gain.
    #[must_use]
    pub fn scaled(&self, gain: f32) -> Self {
        let square = gain * gain;
        Self { largest: self.largest.map(|x| x * square), sum: self.sum.map(|x| x * square), frames: self.frames }
    }

    /// Whether every sample lies within ±1 and is a number.
    #[must_use]
    pub fn is_within_full_scale(&self) -> bool {
        // A NaN never wins the comparison for the largest, but it stays in the sum.
        self.largest.iter().all(|square| *square <= 1.0) && self.sum.iter().all(|sum| !sum.is_nan())
    }
}

/// The level of a block of interleaved samples. Incomplete frames at the end are not measured.
#[must_use]
pub fn measure(block: &[f32], channels: ChannelCount) -> BlockLevel {
    scan(block, channels)
}

/// What a meter has seen since it was last taken: made on the real-time thread, read anywhere as a plain copy.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Meter {
    /// Squares, as in [`BlockLevel`].
    largest: [f32; CHANNELS],
    sum: [f64; CHANNELS],
    frames: u64,
}

/// Peak and RMS of a stretch of sound, per channel.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Levels {
    /// The largest magnitude on each channel, 1 = full scale.
    pub peak: [f32; CHANNELS],
    /// Root of the mean square of each channel; a full-scale sine has 0.707.
    pub rms: [f32; CHANNELS],
    /// How many frames were measured.
    pub frames: u64,
}

impl Meter {
    /// Adds a block's level.
    pub fn add(&mut self, block: &BlockLevel) {
        for channel in 0..CHANNELS {
            self.largest[channel] = larger(block.largest[channel], self.largest[channel]);
            self.sum[channel] += f64::from(block.sum[channel]);
        }
        self.frames = self.frames.saturating_add(u64::from(block.frames));
    }

    /// The levels since the last call; the meter starts anew.
    pub fn take(&mut self) -> Levels {
        let seen = core::mem::take(self);
        let mut rms = [0.0; CHANNELS];
        if seen.frames > 0 {
            for (rms, sum) in rms.iter_mut().zip(seen.sum) {
                *rms = f32_of_f64((sum / f64_of_u64(seen.frames)).sqrt());
            }
        }
        Levels { peak: seen.largest.map(f32::sqrt), rms, frames: seen.frames }
    }
}

/// Sums of squares and largest squares, kept in as many lanes as make whole frames and fill vector registers: lane
/// `i` belongs to channel `i` modulo the number of channels.
pub(crate) struct Lanes<const LANES: usize> {
    sum: [f32; LANES],
    largest: [f32; LANES],
}

impl<const LANES: usize> Lanes<LANES> {
    #[inline(always)]
    pub(crate) const fn new() -> Self {
        Self { sum: [0.0; LANES], largest: [0.0; LANES] }
    }

    #[inline(always)]
    pub(crate) fn add(&mut self, lane: usize, sample: f32) {
        let square = sample * sample;
        self.sum[lane] += square;
        // In this order: a square that is not a number does not take the place of one that is.
        self.largest[lane] = larger(square, self.largest[lane]);
    }

    #[inline]
    pub(crate) fn level(mut self, channels: ChannelCount, samples: usize) -> BlockLevel {
        let channels = channels.as_usize();
        // The lanes are the channels times a power of two: folded in half until one of each channel is left.
        self.fold::<2>(channels);
        self.fold::<4>(channels);
        self.fold::<8>(channels);
        self.fold::<16>(channels);
        let mut level = BlockLevel {
            frames: FrameCount::from_usize(samples.checked_div(channels).unwrap_or(0)).get(),
            ..BlockLevel::default()
        };
        for channel in 0..channels.min(CHANNELS) {
            level.sum[channel] = self.sum[channel];
            level.largest[channel] = self.largest[channel];
        }
        level
    }

    /// As [`Lanes::level`], for a number of channels that is known when this is compiled and divides the lanes.
    #[inline(always)]
    pub(crate) fn level_of<const WIDTH: usize>(&self, samples: usize) -> BlockLevel {
        let mut level = BlockLevel { frames: FrameCount::from_usize(samples / WIDTH).get(), ..BlockLevel::default() };
        for lane in 0..LANES {
            let channel = lane % WIDTH;
            level.sum[channel] += self.sum[lane];
            level.largest[channel] = larger(self.largest[lane], level.largest[channel]);
        }
        level
    }

    /// Leaves one part of `PARTS` of all lanes, if that still holds every channel.
    #[inline(always)]
    fn fold<const PARTS: usize>(&mut self, channels: usize) {
        let left = LANES / PARTS;
        if channels > left {
            return;
        }
        for lane in 0..left {
            self.sum[lane] += self.sum[lane + left];
            self.largest[lane] = larger(self.largest[lane], self.largest[lane + left]);
        }
    }
}

/// The larger of two numbers; `b` where `a` is not a number. One instruction, where `f32::max` is several.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// Calls a function generic over the number of lanes with the number that suits the channels.
macro_rules! with_lanes {
    ($channels:expr, $function:ident $(::<$flag:literal>)? ($($argument:expr),*)) => {
        match $channels.get() {
            3 => $function::<12 $(, $flag)?>($($argument),*),
            5 => $function::<20 $(, $flag)?>($($argument),*),
            6 => $function::<12 $(, $flag)?>($($argument),*),
            7 => $function::<28 $(, $flag)?>($($argument),*),
            _ => $function::<16 $(, $flag)?>($($argument),*),
        }
    };
}
pub(crate) use with_lanes;

fn scan(block: &[f32], channels: ChannelCount) -> BlockLevel {
    let whole = block.len() - block.len() % channels.as_usize();
    let block = &block[..whole];
    with_lanes!(channels, scan_lanes(block, channels))
}

fn scan_lanes<const LANES: usize>(block: &[f32], channels: ChannelCount) -> BlockLevel {
    let mut lanes = Lanes::<LANES>::new();
    let (chunks, rest) = block.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, sample) in chunk.iter().enumerate() {
            lanes.add(lane, *sample);
        }
    }
    for (lane, sample) in rest.iter().enumerate() {
        lanes.add(lane, *sample);
    }
    lanes.level(channels, block.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_scaled_level_is_that_of_the_scaled_block() {
        let level = measure(&[0.5, -1.0, 0.25, 0.0], ChannelCount::STEREO);
        assert_eq!(level.scaled(0.5), measure(&[0.25, -0.5, 0.125, 0.0], ChannelCount::STEREO));
    }

    #[test]
    fn each_channel_has_its_own_level() {
        for n in 1..=8_u16 {
            let channels = ChannelCount::new(n).unwrap();
            let width = usize::from(n);
            let block: Vec<f32> = (0..width * 101).map(|i| (i % width + 1) as f32 * 0.1).collect();
            let level = measure(&block, channels);
            assert_eq!(level.frames().get(), 101);
            for channel in 0..8 {
                let expected = if channel < width { (channel + 1) as f32 * 0.1 } else { 0.0 };
                assert_eq!(level.peak(channel), expected);
                assert!((level.rms(channel) - expected).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn a_meter_joins_blocks_and_starts_anew_when_taken() {
        let mut meter = Meter::default();
        meter.add(&measure(&[1.0, 0.0], ChannelCount::STEREO));
        meter.add(&measure(&[-0.5, 0.5, 0.5, 0.5, 0.5, 0.5], ChannelCount::STEREO));
        let levels = meter.take();
        assert_eq!((levels.peak[0], levels.peak[1], levels.frames), (1.0, 0.5, 4));
        assert!((f64::from(levels.rms[0]) - (1.75_f64 / 4.0).sqrt()).abs() < 1e-6);
        assert_eq!(meter.take(), Levels::default());
    }

    #[test]
    fn not_a_number_is_noticed() {
        for place in 0..40 {
            let mut block = vec![0.5; 40];
            block[place] = f32::NAN;
            assert!(!measure(&block, ChannelCount::STEREO).is_within_full_scale());
        }
    }

    proptest! {
        #[test]
        fn the_peak_is_exact_and_the_limit_of_full_scale_too(x in -2.0_f32..2.0) {
            prop_assume!(x.abs() > 1e-18);
            let level = measure(&[x], ChannelCount::MONO);
            prop_assert_eq!(level.peak(0), x.abs());
            prop_assert_eq!(level.is_within_full_scale(), x.abs() <= 1.0);
        }
    }
}
