//! The piece that ships with Soundpost: plucked strings (Karplus and Strong, 1983) over six chords, in a small room.

use std::f64::consts::TAU;

use super::wav::{Samples, Sound};

/// One plucked string: when (beats), which key (MIDI number), how hard, and where it stands (-1 left, 1 right).
#[derive(Clone, Copy, Debug)]
struct Pluck {
    beat: f64,
    key: u8,
    force: f64,
    place: f64,
}

const BEATS_PER_SECOND: f64 = 2.0;
const SECONDS: f64 = 14.0;
const FADE_IN: f64 = 0.02;
const FADE_OUT: f64 = 2.5;

/// Bass note and upper notes of each chord, four beats long: C, A minor 7, F, D minor 7, G with a fourth, C.
const CHORDS: [(u8, [u8; 5]); 6] = [
    (36, [55, 60, 64, 67, 74]),
    (45, [52, 60, 64, 67, 72]),
    (41, [53, 57, 60, 67, 72]),
    (38, [53, 57, 60, 65, 69]),
    (43, [55, 60, 62, 67, 71]),
    (36, [55, 60, 64, 67, 76]),
];

/// Which of the upper notes each half beat plucks.
const FIGURE: [usize; 8] = [0, 2, 1, 3, 4, 3, 2, 1];

/// The whole piece.
pub(crate) fn welcome(rate: u32) -> Sound {
    let rate_f = f64::from(rate);
    let frames = whole(SECONDS * rate_f);
    let mut left = vec![0.0; frames];
    let mut right = vec![0.0; frames];
    for (number, pluck) in plucks().iter().enumerate() {
        let start = whole(pluck.beat / BEATS_PER_SECOND * rate_f);
        let seed = u32::try_from(number).unwrap_or(0).wrapping_mul(0x9E37_79B9) | 1;
        let angle = (pluck.place + 1.0) * TAU / 8.0;
        let string = string(*pluck, rate_f, frames.saturating_sub(start), seed);
        for (frame, sound) in string.into_iter().enumerate() {
            add(&mut left, start + frame, sound * angle.cos());
            add(&mut right, start + frame, sound * angle.sin());
        }
    }
    room(&mut left, rate_f, [0.0297, 0.0371, 0.0411, 0.0437]);
    room(&mut right, rate_f, [0.0311, 0.0359, 0.0403, 0.0449]);
    fade(&mut left, rate_f);
    fade(&mut right, rate_f);
    let loudest = left.iter().chain(&right).fold(0.0_f64, |loudest, sample| loudest.max(sample.abs()));
    let samples = left.iter().zip(&right).flat_map(|(l, r)| [l, r]).map(|sample| quantised(sample * 0.7 / loudest));
    Sound { rate, channels: 2, samples: Samples::S16(samples.collect()) }
}

fn plucks() -> Vec<Pluck> {
    let mut plucks = Vec::new();
    for (number, (bass, upper)) in (0_u8..).zip(CHORDS) {
        let first = f64::from(number) * 4.0;
        plucks.push(Pluck { beat: first, key: bass, force: 0.9, place: 0.0 });
        if usize::from(number) + 1 == CHORDS.len() {
            for (step, key) in (0_u8..).zip(upper) {
                let step = f64::from(step);
                plucks.push(Pluck { beat: first + step * 0.12, key, force: 0.7, place: step * 0.3 - 0.6 });
            }
            continue;
        }
        for (step, note) in (0_u8..).zip(FIGURE) {
            let force = if step % 4 == 0 { 0.75 } else { 0.55 };
            let place = f64::from(step % 5) * 0.3 - 0.6;
            let key = upper.get(note).copied().unwrap_or(bass);
            plucks.push(Pluck { beat: first + f64::from(step) * 0.5, key, force, place });
        }
    }
    plucks
}

/// A burst of noise that runs round a delay line as long as one period, losing its treble on the way.
fn string(pluck: Pluck, rate: f64, frames: usize, seed: u32) -> Vec<f64> {
    let hertz = 440.0 * ((f64::from(pluck.key) - 69.0) / 12.0).exp2();
    // The averaging of two neighbours delays by half a frame; the rest of the period is a whole part and a fraction.
    let period = rate / hertz - 0.5;
    let whole_part = period.floor();
    let fraction = period - whole_part;
    let allpass = (1.0 - fraction) / (1.0 + fraction);
    let seconds_to_silence = 4.5 * (220.0 / hertz).sqrt().min(1.6);
    let loss = 0.001_f64.powf(1.0 / (hertz * seconds_to_silence));

    let mut line = burst(whole(whole_part), pluck.force, seed);
    let (mut at, mut before, mut passed_in, mut passed_out) = (0, 0.0, 0.0, 0.0);
    let mut sound = Vec::with_capacity(frames);
    for _ in 0..frames {
        let Some(cell) = line.get_mut(at) else { break };
        let now = *cell;
        sound.push(now * pluck.force);
        let averaged = loss * 0.5 * (now + before);
        before = now;
        passed_out = allpass * (averaged - passed_out) + passed_in;
        passed_in = averaged;
        *cell = passed_out;
        at = if at + 1 < line.len() { at + 1 } else { 0 };
    }
    sound
}

/// Seeded noise without a mean, the softer the less bright.
fn burst(length: usize, force: f64, seed: u32) -> Vec<f64> {
    let mut state = seed;
    let mut smooth = 0.0;
    let mut burst: Vec<f64> = (0..length.max(2))
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            let white = f64::from(state) / f64::from(u32::MAX) * 2.0 - 1.0;
            smooth += (0.25 + 0.5 * force) * (white - smooth);
            smooth
        })
        .collect();
    let mean = burst.iter().sum::<f64>() / f64::from(u32::try_from(burst.len()).unwrap_or(u32::MAX));
    for sample in &mut burst {
        *sample -= mean;
    }
    burst
}

/// Four parallel combs: the echoes of a small room, a fifth of the sound.
fn room(channel: &mut [f64], rate: f64, delays: [f64; 4]) {
    let dry = channel.to_vec();
    for delay in delays {
        let length = whole(delay * rate).max(1);
        let mut line = vec![0.0; length];
        let mut damped = 0.0;
        for (frame, (wet, dry)) in channel.iter_mut().zip(&dry).enumerate() {
            let Some(cell) = line.get_mut(frame % length) else { break };
            damped += 0.5 * (*cell - damped);
            *wet += 0.1 * *cell;
            *cell = dry + 0.78 * damped;
        }
    }
}

fn fade(channel: &mut [f64], rate: f64) {
    for (frame, sample) in (0_u32..).zip(channel) {
        let at = f64::from(frame) / rate;
        let rise = (at / FADE_IN).min(1.0);
        let fall = ((SECONDS - at) / FADE_OUT).clamp(0.0, 1.0);
        *sample *= rise * fall * fall;
    }
}

fn add(channel: &mut [f64], frame: usize, sound: f64) {
    if let Some(sample) = channel.get_mut(frame) {
        *sample += sound;
    }
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float has no TryInto; numbers of frames here are positive and small"
)]
fn whole(number: f64) -> usize {
    number as usize
}

#[expect(clippy::as_conversions, clippy::cast_possible_truncation, reason = "the value is held within i16 first")]
fn quantised(sample: f64) -> i16 {
    (sample * 32_767.0).round().clamp(-32_768.0, 32_767.0) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_sounds_at_its_pitch() {
        let rate = 48_000.0;
        let sound = string(Pluck { beat: 0.0, key: 57, force: 1.0, place: 0.0 }, rate, 24_000, 7);
        // Energy at 220 Hz against a quarter tone above and below, once the burst has settled.
        let energy = |hertz: f64| -> f64 {
            let (mut re, mut im) = (0.0, 0.0);
            for (frame, sample) in (0_u32..).zip(sound.iter().skip(4_800)) {
                let phase = TAU * hertz * f64::from(frame) / rate;
                re += sample * phase.cos();
                im += sample * phase.sin();
            }
            re.hypot(im)
        };
        assert!(energy(220.0) > 4.0 * energy(226.4) && energy(220.0) > 4.0 * energy(213.7));
    }

    #[test]
    fn the_piece_starts_and_ends_in_silence_and_does_not_clip() {
        let Samples::S16(samples) = welcome(48_000).samples else { panic!("16 bits") };
        assert_eq!(samples.len(), 2 * 14 * 48_000);
        assert!(samples[0].abs() < 8 && samples[samples.len() - 1].abs() < 8);
        let loudest = samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
        assert!((20_000..24_000).contains(&loudest), "{loudest}");
    }
}
