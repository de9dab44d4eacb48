//! A worker with a clock and a plan of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use soundpost_core::{Clock, Instant};
use soundpost_endpoint::Event;
use soundpost_endpoint::stock::Device;
use soundpost_engine::{Engine, EngineConfig, NextWake, Worker};

use super::plan::{Action, Plan};
use crate::{Gate, VirtualClock, WakeFlag};

/// A worker, its clock, and what is going to happen in its sessions.
pub(super) struct Lane {
    pub(super) clock: Arc<VirtualClock>,
    pub(super) plan: Plan,
    /// Event-driven endpoints' devices.
    pub(super) devices: Vec<Device>,
    /// Applications that come round together.
    pub(super) rounds: Vec<Round>,
    round_of: BTreeMap<(u32, u32), usize>,
    /// How often the worker ran.
    pub(super) runs: u64,
    worker: Worker,
    wake: Arc<WakeFlag>,
    next: NextWake,
    costs: Arc<CostClock>,
    number: usize,
    gate: Gate,
}

/// Applications with one interval and phase.
pub(super) struct Round {
    pub(super) interval: Duration,
    pub(super) players: Vec<usize>,
    pub(super) planned: bool,
}

/// The clock of whichever lane is running: what the engine measures costs with.
struct CostClock {
    clocks: Vec<Arc<VirtualClock>>,
    running: AtomicUsize,
}

impl Clock for CostClock {
    fn now(&self) -> Instant {
        self.clocks.get(self.running.load(Ordering::Relaxed)).map_or(Instant::ORIGIN, |clock| clock.now())
    }
}

/// An engine and a lane for each of its workers.
pub(super) fn lanes(workers: usize, start: Instant, gate: Gate) -> (Engine, Vec<Lane>) {
    let clocks: Vec<_> = (0..workers).map(|_| Arc::new(VirtualClock::new(start))).collect();
    let flags: Vec<_> = (0..workers).map(|_| Arc::<WakeFlag>::default()).collect();
    let events = flags.iter().map(|flag| -> Arc<dyn Event> { Arc::<WakeFlag>::clone(flag) });
    let mut config = EngineConfig::new(events.collect());
    let costs = Arc::new(CostClock { clocks: clocks.clone(), running: AtomicUsize::new(0) });
    config.costs = Some(Arc::<CostClock>::clone(&costs));
    let (engine, workers) = Engine::new(config);
    let lanes = workers.into_iter().zip(clocks).zip(flags).zip(0..).map(|(((worker, clock), wake), number)| Lane {
        clock,
        plan: Plan::default(),
        devices: Vec::new(),
        rounds: Vec::new(),
        round_of: BTreeMap::new(),
        runs: 0,
        worker,
        wake,
        next: NextWake::Idle,
        costs: Arc::clone(&costs),
        number,
        gate,
    });
    (engine, lanes.collect())
}

impl Lane {
    pub(super) fn now(&self) -> Instant {
        self.clock.now()
    }

    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// Takes its turn among the lanes.
    pub(super) fn take_turn(&self) {
        self.costs.running.store(self.number, Ordering::Relaxed);
    }

    /// Lets passes run up to `end`, and leaves the clock there.
    pub(super) fn run_until(&mut self, end: Instant, engine: &mut Engine) {
        while let Some(at) = self.next_wake().filter(|at| *at <= end) {
            self.clock.set(at);
            self.step(engine);
        }
        self.clock.set(end);
    }

    /// Lets commands take effect that have been sent without time passing.
    pub(super) fn settle(&mut self, engine: &mut Engine) {
        while self.wake.is_raised() {
            self.step(engine);
        }
    }

    fn next_wake(&mut self) -> Option<Instant> {
        let worker = match self.next {
            _ if self.wake.is_raised() => Some(self.now()),
            NextWake::At(at) => Some(at),
            NextWake::Idle => None,
        };
        self.devices.iter_mut().filter_map(Device::next_tick).chain(worker).min()
    }

    fn step(&mut self, engine: &mut Engine) {
        let now = self.now();
        for device in &mut self.devices {
            device.tick(now);
        }
        let due = matches!(self.next, NextWake::At(at) if at <= now);
        if self.wake.take() || due {
            let (worker, next) = (&mut self.worker, &mut self.next);
            (self.gate)(&mut || *next = worker.run_pass(now));
            self.runs += 1;
        }
        engine.maintain();
    }

    /// An application comes round from now on, every `interval` milliseconds, `phase` milliseconds later than `start`.
    pub(super) fn join_round(&mut self, player: usize, (interval, phase): (u32, u32), start: Instant) {
        let rounds = &mut self.rounds;
        let number = *self.round_of.entry((interval, phase)).or_insert_with(|| {
            rounds.push(Round { interval: millis(interval), players: Vec::new(), planned: false });
            rounds.len() - 1
        });
        let now = self.now();
        let Some(round) = self.rounds.get_mut(number) else { return };
        round.players.push(player);
        if !std::mem::replace(&mut round.planned, true) {
            let first = start + millis(phase);
            let turns = now.saturating_since(first).as_nanos().div_ceil(round.interval.as_nanos().max(1));
            let ahead = round.interval.saturating_mul(u32::try_from(turns).unwrap_or(u32::MAX));
            self.plan.add(first + ahead, Action::ComeRound(number));
        }
    }
}

fn millis(millis: u32) -> Duration {
    Duration::from_millis(millis.into())
}
