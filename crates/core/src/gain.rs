//! Linear gain.

/// A linear amplitude factor, 0 (silence) to 16 (+24 dB); 1 leaves sound as it is.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Gain(f32);

impl Gain {
    /// Silence.
    pub const ZERO: Self = Self(0.0);
    /// Sound as it is.
    pub const UNITY: Self = Self(1.0);
    /// The largest gain: a factor of 16.
    pub const MAX: Self = Self(16.0);

    /// `factor`, held within 0 and [`Gain::MAX`]; not-a-number counts as silence.
    #[must_use]
    pub const fn new(factor: f32) -> Self {
        if factor.is_nan() { Self::ZERO } else { Self(factor.clamp(0.0, Self::MAX.0)) }
    }

    /// The factor.
    #[must_use]
    pub const fn get(self) -> f32 {
        self.0
    }
}

impl Default for Gain {
    fn default() -> Self {
        Self::UNITY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_held_in_range() {
        assert_eq!(Gain::new(f32::NAN), Gain::ZERO);
        assert_eq!(Gain::new(-1.0), Gain::ZERO);
        assert_eq!(Gain::new(f32::INFINITY), Gain::MAX);
    }
}
