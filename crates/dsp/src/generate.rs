//! Test signals. All are deterministic: the same parameters give the same samples, whatever the block sizes.

use core::f64::consts::TAU;

use soundpost_core::{ChannelCount, SampleRate};

use crate::num::{f32_of_f64, f64_of_u64, u64_of_f64};

/// 2⁶⁴: the phases of a whole turn.
const TURN: f64 = 18_446_744_073_709_551_616.0;

/// A sine on all channels.
#[derive(Clone, Debug)]
pub struct Sine {
    amplitude: f64,
    /// In 2⁻⁶⁴ turns: wraps by itself, and does not lose precision over days.
    phase: u64,
    step: u64,
}

impl Sine {
    /// A sine of `hertz` (0 up to half the rate; held within) with its peak at `amplitude`.
    #[must_use]
    pub fn new(hertz: f64, amplitude: f32, rate: SampleRate) -> Self {
        let turns = (hertz / f64::from(rate.get())).clamp(0.0, 0.5);
        Self { amplitude: f64::from(amplitude), phase: 0, step: u64_of_f64(turns * TURN) }
    }

    /// Writes the next frames over a block.
    pub fn fill(&mut self, block: &mut [f32], channels: ChannelCount) {
        for frame in block.chunks_mut(channels.as_usize()) {
            let turns = f64_of_u64(self.phase) / TURN;
            frame.fill(f32_of_f64(self.amplitude * (turns * TAU).sin()));
            self.phase = self.phase.wrapping_add(self.step);
        }
    }
}

/// The colour of a [`Noise`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Equal power per hertz.
    White,
    /// Equal power per octave.
    Pink,
}

/// Noise, another one on each channel.
#[derive(Clone, Debug)]
pub struct Noise {
    colour: Colour,
    amplitude: f32,
    state: u64,
    /// Per channel, of the pink filter.
    filters: [[f32; 3]; 8],
}

impl Noise {
    /// Noise whose magnitude stays below `amplitude`. The same seed gives the same noise.
    #[must_use]
    pub fn new(colour: Colour, seed: u64, amplitude: f32) -> Self {
        Self { colour, amplitude, state: seed, filters: [[0.0; 3]; 8] }
    }

    /// Writes the next frames over a block.
    pub fn fill(&mut self, block: &mut [f32], channels: ChannelCount) {
        for frame in block.chunks_mut(channels.as_usize()) {
            for (sample, channel) in frame.iter_mut().zip(0..8) {
                let white = self.next_white();
                *sample = self.amplitude
                    * match self.colour {
                        Colour::White => white,
                        Colour::Pink => pink(&mut self.filters[channel], white),
                    };
            }
        }
    }

    /// Uniform in [−1, 1): splitmix64's upper bits.
    fn next_white(&mut self) -> f32 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^= bits >> 31;
        f32_of_f64(f64_of_u64(bits >> 40) * (1.0 / 8_388_608.0) - 1.0)
    }
}

/// Three one-pole low-passes, spread over the audible range, approach −3 dB per octave within 0.5 dB (a filter of
/// Paul Kellet's). Its largest sum for an input of ±1 is below 9.
fn pink(filter: &mut [f32; 3], white: f32) -> f32 {
    filter[0] = 0.997_65 * filter[0] + white * 0.099_046;
    filter[1] = 0.963 * filter[1] + white * 0.296_516_4;
    filter[2] = 0.57 * filter[2] + white * 1.052_691_3;
    // The gains at 0 Hz are 42.2, 8.0 and 2.4; scaled so that the sum can never exceed 1.
    (filter[0] + filter[1] + filter[2] + white * 0.184_8) * (1.0 / 52.9)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_blocks(fill: &mut dyn FnMut(&mut [f32]), sizes: &[usize]) -> Vec<f32> {
        sizes
            .iter()
            .flat_map(|frames| {
                let mut block = vec![0.0; 2 * frames];
                fill(&mut block);
                block
            })
            .collect()
    }

    #[test]
    fn block_sizes_do_not_matter() {
        let rate = SampleRate::HZ_48000;
        let (mut a, mut b) = (Sine::new(997.0, 0.5, rate), Sine::new(997.0, 0.5, rate));
        assert_eq!(
            in_blocks(&mut |x| a.fill(x, ChannelCount::STEREO), &[1, 99, 380]),
            in_blocks(&mut |x| b.fill(x, ChannelCount::STEREO), &[480])
        );
        let (mut a, mut b) = (Noise::new(Colour::Pink, 7, 0.5), Noise::new(Colour::Pink, 7, 0.5));
        assert_eq!(
            in_blocks(&mut |x| a.fill(x, ChannelCount::STEREO), &[1, 99, 380]),
            in_blocks(&mut |x| b.fill(x, ChannelCount::STEREO), &[480])
        );
    }

    #[test]
    fn a_sine_has_its_frequency_and_amplitude() {
        let mut block = vec![0.0; 48_000];
        Sine::new(1_000.0, 0.5, SampleRate::HZ_48000).fill(&mut block, ChannelCount::MONO);
        for (i, sample) in block.iter().enumerate() {
            let expected = 0.5 * (TAU * 1_000.0 * i as f64 / 48_000.0).sin();
            assert!((f64::from(*sample) - expected).abs() < 1e-7);
        }
    }

    #[test]
    fn noise_has_its_colour_and_stays_in_bounds() {
        // Power of the difference of neighbours over power: 2 for white noise, far less for pink.
        let tilt = |colour| {
            let mut block = vec![0.0; 200_000];
            Noise::new(colour, 1, 1.0).fill(&mut block, ChannelCount::MONO);
            assert!(block.iter().all(|x| x.abs() <= 1.0));
            let power: f32 = block.iter().map(|x| x * x).sum();
            block.windows(2).map(|pair| (pair[1] - pair[0]).powi(2)).sum::<f32>() / power
        };
        assert!((tilt(Colour::White) - 2.0).abs() < 0.05);
        assert!(tilt(Colour::Pink) < 0.7);
    }
}
