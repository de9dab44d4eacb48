//! Whatever happens around it, the listener stays within its bounds and never plays anything twice.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod common;

use std::time::Duration;

use common::{Manners, World};
use proptest::prelude::*;
use soundpost_core::Hns;
use soundpost_link::rdp::RdpAudioConfig;

#[derive(Clone, Debug)]
enum Step {
    Run(u16),
    StopClient,
    ContinueClient,
    Silence(bool),
    LateEngine(u8),
    Pause(u16),
    Reset,
    Nonsense(Vec<u8>),
    NewEndpoint,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..3_000_u16).prop_map(Step::Run),
        1 => Just(Step::StopClient),
        2 => Just(Step::ContinueClient),
        2 => any::<bool>().prop_map(Step::Silence),
        1 => any::<u8>().prop_map(Step::LateEngine),
        1 => (1..2_000_u16).prop_map(Step::Pause),
        1 => Just(Step::Reset),
        2 => (prop_oneof![Just(5_u8), Just(6), Just(7), Just(12), any::<u8>()], prop::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(kind, rest)| Step::Nonsense([vec![kind], rest].concat())),
        1 => Just(Step::NewEndpoint),
    ]
}

fn manners() -> impl Strategy<Value = Manners> {
    (0..3_u8, any::<bool>(), prop_oneof![Just(44_100), Just(48_000)], 0..80_u64, 4_000..100_000_usize).prop_map(
        |(confirms, answers_training, rate, delay, pipe)| Manners {
            confirms,
            answers_training,
            rate,
            // What lies on the way at 1.5 Mbit/s, at least.
            pipe: pipe + 400 * delay as usize,
            delay: Duration::from_millis(delay),
            ..Manners::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sound_is_never_repeated_and_queues_stay_bounded(
        manners in manners(),
        period in prop_oneof![Just(25_000), Just(50_000), Just(100_000), Just(200_000)],
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut world = World::new(RdpAudioConfig::default(), manners);
        world.run(Duration::from_secs(4));
        world.attach(Hns::new(period), 2);
        // One that confirms a wave just once and then never answers anything again waits for itself.
        let answers = manners.confirms > 0 || manners.answers_training;
        for step in steps {
            let counter = world.engine.as_ref().unwrap().counter;
            match step {
                Step::Run(millis) => world.run(Duration::from_millis(millis.into())),
                Step::StopClient => world.stopped = true,
                Step::ContinueClient => world.stopped = false,
                Step::Silence(silent) => world.engine.as_mut().unwrap().silent = silent,
                Step::LateEngine(millis) => world.engine.as_mut().unwrap().hold(Duration::from_millis(millis.into())),
                Step::Pause(millis) => {
                    let engine = world.engine.as_mut().unwrap();
                    engine.control.stop().unwrap();
                    engine.hold(Duration::from_millis(millis.into()));
                    world.run(Duration::from_millis(millis.into()));
                    world.engine.as_mut().unwrap().control.start().unwrap();
                }
                Step::Reset => {
                    let engine = world.engine.as_mut().unwrap();
                    engine.control.stop().unwrap();
                    engine.control.reset().unwrap();
                    engine.control.start().unwrap();
                }
                Step::Nonsense(pdu) if answers => world.answer(pdu),
                Step::Nonsense(_) => {}
                Step::NewEndpoint => {
                    world.attach(Hns::new(period), 2);
                    world.engine.as_mut().unwrap().counter = counter;
                }
            }
            // The late limit, the lead, and a packet.
            prop_assert!(world.most_queued <= Duration::from_millis(400), "{:?}", world.most_queued);
        }
        let sound: Vec<u32> = world.sound().collect();
        prop_assert!(sound.is_sorted_by(|a, b| a < b));
        // However it went, live sound comes again.
        world.stopped = false;
        world.engine.as_mut().unwrap().silent = false;
        world.run(Duration::from_secs(3));
        let last = world.sound().last().unwrap_or(0);
        let rendered = world.engine.as_ref().unwrap().counter;
        prop_assert!(rendered - last < manners.rate / 2, "{rendered} rendered, {last} heard");
    }
}
