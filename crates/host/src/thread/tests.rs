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

/// The scheduling policy of a thread of this process, as /proc/PID/task/TID/stat has it in its 41st field.
fn policy(thread: Pid) -> i32 {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat")).unwrap();
    // The second field is the name, in brackets; the third comes first here.
    stat.rsplit(')').next().unwrap().split_whitespace().nth(41 - 3).unwrap().parse().unwrap()
}

#[test]
fn x3_a_pass_that_never_waits_costs_the_priority_and_neither_the_machine_nor_the_process() {
    // Looked at while nobody runs against it: whenever the kernel sends its signal, it adds a second to the limit.
    let idle: Work = Box::new(|_| None);
    assert_eq!(RtThreads::start([(idle, event())]).unwrap().stop(PATIENCE), Ok(()));
    let limit = rustix::process::getrlimit(rustix::process::Resource::Rttime).current;
    assert!(limit.is_some_and(|limit| limit <= 100_000), "{limit:?}");

    let free = Arc::new(AtomicBool::new(false));
    let (hold, wake) = (free.clone(), event());
    let work: Work = Box::new(move |_| {
        // Whatever happens to the test, the processor comes back.
        let until = std::time::Instant::now() + PATIENCE;
        while !hold.load(Ordering::Acquire) && std::time::Instant::now() < until {
            std::hint::spin_loop();
        }
        None
    });
    let threads = RtThreads::start([(work, wake)]).unwrap();
    let id = threads.threads[0].id;
    if *threads.grant() != Grant::Direct {
        // Where no pass can reach the limit, the signal itself stands for it.
        println!("{}: the priority cannot be lost here", threads.grant());
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::XCPU).unwrap();
    }
    let until = std::time::Instant::now() + PATIENCE / 2;
    while policy(id) != libc::SCHED_OTHER && std::time::Instant::now() < until {
        std::thread::yield_now();
    }
    let at_the_end = policy(id);
    free.store(true, Ordering::Release);
    assert_eq!(at_the_end, libc::SCHED_OTHER, "the thread keeps its real-time priority");
    assert_eq!(threads.stop(PATIENCE), Ok(()));
}

#[test]
fn what_is_refused_is_said_with_what_to_do() {
    let said = Grant::Refused { rtkit: "RealtimeKit does not answer".into() }.to_string();
    assert!(said.contains("LimitRTPRIO") && said.contains("rtkit"), "{said}");
}
