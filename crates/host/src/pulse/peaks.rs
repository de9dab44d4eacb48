//! Level meters: the highest value of each stretch in place of the sound.

use soundpost_core::{FrameCount, SampleFormat, SampleRate};
use soundpost_dsp::convert;
use soundpost_pulse::Spec;

/// Makes a stream of peaks, at the client's rate, of frames at the engine's.
#[derive(Debug)]
pub(super) struct Peaks {
    sample: SampleFormat,
    /// Channels that the client gets; the one of a mono meter shows the highest of all.
    channels: usize,
    /// The client's rate, and the engine's.
    rates: (u64, u64),
    /// Frames seen, times the client's rate, since the last peak was given out.
    phase: u64,
    highest: Vec<f32>,
    bytes: Vec<u8>,
}

impl Peaks {
    /// For a client's stream whose samples are `sample` and that has `channels` channels once it is in the engine's form.
    pub(super) fn new(spec: &Spec, sample: SampleFormat, channels: usize, rate: SampleRate) -> Self {
        let rates = (u64::from(spec.rate()), u64::from(rate.get()));
        let channels = channels.max(1);
        Self { sample, channels, rates, phase: 0, highest: vec![0.0; channels], bytes: Vec::new() }
    }

    /// Takes frames of `width` channels; answers the peaks of the stretches that have ended.
    pub(super) fn take(&mut self, samples: &[f32], width: usize) -> &[u8] {
        self.bytes.clear();
        for frame in samples.chunks_exact(width.max(1)) {
            for (k, value) in frame.iter().enumerate() {
                if let Some(highest) = self.highest.get_mut(k % self.channels) {
                    *highest = highest.max(value.abs());
                }
            }
            self.phase += self.rates.0;
            while self.phase >= self.rates.1 {
                self.phase -= self.rates.1;
                self.give_out();
            }
        }
        &self.bytes
    }

    /// The same for a level that is known already and has held for `frames` of the engine's frames.
    pub(super) fn hold(&mut self, levels: &[f32], frames: FrameCount) -> &[u8] {
        self.bytes.clear();
        self.phase += self.rates.0 * u64::from(frames.get());
        // A meter that was not asked for long gets a second at most.
        self.phase = self.phase.min(self.rates.0 * self.rates.1);
        while self.phase >= self.rates.1 {
            self.phase -= self.rates.1;
            for (k, level) in levels.iter().enumerate() {
                if let Some(highest) = self.highest.get_mut(k % self.channels) {
                    *highest = highest.max(*level);
                }
            }
            self.give_out();
        }
        &self.bytes
    }

    fn give_out(&mut self) {
        let start = self.bytes.len();
        self.bytes.resize(start + self.channels * self.sample.bytes(), 0);
        convert::encode(self.sample, &self.highest, self.bytes.get_mut(start..).unwrap_or_default());
        self.highest.fill(0.0);
    }
}

#[cfg(test)]
mod tests {
    use soundpost_pulse::{SampleFormat as Theirs, default_map};

    use super::*;

    fn values(bytes: &[u8]) -> Vec<f32> {
        bytes.chunks(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    }

    #[test]
    fn each_stretch_gives_its_highest_value() {
        let spec = Spec::new(Theirs::Float32Le, 25, default_map(1)).unwrap();
        let mut peaks = Peaks::new(&spec, SampleFormat::F32, 1, SampleRate::HZ_48000);
        let mut sound = vec![0.1_f32; 2 * 1920 * 3];
        sound[2 * 100 + 1] = -0.8;
        sound[2 * 1920] = 0.5;
        let (first, rest) = sound.split_at(2 * 1000);
        assert!(peaks.take(first, 2).is_empty());
        assert_eq!(values(peaks.take(rest, 2)), [0.8, 0.5, 0.1]);
        assert_eq!(values(peaks.hold(&[0.25, 0.75], FrameCount::new(1920 * 2))), [0.75, 0.75]);
        assert_eq!(values(peaks.hold(&[0.0], FrameCount::new(u32::MAX))).len(), 25);
    }

    #[test]
    fn a_meter_that_is_faster_than_sound_repeats_itself() {
        let spec = Spec::new(Theirs::S16Le, 96_000, default_map(2)).unwrap();
        let mut peaks = Peaks::new(&spec, SampleFormat::S16, 2, SampleRate::HZ_48000);
        assert_eq!(peaks.take(&[0.5, -0.25], 2).len(), 2 * 4);
    }
}
