//! Volumes: one number for the engine, and by how much single channels stay below it.

use soundpost_core::Gain;
use soundpost_pulse::{ChannelVolume, Volume};

/// PulseAudio's full volume.
const NORM: f64 = 65_536.0;

/// The amplitude factor of a volume: PulseAudio's scale is cubic.
fn linear(volume: Volume) -> f64 {
    (f64::from(volume.as_u32()) / NORM).powi(3)
}

/// The gain of the loudest channel, and each channel's share of it; no shares where all are as loud.
pub(super) fn split(volume: &ChannelVolume) -> (Gain, Vec<f32>) {
    let factors: Vec<f64> = volume.channels().iter().map(|one| linear(*one)).collect();
    let loudest = factors.iter().copied().fold(0.0, f64::max);
    let gain = Gain::new(narrow(loudest));
    if loudest <= 0.0 || factors.iter().all(|factor| *factor >= loudest) {
        return (gain, Vec::new());
    }
    (gain, factors.into_iter().map(|factor| narrow(factor / loudest)).collect())
}

#[expect(clippy::as_conversions, clippy::cast_possible_truncation, reason = "f64 to f32 rounds to nearest")]
const fn narrow(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(raw: &[u32]) -> ChannelVolume {
        let mut volume = ChannelVolume::empty();
        raw.iter().for_each(|one| volume.push(Volume::from_u32_clamped(*one)));
        volume
    }

    #[test]
    fn the_scale_is_cubic_and_single_channels_have_their_share() {
        assert_eq!(split(&volume(&[0x1_0000, 0x1_0000])), (Gain::UNITY, vec![]));
        assert_eq!(split(&volume(&[0x8000, 0x8000])), (Gain::new(0.125), vec![]));
        assert_eq!(split(&volume(&[0x8000, 0x1_0000])), (Gain::UNITY, vec![0.125, 1.0]));
        assert_eq!(split(&volume(&[0, 0])), (Gain::ZERO, vec![]));
        assert_eq!(split(&volume(&[0x7fff_ffff])).0, Gain::MAX);
    }
}
