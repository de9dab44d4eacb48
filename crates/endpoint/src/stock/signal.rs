//! Signals that are worked out from the frame's index, the same on every run.

use std::f64::consts::TAU;

use soundpost_core::{Format, Gain, SampleFormat, SampleRate};

/// A source of sound without state: a sample is worked out from its frame's index and its channel, so that a frame
/// that is asked for again is the same, and a test can say what must arrive. Called on the real-time thread: it
/// neither allocates nor blocks.
pub trait Signal: Send {
    /// The sample of a channel (0 is the first) of a frame, as 32-bit full scale. Formats of fewer bits take it
    /// rounded.
    fn sample(&self, frame: u64, channel: u8, format: Format) -> i32;

    /// Whether all of it is silence, so that its buffers can be flagged and are never read (T10).
    fn is_silent(&self) -> bool {
        false
    }
}

/// No sound.
#[derive(Clone, Copy, Debug)]
pub struct Silence;

impl Signal for Silence {
    fn sample(&self, _frame: u64, _channel: u8, _format: Format) -> i32 {
        0
    }

    fn is_silent(&self) -> bool {
        true
    }
}

/// A sine, the same on every channel, beginning with phase 0 at frame 0.
#[derive(Clone, Copy, Debug)]
pub struct Tone {
    millihertz: u32,
    level: f64,
}

impl Tone {
    /// A sine of `millihertz` thousandths of a hertz; `level` is its amplitude, at most full scale.
    #[must_use]
    pub fn new(millihertz: u32, level: Gain) -> Self {
        Self { millihertz, level: f64::from(level.get()).min(1.0) }
    }

    fn phase(self, frame: u64, rate: SampleRate) -> f64 {
        let cycle = u128::from(rate.get()) * 1_000;
        let within = u128::from(frame) * u128::from(self.millihertz) % cycle;
        f64::from(u32::try_from(within).unwrap_or(0)) / (f64::from(rate.get()) * 1_000.0)
    }
}

impl Signal for Tone {
    fn sample(&self, frame: u64, _channel: u8, format: Format) -> i32 {
        let sample = (TAU * self.phase(frame, format.rate)).sin() * self.level * f64::from(i32::MAX);
        #[expect(clippy::as_conversions, clippy::cast_possible_truncation, reason = "within i32 by its amplitude")]
        {
            sample.round() as i32
        }
    }
}

/// Signals from which the frame that a sample belongs to can be told, to count losses to the sample.
#[derive(Clone, Copy, Debug)]
pub enum TestSignal {
    /// White noise from a seed: every frame and channel has a value of its own, drawn from its index.
    Noise {
        /// Another seed gives another noise.
        seed: u64,
    },
    /// The frame's number, 16 bits per channel (8 in u8), low-order bits in the first channel: survives every format.
    Counter,
}

impl Signal for TestSignal {
    fn sample(&self, frame: u64, channel: u8, format: Format) -> i32 {
        match (*self, format.sample) {
            (Self::Noise { seed }, _) => high_half(mix(mix(seed ^ u64::from(channel)).wrapping_add(frame))),
            (Self::Counter, SampleFormat::U8) => high_half(shifted(frame, u32::from(channel) * 8) << 56),
            (Self::Counter, _) => high_half(shifted(frame, u32::from(channel) * 16) << 48),
        }
    }
}

/// Writes the signal's frames from number `first` on into `out`, as many whole ones as there is room for. Real-time
/// thread.
pub fn fill(signal: &dyn Signal, first: u64, format: Format, out: &mut [u8]) {
    let channels = format.layout.channels().get();
    for (frame, bytes) in (first..).zip(out.chunks_exact_mut(format.frame_bytes())) {
        for (channel, bytes) in (0..channels).zip(bytes.chunks_exact_mut(format.sample.bytes())) {
            encode(signal.sample(frame, channel, format), format.sample, bytes);
        }
    }
}

fn encode(sample: i32, format: SampleFormat, out: &mut [u8]) {
    let rounded = |bits: u32| sample.saturating_add(1 << (bits - 1)) >> bits;
    match (format, out) {
        (SampleFormat::U8, [out]) => {
            let [low, ..] = rounded(24).to_le_bytes();
            *out = low ^ 0x80;
        }
        (SampleFormat::S16, out @ [_, _]) => copy_low(out, rounded(16)),
        (SampleFormat::S24, out @ [_, _, _]) | (SampleFormat::S24In32, out @ [_, _, _, _]) => {
            copy_low(out, rounded(8));
        }
        (SampleFormat::S32, out @ [_, _, _, _]) => copy_low(out, sample),
        (SampleFormat::F32, out @ [_, _, _, _]) => {
            #[expect(clippy::as_conversions, clippy::cast_possible_truncation, reason = "rounds to 24 bits")]
            let float = (f64::from(sample) / 2_147_483_648.0) as f32;
            out.copy_from_slice(&float.to_le_bytes());
        }
        // A slice of another length does not come: the caller cuts by the format's size.
        _ => {}
    }
}

fn copy_low(out: &mut [u8], value: i32) {
    for (out, byte) in out.iter_mut().zip(value.to_le_bytes()) {
        *out = byte;
    }
}

fn shifted(frame: u64, bits: u32) -> u64 {
    frame.checked_shr(bits).unwrap_or(0)
}

fn high_half(value: u64) -> i32 {
    let [_, _, _, _, a, b, c, d] = value.to_le_bytes();
    i32::from_le_bytes([a, b, c, d])
}

/// Spreads a number over 64 bits, one to one: the finisher of the `splitmix64` generator.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use soundpost_core::{ChannelCount, ChannelLayout};

    use super::*;

    fn bytes(signal: &dyn Signal, sample: SampleFormat, first: u64, frames: usize) -> Vec<u8> {
        let layout = ChannelLayout::default_for(ChannelCount::STEREO);
        let format = Format { sample, rate: SampleRate::HZ_48000, layout };
        let mut out = vec![0x55; format.frame_bytes() * frames];
        fill(signal, first, format, &mut out);
        out
    }

    #[test]
    fn the_counter_survives_every_format() {
        for frame in [0_u64, 1, 32_767, 32_768, 65_535, 65_536, 0x8000_7FFF, 0xFFFF_FFFF] {
            let low = u32::try_from(frame & 0xFFFF_FFFF).unwrap().to_le_bytes();
            assert_eq!(bytes(&TestSignal::Counter, SampleFormat::S16, frame, 1), low);
            let s24 = bytes(&TestSignal::Counter, SampleFormat::S24, frame, 1);
            assert_eq!([s24[1], s24[2], s24[4], s24[5]], low);
            let s32 = bytes(&TestSignal::Counter, SampleFormat::S32, frame, 1);
            assert_eq!([s32[2], s32[3], s32[6], s32[7]], low);
            let float = bytes(&TestSignal::Counter, SampleFormat::F32, frame, 1);
            let left = f32::from_le_bytes(float[..4].try_into().unwrap()) * 32_768.0;
            assert_eq!(left, f32::from(i16::from_le_bytes([low[0], low[1]])));
            let u8s = bytes(&TestSignal::Counter, SampleFormat::U8, frame, 1);
            assert_eq!([u8s[0] ^ 0x80, u8s[1] ^ 0x80], [low[0], low[1]]);
        }
    }

    #[test]
    fn a_full_scale_tone_neither_wraps_nor_drifts() {
        let tone = Tone::new(1_000_000, Gain::MAX);
        let second = bytes(&tone, SampleFormat::S16, 0, 48_000);
        let late = bytes(&tone, SampleFormat::S16, 48_000 * 3_600 * 24 * 365, 48_000);
        assert_eq!(second, late);
        let peak = second.chunks(2).map(|s| i16::from_le_bytes([s[0], s[1]])).max();
        assert_eq!(peak, Some(i16::MAX));
    }

    #[test]
    fn noise_depends_on_seed_frame_and_channel_alone() {
        let noise = |seed, first| bytes(&TestSignal::Noise { seed }, SampleFormat::S32, first, 100);
        assert_eq!(noise(1, 50)[..400], noise(1, 0)[400..]);
        assert_ne!(noise(1, 0), noise(2, 0));
        assert_ne!(noise(1, 0)[..4], noise(1, 0)[4..8]);
    }
}
