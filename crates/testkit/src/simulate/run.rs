//! Plays a scenario.

use std::time::Duration;

use soundpost_core::Instant;
use soundpost_engine::EngineError;
use thiserror::Error;

use super::lane::{Lane, lanes};
use super::outcome::Outcome;
use super::plan::Action;
use super::read::ScenarioError;
use super::room::Room;
use super::scenario::{Scenario, SessionGroup, duration};
use super::sound::Sounds;
use super::stage::Stage;
use crate::{Gate, Random};

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
///
/// Each worker has a clock of its own and runs a second ahead of the next one, then waits for the others, as real-time
/// threads on cores of their own would. Sessions share nothing but the control side, which needs no time.
pub struct Simulation {
    lanes: Vec<Lane>,
    stage: Stage,
    start: Instant,
    end: Instant,
    /// Up to when everybody has come.
    now: Instant,
    sample_every: Duration,
}

/// How far one worker runs ahead: long enough for its sessions to be fetched from memory once and used often.
const SLICE: Duration = Duration::from_secs(1);

impl Simulation {
    /// Sets the stage: sessions and devices are opened, everything else is planned. Each pass will run in `gate`.
    ///
    /// # Errors
    /// [`SimulationError`] where the scenario or the engine refuses.
    pub fn new(scenario: &Scenario, gate: Gate) -> Result<Self, SimulationError> {
        scenario.check()?;
        let start = Instant::from_nanos(1_000_000_000);
        let (engine, lanes) = lanes(usize::try_from(scenario.workers).unwrap_or(1), start, gate);
        let stage = Stage::new(engine, start, scenario);
        let (end, sample_every) = (start + scenario.duration(), scenario.sample_every());
        let mut simulation = Self { lanes, stage, start, end, now: start, sample_every };
        for lane in &mut simulation.lanes {
            for stall in &scenario.stalls {
                lane.plan.add(start + duration(stall.at), Action::Stall(duration(stall.seconds)));
            }
            lane.plan.add(start + sample_every, Action::Sample(1));
        }
        let (mut sounds, mut random) = (Sounds::default(), Random::new(scenario.seed));
        for group in &scenario.sessions {
            simulation.add_group(group, &mut sounds, &mut random)?;
        }
        Ok(simulation)
    }

    fn add_group(
        &mut self,
        group: &SessionGroup,
        sounds: &mut Sounds,
        random: &mut Random,
    ) -> Result<(), SimulationError> {
        let lines = self.stage.add_lines(group);
        for number in 1..=group.count {
            let engine = &mut self.stage.engine;
            let room = Room::open(engine, group, format!("{} {number}", group.name), &lines)?;
            let lane = room.lane;
            self.stage.rooms.push(room);
            let Some(lane) = self.lanes.get_mut(lane) else { continue };
            lane.settle(&mut self.stage.engine);
            for stream in &group.streams {
                self.stage.add_players(lane, stream, sounds, random)?;
            }
            for endpoint in &group.endpoints {
                self.stage.add_ears(lane, endpoint, random)?;
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
        Ok(self.stage.outcome(self.lanes.iter().map(|lane| lane.runs).sum(), self.end))
    }

    /// Plays so many seconds more, whatever the scenario's length.
    ///
    /// # Errors
    /// As [`Simulation::run`].
    pub fn run_on(&mut self, seconds: f64) -> Result<(), SimulationError> {
        self.run_until(self.now + duration(seconds), &mut |_| {})
    }

    fn run_until(&mut self, end: Instant, progress: &mut dyn FnMut(f64)) -> Result<(), SimulationError> {
        while self.now < end {
            self.now = (self.now + SLICE).min(end);
            for lane in &mut self.lanes {
                lane.take_turn();
                self.stage.run_lane(lane, self.now, self.sample_every)?;
            }
            self.stage.take_samples(self.sample_every);
            progress(self.now.saturating_since(self.start).as_secs_f64());
        }
        Ok(())
    }
}
