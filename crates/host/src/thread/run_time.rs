//! The limit on how long a real-time thread may run without ever waiting (RLIMIT_RTTIME, setrlimit(2)).
//!
//! A real-time thread that never waits leaves its processor to nobody of a lower priority, so that an endpoint that
//! loops in a pass could freeze the machine. The kernel counts: it sends SIGXCPU at the soft limit and kills the
//! process at the hard one. At that signal all real-time threads go back to the normal priority, which ends the
//! counting: a pass that hangs costs the priority, not the machine and not the process.
//!
//! Who gives the priority sets the hard limit: RealtimeKit asks for one, a system that grants the priority itself has
//! decided on it. The soft limit is ours in both cases, and is set before any thread has its priority.

use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::sys::{Policy, set_scheduler};

/// The soft limit in microseconds, where none is lower: five of the longest periods. Half of what RealtimeKit usually
/// asks for as the hard one, so that there is time to act.
const SOFT: u64 = 100_000;

struct Watch {
    /// The thread that waits for the signal; one for the process, from the first need on.
    watcher: Option<Pid>,
    /// The real-time threads there are.
    threads: Vec<Pid>,
}

static WATCH: Mutex<Watch> = Mutex::new(Watch { watcher: None, threads: Vec::new() });

fn watch() -> MutexGuard<'static, Watch> {
    WATCH.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A real-time thread, from its first moment to its last: also one that nobody waits for any more is watched.
pub(super) struct Listed(Pid);

impl Listed {
    /// Enters the calling thread. Takes a lock: before its first pass.
    pub(super) fn enter() -> Self {
        let id = rustix::thread::gettid();
        watch().threads.push(id);
        Self(id)
    }

    pub(super) fn id(&self) -> Pid {
        self.0
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        watch().threads.retain(|thread| *thread != self.0);
    }
}

/// Sets the limit, in microseconds, where it is not lower already; `hard` is what the hard one may be at most. Watches
/// for the signal first: nothing that happens in between may end the process. Answers with the thread that watches.
///
/// # Errors
/// The system's; no thread may get a real-time priority then.
pub(super) fn limit(hard: Option<u64>) -> io::Result<Pid> {
    let watcher = watcher()?;
    let now = getrlimit(Resource::Rttime);
    let least = |one: Option<u64>, other: Option<u64>| one.into_iter().chain(other).min();
    let maximum = least(now.maximum, hard);
    let soft = maximum.map_or(SOFT, |maximum| SOFT.min(maximum / 2));
    setrlimit(Resource::Rttime, Rlimit { current: least(now.current, Some(soft)), maximum })?;
    Ok(watcher)
}

/// The thread that watches, which is started when it is first needed and then stays.
fn watcher() -> io::Result<Pid> {
    let mut watch = watch();
    if let Some(watcher) = watch.watcher {
        return Ok(watcher);
    }
    let (ready, is_ready) = sync_channel(1);
    std::thread::Builder::new().name("soundpost-limit".into()).spawn(move || live(&ready))?;
    let watcher = is_ready.recv().unwrap_or_else(|lost| Err(io::Error::other(lost)))?;
    watch.watcher = Some(watcher);
    Ok(watcher)
}

fn live(ready: &SyncSender<io::Result<Pid>>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_io().build() {
        Ok(runtime) => runtime,
        Err(error) => return drop(ready.try_send(Err(error))),
    };
    runtime.block_on(async {
        match signal(SignalKind::from_raw(libc::SIGXCPU)) {
            Ok(over_limit) => {
                let _ = ready.try_send(Ok(rustix::thread::gettid()));
                demote_at(over_limit).await;
            }
            Err(error) => drop(ready.try_send(Err(error))),
        }
    });
}

async fn demote_at(mut over_limit: Signal) {
    while over_limit.recv().await.is_some() {
        for thread in &watch().threads {
            let _ = set_scheduler(*thread, Policy::Normal);
        }
        tracing::error!("a pass held the processor too long: sound threads have lost their real-time priority");
    }
}
