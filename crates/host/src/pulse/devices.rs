//! The devices of a session: what clients see, and the engine's behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, CString};
use std::time::Duration;

use soundpost_core::{Hns, SampleRate};
use soundpost_endpoint::DataFlow;
use soundpost_engine::{DeviceId, Engine};
use soundpost_pulse::buffer::LatencyRange;
use soundpost_pulse::{DeviceConfig, Now, Props, Server, SinkId, SourceId};

use super::feed::Timing;
use super::streams::{Failed, mix_spec};
use super::tapping::Tapping;
use super::{PulseConfig, PulseStartError, text};

/// A device of the engine's as applications see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PulseDevice {
    /// What programs name it by: letters, digits, `.`, `-` and `_`. Sinks and sources of a session share their names.
    pub name: String,
    /// What people read.
    pub description: String,
    /// Render: a sink, with a monitor. Capture: a source.
    pub flow: DataFlow,
    /// The engine's device, with two channels.
    pub device: DeviceId,
    /// That device's rate.
    pub rate: SampleRate,
}

/// The devices of one session.
#[derive(Debug, Default)]
pub(super) struct Devices {
    sinks: BTreeMap<SinkId, SinkSide>,
    sources: BTreeMap<SourceId, SourceSide>,
    /// Those that a client has suspended: what plays to them or records from them stands still.
    suspended: (BTreeSet<SinkId>, BTreeSet<SourceId>),
}

/// What stands behind a sink.
#[derive(Debug)]
pub(super) struct SinkSide {
    name: CString,
    pub(super) device: DeviceId,
    rate: SampleRate,
    monitor: SourceId,
    /// What records it, while somebody does.
    tapping: Option<Tapping>,
    timing: Timing,
    /// The longest way onward that a stream was told in this pass.
    onward: Option<Duration>,
}

/// What stands behind a source that is no monitor.
#[derive(Debug)]
pub(super) struct SourceSide {
    name: CString,
    pub(super) device: DeviceId,
    rate: SampleRate,
}

/// What is recorded of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recording {
    Source(DeviceId),
    Monitor(SinkId),
}

impl Devices {
    /// Makes a device known to clients.
    pub(super) fn add(
        &mut self,
        server: &mut Server,
        PulseDevice { name, description, flow, device, rate }: PulseDevice,
        (sinks, sources): (LatencyRange, LatencyRange),
    ) -> Result<(), PulseStartError> {
        let (name, description) = (text(&name), text(&description));
        let icon = if flow == DataFlow::Render { c"audio-speakers" } else { c"audio-input-microphone" };
        let mut props = Props::new();
        props.set_bytes(c"device.description", description.to_bytes_with_nul());
        props.set_bytes(c"device.class", c"sound".to_bytes_with_nul());
        props.set_bytes(c"device.icon_name", icon.to_bytes_with_nul());
        let spec = mix_spec(rate)?;
        let range = if flow == DataFlow::Render { sinks } else { sources };
        let config = DeviceConfig { name: name.clone(), description, spec, range, props, volume: None, muted: false };
        match flow {
            DataFlow::Render => {
                let (sink, monitor) = server.add_sink(config)?;
                server.set_source_range(monitor, sources);
                let timing = Timing::default();
                let side = SinkSide { name, device, rate, monitor, tapping: None, timing, onward: None };
                self.sinks.insert(sink, side);
            }
            DataFlow::Capture => {
                let source = server.add_source(config)?;
                self.sources.insert(source, SourceSide { name, device, rate });
            }
        }
        Ok(())
    }

    /// Takes a device away from clients. It stays known here, for what its streams leave behind.
    pub(super) fn remove(&self, server: &mut Server, flow: DataFlow, name: &CStr, now: Now) {
        match flow {
            DataFlow::Render => {
                self.sinks
                    .iter()
                    .filter(|(_, side)| *side.name == *name)
                    .for_each(|(id, _)| server.remove_sink(*id, now));
            }
            DataFlow::Capture => {
                self.sources
                    .iter()
                    .filter(|(_, side)| *side.name == *name)
                    .for_each(|(id, _)| server.remove_source(*id));
            }
        }
    }

    /// Forgets a device that was removed.
    pub(super) fn forget(&mut self, flow: DataFlow, name: &CStr, engine: &mut Engine, config: &PulseConfig) {
        if flow == DataFlow::Capture {
            self.sources.retain(|_, side| *side.name != *name);
            self.forget_suspended();
            return;
        }
        self.sinks.retain(|_, side| {
            let stays = *side.name != *name;
            if let Some(tapping) = side.tapping.take_if(|_| !stays) {
                tapping.end(engine, config);
            }
            stays
        });
        self.forget_suspended();
    }

    fn forget_suspended(&mut self) {
        let Self { sinks, sources, suspended, .. } = self;
        suspended.0.retain(|id| sinks.contains_key(id));
        suspended.1.retain(|id| sources.contains_key(id) || sinks.values().any(|side| side.monitor == *id));
    }

    pub(super) fn suspend_sink(&mut self, id: SinkId, suspended: bool) {
        let (sinks, _) = &mut self.suspended;
        if suspended {
            sinks.insert(id)
        } else {
            sinks.remove(&id)
        };
    }

    pub(super) fn suspend_source(&mut self, id: SourceId, suspended: bool) {
        let (_, sources) = &mut self.suspended;
        if suspended {
            sources.insert(id)
        } else {
            sources.remove(&id)
        };
    }

    pub(super) fn is_sink_suspended(&self, id: SinkId) -> bool {
        self.suspended.0.contains(&id)
    }

    /// A monitor is suspended with its sink, and may be by itself.
    pub(super) fn is_source_suspended(&self, id: SourceId) -> bool {
        self.suspended.1.contains(&id)
    }

    pub(super) fn sink(&self, id: SinkId) -> Option<&SinkSide> {
        self.sinks.get(&id)
    }

    pub(super) fn source(&self, id: SourceId) -> Option<&SourceSide> {
        self.sources.get(&id)
    }

    /// What is recorded of a source, and at which rate.
    pub(super) fn recorded(&self, id: SourceId) -> Option<(Recording, SampleRate)> {
        if let Some(side) = self.sources.get(&id) {
            return Some((Recording::Source(side.device), side.rate));
        }
        let (sink, side) = self.sinks.iter().find(|(_, side)| side.monitor == id)?;
        Some((Recording::Monitor(*sink), side.rate))
    }

    /// The capture device of a sink's monitor, made now where nobody has recorded it so far.
    pub(super) fn monitored(
        &mut self,
        sink: SinkId,
        engine: &mut Engine,
        config: &PulseConfig,
    ) -> Result<DeviceId, Failed> {
        let side = self.sinks.get_mut(&sink).ok_or(Failed::NoDevice)?;
        match &side.tapping {
            Some(tapping) => Ok(tapping.device),
            None => {
                let tapping = Tapping::of_device(engine, config, (side.device, side.rate))?;
                Ok(side.tapping.insert(tapping).device)
            }
        }
    }

    /// Nobody records this source any more.
    pub(super) fn not_monitored(&mut self, id: SourceId, engine: &mut Engine, config: &PulseConfig) {
        let side = self.sinks.values_mut().find(|side| side.monitor == id);
        if let Some(tapping) = side.and_then(|side| side.tapping.take()) {
            tapping.end(engine, config);
        }
    }

    /// Notes for each sink how its streams are topped up just now.
    pub(super) fn look(&mut self, timing: Timing, behind: impl Fn(DeviceId) -> Hns) {
        for (id, side) in &mut self.sinks {
            let suspended = self.suspended.0.contains(id);
            let guess = side.onward.take().unwrap_or(side.timing.guess);
            side.timing = Timing { behind: behind(side.device), guess, suspended, ..timing };
        }
    }

    /// How streams of a sink are topped up, by the last [`Devices::look`].
    pub(super) fn timing(&self, sink: SinkId) -> Option<Timing> {
        self.sinks.get(&sink).map(|side| side.timing)
    }

    /// How long a frame takes from a sink's mix to its endpoint's end, as a pass has told it.
    pub(super) fn note(&mut self, sink: SinkId, onward: Option<Duration>) {
        if let Some(side) = self.sinks.get_mut(&sink) {
            side.onward = side.onward.max(onward);
        }
    }
}
