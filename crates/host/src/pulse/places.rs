//! Channels: which of a stream's channels goes to which of the engine's.

use soundpost_core::Speaker;
use soundpost_core::{ChannelCount, ChannelLayout, SampleRate};
use soundpost_pulse::{ChannelMap, ChannelPosition, Mixing, Spec};

/// How a stream's frames become the engine's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Places {
    /// What the engine's stream has.
    pub(super) layout: ChannelLayout,
    /// For each of its channels, the client's channel; none: silence.
    pub(super) sources: Vec<Option<usize>>,
}

impl Places {
    /// For a stream with this map that is mixed so into a device with this layout.
    ///
    /// The engine carries 8 channels at places that it knows. Of a map with others, those that it knows are carried;
    /// where it knows none, up to 8 channels are taken by number, and of more the first two.
    pub(super) fn of(map: &ChannelMap, mixing: Mixing, device: ChannelLayout) -> Self {
        let positions: Vec<Option<Speaker>> = map.into_iter().map(speaker).collect();
        let count = positions.len();
        let at_device = device.speakers().collect::<Vec<_>>();
        if mixing.no_remap {
            let sources = (0..at_device.len()).map(|channel| (channel < count).then_some(channel)).collect();
            return Self { layout: device, sources };
        }
        let find = |wanted: &Speaker| positions.iter().position(|there| *there == Some(*wanted));
        if mixing.no_remix {
            return Self { layout: device, sources: at_device.iter().map(find).collect() };
        }
        let known: Vec<(Speaker, usize)> =
            Speaker::ALL.iter().filter_map(|one| Some((*one, find(one)?))).take(8).collect();
        if known.is_empty() {
            return Self::by_number(count);
        }
        let mask = known.iter().fold(0, |mask, (speaker, _)| mask | speaker.bit());
        match ChannelLayout::new(u16::try_from(known.len()).unwrap_or(0), mask) {
            Ok(layout) => Self { layout, sources: known.iter().map(|(_, channel)| Some(*channel)).collect() },
            Err(_) => Self::by_number(count),
        }
    }

    fn by_number(count: usize) -> Self {
        let layout = u16::try_from(count).ok().and_then(|count| ChannelCount::new(count).ok());
        let layout = layout.map_or(ChannelLayout::STEREO, ChannelLayout::default_for);
        Self { layout, sources: (0..layout.channels().as_usize()).map(Some).collect() }
    }

    /// Whether frames are the same on both sides, where the client's have `channels` channels.
    pub(super) fn are_in_order(&self, channels: usize) -> bool {
        self.sources.len() == channels && self.sources.iter().enumerate().all(|(k, source)| *source == Some(k))
    }
}

/// The engine's name for a place.
const fn speaker(position: ChannelPosition) -> Option<Speaker> {
    use ChannelPosition as P;
    Some(match position {
        P::Mono | P::FrontCenter => Speaker::FrontCenter,
        P::FrontLeft => Speaker::FrontLeft,
        P::FrontRight => Speaker::FrontRight,
        P::RearCenter => Speaker::BackCenter,
        P::RearLeft => Speaker::BackLeft,
        P::RearRight => Speaker::BackRight,
        P::Lfe => Speaker::LowFrequency,
        P::FrontLeftOfCenter => Speaker::FrontLeftOfCenter,
        P::FrontRightOfCenter => Speaker::FrontRightOfCenter,
        P::SideLeft => Speaker::SideLeft,
        P::SideRight => Speaker::SideRight,
        _ => return None,
    })
}

/// A rate that the engine carries, and how often a frame is repeated, or how many become one, to come to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) rate: SampleRate,
    /// Engine frames for each of the client's.
    pub(super) repeat: u32,
    /// The client's frames for each of the engine's.
    pub(super) drop: u32,
}

impl Stretch {
    /// For a stream of this spec: of rates beyond 192 kHz every so manieth frame is taken, of rates below 8 kHz each
    /// frame several times. Hardly a program uses either.
    pub(super) fn of(spec: &Spec) -> Self {
        let rate = spec.rate().max(1);
        let repeat = SampleRate::MIN.get().div_ceil(rate).max(1);
        let drop = rate.div_ceil(SampleRate::MAX.get()).max(1);
        let carried = SampleRate::new(rate.saturating_mul(repeat) / drop).unwrap_or(SampleRate::HZ_48000);
        Self { rate: carried, repeat, drop }
    }
}

#[cfg(test)]
mod tests {
    use soundpost_pulse::{SampleFormat, default_map};

    use super::*;

    fn places(positions: &[ChannelPosition]) -> Places {
        Places::of(&ChannelMap::new(positions.iter().copied()), Mixing::default(), ChannelLayout::STEREO)
    }

    #[test]
    fn channels_are_sorted_into_the_engines_order() {
        use ChannelPosition as P;
        let alsa = [P::FrontLeft, P::FrontRight, P::RearLeft, P::RearRight, P::FrontCenter, P::Lfe];
        let found = places(&alsa);
        assert_eq!((found.layout.channels().get(), found.layout.mask()), (6, 0x3F));
        assert_eq!(found.sources, [Some(0), Some(1), Some(4), Some(5), Some(2), Some(3)]);
        assert!(!found.are_in_order(6));
        assert!(places(&[P::FrontLeft, P::FrontRight]).are_in_order(2));
        assert_eq!(places(&[P::Mono]).layout, ChannelLayout::MONO);
    }

    #[test]
    fn what_the_engine_does_not_know_is_taken_by_number_or_left_out() {
        use ChannelPosition as P;
        let aux = places(&[P::Aux0, P::Aux1, P::Aux2, P::Aux3]);
        assert_eq!((aux.layout.channels().get(), aux.are_in_order(4)), (4, true));
        assert_eq!(places(&[P::FrontLeft, P::FrontRight, P::TopCenter]).sources, [Some(0), Some(1)]);
        let many = Places::of(&default_map(32), Mixing::default(), ChannelLayout::STEREO);
        assert_eq!((many.layout, many.sources), (ChannelLayout::STEREO, vec![Some(0), Some(1)]));
    }

    #[test]
    fn a_client_that_wants_no_mixing_gets_none() {
        use ChannelPosition as P;
        let right = ChannelMap::new([P::FrontRight]);
        let found = Places::of(&right, Mixing { no_remap: false, no_remix: true }, ChannelLayout::STEREO);
        assert_eq!((found.layout, found.sources), (ChannelLayout::STEREO, vec![None, Some(0)]));
        let found = Places::of(&right, Mixing { no_remap: true, no_remix: false }, ChannelLayout::STEREO);
        assert_eq!(found.sources, [Some(0), None]);
    }

    #[test]
    fn every_rate_of_the_protocol_comes_to_one_that_the_engine_carries() {
        let of = |rate| Stretch::of(&Spec::new(SampleFormat::U8, rate, default_map(1)).unwrap());
        assert_eq!(of(44_100), Stretch { rate: SampleRate::HZ_44100, repeat: 1, drop: 1 });
        assert_eq!((of(4_000).rate.get(), of(4_000).repeat), (8_000, 2));
        assert_eq!((of(384_000).rate.get(), of(384_000).drop), (192_000, 2));
        for rate in [1, 7, 100, 7_999, 8_000, 192_000, 192_001, 768_000] {
            let Stretch { rate: carried, repeat, drop } = of(rate);
            let ratio = f64::from(carried.get()) * f64::from(drop) / (f64::from(rate) * f64::from(repeat));
            assert!((ratio - 1.0).abs() < 1e-4, "{rate}: {ratio}");
        }
    }
}
