//! Runs an engine on a virtual clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use soundpost_core::{Clock, Instant};
use soundpost_endpoint::Event;
use soundpost_endpoint::stock::Device;
use soundpost_engine::{Engine, EngineConfig, EngineEvent, NextWake, Worker};

use crate::VirtualClock;

/// What every pass runs in, such as a guard against allocation: it is to call what it is given, once.
pub type Gate = fn(&mut dyn FnMut());

/// An event that the runner looks at instead of waiting for it.
#[derive(Debug, Default)]
pub struct WakeFlag {
    raised: AtomicBool,
    count: AtomicU64,
}

impl WakeFlag {
    /// Whether it was signalled since this was last asked.
    pub fn take(&self) -> bool {
        self.raised.swap(false, Ordering::AcqRel)
    }

    /// Whether it was signalled, and stays so.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Acquire)
    }

    /// How often it was signalled.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

impl Event for WakeFlag {
    fn signal(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.raised.store(true, Ordering::Release);
    }
}

/// An engine, its workers and a virtual clock, on one thread. Time jumps from one wake-up to the next.
pub struct Runner {
    /// The clock; endpoints are made with it.
    pub clock: Arc<VirtualClock>,
    /// The control side.
    pub engine: Engine,
    /// What the engine has reported so far; a test takes what it looks for.
    pub events: Vec<EngineEvent>,
    threads: Vec<Thread>,
    devices: Vec<Device>,
    gate: Gate,
    passes: u64,
}

struct Thread {
    worker: Worker,
    wake: Arc<WakeFlag>,
    next: NextWake,
}

impl Runner {
    /// An engine with `workers` workers and the usual settings. Costs are measured with the virtual clock.
    #[must_use]
    pub fn new(workers: usize, gate: Gate) -> Self {
        Self::with_config(workers, gate, |_| {})
    }

    /// The same with settings that `change` has changed.
    #[must_use]
    pub fn with_config(workers: usize, gate: Gate, change: impl FnOnce(&mut EngineConfig)) -> Self {
        let clock = Arc::new(VirtualClock::new(Instant::from_nanos(1_000_000_000)));
        let flags: Vec<Arc<WakeFlag>> = (0..workers).map(|_| Arc::default()).collect();
        let mut wake: Vec<Arc<dyn Event>> = Vec::new();
        for flag in &flags {
            wake.push(Arc::<WakeFlag>::clone(flag));
        }
        let mut config = EngineConfig::new(wake);
        config.costs = Some(Arc::<VirtualClock>::clone(&clock));
        change(&mut config);
        let (engine, workers) = Engine::new(config);
        let threads = workers
            .into_iter()
            .zip(flags)
            .map(|(worker, wake)| Thread { worker, wake, next: NextWake::Idle })
            .collect();
        Self { clock, engine, events: Vec::new(), threads, devices: Vec::new(), gate, passes: 0 }
    }

    /// The clock as endpoints want it.
    #[must_use]
    pub fn endpoint_clock(&self) -> Arc<dyn Clock> {
        Arc::<VirtualClock>::clone(&self.clock)
    }

    /// Lets an event-driven endpoint's device signal in time.
    pub fn drive(&mut self, device: Device) {
        self.devices.push(device);
    }

    /// How often workers have run so far.
    #[must_use]
    pub fn passes(&self) -> u64 {
        self.passes
    }

    /// The present time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Runs everything that is due within `duration`, and leaves the clock at its end.
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now() + duration;
        while let Some(at) = self.next_wake().filter(|at| *at <= end) {
            self.clock.set(at);
            self.step();
        }
        self.clock.set(end);
        self.settle();
    }

    /// Runs for `duration` in steps of `step`; `between` is called before each, as an application would come round.
    pub fn run_steps(&mut self, duration: Duration, step: Duration, mut between: impl FnMut(&mut Self)) {
        let end = self.now() + duration;
        while self.now() < end {
            between(self);
            self.run_for(step);
        }
    }

    /// Lets time pass without anybody running, as on a busy machine.
    pub fn stall(&mut self, duration: Duration) {
        self.clock.advance(duration);
    }

    /// When something is due next; nothing while all workers are idle.
    #[must_use]
    pub fn next_wake(&mut self) -> Option<Instant> {
        let now = self.now();
        let threads = self.threads.iter().filter_map(|thread| match thread.next {
            _ if thread.wake.raised.load(Ordering::Acquire) => Some(now),
            NextWake::At(at) => Some(at),
            NextWake::Idle => None,
        });
        let ticks = self.devices.iter_mut().filter_map(Device::next_tick);
        threads.chain(ticks).min()
    }

    /// Does what is due now.
    pub fn step(&mut self) {
        let now = self.now();
        for device in &mut self.devices {
            device.tick(now);
        }
        for thread in &mut self.threads {
            let due = matches!(thread.next, NextWake::At(at) if at <= now);
            if thread.wake.take() || due {
                let (worker, next) = (&mut thread.worker, &mut thread.next);
                (self.gate)(&mut || *next = worker.run_pass(now));
                self.passes += 1;
            }
        }
        self.collect();
    }

    /// Lets commands take effect that have been sent without time passing.
    pub fn settle(&mut self) {
        while self.threads.iter().any(|thread| thread.wake.raised.load(Ordering::Acquire)) {
            self.step();
        }
        self.collect();
    }

    fn collect(&mut self) {
        self.engine.maintain();
        while let Some(event) = self.engine.poll_event() {
            self.events.push(event);
        }
    }
}
