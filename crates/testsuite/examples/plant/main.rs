//! An endpoint whose real-time half does what it must not, in the passes of a real engine: what `cargo xtask guards`
//! runs each guard against. `plant VIOLATION GUARD`.
//!
//! Guards: `no-alloc`, `rtsan` and `watch` run the passes on the virtual clock in that guard alone; `thread` runs them
//! on a real-time thread of `host`, for somebody to trace. It says "committing" before the first violation, and
//! "finished" if nothing has stopped it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a program for a check")]

#[path = "violations/clock_read.rs"]
mod clock_read;
#[path = "violations/contended_lock.rs"]
mod contended_lock;
mod endpoint;
#[path = "violations/file_read.rs"]
mod file_read;
#[path = "violations/malloc_in_rust.rs"]
mod malloc_in_rust;
#[path = "violations/nothing.rs"]
mod nothing;
#[path = "violations/sleep.rs"]
mod sleep;
#[path = "violations/unbounded_loop.rs"]
mod unbounded_loop;
#[path = "violations/uncontended_lock.rs"]
mod uncontended_lock;

use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rtsan_standalone::ScopedSanitizeRealtime;
use soundpost_core::{Clock, Format};
use soundpost_endpoint::DataFlow;
use soundpost_endpoint::stock::{StockConfig, null_render};
use soundpost_engine::{AttachConfig, DeviceConfig, Engine, EngineConfig, NextWake, StreamConfig, StreamWriter};
use soundpost_guards::{AllocDisabler, watch};
use soundpost_host::clock::MonotonicClock;
use soundpost_host::event::EventFd;
use soundpost_host::thread::{RtThreads, Work};
use soundpost_testkit::{Gate, Runner};

#[global_allocator]
static ALLOCATOR: AllocDisabler = AllocDisabler;

/// What the endpoint does in its passes.
type Violation = fn();

const VIOLATIONS: &[(&str, Violation)] = &[
    ("nothing", nothing::commit),
    ("malloc_in_rust", malloc_in_rust::commit),
    ("malloc_in_c", planted_c::commit),
    ("contended_lock", contended),
    ("uncontended_lock", uncontended_lock::commit),
    ("sleep", sleep::commit),
    ("clock_read", clock_read::commit),
    ("file_read", file_read::commit),
    ("unbounded_loop", unbounded_loop::commit),
];

/// The endpoint is sound for so many passes first.
const SOUND_PASSES: u32 = 20;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [violation, guard] = arguments.as_slice() else { return usage() };
    let Some((name, commit)) = VIOLATIONS.iter().find(|(name, _)| name == violation) else { return usage() };
    if *name == "contended_lock" {
        hold_the_lock();
    }
    match guard.as_str() {
        "no-alloc" => on_the_virtual_clock(*commit, |pass| assert_no_alloc::assert_no_alloc(pass)),
        "rtsan" => on_the_virtual_clock(*commit, |pass| {
            let _realtime = ScopedSanitizeRealtime::default();
            pass();
        }),
        "watch" => on_the_virtual_clock(*commit, |pass| watch(pass)),
        "thread" => on_a_thread(*commit),
        _ => return usage(),
    }
    say("finished");
}

fn usage() {
    let names: Vec<&str> = VIOLATIONS.iter().map(|(name, _)| *name).collect();
    println!("usage: plant {} no-alloc|rtsan|watch|thread", names.join("|"));
    std::process::exit(2);
}

fn say(word: &str) {
    println!("{word}");
    std::io::stdout().flush().unwrap();
}

/// Whether a pass has come for the lock since another thread took it.
static ASKED_FOR: AtomicBool = AtomicBool::new(false);

/// Takes the lock, which another thread holds.
fn contended() {
    ASKED_FOR.store(true, Ordering::Relaxed);
    contended_lock::commit();
}

/// Another thread holds the lock until a pass wants it, and for so long after that the pass has to wait: passes on the
/// virtual clock take no time, and would slip through the gaps of a lock that is held now and then.
fn hold_the_lock() {
    let (is_held, held) = channel();
    std::thread::spawn(move || {
        loop {
            let lock = contended_lock::SHARED.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = is_held.send(());
            while !ASKED_FOR.swap(false, Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_millis(50));
            drop(lock);
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    held.recv().unwrap();
}

/// A session with a device, the endpoint that will misbehave, and a stream that plays.
fn scene(engine: &mut Engine, clock: Arc<dyn Clock>, commit: Violation) -> StreamWriter {
    let session = engine.open_session("session").unwrap();
    let device = engine.open_device(session, DeviceConfig::new("speakers", DataFlow::Render)).unwrap();
    let stock = null_render(&StockConfig::new(Format::DEFAULT), clock);
    let endpoint = endpoint::planted(stock.endpoint, SOUND_PASSES, commit);
    let endpoint = engine.register(session, "planted", endpoint).unwrap();
    let connection = engine.connect(session, device).unwrap();
    engine.attach(session, connection, endpoint, AttachConfig::default()).unwrap();
    engine.open_stream(session, device, StreamConfig::new("player", Format::DEFAULT)).unwrap().1
}

/// Some ten milliseconds of sound.
fn sound() -> Vec<u8> {
    [0x12, 0x34, 0x56, 0x78].repeat(480)
}

fn on_the_virtual_clock(commit: Violation, gate: Gate) {
    let mut runner = Runner::new(1, gate);
    let clock = runner.endpoint_clock();
    let mut writer = scene(&mut runner.engine, clock, commit);
    let sound = sound();
    runner.run_for(Duration::from_millis(1));
    let period = Duration::from_millis(10);
    runner.run_steps(period * SOUND_PASSES / 2, period, |_| {
        writer.write(&sound);
    });
    say("committing");
    runner.run_steps(Duration::from_secs(1), period, |_| {
        writer.write(&sound);
    });
    assert!(runner.passes() > 100, "{} passes show nothing", runner.passes());
}

/// Plays until standard input ends, on a thread as the daemon's are.
fn on_a_thread(commit: Violation) {
    let (wake, notify) = (Arc::new(EventFd::new().unwrap()), Arc::new(EventFd::new().unwrap()));
    let clock: Arc<dyn Clock> = Arc::new(MonotonicClock);
    let config =
        EngineConfig { notify: Some(notify), costs: Some(clock.clone()), ..EngineConfig::new(vec![wake.clone()]) };
    let (mut engine, workers) = Engine::new(config);
    let mut writer = scene(&mut engine, clock, commit);
    let work = workers.into_iter().map(|mut worker| {
        let work: Work = Box::new(move |now| match worker.run_pass(now) {
            NextWake::At(then) => Some(then),
            NextWake::Idle => None,
        });
        (work, wake.clone())
    });
    let threads = RtThreads::start(work).unwrap();
    std::thread::spawn(move || {
        let sound = sound();
        loop {
            writer.write(&sound);
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    std::thread::sleep(Duration::from_millis(10) * SOUND_PASSES);
    say("committing");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    // The thread may be in a pass without an end: nobody waits for it.
    std::mem::forget(threads);
}
