//! Late passes, stalls, idleness.

use soundpost_core::{Format, Hns, SampleFormat};
use soundpost_endpoint::DataFlow;
use soundpost_endpoint::stock::StockConfig;
use soundpost_engine::{AttachConfig, DeviceConfig};
use soundpost_testkit::{Call, Runner};

use super::scene::{S16, Scene, find, format, ms, noise};
use crate::guard::no_alloc;

#[test]
fn late_passes_are_counted_caught_up_and_lose_nothing() {
    let mut scene = Scene::new();
    let (_, _, mut probe) =
        scene.listener_with(&StockConfig::new(S16), AttachConfig { coefficient: 6, event_driven: false });
    let sound = noise(S16, 48_000, 1);
    let mut player = scene.player(S16, sound.clone());
    scene.play(&mut [&mut player], ms(200));
    scene.runner.stall(ms(34));
    scene.play(&mut [&mut player], ms(1_000));
    let stats = scene.device_stats();
    assert!(stats.late >= 1);
    assert_eq!(stats.missed, 0, "two periods fit into what the endpoint has played meanwhile");
    let connection = scene.connection_stats(0);
    assert_eq!((connection.underruns, connection.cut), (0, 0));
    let heard = probe.take_sound();
    let start = find(&heard, &sound[..64], 4).unwrap();
    assert!(heard[start..].starts_with(&sound));
    // Never piled up: the first pass fills the buffer of six packets; after that nothing waits, and a pass has its own
    // packet and at most one that is caught up.
    let mut passes = vec![0];
    for entry in probe.take_calls() {
        match entry.call {
            Call::Release { frames, .. } => *passes.last_mut().unwrap() += frames.get(),
            Call::ProcessingComplete => passes.push(0),
            _ => {}
        }
    }
    assert_eq!(passes[0], 6 * 480, "primed, and the first packet");
    let most = passes[1..].iter().max().copied();
    assert_eq!(most, Some(2 * 480), "the most frames in one pass");
    // The pass that was due after 10 ms came after 34.
    assert_eq!(passes[1..].iter().filter(|frames| **frames == 2 * 480).count(), 2, "periods that were caught up");
}

#[test]
fn a_stall_makes_streams_wait_and_loses_no_frame() {
    for stall in [15, 25, 60, 99, 101, 250, 5_000] {
        let mut scene = Scene::new();
        let (_, _, mut small) = scene.listener(S16);
        let (_, _, mut large) =
            scene.listener_with(&StockConfig::new(S16), AttachConfig { coefficient: 8, event_driven: false });
        let sound = noise(S16, 48_000, 1);
        let mut player = scene.player(S16, sound.clone());
        scene.play(&mut [&mut player], ms(200));
        scene.runner.stall(ms(stall));
        scene.play(&mut [&mut player], ms(1_500));
        for probe in [&mut small, &mut large] {
            let heard: Vec<u8> = probe.take_sound();
            // Silence may have been put in, at the stall; without it everything is there, once and in order.
            let without: Vec<u8> = heard.chunks(4).filter(|frame| **frame != [0; 4]).flatten().copied().collect();
            assert!(without == sound, "a stall of {stall} ms lost or repeated frames");
        }
        assert!(scene.device_stats().late >= 1);
        assert_eq!(scene.connection_stats(0).cut + scene.connection_stats(1).cut, 0);
        if stall > 110 {
            assert!(scene.device_stats().missed >= stall / 10 - 2);
        }
    }
}

#[test]
fn an_idle_device_is_not_woken_and_a_write_wakes_it() {
    let mut scene = Scene::new();
    let (_, _, mut probe) = scene.listener(S16);
    let mut player = scene.player(S16, noise(S16, 4_800, 1));
    scene.runner.run_for(ms(100));
    assert_eq!(scene.runner.next_wake(), None, "nothing was written yet");
    scene.play(&mut [&mut player], ms(3_000));
    assert_eq!(scene.runner.next_wake(), None, "nothing is due after the sound");
    let calls = probe.take_calls();
    assert_eq!(calls.iter().filter(|entry| entry.call == Call::PinActive).count(), 1);
    assert_eq!(calls.iter().filter(|entry| entry.call == Call::PinInactive).count(), 1);
    probe.take_sound();
    let passes = scene.runner.passes();
    scene.runner.run_for(ms(60_000));
    assert_eq!(scene.runner.passes(), passes, "an idle minute costs nothing");
    // A click after a minute of silence is whole, and no later than in running play.
    let click = noise(S16, 2_400, 2);
    let mut player = scene.player(S16, click.clone());
    scene.play(&mut [&mut player], ms(200));
    let heard = probe.take_sound();
    let start = find(&heard, &click[..64], 4).unwrap();
    assert!(heard[start..].starts_with(&click));
    assert!(start / 4 <= 960, "{} frames of silence before the click", start / 4);
}

#[test]
fn a_paused_stream_lets_its_device_go_idle_whatever_its_format() {
    for how in [S16, format(SampleFormat::S16, 44_100, 1)] {
        let mut scene = Scene::new();
        let (_, _, _probe) = scene.listener(S16);
        let mut player = scene.player(how, noise(how, 96_000, 1));
        scene.play(&mut [&mut player], ms(200));
        scene.runner.engine.set_paused(scene.session, player.id, true).unwrap();
        scene.play(&mut [&mut player], ms(3_000));
        assert_eq!(scene.runner.next_wake(), None, "{how}");
    }
}

#[test]
fn a_hundred_idle_sessions_never_run() {
    let mut runner = Runner::new(1, no_alloc);
    for number in 0..100 {
        let session = runner.engine.open_session(format!("user {number}")).unwrap();
        runner.engine.open_device(session, DeviceConfig::new("speakers", DataFlow::Render)).unwrap();
        runner.engine.open_device(session, DeviceConfig::new("microphone", DataFlow::Capture)).unwrap();
    }
    runner.settle();
    let passes = runner.passes();
    runner.run_for(ms(600_000));
    assert_eq!(runner.passes(), passes);
    assert_eq!(runner.next_wake(), None);
}

#[test]
fn every_period_keeps_its_own_pace_on_one_worker() {
    let mut runner = Runner::new(1, no_alloc);
    let session = runner.engine.open_session("alice").unwrap();
    let mut writers = Vec::new();
    for period in [25_000_u64, 50_000, 100_000, 200_000] {
        let mut config = DeviceConfig::new("speakers", DataFlow::Render);
        config.period = Hns::new(i64::try_from(period).unwrap());
        let device = runner.engine.open_device(session, config).unwrap();
        let stream = soundpost_engine::StreamConfig::new("player", Format::DEFAULT);
        writers.push((period, runner.engine.open_stream(session, device, stream).unwrap().1));
    }
    let silence = vec![0; 8 * 9_600];
    runner.run_steps(ms(2_000), ms(5), |_| {
        for (_, writer) in &mut writers {
            writer.write(&silence);
        }
    });
    for (device, (period, writer)) in runner.engine.snapshot().sessions[0].devices.iter().zip(&mut writers) {
        let expected = 2 * 10_000_000 / *period;
        assert!(device.stats.passes.abs_diff(expected) <= 1, "{} passes of {period}", device.stats.passes);
        assert_eq!((device.stats.late, device.stats.missed), (0, 0));
        assert!(writer.position().get().abs_diff(96_000) <= 960);
    }
}
