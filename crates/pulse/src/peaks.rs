//! Level meters: the highest value of each stretch of sound.

use crate::spec::{MAX_CHANNELS, Spec};

/// Makes what a record stream with [`peak_detect`](crate::NewStream::peak_detect) is to be given out of sound at its
/// device's rate.
///
/// Such a stream has a rate of a few frames a second (mixers ask for 25 Hz, one channel, float32), and each of its frames
/// is the highest absolute value, channel by channel, of the stretch of sound that it stands for: a click between two
/// frames is not missed, and nothing has to be filtered. The host mixes the sound to the stream's channels first, then
/// feeds it here, and hands over what comes out, in the stream's sample format, to [`Server::push`](crate::Server::push).
///
/// Real-time safe: no memory is taken, nothing blocks.
#[derive(Clone, Debug)]
pub struct Peaks {
    device_rate: u32,
    rate: u32,
    channels: usize,
    highest: [f32; 32],
    /// Of the stretch that has begun: frames passed, times the stream's rate.
    passed: u32,
}

impl Peaks {
    /// Peaks for a stream of `spec` out of sound of `device_rate` Hz. None where the stream's rate is above that: then
    /// there are no stretches, and its sound is resampled as any other's.
    #[must_use]
    pub fn new(device_rate: u32, spec: &Spec) -> Option<Self> {
        let channels = usize::from(spec.channels().min(MAX_CHANNELS));
        let fine = spec.rate() <= device_rate && device_rate <= crate::spec::MAX_RATE;
        fine.then_some(Self { device_rate, rate: spec.rate(), channels, highest: [0.0; 32], passed: 0 })
    }

    /// Takes interleaved frames of the stream's channels at the device's rate, and calls `each` with every frame of
    /// the stream that is complete: one value of at least 0 for each channel. What is left of a frame at the end of
    /// `samples` is not taken; a value that is not a number counts as 0.
    pub fn feed(&mut self, samples: &[f32], mut each: impl FnMut(&[f32])) {
        for frame in samples.chunks_exact(self.channels) {
            for (highest, sample) in self.highest.iter_mut().zip(frame) {
                *highest = highest.max(sample.abs());
            }
            self.passed += self.rate;
            if self.passed >= self.device_rate {
                self.passed -= self.device_rate;
                each(self.highest.get(..self.channels).unwrap_or_default());
                self.highest = [0.0; 32];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use pulseaudio::protocol::SampleFormat;

    use super::*;
    use crate::spec::default_map;

    fn meter(rate: u32, channels: u8, device_rate: u32) -> Option<Peaks> {
        Peaks::new(device_rate, &Spec::new(SampleFormat::Float32Le, rate, default_map(channels)).expect("a spec"))
    }

    fn fed(peaks: &mut Peaks, samples: &[f32]) -> Vec<Vec<f32>> {
        let mut out = Vec::new();
        peaks.feed(samples, |frame| out.push(frame.to_vec()));
        out
    }

    #[test]
    fn each_stretch_gives_its_highest_value() {
        let mut peaks = meter(25, 2, 100).expect("a meter");
        assert_eq!(fed(&mut peaks, &[0.0, 0.1, -0.5, 0.2, 0.25, 0.0]), Vec::<Vec<f32>>::new());
        assert_eq!(fed(&mut peaks, &[0.0, 0.0, 0.125, -1.5, f32::NAN, 0.0]), [[0.5, 0.2]]);
        assert_eq!(fed(&mut peaks, &[0.0, 0.0, 0.0, 0.0]), [[0.125, 1.5]]);
    }

    #[test]
    fn a_second_gives_as_many_frames_as_the_rate_says() {
        for (rate, device_rate) in [(25, 48_000), (25, 44_100), (7, 48_000), (44_100, 48_000), (48_000, 48_000)] {
            let mut peaks = meter(rate, 1, device_rate).expect("a meter");
            let sound = vec![0.25; usize::try_from(device_rate).expect("a length")];
            let frames: usize = sound.chunks(441).map(|part| fed(&mut peaks, part).len()).sum();
            assert_eq!(frames, usize::try_from(rate).expect("a length"), "{rate} of {device_rate}");
        }
        assert!(meter(48_000, 1, 44_100).is_none());
    }
}
