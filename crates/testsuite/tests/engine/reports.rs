//! What comes back from the real-time side when much comes back at once.

use std::sync::Arc;

use soundpost_core::Instant;
use soundpost_endpoint::{DataFlow, Event};
use soundpost_engine::{DeviceConfig, Engine, EngineConfig, EngineError, NextWake, StreamConfig};
use soundpost_testkit::WakeFlag;

use super::scene::S16;
use crate::guard::no_alloc;

#[test]
fn a_worker_that_could_not_report_everything_is_woken_to_go_on() {
    let wake: Arc<WakeFlag> = Arc::default();
    let event: Arc<dyn Event> = Arc::<WakeFlag>::clone(&wake);
    let (mut engine, mut workers) = Engine::new(EngineConfig::new(vec![event]));
    let worker = &mut workers[0];
    let mut pass = |at: u64| {
        let mut next = NextWake::Idle;
        no_alloc(&mut || next = worker.run_pass(Instant::from_nanos(at)));
        next
    };
    let session = engine.open_session("alice").unwrap();
    let device = engine.open_device(session, DeviceConfig::new("speakers", DataFlow::Render)).unwrap();
    // Nobody collects while streams come and go, until the way back is full and commands wait.
    let mut at = 1_000;
    let last = loop {
        let opened = engine.open_stream(session, device, StreamConfig::new("short", S16));
        let Ok((stream, writer)) = opened else {
            assert!(matches!(opened, Err(EngineError::Busy)));
            break at;
        };
        if engine.close_stream(session, stream).is_err() {
            break at;
        }
        assert!(writer.queued().is_zero());
        if at % 16 == 0 {
            assert_eq!(pass(at), NextWake::Idle);
        }
        at += 1;
    };
    assert_eq!(pass(last), NextWake::Idle);
    wake.take();
    engine.maintain();
    assert!(wake.take(), "commands wait, and nobody wakes the worker");
    assert_eq!(pass(last), NextWake::Idle);
    engine.maintain();
    let (_, mut writer) = engine.open_stream(session, device, StreamConfig::new("goes on", S16)).unwrap();
    writer.write(&[1; 4 * 480]);
    assert!(matches!(pass(last), NextWake::At(_)));
    engine.maintain();
    // Nothing was left over, so nobody is woken for nothing.
    wake.take();
    engine.maintain();
    assert!(!wake.take());
}
