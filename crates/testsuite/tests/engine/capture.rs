//! From a microphone to many recorders.

use soundpost_core::{FrameCount, SampleFormat};
use soundpost_endpoint::DataFlow;
use soundpost_endpoint::stock::StockConfig;
use soundpost_engine::{AttachConfig, DeviceConfig, EngineError, StreamConfig};
use soundpost_testkit::{Probe, capture_probe, check_order};

use super::scene::{S16, Scene, find, format, ms, noise};
use crate::guard::no_alloc;

fn microphone(sound: Vec<u8>) -> (Scene, Probe) {
    let mut scene = Scene::with(no_alloc, DeviceConfig::new("microphone", DataFlow::Capture));
    let (endpoint, probe) = capture_probe(&StockConfig::new(S16), scene.runner.endpoint_clock(), sound);
    let endpoint = scene.runner.engine.register(scene.session, "microphone", endpoint).unwrap();
    let connection = scene.runner.engine.connect(scene.session, scene.device).unwrap();
    scene.runner.engine.attach(scene.session, connection, endpoint, AttachConfig::default()).unwrap();
    (scene, probe)
}

#[test]
fn every_recorder_gets_the_whole_sound_and_a_slow_one_loses_alone() {
    let sound = noise(S16, 480_000, 1);
    let (mut scene, mut probe) = microphone(sound.clone());
    let open = |scene: &mut Scene, name: &str| {
        let config = StreamConfig::new(name, S16);
        scene.runner.engine.open_capture(scene.session, scene.device, config).unwrap().1
    };
    let (mut good, mut slow) = (open(&mut scene, "good"), open(&mut scene, "slow"));
    let wide = StreamConfig::new("wide", format(SampleFormat::S24, 48_000, 2));
    let mut wide = scene.runner.engine.open_capture(scene.session, scene.device, wide).unwrap().1;
    let (mut heard, mut heard_wide) = (Vec::new(), Vec::new());
    let mut bytes = vec![0; 6 * 9_600];
    scene.runner.run_steps(ms(2_000), ms(13), |_| {
        let frames = good.read(&mut bytes).as_usize();
        heard.extend_from_slice(&bytes[..frames * 4]);
        let frames = wide.read(&mut bytes).as_usize();
        heard_wide.extend_from_slice(&bytes[..frames * 6]);
    });
    assert_eq!(check_order(&probe.take_calls(), FrameCount::new(480), DataFlow::Capture), []);
    let from = heard.chunks(4).position(|frame| *frame != [0; 4]).unwrap() * 4;
    assert!(from / 4 <= 1_920, "{} frames of silence at first", from / 4);
    assert!(find(&sound, &heard[from..], 4).is_some(), "a recorder lost or repeated frames");
    let narrow: Vec<u8> = heard_wide.chunks(3).flat_map(|sample| [sample[1], sample[2]]).collect();
    let from = narrow.chunks(4).position(|frame| *frame != [0; 4]).unwrap() * 4;
    assert!(find(&sound, &narrow[from..], 4).is_some());
    let streams = &scene.runner.engine.snapshot().sessions[0].devices[0].streams;
    assert_eq!((streams[0].stats.lost, streams[2].stats.lost), (0, 0));
    assert!(streams[1].stats.lost > 48_000 && streams[1].stats.overruns == 1, "{:?}", streams[1].stats);
    assert_eq!(slow.read(&mut bytes), FrameCount::new(9_600), "what fitted is there");
    let connection = scene.runner.engine.snapshot().sessions[0].devices[0].connections[0].stats;
    assert_eq!((connection.underruns, connection.cut), (0, 0));
}

#[test]
fn t10_silent_packets_are_silence_whatever_they_hold() {
    // The probe puts nonsense into buffers that it flags silent.
    let mut sound = noise(S16, 2_400, 1);
    sound.resize(4 * 4_800, 0);
    let (mut scene, _probe) = microphone(sound.clone());
    let config = StreamConfig::new("recorder", S16);
    let (_, mut reader) = scene.runner.engine.open_capture(scene.session, scene.device, config).unwrap();
    let mut bytes = vec![0xFF; 4 * 9_600];
    scene.runner.run_for(ms(180));
    let frames = reader.read(&mut bytes).as_usize();
    let heard = &bytes[..frames * 4];
    let from = heard.chunks(4).position(|frame| *frame != [0; 4]).unwrap() * 4;
    assert!(frames - from / 4 > 6_000);
    assert!(find(&sound.repeat(4), &heard[from..], 4).is_some(), "silence was not silence");
}

#[test]
fn nothing_from_before_a_pause_is_recorded_after_it() {
    // All three places differ in rate, so that there are filters on both ways. Loud for a second, then silent.
    let mut sound = vec![0x40; 4 * 44_100];
    sound.resize(4 * 44_100 * 8, 0);
    let mut scene = Scene::with(no_alloc, DeviceConfig::new("microphone", DataFlow::Capture));
    let there = StockConfig::new(format(SampleFormat::S16, 44_100, 2));
    let (endpoint, _probe) = capture_probe(&there, scene.runner.endpoint_clock(), sound);
    let endpoint = scene.runner.engine.register(scene.session, "microphone", endpoint).unwrap();
    let connection = scene.runner.engine.connect(scene.session, scene.device).unwrap();
    scene.runner.engine.attach(scene.session, connection, endpoint, AttachConfig::default()).unwrap();
    let config = StreamConfig::new("recorder", format(SampleFormat::S16, 16_000, 1));
    let (id, mut reader) = scene.runner.engine.open_capture(scene.session, scene.device, config).unwrap();
    let mut bytes = vec![0; 2 * 16_000];
    let mut loud = 0;
    scene.runner.run_steps(ms(500), ms(10), |_| {
        let frames = reader.read(&mut bytes).as_usize();
        loud += bytes[..frames * 2].chunks(2).filter(|sample| sample[1] == 0x40).count();
    });
    assert!(loud > 6_000, "{loud} loud frames");
    scene.runner.engine.set_paused(scene.session, id, true).unwrap();
    scene.runner.run_for(ms(1_500));
    assert_eq!(scene.runner.next_wake(), None, "paused: nothing is due");
    reader.read(&mut bytes);
    scene.runner.engine.set_paused(scene.session, id, false).unwrap();
    scene.runner.run_for(ms(100));
    let frames = reader.read(&mut bytes).as_usize();
    assert!(frames > 1_000, "{frames}");
    assert!(bytes[..frames * 2].iter().all(|byte| *byte == 0), "what was heard before the pause came after it");
}

#[test]
fn without_a_microphone_there_is_silence_at_the_right_pace() {
    let mut scene = Scene::with(no_alloc, DeviceConfig::new("microphone", DataFlow::Capture));
    let config = StreamConfig::new("recorder", format(SampleFormat::S16, 16_000, 1));
    let (id, mut reader) = scene.runner.engine.open_capture(scene.session, scene.device, config).unwrap();
    let mut bytes = vec![0; 2 * 1_600];
    let mut frames = 0;
    scene.runner.run_steps(ms(1_000), ms(10), |_| frames += reader.read(&mut bytes).get());
    assert!(frames.abs_diff(16_000) <= 480, "{frames}");
    scene.runner.engine.close_stream(scene.session, id).unwrap();
    scene.runner.run_for(ms(100));
    assert!(reader.is_closed());
    assert_eq!(scene.runner.next_wake(), None, "nobody records: nothing is due");
}

#[test]
fn a_capture_device_is_fed_by_one_connection() {
    let (mut scene, _probe) = microphone(noise(S16, 480, 1));
    let second = scene.runner.engine.connect(scene.session, scene.device);
    assert_eq!(second, Err(EngineError::DeviceFed(scene.device)));
}
