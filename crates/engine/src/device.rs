//! Devices.

use soundpost_core::{FrameCount, Gain, Hns};
use soundpost_dsp::ramp::Fader;
use soundpost_endpoint::{DataFlow, VolumeCurve};
use soundpost_rt::bus::{BusParts, Limits};
use soundpost_rt::capture::CaptureBus;
use soundpost_rt::path::Place;
use soundpost_rt::render::RenderBus;
use soundpost_rt::stats;

use crate::command::{Command, RtDevice, RtKind, VolumeChange};
use crate::engine::{Device, Places};
use crate::{DeviceConfig, DeviceId, Engine, EngineError, SessionId};

impl Engine {
    /// Opens a device in a session.
    ///
    /// # Errors
    /// [`EngineError::UnknownSession`]; [`EngineError::Period`]; [`EngineError::Busy`].
    pub fn open_device(&mut self, session: SessionId, config: DeviceConfig) -> Result<DeviceId, EngineError> {
        if config.period < DeviceConfig::SHORTEST_PERIOD || config.period > DeviceConfig::LONGEST_PERIOD {
            return Err(EngineError::Period(config.period));
        }
        self.ready(session)?;
        let id = DeviceId::new(self.next_id());
        let (writer, stats) = stats::device_stats();
        let mut volume = Fader::new(config.volume, self.ramp(config.rate));
        volume.set_muted(config.muted);
        volume.settle();
        let parts = BusParts {
            place: Place { rate: config.rate, layout: config.layout },
            period: config.period,
            volume,
            idle_after: self.config.idle_after,
            limits: Limits { allowed: config.period.to_duration() / 2, tolerated: self.config.tolerated_overruns },
            publisher: writer,
        };
        let kind = match config.flow {
            DataFlow::Render => RtKind::Render { bus: RenderBus::new(parts), streams: Vec::new(), links: Vec::new() },
            DataFlow::Capture => RtKind::Capture { bus: CaptureBus::new(parts), streams: Vec::new(), link: None },
        };
        let worker = self.session(session)?.worker;
        let room = self.places.get_mut(worker).and_then(Places::take);
        let device = Box::new(RtDevice { id, driver: None, was_active: false, kind });
        self.send(session, Command::AddDevice { device, room }).map_err(|_| EngineError::Busy)?;
        let device = Device {
            volume: config.volume,
            muted: config.muted,
            config,
            active: false,
            stats,
            streams: std::collections::BTreeMap::new(),
            stream_places: Places::default(),
            connections: std::collections::BTreeMap::new(),
            connection_places: Places::default(),
        };
        self.session(session)?.devices.insert(id, device);
        Ok(id)
    }

    /// Closes a device with its streams and connections. Its endpoints are detached and stay registered.
    ///
    /// # Errors
    /// [`EngineError::UnknownSession`], [`EngineError::UnknownDevice`], [`EngineError::Busy`].
    pub fn close_device(&mut self, session: SessionId, device: DeviceId) -> Result<(), EngineError> {
        self.device(session, device)?;
        self.ready(session)?;
        self.send(session, Command::RemoveDevice(device)).map_err(|_| EngineError::Busy)?;
        let worker = self.session(session)?.worker;
        if let Some(places) = self.places.get_mut(worker) {
            places.free();
        }
        self.session(session)?.devices.remove(&device);
        Ok(())
    }

    /// Sets a device's volume. The change is a ramp; where the device's endpoint applies it (X1), one along the reference's
    /// fade.
    ///
    /// # Errors
    /// [`EngineError::UnknownSession`], [`EngineError::UnknownDevice`], [`EngineError::Busy`]; [`EngineError::Endpoint`]
    /// where the endpoint that applies the volume refuses; [`EngineError::EndpointPanicked`], and it is detached.
    pub fn set_device_volume(&mut self, session: SessionId, device: DeviceId, volume: Gain) -> Result<(), EngineError> {
        let muted = self.device(session, device)?.muted;
        self.change_device(session, device, (volume, muted), VolumeChange::Gain(volume))?;
        self.device(session, device)?.volume = volume;
        Ok(())
    }

    /// Mutes a device, or lets sound through again. The change is a ramp; where the device's endpoint applies it (X1),
    /// that endpoint's own.
    ///
    /// # Errors
    /// As [`Engine::set_device_volume`].
    pub fn set_device_muted(&mut self, session: SessionId, device: DeviceId, muted: bool) -> Result<(), EngineError> {
        let volume = self.device(session, device)?.volume;
        self.change_device(session, device, (volume, muted), VolumeChange::Muted(muted))?;
        self.device(session, device)?.muted = muted;
        Ok(())
    }

    /// The bus hears of every change, also where an endpoint applies it: it needs it for other connections, and when
    /// that endpoint goes.
    fn change_device(
        &mut self,
        session: SessionId,
        device: DeviceId,
        (volume, muted): (Gain, bool),
        change: VolumeChange,
    ) -> Result<(), EngineError> {
        self.ready(session)?;
        let connections = &self.device(session, device)?.connections;
        let applied = connections.values().find(|connection| connection.applies_volume);
        if let Some(endpoint) = applied.and_then(|connection| connection.endpoint) {
            let duration = Hns::from(self.config.ramp);
            let endpoint = self.endpoint(session, endpoint)?;
            let answer = match change {
                VolumeChange::Gain(_) => endpoint.apply_volume(volume, muted, VolumeCurve::WindowsFade, duration),
                VolumeChange::Muted(_) => endpoint.apply_mute(volume, muted, duration),
            };
            self.detach_panicked();
            answer?;
        }
        self.send(session, Command::ChangeDevice { device, change }).map_err(|_| EngineError::Busy)
    }

    /// The length of a ramp at a rate.
    pub(crate) fn ramp(&self, rate: soundpost_core::SampleRate) -> FrameCount {
        let frames = rate.frames_in_duration(self.config.ramp);
        FrameCount::new(u32::try_from(frames).unwrap_or(u32::MAX))
    }
}
