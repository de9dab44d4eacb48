//! Windows of what was heard, each found again in what was played: for chains that resample, decode or mix.

use std::time::Duration;

use super::resample::{Between, RATE, at_common_rate, ceiling, float};
use super::{NotFound, Pcm};

/// One verdict every 20 ms, on 40 ms.
const HOP: usize = 480;
const WINDOW: usize = 2 * HOP;

/// The middle of a window, on which noise is measured: short, so that a drifting clock does not count as noise.
const MIDDLE: usize = HOP / 2;

/// How far from where it is expected the next window is looked for before everything is searched.
const NEAR: usize = 8;

/// A smaller correlation than this is no match.
const MATCH: f64 = 0.5;

/// Good enough to look no further.
const GOOD: f64 = 0.8;

/// Below -80 dBFS is silence.
const SILENCE: f64 = 1e-4;

/// A step of the alignment beyond this is a jump; below it is the clock: 0.2 ms.
const JUMP: f64 = 4.8;

/// How often everything may be searched: noise that was never played must not take hours.
const SEARCHES: usize = 400;

/// A place where what was heard does not go on where it was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Jump {
    /// Time since the start of what was heard.
    pub at: Duration,
    /// How much of the played signal was skipped (positive) or repeated or put in (negative), in milliseconds.
    pub skipped_ms: f64,
}

/// The verdict on a chain that may change samples, yet not what is heard.
#[derive(Clone, Debug, PartialEq)]
pub struct Tolerant {
    /// When the first match was heard, less when it was played, in milliseconds.
    pub begins_ms: f64,
    /// How much matched.
    pub matched: Duration,
    /// What was heard between the first and the last match and was not played. Includes [`Tolerant::silence`].
    pub unmatched: Duration,
    /// Silence between the first and the last match that was not played.
    pub silence: Duration,
    /// Jumps of 0.2 ms or more.
    pub jumps: Vec<Jump>,
    /// How much faster what was heard passes through the played signal than its rate says, in parts per million.
    /// None where less than a second matched.
    pub drift_ppm: Option<f64>,
    /// Median of the windows' signal-to-noise ratio below 8 kHz, the gain left free. Our own error is at -50 dB.
    pub snr_db: f64,
    /// Median gain.
    pub gain_db: f64,
    /// Whether left was heard as left and right as right.
    pub channels_right: bool,
}

impl Tolerant {
    /// Milliseconds of the played signal that were skipped.
    #[must_use]
    pub fn lost_ms(&self) -> f64 {
        self.jumps.iter().map(|jump| jump.skipped_ms.max(0.0)).sum()
    }

    /// Milliseconds that were put in or repeated.
    #[must_use]
    pub fn put_in_ms(&self) -> f64 {
        self.jumps.iter().map(|jump| (-jump.skipped_ms).max(0.0)).sum()
    }

    /// Whether nothing was lost, put in or unmatched, and the channels are right.
    #[must_use]
    pub fn is_continuous(&self) -> bool {
        self.jumps.is_empty() && self.unmatched.is_zero() && self.channels_right
    }
}

/// Compares two signals of any rate.
///
/// # Errors
/// [`NotFound`] where no window of what was heard occurs in what was played.
pub fn tolerant(played: Pcm<'_>, heard: Pcm<'_>) -> Result<Tolerant, NotFound> {
    let sources = [0, 1].map(|channel| Source::new(at_common_rate(played.samples, channel, played.rate)));
    let ears = [0, 1].map(|channel| at_common_rate(heard.samples, channel, heard.rate));
    let [left, right] = &ears;
    let ear = if power(left) >= power(right) { left } else { right };
    let source = likeliest(&sources, ear)?;
    let windows = follow(source, ear);
    verdict(&windows, &sources, &ears).ok_or(NotFound::Other)
}

/// The played channel in which the first loud windows are found best.
fn likeliest<'a>(sources: &'a [Source; 2], ear: &[f32]) -> Result<&'a Source, NotFound> {
    let loud: Vec<&[f32]> = ear.chunks_exact(WINDOW).filter(|window| rms(window) >= SILENCE).collect();
    if loud.is_empty() {
        return Err(NotFound::Silence);
    }
    let probes: Vec<&[f32]> = loud.iter().step_by((loud.len() / 5).max(1)).copied().collect();
    let [left, right] = sources;
    let score = |source: &Source| -> f64 {
        probes.iter().filter_map(|probe| source.search(probe)).map(|found| found.correlation).sum()
    };
    Ok(if score(left) >= score(right) { left } else { right })
}

/// One window of what was heard.
#[derive(Clone, Copy, Debug)]
struct Window {
    /// Where it begins.
    heard: usize,
    silent: bool,
    found: Option<Found>,
}

/// Where a window lies in the played signal.
#[derive(Clone, Copy, Debug)]
struct Found {
    at: f64,
    correlation: f64,
    fit: Option<Fit>,
}

#[derive(Clone, Copy, Debug)]
struct Fit {
    /// Ratio of powers.
    snr: f64,
    gain: f64,
}

fn follow(source: &Source, ear: &[f32]) -> Vec<Window> {
    let mut windows = Vec::new();
    let (mut expected, mut searches) = (None::<f64>, 0);
    for heard in (0..ear.len().saturating_sub(WINDOW)).step_by(HOP) {
        let Some(window) = ear.get(heard..heard + WINDOW) else { break };
        let silent = rms(window) < SILENCE;
        let mut found = None;
        if !silent {
            found = expected.and_then(|at| source.near(window, at)).filter(|found| found.correlation >= GOOD);
            if found.is_none() && searches < SEARCHES {
                searches += 1;
                let nearby = expected.and_then(|at| source.near(window, at));
                let better = |one: Found, other: Found| if one.correlation >= other.correlation { one } else { other };
                found = match (nearby, source.search(window)) {
                    (Some(nearby), Some(anywhere)) => Some(better(nearby, anywhere)),
                    (nearby, anywhere) => nearby.or(anywhere),
                };
            }
            found = found.filter(|found| found.correlation >= MATCH).map(|found| source.fitted(window, found));
        }
        expected = found.map(|found| found.at).or(expected).map(|at| at + float_of(HOP));
        windows.push(Window { heard, silent, found });
    }
    windows
}

fn verdict(windows: &[Window], sources: &[Source; 2], ears: &[Vec<f32>; 2]) -> Option<Tolerant> {
    let first = windows.iter().position(|window| window.found.is_some())?;
    let last = windows.iter().rposition(|window| window.found.is_some())?;
    let inside = windows.get(first..=last)?;
    let found: Vec<(usize, Found)> =
        inside.iter().filter_map(|window| window.found.map(|found| (window.heard, found))).collect();
    let (steps, jumps) = steps(&found);
    let fits: Vec<Fit> = found.iter().filter_map(|(_, found)| found.fit).collect();
    let begins = found.iter().find(|(_, found)| found.fit.is_some()).or(found.first())?;
    Some(Tolerant {
        begins_ms: millis(float_of(begins.0) - begins.1.at),
        matched: hops(found.len()),
        unmatched: hops(inside.len() - found.len()),
        silence: hops(
            inside.iter().filter(|window| window.silent && !was_played_silent(window, &found, sources)).count(),
        ),
        jumps,
        drift_ppm: slope(&steps).map(|slope| slope * 1e6),
        snr_db: 10.0 * median(fits.iter().map(|fit| fit.snr))?.max(1e-9).log10(),
        gain_db: 20.0 * median(fits.iter().map(|fit| fit.gain.abs()))?.max(1e-9).log10(),
        channels_right: channels_right(sources, ears, &found),
    })
}

/// Whether the played signal, too, is silent there, going by the nearest match before.
fn was_played_silent(window: &Window, found: &[(usize, Found)], sources: &[Source; 2]) -> bool {
    let Some((heard, before)) = found.iter().rev().find(|(heard, _)| *heard < window.heard) else { return false };
    let at = before.at + float_of(window.heard - heard);
    let Ok(at) = usize::try_from(ceiling(at)) else { return false };
    sources.iter().all(|source| source.signal.get(at..at + WINDOW).is_none_or(|played| rms(played) < SILENCE))
}

/// The alignment with all jumps taken out, window by window; and the jumps.
fn steps(found: &[(usize, Found)]) -> (Vec<(f64, f64)>, Vec<Jump>) {
    let (mut steps, mut jumps, mut sum) = (Vec::new(), Vec::new(), 0.0);
    let mut before: Option<(usize, Found)> = None;
    for &(heard, here) in found {
        if let Some((heard_before, there)) = before {
            let step = (here.at - there.at) - float_of(heard - heard_before);
            if step.abs() >= JUMP {
                jumps.push(Jump { at: duration(heard), skipped_ms: millis(step) });
            } else {
                sum += step;
            }
        }
        steps.push((float_of(heard), sum));
        before = Some((heard, here));
    }
    (steps, jumps)
}

/// Slope of the least-squares line; none for less than a second.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    if points.len() < 50 {
        return None;
    }
    let number = float_of(points.len());
    let (mean_x, mean_y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / number, y + point.1 / number));
    let (above, below) = points.iter().fold((0.0, 0.0), |(above, below), (x, y)| {
        (above + (x - mean_x) * (y - mean_y), below + (x - mean_x) * (x - mean_x))
    });
    Some(above / below)
}

/// Each ear's channel resembles its own source most, over windows from all of the signal.
fn channels_right(sources: &[Source; 2], ears: &[Vec<f32>; 2], found: &[(usize, Found)]) -> bool {
    let similarity = |source: &Source, ear: &[f32]| -> f64 {
        let windows = found.iter().step_by((found.len() / 25).max(1)).filter_map(|(heard, found)| {
            let played = usize::try_from(ceiling(found.at - 0.5)).ok()?;
            let played = source.signal.get(played..played + WINDOW)?;
            Some(correlation(played, ear.get(*heard..heard + WINDOW)?))
        });
        let (sum, number) = windows.fold((0.0, 0_u32), |(sum, number), score| (sum + score, number + 1));
        (sum / f64::from(number.max(1))).abs()
    };
    let [left, right] = sources;
    let mono = left.signal == right.signal;
    let is_own = |own: &Source, other: &Source, ear: &[f32]| {
        let score = similarity(own, ear);
        score > 0.3 && (mono || score > similarity(other, ear))
    };
    let [left_ear, right_ear] = ears;
    is_own(left, right, left_ear) && is_own(right, left, right_ear)
}

/// A played channel, and the sign of every sample for quick searches.
struct Source {
    signal: Vec<f32>,
    signs: Vec<u64>,
}

impl Source {
    fn new(signal: Vec<f32>) -> Self {
        let signs = signs(&signal);
        Self { signal, signs }
    }

    /// Anywhere: by signs alone first, which is a hundred times faster, then around the best place.
    fn search(&self, window: &[f32]) -> Option<Found> {
        let wanted = signs(window);
        let last = self.signal.len().checked_sub(window.len())?;
        let best = (0..=last).max_by_key(|&at| self.agreeing_signs(&wanted, at).abs_diff(WINDOW_BITS / 2))?;
        self.near(window, float_of(best))
    }

    fn agreeing_signs(&self, wanted: &[u64], at: usize) -> u32 {
        let (word, shift) = (at / 64, at % 64);
        let Some(words) = self.signs.get(word..=word + wanted.len()) else { return WINDOW_BITS / 2 };
        let mut different = 0;
        for (pair, wanted) in words.windows(2).zip(wanted) {
            if let [low, high] = pair {
                let here = if shift == 0 { *low } else { (low >> shift) | (high << (64 - shift)) };
                different += (here ^ wanted).count_ones();
            }
        }
        WINDOW_BITS.saturating_sub(different)
    }

    /// Within [`NEAR`] samples, then between samples.
    fn near(&self, window: &[f32], at: f64) -> Option<Found> {
        let centre = usize::try_from(ceiling(at - 0.5)).ok()?;
        let from = centre.saturating_sub(NEAR);
        let similarity = |at: usize| self.signal.get(at..at + window.len()).map(|here| correlation(here, window));
        let scores: Vec<f64> = (from..=centre + NEAR).map_while(similarity).collect();
        let (best, score) =
            scores.iter().copied().enumerate().max_by(|one, other| one.1.abs().total_cmp(&other.1.abs()))?;
        let mut at = float_of(from + best);
        let neighbour = |index: Option<usize>| index.and_then(|index| scores.get(index)).copied();
        if let (Some(before), Some(after)) = (neighbour(best.checked_sub(1)), neighbour(Some(best + 1))) {
            let bend = before - 2.0 * score + after;
            if bend.abs() > 1e-12 {
                at += (0.5 * (before - after) / bend).clamp(-0.5, 0.5);
            }
        }
        Some(Found { at, correlation: score.abs(), fit: None })
    }

    /// With the delay that leaves the least of the window over, and how little that is.
    fn fitted(&self, window: &[f32], mut found: Found) -> Found {
        for _ in 0..2 {
            let Some(sums) = self.sums(window, found.at) else { return found };
            let gain = sums.cross / sums.energy.max(1e-12);
            // Newton: the error that is left, projected on what a little more delay would change.
            let left_over = sums.window_slope - gain * sums.energy_slope;
            found.at += (left_over / (gain * sums.slope_energy).max(1e-12)).clamp(-0.5, 0.5);
        }
        if let Some(sums) = self.sums(window, found.at) {
            let gain = sums.cross / sums.energy.max(1e-12);
            let left_over = sums.window_energy - gain * sums.cross;
            found.fit = Some(Fit { snr: gain * sums.cross / left_over.max(1e-12), gain });
        }
        found
    }

    fn sums(&self, window: &[f32], at: f64) -> Option<Sums> {
        let mut sums = Sums::default();
        let skipped = (window.len() - MIDDLE) / 2;
        let played = Between::new(at + float_of(skipped));
        for (heard, (value, slope)) in window.iter().skip(skipped).zip(played.read(&self.signal, MIDDLE)?) {
            let heard = f64::from(*heard);
            sums.cross += heard * value;
            sums.energy += value * value;
            sums.window_energy += heard * heard;
            sums.window_slope += heard * slope;
            sums.energy_slope += value * slope;
            sums.slope_energy += slope * slope;
        }
        Some(sums)
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    cross: f64,
    energy: f64,
    window_energy: f64,
    window_slope: f64,
    energy_slope: f64,
    slope_energy: f64,
}

/// Signs in a window; it fills its words, so that no bit is left over.
const WINDOW_BITS: u32 = 960;

fn signs(signal: &[f32]) -> Vec<u64> {
    signal
        .chunks(64)
        .map(|chunk| chunk.iter().rev().fold(0, |word, sample| (word << 1) | u64::from(*sample < 0.0)))
        .collect()
}

fn correlation(one: &[f32], other: &[f32]) -> f64 {
    let (mut cross, mut energy_of_one, mut energy_of_other) = (0.0, 0.0, 0.0);
    for (a, b) in one.iter().zip(other) {
        let (a, b) = (f64::from(*a), f64::from(*b));
        cross += a * b;
        energy_of_one += a * a;
        energy_of_other += b * b;
    }
    cross / (energy_of_one * energy_of_other).sqrt().max(1e-12)
}

fn power(signal: &[f32]) -> f64 {
    signal.iter().map(|sample| f64::from(*sample) * f64::from(*sample)).sum()
}

fn rms(signal: &[f32]) -> f64 {
    (power(signal) / float_of(signal.len()).max(1.0)).sqrt()
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn float_of(length: usize) -> f64 {
    float(u64::try_from(length).unwrap_or(u64::MAX))
}

fn millis(samples: f64) -> f64 {
    samples * 1_000.0 / f64::from(RATE)
}

fn duration(samples: usize) -> Duration {
    Duration::from_secs_f64(float_of(samples) / f64::from(RATE))
}

fn hops(number: usize) -> Duration {
    duration(number * HOP)
}

#[cfg(test)]
mod tests {
    use soundpost_core::SampleRate;

    use super::super::noise;
    use super::*;

    const FRAMES: usize = 3 * 48_000;

    fn at_48k(samples: &[i16]) -> Pcm<'_> {
        Pcm { samples, rate: SampleRate::HZ_48000 }
    }

    fn judge(heard: &[i16]) -> Result<Tolerant, NotFound> {
        tolerant(at_48k(&noise(1, FRAMES)), at_48k(heard))
    }

    /// Heard through a gain, after `silence` frames of silence.
    fn heard(silence: usize, gain: f64) -> Vec<i16> {
        let mut samples = vec![0; silence * 2];
        samples.extend(
            noise(1, FRAMES).iter().map(|sample| i16::try_from(ceiling((f64::from(*sample) * gain) - 0.5)).unwrap()),
        );
        samples
    }

    #[test]
    fn a_softer_and_later_signal_is_continuous() {
        let verdict = judge(&heard(4_801, 0.5)).unwrap();
        assert!(verdict.is_continuous(), "{verdict:?}");
        assert!((verdict.begins_ms - 100.02).abs() < 0.02, "{}", verdict.begins_ms);
        assert!((verdict.gain_db + 6.02).abs() < 0.05 && verdict.snr_db > 50.0, "{verdict:?}");
        assert!(verdict.drift_ppm.unwrap().abs() < 2.0, "{verdict:?}");
    }

    #[test]
    fn lost_and_put_in_frames_are_jumps() {
        let mut samples = heard(0, 1.0);
        samples.drain(2 * 60_000..2 * 60_048);
        let verdict = judge(&samples).unwrap();
        assert_eq!(verdict.jumps.len(), 1, "{verdict:?}");
        assert!((verdict.lost_ms() - 1.0).abs() < 0.03 && verdict.put_in_ms() == 0.0, "{verdict:?}");
        let mut samples = heard(0, 1.0);
        let block = samples[2 * 59_520..2 * 60_000].to_vec();
        samples.splice(2 * 60_000..2 * 60_000, block);
        let verdict = judge(&samples).unwrap();
        assert!((verdict.put_in_ms() - 10.0).abs() < 0.03 && verdict.lost_ms() == 0.0, "{verdict:?}");
    }

    #[test]
    fn a_dropout_is_silence() {
        let mut samples = heard(0, 1.0);
        samples[2 * 60_000..2 * 69_600].fill(0);
        let verdict = judge(&samples).unwrap();
        assert!((140..=200).contains(&verdict.silence.as_millis()), "{verdict:?}");
        assert!(verdict.jumps.is_empty() && !verdict.is_continuous());
    }

    #[test]
    fn a_faster_clock_is_drift() {
        // What a device does whose clock runs 100 ppm slow: it takes 10,000 frames where 10,001 were played.
        let played = noise(1, FRAMES);
        let channels = [0, 1].map(|channel| -> Vec<f32> {
            played.iter().skip(channel).step_by(2).map(|sample| f32::from(*sample)).collect()
        });
        let mut samples = Vec::new();
        for frame in 100_u32..140_000 {
            for channel in &channels {
                let at = Between::new(f64::from(frame) * 1.0001);
                let sample = at.read(channel, 1).unwrap().next().unwrap().0;
                samples.push(i16::try_from(ceiling(sample - 0.5)).unwrap());
            }
        }
        let verdict = judge(&samples).unwrap();
        assert!((verdict.drift_ppm.unwrap() - 100.0).abs() < 3.0, "{verdict:?}");
        assert!(verdict.is_continuous() && verdict.snr_db > 38.0, "{verdict:?}");
    }

    #[test]
    fn added_noise_is_measured() {
        let mut samples = heard(0, 1.0);
        for (sample, noise) in samples.iter_mut().zip(noise(99, FRAMES)) {
            *sample += noise / 10;
        }
        let verdict = judge(&samples).unwrap();
        assert!((verdict.snr_db - 20.0).abs() < 0.5, "{verdict:?}");
    }

    #[test]
    fn exchanged_channels_are_wrong() {
        let swapped: Vec<i16> = heard(0, 1.0).as_chunks::<2>().0.iter().flat_map(|&[l, r]| [r, l]).collect();
        let verdict = judge(&swapped).unwrap();
        assert!(!verdict.channels_right && verdict.jumps.is_empty(), "{verdict:?}");
        let mixed: Vec<i16> = heard(0, 1.0).as_chunks::<2>().0.iter().flat_map(|&[l, _]| [l, l]).collect();
        assert!(!judge(&mixed).unwrap().channels_right);
    }

    #[test]
    fn another_signal_and_silence_are_not_found() {
        assert_eq!(judge(&noise(2, 48_000)), Err(NotFound::Other));
        assert_eq!(judge(&[0; 96_000]), Err(NotFound::Silence));
        assert_eq!(judge(&[]), Err(NotFound::Silence));
    }

    #[test]
    fn the_window_fills_its_words() {
        assert_eq!(u32::try_from(WINDOW).unwrap(), WINDOW_BITS);
        assert_eq!(WINDOW % 64, 0);
    }
}
