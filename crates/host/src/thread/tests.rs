use std::sync::mpsc::channel;

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

fn event() -> Arc<EventFd> {
    Arc::new(EventFd::new().unwrap())
}

#[test]
fn a_thread_sleeps_until_it_is_woken_and_stops_when_it_is_told() {
    let wake = event();
    let (passes_in, passes) = channel();
    let work: Work = Box::new(move |now| {
        passes_in.send(now).unwrap();
        None
    });
    let threads = RtThreads::start([(work, wake.clone())]).unwrap();
    let first = passes.recv_timeout(PATIENCE).unwrap();
    assert!(passes.try_recv().is_err(), "without a signal there is no second pass");
    wake.signal();
    assert!(passes.recv_timeout(PATIENCE).unwrap() >= first, "the time never goes back");
    assert!(!threads.has_failed());
    assert_eq!(threads.stop(PATIENCE), Ok(()));
    assert!(passes.iter().count() <= 1, "one last pass at most, and the work is dropped with the thread");
}

#[test]
fn a_pass_that_is_due_is_run_without_a_signal() {
    let (passes_in, passes) = channel();
    let work: Work = Box::new(move |now| {
        let _ = passes_in.send(now);
        Some(now + Duration::from_millis(1))
    });
    let threads = RtThreads::start([(work, event())]).unwrap();
    let first = passes.recv_timeout(PATIENCE).unwrap();
    let second = passes.recv_timeout(PATIENCE).unwrap();
    assert!(second.saturating_since(first) >= Duration::from_millis(1), "not before its time");
    assert_eq!(threads.stop(PATIENCE), Ok(()));
}

#[test]
fn x2_a_panic_in_a_pass_ends_in_an_error_and_takes_no_other_thread_along() {
    let (passes_in, passes) = channel();
    let bad: Work = Box::new(|_| panic!("out of cheese"));
    let good_wake = event();
    let good: Work = Box::new(move |now| {
        let _ = passes_in.send(now);
        None
    });
    let threads = RtThreads::start([(bad, event()), (good, good_wake.clone())]).unwrap();
    while !threads.has_failed() {
        std::thread::yield_now();
    }
    passes.recv_timeout(PATIENCE).unwrap();
    good_wake.signal();
    passes.recv_timeout(PATIENCE).unwrap();
    let panic = "out of cheese".into();
    assert_eq!(threads.stop(PATIENCE), Err(StopError::Panicked { name: "soundpost-rt0".into(), panic }));
}

#[test]
fn x3_a_pass_that_never_comes_back_does_not_hold_up_the_end() {
    let (hold, held) = channel::<()>();
    let (there_in, there) = channel();
    let work: Work = Box::new(move |_| {
        let _ = there_in.send(());
        let _ = held.recv();
        None
    });
    let threads = RtThreads::start([(work, event())]).unwrap();
    there.recv_timeout(PATIENCE).unwrap();
    assert_eq!(threads.stop(Duration::ZERO), Err(StopError::Stuck { name: "soundpost-rt0".into() }));
    drop(hold);
}

#[test]
fn what_is_refused_is_said_with_what_to_do() {
    let said = Grant::Refused { rtkit: "RealtimeKit does not answer".into() }.to_string();
    assert!(said.contains("LimitRTPRIO") && said.contains("rtkit"), "{said}");
}
