//! Volumes, mutes, pauses, and many streams at once.

use soundpost_core::{Gain, SampleFormat};
use soundpost_engine::StreamConfig;

use super::scene::{Scene, format, ms, noise};

/// A steady level on two channels, as f32.
fn level(value: f32, frames: usize) -> Vec<u8> {
    value.to_le_bytes().repeat(frames * 2)
}

fn left(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks(8).map(|frame| f32::from_le_bytes([frame[0], frame[1], frame[2], frame[3]])).collect()
}

#[test]
fn streams_are_added() {
    let f32s = format(SampleFormat::F32, 48_000, 2);
    let mut scene = Scene::new();
    let (_, _, mut probe) = scene.listener(f32s);
    let mut players: Vec<_> = (0..16).map(|_| scene.player(f32s, level(0.03125, 48_000))).collect();
    let mut all: Vec<_> = players.iter_mut().collect();
    scene.play(&mut all, ms(500));
    let heard = left(&probe.take_sound());
    assert!(heard[480..].iter().all(|x| *x == 0.5), "16 streams of 1/32 are 1/2");
    let shown = scene.device_stats().levels;
    assert_eq!((shown.peak[0], shown.peak[1], shown.peak[2]), (0.5, 0.5, 0.0));
    assert!((shown.rms[0] - 0.5).abs() < 1e-6);
    assert_eq!(scene.stream_stats(3).levels.peak[0], 0.03125);
}

/// Sums of floats depend on their order: which streams are added at once must not be heard.
#[test]
fn streams_are_added_in_their_order_whether_alone_or_several_at_once() {
    let f32s = format(SampleFormat::F32, 48_000, 2);
    let values = [0.057_f32, 0.042, 0.182, -0.043, -0.043, 0.092, 0.122, 0.096, -0.136];
    let gain = |index: usize| if index == 1 { 0.7 } else { 1.0 };
    let in_order = (0..values.len()).fold(0.0, |sum, index| sum + values[index] * gain(index));
    let others_first = (0..values.len()).rev().fold(0.0, |sum, index| sum + values[index] * gain(index));
    assert_ne!(in_order, others_first, "a test that tells orders apart");
    // Which one's queue ends within packets, so that it is added alone; none: groups of four, and one.
    for odd in [None, Some(2), Some(7)] {
        let mut scene = Scene::new();
        let (_, _, mut probe) = scene.listener(f32s);
        let mut players: Vec<_> = values
            .iter()
            .enumerate()
            .map(|(index, value)| {
                let capacity = if odd == Some(index) { ms(25) } else { ms(200) };
                let config = StreamConfig { capacity, ..StreamConfig::new("player", f32s) };
                scene.player_with(config, level(*value, 48_000))
            })
            .collect();
        scene.runner.engine.set_stream_volume(scene.session, players[1].id, Gain::new(0.7)).unwrap();
        let mut all: Vec<_> = players.iter_mut().collect();
        scene.play(&mut all, ms(500));
        let heard = left(&probe.take_sound());
        assert!(heard.len() > 20_000 && heard[960..].iter().all(|x| *x == in_order), "{odd:?}");
        for (index, value) in values.iter().enumerate() {
            let (stats, peak) = (scene.stream_stats(index), (value * gain(index)).abs());
            assert_eq!(stats.underruns, 0, "{odd:?}, stream {index}");
            assert!((stats.levels.peak[0] - peak).abs() <= peak * 1e-6, "{odd:?}, stream {index}: {:?}", stats.levels);
        }
    }
}

#[test]
fn too_much_is_limited_and_never_wraps_or_clips() {
    let s16 = format(SampleFormat::S16, 48_000, 2);
    let mut scene = Scene::new();
    let (_, _, mut probe) = scene.listener(format(SampleFormat::F32, 48_000, 2));
    let mut players: Vec<_> = (0..8).map(|seed| scene.player(s16, noise(s16, 24_000, seed))).collect();
    let mut all: Vec<_> = players.iter_mut().collect();
    scene.play(&mut all, ms(400));
    let heard = left(&probe.take_sound());
    assert!(heard.iter().all(|x| x.abs() <= 1.0));
    assert!(heard.iter().any(|x| *x > 0.5));
    assert!(scene.device_stats().limited > 0);
}

/// The largest step between neighbouring frames.
fn largest_step(heard: &[f32]) -> f32 {
    heard.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max)
}

#[test]
fn volumes_mutes_and_pauses_are_ramps() {
    let f32s = format(SampleFormat::F32, 48_000, 2);
    let mut scene = Scene::new();
    let (_, _, mut probe) = scene.listener(f32s);
    let mut player = scene.player(f32s, level(1.0, 96_000));
    scene.play(&mut [&mut player], ms(100));
    probe.take_sound();
    let (session, device, stream) = (scene.session, scene.device, player.id);
    let mut last = 1.0;
    let mut check = |scene: &mut Scene, player: &mut _, what: &str, to: f32| {
        scene.play(&mut [player], ms(100));
        let mut heard = left(&probe.take_sound());
        heard.insert(0, last);
        // 10 ms are 480 frames.
        assert!(largest_step(&heard) <= 1.0 / 480.0 + 1e-5, "{what}: a step of {}", largest_step(&heard));
        last = *heard.last().unwrap();
        assert!((last - to).abs() < 1e-6, "{what}: {last} instead of {to}");
    };
    scene.runner.engine.set_stream_volume(session, stream, Gain::new(0.5)).unwrap();
    check(&mut scene, &mut player, "stream volume", 0.5);
    scene.runner.engine.set_device_volume(session, device, Gain::new(0.5)).unwrap();
    check(&mut scene, &mut player, "device volume", 0.25);
    scene.runner.engine.set_stream_muted(session, stream, true).unwrap();
    check(&mut scene, &mut player, "stream mute", 0.0);
    scene.runner.engine.set_stream_muted(session, stream, false).unwrap();
    check(&mut scene, &mut player, "stream unmute", 0.25);
    scene.runner.engine.set_device_muted(session, device, true).unwrap();
    check(&mut scene, &mut player, "device mute", 0.0);
    scene.runner.engine.set_device_muted(session, device, false).unwrap();
    check(&mut scene, &mut player, "device unmute", 0.25);
    scene.runner.engine.set_paused(session, stream, true).unwrap();
    check(&mut scene, &mut player, "pause", 0.0);
    let stopped = player.writer.as_mut().unwrap().position();
    scene.play(&mut [&mut player], ms(200));
    assert_eq!(player.writer.as_mut().unwrap().position(), stopped, "a paused stream stands still");
    probe.take_sound();
    scene.runner.engine.set_paused(session, stream, false).unwrap();
    let mut heard = {
        scene.play(&mut [&mut player], ms(100));
        left(&probe.take_sound())
    };
    heard.insert(0, 0.0);
    assert!(largest_step(&heard) <= 1.0 / 480.0 + 1e-5, "resume");
    assert_eq!(heard.last(), Some(&0.25));
}

#[test]
fn a_stream_paused_while_dry_keeps_what_is_written_next() {
    let f32s = format(SampleFormat::F32, 48_000, 2);
    for pause_after in [300, 95] {
        let mut scene = Scene::new();
        let (_, _, mut probe) = scene.listener(f32s);
        let config = StreamConfig::new("dry", f32s);
        let (id, mut writer) = scene.runner.engine.open_stream(scene.session, scene.device, config).unwrap();
        writer.write(&level(0.5, 4_800));
        scene.runner.run_for(ms(pause_after));
        scene.runner.engine.set_paused(scene.session, id, true).unwrap();
        scene.runner.run_for(ms(300));
        probe.take_sound();
        writer.write(&level(0.25, 4_800));
        scene.runner.run_for(ms(300));
        assert!(left(&probe.take_sound()).iter().all(|x| *x == 0.0), "paused after {pause_after} ms, and heard");
        scene.runner.engine.set_paused(scene.session, id, false).unwrap();
        scene.runner.run_for(ms(300));
        let heard = left(&probe.take_sound());
        // Paused while it played, it fades in again over 10 ms; paused while dry, there was nothing to fade.
        let whole = heard.iter().filter(|x| **x == 0.25).count();
        assert!(whole >= 4_800 - 480, "paused after {pause_after} ms: {whole} frames");
    }
}

#[test]
fn a_stream_that_starts_paused_or_waits_for_its_prebuffer_is_silent_until_then() {
    let f32s = format(SampleFormat::F32, 48_000, 2);
    let mut scene = Scene::new();
    let (_, _, mut probe) = scene.listener(f32s);
    let mut config = StreamConfig::new("waits", f32s);
    config.prebuffer = soundpost_core::FrameCount::new(4_800);
    let (_, mut writer) = scene.runner.engine.open_stream(scene.session, scene.device, config).unwrap();
    writer.write(&level(0.5, 4_799));
    scene.runner.run_for(ms(300));
    assert!(probe.take_sound().is_empty(), "less than the prebuffer plays");
    writer.write(&level(0.5, 1));
    scene.runner.run_for(ms(300));
    let heard = left(&probe.take_sound());
    assert_eq!(heard.iter().filter(|x| **x == 0.5).count(), 4_800);
    assert_eq!(scene.stream_stats(0).underruns, 1);

    let mut config = StreamConfig::new("paused", f32s);
    config.paused = true;
    let (id, mut writer) = scene.runner.engine.open_stream(scene.session, scene.device, config).unwrap();
    scene.runner.run_for(ms(2_000));
    probe.take_sound();
    writer.write(&level(0.5, 4_800));
    scene.runner.run_for(ms(300));
    assert!(left(&probe.take_sound()).iter().all(|x| *x == 0.0));
    scene.runner.engine.set_paused(scene.session, id, false).unwrap();
    scene.runner.run_for(ms(300));
    assert_eq!(left(&probe.take_sound()).iter().filter(|x| **x == 0.5).count(), 4_800, "the beginning is whole");
}
