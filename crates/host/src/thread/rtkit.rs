//! RealtimeKit: a system service that gives real-time priority to threads of processes that cannot take it.
//!
//! Its condition is a limit on how long such a thread may run without ever waiting, usually 200 ms
//! ([`run_time`](super::run_time)).

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use rustix::process::Pid;
use thiserror::Error;
use zbus::Connection;
use zbus::OwnedVariant;

use super::priority::PRIORITY;
use super::run_time;

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
/// asynchronous and the caller may be inside another runtime.
pub(super) fn raise(threads: &[Pid]) -> Result<(), RtkitError> {
    let (answer, answered) = sync_channel(1);
    let threads = threads.to_vec();
    let talk = move || {
        let _ = answer.try_send(talk(&threads));
    };
    std::thread::Builder::new().name("soundpost-rtkit".into()).spawn(talk)?;
    match answered.recv_timeout(PATIENCE) {
        Ok(answer) => answer,
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Err(RtkitError::Silent),
    }
}

fn talk(threads: &[Pid]) -> Result<(), RtkitError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { tokio::time::timeout(PATIENCE, ask(threads)).await.unwrap_or(Err(RtkitError::Silent)) })
}

async fn ask(threads: &[Pid]) -> Result<(), RtkitError> {
    let bus = Connection::system().await?;
    let highest = property(&bus, "MaxRealtimePriority").await.unwrap_or(i64::from(PRIORITY));
    if highest < i64::from(PRIORITY) {
        return Err(RtkitError::TooLow(highest));
    }
    let limit = property(&bus, "RTTimeUSecMax").await;
    run_time::limit(Some(limit.and_then(|limit| u64::try_from(limit).ok()).unwrap_or(USUAL_LIMIT)))?;
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
