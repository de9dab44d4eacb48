//! Memory that a pass works in.

use soundpost_core::{FrameCount, SampleRate};

/// Room for one block each, shared by all buses of a thread. Nothing in it outlives a pass.
#[derive(Debug)]
pub struct Scratch<'a> {
    /// Frames as they came out of a queue.
    pub source: &'a mut [f32],
    /// Between mapping channels and converting the rate.
    pub between: &'a mut [f32],
    /// Frames as they go into the mix, or into a queue.
    pub block: &'a mut [f32],
    /// The mix.
    pub mix: &'a mut [f32],
}

impl Scratch<'_> {
    /// Samples that each part holds: the block of the longest period at the highest rate with the most channels, and
    /// the frames by which a rate conversion may be off.
    pub const SAMPLES: usize = (3_840 + 256) * 8;

    /// The most frames at `rate` that belong to a block of `frames` frames at `other`: what a path is made for.
    #[must_use]
    pub fn largest_block(rate: SampleRate, other: SampleRate, frames: FrameCount) -> FrameCount {
        let there = (u64::from(frames.get()) * u64::from(rate.get())).div_ceil(u64::from(other.get()));
        FrameCount::new(u32::try_from(there).unwrap_or(u32::MAX)).saturating_add(FrameCount::new(16))
    }
}
