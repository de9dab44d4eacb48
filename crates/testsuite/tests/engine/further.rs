//! X1: last-buffer control, volume, mute, meter and local effects of endpoints, used where they are offered.

use soundpost_core::{ChannelCount, Format, FrameCount, Gain, SampleFormat};
use soundpost_dsp::resample::{Resampler, ResamplerConfig};
use soundpost_endpoint::BufferFlag;
use soundpost_endpoint::stock::StockConfig;
use soundpost_engine::{
    AttachConfig, AttachedEndpoint, ConnectionId, EndpointId, EngineError, Interface, Interfaces, Metering,
};
use soundpost_testkit::{Call, Offers, Probe, check_order, render_probe_with};

use super::scene::{S16, Scene, find, format, ms, noise};

const LAST_BUFFER: Offers = Offers { last_buffer: true, sound: false };
const SOUND: Offers = Offers { last_buffer: false, sound: true };

fn listener(scene: &mut Scene, format: Format, offers: Offers) -> (ConnectionId, EndpointId, Probe) {
    let (endpoint, probe) = render_probe_with(&StockConfig::new(format), scene.runner.endpoint_clock(), offers);
    let engine = &mut scene.runner.engine;
    let endpoint = engine.register(scene.session, "listener", endpoint).unwrap();
    let connection = engine.connect(scene.session, scene.device).unwrap();
    engine.attach(scene.session, connection, endpoint, AttachConfig::default()).unwrap();
    (connection, endpoint, probe)
}

/// The packets that an endpoint was told are the last ones.
fn lasts(calls: &[Call]) -> Vec<(u32, BufferFlag)> {
    let last = |call: &Call| match call {
        Call::ReleaseLast { frames, flag } => Some((frames.get(), *flag)),
        _ => None,
    };
    calls.iter().filter_map(last).collect()
}

fn calls(probe: &mut Probe) -> Vec<Call> {
    probe.take_calls().iter().map(|entry| entry.call).collect()
}

#[test]
fn x1_an_endpoint_with_last_buffer_control_gets_the_sound_to_its_last_frame_and_nothing_more() {
    let mut scene = Scene::new();
    let (_, _, mut probe) = listener(&mut scene, S16, LAST_BUFFER);
    let (_, _, mut other) = scene.listener(S16);
    let sound = noise(S16, 24_123, 1);
    let mut player = scene.player(S16, sound.clone());
    scene.play(&mut [&mut player], ms(3_000));
    let heard = probe.take_sound();
    assert!(heard[..4 * 480].iter().all(|byte| *byte == 0), "the cushion");
    assert!(heard[4 * 480..] == sound, "{} frames after the cushion", heard.len() / 4 - 480);
    let entries = probe.take_calls();
    assert_eq!(check_order(&entries, FrameCount::new(480), soundpost_endpoint::DataFlow::Render), []);
    let calls: Vec<_> = entries.iter().map(|entry| entry.call).collect();
    assert_eq!(lasts(&calls), [(24_123 % 480, BufferFlag::Valid)]);
    let end = calls.iter().position(|call| matches!(call, Call::ReleaseLast { .. })).unwrap();
    assert!(!calls[end..].iter().any(|call| matches!(call, Call::Acquire(_))), "something came after the end");
    assert_eq!(probe.clock.counts().underruns, 0);
    let stats = scene.connection_stats(0);
    assert_eq!((stats.underruns, stats.cut, stats.frames), (0, 0, 480 + 24_123));
    assert!(scene.drained(player.id));
    // Who has no such control hears the same, and silence until the device is idle.
    let heard = other.take_sound();
    let at = find(&heard, &sound, 4).unwrap();
    assert!(heard.len() - at > sound.len() + 4 * 24_000);
}

#[test]
fn x1_the_sound_of_a_device_ends_with_its_last_stream() {
    let mut scene = Scene::new();
    let (_, _, mut probe) = listener(&mut scene, S16, LAST_BUFFER);
    let mut short = scene.player(S16, noise(S16, 5_000, 1));
    let mut long = scene.player(S16, noise(S16, 9_999, 2));
    // A stream that is open and plays nothing keeps nobody waiting.
    let _silent = scene.player(S16, Vec::new());
    scene.play(&mut [&mut short, &mut long], ms(2_000));
    assert_eq!(lasts(&calls(&mut probe)), [(9_999 % 480, BufferFlag::Valid)]);
    assert_eq!(probe.take_sound().len(), 4 * (480 + 9_999));
}

#[test]
fn x1_sound_that_begins_again_is_heard_whole_behind_a_new_cushion() {
    for pause in [5, 10, 15, 30, 300, 2_500] {
        let mut scene = Scene::new();
        let (_, _, mut probe) = listener(&mut scene, S16, LAST_BUFFER);
        let (first, second) = (noise(S16, 4_900, 1), noise(S16, 7_001, 2));
        let mut player = scene.player(S16, first.clone());
        while lasts(&calls(&mut probe)).is_empty() {
            scene.play(&mut [&mut player], ms(5));
        }
        scene.runner.run_for(ms(pause));
        let mut player = scene.player(S16, second.clone());
        scene.play(&mut [&mut player], ms(1_500));
        let heard = probe.take_sound();
        assert!(heard[4 * 480..].starts_with(&first), "{pause} ms");
        let gap = &heard[4 * 480 + first.len()..heard.len() - second.len()];
        assert!(gap.len() <= 4 * 480 && gap.iter().all(|byte| *byte == 0), "{pause} ms: {} bytes between", gap.len());
        assert!(heard.ends_with(&second), "{pause} ms: the second sound is not whole");
        assert_eq!(lasts(&calls(&mut probe)), [(7_001 % 480, BufferFlag::Valid)], "{pause} ms");
        assert_eq!((probe.clock.counts().underruns, scene.connection_stats(0).underruns), (0, 0), "{pause} ms");
    }
}

#[test]
fn x1_a_second_sound_that_begins_with_silence_is_not_shortened() {
    let mut scene = Scene::new();
    let (_, _, mut probe) = listener(&mut scene, S16, LAST_BUFFER);
    let (first, second) = (noise(S16, 4_900, 1), [vec![0; 4 * 2_000], noise(S16, 1_001, 2)].concat());
    let mut player = scene.player(S16, first.clone());
    scene.play(&mut [&mut player], ms(300));
    let mut player = scene.player(S16, second.clone());
    scene.play(&mut [&mut player], ms(300));
    let heard = probe.take_sound();
    let cushion = vec![0; 4 * 480];
    assert!(heard == [cushion.clone(), first, cushion, second].concat(), "{} frames", heard.len() / 4);
}

#[test]
fn x1_a_drained_stream_that_goes_on_later_ends_twice() {
    let mut scene = Scene::new();
    let (_, _, mut probe) = listener(&mut scene, S16, LAST_BUFFER);
    let config = soundpost_engine::StreamConfig::new("player", S16);
    let (id, mut writer) = scene.runner.engine.open_stream(scene.session, scene.device, config).unwrap();
    for frames in [1_000, 2_000] {
        writer.write(&noise(S16, frames, 1));
        scene.runner.engine.drain(scene.session, id).unwrap();
        scene.runner.run_for(ms(200));
        assert_eq!(lasts(&calls(&mut probe)), [(frames % 480, BufferFlag::Valid)]);
    }
}

#[test]
fn x1_an_end_that_is_known_too_late_is_told_without_frames() {
    let mut scene = Scene::new();
    let (_, _, mut probe) = listener(&mut scene, S16, LAST_BUFFER);
    let config = soundpost_engine::StreamConfig::new("player", S16);
    let (_, mut writer) = scene.runner.engine.open_stream(scene.session, scene.device, config).unwrap();
    writer.write(&noise(S16, 1_000, 1));
    scene.runner.run_for(ms(200));
    assert_eq!(lasts(&calls(&mut probe)), [], "an underrun is no end");
    drop(writer);
    scene.runner.run_for(ms(200));
    let calls = calls(&mut probe);
    assert_eq!(lasts(&calls), [(0, BufferFlag::Silent)]);
    let end = calls.iter().position(|call| matches!(call, Call::ReleaseLast { .. })).unwrap();
    assert!(!calls[end..].iter().any(|call| matches!(call, Call::Acquire(_))));
}

#[test]
fn x1_the_end_is_exact_behind_a_conversion_of_rate_and_channels() {
    for (rate, channels, due) in [(44_100, 2, 22_163), (16_000, 1, 8_041), (96_000, 2, 48_246)] {
        let there = format(SampleFormat::S16, rate, channels);
        let mut scene = Scene::new();
        let (_, _, mut probe) = listener(&mut scene, there, LAST_BUFFER);
        let mut player = scene.player(S16, noise(S16, 24_123, 1));
        scene.play(&mut [&mut player], ms(3_000));
        let calls = calls(&mut probe);
        let lasts = lasts(&calls);
        assert!(matches!(lasts[..], [(_, BufferFlag::Valid)]), "{there}: {lasts:?}");
        let frame = there.frame_bytes();
        let heard = probe.take_sound();
        let frames = heard.len() / frame - usize::try_from(rate / 100).unwrap();
        // Sound comes out of the filter so much later, and nothing of it stays inside; a frame of 48 kHz is two of 96.
        let (from, to) = (S16.rate, there.rate);
        let block = FrameCount::new(480);
        let config = ResamplerConfig { from, to, channels: ChannelCount::MONO, max_block: block, max_trim: 0 };
        let due = due + Resampler::new(config).unwrap().delay().as_usize();
        assert!(usize::abs_diff(frames, due) <= 2, "{there}: {frames} frames instead of {due}");
        // Noise to the end: no silence was put behind it.
        let tail = &heard[heard.len() - 16 * frame..];
        assert!(tail.iter().any(|byte| *byte != 0), "{there}: ends in silence");
        assert_eq!(scene.connection_stats(0).cut, 0);
    }
}

/// A steady level on two channels, as f32.
fn level(value: f32, frames: usize) -> Vec<u8> {
    value.to_le_bytes().repeat(frames * 2)
}

fn left(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks(8).map(|frame| f32::from_le_bytes([frame[0], frame[1], frame[2], frame[3]])).collect()
}

fn largest_step(heard: &[f32]) -> f32 {
    heard.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max)
}

fn attached(scene: &Scene, index: usize) -> AttachedEndpoint {
    let snapshot = scene.runner.engine.snapshot_of(scene.session, scene.device).unwrap();
    snapshot.connections[index].endpoint.clone().unwrap()
}

#[test]
fn x1_the_only_endpoint_applies_the_volume_and_the_engine_does_not() {
    let f32s = format(SampleFormat::F32, 48_000, 2);
    let mut scene = Scene::new();
    let (session, device) = (scene.session, scene.device);
    scene.runner.engine.set_device_volume(session, device, Gain::new(0.5)).unwrap();
    let (_, _, mut probe) = listener(&mut scene, f32s, SOUND);
    assert!(attached(&scene, 0).applies_volume);
    let mut player = scene.player(f32s, level(0.5, 96_000));
    scene.play(&mut [&mut player], ms(200));
    let heard = left(&probe.take_sound());
    assert!(heard[480..].iter().all(|x| *x == 0.25), "from the first frame on, and once");
    let shown = attached(&scene, 0).metering;
    let Metering::Endpoint(peaks) = shown else { panic!("{shown:?}") };
    assert_eq!(peaks, [0.25, 0.25, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(scene.device_stats().levels.peak[0], 0.25, "after the volume, whoever applies it");
    let mut last = 0.25;
    let mut check = |scene: &mut Scene, what: &str, to: f32| {
        scene.play(&mut [&mut player], ms(100));
        let mut heard = left(&probe.take_sound());
        heard.insert(0, last);
        assert!(largest_step(&heard) <= 0.5 * 1.76 / 479.0, "{what}: a step of {}", largest_step(&heard));
        last = *heard.last().unwrap();
        assert!((last - to).abs() < 1e-6, "{what}: {last} instead of {to}");
    };
    scene.runner.engine.set_device_volume(session, device, Gain::UNITY).unwrap();
    check(&mut scene, "volume", 0.5);
    scene.runner.engine.set_device_muted(session, device, true).unwrap();
    check(&mut scene, "mute", 0.0);
    scene.runner.engine.set_device_volume(session, device, Gain::new(0.25)).unwrap();
    check(&mut scene, "volume while muted", 0.0);
    scene.runner.engine.set_device_muted(session, device, false).unwrap();
    check(&mut scene, "unmute", 0.125);
}

#[test]
fn x1_listeners_that_come_and_go_change_nobodys_volume() {
    let f32s = format(SampleFormat::F32, 48_000, 2);
    for (second, volume) in [(Offers::default(), 0.5), (SOUND, 0.5), (SOUND, 3.0)] {
        let mut scene = Scene::new();
        let (session, device) = (scene.session, scene.device);
        let (first_connection, first_endpoint, mut first) = listener(&mut scene, f32s, SOUND);
        let mut player = scene.player(f32s, level(0.25, 200_000));
        scene.runner.engine.set_device_volume(session, device, Gain::new(volume)).unwrap();
        scene.play(&mut [&mut player], ms(300));
        first.take_sound();
        let (_, _, mut second) = listener(&mut scene, f32s, second);
        assert_eq!((attached(&scene, 0).applies_volume, attached(&scene, 1).applies_volume), (true, false));
        scene.play(&mut [&mut player], ms(300));
        let due = 0.25 * volume;
        let alike = |heard: &[f32], what: &str| assert!(heard.iter().all(|x| *x == due), "{what}: {volume}");
        alike(&left(&first.take_sound()), "the first");
        alike(&left(&second.take_sound())[480..], "the second");
        // Both follow a change: one in its endpoint, one in the engine.
        scene.runner.engine.set_device_muted(session, device, true).unwrap();
        scene.play(&mut [&mut player], ms(100));
        assert_eq!((left(&first.take_sound()).last(), left(&second.take_sound()).last()), (Some(&0.0), Some(&0.0)));
        scene.runner.engine.set_device_muted(session, device, false).unwrap();
        scene.play(&mut [&mut player], ms(100));
        first.take_sound();
        let heard = left(&second.take_sound());
        assert!(largest_step(&heard) <= due * 1.01 / 480.0 && heard.last() == Some(&due));
        // The endpoint that applied the volume goes: the engine does for who is left, without a step.
        scene.runner.engine.detach(session, first_connection).unwrap();
        scene.play(&mut [&mut player], ms(300));
        alike(&left(&second.take_sound()), "after the first has gone");
        // Back beside another one, the engine mixes for it, and it is at unity.
        scene.runner.engine.attach(session, first_connection, first_endpoint, AttachConfig::default()).unwrap();
        first.take_sound();
        scene.play(&mut [&mut player], ms(300));
        assert!(!attached(&scene, 0).applies_volume);
        alike(&left(&first.take_sound())[480..], "back again");
        alike(&left(&second.take_sound()), "beside it");
    }
}

#[test]
fn x1_what_the_volume_lifts_above_full_scale_is_limited_for_those_the_engine_mixes_for() {
    let f32s = format(SampleFormat::F32, 48_000, 2);
    let mut scene = Scene::new();
    let (_, _, _first) = listener(&mut scene, f32s, SOUND);
    let (_, _, mut second) = scene.listener(f32s);
    scene.runner.engine.set_device_volume(scene.session, scene.device, Gain::new(8.0)).unwrap();
    let mut player = scene.player(f32s, level(0.5, 48_000));
    scene.play(&mut [&mut player], ms(300));
    let heard = left(&second.take_sound());
    assert!(heard.iter().all(|x| x.abs() <= 1.0) && heard.last().is_some_and(|x| *x > 0.99));
}

#[test]
fn x1_the_meter_is_the_endpoints_where_it_has_one_and_the_engines_elsewhere() {
    let f32s = format(SampleFormat::F32, 48_000, 2);
    let mono = format(SampleFormat::F32, 48_000, 1);
    let mut scene = Scene::new();
    let (_, _, _first) = listener(&mut scene, mono, SOUND);
    let (_, _, _second) = scene.listener(f32s);
    let sound: Vec<u8> = [0.5_f32, 0.25].iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>().repeat(24_000);
    let mut player = scene.player(f32s, sound);
    scene.play(&mut [&mut player], ms(300));
    assert_eq!(attached(&scene, 0).metering, Metering::Endpoint([0.375, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]));
    assert_eq!(attached(&scene, 1).metering, Metering::Engine([0.5, 0.25, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]));
}

#[test]
fn x1_what_an_endpoint_offers_is_shown_and_its_effects_are_switched() {
    let mut scene = Scene::new();
    let all = Offers { last_buffer: true, sound: true };
    let (connection, with, mut probe) = listener(&mut scene, format(SampleFormat::F32, 48_000, 2), all);
    let (_, without, _probe) = scene.listener(S16);
    let shown: Vec<_> =
        scene.runner.engine.snapshot().sessions[0].endpoints.iter().map(|endpoint| endpoint.interfaces).collect();
    let everything = Interfaces { last_buffer: true, volume: true, mute: true, meter: true, local_effects: true };
    assert_eq!(shown, [everything, Interfaces::default()]);
    let session = scene.session;
    assert_eq!(scene.runner.engine.local_effects(session, with), Ok(false));
    scene.runner.engine.set_local_effects(session, with, true).unwrap();
    assert_eq!(scene.runner.engine.local_effects(session, with), Ok(true));
    let mut player = scene.player(format(SampleFormat::F32, 48_000, 2), level(0.5, 96_000));
    scene.play(&mut [&mut player], ms(800));
    let heard = left(&probe.take_sound());
    assert!(heard.last().is_some_and(|x| x.abs() < 1e-3), "an offset of {:?} is left", heard.last());
    // Detached as well.
    scene.runner.engine.detach(session, connection).unwrap();
    scene.runner.run_for(ms(20));
    scene.runner.engine.set_local_effects(session, with, false).unwrap();
    assert_eq!(scene.runner.engine.local_effects(session, with), Ok(false));
    let lent = scene.runner.engine.lend(session, with).unwrap();
    let taken = Err(EngineError::EndpointTaken(with));
    assert_eq!(scene.runner.engine.set_local_effects(session, with, true), taken);
    scene.runner.engine.give_back(session, with, lent, None).unwrap();
    assert_eq!(scene.runner.engine.local_effects(session, with), Ok(false));
    let refused = EngineError::NotOffered { endpoint: without, interface: Interface::LocalEffects };
    assert_eq!(scene.runner.engine.local_effects(session, without), Err(refused));
    assert_eq!(scene.runner.engine.set_local_effects(session, without, true), Err(refused));
    let other = scene.runner.engine.open_session("bob").unwrap();
    assert_eq!(scene.runner.engine.local_effects(other, with), Err(EngineError::UnknownEndpoint(with)));
}

#[test]
fn x1_a_recording_ends_with_the_sound_and_has_the_volume_of_its_device() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mix.wav");
    // The file is written in the pass, which RealtimeSanitizer would end.
    let device = soundpost_engine::DeviceConfig::new("speakers", soundpost_endpoint::DataFlow::Render);
    let mut scene = Scene::with(crate::guard::may_panic, device);
    let endpoint = soundpost_host::record::offline(&path, S16, scene.runner.endpoint_clock()).unwrap();
    let engine = &mut scene.runner.engine;
    engine.set_device_volume(scene.session, scene.device, Gain::new(0.5)).unwrap();
    let endpoint = engine.register(scene.session, "file", endpoint).unwrap();
    let connection = engine.connect(scene.session, scene.device).unwrap();
    // A buffer of one packet, since the file takes everything at once.
    let attach = AttachConfig { coefficient: 1, event_driven: false };
    engine.attach(scene.session, connection, endpoint, attach).unwrap();
    assert!(attached(&scene, 0).applies_volume);
    let sound = 1_000_i16.to_le_bytes().repeat(2 * 24_123);
    let mut player = scene.player(S16, sound);
    scene.play(&mut [&mut player], ms(100));
    assert!(matches!(attached(&scene, 0).metering, Metering::Endpoint([left, ..]) if left == 500.0 / 32_768.0));
    scene.play(&mut [&mut player], ms(2_900));
    let file = std::fs::read(&path).unwrap();
    // Behind 0x50 bytes of header.
    assert!(file[0x50..] == 500_i16.to_le_bytes().repeat(2 * 24_123), "{} bytes", file.len());
}
