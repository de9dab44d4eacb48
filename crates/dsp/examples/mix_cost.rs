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
    in_turns();
}

/// Ours, pulled by packets, beside the library called alone in the same chunks, with a filter as long and with 160 taps.
fn resampling() {
    let input: Vec<f32> = (0..2 * 882).map(|i| (i as f32 * 0.01).sin() * 0.5).collect();
    let mut output = vec![0.0_f32; 2 * 600];
    let mut alone = |taps| {
        let mut library = library(taps);
        best(|| push(&mut library, &input[..882], &mut output))
    };
    let (long, library) = (alone(160), alone(96));
    let mut resampler = stream();
    let ours = best(|| {
        let needed = resampler.needed_input(FrameCount::new(480)).as_usize();
        black_box(resampler.process(&input[..2 * needed], &mut output[..960]));
    });
    println!("10 ms 44.1 to 48 kHz: library alone {library:.2} us, ours {ours:.2} us, {:.2} x", ours / library);
    println!("  the library with 160 taps {long:.2} us");
}

/// Streams that take turns, as in a pass: whatever each has of its own pushes the others' out of the caches. In turns with one
/// another, so that whatever else the machine does falls on all.
fn in_turns() {
    const MANY: usize = 50;
    // More than the processor's second cache: what a daemon does between two passes.
    let mut elsewhere = vec![1_u8; 8 << 20];
    let bytes: Vec<Vec<u8>> =
        (0..MANY).map(|s| (0..4 * 441).map(|i| (s * 31 + i * 7).to_le_bytes()[0]).collect()).collect();
    let sources: Vec<Vec<f32>> = bytes
        .iter()
        .map(|bytes| {
            let mut samples = vec![0.0; 882];
            convert::decode(SampleFormat::S16, bytes, &mut samples);
            samples
        })
        .collect();
    let (mut samples, mut output, mut block) = (vec![0.0_f32; 882], vec![0.0_f32; 2 * 600], vec![0.0_f32; SAMPLES]);
    let mut ours: Vec<Resampler> = (0..MANY).map(|_| stream()).collect();
    let (mut long, mut short): (Vec<_>, Vec<_>) = (0..MANY).map(|_| (library(160), library(96))).unzip();
    println!(
        "44.1 to 48 kHz, stereo, passes of 10 ms: ms of processor time for a stream and second (median of the passes)"
    );
    for (name, count, evict) in
        [("1 stream", 1, false), ("50 in turns", MANY, false), ("50, caches emptied", MANY, true)]
    {
        let mut taken = [const { Vec::new() }; 5];
        for _ in 0..400 {
            for (case, taken) in taken.iter_mut().enumerate() {
                if evict {
                    elsewhere.iter_mut().step_by(64).for_each(|byte| *byte = byte.wrapping_add(1));
                    black_box(&mut elsewhere);
                }
                let start = Instant::now();
                for stream in 0..count {
                    match case {
                        0 => push(&mut long[stream], &sources[stream], &mut output),
                        1 => push(&mut short[stream], &sources[stream], &mut output),
                        2 => pull(&mut ours[stream], &sources[stream], &mut output),
                        3 => {
                            convert::decode(SampleFormat::S16, black_box(&bytes[stream]), &mut samples);
                            pull(&mut ours[stream], &samples, &mut output);
                            mix::add(&mut block, &output[..SAMPLES]);
                        }
                        _ => {
                            convert::decode(SampleFormat::S16, black_box(&bytes[stream]), &mut samples);
                            mix::add(&mut block, &output[..SAMPLES]);
                            black_box(&mut samples);
                        }
                    }
                }
                taken.push(start.elapsed().as_secs_f64() * 1e5 / count as f64);
                black_box(&mut block).fill(0.0);
            }
        }
        let [long, short, ours, all, rest] = taken.map(|mut taken| {
            taken.sort_by(f64::total_cmp);
            taken[taken.len() / 2]
        });
        println!(
            "  {name}: library with 160 taps {long:.2}, with 96 {short:.2}, ours {ours:.2}; from 16 bit to the mix {all:.2}, of which \
             reading and adding {rest:.2}"
        );
    }
}

fn stream() -> Resampler {
    Resampler::new(ResamplerConfig {
        from: SampleRate::HZ_44100,
        to: SampleRate::HZ_48000,
        channels: ChannelCount::STEREO,
        max_block: FrameCount::new(882),
        max_trim: 0,
    })
    .unwrap()
}

fn library(taps: usize) -> Async<f32> {
    let parameters = SincInterpolationParameters::new(taps, WindowFunction::BlackmanHarris)
        .f_cutoff(0.946)
        .oversampling_factor(160)
        .interpolation(SincInterpolationType::Nearest);
    Async::new_sinc(48_000.0 / 44_100.0, 1.0, &parameters, 441, 2, FixedAsync::Input).unwrap()
}

fn push(library: &mut Async<f32>, input: &[f32], output: &mut [f32]) {
    let from = InterleavedSlice::new(input, 2, 441).unwrap();
    let mut to = InterleavedSlice::new_mut(output, 2, 600).unwrap();
    black_box(library.process_into_buffer(&from, &mut to, None).unwrap());
}

fn pull(resampler: &mut Resampler, input: &[f32], output: &mut [f32]) {
    let needed = resampler.needed_input(FrameCount::new(480)).as_usize();
    black_box(resampler.process(&input[..2 * needed.min(441)], &mut output[..SAMPLES]));
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
