//! RealtimeKit: a system service that gives real-time priority to threads of processes that cannot take it.
//!
//! Its condition is a limit on how long such a thread may run without ever waiting (RLIMIT_RTTIME, usually 200 ms):
//! the kernel sends SIGXCPU at the soft limit and kills the process at the hard one. The soft one is set to half, and
//! at that signal the threads go back to the normal priority, which ends the counting: a pass that hangs costs the
//! priority, not the process. (Where the pass holds the only processor, nobody is left to do that.)

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use zbus::Connection;
use zbus::OwnedVariant;

use super::priority::PRIORITY;
use crate::sys::{Policy, set_scheduler};

const SERVICE: &str = "org.freedesktop.RealtimeKit1";
const OBJECT: &str = "/org/freedesktop/RealtimeKit1";
/// How long the service may take to start and answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// RLIMIT_RTTIME in microseconds, where the service does not say.
const USUAL_LIMIT: u64 = 200_000;

/// Why RealtimeKit did not help.
#[derive(Debug, Error)]
pub(super) enum RtkitError {
    #[error("RealtimeKit cannot be asked: {0}")]
    Bus(#[from] zbus::Error),
    #[error("RealtimeKit cannot be asked: {0}")]
    System(#[from] std::io::Error),
    #[error("RealtimeKit does not answer")]
    Silent,
    #[error("RealtimeKit grants priority {0} at most")]
    TooLow(i64),
}

/// Asks for these threads of this process. The conversation has a thread of its own, since its library is
/// asynchronous and the caller may be inside another runtime; where priority is granted that thread stays, to watch
/// for the limit.
pub(super) fn raise(threads: &[Pid]) -> Result<(), RtkitError> {
    let (answer, answered) = sync_channel(1);
    let threads = threads.to_vec();
    std::thread::Builder::new().name("soundpost-rtkit".into()).spawn(move || talk(&threads, &answer))?;
    match answered.recv_timeout(PATIENCE) {
        Ok(answer) => answer,
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Err(RtkitError::Silent),
    }
}

fn talk(threads: &[Pid], answer: &SyncSender<Result<(), RtkitError>>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = answer.try_send(Err(error.into()));
            return;
        }
    };
    runtime.block_on(async {
        // Watched before the limit is set: nothing that happens in between may end the process.
        let mut over_limit = match signal(SignalKind::from_raw(libc::SIGXCPU)) {
            Ok(signals) => signals,
            Err(error) => {
                let _ = answer.try_send(Err(error.into()));
                return;
            }
        };
        let asked = tokio::time::timeout(PATIENCE, ask(threads)).await.unwrap_or(Err(RtkitError::Silent));
        let granted = asked.is_ok();
        let _ = answer.try_send(asked);
        if !granted {
            return;
        }
        while over_limit.recv().await.is_some() {
            for thread in threads {
                let _ = set_scheduler(*thread, Policy::Normal);
            }
            tracing::error!("a pass held the processor too long: sound threads have lost their real-time priority");
        }
    });
}

async fn ask(threads: &[Pid]) -> Result<(), RtkitError> {
    let bus = Connection::system().await?;
    let highest = property(&bus, "MaxRealtimePriority").await.unwrap_or(i64::from(PRIORITY));
    if highest < i64::from(PRIORITY) {
        return Err(RtkitError::TooLow(highest));
    }
    let limit = property(&bus, "RTTimeUSecMax").await;
    limit_run_time(limit.and_then(|limit| u64::try_from(limit).ok()).unwrap_or(USUAL_LIMIT))?;
    for thread in threads {
        let thread = u64::from(thread.as_raw_nonzero().get().unsigned_abs());
        let body = (thread, u32::from(PRIORITY));
        bus.call_method(Some(SERVICE), OBJECT, Some(SERVICE), "MakeThreadRealtime", &body).await?;
    }
    Ok(())
}

/// A number that the service publishes. Both that are read here have been there since its first version, as 32 or as
/// 64 bits.
async fn property(bus: &Connection, name: &str) -> Option<i64> {
    let properties = "org.freedesktop.DBus.Properties";
    let reply = bus.call_method(Some(SERVICE), OBJECT, Some(properties), "Get", &(SERVICE, name)).await.ok()?;
    let value: OwnedVariant = reply.body().deserialize().ok()?;
    i64::try_from(&value).ok().or_else(|| i32::try_from(&value).ok().map(i64::from))
}

/// Sets the limit that the service asks for, where it is not lower already.
fn limit_run_time(micros: u64) -> Result<(), RtkitError> {
    let now = getrlimit(Resource::Rttime);
    let maximum = now.maximum.map_or(micros, |maximum| maximum.min(micros));
    let current = now.current.map_or(maximum / 2, |current| current.min(maximum / 2));
    setrlimit(Resource::Rttime, Rlimit { current: Some(current), maximum: Some(maximum) })
        .map_err(std::io::Error::from)?;
    Ok(())
}
