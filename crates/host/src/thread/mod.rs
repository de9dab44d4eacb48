//! The real-time threads: each runs one of the engine's workers.
//!
//! A thread's loop makes two kinds of system calls: it waits (for the next pass, or for its [`EventFd`]), and it wakes
//! others. Three things that such threads often do are left out on purpose:
//!
//! - *No flush-to-zero mode.* To change the floating-point environment is undefined behaviour in Rust; the signal path
//!   keeps denormal numbers out by itself.
//! - *No mlockall.* The usual limit on locked memory (8 MiB) would turn later allocations of the whole daemon into
//!   failures. What a pass touches is written when it is made and again in every pass, so it stays resident.
//! - *No processor is reserved.* Which one a thread runs on is the scheduler's to decide.

mod priority;
mod rtkit;
mod run_time;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use rustix::process::Pid;
use soundpost_core::{Clock, Instant};
use soundpost_endpoint::Event;
use thiserror::Error;

use crate::clock::MonotonicClock;
use crate::event::EventFd;

pub use priority::Grant;
use run_time::Listed;

/// What one real-time thread does: a pass at the given time; answers when the next one is due, or `None` for "when
/// the event is signalled". Both end a wait, whichever comes first.
pub type Work = Box<dyn FnMut(Instant) -> Option<Instant> + Send>;

/// Why real-time threads cannot be started.
#[derive(Debug, Error)]
#[error("cannot start the real-time threads: {0}; close something or raise the limit on threads")]
pub struct StartError(#[source] std::io::Error);

/// How a real-time thread came to an end that it should not.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StopError {
    /// A pass panicked: the thread is gone, and with it the sound of its sessions.
    #[error("the real-time thread {name} failed: {panic}; this is a defect of Soundpost, please report it")]
    Panicked {
        /// The thread.
        name: String,
        /// What the panic said.
        panic: String,
    },
    /// A pass did not come back in time; the thread was left behind.
    #[error("the real-time thread {name} does not end: an endpoint holds it")]
    Stuck {
        /// The thread.
        name: String,
    },
}

/// The real-time threads of an engine.
#[derive(Debug)]
pub struct RtThreads {
    threads: Vec<RtThread>,
    grant: Grant,
}

impl RtThreads {
    /// Starts a thread for each piece of work, `soundpost-rt0` and so on, and asks the system for a real-time
    /// priority for them; what became of that is logged once. Each piece of work comes with the event that wakes it.
    /// Blocks, for a second at most: not on a real-time thread.
    ///
    /// # Errors
    /// [`StartError`]; threads that were started already are stopped again.
    pub fn start(work: impl IntoIterator<Item = (Work, Arc<EventFd>)>) -> Result<Self, StartError> {
        let mut threads = Vec::new();
        for (index, (work, wake)) in work.into_iter().enumerate() {
            threads.push(RtThread::start(format!("soundpost-rt{index}"), work, wake).map_err(StartError)?);
        }
        let ids: Vec<Pid> = threads.iter().map(|thread| thread.id).collect();
        let grant = priority::raise(&ids);
        grant.log();
        Ok(Self { threads, grant })
    }

    /// What the system has granted.
    #[must_use]
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Whether a thread has ended by itself, which it only does after a panic. [`RtThreads::stop`] says more. Whoever has
    /// to know at once puts something into the [`Work`] that tells when it is dropped.
    #[cfg(test)]
    fn has_failed(&self) -> bool {
        self.threads.iter().any(|thread| thread.thread.as_ref().is_none_or(JoinHandle::is_finished))
    }

    /// Stops all threads after the pass they are in. Waits at most `patience` for all of them together.
    ///
    /// # Errors
    /// The first [`StopError`]; all threads are stopped as far as they can be.
    pub fn stop(mut self, patience: Duration) -> Result<(), StopError> {
        for thread in &self.threads {
            thread.ask_to_stop();
        }
        let until = MonotonicClock.now() + patience;
        let mut result = Ok(());
        for mut thread in self.threads.drain(..) {
            let joined = thread.join(until.saturating_since(MonotonicClock.now()));
            result = result.and(joined);
        }
        result
    }
}

#[derive(Debug)]
struct RtThread {
    name: String,
    id: Pid,
    wake: Arc<EventFd>,
    stop: Arc<AtomicBool>,
    ended: Receiver<Option<String>>,
    thread: Option<JoinHandle<()>>,
}

impl RtThread {
    fn start(name: String, work: Work, wake: Arc<EventFd>) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (id_in, id_out) = sync_channel(1);
        let (end_in, ended) = sync_channel(1);
        let shared = (stop.clone(), wake.clone());
        let thread = Builder::new().name(name.clone()).spawn(move || {
            let (stop, wake) = shared;
            life(work, &stop, &wake, &id_in, &end_in);
        })?;
        let id = id_out.recv().map_err(std::io::Error::other)?;
        Ok(Self { name, id, wake, stop, ended, thread: Some(thread) })
    }

    fn ask_to_stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake.signal();
    }

    fn join(&mut self, patience: Duration) -> Result<(), StopError> {
        self.ask_to_stop();
        let ended = self.ended.recv_timeout(patience);
        if ended == Err(RecvTimeoutError::Timeout) {
            // The thread is left behind; it ends as soon as its pass comes back.
            self.thread = None;
            return Err(StopError::Stuck { name: self.name.clone() });
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        match ended {
            Ok(Some(panic)) => Err(StopError::Panicked { name: self.name.clone(), panic }),
            _ => Ok(()),
        }
    }
}

impl Drop for RtThread {
    fn drop(&mut self) {
        if self.thread.is_some() {
            let _ = self.join(Duration::from_secs(1));
        }
    }
}

/// A thread from its first moment to its last.
fn life(mut work: Work, stop: &AtomicBool, wake: &EventFd, id: &SyncSender<Pid>, ended: &SyncSender<Option<String>>) {
    let listed = Listed::enter();
    let _ = id.send(listed.id());
    // Without a real-time priority the kernel may end a wait up to 50 µs late to save wake-ups. Not here.
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
    let result = catch_unwind(AssertUnwindSafe(|| run(&mut work, stop, wake)));
    let panic = result.err().map(|panic| {
        let text =
            panic.downcast_ref::<&str>().map(ToString::to_string).or_else(|| panic.downcast_ref::<String>().cloned());
        text.unwrap_or_else(|| "unknown reason".into())
    });
    if let Some(panic) = &panic {
        tracing::error!("a real-time thread failed: {panic}");
    }
    let _ = ended.try_send(panic);
}

fn run(work: &mut Work, stop: &AtomicBool, wake: &EventFd) {
    while !stop.load(Ordering::Acquire) {
        let timeout = work(MonotonicClock.now()).map(|at| at.saturating_since(MonotonicClock.now()));
        if timeout != Some(Duration::ZERO) {
            wake.wait(timeout);
        }
    }
}

#[cfg(test)]
mod tests;
