use soundpost_core::{ChannelLayout, SampleFormat, SampleRate};

use super::*;

const S16: Format = Format { sample: SampleFormat::S16, rate: SampleRate::HZ_48000, layout: ChannelLayout::STEREO };
const F32: Format = Format { sample: SampleFormat::F32, ..S16 };

fn steady(value: f32, frames: usize) -> Vec<u8> {
    value.to_le_bytes().repeat(2 * frames)
}

/// The samples of a channel.
fn channel(bytes: &[u8], channel: usize) -> Vec<f32> {
    bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).skip(channel).step_by(2).collect()
}

#[test]
fn x1_at_rest_the_stage_changes_no_bit() {
    let (_control, mut stage) = sound_stage(S16);
    let sound: Vec<u8> = (0..=255).cycle().take(4 * 480).collect();
    let mut out = sound.clone();
    stage.process(&mut out);
    assert!(out == sound);
}

#[test]
fn x1_a_volume_without_a_curve_is_there_with_the_next_frame() {
    let (mut control, mut stage) = sound_stage(F32);
    control.set_channel_volumes(&[Gain::new(0.5), Gain::new(0.25)], VolumeCurve::None, Hns::ZERO).unwrap();
    let mut sound = steady(1.0, 4);
    stage.process(&mut sound);
    assert_eq!((channel(&sound, 0), channel(&sound, 1)), (vec![0.5; 4], vec![0.25; 4]));
    let mut volumes = [Gain::ZERO; 2];
    control.channel_volumes(&mut volumes).unwrap();
    assert_eq!(volumes, [Gain::new(0.5), Gain::new(0.25)]);
}

#[test]
fn x1_a_volume_fades_along_the_references_curve_across_packets() {
    let (mut control, mut stage) = sound_stage(F32);
    control.set_channel_volumes(&[Gain::new(0.2); 2], VolumeCurve::WindowsFade, Hns::from_millis(10)).unwrap();
    // A wish for something else does not begin the fade again.
    let mut heard = Vec::new();
    for packet in 0..5 {
        let mut sound = steady(1.0, 120);
        stage.process(&mut sound);
        heard.extend(channel(&sound, 0));
        control.set_local_effects(false).unwrap();
        assert_eq!(stage.volumes[0].is_moving(), packet < 3);
    }
    for (frame, gain) in (0..480).zip(&heard) {
        let way = f64::from(479 - frame) / 479.0;
        let due = 0.2 + 0.8 * way.powf(1.75);
        assert!((f64::from(*gain) - due).abs() < 1e-6, "frame {frame}: {gain} instead of {due}");
    }
    assert_eq!(heard[480..], [0.2; 120]);
}

#[test]
fn x1_a_fade_that_is_overtaken_goes_on_from_where_it_is() {
    let (mut control, mut stage) = sound_stage(F32);
    let mut heard = vec![1.0];
    for (gain, frames) in [(0.0, 240), (1.0, 100), (0.3, 600), (0.9, 1)] {
        control.set_channel_volumes(&[Gain::new(gain); 2], VolumeCurve::WindowsFade, Hns::from_millis(10)).unwrap();
        let mut sound = steady(1.0, frames);
        stage.process(&mut sound);
        heard.extend(channel(&sound, 1));
    }
    // The curve's steepest part: 1.75 / 479 of the whole way from one frame to the next.
    let step = heard.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
    assert!(step < 1.76 / 479.0, "a step of {step}");
}

#[test]
fn x1_a_mute_fades_and_keeps_the_volume() {
    let (mut control, mut stage) = sound_stage(F32);
    control.set_channel_volumes(&[Gain::new(0.5); 2], VolumeCurve::None, Hns::ZERO).unwrap();
    control.set_muted(true).unwrap();
    assert!(control.is_muted());
    let mut sound = steady(1.0, 600);
    stage.process(&mut sound);
    let heard = channel(&sound, 0);
    assert_eq!((heard[0], &heard[479..]), (0.5, &[0.0; 121][..]));
    assert!(heard[1] > 0.49);
    control.set_muted(false).unwrap();
    let mut sound = steady(1.0, 480);
    stage.process(&mut sound);
    assert_eq!(channel(&sound, 0)[479], 0.5);
}

#[test]
fn x1_the_meter_shows_the_peak_of_a_full_tenth_of_a_second_after_the_volume() {
    let (mut control, mut stage) = sound_stage(F32);
    control.set_channel_volumes(&[Gain::UNITY, Gain::new(0.5)], VolumeCurve::None, Hns::ZERO).unwrap();
    let mut peaks = [9.0; 2];
    let mut play = |control: &SoundControl, value: f32, frames| {
        stage.process(&mut steady(value, frames));
        control.metering(&mut peaks).unwrap();
        peaks
    };
    assert_eq!(play(&control, -0.75, 1), [0.0; 2]);
    assert_eq!(play(&control, 0.25, 4_799), [0.75, 0.375]);
    assert_eq!(play(&control, 0.25, 4_799), [0.75, 0.375]);
    assert_eq!(play(&control, 0.125, 1), [0.25, 0.125]);
    stage.idle();
    control.metering(&mut peaks).unwrap();
    assert_eq!(peaks, [0.0; 2]);
}

#[test]
fn x1_the_effect_takes_a_constant_offset_away_and_leaves_the_rest() {
    let (mut control, mut stage) = sound_stage(F32);
    // 1 kHz: 48 frames a period.
    let tone = |frame: u32| 0.25 * (f32::from(frame.to_le_bytes()[0]) * std::f32::consts::TAU / 48.0).sin();
    let mut play = || {
        let mut sound: Vec<u8> =
            (0..48_000).flat_map(|frame: u32| (0.5 + tone(frame % 48)).to_le_bytes().repeat(2)).collect();
        stage.process(&mut sound);
        channel(&sound, 0)
    };
    let mean = |heard: &[f32]| heard.chunks(24_000).next_back().map_or(9.0, |last| last.iter().sum::<f32>() / 24_000.0);
    assert!((mean(&play()) - 0.5).abs() < 1e-4, "off at the start");
    control.set_local_effects(true).unwrap();
    assert!(control.local_effects());
    let heard = play();
    let step = heard.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
    assert!(step < 0.04, "a step of {step}: the tone's own are up to 0.033");
    assert!(mean(&heard).abs() < 1e-4, "{}", mean(&heard));
    let loudest = heard[24_000..].iter().copied().fold(0.0, f32::max);
    assert!((loudest - 0.25).abs() < 1e-3, "{loudest}");
}

#[test]
fn x1_lists_of_a_wrong_length_and_senseless_durations_are_refused_and_change_nothing() {
    let (mut control, mut stage) = sound_stage(F32);
    for asked in [0, 1, 3] {
        let wrong = EndpointError::WrongChannels { asked, channels: 2 };
        let half = vec![Gain::new(0.5); asked];
        assert_eq!(control.set_channel_volumes(&half, VolumeCurve::None, Hns::ZERO), Err(wrong));
        assert_eq!(control.channel_volumes(&mut vec![Gain::ZERO; asked]), Err(wrong));
        assert_eq!(control.metering(&mut vec![0.0; asked]), Err(wrong));
    }
    for (curve, duration) in [(VolumeCurve::None, 1), (VolumeCurve::None, -1), (VolumeCurve::WindowsFade, -1)] {
        let duration = Hns::new(duration);
        let refused = control.set_channel_volumes(&[Gain::ZERO; 2], curve, duration);
        assert_eq!(refused, Err(EndpointError::VolumeChange { duration }));
    }
    let mut sound = steady(1.0, 10);
    stage.process(&mut sound);
    assert!(sound == steady(1.0, 10));
}
