//! Prints the tables of RESAMPLING.md: `cargo run --release -p soundpost-dsp --example resampler_report`.

#![allow(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_lossless,
    clippy::disallowed_types,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a report printed by hand, not part of the product"
)]

use std::time::Instant;

use soundpost_core::FrameCount;
use soundpost_dsp::resample::Resampler;

mod measure;
use measure::{alias, resampler, sine_through};

const PAIRS: [(u32, u32); 12] = [
    (44_100, 48_000),
    (48_000, 44_100),
    (48_000, 48_000),
    (48_000, 96_000),
    (96_000, 48_000),
    (192_000, 48_000),
    (44_100, 192_000),
    (8_000, 48_000),
    (48_000, 8_000),
    (16_000, 44_100),
    (44_099, 48_000),
    (192_000, 8_000),
];

fn main() {
    println!("SNR and level (dB) of a sine at a part of the lower rate; worst alias (dB) above half the output rate");
    println!("| from → to | kind | 1 kHz | 0.22 | 0.34 | 0.43 | 0.4535 | worst alias | delay | CPU, stereo |");
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for (from, to) in PAIRS {
        for trim in [0, 1_000] {
            if from == to && trim == 0 {
                continue;
            }
            row(from, to, trim);
        }
    }
}

fn row(from: u32, to: u32, trim: u32) {
    let lower = f64::from(from.min(to));
    let mut cells = String::new();
    for hertz in [1_000.0, 0.22 * lower, 0.34 * lower, 0.43 * lower, 0.4535 * lower] {
        let seen = sine_through(&mut resampler(from, to, trim), hertz);
        cells += &format!("{:.0} / {:+.3} | ", seen.snr_db, seen.level_db);
    }
    let (nyquist, top) = (f64::from(to) / 2.0, f64::from(from) / 2.0);
    let worst = (0..60)
        .map(|part| nyquist + (top - nyquist) * (f64::from(part) + 0.02) / 60.0)
        .filter(|_| top > nyquist)
        .map(|hertz| alias(&mut resampler(from, to, trim), hertz))
        .fold(f64::NEG_INFINITY, f64::max);
    let alias = if worst.is_finite() { format!("{worst:.0}") } else { "none possible".to_owned() };
    let mut r = resampler(from, to, trim);
    let delay = sine_through(&mut r, 0.02 * lower).delay_frames;
    r.reset();
    println!(
        "| {from} → {to} | {} | {cells}{alias} | {delay:.1} frames, {:.2} ms | {:.2} ms/s |",
        if trim > 0 { "trimmable" } else { "fixed" },
        delay * 1e3 / f64::from(to),
        cost(&mut r)
    );
}

/// Processor time for a second of stereo sound pulled in passes of 10 ms: the best of nine seconds.
fn cost(r: &mut Resampler) -> f64 {
    let (from, to) = (r.config().from.get(), r.config().to.get());
    let input: Vec<f32> = (0..2 * from).map(|i| (i as f32 * 0.01).sin() * 0.5).collect();
    let mut output = vec![0.0; 2 * (to / 100) as usize];
    let packet = FrameCount::new(to / 100);
    (0..9)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..100 {
                let needed = r.needed_input(packet).as_usize();
                std::hint::black_box(r.process(&input[..2 * needed], &mut output));
            }
            start.elapsed().as_secs_f64() * 1e3
        })
        .fold(f64::INFINITY, f64::min)
}
