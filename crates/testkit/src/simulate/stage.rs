//! What all lanes share: the control side, who is there, and what was seen of them.

use std::collections::BTreeMap;
use std::time::Duration;

use soundpost_core::{Hns, Instant};
use soundpost_engine::{ConnectionSnapshot, DeviceSnapshot, Engine, EngineEvent, StreamId, StreamSnapshot};

use super::cast::float;
use super::lane::Lane;
use super::outcome::{FaultSeen, GroupOutcome, Outcome, Point, Spread, Totals};
use super::plan::Action;
use super::room::{Ear, Player, Room};
use super::run::SimulationError;
use super::scenario::{EndpointGroup, Flow, Scenario, SessionGroup, StreamGroup, duration};
use super::sound::Sounds;
use crate::{Digest, Random};

/// What all lanes share.
pub(super) struct Stage {
    pub(super) engine: Engine,
    start: Instant,
    pub(super) rooms: Vec<Room>,
    players: Vec<Player>,
    ears: Vec<Ear>,
    streams: BTreeMap<StreamId, usize>,
    lines: Vec<GroupOutcome>,
    /// Latency and padding, by number of the sample and by line, until all lanes have given theirs.
    samples: BTreeMap<u32, Vec<Sample>>,
    faults: Vec<FaultSeen>,
    sessions: u64,
    seed: u64,
    buffer: Vec<u8>,
}

/// Milliseconds of latency and of padding.
type Sample = (Vec<f64>, Vec<f64>);

/// Commands after which a worker is let run: its queue holds 4,096.
const COMMANDS: usize = 1_000;

impl Stage {
    pub(super) fn new(engine: Engine, start: Instant, scenario: &Scenario) -> Self {
        Self {
            engine,
            start,
            rooms: Vec::new(),
            players: Vec::new(),
            ears: Vec::new(),
            streams: BTreeMap::new(),
            lines: Vec::new(),
            samples: BTreeMap::new(),
            faults: Vec::new(),
            sessions: scenario.session_count(),
            seed: scenario.seed,
            buffer: vec![0; 65_536],
        }
    }

    /// The lines that a group's devices belong to.
    pub(super) fn add_lines(&mut self, group: &SessionGroup) -> Vec<(Flow, usize)> {
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
        lines
    }

    /// Plans the streams of the last room.
    pub(super) fn add_players(
        &mut self,
        lane: &mut Lane,
        group: &StreamGroup,
        sounds: &mut Sounds,
        random: &mut Random,
    ) -> Result<(), SimulationError> {
        let room = self.rooms.len().saturating_sub(1);
        let Some(place) = self.rooms.get(room).and_then(|room| room.device(group.flow)) else { return Ok(()) };
        for _ in 0..group.count {
            let sound = match group.flow {
                Flow::Render => Some(sounds.table(group, group.format()?)),
                Flow::Capture => None,
            };
            let later = duration(group.spread).mul_f64(share(random));
            let player = self.players.len();
            self.players.push(Player::new(room, place, group, sound, random)?);
            lane.plan.add(self.start + duration(group.starts) + later, Action::Open(player));
            if let Some(ends) = group.ends {
                lane.plan.add(self.start + duration(ends) + later, Action::Finish(player));
            }
        }
        Ok(())
    }

    /// Plans the endpoints of the last room.
    pub(super) fn add_ears(
        &mut self,
        lane: &mut Lane,
        group: &EndpointGroup,
        random: &mut Random,
    ) -> Result<(), SimulationError> {
        let room = self.rooms.len().saturating_sub(1);
        let Some(place) = self.rooms.get(room).and_then(|room| room.device(group.flow)) else { return Ok(()) };
        for _ in 0..group.count {
            let later = duration(group.spread).mul_f64(share(random));
            let ear = self.ears.len();
            self.ears.push(Ear::new(room, place, group, random)?);
            lane.plan.add(self.start + duration(group.arrives) + later, Action::Arrive(ear));
            if let Some(leaves) = group.leaves {
                lane.plan.add(self.start + duration(leaves) + later, Action::Leave(ear));
            }
        }
        Ok(())
    }

    /// Lets a lane come to `end`.
    pub(super) fn run_lane(
        &mut self,
        lane: &mut Lane,
        end: Instant,
        sample_every: Duration,
    ) -> Result<(), SimulationError> {
        let mut commands = 0;
        while let Some(at) = lane.plan.next().filter(|at| *at <= end) {
            lane.run_until(at, &mut self.engine);
            // A slow endpoint or a stall may have moved the clock further than that.
            let now = lane.now();
            while let Some(action) = lane.plan.take(now) {
                self.act(lane, action, sample_every)?;
                commands += usize::from(!matches!(action, Action::ComeRound(_) | Action::Sample(_)));
                if commands >= COMMANDS {
                    commands = 0;
                    lane.settle(&mut self.engine);
                }
            }
            lane.settle(&mut self.engine);
            self.take_events(now)?;
        }
        lane.run_until(end, &mut self.engine);
        self.take_events(lane.now())
    }

    fn act(&mut self, lane: &mut Lane, action: Action, sample_every: Duration) -> Result<(), SimulationError> {
        match action {
            Action::Open(player) => self.open(lane, player)?,
            Action::Finish(player) => {
                if self.players.get_mut(player).is_some_and(Player::finish) {
                    self.close(player)?;
                }
            }
            Action::Arrive(ear) => self.arrive(lane, ear)?,
            Action::Leave(ear) => self.leave(ear)?,
            Action::Stall(time) => lane.clock.advance(time),
            Action::ComeRound(round) => self.come_round(lane, round),
            Action::Sample(number) => {
                self.sample(lane.number(), number);
                let next = number.saturating_add(1);
                lane.plan.add(self.start + sample_every.saturating_mul(next), Action::Sample(next));
            }
        }
        Ok(())
    }

    fn open(&mut self, lane: &mut Lane, number: usize) -> Result<(), SimulationError> {
        let Some(player) = self.players.get_mut(number) else { return Ok(()) };
        let Some(room) = self.rooms.get(player.room) else { return Ok(()) };
        let id = player.open(&mut self.engine, room.session)?;
        self.streams.insert(id, number);
        if let Some(line) = self.lines.get_mut(player.line) {
            line.totals.streams += 1;
        }
        lane.join_round(number, player.habit, self.start);
        Ok(())
    }

    fn arrive(&mut self, lane: &mut Lane, number: usize) -> Result<(), SimulationError> {
        let Some(ear) = self.ears.get_mut(number) else { return Ok(()) };
        let Some(room) = self.rooms.get(ear.room) else { return Ok(()) };
        ear.arrive(&mut self.engine, lane, room, self.seed ^ u64::try_from(number).unwrap_or(0))?;
        if let Some(line) = self.lines.get_mut(ear.line) {
            line.totals.endpoints += 1;
        }
        Ok(())
    }

    fn come_round(&mut self, lane: &mut Lane, number: usize) {
        let now = lane.now();
        let Some(round) = lane.rounds.get_mut(number) else { return };
        let (players, buffer) = (&mut self.players, &mut self.buffer);
        round.players.retain(|player| players.get_mut(*player).is_some_and(|player| player.come_round(buffer)));
        round.planned = !round.players.is_empty();
        if round.planned {
            lane.plan.add(now + round.interval, Action::ComeRound(number));
        }
    }

    fn leave(&mut self, ear: usize) -> Result<(), SimulationError> {
        let Some(ear) = self.ears.get_mut(ear) else { return Ok(()) };
        let (Some(room), Some((connection, endpoint))) = (self.rooms.get(ear.room), ear.place.take()) else {
            return Ok(());
        };
        let engine = &mut self.engine;
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
        let engine = &mut self.engine;
        let device = engine.snapshot_of(room.session, player.device)?;
        if let (Some(line), Some(found)) =
            (self.lines.get_mut(player.line), device.streams.iter().find(|found| found.id == id))
        {
            add_stream(&mut line.totals, found);
        }
        engine.close_stream(room.session, id)?;
        Ok(())
    }

    fn take_events(&mut self, now: Instant) -> Result<(), SimulationError> {
        while let Some(event) = self.engine.poll_event() {
            match event {
                EngineEvent::StreamDrained { stream, .. } => {
                    if let Some(player) = self.streams.get(&stream).copied() {
                        self.close(player)?;
                    }
                }
                EngineEvent::EndpointFaulted { session, fault, .. } => {
                    let room = self.rooms.iter().find(|room| room.session == session);
                    let session = room.map(|room| room.name.clone()).unwrap_or_default();
                    let at = now.saturating_since(self.start).as_secs_f64();
                    self.faults.push(FaultSeen { at, session, what: fault.to_string() });
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn sample(&mut self, lane: usize, number: u32) {
        let lines = self.lines.len();
        let seen = self.samples.entry(number).or_insert_with(|| vec![Sample::default(); lines]);
        let rooms = self.rooms.iter().filter(|room| room.lane == lane);
        for_each_device(rooms, &self.engine, |line, device| {
            let Some((latency, padding)) = seen.get_mut(line) else { return };
            if device.active {
                latency.extend(device.streams.iter().map(|stream| millis(stream.stats.latency)));
                padding.extend(device.connections.iter().filter_map(|connection| {
                    let rate = connection.endpoint.as_ref()?.format.rate;
                    Some(millis(rate.hns_of(connection.stats.padding.get().into())))
                }));
            }
        });
    }

    /// All lanes have come to the same time: what they have seen is complete.
    pub(super) fn take_samples(&mut self, every: Duration) {
        for (number, seen) in std::mem::take(&mut self.samples) {
            let at = every.saturating_mul(number).as_secs_f64();
            for (line, (latency, padding)) in self.lines.iter_mut().zip(seen) {
                line.points.push(Point { at, latency: Spread::of(latency), padding: Spread::of(padding) });
            }
        }
    }

    pub(super) fn outcome(&self, runs: u64, end: Instant) -> Outcome {
        let mut groups = self.lines.clone();
        for_each_device(&self.rooms, &self.engine, |line, device| {
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
        let mut faults = self.faults.clone();
        // Lanes have told theirs slice by slice.
        faults.sort_by(|a, b| a.at.total_cmp(&b.at));
        for fault in &faults {
            digest.add(fault.what.as_bytes());
        }
        let seconds = end.saturating_since(self.start).as_secs_f64();
        Outcome { digest, seconds, sessions: self.sessions, runs, groups, faults }
    }
}

fn for_each_device<'a>(
    rooms: impl IntoIterator<Item = &'a Room>,
    engine: &Engine,
    mut look: impl FnMut(usize, &DeviceSnapshot),
) {
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
