//! Who is there: a session, an application, an endpoint.

use std::sync::Arc;

use soundpost_core::{ChannelLayout, Clock, Gain, Hns, SampleRate};
use soundpost_endpoint::Endpoint;
use soundpost_endpoint::stock::{ClockControl, RateOffset, StockConfig, TestSignal, capture};
use soundpost_engine::{
    AttachConfig, ConnectionId, DeviceConfig, DeviceId, EndpointId, Engine, EngineError, SessionId, StreamConfig,
    StreamId, StreamReader, StreamWriter,
};

use super::cast::{nanos, ppb};
use super::lane::Lane;
use super::listener::{Heard, chained, listener};
use super::outcome::Totals;
use super::run::SimulationError;
use super::scenario::{EndpointGroup, Flow, SessionGroup, StreamGroup, duration};
use super::sound::Table;
use crate::{Random, VirtualClock, faulty_capture, faulty_render};

/// A session of the scenario.
pub(super) struct Room {
    pub(super) session: SessionId,
    /// Group and number.
    pub(super) name: String,
    /// Its devices, and which line of the outcome each belongs to.
    pub(super) devices: Vec<(Flow, DeviceId, usize)>,
    pub(super) period: Hns,
    /// Which lane its worker is in.
    pub(super) lane: usize,
}

/// An application with one stream.
pub(super) struct Player {
    pub(super) room: usize,
    pub(super) device: DeviceId,
    pub(super) line: usize,
    config: StreamConfig,
    /// How often it comes round, and when within that time, in milliseconds.
    pub(super) habit: (u32, u32),
    pub(super) id: Option<StreamId>,
    pipe: Pipe,
    /// Of what was recorded.
    pub(super) digest: u64,
}

enum Pipe {
    Plays { sound: Table, at: usize, writer: Option<StreamWriter> },
    Records { reader: Option<StreamReader> },
}

/// An endpoint, attached or not.
pub(super) struct Ear {
    pub(super) room: usize,
    pub(super) device: DeviceId,
    pub(super) line: usize,
    config: EndpointGroup,
    stock: StockConfig,
    pub(super) place: Option<(ConnectionId, EndpointId)>,
    pub(super) clock: Option<ClockControl>,
    pub(super) heard: Option<Arc<Heard>>,
}

impl Room {
    /// Opens a session and the devices that its group asks for.
    pub(super) fn open(
        engine: &mut Engine,
        group: &SessionGroup,
        name: String,
        lines: &[(Flow, usize)],
    ) -> Result<Self, SimulationError> {
        let session = engine.open_session(name.clone())?;
        let rate: SampleRate = group.sample_rate()?;
        let mut devices = Vec::new();
        for (flow, line) in lines {
            let mut config = DeviceConfig::new(flow.to_string(), flow.data_flow());
            (config.rate, config.period) = (rate, group.period());
            config.layout = ChannelLayout::STEREO;
            devices.push((*flow, engine.open_device(session, config)?, *line));
        }
        let lane = engine.worker_of(session)?;
        Ok(Self { session, name, devices, period: group.period(), lane })
    }

    pub(super) fn device(&self, flow: Flow) -> Option<(DeviceId, usize)> {
        self.devices.iter().find(|(found, ..)| *found == flow).map(|(_, device, line)| (*device, *line))
    }
}

impl Player {
    /// An application that has not opened its stream yet; `sound` is what it plays, from a frame of its own on.
    pub(super) fn new(
        room: usize,
        (device, line): (DeviceId, usize),
        group: &StreamGroup,
        sound: Option<Table>,
        random: &mut Random,
    ) -> Result<Self, SimulationError> {
        let format = group.format()?;
        let mut config = StreamConfig::new("player", format);
        config.volume = Gain::new(group.volume);
        config.capacity = std::time::Duration::from_millis(group.queue_ms.into());
        let pipe = match sound {
            Some(sound) => {
                let frame = usize::try_from(random.below(format.rate.get().into())).unwrap_or(0);
                Pipe::Plays { sound, at: frame * format.frame_bytes(), writer: None }
            }
            None => Pipe::Records { reader: None },
        };
        let phase = u32::try_from(random.below(group.write_ms.into())).unwrap_or(0);
        Ok(Self { room, device, line, config, habit: (group.write_ms, phase), id: None, pipe, digest: 0 })
    }

    pub(super) fn open(&mut self, engine: &mut Engine, session: SessionId) -> Result<StreamId, EngineError> {
        let id = match &mut self.pipe {
            Pipe::Plays { writer, .. } => {
                let (id, opened) = engine.open_stream(session, self.device, self.config.clone())?;
                *writer = Some(opened);
                id
            }
            Pipe::Records { reader } => {
                let (id, opened) = engine.open_capture(session, self.device, self.config.clone())?;
                *reader = Some(opened);
                id
            }
        };
        self.id = Some(id);
        Ok(id)
    }

    /// Has no more to say, or wants no more. Returns whether its stream can be closed at once.
    pub(super) fn finish(&mut self) -> bool {
        match &mut self.pipe {
            Pipe::Plays { writer, .. } => {
                *writer = None;
                false
            }
            Pipe::Records { reader } => {
                *reader = None;
                true
            }
        }
    }

    /// Fills the queue, or empties it. Returns whether the application will come round again.
    pub(super) fn come_round(&mut self, buffer: &mut [u8]) -> bool {
        match &mut self.pipe {
            Pipe::Plays { sound, at, writer: Some(writer) } => loop {
                let rest = sound.get(*at..).unwrap_or_default();
                let written = writer.format().bytes_of(writer.write(rest));
                *at += written;
                if *at < sound.len() || written == 0 {
                    return true;
                }
                *at = 0;
            },
            Pipe::Records { reader: Some(reader) } => loop {
                let read = reader.format().bytes_of(reader.read(buffer));
                if read == 0 {
                    return true;
                }
                self.digest = chained(self.digest, buffer.get(..read).unwrap_or_default());
            },
            _ => false,
        }
    }
}

impl Ear {
    pub(super) fn new(
        room: usize,
        (device, line): (DeviceId, usize),
        group: &EndpointGroup,
        random: &mut Random,
    ) -> Result<Self, SimulationError> {
        let mut stock = StockConfig::new(group.format()?);
        let spread = 2 * u64::from(ppb(group.clock_spread_ppm).unsigned_abs()) + 1;
        let own = i64::try_from(random.below(spread)).unwrap_or(0) - i64::from(ppb(group.clock_spread_ppm));
        let offset = i64::from(ppb(group.clock_ppm)) + own;
        stock.offset = RateOffset::from_ppb(i32::try_from(offset).unwrap_or(0));
        stock.event_driven = group.event_driven;
        Ok(Self { room, device, line, config: group.clone(), stock, place: None, clock: None, heard: None })
    }

    /// Makes the endpoint, registers it, connects it, attaches it.
    pub(super) fn arrive(
        &mut self,
        engine: &mut Engine,
        lane: &mut Lane,
        room: &Room,
        seed: u64,
    ) -> Result<(), EngineError> {
        let endpoint = self.make(lane, room.period, seed);
        let endpoint = engine.register(room.session, "endpoint", endpoint)?;
        let connection = engine.connect(room.session, self.device)?;
        let attach = AttachConfig { coefficient: self.config.periods, event_driven: self.config.event_driven };
        self.place = Some((connection, endpoint));
        engine.attach(room.session, connection, endpoint, attach)
    }

    fn make(&mut self, lane: &mut Lane, period: Hns, seed: u64) -> Endpoint {
        let clock: Arc<dyn Clock> = Arc::<VirtualClock>::clone(&lane.clock);
        let sound_for = duration(self.config.fault_at - self.config.arrives);
        let passes = u32::try_from(nanos(sound_for) / nanos(period.to_duration()).max(1)).unwrap_or(u32::MAX);
        let breaches = self.config.fault.map(|fault| (fault.render(), fault.capture()));
        match (self.config.flow, breaches) {
            (Flow::Render, Some((Some(breach), _))) => faulty_render(&self.stock, &lane.clock, breach, passes),
            (Flow::Capture, Some((_, Some(breach)))) => faulty_capture(&self.stock, clock, breach, passes),
            (Flow::Render, _) => {
                let clock = ClockControl::new(self.stock.format.rate, self.stock.offset, clock);
                let (endpoint, heard, device) = listener(&self.stock, clock.clone());
                if self.config.event_driven {
                    lane.devices.push(device);
                }
                (self.clock, self.heard) = (Some(clock), Some(heard));
                endpoint
            }
            (Flow::Capture, _) => {
                let stock = capture(&self.stock, clock, TestSignal::Noise { seed });
                if self.config.event_driven {
                    lane.devices.push(stock.device);
                }
                self.clock = Some(stock.clock);
                stock.endpoint
            }
        }
    }

    /// Adds what its own clock has counted.
    pub(super) fn add_gaps(&self, totals: &mut Totals) {
        match (&self.heard, &self.clock) {
            (Some(heard), _) => totals.inserted += heard.gaps(),
            (None, Some(clock)) => totals.inserted += clock.counts().underrun_frames,
            (None, None) => {}
        }
    }
}
