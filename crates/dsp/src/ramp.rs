//! Volume and mute without clicks.

use soundpost_core::{ChannelCount, FrameCount, Gain};

use crate::meter::with_lanes;
use crate::num::f32_of_usize;

/// A volume with a mute switch, whose changes are ramps.
///
/// A change moves the gain in a straight line, frame by frame, over the ramp's length; a change during a ramp starts
/// from the gain reached. No two neighbouring frames differ in gain by more than the change divided by the length.
/// Real-time side only; the control side sends its wishes through a queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fader {
    gain: Gain,
    muted: bool,
    /// Frames of a whole ramp, at least 1.
    length: u32,
    /// Where the ramp ends.
    target: f32,
    /// Per frame, on the way to the target.
    step: f32,
    /// Frames still to go.
    left: u32,
}

impl Fader {
    /// A fader that stands at `gain` and takes `length` frames for a change (none: the next frame has it).
    #[must_use]
    pub fn new(gain: Gain, length: FrameCount) -> Self {
        Self { gain, muted: false, length: length.get().max(1), target: gain.get(), step: 0.0, left: 0 }
    }

    /// The gain asked for, whether muted or not.
    #[must_use]
    pub fn gain(&self) -> Gain {
        self.gain
    }

    /// Whether muted.
    #[must_use]
    pub fn is_muted(&self) -> bool {
        self.muted
    }

    /// Asks for another gain. While muted it is remembered.
    pub fn set_gain(&mut self, gain: Gain) {
        self.gain = gain;
        self.aim();
    }

    /// Mutes (a ramp to silence) or lets sound through again (a ramp back to the gain).
    pub fn set_muted(&mut self, muted: bool) {
        self.muted = muted;
        self.aim();
    }

    /// Ends a ramp at once: for a stream of which nothing has been heard yet.
    pub fn settle(&mut self) {
        self.left = 0;
    }

    /// The gain of the last frame that passed.
    #[must_use]
    pub fn current(&self) -> f32 {
        self.at(self.left)
    }

    /// The one gain of all frames to come, if no ramp is under way.
    #[must_use]
    pub fn steady(&self) -> Option<f32> {
        (self.left == 0).then_some(self.target)
    }

    /// Whether nothing is to be heard, now or until the next change: what passes need not be computed.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.steady() == Some(0.0)
    }

    /// Applies the gain to a block in place.
    pub fn apply(&mut self, block: &mut [f32], channels: ChannelCount) {
        match self.steady() {
            Some(1.0) => {}
            Some(0.0) => block.fill(0.0),
            Some(gain) => block.iter_mut().for_each(|sample| *sample *= gain),
            None => {
                let whole = block.len() - block.len() % channels.as_usize();
                let block = &mut block[..whole];
                with_lanes!(channels, apply_ramp(block, channels, self));
            }
        }
    }

    /// Lets `frames` frames pass of which nothing is computed (silence).
    pub fn advance(&mut self, frames: FrameCount) {
        self.left = self.left.saturating_sub(frames.get());
    }

    /// The gain of the next frame.
    #[inline]
    pub fn next_gain(&mut self) -> f32 {
        self.left = self.left.saturating_sub(1);
        self.at(self.left)
    }

    /// The gains of the next `LANES` samples, which are whole frames; `frames` says which frame each lane belongs to.
    #[inline(always)]
    pub(crate) fn next_gains<const LANES: usize>(
        &mut self,
        frames: &[f32; LANES],
        channels: ChannelCount,
    ) -> [f32; LANES] {
        let left = f32_of_usize(FrameCount::new(self.left).as_usize()) - 1.0;
        let mut gains = [0.0; LANES];
        for lane in 0..LANES {
            gains[lane] = self.target - self.step * (left - frames[lane]).max(0.0);
        }
        self.advance(FrameCount::from_usize(LANES / channels.as_usize()));
        gains
    }

    /// Computed from the end, so that a ramp ends exactly on its target whatever its length.
    #[inline]
    fn at(&self, left: u32) -> f32 {
        self.target - self.step * f32_of_usize(FrameCount::new(left).as_usize())
    }

    fn aim(&mut self) {
        let target = if self.muted { 0.0 } else { self.gain.get() };
        let from = self.current();
        if target == self.target && self.left > 0 {
            return;
        }
        self.target = target;
        self.left = if from == target { 0 } else { self.length };
        self.step = (target - from) / f32_of_usize(FrameCount::new(self.length).as_usize());
    }
}

/// The frame that each of a number of lanes belongs to, counted from 0.
#[inline(always)]
pub(crate) fn lane_frames<const LANES: usize>(channels: ChannelCount) -> [f32; LANES] {
    core::array::from_fn(|lane| f32_of_usize(lane / channels.as_usize()))
}

fn apply_ramp<const LANES: usize>(block: &mut [f32], channels: ChannelCount, fader: &mut Fader) {
    let frames = lane_frames::<LANES>(channels);
    let (chunks, rest) = block.as_chunks_mut::<LANES>();
    for chunk in chunks {
        let gains = fader.next_gains(&frames, channels);
        for lane in 0..LANES {
            chunk[lane] *= gains[lane];
        }
    }
    for frame in rest.chunks_exact_mut(channels.as_usize()) {
        let gain = fader.next_gain();
        frame.iter_mut().for_each(|sample| *sample *= gain);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_ramp_is_straight_and_ends_on_its_target() {
        let mut fader = Fader::new(Gain::UNITY, FrameCount::new(480));
        fader.set_gain(Gain::new(0.3));
        let mut block = vec![1.0; 2 * 500];
        fader.apply(&mut block, ChannelCount::STEREO);
        for (k, frame) in block.chunks_exact(2).enumerate() {
            let expected = 1.0 - 0.7 * (k as f32 + 1.0).min(480.0) / 480.0;
            assert_eq!(frame[0], frame[1]);
            assert!((frame[0] - expected).abs() < 1e-6);
        }
        assert_eq!(block[2 * 479..], vec![0.3; 2 * 21]);
    }

    #[test]
    fn mute_ends_in_silence_that_is_skipped_and_returns_to_the_gain() {
        let mut fader = Fader::new(Gain::new(0.5), FrameCount::new(10));
        fader.set_muted(true);
        fader.set_gain(Gain::new(0.8));
        assert!(!fader.is_silent());
        fader.advance(FrameCount::new(10));
        assert!(fader.is_silent());
        fader.set_muted(false);
        fader.advance(FrameCount::new(10));
        assert_eq!(fader.steady(), Some(0.8));
    }

    #[test]
    fn unity_leaves_every_bit() {
        let mut fader = Fader::new(Gain::UNITY, FrameCount::new(10));
        let mut block = [-0.0, f32::MIN_POSITIVE / 4.0, 1.0, -1.0];
        let before = block;
        fader.apply(&mut block, ChannelCount::STEREO);
        assert_eq!(block.map(f32::to_bits), before.map(f32::to_bits));
    }

    #[test]
    fn asking_again_for_the_same_does_not_prolong_the_ramp() {
        let mut fader = Fader::new(Gain::ZERO, FrameCount::new(100));
        fader.set_gain(Gain::UNITY);
        fader.advance(FrameCount::new(60));
        fader.set_gain(Gain::UNITY);
        fader.advance(FrameCount::new(40));
        assert_eq!(fader.steady(), Some(1.0));
    }

    proptest! {
        /// Whatever is asked for and whenever: no step between neighbouring frames is larger than a whole change
        /// divided by the ramp's length.
        #[test]
        fn no_step_is_larger_than_stated(
            length in 1_u32..500,
            wishes in proptest::collection::vec((0.0_f32..2.0, any::<bool>(), 0_u32..300), 1..20),
        ) {
            let mut fader = Fader::new(Gain::UNITY, FrameCount::new(length));
            let mut last = fader.current();
            let largest = 2.0 / length as f32 + 1e-6;
            for (gain, muted, frames) in wishes {
                fader.set_gain(Gain::new(gain));
                fader.set_muted(muted);
                for _ in 0..frames {
                    let now = fader.next_gain();
                    prop_assert!((now - last).abs() <= largest, "{} to {} in {}", last, now, length);
                    prop_assert!((-1e-6..=2.0 + 1e-6).contains(&now));
                    last = now;
                }
            }
        }
    }
}
