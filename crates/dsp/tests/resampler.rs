//! What the resampler promises: quality, delay, frame counts, any block size.

#![allow(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_lossless,
    clippy::unwrap_used,
    reason = "test arithmetic"
)]

use proptest::prelude::*;
use soundpost_core::{ChannelCount, FrameCount, SampleRate};
use soundpost_dsp::resample::{Resampled, Resampler, ResamplerConfig, ResamplerError};

#[path = "../examples/measure/mod.rs"]
mod measure;
use measure::{alias, resampler, sine_through};

#[test]
fn the_usual_rates_are_clean_and_flat() {
    for (from, to) in [(44_100, 48_000), (48_000, 44_100), (48_000, 96_000), (96_000, 48_000)] {
        for trim in [0, 1_000] {
            for hertz in [1_000.0, 10_000.0, 15_000.0] {
                let seen = sine_through(&mut resampler(from, to, trim), hertz);
                assert!(seen.snr_db >= 120.0, "{from} to {to}, {hertz} Hz: {seen:?}");
                assert!(seen.level_db.abs() < 0.001, "{from} to {to}, {hertz} Hz: {seen:?}");
            }
            let seen = sine_through(&mut resampler(from, to, trim), 19_000.0);
            assert!(seen.snr_db >= 100.0 && seen.level_db.abs() < 0.1, "{from} to {to}, 19 kHz: {seen:?}");
            let seen = sine_through(&mut resampler(from, to, trim), 20_000.0);
            assert!(seen.snr_db >= 100.0 && seen.level_db.abs() < 0.1, "{from} to {to}, 20 kHz: {seen:?}");
        }
    }
}

#[test]
fn nothing_above_half_the_output_rate_comes_through() {
    for (from, to) in [(48_000, 44_100), (96_000, 48_000), (48_000, 16_000), (192_000, 8_000), (44_100, 8_000)] {
        for part in 1..=12 {
            let (nyquist, top) = (f64::from(to) / 2.0, f64::from(from) / 2.0);
            let hertz = nyquist + (top - nyquist) * (f64::from(part) - 0.9) / 12.0;
            let level = alias(&mut resampler(from, to, 0), hertz);
            assert!(level <= -100.0, "{from} to {to}: {hertz} Hz leaves {level} dB");
        }
    }
}

#[test]
fn the_images_of_the_pass_band_stay_away() {
    // The SNR of a sine counts its image. In the upper pass-band the image lies nearest.
    for (from, to) in [(8_000, 48_000), (16_000, 48_000), (44_100, 192_000), (11_025, 48_000)] {
        let seen = sine_through(&mut resampler(from, to, 0), f64::from(from) * 0.45);
        assert!(seen.snr_db >= 100.0 && seen.level_db.abs() < 0.1, "{from} to {to}: {seen:?}");
    }
}

#[test]
fn any_pair_of_rates_works() {
    let rates =
        [8_000, 8_001, 11_025, 16_000, 22_050, 32_000, 44_099, 44_100, 48_000, 88_200, 96_000, 176_400, 192_000];
    for from in rates {
        for to in rates {
            let seen = sine_through(&mut resampler(from, to, 0), f64::from(from.min(to)) * 0.2);
            assert!(seen.snr_db >= 110.0 && seen.level_db.abs() < 0.01, "{from} to {to}: {seen:?}");
        }
    }
}

#[test]
fn the_delay_is_as_stated_and_short() {
    for (from, to) in [(44_100, 48_000), (48_000, 44_100), (8_000, 48_000), (192_000, 48_000), (48_000, 192_000)] {
        for trim in [0, 1_000] {
            let mut r = resampler(from, to, trim);
            let stated = f64::from(r.delay().get());
            let seen = sine_through(&mut r, f64::from(from.min(to)) * 0.02).delay_frames;
            assert!((seen - stated).abs() <= 0.51, "{from} to {to}: stated {stated}, seen {seen}");
            let lower = f64::from(from.min(to));
            assert!(stated / f64::from(to) < 81.0 / lower, "{from} to {to}: {stated} frames");
        }
    }
    assert!(f64::from(resampler(44_100, 48_000, 0).delay().get()) / 48_000.0 < 0.003);
}

#[test]
fn every_channel_gets_the_same_bits_however_many_there_are() {
    let of = |channels: u16| {
        let channels = ChannelCount::new(channels).unwrap();
        let config = ResamplerConfig { channels, ..*resampler(44_100, 48_000, 0).config() };
        let input: Vec<f32> = (0..882).flat_map(|i| vec![(i as f32 * 0.1).sin(); channels.as_usize()]).collect();
        let mut output = vec![0.0; 480 * channels.as_usize()];
        let done = Resampler::new(config).unwrap().process(&input, &mut output);
        assert_eq!((done.produced.get(), done.consumed.get()), (480, 441));
        output
    };
    let mono = of(1);
    assert!(mono.iter().any(|sample| sample.abs() > 0.5));
    for channels in 2..=8_u16 {
        for (frame, alone) in of(channels).chunks_exact(channels.into()).zip(&mono) {
            assert!(
                frame.iter().all(|sample| sample.to_bits() == alone.to_bits()),
                "{channels}: {frame:?}, not {alone}"
            );
        }
    }
}

#[test]
fn equal_rates_are_copied() {
    let mut r = resampler(48_000, 48_000, 0);
    let input = [0.1, -0.2, f32::MIN_POSITIVE / 2.0, 1.0];
    let mut output = [0.0; 6];
    let done = r.process(&input, &mut output);
    assert_eq!((done.consumed.get(), done.produced.get()), (2, 2));
    assert_eq!(output[..4], input);
    assert_eq!((r.delay(), r.needed_input(FrameCount::new(7)).get()), (FrameCount::ZERO, 7));
    assert_eq!(r.flush(&mut output), FrameCount::ZERO);
}

#[test]
fn a_trim_changes_the_length_by_its_parts_per_million() {
    for ppm in [-1_000.0, -37.5, 0.0, 250.0, 1_000.0, 5_000.0] {
        let mut r = resampler(44_100, 48_000, 1_000);
        r.set_trim(ppm);
        let (mut produced, seconds) = (0_u64, 20);
        let mut output = vec![0.0; 2 * 1_000];
        for _ in 0..seconds * 100 {
            let done = r.process(&[0.0; 882], &mut output);
            assert_eq!(done.consumed.get(), 441);
            produced += u64::from(done.produced.get());
        }
        let expected = f64::from(seconds) * 48_000.0 * (1.0 + ppm.clamp(-1_000.0, 1_000.0) * 1e-6);
        let missing = expected - produced as f64;
        // What the last two input frames make is withheld.
        assert!((0.0..4.0).contains(&missing), "{ppm} ppm: {missing} frames missing");
    }
}

#[test]
fn trimming_while_playing_leaves_no_clicks() {
    let mut r = resampler(48_000, 48_000, 1_000);
    let mut sine = soundpost_dsp::generate::Sine::new(440.0, 0.9, SampleRate::HZ_48000);
    let (mut input, mut output) = (vec![0.0; 480], vec![0.0; 1_000]);
    let mut last = 0.0_f32;
    let steepest = (0.9 * core::f32::consts::TAU * 440.0 / 48_000.0) * 1.01;
    let mut heard = Vec::new();
    for pass in 0..400 {
        r.set_trim(f64::from(pass % 7 - 3) * 300.0);
        sine.fill(&mut input, ChannelCount::STEREO);
        let done = r.process(&input, &mut output);
        heard.extend(output[..2 * done.produced.as_usize()].iter().step_by(2).copied());
    }
    for sample in &heard[480..] {
        assert!((sample - last).abs() <= steepest || last == 0.0, "{last} to {sample}");
        last = *sample;
    }
}

#[test]
fn what_went_in_comes_out_after_a_flush() {
    for (from, to) in [(44_100, 48_000), (48_000, 44_100), (192_000, 8_000), (8_000, 192_000)] {
        let mut r = resampler(from, to, 0);
        let frames = from as usize / 10;
        let input = vec![0.5; 2 * frames];
        let mut output = vec![0.0; 2 * to as usize];
        let mut produced = r.process(&input, &mut output).produced.as_usize();
        loop {
            let end = (2 * produced + 2 * 7).min(output.len());
            match r.flush(&mut output[2 * produced..end]).as_usize() {
                0 => break,
                more => produced += more,
            }
        }
        let expected = f64::from(to) / 10.0 + f64::from(r.delay().get());
        assert!(
            (produced as f64 - expected).abs() <= 1.0 + f64::from(to) / f64::from(from),
            "{from} to {to}: {produced}"
        );
        assert_eq!(r.flush(&mut output), FrameCount::ZERO);
        r.reset();
        assert_eq!(r.flush(&mut output), FrameCount::ZERO);
    }
}

#[test]
fn nonsense_is_refused_with_what_to_do() {
    let mut config = *resampler(44_100, 48_000, 0).config();
    config.max_block = FrameCount::ZERO;
    assert_eq!(Resampler::new(config).err(), Some(ResamplerError::EmptyBlock));
    config.max_block = FrameCount::new(480);
    config.max_trim = 50_001;
    assert_eq!(Resampler::new(config).err(), Some(ResamplerError::TrimTooLarge(50_001)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Any sequence of block sizes gives the samples that one long call gives.
    #[test]
    fn block_sizes_do_not_matter(
        rates in prop_oneof![
            Just((44_100, 48_000)), Just((48_000, 44_100)), Just((8_000, 192_000)), Just((192_000, 8_000)),
            Just((47_999, 48_000)), Just((96_000, 44_100)),
        ],
        blocks in proptest::collection::vec((0_usize..700, 0_usize..700), 1..40),
        trim in prop_oneof![Just(0_u32), Just(500)],
    ) {
        let total: usize = blocks.iter().map(|(input, _)| input).sum();
        let input: Vec<f32> = (0..2 * total).map(|i| ((i * 7919 % 1000) as f32 / 500.0) - 1.0).collect();
        let mut whole = vec![0.0; 2 * (total * 24 + 100)];
        let all = resampler(rates.0, rates.1, trim).process(&input, &mut whole);
        prop_assert_eq!(all.consumed.as_usize(), total);
        let mut r = resampler(rates.0, rates.1, trim);
        let (mut taken, mut offered, mut heard) = (0, 0, Vec::new());
        for (more, room) in blocks {
            offered += more;
            let mut output = vec![9.0; 2 * room];
            let Resampled { consumed, produced } = r.process(&input[2 * taken..2 * offered], &mut output);
            taken += consumed.as_usize();
            prop_assert!(produced.as_usize() == room || taken == offered, "stopped with room and input left");
            heard.extend_from_slice(&output[..2 * produced.as_usize()]);
        }
        prop_assert!(heard.len() <= 2 * (all.produced.as_usize() + 1));
        for (i, (a, b)) in heard.iter().zip(&whole[..2 * all.produced.as_usize()]).enumerate() {
            // A fixed ratio counts in whole numbers; the library's places are sums of fractions.
            let same = if trim == 0 && rates.0 != 47_999 { a.to_bits() == b.to_bits() } else { (a - b).abs() < 2e-6 };
            prop_assert!(same, "sample {}: {} for {}", i, a, b);
        }
    }

    /// The pull of a pass: the frames that were said to be needed make the frames that were asked for.
    #[test]
    fn needed_input_is_exact(
        rates in prop_oneof![
            Just((44_100, 48_000)), Just((48_000, 44_100)), Just((8_000, 192_000)), Just((192_000, 8_000)),
            Just((47_999, 48_000)),
        ],
        asks in proptest::collection::vec(1_u32..480, 1..30),
        trims in proptest::collection::vec(-500.0_f64..500.0, 30),
        trim in prop_oneof![Just(0_u32), Just(500)],
    ) {
        let config = ResamplerConfig {
            from: SampleRate::new(rates.0).unwrap(),
            to: SampleRate::new(rates.1).unwrap(),
            channels: ChannelCount::STEREO,
            max_block: FrameCount::new(20_000),
            max_trim: trim,
        };
        let mut r = Resampler::new(config).unwrap();
        for (pass, (ask, ppm)) in asks.iter().zip(trims).enumerate() {
            r.set_trim(ppm);
            let needed = r.needed_input(FrameCount::new(*ask)).as_usize();
            let mut output = vec![0.0; 2 * *ask as usize];
            if pass % 2 == 0 {
                let done = r.process(&vec![0.0; 2 * needed], &mut output);
                prop_assert_eq!((done.consumed.as_usize(), done.produced.get()), (needed, *ask));
                continue;
            }
            // One frame less is not enough. The missing one makes it so, or the one after: in parts, a sum of steps may
            // fall short of a whole frame by a rounding error.
            let less = needed.saturating_sub(1);
            let first = r.process(&vec![0.0; 2 * less], &mut output);
            prop_assert_eq!(first.consumed.as_usize(), less);
            prop_assert!(first.produced.get() < *ask || needed == 0);
            let made = first.produced.as_usize();
            let rest = r.process(&vec![0.0; 2 * (needed - less)], &mut output[2 * made..]);
            let missing = *ask as usize - made - rest.produced.as_usize();
            prop_assert!(missing <= 1, "{} missing", missing);
            let again = r.needed_input(FrameCount::from_usize(missing)).as_usize();
            prop_assert!(again <= 1.max(rates.0 as usize / rates.1 as usize));
            let made = output.len() - 2 * missing;
            let last = r.process(&vec![0.0; 2 * again], &mut output[made..]);
            prop_assert_eq!(last.produced.as_usize(), missing);
        }
    }
}
