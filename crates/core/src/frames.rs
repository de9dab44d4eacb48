//! Counts of frames and positions on a stream.

use core::fmt;
use core::ops::{Add, AddAssign, Sub};

/// A number of frames: a length, never a place. One frame is one sample for every channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameCount(u32);

impl FrameCount {
    /// No frames.
    pub const ZERO: Self = Self(0);

    /// `frames` frames.
    #[must_use]
    pub const fn new(frames: u32) -> Self {
        Self(frames)
    }

    /// The number as a plain integer, for arithmetic with other units.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The number as an index or a length of memory.
    #[must_use]
    pub const fn as_usize(self) -> usize {
        #[expect(clippy::as_conversions, reason = "usize is at least 32 bits wide on every platform we build for")]
        {
            self.0 as usize
        }
    }

    /// The count that a length of memory stands for; `u32::MAX` where it is longer than that.
    #[must_use]
    pub fn from_usize(frames: usize) -> Self {
        Self(u32::try_from(frames).unwrap_or(u32::MAX))
    }

    /// Whether there are no frames.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum, or `u32::MAX` frames where it is larger than that.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, or none where `other` is larger.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for FrameCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} frames", self.0)
    }
}

/// A place on a stream: frames since its start. 64 bits: 3 million years at 192 kHz.
///
/// Two positions differ by a count; a position and a count give a position. Two positions cannot be added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FramePosition(u64);

impl FramePosition {
    /// The stream's start.
    pub const ZERO: Self = Self(0);

    /// The place `frames` frames after the start.
    #[must_use]
    pub const fn new(frames: u64) -> Self {
        Self(frames)
    }

    /// Frames since the start.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Frames from `earlier` to here; 0 where `earlier` is later.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<FrameCount> for FramePosition {
    type Output = Self;

    fn add(self, count: FrameCount) -> Self {
        Self(self.0.saturating_add(u64::from(count.0)))
    }
}

impl AddAssign<FrameCount> for FramePosition {
    fn add_assign(&mut self, count: FrameCount) {
        *self = *self + count;
    }
}

impl Sub<FrameCount> for FramePosition {
    type Output = Self;

    /// The place `count` frames earlier; the start where that would lie before it.
    fn sub(self, count: FrameCount) -> Self {
        Self(self.0.saturating_sub(u64::from(count.0)))
    }
}
