//! Channels and where their loudspeakers stand.

use core::fmt;
use core::num::NonZeroU8;

/// A number of channels, 1 to 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelCount(NonZeroU8);

impl ChannelCount {
    /// One channel.
    pub const MONO: Self = Self(NonZeroU8::MIN);
    /// Two channels.
    pub const STEREO: Self = Self(NonZeroU8::MIN.saturating_add(1));
    /// The most that the engine carries.
    pub const MAX: Self = Self(NonZeroU8::MIN.saturating_add(7));

    /// `channels` channels.
    ///
    /// # Errors
    /// [`UnsupportedLayout`] outside of 1 to 8.
    pub const fn new(channels: u16) -> Result<Self, UnsupportedLayout> {
        if channels == 0 || channels > 8 {
            return Err(UnsupportedLayout { channels, mask: 0 });
        }
        #[expect(clippy::as_conversions, clippy::cast_possible_truncation, reason = "1 to 8, checked above")]
        match NonZeroU8::new(channels as u8) {
            Some(count) => Ok(Self(count)),
            None => Err(UnsupportedLayout { channels, mask: 0 }),
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0.get()
    }

    /// The number as an index or a length of memory.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::from(self.0.get())
    }
}

impl fmt::Display for ChannelCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} channels", self.0)
    }
}

/// A loudspeaker position: one bit of a WAVEFORMATEXTENSIBLE channel mask. Channels lie in a frame in the order of
/// their bits, lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each name says the place")]
pub enum Speaker {
    FrontLeft,
    FrontRight,
    FrontCenter,
    LowFrequency,
    BackLeft,
    BackRight,
    FrontLeftOfCenter,
    FrontRightOfCenter,
    BackCenter,
    SideLeft,
    SideRight,
}

impl Speaker {
    /// All positions that the engine knows, in the order of their bits.
    pub const ALL: [Self; 11] = [
        Self::FrontLeft,
        Self::FrontRight,
        Self::FrontCenter,
        Self::LowFrequency,
        Self::BackLeft,
        Self::BackRight,
        Self::FrontLeftOfCenter,
        Self::FrontRightOfCenter,
        Self::BackCenter,
        Self::SideLeft,
        Self::SideRight,
    ];

    /// The position's bit in a channel mask (SPEAKER_FRONT_LEFT = 0x1, ...).
    #[must_use]
    pub const fn bit(self) -> u32 {
        match self {
            Self::FrontLeft => 0x1,
            Self::FrontRight => 0x2,
            Self::FrontCenter => 0x4,
            Self::LowFrequency => 0x8,
            Self::BackLeft => 0x10,
            Self::BackRight => 0x20,
            Self::FrontLeftOfCenter => 0x40,
            Self::FrontRightOfCenter => 0x80,
            Self::BackCenter => 0x100,
            Self::SideLeft => 0x200,
            Self::SideRight => 0x400,
        }
    }
}

/// Which loudspeakers a frame's channels belong to: 1 to 8 channels and, where it is known, a place for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChannelLayout {
    channels: ChannelCount,
    mask: u32,
}

/// A channel count or mask that the engine does not carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsupportedLayout {
    /// The channels that were asked for.
    pub channels: u16,
    /// The mask that was asked for; 0 where none was given.
    pub mask: u32,
}

impl ChannelLayout {
    /// One loudspeaker in the middle.
    pub const MONO: Self = Self { channels: ChannelCount::MONO, mask: 0x4 };
    /// Left and right.
    pub const STEREO: Self = Self { channels: ChannelCount::STEREO, mask: 0x3 };

    /// The usual layout for a number of channels: mono, stereo, 2.1, quadraphonic, 5.0, 5.1, 6.1, 7.1.
    #[must_use]
    pub const fn default_for(channels: ChannelCount) -> Self {
        let mask = match channels.get() {
            1 => 0x4,
            2 => 0x3,
            3 => 0xB,
            4 => 0x33,
            5 => 0x37,
            6 => 0x3F,
            7 => 0x70F,
            _ => 0x63F,
        };
        Self { channels, mask }
    }

    /// `channels` channels at the positions of `mask`; a mask of 0 means that no positions are known, and the usual
    /// layout is taken.
    ///
    /// # Errors
    /// [`UnsupportedLayout`] for a count outside of 1 to 8, a position that the engine does not know, or a mask with
    /// another number of positions than there are channels.
    pub const fn new(channels: u16, mask: u32) -> Result<Self, UnsupportedLayout> {
        let count = match ChannelCount::new(channels) {
            Ok(count) => count,
            Err(_) => return Err(UnsupportedLayout { channels, mask }),
        };
        if mask == 0 {
            return Ok(Self::default_for(count));
        }
        #[expect(clippy::as_conversions, reason = "From is not const yet; u16 fits into u32")]
        if mask >= 0x800 || mask.count_ones() != channels as u32 {
            return Err(UnsupportedLayout { channels, mask });
        }
        Ok(Self { channels: count, mask })
    }

    /// The number of channels.
    #[must_use]
    pub const fn channels(self) -> ChannelCount {
        self.channels
    }

    /// The channel mask (WAVEFORMATEXTENSIBLE dwChannelMask).
    #[must_use]
    pub const fn mask(self) -> u32 {
        self.mask
    }

    /// The loudspeakers in the order of the channels in a frame.
    pub fn speakers(self) -> impl Iterator<Item = Speaker> {
        Speaker::ALL.into_iter().filter(move |speaker| self.mask & speaker.bit() != 0)
    }

    /// The place of a loudspeaker's channel in a frame, where the layout has it.
    #[must_use]
    pub fn index_of(self, speaker: Speaker) -> Option<usize> {
        self.speakers().position(|there| there == speaker)
    }
}

impl fmt::Display for ChannelLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.channels.get(), self.mask) {
            (1, _) => f.write_str("mono"),
            (2, 0x3) => f.write_str("stereo"),
            (6, 0x3F | 0x60F) => f.write_str("5.1"),
            (8, 0x63F | 0xFF) => f.write_str("7.1"),
            (count, mask) => write!(f, "{count} channels (mask {mask:#x})"),
        }
    }
}

impl fmt::Display for UnsupportedLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} channels with mask {:#x} are not carried: use 1 to 8 channels and as many known positions, or mask 0",
            self.channels, self.mask
        )
    }
}

impl core::error::Error for UnsupportedLayout {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_layout_is_whole() {
        for n in 1..=8 {
            let layout = ChannelLayout::default_for(ChannelCount::new(n).unwrap());
            assert_eq!(layout.speakers().count(), usize::from(n));
            assert_eq!(ChannelLayout::new(n, layout.mask()), Ok(layout));
        }
    }

    #[test]
    fn wrong_counts_and_masks_are_refused() {
        assert!(ChannelLayout::new(0, 0).is_err());
        assert!(ChannelLayout::new(9, 0).is_err());
        assert!(ChannelLayout::new(2, 0x7).is_err());
        assert!(ChannelLayout::new(1, 0x800).is_err());
    }

    #[test]
    fn channels_follow_the_order_of_the_mask() {
        let surround = ChannelLayout::default_for(ChannelCount::new(6).unwrap());
        assert_eq!(surround.index_of(Speaker::LowFrequency), Some(3));
        assert_eq!(surround.index_of(Speaker::SideLeft), None);
    }
}
