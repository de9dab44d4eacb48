//! What the signal path costs beside plain loops: `cargo run --release -p soundpost-dsp --example mix_cost`.

#![allow(
    clippy::as_conversions,
    clippy::disallowed_types,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a report printed by hand, not part of the product"
)]

use std::hint::black_box;
use std::time::Instant;

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Async, FixedAsync, Resampler as _, SincInterpolationParameters, SincInterpolationType, WindowFunction};
use soundpost_core::{ChannelCount, FrameCount, Gain, SampleFormat, SampleRate};
use soundpost_dsp::limit::Limiter;
use soundpost_dsp::meter::Meter;
use soundpost_dsp::ramp::Fader;
use soundpost_dsp::resample::{Resampler, ResamplerConfig};
use soundpost_dsp::{convert, mix};

const STREAMS: usize = 64;
const SAMPLES: usize = 960;

fn main() {
    let sources: Vec<Vec<f32>> =
        (0..STREAMS).map(|s| (0..SAMPLES).map(|i| ((s * 31 + i) as f32).sin() * 0.01).collect()).collect();
    let mut block = vec![0.0_f32; SAMPLES];
    let plain = best(|| {
        block.fill(0.0);
        for source in &sources {
            mix::add(black_box(&mut block), black_box(source));
        }
    });
    let mut faders = vec![Fader::new(Gain::UNITY, FrameCount::new(480)); STREAMS];
    let mut meters = vec![Meter::default(); STREAMS + 1];
    let mut limiter = Limiter::new(ChannelCount::STEREO);
    let pass = best(|| {
        block.fill(0.0);
        for ((source, fader), meter) in sources.iter().zip(&mut faders).zip(&mut meters) {
            meter.add(&mix::add_metered(black_box(&mut block), black_box(source), ChannelCount::STEREO, fader));
        }
        meters[STREAMS].add(&limiter.process(&mut block));
    });
    assert!(limiter.is_idle());
    println!(
        "64 streams x 480 stereo frames: plain add {plain:.2} us, metered mix {pass:.2} us, {:.2} x",
        pass / plain
    );
    faders.iter_mut().for_each(|fader| *fader = Fader::new(Gain::new(0.5), FrameCount::new(480)));
    let scaled = best(|| {
        for (source, fader) in sources.iter().zip(&mut faders) {
            black_box(mix::add_metered(black_box(&mut block), black_box(source), ChannelCount::STEREO, fader));
        }
    });
    let ramped = best(|| {
        for (source, fader) in sources.iter().zip(&mut faders) {
            fader.set_gain(Gain::new(if fader.gain() == Gain::UNITY { 0.5 } else { 1.0 }));
            black_box(mix::add_metered(black_box(&mut block), black_box(source), ChannelCount::STEREO, fader));
        }
    });
    println!("  with a gain {:.2} x, on a ramp {:.2} x", scaled / plain, ramped / plain);

    let mut bytes = vec![0_u8; 4 * SAMPLES];
    for format in SampleFormat::ALL {
        let decode = best(|| {
            black_box(convert::decode(format, black_box(&bytes), black_box(&mut block)));
        });
        let encode = best(|| {
            black_box(convert::encode(format, black_box(&sources[0]), black_box(&mut bytes)));
        });
        println!("{format}: 960 samples read in {:.0} ns, written in {:.0} ns", decode * 1e3, encode * 1e3);
    }
    resampling();
}

/// Ours, pulled by packets, beside the library called alone in the same chunks, with a filter as long and with 160 taps.
fn resampling() {
    let input: Vec<f32> = (0..2 * 882).map(|i| (i as f32 * 0.01).sin() * 0.5).collect();
    let mut output = vec![0.0_f32; 2 * 600];
    let mut library = |taps| {
        let parameters = SincInterpolationParameters::new(taps, WindowFunction::BlackmanHarris)
            .f_cutoff(0.946)
            .oversampling_factor(160)
            .interpolation(SincInterpolationType::Nearest);
        let ratio = 48_000.0 / 44_100.0;
        let mut alone = Async::<f32>::new_sinc(ratio, 1.0, &parameters, 441, 2, FixedAsync::Input).unwrap();
        best(|| {
            let from = InterleavedSlice::new(&input[..882], 2, 441).unwrap();
            let mut to = InterleavedSlice::new_mut(&mut output[..], 2, 600).unwrap();
            black_box(alone.process_into_buffer(&from, &mut to, None).unwrap());
        })
    };
    let (long, library) = (library(160), library(96));
    let mut resampler = Resampler::new(ResamplerConfig {
        from: SampleRate::HZ_44100,
        to: SampleRate::HZ_48000,
        channels: ChannelCount::STEREO,
        max_block: FrameCount::new(882),
        max_trim: 0,
    })
    .unwrap();
    let ours = best(|| {
        let needed = resampler.needed_input(FrameCount::new(480)).as_usize();
        black_box(resampler.process(&input[..2 * needed], &mut output[..960]));
    });
    println!("10 ms 44.1 to 48 kHz: library alone {library:.2} us, ours {ours:.2} us, {:.2} x", ours / library);
    println!("  the library with 160 taps {long:.2} us");
}

/// Microseconds of the fastest of many runs.
fn best(mut run: impl FnMut()) -> f64 {
    (0..4_000)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64() * 1e6
        })
        .fold(f64::INFINITY, f64::min)
}
