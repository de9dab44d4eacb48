//! The header's further interfaces (X1): what an endpoint may offer beyond the contract. The engine asks once, at
//! registration, and uses what it finds.
//!
//! All of these belong to the control half and are never called on the real-time thread. They may be called at any time,
//! while the endpoint runs too; what they change takes effect on sound that is released after the call, or on all that
//! is still to be played, as the endpoint's device has it. The last-buffer call, which is the real-time half's, is
//! [`crate::OutputEndpointRt::release_last`].

use soundpost_core::{ChannelCount, Gain, Hns};

use crate::EndpointError;

/// How a volume moves to its new value (AUDIO_CURVE_TYPE; the numbers are the reference's).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum VolumeCurve {
    /// At once (AUDIO_CURVE_TYPE_NONE). Comes with a duration of 0.
    None = 0,
    /// AUDIO_CURVE_TYPE_WINDOWS_FADE: a power of 1.75 of the amplitude, flat at the quiet end. See
    /// [`VolumeCurve::gain`].
    WindowsFade = 1,
}

impl VolumeCurve {
    /// The gain of frame `frame` (from 0) of a change from `from` to `to` that takes `frames` frames.
    ///
    /// The reference gives the fade between 0 and 1: `(n / (N − 1))^1.75` in, `(1 − n / (N − 1))^1.75` out, for frame n of
    /// N; so the first frame has the old gain, the last the new one. A change between other gains is the same curve,
    /// scaled and shifted (our decision: the reference only says that it begins at the present volume and ends at the
    /// target). Any thread.
    #[must_use]
    pub fn gain(self, from: Gain, to: Gain, frame: u32, frames: u32) -> Gain {
        if self == Self::None || frame.saturating_add(1) >= frames {
            return to;
        }
        let progress = f64::from(frame) / f64::from(frames - 1);
        let (quiet, loud, way) = if to >= from { (from, to, progress) } else { (to, from, 1.0 - progress) };
        let (quiet, loud) = (f64::from(quiet.get()), f64::from(loud.get()));
        // way^1.75, by roots: powf costs several times as much, once a frame.
        let root = way.sqrt();
        let gain = quiet + (loud - quiet) * way * root * root.sqrt();
        #[expect(clippy::as_conversions, clippy::cast_possible_truncation, reason = "rounds a gain to 24 bits")]
        Gain::new(gain as f32)
    }
}

/// An endpoint with a volume of its own (IAudioEndpointOffloadStreamVolume). Control side only.
///
/// While the engine has handed a device's volume to the endpoint, the endpoint alone applies it. Where the engine
/// applies it itself, it has set the endpoint to unity before Start.
pub trait OffloadVolume {
    /// How many channels have a volume (GetVolumeChannelCount): those of the endpoint's frame format.
    fn volume_channels(&self) -> ChannelCount;

    /// Sets the volume of each channel (SetChannelVolumes): moves from the present one, which may be on its way
    /// elsewhere, along `curve` within `duration` (HNS; 0 with [`VolumeCurve::None`]).
    ///
    /// # Errors
    /// [`EndpointError::WrongChannels`] where `volumes` has not one for each channel; [`EndpointError::VolumeChange`]
    /// for a negative duration, or one other than 0 without a curve; [`EndpointError::Device`]. Nothing has changed then.
    fn set_channel_volumes(&mut self, volumes: &[Gain], curve: VolumeCurve, duration: Hns)
    -> Result<(), EndpointError>;

    /// The volumes that were set last, wherever the present ones are on their way to them (GetChannelVolumes).
    ///
    /// # Errors
    /// [`EndpointError::WrongChannels`] where `volumes` has not room for exactly one for each channel.
    fn channel_volumes(&self, volumes: &mut [Gain]) -> Result<(), EndpointError>;
}

/// An endpoint that can mute (IAudioEndpointOffloadStreamMute). The volume stays what it is meanwhile. Control side only.
pub trait OffloadMute {
    /// Mutes, or lets sound through again (SetMute), without a click.
    ///
    /// # Errors
    /// [`EndpointError::Device`]. Nothing has changed then.
    fn set_muted(&mut self, muted: bool) -> Result<(), EndpointError>;

    /// Whether it is muted (GetMute).
    fn is_muted(&self) -> bool;
}

/// An endpoint that measures what it plays (IAudioEndpointOffloadStreamMeter), after its own volume and mute. Control
/// side only.
pub trait OffloadMeter {
    /// How many channels are measured (GetMeterChannelCount): those of the endpoint's frame format.
    fn meter_channels(&self) -> ChannelCount;

    /// The peak of each channel, 1 = full scale, over a recent stretch (GetMeteringData). Reading changes nothing.
    ///
    /// # Errors
    /// [`EndpointError::WrongChannels`] where `peaks` has not room for exactly one for each channel.
    fn metering(&self, peaks: &mut [f32]) -> Result<(), EndpointError>;
}

/// An endpoint with effects of its own (IAudioLfxControl). Control side only.
pub trait LocalEffects {
    /// Switches all of the endpoint's effects on or off (SetLocalEffectsState).
    ///
    /// # Errors
    /// [`EndpointError::Device`]. Nothing has changed then.
    fn set_local_effects(&mut self, on: bool) -> Result<(), EndpointError>;

    /// Whether they are on (GetLocalEffectsState).
    fn local_effects(&self) -> bool;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gains(curve: VolumeCurve, from: f32, to: f32, frames: u32) -> Vec<f32> {
        (0..frames).map(|frame| curve.gain(Gain::new(from), Gain::new(to), frame, frames).get()).collect()
    }

    fn close(is: &[f32], due: &[f32]) {
        assert_eq!(is.len(), due.len());
        assert!(is.iter().zip(due).all(|(is, due)| (is - due).abs() < 1e-6), "{is:?} instead of {due:?}");
    }

    #[test]
    fn x1_the_windows_fade_is_the_references_curve() {
        // 0.25^1.75, 0.5^1.75, 0.75^1.75.
        let fade_in = [0.0, 0.088_388_35, 0.297_301_78, 0.604_445_6, 1.0];
        close(&gains(VolumeCurve::WindowsFade, 0.0, 1.0, 5), &fade_in);
        let fade_out: Vec<f32> = fade_in.iter().rev().copied().collect();
        close(&gains(VolumeCurve::WindowsFade, 1.0, 0.0, 5), &fade_out);
        close(&gains(VolumeCurve::WindowsFade, 0.5, 1.0, 3), &[0.5, 0.648_650_9, 1.0]);
        close(&gains(VolumeCurve::WindowsFade, 1.0, 0.5, 3), &[1.0, 0.648_650_9, 0.5]);
    }

    #[test]
    fn x1_without_a_curve_or_without_time_the_volume_is_there_at_once() {
        close(&gains(VolumeCurve::None, 1.0, 0.25, 3), &[0.25; 3]);
        close(&gains(VolumeCurve::WindowsFade, 1.0, 0.25, 1), &[0.25]);
        assert_eq!(VolumeCurve::WindowsFade.gain(Gain::UNITY, Gain::ZERO, 0, 0), Gain::ZERO);
        assert_eq!(VolumeCurve::WindowsFade.gain(Gain::UNITY, Gain::ZERO, u32::MAX, u32::MAX), Gain::ZERO);
    }
}
