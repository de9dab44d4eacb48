//! How far it is and how loud, on a terminal.

use std::collections::VecDeque;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use soundpost_core::{Format, SampleRate};
use soundpost_dsp::convert::decode;

/// How often it is drawn.
const DRAW: Duration = Duration::from_millis(100);
/// Blocks whose level is kept until they are heard: more than any server keeps ahead.
const KEPT: usize = 4_096;
/// The least that the meter shows, in dB.
const FLOOR: f32 = -60.0;

/// A bar with the time and the level. Nothing at all where standard output is no terminal.
pub(super) struct Bar {
    bar: Option<ProgressBar>,
    format: Format,
    /// Blocks that are under way: the frame at which each ends, and its peak.
    peaks: VecDeque<(u64, f32)>,
    /// The level that is shown: rises at once, falls slowly.
    level: f32,
    drawn: Instant,
    samples: Vec<f32>,
    length: Option<u64>,
}

impl Bar {
    /// For sound in this format, of so many frames where that is known.
    pub(super) fn new(format: Format, length: Option<u64>) -> Self {
        let bar = std::io::stdout().is_terminal().then(|| {
            let template = if length.is_some() { "  {wide_bar} {msg}" } else { "  {spinner} {msg}" };
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::with_draw_target(length, ProgressDrawTarget::stdout()).with_style(style)
        });
        let (peaks, samples, drawn) = (VecDeque::new(), Vec::new(), Instant::now());
        Self { bar, format, peaks, level: 0.0, drawn, samples, length }
    }

    /// Notes the level of sound that ends at frame `end`.
    pub(super) fn note(&mut self, sound: &[u8], end: u64) {
        if self.bar.is_none() || sound.is_empty() {
            return;
        }
        self.samples.resize(sound.len() / self.format.sample.bytes(), 0.0);
        decode(self.format.sample, sound, &mut self.samples);
        let peak = self.samples.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
        if self.peaks.len() == KEPT {
            self.peaks.pop_front();
        }
        self.peaks.push_back((end, peak));
    }

    /// Shows that it is at this frame.
    pub(super) fn show(&mut self, frames: u64) {
        let Some(bar) = &self.bar else { return };
        if self.drawn.elapsed() < DRAW {
            return;
        }
        self.drawn = Instant::now();
        self.level *= 0.7;
        while let Some(&(end, peak)) = self.peaks.front()
            && end <= frames
        {
            self.level = self.level.max(peak);
            self.peaks.pop_front();
        }
        bar.set_position(frames);
        let of = self.length.map(|length| format!(" / {}", time(self.format.rate, length))).unwrap_or_default();
        bar.set_message(format!("{}{of}  {}", time(self.format.rate, frames), meter(self.level)));
        bar.tick();
    }

    /// Takes it off the terminal.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Minutes and seconds, with tenths.
fn time(rate: SampleRate, frames: u64) -> String {
    let tenths = rate.duration_of(frames).as_millis() / 100;
    format!("{}:{:02}.{}", tenths / 600, tenths / 10 % 60, tenths % 10)
}

/// A peak as a bar of ten parts of 6 dB each, and a number.
fn meter(peak: f32) -> String {
    let decibel = 20.0 * peak.max(1e-9).log10();
    let parts = (1..=10_u8).filter(|part| decibel > FLOOR + 6.0 * (f32::from(*part) - 1.0)).count();
    let number = if decibel <= FLOOR { "  -inf dB".to_owned() } else { format!("{decibel:6.1} dB") };
    format!("{}{} {number}", "#".repeat(parts), ".".repeat(10 - parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_meter_has_six_decibels_a_part() {
        assert_eq!(meter(0.0), "..........   -inf dB");
        assert_eq!(meter(1.0), "##########    0.0 dB");
        assert_eq!(meter(0.1), "#######...  -20.0 dB");
        assert_eq!(meter(0.0009), "..........   -inf dB");
    }

    #[test]
    fn times_are_minutes_and_seconds() {
        assert_eq!(time(SampleRate::HZ_48000, 48_000 * 61 + 24_000), "1:01.5");
        assert_eq!(time(SampleRate::HZ_44100, 0), "0:00.0");
    }
}
