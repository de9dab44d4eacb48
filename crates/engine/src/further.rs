//! What endpoints offer beyond the contract (X1), and how it is used.

use std::fmt;

use soundpost_core::{Gain, Hns};
use soundpost_endpoint::{ControlHalf, DataFlow, EndpointError, OffloadMeter, Requirement, VolumeCurve};

use crate::engine::{HalfPlace, Registered};
use crate::{EndpointId, Engine, EngineError, SessionId};

/// The most channels of a format.
const CHANNELS: usize = 8;

/// One of the header's further interfaces (X1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Interface {
    /// IAudioEndpointLastBufferControl.
    LastBuffer,
    /// IAudioEndpointOffloadStreamVolume.
    Volume,
    /// IAudioEndpointOffloadStreamMute.
    Mute,
    /// IAudioEndpointOffloadStreamMeter.
    Meter,
    /// IAudioLfxControl.
    LocalEffects,
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LastBuffer => "last-buffer control",
            Self::Volume => "volume",
            Self::Mute => "mute",
            Self::Meter => "meter",
            Self::LocalEffects => "effects",
        })
    }
}

/// Which of the header's further interfaces an endpoint offers (X1), as found at its registration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interfaces {
    /// It is told where sound ends. Render endpoints alone.
    pub last_buffer: bool,
    /// It has a volume.
    pub volume: bool,
    /// It can mute.
    pub mute: bool,
    /// It measures what it plays.
    pub meter: bool,
    /// It has effects that can be switched.
    pub local_effects: bool,
}

/// Peaks of what an endpoint plays or records, 1 = full scale, and who has measured them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Metering {
    /// The endpoint (X1), in the channels of its format, over a stretch that it chooses.
    Endpoint([f32; CHANNELS]),
    /// The engine, in the channels of the device, over a tenth of a second: the device's levels.
    Engine([f32; CHANNELS]),
}

impl Engine {
    /// Switches an endpoint's own effects on or off (X1), attached or not.
    ///
    /// # Errors
    /// [`EngineError::UnknownSession`], [`EngineError::UnknownEndpoint`]; [`EngineError::EndpointFaulty`];
    /// [`EngineError::EndpointTaken`] while it is lent; [`EngineError::NotOffered`]; [`EngineError::Endpoint`] where it refuses; [`EngineError::EndpointPanicked`], and it
    /// is detached.
    pub fn set_local_effects(&mut self, session: SessionId, endpoint: EndpointId, on: bool) -> Result<(), EngineError> {
        self.effects(session, endpoint)?;
        let answer = self.endpoint(session, endpoint)?.demand("set_local_effects", |control| {
            control.local_effects().map_or(Ok(()), |effects| effects.set_local_effects(on))
        });
        self.detach_panicked();
        answer
    }

    /// Whether an endpoint's own effects are on (X1).
    ///
    /// # Errors
    /// As [`Engine::set_local_effects`].
    pub fn local_effects(&mut self, session: SessionId, endpoint: EndpointId) -> Result<bool, EngineError> {
        self.effects(session, endpoint)?;
        let answer = self
            .endpoint(session, endpoint)?
            .ask("local_effects", |control| control.local_effects().is_some_and(|effects| effects.local_effects()));
        self.detach_panicked();
        answer
    }

    /// Whether an endpoint has effects, and may be called.
    fn effects(&mut self, session: SessionId, endpoint: EndpointId) -> Result<(), EngineError> {
        self.session(session)?;
        let registered = self.endpoint(session, endpoint)?;
        match registered.place {
            HalfPlace::Faulty(fault) => return Err(EngineError::EndpointFaulty { endpoint, fault }),
            HalfPlace::Lent => return Err(EngineError::EndpointTaken(endpoint)),
            HalfPlace::Here(_) | HalfPlace::On(_) => {}
        }
        registered.not_panicked()?;
        if !registered.interfaces.local_effects {
            return Err(EngineError::NotOffered { endpoint, interface: Interface::LocalEffects });
        }
        Ok(())
    }

    /// Detaches attached endpoints whose control half has panicked. What the worker has no room for is tried again later.
    pub(crate) fn detach_panicked(&mut self) {
        let attached = self.endpoints.values().filter_map(|endpoint| match endpoint.place {
            HalfPlace::On(connection) if endpoint.panicked.get().is_some() => {
                Some((endpoint.session, connection, endpoint.id))
            }
            _ => None,
        });
        for (session, connection, endpoint) in attached.collect::<Vec<_>>() {
            if let Some(device) = self.device_of(session, connection)
                && let Ok(found) = self.device(session, device)
                && found.connections.get(&connection).is_some_and(|there| there.endpoint == Some(endpoint))
            {
                // The endpoint is called faulty when its real-time half has come back.
                let _ = self.detach_from(session, device, connection);
            }
        }
    }
}

impl Registered {
    /// Asks for every further interface.
    pub(crate) fn find_interfaces(&mut self) -> Result<(), EngineError> {
        let channels = self.format.layout.channels();
        let render = self.flow == DataFlow::Render;
        let last_buffer = render && self.ask("last_buffer_control", |control| control.last_buffer_control())?;
        let volume = self.ask("offload_volume", |control| control.offload_volume().map(|it| it.volume_channels()))?;
        let mute = self.ask("offload_mute", |control| control.offload_mute().is_some())?;
        let meter = self.ask("offload_meter", |control| control.offload_meter().map(OffloadMeter::meter_channels))?;
        let local_effects = self.ask("local_effects", |control| control.local_effects().is_some())?;
        for (found, what) in [
            (volume, "the channels of its volume are not those of its format"),
            (meter, "the channels of its meter are not those of its format"),
        ] {
            if found.is_some_and(|found| found != channels) {
                return Err(EngineError::Breach { requirement: Requirement::X1, what });
            }
        }
        self.interfaces =
            Interfaces { last_buffer, volume: volume.is_some(), mute, meter: meter.is_some(), local_effects };
        Ok(())
    }

    /// Sets the endpoint's own volume and mute at once, as far as it has them: before Start.
    pub(crate) fn tune(&mut self, volume: Gain, muted: bool) -> Result<(), EngineError> {
        self.apply_volume(volume, muted, VolumeCurve::None, Hns::ZERO)?;
        if self.interfaces.mute { self.apply_mute(volume, muted, Hns::ZERO) } else { Ok(()) }
    }

    /// Sets the endpoint's own volume, if it has one. Without a mute of its own it is muted by its volume.
    pub(crate) fn apply_volume(
        &mut self,
        volume: Gain,
        muted: bool,
        curve: VolumeCurve,
        duration: Hns,
    ) -> Result<(), EngineError> {
        self.not_panicked()?;
        if !self.interfaces.volume {
            return Ok(());
        }
        let channels = self.format.layout.channels().as_usize();
        let volumes = [if muted && !self.interfaces.mute { Gain::ZERO } else { volume }; CHANNELS];
        self.demand("set_channel_volumes", |control| {
            let volumes = volumes.get(..channels).unwrap_or_default();
            control.offload_volume().map_or(Ok(()), |it| it.set_channel_volumes(volumes, curve, duration))
        })
    }

    /// Mutes the endpoint, by its volume where it has no mute, or lets sound through again.
    pub(crate) fn apply_mute(&mut self, volume: Gain, muted: bool, duration: Hns) -> Result<(), EngineError> {
        self.not_panicked()?;
        if !self.interfaces.mute {
            return self.apply_volume(volume, muted, VolumeCurve::WindowsFade, duration);
        }
        self.demand("set_muted", |control| control.offload_mute().map_or(Ok(()), |it| it.set_muted(muted)))
    }

    fn not_panicked(&self) -> Result<(), EngineError> {
        let endpoint = self.id;
        self.panicked.get().map_or(Ok(()), |call| Err(EngineError::EndpointPanicked { endpoint, call }))
    }

    /// What the endpoint's own meter shows; none where it has none, or it fails. One that panics is detached by the next
    /// [`Engine::maintain`].
    pub(crate) fn peaks(&self) -> Option<[f32; CHANNELS]> {
        if !self.interfaces.meter || self.panicked.get().is_some() {
            return None;
        }
        let channels = self.format.layout.channels().as_usize();
        let read = |control: &dyn ControlHalf| -> Result<[f32; CHANNELS], EndpointError> {
            let mut peaks = [0.0; CHANNELS];
            if let (Some(meter), Some(peaks)) = (control.offload_meter(), peaks.get_mut(..channels)) {
                meter.metering(peaks)?;
            }
            Ok(peaks)
        };
        let Ok(answer) = self.control.look(|control| read(control.as_ref())) else {
            self.panicked.set(Some("metering"));
            return None;
        };
        // What is no number, or less than nothing, is no peak.
        answer.ok().map(|peaks| peaks.map(|peak| if peak >= 0.0 { peak } else { 0.0 }))
    }
}
