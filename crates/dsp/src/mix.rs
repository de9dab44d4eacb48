//! Adding streams.

use soundpost_core::{ChannelCount, FrameCount};

use crate::meter::{BlockLevel, Lanes, with_lanes};
use crate::ramp::{Fader, lane_frames};

/// `mix += source`, sample by sample, as far as both reach: nothing but the sum, and what [`add_metered`] is measured
/// against.
pub fn add(mix: &mut [f32], source: &[f32]) {
    for (mix, sample) in mix.iter_mut().zip(source) {
        *mix += *sample;
    }
}

/// Adds a stream's block to the mix at its fader's gain; returns the level of what was added.
///
/// Whole frames, as many as both hold. A fader that stands at unity adds the samples as they are; one that stands at
/// silence costs nothing.
pub fn add_metered(mix: &mut [f32], source: &[f32], channels: ChannelCount, fader: &mut Fader) -> BlockLevel {
    let width = channels.as_usize();
    let samples = mix.len().min(source.len());
    let samples = samples - samples % width;
    let (mix, source) = (&mut mix[..samples], &source[..samples]);
    match fader.steady() {
        Some(0.0) => BlockLevel::silent(FrameCount::from_usize(samples / width)),
        Some(1.0) => with_lanes!(channels, add_lanes::<false>(mix, source, channels, 1.0)),
        Some(gain) => with_lanes!(channels, add_lanes::<true>(mix, source, channels, gain)),
        None => with_lanes!(channels, add_ramped(mix, source, channels, fader)),
    }
}

fn add_lanes<const LANES: usize, const SCALED: bool>(
    mix: &mut [f32],
    source: &[f32],
    channels: ChannelCount,
    gain: f32,
) -> BlockLevel {
    let mut lanes = Lanes::<LANES>::new();
    let (mix_chunks, mix_rest) = mix.as_chunks_mut::<LANES>();
    let (chunks, rest) = source.as_chunks::<LANES>();
    for (mix, chunk) in mix_chunks.iter_mut().zip(chunks) {
        for lane in 0..LANES {
            let sample = if SCALED { chunk[lane] * gain } else { chunk[lane] };
            mix[lane] += sample;
            lanes.add(lane, sample);
        }
    }
    for (lane, (mix, sample)) in mix_rest.iter_mut().zip(rest).enumerate() {
        let sample = sample * gain;
        *mix += sample;
        lanes.add(lane, sample);
    }
    lanes.level(channels, source.len())
}

fn add_ramped<const LANES: usize>(
    mix: &mut [f32],
    source: &[f32],
    channels: ChannelCount,
    fader: &mut Fader,
) -> BlockLevel {
    let width = channels.as_usize();
    let mut lanes = Lanes::<LANES>::new();
    let frames = lane_frames::<LANES>(channels);
    let (mix_chunks, mix_rest) = mix.as_chunks_mut::<LANES>();
    let (chunks, rest) = source.as_chunks::<LANES>();
    for (mix, chunk) in mix_chunks.iter_mut().zip(chunks) {
        let gains = fader.next_gains(&frames, channels);
        for lane in 0..LANES {
            let sample = chunk[lane] * gains[lane];
            mix[lane] += sample;
            lanes.add(lane, sample);
        }
    }
    for (mix, frame) in mix_rest.chunks_exact_mut(width).zip(rest.chunks_exact(width)) {
        let gain = fader.next_gain();
        for (channel, (mix, sample)) in mix.iter_mut().zip(frame).enumerate() {
            let sample = sample * gain;
            *mix += sample;
            lanes.add(channel % LANES, sample);
        }
    }
    lanes.level(channels, source.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use soundpost_core::Gain;

    use super::*;
    use crate::meter::measure;

    #[test]
    fn one_stream_at_unity_passes_bit_for_bit() {
        let source: Vec<f32> = (0..960).map(|i| (i as f32 - 480.0) / 480.0).collect();
        let mut mix = vec![0.0; 960];
        let mut fader = Fader::new(Gain::UNITY, FrameCount::new(10));
        add_metered(&mut mix, &source, ChannelCount::STEREO, &mut fader);
        assert_eq!(mix, source);
    }

    #[test]
    fn a_silent_stream_is_skipped() {
        let mut mix = [0.25; 4];
        let mut fader = Fader::new(Gain::ZERO, FrameCount::new(10));
        let level = add_metered(&mut mix, &[f32::NAN; 4], ChannelCount::STEREO, &mut fader);
        assert_eq!((mix, level.highest_peak(), level.frames().get()), ([0.25; 4], 0.0, 2));
    }

    proptest! {
        #[test]
        fn every_path_adds_and_measures_what_the_plain_formula_says(
            source in proptest::collection::vec(-1.0_f32..1.0, 0..300),
            n in 1_u16..=8,
            gain in prop_oneof![Just(1.0_f32), Just(0.0), 0.0_f32..2.0],
            ramp in prop_oneof![Just(0_u32), 1_u32..200],
        ) {
            let channels = ChannelCount::new(n).unwrap();
            let width = usize::from(n);
            let mut fader = Fader::new(if ramp == 0 { Gain::new(gain) } else { Gain::UNITY }, FrameCount::new(ramp));
            fader.set_gain(Gain::new(gain));
            let mut expected = source.clone();
            expected.truncate(source.len() / width * width);
            fader.clone().apply(&mut expected, channels);
            let mut mix = vec![0.5; source.len()];
            let level = add_metered(&mut mix, &source, channels, &mut fader);
            let whole = measure(&expected, channels);
            prop_assert_eq!(level.frames(), whole.frames());
            for channel in 0..8 {
                prop_assert_eq!(level.peak(channel), whole.peak(channel));
                prop_assert!((level.rms(channel) - whole.rms(channel)).abs() < 1e-5);
            }
            for (i, mixed) in mix.iter().enumerate() {
                prop_assert_eq!(*mixed, 0.5 + expected.get(i).copied().unwrap_or(0.0));
            }
        }
    }
}
