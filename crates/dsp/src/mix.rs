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

/// How many streams [`add_group`] adds at once: their sums and largest squares fill the vector registers.
pub const GROUP: usize = 4;

/// One vector register of samples. More lanes for each stream would not fit beside those of three others.
const GROUP_LANES: usize = if cfg!(target_feature = "avx") { 8 } else { 4 };

/// Adds the blocks of [`GROUP`] streams to the mix, each at a gain that stands; returns their levels.
///
/// The mix is the same, bit for bit, as after one [`add_metered`] for each in this order: every sample of it gets theirs
/// in this order. But it is loaded and stored once. Whole frames, as many as all of them hold.
pub fn add_group(
    mix: &mut [f32],
    sources: [&[f32]; GROUP],
    channels: ChannelCount,
    gains: [f32; GROUP],
) -> [BlockLevel; GROUP] {
    let width = channels.as_usize();
    let samples = sources.iter().fold(mix.len(), |least, source| least.min(source.len()));
    let samples = samples - samples % width;
    let mix = &mut mix[..samples];
    let sources = sources.map(|source| &source[..samples]);
    let unity = gains == [1.0; GROUP];
    match (width, unity) {
        (1, true) => add_four::<false, 1>(mix, sources, gains),
        (1, false) => add_four::<true, 1>(mix, sources, gains),
        (2, true) => add_four::<false, 2>(mix, sources, gains),
        (2, false) => add_four::<true, 2>(mix, sources, gains),
        (4, true) => add_four::<false, 4>(mix, sources, gains),
        (4, false) => add_four::<true, 4>(mix, sources, gains),
        // A register does not hold whole frames.
        _ => core::array::from_fn(|stream| {
            with_lanes!(channels, add_lanes::<true>(mix, sources[stream], channels, gains[stream]))
        }),
    }
}

fn add_four<const SCALED: bool, const CHANNELS: usize>(
    mix: &mut [f32],
    sources: [&[f32]; GROUP],
    gains: [f32; GROUP],
) -> [BlockLevel; GROUP] {
    let samples = mix.len();
    let (mix_chunks, mix_rest) = mix.as_chunks_mut::<GROUP_LANES>();
    let parts = sources.map(|source| source.as_chunks::<GROUP_LANES>());
    let mut lanes = add_registers::<SCALED>(mix_chunks, parts[0].0, parts[1].0, parts[2].0, parts[3].0, &gains);
    if !mix_rest.is_empty() {
        for stream in 0..GROUP {
            lanes[stream].add_rest(mix_rest, parts[stream].1, gains[stream]);
        }
    }
    core::array::from_fn(|stream| lanes[stream].level_of::<CHANNELS>(samples))
}

/// The loop alone, and never inlined: what is done with the lanes afterwards would otherwise decide how the compiler
/// keeps them, one by one instead of in registers.
#[inline(never)]
fn add_registers<const SCALED: bool>(
    mix: &mut [[f32; GROUP_LANES]],
    a: &[[f32; GROUP_LANES]],
    b: &[[f32; GROUP_LANES]],
    c: &[[f32; GROUP_LANES]],
    d: &[[f32; GROUP_LANES]],
    gains: &[f32; GROUP],
) -> [Lanes<GROUP_LANES>; GROUP] {
    let [mut first, mut second, mut third, mut fourth] = [const { Lanes::new() }; GROUP];
    for ((((mix, a), b), c), d) in mix.iter_mut().zip(a).zip(b).zip(c).zip(d) {
        let sum = first.add_to::<SCALED>(*mix, a, gains[0]);
        let sum = second.add_to::<SCALED>(sum, b, gains[1]);
        let sum = third.add_to::<SCALED>(sum, c, gains[2]);
        *mix = fourth.add_to::<SCALED>(sum, d, gains[3]);
    }
    [first, second, third, fourth]
}

impl<const LANES: usize> Lanes<LANES> {
    /// The mix with the samples of a stream, which are measured.
    #[inline(always)]
    fn add_to<const SCALED: bool>(&mut self, mix: [f32; LANES], source: &[f32; LANES], gain: f32) -> [f32; LANES] {
        let mut sum = mix;
        for lane in 0..LANES {
            let sample = if SCALED { source[lane] * gain } else { source[lane] };
            sum[lane] += sample;
            self.add(lane, sample);
        }
        sum
    }

    /// Adds what is left behind the last full register.
    #[inline(always)]
    fn add_rest(&mut self, mix: &mut [f32], source: &[f32], gain: f32) {
        for (lane, (mix, sample)) in mix.iter_mut().zip(source).enumerate() {
            let sample = sample * gain;
            *mix += sample;
            self.add(lane, sample);
        }
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
        fn a_group_adds_and_measures_what_its_streams_do_one_by_one(
            block in proptest::collection::vec(-1.0_f32..1.0, 0..1200),
            n in 1_u16..=8,
            gains in prop_oneof![Just([1.0_f32; GROUP]), proptest::array::uniform4(prop_oneof![Just(1.0), 0.01_f32..2.0])],
        ) {
            let channels = ChannelCount::new(n).unwrap();
            let length = block.len() / GROUP;
            let sources: [&[f32]; GROUP] = core::array::from_fn(|i| &block[i * length..(i + 1) * length]);
            let (mut mix, mut expected) = (vec![0.5; length], vec![0.5; length]);
            let levels = add_group(&mut mix, sources, channels, gains);
            for ((source, gain), level) in sources.into_iter().zip(gains).zip(levels) {
                let mut fader = Fader::new(Gain::new(gain), FrameCount::new(10));
                let alone = add_metered(&mut expected, source, channels, &mut fader);
                prop_assert_eq!(level.frames(), alone.frames());
                for channel in 0..8 {
                    prop_assert_eq!(level.peak(channel), alone.peak(channel));
                    prop_assert!((level.rms(channel) - alone.rms(channel)).abs() < 1e-5);
                }
            }
            prop_assert_eq!(mix, expected);
        }

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
