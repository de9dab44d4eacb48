//! Drain: told when what was written has been heard, whatever else the stream does.

use soundpost_core::{FrameCount, SampleFormat};
use soundpost_engine::{EngineEvent, StreamConfig, StreamState};

use super::scene::{Player, S16, Scene, find, format, ms, noise};

/// How often the stream was told that it is drained.
fn told(scene: &Scene, player: &Player) -> usize {
    let told = EngineEvent::StreamDrained { session: scene.session, stream: player.id };
    scene.runner.events.iter().filter(|event| **event == told).count()
}

#[test]
fn a_stream_that_goes_on_is_told_when_what_was_queued_has_been_played() {
    for (how, played_at_48k) in [(S16, 1), (format(SampleFormat::S16, 16_000, 1), 3)] {
        let mut scene = Scene::new();
        let (_, _, probe) = scene.listener(S16);
        let mut player = scene.player(how, noise(how, how.rate.get() * 4, 1));
        scene.play(&mut [&mut player], ms(300));
        scene.runner.engine.drain(scene.session, player.id).unwrap();
        let written = u64::try_from(player.at / how.frame_bytes()).unwrap();
        assert!(player.writer.as_ref().unwrap().queued() > FrameCount::new(how.rate.get() / 10));
        let mut reader = probe.clock.reader();
        while told(&scene, &player) == 0 {
            scene.play(&mut [&mut player], ms(5));
            assert!(reader.read().1 < 48_000, "{how}: never told");
        }
        // 480 frames of cushion come before the first frame. Told within two passes, and one of rounding up.
        let due = 480 + written * played_at_48k;
        let heard = reader.read().1;
        assert!((due..due + 3 * 480).contains(&heard), "{how}: told at {heard}, due at {due}");
        scene.play(&mut [&mut player], ms(500));
        assert_eq!(told(&scene, &player), 1, "{how}: asked once, told once");
        let snapshot = scene.runner.engine.snapshot_of(scene.session, scene.device).unwrap();
        assert_eq!(snapshot.streams[0].state, StreamState::Running);
        assert_eq!(snapshot.streams[0].stats.underruns, 0);
    }
}

#[test]
fn a_stream_that_asks_all_the_time_is_told_again_and_again() {
    let mut scene = Scene::new();
    let (_, _, _probe) = scene.listener(S16);
    let mut player = scene.player(S16, noise(S16, 48_000 * 4, 1));
    for _ in 0..40 {
        scene.play(&mut [&mut player], ms(50));
        scene.runner.engine.drain(scene.session, player.id).unwrap();
    }
    let told = told(&scene, &player);
    assert!((5..=40).contains(&told), "told {told} times in 2 s with 200 ms queued");
}

#[test]
fn a_stream_that_is_over_is_told_at_once() {
    let mut scene = Scene::new();
    let (_, _, _probe) = scene.listener(S16);
    let mut player = scene.player(S16, noise(S16, 4_800, 1));
    scene.play(&mut [&mut player], ms(3_000));
    assert_eq!((told(&scene, &player), scene.runner.next_wake()), (1, None));
    scene.runner.engine.drain(scene.session, player.id).unwrap();
    scene.runner.run_for(ms(1));
    assert_eq!(told(&scene, &player), 2);
    scene.runner.run_for(ms(3_000));
    assert_eq!((told(&scene, &player), scene.runner.next_wake()), (2, None));
}

#[test]
fn a_drained_stream_that_goes_on_later_waits_for_its_prebuffer_and_starves_nobody() {
    let mut scene = Scene::new();
    let mut config = StreamConfig::new("player", S16);
    config.prebuffer = FrameCount::new(2_400);
    let (id, mut writer) = scene.runner.engine.open_stream(scene.session, scene.device, config).unwrap();
    // Less than the prebuffer plays, because the application waits for it.
    writer.write(&noise(S16, 1_000, 1));
    scene.runner.engine.drain(scene.session, id).unwrap();
    scene.runner.run_for(ms(100));
    assert!(scene.drained(id));
    assert_eq!((writer.position().get(), scene.stream_stats(0).underruns), (1_000, 0), "asked for, not run dry");
    writer.write(&noise(S16, 2_399, 2));
    scene.runner.run_for(ms(100));
    assert_eq!(writer.position().get(), 1_000, "less than the prebuffer plays");
    writer.write(&noise(S16, 1, 3));
    scene.runner.run_for(ms(100));
    assert_eq!(writer.position().get(), 3_400);
}

#[test]
fn what_is_written_after_a_drain_and_then_finished_has_an_end_of_its_own() {
    let mut scene = Scene::new();
    let (_, _, _probe) = scene.listener(S16);
    let mut player = scene.player(S16, noise(S16, 48_000, 1));
    scene.play(&mut [&mut player], ms(100));
    scene.runner.engine.drain(scene.session, player.id).unwrap();
    scene.play(&mut [&mut player], ms(280));
    assert_eq!((told(&scene, &player), player.at < player.sound.len()), (1, true), "the drain, before the end");
    scene.play(&mut [&mut player], ms(1_500));
    assert_eq!(told(&scene, &player), 2, "the drain and the end");
}

#[test]
fn a_flush_ends_a_drain() {
    let mut scene = Scene::new();
    let (_, _, _probe) = scene.listener(S16);
    let player = scene.player(S16, noise(S16, 48_000, 1));
    let mut player = player;
    scene.play(&mut [&mut player], ms(100));
    scene.runner.engine.drain(scene.session, player.id).unwrap();
    scene.runner.engine.flush(scene.session, player.id, player.writer.as_ref().unwrap().written()).unwrap();
    scene.runner.run_for(ms(60));
    assert_eq!(told(&scene, &player), 1, "nothing is left to be heard");
}

#[test]
fn a_flush_takes_what_was_written_before_it_and_nothing_of_what_is_written_behind() {
    let mut scene = Scene::new();
    let (_, _, mut probe) = scene.listener(S16);
    let player = scene.player(S16, Vec::new());
    let (old, new) = (noise(S16, 4_800, 1), noise(S16, 2_400, 2));
    let mut writer = player.writer.unwrap();
    assert_eq!(writer.write(&old), FrameCount::new(4_800));
    scene.runner.run_for(ms(30));
    scene.runner.engine.flush(scene.session, player.id, writer.written()).unwrap();
    assert_eq!(writer.write(&new), FrameCount::new(2_400));
    scene.runner.run_for(ms(200));
    let heard = probe.take_sound();
    assert!(find(&heard, &new, 4).is_some(), "all that was written behind it");
    assert!(find(&heard, &old[..4 * 480], 4).is_some(), "what was mixed before it");
    assert!(find(&heard, &old[old.len() - 4 * 480..], 4).is_none(), "the rest is thrown away");
}
