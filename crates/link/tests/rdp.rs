//! The RDP listener against a scripted client, on virtual time.

#![allow(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests"
)]

mod common;

use std::time::Duration;

use common::{Manners, World};
use soundpost_core::{Clock, Hns, Instant};
use soundpost_link::rdp::{Feedback, PumpState, RdpAudioConfig, RdpAudioEvent, Volume};

const MS: Duration = Duration::from_millis(1);
const TEN: Hns = Hns::from_millis(10);

fn config() -> RdpAudioConfig {
    RdpAudioConfig::default()
}

fn playing(manners: Manners) -> World {
    World::playing(config(), manners, TEN, 2)
}

/// Every frame from the first on, in order, none missing, none twice, no silence between.
fn assert_whole(world: &World) {
    let mut expected = 0;
    let began = world.heard.iter().flat_map(|wave| &wave.frames).skip_while(|frame| **frame == 0);
    for frame in began {
        expected += 1;
        assert_eq!(*frame, expected);
    }
    let rendered = world.engine.as_ref().unwrap().counter;
    let under_way = (world.manners.delay.as_millis() as u32 + 60) * world.manners.rate / 1_000;
    assert!(rendered - expected < under_way, "{rendered} rendered, {expected} heard");
}

#[test]
fn every_frame_arrives_once_whatever_confirms_rate_and_period() {
    let plain = Manners::default();
    let cases = [
        (120, TEN, 2, plain),
        (120, TEN, 2, Manners { confirms: 1, rate: 44_100, ..plain }),
        (120, TEN, 2, Manners { confirms: 0, ..plain }),
        (20, Hns::new(25_000), 2, Manners { rate: 44_100, ..plain }),
        (20, Hns::from_millis(5), 4, Manners { confirms: 0, delay: 100 * MS, ..plain }),
        (20, Hns::from_millis(20), 2, Manners { confirms: 1, delay: 150 * MS, ..plain }),
        (20, TEN, 2, Manners { confirms: 0, answers_training: false, ..plain }),
    ];
    for (seconds, period, coefficient, manners) in cases {
        let mut world = World::new(config(), manners);
        // A client that does not confirm the first training is waited for 3 s.
        world.run(4 * Duration::from_secs(1));
        assert!(matches!(world.events[..], [RdpAudioEvent::Ready(_)]), "{manners:?}");
        world.attach(period, coefficient);
        world.run(Duration::from_secs(seconds));
        assert_whole(&world);
        let stats = world.audio.stats();
        assert_eq!((stats.stale_dropped_frames, stats.cuts, stats.underruns, stats.overflow_frames), (0, 0, 0, 0));
        assert_eq!(world.audio.faults().total(), 0, "{manners:?}");
        let feedback = match (manners.confirms, manners.answers_training) {
            (0, true) => Feedback::Training,
            (0, false) => Feedback::None,
            _ => Feedback::Waves,
        };
        assert_eq!(stats.feedback, feedback);
        assert_eq!(
            stats.waves as usize,
            world.heard.len() + world.to_client.iter().filter(|(_, p)| p[0] == 13).count()
        );
        assert!(stats.waves.abs_diff(seconds * 100) <= 5, "{} waves in {seconds} s: {manners:?}", stats.waves);
        for (index, pair) in world.heard.windows(2).enumerate() {
            // The first one has the headroom besides, one of the next what the engine's first packets leave over.
            let usual = manners.rate / 100;
            let frames = pair[1].frames.len() as u32;
            assert!(frames == usual || index < 4 && (usual..usual * 2).contains(&frames), "{index}: {frames} frames");
            let lasts = pair[0].frames.len() as u32 * 1_000 / manners.rate;
            let apart = u32::from(pair[1].stamp.wrapping_sub(pair[0].stamp));
            assert!((lasts..=lasts + 1).contains(&apart), "stamps are as even as the frames: {apart} for {lasts} ms");
            assert_eq!(pair[1].block, pair[0].block.wrapping_add(1));
        }
        if feedback != Feedback::None {
            let round_trip = stats.round_trip.unwrap();
            assert!(round_trip >= 2 * manners.delay && round_trip <= 2 * manners.delay + 2 * MS, "{round_trip:?}");
        }
    }
}

#[test]
fn a_listener_can_live_on_any_task() {
    fn is_send<T: Send>() {}
    is_send::<soundpost_link::rdp::RdpAudio>();
}

#[test]
fn pings_end_when_waves_are_confirmed() {
    let mut world = playing(Manners::default());
    world.run(Duration::from_secs(1));
    let trainings = world.trainings;
    assert!((2..6).contains(&trainings), "{trainings}");
    world.run(Duration::from_secs(5));
    assert_eq!(world.trainings, trainings);
    assert_eq!(world.audio.stats().client_latency, Some(40 * MS));
}

/// Late limit, lead, and what a client with two confirms says that it holds itself (40 ms); one pass more.
fn longest_queue(confirms: u8) -> Duration {
    (125 + if confirms == 2 { 40 } else { 0 }) * MS
}

/// Contract of the pump after a stall: sound within a second, at the former latency, nothing stale.
#[test]
fn a_stopped_client_gets_live_sound_at_the_former_latency() {
    for (confirms, stop) in [(2, 5_000), (1, 5_000), (0, 5_000), (2, 300), (0, 700), (1, 60_000)] {
        let mut world = playing(Manners { confirms, ..Manners::default() });
        world.run(Duration::from_secs(5));
        let before = *world.latencies(world.clock.now() - Duration::from_secs(1)).iter().max().unwrap();
        world.stopped = true;
        let stopped = world.clock.now();
        world.run(stop * MS);
        let stats = world.audio.stats();
        assert_eq!(stats.state, PumpState::Cut, "{confirms} confirms, {stop} ms");
        assert!(world.most_queued <= longest_queue(confirms), "{confirms} confirms: {:?}", world.most_queued);
        assert!(stats.unconfirmed <= stats.window + 10 * MS && stats.window < 100 * MS, "{stats:?}");
        world.stopped = false;
        let cont = world.clock.now();
        world.run(Duration::from_secs(5));
        let live = world
            .heard
            .iter()
            .find(|wave| wave.arrival >= cont && rendered(&world, wave.frames[0]) > cont - 30 * MS)
            .unwrap();
        assert!(
            live.arrival < cont + 500 * MS,
            "{confirms} confirms, {stop} ms: {:?}",
            live.arrival.saturating_since(cont)
        );
        // What comes before that was under way when the client stopped.
        for wave in world.heard.iter().filter(|wave| wave.arrival >= cont && wave.arrival < live.arrival) {
            assert!(rendered(&world, wave.frames[0]) < stopped + 100 * MS, "stale sound was sent after the stall");
        }
        let after = world.latencies(cont + Duration::from_secs(1));
        assert!(
            after.iter().all(|latency| *latency <= before + MS),
            "{confirms}: {before:?}, {:?}",
            after.iter().max()
        );
        assert!(after.iter().all(|latency| *latency + 3 * MS >= before), "{before:?}, {:?}", after.iter().min());
        assert_eq!(world.audio.stats().cuts, 1);
        let sound: Vec<u32> = world.sound().collect();
        let missing = u64::from(sound[sound.len() - 1]) - sound.len() as u64;
        assert_eq!(missing, world.audio.stats().stale_dropped_frames, "every lost frame is counted");
    }
}

fn rendered(world: &World, frame: u32) -> Instant {
    let rendered = &world.engine.as_ref().unwrap().rendered;
    rendered[rendered.partition_point(|(first, _)| *first <= frame).max(1) - 1].1
}

#[test]
fn a_short_stall_loses_nothing() {
    for confirms in [0, 1, 2] {
        let mut world = playing(Manners { confirms, ..Manners::default() });
        world.run(Duration::from_secs(2));
        for _ in 0..20 {
            world.stopped = true;
            world.run(90 * MS);
            world.stopped = false;
            world.run(500 * MS);
        }
        assert_whole(&world);
        assert_eq!(world.audio.stats().cuts, 0);
    }
}

/// A client that runs dry in a stall gathers all that was held up: without the pump's help it would be later ever after.
#[test]
fn latency_that_stalls_have_added_comes_back() {
    let second = Duration::from_secs(1);
    for (confirms, stall, times) in [(2, 70, 1), (2, 120, 1), (1, 90, 1), (2, 60, 6), (2, 130, 4)] {
        let prebuffer = Some(30 * MS);
        let mut world = playing(Manners { confirms, prebuffer, ..Manners::default() });
        world.run(3 * second);
        let median = |world: &World, since| {
            let mut latencies = world.latencies(since);
            latencies.sort_unstable();
            latencies[latencies.len() / 2]
        };
        let before = median(&world, world.clock.now() - second);
        let mut most = before;
        for _ in 0..times {
            world.stopped = true;
            world.run(stall * MS);
            world.stopped = false;
            world.run(200 * MS);
            most = most.max(median(&world, world.clock.now() - 100 * MS));
            world.run(3 * second);
        }
        assert!(most > before + 15 * MS, "{stall} ms: the stall has cost nothing, {before:?} {most:?}");
        let after = median(&world, world.clock.now() - second);
        // A wave is 10 ms long.
        assert!(after < before + 10 * MS && after + 10 * MS > before, "{stall} ms: {before:?}, {after:?}");
        let stats = world.audio.stats();
        assert!(stats.shortenings >= 1 && stats.shortenings <= times, "{stats:?}");
        // The first 5 ms after what was left out are a mixture of both ends.
        let waves = world.heard.iter().filter_map(|wave| wave.frames.get(240..));
        let whole: Vec<u32> = waves.flatten().copied().filter(|frame| *frame != 0).collect();
        assert!(whole.is_sorted_by(|a, b| a < b), "nothing twice");
        let sound: Vec<u32> = world.sound().collect();
        let missing = u64::from(sound[sound.len() - 1]) - sound.len() as u64;
        assert_eq!(missing, stats.left_out_frames + stats.stale_dropped_frames, "every lost frame is counted");
        // In calm nothing more is left out.
        world.run(60 * second);
        assert_eq!(world.audio.stats().shortenings, stats.shortenings);
    }
}

/// Found by the property test: a confirmation with a made-up time says that the client holds seconds of sound.
#[test]
fn a_client_that_claims_to_hold_seconds_does_not_lengthen_the_queue() {
    let manners = Manners { confirms: 0, answers_training: true, pipe: 4_000, ..Manners::default() };
    let mut world = World::new(config(), manners);
    world.run(Duration::from_secs(4));
    world.attach(Hns::new(25_000), 2);
    world.run(2_613 * MS);
    world.stopped = true;
    for block in 0..64 {
        world.answer(vec![5, 0, 0, 0, 0, block, 0]);
    }
    world.run(2_000 * MS);
    assert!(world.most_queued <= 360 * MS, "{:?}", world.most_queued);
}

#[test]
fn a_client_that_never_reads_costs_a_bounded_queue_and_nothing_else() {
    for (confirms, answers_training) in [(2, true), (0, false)] {
        let manners = Manners { confirms, answers_training, pipe: 32 * 1024, ..Manners::default() };
        let mut world = World::new(config(), manners);
        world.run(Duration::from_secs(4));
        world.attach(TEN, 2);
        world.run(Duration::from_secs(1));
        world.stopped = true;
        world.run(Duration::from_secs(120));
        let stats = world.audio.stats();
        assert!(world.most_queued <= longest_queue(confirms), "{confirms} confirms: {:?}", world.most_queued);
        assert!(stats.queued <= 25 * MS, "{stats:?}");
        assert!(world.to_client.iter().map(|(_, payload)| payload.len()).sum::<usize>() < 32 * 1024 + 4_096);
        assert_eq!((stats.cuts, stats.overflow_frames, stats.underruns), (1, 0, 0));
        assert!(stats.stale_dropped_frames > 110 * 48_000);
    }
}

#[test]
fn silence_is_not_sent_and_the_next_sound_is_whole_at_the_same_latency() {
    let mut world = playing(Manners::default());
    world.engine.as_mut().unwrap().silent = true;
    world.run(Duration::from_secs(3));
    assert_eq!(world.heard.len(), 0, "nothing but silence so far");
    for pause in [3_000_u32, 1_015, 1_060, 1_250, 60_000] {
        let began = world.clock.now();
        world.engine.as_mut().unwrap().silent = false;
        world.run(Duration::from_secs(2));
        let latencies = world.latencies(began);
        // Half of the lead, the headroom, and a pass that was late.
        let (least, most) = (Duration::from_micros(11_500), Duration::from_micros(14_500));
        assert!(latencies.iter().all(|latency| *latency <= most), "{pause}: {:?}", latencies.iter().max());
        assert!(latencies.iter().skip(2).all(|latency| *latency >= least), "{pause}: {:?}", latencies.iter().min());
        world.engine.as_mut().unwrap().silent = true;
        world.run(pause * MS);
        let sent = world.audio.stats().waves;
        if pause > 1_100 {
            assert_eq!(world.audio.stats().state, PumpState::Idle);
            assert_eq!(world.audio.next_timeout(), None, "an idle listener wakes nobody");
            world.run(Duration::from_secs(1));
            assert_eq!(world.audio.stats().waves, sent);
        }
    }
    let sound: Vec<u32> = world.sound().collect();
    assert!(sound.iter().copied().eq(1..=world.engine.as_ref().unwrap().counter), "no frame of any sound is cut");
}

/// A screen reader's first syllable.
#[test]
fn a_click_after_a_minute_of_silence_is_heard_whole_and_hardly_later_than_in_running_play() {
    for (prebuffer, confirms) in [(30, 2), (100, 2), (30, 1), (100, 0)] {
        let mut world = playing(Manners { prebuffer: Some(prebuffer * MS), confirms, ..Manners::default() });
        world.run(Duration::from_secs(3));
        let running = *world.latencies(world.clock.now() - Duration::from_secs(1)).iter().max().unwrap();
        for idle in [3, 60] {
            world.engine.as_mut().unwrap().silent = true;
            world.run(Duration::from_secs(idle));
            assert_eq!(world.audio.stats().state, PumpState::Idle);
            let (began, first) = (world.clock.now(), world.engine.as_ref().unwrap().counter + 1);
            world.engine.as_mut().unwrap().silent = false;
            world.run(50 * MS);
            world.engine.as_mut().unwrap().silent = true;
            world.run(500 * MS);
            let last = world.engine.as_ref().unwrap().counter;
            assert!(last >= first + 50 * 48 - 1);
            assert!(world.sound().skip_while(|frame| *frame < first).eq(first..=last), "whole, once and in order");
            let click = world.latencies(began);
            assert!(click.iter().all(|latency| *latency <= running + 20 * MS), "{running:?}, {click:?}");
        }
        assert_eq!(world.audio.stats().shortenings, 0);
    }
}

#[test]
fn t13_a_listener_that_is_idled_does_not_starve() {
    for (idled, underruns) in [(true, 0), (false, 1)] {
        let mut world = playing(Manners::default());
        world.run(Duration::from_secs(1));
        let engine = world.engine.as_mut().unwrap();
        if idled {
            engine.port.set_pin(false).unwrap();
        }
        engine.hold(Duration::from_secs(5));
        world.run(Duration::from_secs(5));
        world.engine.as_mut().unwrap().port.set_pin(true).unwrap();
        world.run(Duration::from_secs(1));
        assert_eq!(world.audio.stats().underruns, underruns, "idled: {idled}");
        let sound: Vec<u32> = world.sound().collect();
        assert!(sound.iter().copied().eq(1..=sound.len() as u32), "idled or not, no frame is lost");
    }
}

#[test]
fn a_pause_of_the_engine_starts_again_from_dry() {
    let mut world = playing(Manners::default());
    world.run(Duration::from_secs(1));
    let before = *world.latencies(Instant::ORIGIN).iter().max().unwrap();
    for pause in [500_u32, 5_000] {
        let engine = world.engine.as_mut().unwrap();
        engine.control.stop().unwrap();
        engine.hold(pause * MS);
        world.run(pause * MS);
        world.engine.as_mut().unwrap().control.start().unwrap();
        let resumed = world.clock.now();
        world.run(Duration::from_secs(2));
        let after = world.latencies(resumed);
        assert!(after.iter().all(|latency| *latency <= before + MS), "{before:?} {:?}", after.iter().max());
        assert!(after.iter().all(|latency| *latency + 3 * MS >= before), "{before:?} {:?}", after.iter().min());
    }
    let sound: Vec<u32> = world.sound().collect();
    assert!(sound.iter().copied().eq(1..=sound.len() as u32), "C3: queued sound plays on");
}

#[test]
fn c1_a_reset_throws_away_what_is_not_sent_and_sound_starts_anew() {
    let mut world = playing(Manners::default());
    world.run(Duration::from_secs(1));
    world.stopped = true;
    world.run(200 * MS);
    let engine = world.engine.as_mut().unwrap();
    engine.control.stop().unwrap();
    engine.control.reset().unwrap();
    let last = engine.counter;
    engine.control.start().unwrap();
    world.stopped = false;
    world.run(Duration::from_secs(1));
    let sound: Vec<u32> = world.sound().collect();
    let fresh = sound.iter().position(|frame| *frame > last).unwrap();
    assert!(sound[fresh] == last + 1, "the new stream is whole");
    assert!(sound[fresh - 1] < last - 480, "the old one ended where sending stopped");
    assert!(sound[fresh..].is_sorted_by(|a, b| a + 1 == *b));
}

#[test]
fn the_end_is_played_to_the_last_frame_before_it_counts_as_drained() {
    for confirms in [0, 2] {
        let mut world = playing(Manners { confirms, delay: 30 * MS, ..Manners::default() });
        world.run(Duration::from_secs(1));
        world.run(3 * MS);
        let last = world.engine.as_ref().unwrap().counter;
        let end = world.clock.now();
        world.audio.handle_timeout(end);
        world.audio.finish(end);
        assert!(!world.audio.drained(end));
        while !world.audio.drained(world.clock.now()) {
            world.step();
        }
        assert!(world.clock.now() < end + 400 * MS, "{confirms}: {:?}", world.clock.now().saturating_since(end));
        assert_eq!(world.sound().last(), Some(last));
        let wave = world.heard.last().unwrap();
        assert!(wave.played + wave.frames.len() as u32 * MS / 48 <= world.clock.now());
        world.audio.close(world.clock.now());
        world.run(100 * MS);
        assert!(world.closed);
        assert_eq!(world.audio.stats().state, PumpState::Closed);
        assert!(world.audio.drained(world.clock.now()));
    }
}

#[test]
fn draining_waits_two_seconds_for_a_laggard_and_no_longer() {
    let mut world = playing(Manners::default());
    world.run(Duration::from_secs(1));
    world.stopped = true;
    world.run(50 * MS);
    let end = world.clock.now();
    world.audio.finish(end);
    world.run(1_990 * MS);
    assert!(!world.audio.drained(world.clock.now()));
    world.run(10 * MS);
    assert!(world.audio.drained(world.clock.now()));
}

#[test]
fn a_configured_volume_is_told_and_one_that_the_client_cannot_set_is_no_fault() {
    let config = RdpAudioConfig { volume: Some(Volume { left: 0x8000, right: 0x7000 }), ..config() };
    for (volume, told) in [(true, Some([0x8000, 0x7000])), (false, None)] {
        let mut world = World::playing(config.clone(), Manners { volume, ..Manners::default() }, TEN, 2);
        world.run(Duration::from_secs(1));
        assert_eq!(world.volume, told);
        assert_whole(&world);
    }
}

#[test]
fn a_client_without_answer_ends_in_an_event() {
    let mut world = World::new(config(), Manners::default());
    world.stopped = true;
    world.run(Duration::from_secs(11));
    assert_eq!(world.events, [RdpAudioEvent::NegotiationTimedOut]);
    assert_eq!(world.audio.stats().state, PumpState::Closed);
    assert!(world.audio.make_endpoint(world.clock.clone(), std::sync::Arc::<common::Bell>::default()).is_none());
    assert_eq!(world.audio.next_timeout(), None);
}
