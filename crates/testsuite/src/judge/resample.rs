//! Both signals at one rate, and values between two samples.

use std::f64::consts::PI;

use soundpost_core::SampleRate;

/// The rate at which signals are compared: what lies above 8 kHz is of no interest.
pub(super) const RATE: u32 = 24_000;

/// Cut-off of the low-pass in front of it: halfway between 8 kHz and half the rate.
const CUTOFF: f64 = 10_000.0;

/// Half the length of the low-pass, in samples of [`RATE`].
const HALF: i64 = 16;

/// One channel of an interleaved stereo signal at [`RATE`], full scale ±1.
pub(super) fn at_common_rate(samples: &[i16], channel: usize, rate: SampleRate) -> Vec<f32> {
    let source: Vec<f64> = samples
        .as_chunks::<2>()
        .0
        .iter()
        .map(|frame| f64::from(frame.get(channel).copied().unwrap_or(0)) / 32_768.0)
        .collect();
    let rate = u64::from(rate.get());
    let common = u64::from(RATE);
    let divisor = greatest_common_divisor(rate, common);
    let (up, down) = (common / divisor, rate / divisor);
    let phases: Vec<(i64, Vec<f64>)> = (0..up).map(|phase| low_pass(phase * down % up, up, rate)).collect();
    let length = index(source.len()) * up / down;
    (0..length)
        .map(|number| {
            let centre = signed(number * down / up);
            let Some((first, taps)) = phases.get(place(number % up)) else { return 0.0 };
            sum(&source, centre + first, taps)
        })
        .collect()
}

/// The taps for a sample `part`/`whole` after the frame that `first` counts from.
fn low_pass(part: u64, whole: u64, rate: u64) -> (i64, Vec<f64>) {
    let (rate, part) = (float(rate), float(part) / float(whole));
    let half = f64::from(RATE).recip() * float(HALF.unsigned_abs()) * rate;
    let reach = ceiling(half);
    let cutoff = CUTOFF / rate;
    let taps = (-reach..=reach + 1).map(|frame| {
        let distance = from_signed(frame) - part;
        2.0 * cutoff * sinc(2.0 * cutoff * distance) * blackman_harris(distance / half)
    });
    (-reach, taps.collect())
}

/// Reads a signal between its samples: the taps depend on the part of a sample alone, so they are made once.
#[derive(Debug)]
pub(super) struct Between {
    first: i64,
    /// For the value, and for its slope per sample.
    taps: Vec<(f64, f64)>,
}

impl Between {
    /// Reads at `at`, `at` + 1, and so on.
    pub(super) fn new(at: f64) -> Self {
        let whole = at.floor();
        let part = at - whole;
        let taps = (1 - HALF..=HALF).map(|number| {
            let distance = from_signed(number) - part;
            let window = blackman_harris(distance / from_signed(HALF));
            // Moving on by a little shortens the distance by as much. The window hardly changes meanwhile.
            (sinc(distance) * window, -sinc_slope(distance) * window)
        });
        Self { first: ceiling(whole) + 1 - HALF, taps: taps.collect() }
    }

    /// The `length` values and slopes from there on; none too near to an end.
    pub(super) fn read(&self, signal: &[f32], length: usize) -> Option<impl Iterator<Item = (f64, f64)>> {
        let first = usize::try_from(self.first).ok()?;
        let around = signal.get(first..first + length + self.taps.len() - 1)?;
        Some(around.windows(self.taps.len()).map(|around| {
            around.iter().zip(&self.taps).fold((0.0, 0.0), |(value, slope), (sample, tap)| {
                let sample = f64::from(*sample);
                (value + sample * tap.0, slope + sample * tap.1)
            })
        }))
    }
}

fn sum(source: &[f64], first: i64, taps: &[f64]) -> f32 {
    let skipped = usize::try_from(-first).unwrap_or(0);
    let from = usize::try_from(first).unwrap_or(0);
    let taps = taps.iter().skip(skipped);
    let total: f64 = source.iter().skip(from).zip(taps).map(|(sample, tap)| sample * tap).sum();
    single(total)
}

fn sinc(x: f64) -> f64 {
    if x.abs() < 1e-9 { 1.0 } else { (PI * x).sin() / (PI * x) }
}

fn sinc_slope(x: f64) -> f64 {
    if x.abs() < 1e-6 { 0.0 } else { ((PI * x).cos() - sinc(x)) / x }
}

/// 1 in the middle, 0 at ±1 and beyond.
fn blackman_harris(x: f64) -> f64 {
    if x.abs() >= 1.0 {
        return 0.0;
    }
    let turn = PI * (x + 1.0);
    0.358_75 - 0.488_29 * turn.cos() + 0.141_28 * (2.0 * turn).cos() - 0.011_68 * (3.0 * turn).cos()
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

fn index(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn place(index: u64) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}

fn signed(index: u64) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}

/// Exact up to 2^53, far beyond any recording.
#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "numbers of frames are below 2^53")]
pub(super) fn float(number: u64) -> f64 {
    number as f64
}

fn from_signed(number: i64) -> f64 {
    float(number.unsigned_abs()).copysign(if number < 0 { -1.0 } else { 1.0 })
}

#[expect(clippy::as_conversions, clippy::cast_possible_truncation, reason = "places in a recording fit")]
pub(super) fn ceiling(number: f64) -> i64 {
    number.ceil() as i64
}

#[expect(clippy::as_conversions, clippy::cast_possible_truncation, reason = "samples need no more than 24 bits")]
fn single(sample: f64) -> f32 {
    sample as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(hertz: f64, rate: u32, frames: u32) -> Vec<i16> {
        (0..frames)
            .flat_map(|frame| {
                let sample = 20_000.0 * (2.0 * PI * hertz * f64::from(frame) / f64::from(rate)).sin();
                [i16::try_from(ceiling(sample - 0.5)).unwrap(), 0]
            })
            .collect()
    }

    #[test]
    fn a_tone_comes_out_as_it_went_in_at_any_rate() {
        for rate in [44_100, 48_000, 24_000, 16_000] {
            let out = at_common_rate(&sine(3_000.0, rate, rate), 0, SampleRate::new(rate).unwrap());
            assert!(out.len().abs_diff(24_000) <= 1);
            let expected = |at: f64| 20_000.0 / 32_768.0 * (2.0 * PI * 3_000.0 * at / f64::from(RATE)).sin();
            let worst = (100_u32..20_000)
                .map(|at| (f64::from(out[place(u64::from(at))]) - expected(f64::from(at))).abs())
                .fold(0.0, f64::max);
            assert!(worst < 1e-3, "{rate}: {worst}");
            let (value, slope) = Between::new(5_000.3).read(&out, 1).unwrap().next().unwrap();
            assert!((value - expected(5_000.3)).abs() < 1e-3);
            let difference = (expected(5_000.301) - expected(5_000.299)) / 0.002;
            assert!((slope - difference).abs() < 1e-2, "{slope} {difference}");
        }
    }

    #[test]
    fn what_could_not_be_represented_is_gone() {
        let out = at_common_rate(&sine(17_000.0, 48_000, 48_000), 0, SampleRate::HZ_48000);
        assert!(out.iter().skip(100).take(20_000).all(|sample| sample.abs() < 2e-3));
    }
}
