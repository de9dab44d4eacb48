//! X2: the real-time half of the RDP endpoint neither allocates nor frees.

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
use soundpost_core::{Clock, Hns};
use soundpost_link::rdp::RdpAudioConfig;

#[test]
fn x2_passes_do_not_allocate() {
    let mut world = World::playing(RdpAudioConfig::default(), Manners::default(), Hns::from_millis(10), 2);
    let mut engine = world.engine.take().unwrap();
    for pass in 0..2_000 {
        world.clock.pass(Duration::from_millis(10));
        engine.silent = pass % 500 > 300;
        let now = world.clock.now();
        // Under the guard, as in every test here. Some passes with a full queue: the pump is away.
        engine.pass(now);
        if pass % 200 < 120 {
            world.step();
        }
        if pass % 700 == 699 {
            engine.control.stop().unwrap();
            engine.control.reset().unwrap();
            engine.control.start().unwrap();
        }
    }
    assert!(world.audio.stats().overflow_frames > 0, "the queue was full at times");
    assert!(!world.heard.is_empty());
}
