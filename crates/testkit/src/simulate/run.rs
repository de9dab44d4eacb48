//! Plays a scenario.

use std::collections::BTreeMap;
use std::time::Duration;

use soundpost_core::{Hns, Instant};
use soundpost_engine::{
    ConnectionSnapshot, DeviceSnapshot, Engine, EngineError, EngineEvent, StreamId, StreamSnapshot,
};
use thiserror::Error;

use super::cast::float;
use super::outcome::{FaultSeen, GroupOutcome, Outcome, Point, Spread, Totals};
use super::plan::{Action, Plan};
use super::read::ScenarioError;
use super::scenario::{EndpointGroup, Flow, Scenario, SessionGroup, StreamGroup, duration};
use super::sound::Sounds;
use super::stage::{Ear, Player, Room};
use crate::{Digest, Random, Runner};

/// Why a scenario could not be played.
#[derive(Debug, Error)]
pub enum SimulationError {
    /// It is not one.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// The engine refused something that the scenario asks for.
    #[error("the engine refuses what the scenario asks for: {0}")]
    Engine(#[from] EngineError),
}

/// A scenario on the virtual clock, with everything that it takes.
pub struct Simulation {
    runner: Runner,
    start: Instant,
    end: Instant,
    sample_every: Duration,
    plan: Plan,
    rooms: Vec<Room>,
    players: Vec<Player>,
    ears: Vec<Ear>,
    streams: BTreeMap<StreamId, usize>,
    /// Applications that come round together, and how often. Found by interval and phase.
    rounds: Vec<Round>,
    round_of: BTreeMap<(u32, u32), usize>,
    /// When each application first comes round, by its number: interval and phase.
    habits: Vec<(u32, u32)>,
    lines: Vec<GroupOutcome>,
    faults: Vec<FaultSeen>,
    runs: u64,
    sessions: u64,
    seed: u64,
    buffer: Vec<u8>,
}

struct Round {
    interval: Duration,
    players: Vec<usize>,
    planned: bool,
}

/// Commands after which the workers are let run: their queues hold 4,096.
const COMMANDS: usize = 1_000;

impl Simulation {
    /// Sets the stage: sessions and devices are opened, everything else is planned.
    ///
    /// # Errors
    /// [`SimulationError`] where the scenario or the engine refuses.
    pub fn new(scenario: &Scenario) -> Result<Self, SimulationError> {
        scenario.check()?;
        let workers = usize::try_from(scenario.workers).unwrap_or(1);
        let runner = Runner::new(workers, |run| run());
        let start = runner.now();
        let mut simulation = Self {
            start,
            end: start + scenario.duration(),
            sample_every: scenario.sample_every(),
            runner,
            plan: Plan::default(),
            rooms: Vec::new(),
            players: Vec::new(),
            ears: Vec::new(),
            streams: BTreeMap::new(),
            rounds: Vec::new(),
            round_of: BTreeMap::new(),
            habits: Vec::new(),
            lines: Vec::new(),
            faults: Vec::new(),
            runs: 0,
            sessions: scenario.session_count(),
            seed: scenario.seed,
            buffer: vec![0; 65_536],
        };
        for stall in &scenario.stalls {
            simulation.plan.add(start + duration(stall.at), Action::Stall(duration(stall.seconds)));
        }
        let (mut sounds, mut random) = (Sounds::default(), Random::new(scenario.seed));
        for group in &scenario.sessions {
            simulation.add_group(group, &mut sounds, &mut random)?;
        }
        simulation.plan.add(start + simulation.sample_every, Action::Sample);
        Ok(simulation)
    }

    fn add_group(
        &mut self,
        group: &SessionGroup,
        sounds: &mut Sounds,
        random: &mut Random,
    ) -> Result<(), SimulationError> {
        let flows = [Flow::Render, Flow::Capture].into_iter().filter(|flow| {
            *flow == Flow::Render
                || group.streams.iter().any(|stream| stream.flow == *flow)
                || group.endpoints.iter().any(|endpoint| endpoint.flow == *flow)
        });
        let mut lines = Vec::new();
        for flow in flows {
            lines.push((flow, self.lines.len()));
            self.lines.push(GroupOutcome {
                name: group.name.clone(),
                flow,
                sessions: group.count.into(),
                totals: Totals::default(),
                points: Vec::new(),
            });
        }
        for number in 1..=group.count {
            let room = Room::open(&mut self.runner.engine, group, format!("{} {number}", group.name), &lines)?;
            self.rooms.push(room);
            if self.rooms.len().is_multiple_of(COMMANDS) {
                self.runner.settle();
            }
            for stream in &group.streams {
                self.add_players(stream, sounds, random)?;
            }
            for endpoint in &group.endpoints {
                self.add_ears(endpoint, random)?;
            }
        }
        self.runner.settle();
        Ok(())
    }

    fn add_players(
        &mut self,
        group: &StreamGroup,
        sounds: &mut Sounds,
        random: &mut Random,
    ) -> Result<(), SimulationError> {
        let room = self.rooms.len() - 1;
        let Some(place) = self.rooms.get(room).and_then(|room| room.device(group.flow)) else { return Ok(()) };
        for _ in 0..group.count {
            let sound = match group.flow {
                Flow::Render => Some(sounds.table(group, group.format()?)),
                Flow::Capture => None,
            };
            let later = duration(group.spread).mul_f64(share(random));
            let player = self.players.len();
            self.players.push(Player::new(room, place, group, sound, random)?);
            let phase = u32::try_from(random.below(group.write_ms.into())).unwrap_or(0);
            self.habits.push((group.write_ms, phase));
            self.plan.add(self.start + duration(group.starts) + later, Action::Open(player));
            if let Some(ends) = group.ends {
                self.plan.add(self.start + duration(ends) + later, Action::Finish(player));
            }
        }
        Ok(())
    }

    fn add_ears(&mut self, group: &EndpointGroup, random: &mut Random) -> Result<(), SimulationError> {
        let room = self.rooms.len() - 1;
        let Some(place) = self.rooms.get(room).and_then(|room| room.device(group.flow)) else { return Ok(()) };
        for _ in 0..group.count {
            let later = duration(group.spread).mul_f64(share(random));
            let ear = self.ears.len();
            self.ears.push(Ear::new(room, place, group, random)?);
            self.plan.add(self.start + duration(group.arrives) + later, Action::Arrive(ear));
            if let Some(leaves) = group.leaves {
                self.plan.add(self.start + duration(leaves) + later, Action::Leave(ear));
            }
        }
        Ok(())
    }

    /// Plays it to the end. `progress` is told now and then how many seconds of the virtual clock have gone by.
    ///
    /// # Errors
    /// [`SimulationError::Engine`] where the engine refuses something that was planned.
    pub fn run(&mut self, progress: &mut dyn FnMut(f64)) -> Result<Outcome, SimulationError> {
        self.run_until(self.end, progress)?;
        Ok(self.outcome())
    }

    /// Plays so many seconds more, whatever the scenario's length.
    ///
    /// # Errors
    /// As [`Simulation::run`].
    pub fn run_on(&mut self, seconds: f64) -> Result<(), SimulationError> {
        self.run_until(self.runner.now() + duration(seconds), &mut |_| {})
    }

    fn run_until(&mut self, end: Instant, progress: &mut dyn FnMut(f64)) -> Result<(), SimulationError> {
        let passes = self.runner.passes();
        let mut commands = 0;
        while let Some(at) = self.plan.next().filter(|at| *at <= end) {
            self.runner.run_for(at.saturating_since(self.runner.now()));
            // A slow endpoint or a stall may have moved the clock further than that.
            let now = self.runner.now();
            while let Some(action) = self.plan.take(now) {
                self.act(action)?;
                commands += usize::from(!matches!(action, Action::ComeRound(_) | Action::Sample));
                if commands >= COMMANDS {
                    commands = 0;
                    self.runner.settle();
                }
                if action == Action::Sample {
                    progress(self.seconds());
                }
            }
            self.take_events()?;
        }
        self.runner.run_for(end.saturating_since(self.runner.now()));
        self.take_events()?;
        self.runs += self.runner.passes() - passes;
        progress(self.seconds());
        Ok(())
    }

    fn seconds(&self) -> f64 {
        self.runner.now().saturating_since(self.start).as_secs_f64()
    }

    fn act(&mut self, action: Action) -> Result<(), SimulationError> {
        match action {
            Action::Open(player) => self.open(player)?,
            Action::Finish(player) => {
                if self.players.get_mut(player).is_some_and(Player::finish) {
                    self.close(player)?;
                }
            }
            Action::Arrive(ear) => {
                let seed = self.seed ^ u64::try_from(ear).unwrap_or(0);
                let Some(ear) = self.ears.get_mut(ear) else { return Ok(()) };
                let Some(room) = self.rooms.get(ear.room) else { return Ok(()) };
                ear.arrive(&mut self.runner, room, seed)?;
                if let Some(line) = self.lines.get_mut(ear.line) {
                    line.totals.endpoints += 1;
                }
            }
            Action::Leave(ear) => self.leave(ear)?,
            Action::Stall(time) => self.runner.stall(time),
            Action::ComeRound(round) => self.come_round(round),
            Action::Sample => self.sample(),
        }
        Ok(())
    }

    fn open(&mut self, number: usize) -> Result<(), SimulationError> {
        let Some(player) = self.players.get_mut(number) else { return Ok(()) };
        let Some(room) = self.rooms.get(player.room) else { return Ok(()) };
        let id = player.open(&mut self.runner.engine, room.session)?;
        self.streams.insert(id, number);
        if let Some(line) = self.lines.get_mut(player.line) {
            line.totals.streams += 1;
        }
        let Some((interval, phase)) = self.habits.get(number).copied() else { return Ok(()) };
        let round = *self.round_of.entry((interval, phase)).or_insert_with(|| {
            let interval = Duration::from_millis(interval.into());
            self.rounds.push(Round { interval, players: Vec::new(), planned: false });
            self.rounds.len() - 1
        });
        let Some(round_there) = self.rounds.get_mut(round) else { return Ok(()) };
        round_there.players.push(number);
        if !std::mem::replace(&mut round_there.planned, true) {
            // The first time that has this phase, from now on.
            let grid = round_there.interval.as_nanos();
            let since = self.runner.now().saturating_since(self.start + Duration::from_millis(phase.into()));
            let turns = u64::try_from(since.as_nanos().div_ceil(grid)).unwrap_or(u64::MAX);
            let ahead = Duration::from_nanos(turns.saturating_mul(u64::try_from(grid).unwrap_or(u64::MAX)));
            self.plan.add(self.start + Duration::from_millis(phase.into()) + ahead, Action::ComeRound(round));
        }
        Ok(())
    }

    fn come_round(&mut self, number: usize) {
        let Some(round) = self.rounds.get_mut(number) else { return };
        let (players, buffer) = (&mut self.players, &mut self.buffer);
        round.players.retain(|player| players.get_mut(*player).is_some_and(|player| player.come_round(buffer)));
        round.planned = !round.players.is_empty();
        if round.planned {
            self.plan.add(self.runner.now() + round.interval, Action::ComeRound(number));
        }
    }

    fn leave(&mut self, ear: usize) -> Result<(), SimulationError> {
        let Some(ear) = self.ears.get_mut(ear) else { return Ok(()) };
        let (Some(room), Some((connection, endpoint))) = (self.rooms.get(ear.room), ear.place.take()) else {
            return Ok(());
        };
        let engine = &mut self.runner.engine;
        let device = engine.snapshot_of(room.session, ear.device)?;
        if let (Some(line), Some(found)) =
            (self.lines.get_mut(ear.line), device.connections.iter().find(|found| found.id == connection))
        {
            add_connection(&mut line.totals, found);
        }
        engine.disconnect(room.session, connection)?;
        engine.unregister(room.session, endpoint)?;
        Ok(())
    }

    /// Closes a stream; what it has counted is kept.
    fn close(&mut self, number: usize) -> Result<(), SimulationError> {
        let Some(player) = self.players.get_mut(number) else { return Ok(()) };
        let (Some(room), Some(id)) = (self.rooms.get(player.room), player.id.take()) else { return Ok(()) };
        self.streams.remove(&id);
        let engine = &mut self.runner.engine;
        let device = engine.snapshot_of(room.session, player.device)?;
        if let (Some(line), Some(found)) =
            (self.lines.get_mut(player.line), device.streams.iter().find(|found| found.id == id))
        {
            add_stream(&mut line.totals, found);
        }
        engine.close_stream(room.session, id)?;
        Ok(())
    }

    fn take_events(&mut self) -> Result<(), SimulationError> {
        for event in std::mem::take(&mut self.runner.events) {
            match event {
                EngineEvent::StreamDrained { stream, .. } => {
                    if let Some(player) = self.streams.get(&stream).copied() {
                        self.close(player)?;
                    }
                }
                EngineEvent::EndpointFaulted { session, fault, .. } => {
                    let room = self.rooms.iter().find(|room| room.session == session);
                    let session = room.map(|room| room.name.clone()).unwrap_or_default();
                    self.faults.push(FaultSeen { at: self.seconds(), session, what: fault.to_string() });
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn sample(&mut self) {
        let at = self.seconds();
        let mut seen: Vec<(Vec<f64>, Vec<f64>)> = self.lines.iter().map(|_| Default::default()).collect();
        for_each_device(&self.rooms, &self.runner.engine, |line, device| {
            let Some((latency, padding)) = seen.get_mut(line) else { return };
            if device.active {
                latency.extend(device.streams.iter().map(|stream| millis(stream.stats.latency)));
                padding.extend(device.connections.iter().filter_map(|connection| {
                    let rate = connection.endpoint.as_ref()?.format.rate;
                    Some(millis(rate.hns_of(connection.stats.padding.get().into())))
                }));
            }
        });
        for (line, (latency, padding)) in self.lines.iter_mut().zip(seen) {
            line.points.push(Point { at, latency: Spread::of(latency), padding: Spread::of(padding) });
        }
        self.plan.add(self.runner.now() + self.sample_every, Action::Sample);
    }

    fn outcome(&self) -> Outcome {
        let mut groups = self.lines.clone();
        for_each_device(&self.rooms, &self.runner.engine, |line, device| {
            let Some(GroupOutcome { totals, .. }) = groups.get_mut(line) else { return };
            totals.passes += device.stats.passes;
            totals.late += device.stats.late;
            totals.missed += device.stats.missed;
            totals.silent += device.stats.silent;
            totals.frames += device.stats.frames;
            device.streams.iter().for_each(|stream| add_stream(totals, stream));
            device.connections.iter().for_each(|connection| add_connection(totals, connection));
        });
        for ear in &self.ears {
            if let Some(line) = groups.get_mut(ear.line) {
                ear.add_gaps(&mut line.totals);
            }
        }
        let mut digest = Digest::new();
        groups.iter().flat_map(|group| group.totals.words()).for_each(|word| digest.add(&word.to_le_bytes()));
        for heard in self.ears.iter().filter_map(|ear| ear.heard.as_ref()) {
            digest.add(&heard.digest().to_le_bytes());
        }
        for player in &self.players {
            digest.add(&player.digest.to_le_bytes());
        }
        for fault in &self.faults {
            digest.add(fault.what.as_bytes());
        }
        let (sessions, runs, faults) = (self.sessions, self.runs, self.faults.clone());
        Outcome { digest, seconds: self.seconds(), sessions, runs, groups, faults }
    }
}

fn for_each_device(rooms: &[Room], engine: &Engine, mut look: impl FnMut(usize, &DeviceSnapshot)) {
    for room in rooms {
        for (_, device, line) in &room.devices {
            if let Ok(device) = engine.snapshot_of(room.session, *device) {
                look(*line, &device);
            }
        }
    }
}

fn add_stream(totals: &mut Totals, stream: &StreamSnapshot) {
    totals.stream_underruns += stream.stats.underruns;
    totals.stream_lost += stream.stats.lost;
}

fn add_connection(totals: &mut Totals, connection: &ConnectionSnapshot) {
    totals.endpoint_underruns += connection.stats.underruns;
    totals.lost += connection.stats.cut;
    totals.exchanged += connection.stats.frames;
}

fn millis(time: Hns) -> f64 {
    time.to_duration().as_secs_f64() * 1e3
}

/// 0 to 1, drawn.
fn share(random: &mut Random) -> f64 {
    float(random.below(1_000_000)) / 1e6
}
