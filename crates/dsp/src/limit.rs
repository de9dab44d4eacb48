//! The limiter after the mix.
//!
//! A sum of streams may exceed full scale. Wrapping is out of the question and hard clipping is heard; the limiter
//! turns the mix down instead, all channels together, and up again when the excess is over:
//!
//! - **At rest it changes nothing**: a block within ±1 passes bit for bit, and with no delay. Whether a block is within
//!   ±1 is known from the measurement of its level, which is needed anyway.
//! - **It looks ahead within the block only.** The gain moves in straight lines between points 32 frames apart, falling
//!   by at most 2 dB from one to the next so that it arrives in time for a peak. A peak in the block's first 32
//!   frames leaves no time for that: there the gain falls at once.
//! - After a peak the gain is held for 512 frames (so that it does not follow the wave of a low tone) and then returns,
//!   by 63 % of what is missing in every 150 points (4,800 frames: 100 ms at 48 kHz).
//! - The output never exceeds ±1, whatever goes in: NaN counts as 0, and magnitudes above 64 (+36 dB) as 64.
//!
//! The points are counted in frames, not in time: at 8 kHz the limiter is six times slower than at 48 kHz.

use soundpost_core::ChannelCount;

use crate::meter::{BlockLevel, measure};
use crate::num::f32_of_usize;

/// Frames between two points of the gain.
const SPACING: usize = 32;
/// Points of the gain that are computed at once; longer blocks are worked through in parts.
const POINTS: usize = 64;
/// The most that the gain falls by from one point to the next where there is time: 2 dB.
const ATTACK: f32 = 1.258_925_4;
/// Points for which the gain is held after a peak.
const HOLD: u32 = 16;
/// The part of the missing gain that returns from one point to the next.
const RELEASE: f32 = 1.0 / 150.0;
/// The largest magnitude that the gain answers to.
const LOUDEST: f32 = 64.0;

/// The limiter of one mix.
#[derive(Clone, Debug)]
pub struct Limiter {
    channels: ChannelCount,
    gain: f32,
    hold: u32,
}

impl Limiter {
    /// A limiter at rest.
    #[must_use]
    pub fn new(channels: ChannelCount) -> Self {
        Self { channels, gain: 1.0, hold: 0 }
    }

    /// The gain after the last block: 1 at rest.
    #[must_use]
    pub fn gain(&self) -> f32 {
        self.gain
    }

    /// Whether the limiter is at rest.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.gain >= 1.0
    }

    /// Limits a block in place; returns its level afterwards. An incomplete frame at the end is left alone.
    pub fn process(&mut self, block: &mut [f32]) -> BlockLevel {
        let level = measure(block, self.channels);
        if self.is_idle() && level.is_within_full_scale() {
            return level;
        }
        for part in block.chunks_mut(SPACING * POINTS * self.channels.as_usize()) {
            self.limit(part);
        }
        measure(block, self.channels)
    }

    /// Goes back to rest: for a mix that starts anew.
    pub fn reset(&mut self) {
        self.gain = 1.0;
        self.hold = 0;
    }

    fn limit(&mut self, block: &mut [f32]) {
        let width = self.channels.as_usize();
        let piece = SPACING * width;

        // The gain that each piece between two points can bear.
        let mut bearable = [1.0_f32; POINTS + 1];
        for (bearable, piece) in bearable.iter_mut().zip(block.chunks_exact_mut(width * SPACING)) {
            *bearable = tame(piece);
        }
        let whole = block.len() / piece;
        let pieces = whole + usize::from(block.len() % piece >= width);
        if pieces > whole {
            let end = block.len() - block.len() % width;
            bearable[whole] = tame(&mut block[whole * piece..end]);
        }

        let gains = self.gains(&bearable, pieces);
        for (number, piece) in block.chunks_mut(piece).take(pieces).enumerate() {
            draw(piece, width, gains[number], gains[number + 1]);
        }
        self.gain = gains[pieces];
    }

    /// The points of the gain: no point above what the pieces on both sides of it bear, the first one where the last
    /// block ended.
    fn gains(&mut self, bearable: &[f32; POINTS + 1], pieces: usize) -> [f32; POINTS + 1] {
        let mut gains = [1.0; POINTS + 1];
        gains[0] = self.gain;
        for point in 1..=pieces {
            let after = if point < pieces { bearable[point] } else { 1.0 };
            let limit = bearable[point - 1].min(after);
            let last = gains[point - 1];
            if limit <= last * 1.001 && limit < 1.0 {
                self.hold = HOLD;
            }
            let returned = if self.hold > 0 {
                self.hold -= 1;
                last
            } else {
                last + (1.0 - last) * RELEASE
            };
            let returned = if returned > 0.9999 { 1.0 } else { returned };
            gains[point] = returned.min(limit);
        }
        for point in (1..pieces).rev() {
            gains[point] = gains[point].min(gains[point + 1] * ATTACK);
        }
        gains
    }
}

/// Makes numbers of bounded size of whatever is there; returns the gain at which the loudest is at full scale.
fn tame(piece: &mut [f32]) -> f32 {
    let mut loudest = 1.0_f32;
    for sample in piece {
        let number = if sample.is_nan() { 0.0 } else { *sample };
        *sample = number.clamp(-LOUDEST, LOUDEST);
        loudest = loudest.max(sample.abs());
    }
    1.0 / loudest
}

/// Applies a gain that moves in a straight line over the piece, lower where a frame demands it.
fn draw(piece: &mut [f32], width: usize, from: f32, to: f32) {
    let step = (to - from) / f32_of_usize((piece.len() / width).max(1));
    let mut lowest = f32::INFINITY;
    for (number, frame) in piece.chunks_exact_mut(width).enumerate() {
        let peak = frame.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
        let mut gain = (from + step * f32_of_usize(number + 1)).min(lowest);
        if peak * gain > 1.0 {
            gain = 1.0 / peak;
            lowest = gain;
        }
        // 1 / peak is rounded: the product may exceed 1 by its last bit.
        frame.iter_mut().for_each(|sample| *sample = (*sample * gain).clamp(-1.0, 1.0));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Harmonics of a sine over its fundamental, by correlation over whole periods.
    fn distortion(signal: &[f32], period: f64) -> f64 {
        let power = |harmonic: f64| {
            let (mut re, mut im) = (0.0, 0.0);
            for (i, sample) in signal.iter().enumerate() {
                let (sin, cos) = (core::f64::consts::TAU * harmonic * i as f64 / period).sin_cos();
                re += f64::from(*sample) * cos;
                im += f64::from(*sample) * sin;
            }
            re * re + im * im
        };
        let harmonics: f64 = (2..=20).map(|harmonic| power(f64::from(harmonic))).sum();
        10.0 * (harmonics / power(1.0)).log10()
    }

    fn overdriven(period: f64, frames: usize) -> Vec<f32> {
        (0..frames).map(|i| (2.0 * (core::f64::consts::TAU * i as f64 / period).sin()) as f32).collect()
    }

    #[test]
    fn up_to_full_scale_every_bit_passes_without_delay() {
        let mut limiter = Limiter::new(ChannelCount::STEREO);
        for level in [1.0, 0.999_999_9, 1e-30] {
            let block: Vec<f32> = (0..960).map(|i| if i % 7 < 3 { level } else { -level }).collect();
            let mut out = block.clone();
            let seen = limiter.process(&mut out);
            assert_eq!(out, block);
            assert!(limiter.is_idle());
            assert!(seen.is_within_full_scale());
        }
    }

    #[test]
    fn an_overdriven_sine_is_turned_down_rather_than_clipped() {
        for period in [48.0, 480.0] {
            let mut limited = overdriven(period, 48_000);
            let clipped: Vec<f32> = limited.iter().map(|x| x.clamp(-1.0, 1.0)).collect();
            let mut limiter = Limiter::new(ChannelCount::MONO);
            for block in limited.chunks_mut(480) {
                limiter.process(block);
            }
            let clip = distortion(&clipped[24_000..], period);
            let limit = distortion(&limited[24_000..], period);
            println!("period {period}: clipped {clip:.1} dB, limited {limit:.1} dB");
            assert!(clip > -15.0, "clipping gives {clip} dB");
            assert!(limit < -70.0, "limiting gives {limit} dB");
        }
    }

    #[test]
    fn the_gain_has_no_steps_where_there_is_time_to_look_ahead() {
        // A burst in the middle of a block: the gain comes down before it.
        let mut block = vec![0.5; 960];
        block[700..720].fill(4.0);
        let mut limiter = Limiter::new(ChannelCount::MONO);
        limiter.process(&mut block);
        for pair in block[..700].windows(2) {
            assert!((pair[1] / pair[0]) > 0.99, "{pair:?}");
        }
        assert!(block[700..720].iter().all(|x| (0.9..=1.0).contains(x)));
    }

    #[test]
    fn it_comes_to_rest_again() {
        let mut limiter = Limiter::new(ChannelCount::STEREO);
        limiter.process(&mut [4.0; 960]);
        assert!(limiter.gain() < 0.26);
        let mut passes = 0;
        while !limiter.is_idle() {
            limiter.process(&mut [0.1; 960]);
            passes += 1;
            assert!(passes < 200);
        }
        let mut block = [0.1; 960];
        limiter.process(&mut block);
        assert_eq!(block, [0.1; 960]);
    }

    #[test]
    fn both_channels_have_the_same_gain() {
        let mut limiter = Limiter::new(ChannelCount::STEREO);
        let mut block: Vec<f32> = (0..480).flat_map(|_| [3.0, 0.3]).collect();
        limiter.process(&mut block);
        for frame in block.chunks_exact(2) {
            assert!((frame[0] / frame[1] - 10.0).abs() < 1e-3);
        }
    }

    fn any_sample() -> impl Strategy<Value = f32> {
        prop_oneof![
            4 => -3.0_f32..3.0,
            1 => any::<f32>(),
            1 => prop_oneof![Just(f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY), Just(f32::MAX)],
        ]
    }

    proptest! {
        #[test]
        fn the_output_never_exceeds_full_scale(
            blocks in proptest::collection::vec(proptest::collection::vec(any_sample(), 0..700), 1..6),
            n in 1_u16..=8,
        ) {
            let channels = ChannelCount::new(n).unwrap();
            let mut limiter = Limiter::new(channels);
            for mut block in blocks {
                let whole = block.len() - block.len() % usize::from(n);
                block.truncate(whole);
                limiter.process(&mut block);
                prop_assert!(block.iter().all(|x| x.abs() <= 1.0));
                prop_assert!((1.0 / 64.0..=1.0).contains(&limiter.gain()));
            }
        }

        #[test]
        fn quiet_blocks_pass_bit_for_bit(block in proptest::collection::vec(-1.0_f32..=1.0, 0..500)) {
            let mut limiter = Limiter::new(ChannelCount::MONO);
            let mut out = block.clone();
            limiter.process(&mut out);
            prop_assert_eq!(out, block);
        }

        #[test]
        fn long_blocks_are_worked_through_in_parts(frames in 2_000_usize..7_000) {
            let mut limiter = Limiter::new(ChannelCount::MONO);
            let mut block = overdriven(100.0, frames);
            limiter.process(&mut block);
            prop_assert!(block.iter().all(|x| x.abs() <= 1.0));
        }
    }
}
