//! From streams to listeners.

use soundpost_core::{FrameCount, SampleFormat};
use soundpost_endpoint::stock::{RateOffset, StockConfig};
use soundpost_endpoint::{BufferFlag, DataFlow};
use soundpost_engine::{AttachConfig, DeviceConfig};
use soundpost_testkit::{Call, Digest, check_order};

use super::scene::{S16, Scene, find, format, ms, noise};

#[test]
fn one_stream_at_unity_arrives_bit_for_bit() {
    for sample in SampleFormat::ALL {
        // The noise has 16 bits: of an s32 the mix keeps no more than 24.
        for (rate, channels) in [(48_000, 2), (44_100, 1), (8_000, 8), (192_000, 2)] {
            let format = format(sample, rate, channels);
            let mut device = DeviceConfig::new("speakers", DataFlow::Render);
            (device.rate, device.layout) = (format.rate, format.layout);
            let mut scene = Scene::with(crate::guard::no_alloc, device);
            let (_, _, mut probe) = scene.listener(format);
            let sound = noise(format, rate / 2, 1);
            let mut player = scene.player(format, sound.clone());
            scene.play(&mut [&mut player], ms(700));
            let heard = probe.take_sound();
            let start = find(&heard, &sound[..format.frame_bytes() * 16], format.frame_bytes());
            let start = start.unwrap_or_else(|| panic!("{format}: nothing of the sound was heard"));
            assert!(heard[start..].starts_with(&sound), "{format}: the sound was changed");
            // The cushion: a buffer less a packet of silence, and nothing but silence after the end.
            assert_eq!(format.frames_in(start), format.rate.frames_covering(soundpost_core::Hns::from_millis(10)));
            let after = &heard[start + sound.len()..];
            assert!(after.iter().all(|byte| *byte == sample.silence_byte()), "{format}: noise after the end");
            assert!(scene.drained(player.id));
        }
    }
}

#[test]
fn the_same_run_gives_the_same_digest() {
    let run = || {
        let mut scene = Scene::new();
        let (_, _, mut first) = scene.listener(S16);
        let (_, _, mut second) = scene.listener(format(SampleFormat::F32, 44_100, 6));
        let mut players: Vec<_> =
            [(SampleFormat::S16, 44_100, 2), (SampleFormat::U8, 8_000, 1), (SampleFormat::F32, 96_000, 6)]
                .into_iter()
                .zip(1..)
                .map(|((sample, rate, channels), seed)| {
                    let format = format(sample, rate, channels);
                    scene.player(format, noise(format, rate, seed))
                })
                .collect();
        let mut digest = Digest::new();
        for _ in 0..15 {
            let mut players: Vec<_> = players.iter_mut().collect();
            scene.play(&mut players, ms(100));
            digest.add(&first.take_sound());
            digest.add(&second.take_sound());
        }
        digest
    };
    let digest = run();
    assert_eq!(digest, run());
    assert_ne!(digest, Digest::new());
}

#[test]
fn r2_t3_t8_t9_t11_to_t13_the_engine_keeps_its_side_of_the_contract() {
    for (period, rate) in [(25_000, 44_100), (50_000, 48_000), (100_000, 44_100), (200_000, 192_000)] {
        let mut device = DeviceConfig::new("speakers", DataFlow::Render);
        device.period = soundpost_core::Hns::new(period);
        let mut scene = Scene::with(crate::guard::no_alloc, device);
        let format = format(SampleFormat::S16, rate, 2);
        let mut config = StockConfig::new(format);
        config.offset = RateOffset::from_ppb(300_000);
        let (_, _, mut probe) = scene.listener_with(&config, AttachConfig { coefficient: 3, event_driven: false });
        let mut player = scene.player(S16, noise(S16, 48_000, 3));
        scene.play(&mut [&mut player], ms(3_000));
        let packet = format.rate.frames_covering(soundpost_core::Hns::new(period));
        let calls = probe.take_calls();
        assert_eq!(check_order(&calls, packet, DataFlow::Render), []);
        let count = |wanted: Call| calls.iter().filter(|entry| entry.call == wanted).count();
        let passes = usize::try_from(scene.connection_stats(0).passes).unwrap();
        assert_eq!(count(Call::ProcessingComplete), passes, "T11: once a pass");
        assert_eq!(count(Call::Pulse), passes, "T12: once a pass");
        assert_eq!((count(Call::PinActive), count(Call::PinInactive)), (1, 1), "T13: one start, one end");
    }
}

#[test]
fn t8_silence_is_released_without_being_written() {
    let mut scene = Scene::new();
    let (_, _, mut probe) = scene.listener(S16);
    let mut player = scene.player(S16, vec![0; 48_000 * 4 / 5]);
    scene.play(&mut [&mut player], ms(150));
    let calls = probe.take_calls();
    let releases: Vec<_> = calls
        .iter()
        .filter_map(|entry| match entry.call {
            Call::Release { frames, flag } => Some((frames, flag)),
            _ => None,
        })
        .collect();
    assert!(releases.len() > 10);
    assert!(releases.iter().all(|(_, flag)| *flag == BufferFlag::Silent));
    let stats = scene.connection_stats(0);
    assert_eq!(stats.silent, stats.frames);
}

#[test]
fn d4_the_order_of_bringing_up_and_an_endpoint_that_drives() {
    let mut scene = Scene::new();
    let mut config = StockConfig::new(S16);
    config.event_driven = true;
    config.offset = RateOffset::from_ppb(500_000);
    let (_, _, mut probe) = scene.listener_with(&config, AttachConfig { coefficient: 2, event_driven: true });
    scene.runner.drive(probe.take_device().unwrap());
    let sound = noise(S16, 48_000 * 4, 5);
    let mut player = scene.player(S16, sound.clone());
    scene.play(&mut [&mut player], ms(5_000));
    let calls = probe.take_calls();
    assert_eq!(check_order(&calls, FrameCount::new(480), DataFlow::Render), []);
    assert!(calls.iter().any(|entry| entry.call == Call::SetEvent));
    // The endpoint's clock is 500 ppm fast and sets the pace: nothing runs dry, nothing is cut.
    let stats = scene.connection_stats(0);
    assert_eq!((stats.underruns, stats.cut), (0, 0));
    let heard = probe.take_sound();
    let start = find(&heard, &sound[..64], 4).unwrap();
    assert!(heard[start..].starts_with(&sound));
}

#[test]
fn several_listeners_hear_the_same_each_in_its_format() {
    let mut scene = Scene::new();
    let (_, _, mut a) = scene.listener(S16);
    let (_, _, mut b) = scene.listener(format(SampleFormat::S24, 48_000, 2));
    let sound = noise(S16, 24_000, 9);
    let mut player = scene.player(S16, sound.clone());
    scene.play(&mut [&mut player], ms(700));
    let (a, b) = (a.take_sound(), b.take_sound());
    let start = find(&a, &sound[..64], 4).unwrap();
    assert!(a[start..].starts_with(&sound));
    let wide: Vec<u8> = sound.chunks(2).flat_map(|sample| [0, sample[0], sample[1]]).collect();
    let start = find(&b, &wide[..96], 6).unwrap();
    assert!(b[start..].starts_with(&wide));
}

#[test]
fn a_listener_that_comes_late_hears_from_then_on_and_disturbs_nobody() {
    let mut scene = Scene::new();
    let (_, _, mut first) = scene.listener(S16);
    let sound = noise(S16, 48_000, 2);
    let mut player = scene.player(S16, sound.clone());
    scene.play(&mut [&mut player], ms(333));
    let (connection, endpoint, mut second) = scene.listener(S16);
    scene.play(&mut [&mut player], ms(333));
    scene.runner.engine.unregister(scene.session, endpoint).unwrap();
    scene.play(&mut [&mut player], ms(600));
    let heard = first.take_sound();
    let start = find(&heard, &sound[..64], 4).unwrap();
    assert!(heard[start..].starts_with(&sound), "R4: the first listener lost something");
    let heard = second.take_sound();
    let from = heard.iter().position(|byte| *byte != 0).unwrap() / 4 * 4;
    let part = &heard[from..];
    assert!(find(&sound, part, 4).is_some(), "the second listener heard something else");
    assert!(scene.runner.engine.detach(scene.session, connection).is_ok());
}

#[test]
fn without_a_listener_streams_run_on_at_the_right_pace() {
    let mut scene = Scene::new();
    let mut player = scene.player(S16, noise(S16, 96_000, 4));
    let mut last = 0;
    for step in 1..=20 {
        scene.play(&mut [&mut player], ms(50));
        let position = player.writer.as_mut().unwrap().position().get();
        assert!(position >= last && position.abs_diff(step * 2_400) <= 480, "{position} after {step} steps");
        last = position;
    }
}

#[test]
fn clocks_that_are_off_cut_or_starve_and_are_counted() {
    for (ppb, fast) in [(5_000_000, true), (-5_000_000, false)] {
        let mut scene = Scene::new();
        let mut config = StockConfig::new(S16);
        config.offset = RateOffset::from_ppb(ppb);
        let (_, _, mut probe) = scene.listener_with(&config, AttachConfig::default());
        let mut player = scene.player(S16, noise(S16, 48_000 * 9, 6));
        scene.play(&mut [&mut player], ms(8_000));
        let stats = scene.connection_stats(0);
        assert_eq!(stats.underruns > 0, fast, "{stats:?}");
        assert_eq!(stats.overruns > 0, !fast, "{stats:?}");
        let rate = stats.rate.unwrap();
        assert!((rate - 48_000.0 * (1.0 + f64::from(ppb) * 1e-9)).abs() < 30.0, "{rate}");
        drop(probe.take_sound());
    }
}

#[test]
fn a_clock_that_is_hardly_off_loses_nothing() {
    // 20 ppm are 4 frames in 4 s: they wait, or come out of the cushion, and the very last one is heard too.
    for ppb in [-20_000, -5_000, 5_000, 20_000] {
        let mut scene = Scene::new();
        let mut config = StockConfig::new(S16);
        config.offset = RateOffset::from_ppb(ppb);
        let (_, _, mut probe) = scene.listener_with(&config, AttachConfig::default());
        let sound = noise(S16, 48_000 * 4, 7);
        let mut player = scene.player(S16, sound.clone());
        scene.play(&mut [&mut player], ms(4_500));
        let stats = scene.connection_stats(0);
        assert_eq!((stats.underruns, stats.cut), (0, 0), "{ppb} ppb");
        let heard = probe.take_sound();
        let start = find(&heard, &sound[..64], 4).unwrap();
        assert!(heard[start..].starts_with(&sound), "{ppb} ppb: frames were lost");
    }
}

#[test]
fn rates_are_converted_on_both_sides_without_a_gap() {
    // A 1 kHz sine at 44.1 kHz through a 48 kHz device to a 32 kHz endpoint.
    let from = format(SampleFormat::F32, 44_100, 2);
    let to = format(SampleFormat::F32, 32_000, 2);
    let sound: Vec<u8> = (0..44_100_u32)
        .flat_map(|n| {
            let x = (f64::from(n) * 1_000.0 / 44_100.0 * std::f64::consts::TAU).sin() as f32 * 0.5;
            [x.to_le_bytes(), x.to_le_bytes()].concat()
        })
        .collect();
    let mut scene = Scene::new();
    let (_, _, mut probe) = scene.listener(to);
    let mut player = scene.player(from, sound);
    scene.play(&mut [&mut player], ms(1_200));
    let heard: Vec<f32> = probe
        .take_sound()
        .chunks(8)
        .map(|frame| f32::from_le_bytes([frame[0], frame[1], frame[2], frame[3]]))
        .collect();
    let start = heard.iter().position(|x| x.abs() > 0.1).unwrap() + 320;
    // Over any two periods of the sine, the residue of a fitted sine is small.
    for window in heard[start..start + 28_800].chunks_exact(64) {
        let (mut s, mut c) = (0.0_f64, 0.0_f64);
        for (n, x) in window.iter().enumerate() {
            let angle = n as f64 / 32.0 * std::f64::consts::TAU;
            s += f64::from(*x) * angle.sin() / 32.0;
            c += f64::from(*x) * angle.cos() / 32.0;
        }
        assert!((s.hypot(c) - 0.5).abs() < 0.002, "level {}", s.hypot(c));
        for (n, x) in window.iter().enumerate() {
            let angle = n as f64 / 32.0 * std::f64::consts::TAU;
            assert!((f64::from(*x) - s * angle.sin() - c * angle.cos()).abs() < 0.001);
        }
    }
    assert_eq!(scene.stream_stats(0).underruns, 0);
    assert_eq!(scene.connection_stats(0).underruns, 0);
}

#[test]
fn the_end_of_a_converted_stream_is_heard_although_it_is_inside_the_filter_for_several_passes() {
    let mut device = DeviceConfig::new("speakers", DataFlow::Render);
    device.period = soundpost_core::Hns::new(25_000);
    let mut scene = Scene::with(crate::guard::no_alloc, device);
    let (_, _, mut probe) = scene.listener(format(SampleFormat::F32, 48_000, 1));
    let narrow = format(SampleFormat::F32, 8_000, 1);
    let mut player = scene.player(narrow, 0.5_f32.to_le_bytes().repeat(2_000));
    scene.play(&mut [&mut player], ms(500));
    let heard = probe.take_sound();
    let loud = heard.chunks(4).filter(|x| f32::from_le_bytes([x[0], x[1], x[2], x[3]]) > 0.25).count();
    assert!(loud.abs_diff(12_000) <= 12, "{loud} frames of 12,000");
    assert!(scene.drained(player.id));
}

#[test]
fn drain_says_when_the_last_frame_was_played() {
    let mut scene = Scene::new();
    let (_, _, probe) =
        scene.listener_with(&StockConfig::new(S16), AttachConfig { coefficient: 10, event_driven: false });
    let clock = probe.clock.clone();
    let mut player = scene.player(S16, noise(S16, 4_800, 8));
    scene.play(&mut [&mut player], ms(5));
    let began = scene.runner.now();
    while !scene.drained(player.id) {
        scene.runner.run_for(ms(1));
        assert!(scene.runner.now().saturating_since(began) < ms(1_000), "never drained");
    }
    // 90 ms of cushion and 100 ms of sound; told within two passes.
    let played = clock.reader().read().1;
    assert!((9_120..9_120 + 960).contains(&played), "{played}");
}
