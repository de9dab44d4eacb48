//! What a stream's bytes are: sample format, channels, rate; and what they last.

use pulseaudio::protocol::{ChannelMap, ChannelPosition, ChannelVolume, SampleFormat, SampleSpec, Volume};

/// Most channels of a stream.
pub const MAX_CHANNELS: u8 = 32;
/// Highest rate in Hz.
pub const MAX_RATE: u32 = 48_000 * 16;
/// Microseconds in a second.
const SECOND: u64 = 1_000_000;
/// The highest volume that PulseAudio takes.
const MAX_VOLUME: u32 = u32::MAX / 2;

/// A sample format, channels with their places, and a rate, all of which make sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    format: SampleFormat,
    rate: u32,
    map: ChannelMap,
}

impl Spec {
    /// None where the format is unknown, the rate is 0 or above [`MAX_RATE`], or `map` has no channel.
    #[must_use]
    pub fn new(format: SampleFormat, rate: u32, map: ChannelMap) -> Option<Self> {
        let fine = format != SampleFormat::Invalid && (1..=MAX_RATE).contains(&rate) && map.num_channels() > 0;
        fine.then_some(Self { format, rate, map })
    }

    /// How a sample is written.
    #[must_use]
    pub const fn format(&self) -> SampleFormat {
        self.format
    }

    /// Frames a second, 1 to [`MAX_RATE`].
    #[must_use]
    pub const fn rate(&self) -> u32 {
        self.rate
    }

    /// 1 to [`MAX_CHANNELS`].
    #[must_use]
    pub fn channels(&self) -> u8 {
        self.map.num_channels()
    }

    /// The place of each channel.
    #[must_use]
    pub const fn map(&self) -> ChannelMap {
        self.map
    }

    /// The same at another rate.
    #[must_use]
    pub fn with_rate(self, rate: u32) -> Option<Self> {
        Self::new(self.format, rate, self.map)
    }

    /// Bytes of a frame, 1 to 128.
    #[must_use]
    pub fn frame(&self) -> u32 {
        u32::try_from(self.format.bytes_per_sample()).unwrap_or(4) * u32::from(self.channels())
    }

    /// How long `bytes` last in microseconds, whole frames alone, rounded down.
    #[must_use]
    pub fn micros(&self, bytes: u64) -> u64 {
        let frames = u128::from(bytes / u64::from(self.frame()));
        u64::try_from(frames * u128::from(SECOND) / u128::from(self.rate)).unwrap_or(u64::MAX)
    }

    /// Bytes of the whole frames in `micros` microseconds.
    #[must_use]
    pub fn bytes_in(&self, micros: u64) -> u64 {
        self.bytes_of(u128::from(micros) * u128::from(self.rate) / u128::from(SECOND))
    }

    /// Bytes of the frames that cover `micros` microseconds.
    #[must_use]
    pub fn bytes_covering(&self, micros: u64) -> u64 {
        self.bytes_of((u128::from(micros) * u128::from(self.rate)).div_ceil(u128::from(SECOND)))
    }

    fn bytes_of(&self, frames: u128) -> u64 {
        u64::try_from(frames * u128::from(self.frame())).unwrap_or(u64::MAX)
    }

    /// The byte that silence is made of.
    #[must_use]
    pub const fn silence(&self) -> u8 {
        match self.format {
            SampleFormat::U8 => 0x80,
            SampleFormat::Alaw => 0xd5,
            SampleFormat::Ulaw => 0xff,
            _ => 0,
        }
    }

    /// As it is written on the wire.
    #[must_use]
    pub fn to_wire(&self) -> SampleSpec {
        SampleSpec { format: self.format, channels: self.channels(), sample_rate: self.rate }
    }
}

/// The places for `channels` channels that a client did not give places for: AIFF's, as in PulseAudio, up to 6;
/// more channels are numbered.
#[must_use]
pub fn default_map(channels: u8) -> ChannelMap {
    use ChannelPosition as P;
    let places: &[P] = match channels {
        1 => &[P::Mono],
        2 => &[P::FrontLeft, P::FrontRight],
        3 => &[P::FrontLeft, P::FrontRight, P::FrontCenter],
        4 => &[P::FrontLeft, P::FrontCenter, P::FrontRight, P::RearCenter],
        5 => &[P::FrontLeft, P::FrontCenter, P::FrontRight, P::RearLeft, P::RearRight],
        6 => &[P::FrontLeft, P::FrontLeftOfCenter, P::FrontCenter, P::FrontRight, P::FrontRightOfCenter, P::RearCenter],
        _ => return ChannelMap::new((0..channels.min(MAX_CHANNELS)).map(aux)),
    };
    ChannelMap::new(places.iter().copied())
}

fn aux(number: u8) -> ChannelPosition {
    position(number.saturating_add(12)).unwrap_or_default()
}

/// The place with this number.
pub(crate) fn position(number: u8) -> Option<ChannelPosition> {
    use ChannelPosition as P;
    const AUX: [P; 32] = [
        P::Aux0,
        P::Aux1,
        P::Aux2,
        P::Aux3,
        P::Aux4,
        P::Aux5,
        P::Aux6,
        P::Aux7,
        P::Aux8,
        P::Aux9,
        P::Aux10,
        P::Aux11,
        P::Aux12,
        P::Aux13,
        P::Aux14,
        P::Aux15,
        P::Aux16,
        P::Aux17,
        P::Aux18,
        P::Aux19,
        P::Aux20,
        P::Aux21,
        P::Aux22,
        P::Aux23,
        P::Aux24,
        P::Aux25,
        P::Aux26,
        P::Aux27,
        P::Aux28,
        P::Aux29,
        P::Aux30,
        P::Aux31,
    ];
    Some(match number {
        0 => P::Mono,
        1 => P::FrontLeft,
        2 => P::FrontRight,
        3 => P::FrontCenter,
        4 => P::RearCenter,
        5 => P::RearLeft,
        6 => P::RearRight,
        7 => P::Lfe,
        8 => P::FrontLeftOfCenter,
        9 => P::FrontRightOfCenter,
        10 => P::SideLeft,
        11 => P::SideRight,
        12..=43 => *AUX.get(usize::from(number - 12))?,
        44 => P::TopCenter,
        45 => P::TopFrontLeft,
        46 => P::TopFrontRight,
        47 => P::TopFrontCenter,
        48 => P::TopRearLeft,
        49 => P::TopRearRight,
        50 => P::TopRearCenter,
        _ => return None,
    })
}

/// The sample format with this number.
pub(crate) const fn sample_format(number: u8) -> Option<SampleFormat> {
    use SampleFormat as F;
    Some(match number {
        0 => F::U8,
        1 => F::Alaw,
        2 => F::Ulaw,
        3 => F::S16Le,
        4 => F::S16Be,
        5 => F::Float32Le,
        6 => F::Float32Be,
        7 => F::S32Le,
        8 => F::S32Be,
        9 => F::S24Le,
        10 => F::S24Be,
        11 => F::S24In32Le,
        12 => F::S24In32Be,
        _ => return None,
    })
}

/// A volume for each channel out of raw numbers; none where there is none, or one is too loud.
pub(crate) fn volume(raw: &[u32]) -> Option<ChannelVolume> {
    if raw.is_empty() || raw.len() > usize::from(MAX_CHANNELS) || raw.iter().any(|&one| one > MAX_VOLUME) {
        return None;
    }
    let mut volume = ChannelVolume::empty();
    for &one in raw {
        volume.push(Volume::from_u32_clamped(one));
    }
    Some(volume)
}

/// `volume` for `channels` channels: as it is where it has as many, otherwise the loudest of it for each.
pub(crate) fn fitted(volume: &ChannelVolume, channels: u8) -> ChannelVolume {
    if volume.channels().len() == usize::from(channels) {
        return *volume;
    }
    let loudest = volume.channels().iter().map(Volume::as_u32).max().unwrap_or(0);
    let mut fitted = ChannelVolume::empty();
    for _ in 0..channels {
        fitted.push(Volume::from_u32_clamped(loudest));
    }
    fitted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(format: SampleFormat, rate: u32, channels: u8) -> Spec {
        Spec::new(format, rate, default_map(channels)).expect("a spec")
    }

    #[test]
    fn lengths_and_times_round_to_whole_frames() {
        let cd = spec(SampleFormat::S16Le, 44_100, 2);
        assert_eq!(cd.frame(), 4);
        assert_eq!(cd.micros(44_100 * 4), 1_000_000);
        assert_eq!(cd.micros(7), 22);
        assert_eq!(cd.bytes_in(20_000), 3528);
        assert_eq!(cd.bytes_in(20_001), 3528);
        assert_eq!(cd.bytes_covering(20_001), 3532);
        assert_eq!(cd.bytes_covering(u64::MAX), 3_254_005_654_602_364_908);
        assert_eq!(
            spec(SampleFormat::S32Le, 192_000, 8).bytes_covering(u64::MAX),
            u64::MAX,
            "more than a number holds"
        );
    }

    #[test]
    fn nonsense_is_no_spec() {
        assert_eq!(Spec::new(SampleFormat::S16Le, 0, default_map(2)), None);
        assert_eq!(Spec::new(SampleFormat::S16Le, MAX_RATE + 1, default_map(2)), None);
        assert_eq!(Spec::new(SampleFormat::Invalid, 48_000, default_map(2)), None);
        assert_eq!(Spec::new(SampleFormat::S16Le, 48_000, default_map(0)), None);
        assert_eq!(default_map(255).num_channels(), 32);
    }

    #[test]
    fn each_number_of_a_place_and_a_format_is_its_own() {
        let places: Vec<u8> = (0..=255).filter_map(position).map(crate::wire::number_of).collect();
        assert_eq!(places, (0..=50).collect::<Vec<u8>>());
        assert_eq!((0..=255).filter_map(sample_format).count(), 13);
        assert_eq!(sample_format(5), Some(SampleFormat::Float32Le));
    }

    #[test]
    fn a_volume_above_the_limit_is_refused() {
        assert!(volume(&[]).is_none());
        assert!(volume(&[0x1_0000, u32::MAX]).is_none());
        assert!(volume(&[0; 33]).is_none());
        let two = volume(&[0x1_0000, 0x8000]).expect("two");
        assert_eq!(fitted(&two, 1).channels(), [Volume::from_u32_clamped(0x1_0000)]);
        assert_eq!(fitted(&two, 2), two);
    }
}
