//! Volume, mute, meter and an effect, in software, for endpoints that have no hardware for them (X1).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use soundpost_core::{ChannelCount, Format, FrameCount, Gain, Hns};

use super::samples;
use super::seqlock::Seqlock;
use crate::{EndpointError, LocalEffects, OffloadMeter, OffloadMute, OffloadVolume, VolumeCurve};

/// The most channels of a format.
const CHANNELS: usize = 8;
/// How long a mute, and switching the effect, takes.
const SWITCH: Hns = Hns::from_millis(10);

/// The two ends of an endpoint's own sound processing: the control half's and the real-time half's. Allocates.
///
/// At full volume, not muted and without the effect the stage changes no bit.
#[must_use]
pub fn sound_stage(format: Format) -> (SoundControl, SoundStage) {
    let wish = Wish::default();
    let shared = Arc::new(Shared { wish: Seqlock::new(wish.to_words()), peaks: Default::default() });
    let stage = SoundStage {
        format,
        shared: Arc::clone(&shared),
        version: 0,
        wish,
        volumes: [Fade::at(Gain::UNITY); CHANNELS],
        mute: Fade::at(Gain::UNITY),
        effect: Fade::at(Gain::ZERO),
        blockers: [Blocker::default(); CHANNELS],
        meter: Window::default(),
    };
    (SoundControl { format, shared, wish }, stage)
}

#[derive(Debug)]
struct Shared {
    wish: Seqlock<7>,
    /// Peaks as the bits of an `f32`. Each is a number of its own: relaxed ordering is enough.
    peaks: [AtomicU32; CHANNELS],
}

/// What the control half has asked for last.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Wish {
    volumes: [Gain; CHANNELS],
    /// Frames of the volume's change.
    frames: u64,
    /// Numbers the changes of the volume, so that another wish does not begin the same change again.
    change: u64,
    muted: bool,
    effect: bool,
}

impl Default for Wish {
    fn default() -> Self {
        Self { volumes: [Gain::UNITY; CHANNELS], frames: 0, change: 0, muted: false, effect: false }
    }
}

impl Wish {
    fn to_words(self) -> [u64; 7] {
        let [a, b, c, d, e, f, g, h] = self.volumes.map(|gain| u64::from(gain.get().to_bits()));
        let switches = u64::from(self.muted) | u64::from(self.effect) << 1;
        [a << 32 | b, c << 32 | d, e << 32 | f, g << 32 | h, self.frames, self.change, switches]
    }

    fn from_words([ab, cd, ef, gh, frames, change, switches]: [u64; 7]) -> Self {
        let gain = |word: u64| Gain::new(f32::from_bits(u32::try_from(word & 0xFFFF_FFFF).unwrap_or(0)));
        let volumes = [ab >> 32, ab, cd >> 32, cd, ef >> 32, ef, gh >> 32, gh].map(gain);
        Self { volumes, frames, change, muted: switches & 1 != 0, effect: switches & 2 != 0 }
    }
}

/// The control half's end. [`super::ClockedControl::with_sound`] offers it as the interfaces of X1.
#[derive(Debug)]
pub struct SoundControl {
    format: Format,
    shared: Arc<Shared>,
    wish: Wish,
}

impl SoundControl {
    fn change(&mut self, change: impl FnOnce(&mut Wish)) {
        change(&mut self.wish);
        self.shared.wish.store(self.wish.to_words());
    }

    fn channels(&self) -> ChannelCount {
        self.format.layout.channels()
    }

    fn one_for_each<T>(&self, list: &[T]) -> Result<(), EndpointError> {
        if list.len() == self.channels().as_usize() {
            return Ok(());
        }
        Err(EndpointError::WrongChannels { asked: list.len(), channels: self.channels().get().into() })
    }
}

impl OffloadVolume for SoundControl {
    fn volume_channels(&self) -> ChannelCount {
        self.channels()
    }

    fn set_channel_volumes(
        &mut self,
        volumes: &[Gain],
        curve: VolumeCurve,
        duration: Hns,
    ) -> Result<(), EndpointError> {
        self.one_for_each(volumes)?;
        if duration < Hns::ZERO || (curve == VolumeCurve::None && duration != Hns::ZERO) {
            return Err(EndpointError::VolumeChange { duration });
        }
        let frames = self.format.rate.frames_in(duration);
        self.change(|wish| {
            wish.volumes.iter_mut().zip(volumes).for_each(|(wish, volume)| *wish = *volume);
            wish.frames = frames;
            wish.change += 1;
        });
        Ok(())
    }

    fn channel_volumes(&self, volumes: &mut [Gain]) -> Result<(), EndpointError> {
        self.one_for_each(volumes)?;
        volumes.iter_mut().zip(self.wish.volumes).for_each(|(out, volume)| *out = volume);
        Ok(())
    }
}

impl OffloadMute for SoundControl {
    fn set_muted(&mut self, muted: bool) -> Result<(), EndpointError> {
        self.change(|wish| wish.muted = muted);
        Ok(())
    }

    fn is_muted(&self) -> bool {
        self.wish.muted
    }
}

impl OffloadMeter for SoundControl {
    fn meter_channels(&self) -> ChannelCount {
        self.channels()
    }

    /// The peaks of the last full tenth of a second of sound; 0 once the endpoint rests.
    fn metering(&self, peaks: &mut [f32]) -> Result<(), EndpointError> {
        self.one_for_each(peaks)?;
        for (out, peak) in peaks.iter_mut().zip(&self.shared.peaks) {
            *out = f32::from_bits(peak.load(Ordering::Relaxed));
        }
        Ok(())
    }
}

impl LocalEffects for SoundControl {
    /// The effect takes constant offset (DC) out of the sound: a high-pass filter of the first order at 10 Hz. Off at the
    /// start.
    fn set_local_effects(&mut self, on: bool) -> Result<(), EndpointError> {
        self.change(|wish| wish.effect = on);
        Ok(())
    }

    fn local_effects(&self) -> bool {
        self.wish.effect
    }
}

/// The real-time half's end: hands on the sound that the endpoint plays. Real-time thread only; neither allocates nor
/// waits.
#[derive(Debug)]
pub struct SoundStage {
    format: Format,
    shared: Arc<Shared>,
    version: u64,
    wish: Wish,
    volumes: [Fade; CHANNELS],
    mute: Fade,
    /// How much of the sound has gone through the effect.
    effect: Fade,
    blockers: [Blocker; CHANNELS],
    meter: Window,
}

impl SoundStage {
    /// Works on whole frames in place: the effect, the volumes, the mute, in this order, and measures the outcome.
    pub fn process(&mut self, sound: &mut [u8]) {
        self.follow();
        let resting = !self.effect.is_moving() && !self.mute.is_moving() && self.volumes.iter().all(|v| !v.is_moving());
        let untouched = resting
            && self.effect.to == Gain::ZERO
            && self.mute.to == Gain::UNITY
            && self.volumes.iter().all(|volume| volume.to == Gain::UNITY);
        let (sample, pole) = (self.format.sample, Blocker::pole(self.format));
        for frame in sound.chunks_exact_mut(self.format.frame_bytes()) {
            let (mute, effect) = (f64::from(self.mute.next().get()), f64::from(self.effect.next().get()));
            let parts = frame.chunks_exact_mut(sample.bytes()).zip(&mut self.volumes).zip(&mut self.blockers);
            for (((bytes, volume), blocker), peak) in parts.zip(&mut self.meter.peaks) {
                let mut value = samples::read(sample, bytes);
                if !untouched {
                    if effect > 0.0 {
                        value += effect * (blocker.next(value, pole) - value);
                    }
                    value *= mute * f64::from(volume.next().get());
                    samples::write(sample, value, bytes);
                }
                *peak = peak.max(value.abs());
            }
        }
        let frames = sound.len().checked_div(self.format.frame_bytes()).unwrap_or(0);
        self.measured(frames);
    }

    /// Lets silence pass.
    pub fn silence(&mut self, frames: FrameCount) {
        self.follow();
        self.mute.skip(frames);
        self.effect.skip(frames);
        self.volumes.iter_mut().for_each(|volume| volume.skip(frames));
        self.blockers = [Blocker::default(); CHANNELS];
        self.measured(frames.as_usize());
    }

    /// Nothing is played for a while: there is nothing to measure, and a change is over at once.
    pub fn idle(&mut self) {
        self.silence(FrameCount::new(u32::MAX));
        self.meter = Window::default();
        self.shared.peaks.iter().for_each(|peak| peak.store(0, Ordering::Relaxed));
    }

    fn follow(&mut self) {
        // Where a wish is just being written the next packet follows it.
        let Some((version, words)) = self.shared.wish.load().filter(|(version, _)| *version != self.version) else {
            return;
        };
        let (before, wish) = (self.wish, Wish::from_words(words));
        (self.version, self.wish) = (version, wish);
        if wish.change != before.change {
            let frames = u32::try_from(wish.frames).unwrap_or(u32::MAX);
            self.volumes.iter_mut().zip(wish.volumes).for_each(|(volume, to)| volume.go(to, frames));
        }
        let frames = u32::try_from(self.format.rate.frames_in(SWITCH)).unwrap_or(u32::MAX);
        if wish.muted != before.muted {
            self.mute.go(if wish.muted { Gain::ZERO } else { Gain::UNITY }, frames);
        }
        if wish.effect != before.effect {
            self.effect.go(if wish.effect { Gain::UNITY } else { Gain::ZERO }, frames);
        }
    }

    fn measured(&mut self, frames: usize) {
        self.meter.frames = self.meter.frames.saturating_add(frames);
        if self.meter.frames >= FrameCount::new(self.format.rate.get() / 10).as_usize() {
            for (shown, peak) in self.shared.peaks.iter().zip(self.meter.peaks) {
                #[expect(clippy::as_conversions, clippy::cast_possible_truncation, reason = "rounds to 24 bits")]
                shown.store((peak as f32).to_bits(), Ordering::Relaxed);
            }
            self.meter = Window::default();
        }
    }
}

/// A gain on its way.
#[derive(Clone, Copy, Debug)]
struct Fade {
    from: Gain,
    to: Gain,
    /// The frame of the change that comes next.
    frame: u32,
    frames: u32,
}

impl Fade {
    fn at(gain: Gain) -> Self {
        Self { from: gain, to: gain, frame: 0, frames: 0 }
    }

    fn go(&mut self, to: Gain, frames: u32) {
        *self = Self { from: self.present(), to, frame: 0, frames };
    }

    fn is_moving(&self) -> bool {
        self.frame < self.frames
    }

    /// The gain of the frame that comes next.
    fn present(&self) -> Gain {
        VolumeCurve::WindowsFade.gain(self.from, self.to, self.frame, self.frames)
    }

    fn next(&mut self) -> Gain {
        if !self.is_moving() {
            return self.to;
        }
        let gain = self.present();
        self.frame += 1;
        gain
    }

    fn skip(&mut self, frames: FrameCount) {
        self.frame = self.frame.saturating_add(frames.get()).min(self.frames);
    }
}

/// A high-pass filter of the first order, for one channel.
#[derive(Clone, Copy, Debug, Default)]
struct Blocker {
    input: f64,
    output: f64,
}

impl Blocker {
    const CORNER: f64 = 10.0;

    fn pole(format: Format) -> f64 {
        1.0 - std::f64::consts::TAU * Self::CORNER / f64::from(format.rate.get())
    }

    fn next(&mut self, input: f64, pole: f64) -> f64 {
        let output = input - self.input + pole * self.output;
        // What fades away must not become a denormal number.
        self.output = if output.abs() < 1e-15 { 0.0 } else { output };
        self.input = input;
        self.output
    }
}

/// The tenth of a second that is being measured.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    peaks: [f64; CHANNELS],
    frames: usize,
}

#[cfg(test)]
#[path = "sound_tests.rs"]
mod tests;
