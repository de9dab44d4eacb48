//! Measurements of the resampler, shared by `examples/resampler_report.rs` and `tests/resampler.rs`.

use core::f64::consts::TAU;

use soundpost_core::{ChannelCount, FrameCount, SampleRate};
use soundpost_dsp::resample::{Resampler, ResamplerConfig};

/// What became of a sine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// Power of the sine over power of all else.
    pub(crate) snr_db: f64,
    /// Its level against the input's.
    pub(crate) level_db: f64,
    /// Its delay in output frames. Ambiguous by whole periods: true for sines of few periods per delay.
    pub(crate) delay_frames: f64,
}

const AMPLITUDE: f64 = 0.9;

/// A stereo resampler that works in passes of 10 ms.
pub(crate) fn resampler(from: u32, to: u32, max_trim: u32) -> Resampler {
    Resampler::new(ResamplerConfig {
        from: SampleRate::new(from).unwrap(),
        to: SampleRate::new(to).unwrap(),
        channels: ChannelCount::STEREO,
        max_block: FrameCount::new(from / 100),
        max_trim,
    })
    .unwrap()
}

/// Half a second of a sine goes through, on the right channel; the left one is silent and must stay so.
pub(crate) fn through(resampler: &mut Resampler, hertz: f64) -> Vec<f64> {
    let (from, to) = (resampler.config().from.get(), resampler.config().to.get());
    let input: Vec<f32> = (0..from / 2)
        .flat_map(|i| [0.0, (AMPLITUDE * (TAU * hertz * f64::from(i) / f64::from(from)).sin()) as f32])
        .collect();
    let mut output = vec![0.0; 2 * to as usize];
    let produced = resampler.process(&input, &mut output).produced.as_usize();
    output[..2 * produced]
        .chunks_exact(2)
        .map(|frame| {
            assert_eq!(frame[0], 0.0, "sound on the other channel");
            f64::from(frame[1])
        })
        .collect()
}

/// Fits a sine by least squares to what comes out once the filter is filled.
pub(crate) fn sine_through(resampler: &mut Resampler, hertz: f64) -> Seen {
    let output = through(resampler, hertz);
    let omega = TAU * hertz / f64::from(resampler.config().to.get());
    let start = 2 * resampler.delay().as_usize() + 2;
    let (mut ss, mut cc, mut sc, mut ys, mut yc) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (i, y) in output.iter().enumerate().skip(start) {
        let (s, c) = (omega * i as f64).sin_cos();
        ss += s * s;
        cc += c * c;
        sc += s * c;
        ys += y * s;
        yc += y * c;
    }
    let determinant = ss * cc - sc * sc;
    let (a, b) = ((ys * cc - yc * sc) / determinant, (yc * ss - ys * sc) / determinant);
    let rest: f64 = output
        .iter()
        .enumerate()
        .skip(start)
        .map(|(i, y)| {
            let (s, c) = (omega * i as f64).sin_cos();
            (y - a * s - b * c).powi(2)
        })
        .sum::<f64>()
        / (output.len() - start) as f64;
    let amplitude = (a * a + b * b).sqrt();
    // y = A sin(ωi − φ), the delay is φ/ω, between 0 and one period.
    let lag = (-b).atan2(a).rem_euclid(TAU) / omega;
    let period = TAU / omega;
    let stated = f64::from(resampler.delay().get());
    let delay_frames = lag + ((stated - lag) / period).round() * period;
    Seen {
        snr_db: 10.0 * (amplitude * amplitude / 2.0 / rest).log10(),
        level_db: 20.0 * (amplitude / AMPLITUDE).log10(),
        delay_frames,
    }
}

/// What is left of a sine that must not come through, in decibels of its power.
pub(crate) fn alias(resampler: &mut Resampler, hertz: f64) -> f64 {
    let output = through(resampler, hertz);
    let start = 2 * resampler.delay().as_usize() + 2;
    let power = output[start..].iter().map(|y| y * y).sum::<f64>() / (output.len() - start) as f64;
    10.0 * (power / (AMPLITUDE * AMPLITUDE / 2.0)).log10()
}
