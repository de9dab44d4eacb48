//! A whole control half over a device's clock.

#[expect(clippy::disallowed_types, reason = "for the control side: see EventSlot")]
use std::sync::Mutex;
use std::sync::{Arc, PoisonError};

use soundpost_core::{Format, FrameCount, Hns};

use super::{ClockControl, Device, SoundControl, StockConfig};
use crate::exclusive::{ExclusivePlan, ExclusiveRequest};
use crate::{
    AudioEndpoint, BufferPlan, DeviceEndpoint, EndpointControl, EndpointError, Event, Lifecycle, LocalEffects,
    OffloadMeter, OffloadMute, OffloadVolume, StreamFlags,
};

/// Where the control half leaves the event and the device finds it. Neither is the real-time half.
#[expect(clippy::disallowed_types, reason = "locked by the control half and the device: no real-time half has one")]
pub(super) type EventSlot = Arc<Mutex<Option<Arc<dyn Event>>>>;

/// The control half of an endpoint whose device is a [`ClockControl`]: everything that the contract asks of it
/// (E1 to E5, D1 to D5, C1 to C3). An endpoint that has to do more wraps it.
pub struct ClockedControl {
    format: Format,
    minimum_latency: Hns,
    event_driven: bool,
    clock: ClockControl,
    lifecycle: Lifecycle,
    plan: Option<BufferPlan>,
    flags: StreamFlags,
    event: EventSlot,
    /// In exclusive use (D5).
    exclusive: bool,
    sound: Option<SoundControl>,
    last_buffer: bool,
}

impl ClockedControl {
    /// Flags that say something about the stream that every endpoint can live with: rate and format conversion are
    /// the engine's, volumes the session's.
    const HARMLESS: u32 = StreamFlags::CROSS_PROCESS.bits()
        | StreamFlags::NO_PERSIST.bits()
        | StreamFlags::RATE_ADJUST.bits()
        | StreamFlags::SRC_DEFAULT_QUALITY.bits()
        | StreamFlags::AUTO_CONVERT_PCM.bits();

    /// The control half of an endpoint on `clock`, which runs at the format's rate; the configuration's `offset` is
    /// the clock's affair. The endpoint's real-time half has the same clock's [`ClockControl::render`] or
    /// [`ClockControl::capture`].
    #[must_use]
    pub fn new(config: &StockConfig, clock: ClockControl) -> Self {
        Self {
            format: config.format,
            minimum_latency: config.minimum_latency,
            event_driven: config.event_driven,
            clock,
            lifecycle: Lifecycle::default(),
            plan: None,
            flags: StreamFlags::NONE,
            event: EventSlot::default(),
            exclusive: false,
            sound: None,
            last_buffer: false,
        }
    }

    /// Offers volume, mute, meter and local effects (X1). The endpoint's real-time half has the other end of `sound`, and
    /// sends what it plays through it.
    #[must_use]
    pub fn with_sound(self, sound: SoundControl) -> Self {
        Self { sound: Some(sound), ..self }
    }

    /// Offers last-buffer control (X1): the endpoint's real-time half does something in
    /// [`crate::OutputEndpointRt::release_last`].
    #[must_use]
    pub fn with_last_buffer(self) -> Self {
        Self { last_buffer: true, ..self }
    }

    /// What signals the event of an event-driven endpoint (D4).
    #[must_use]
    pub fn device(&self) -> Device {
        Device::new(self.clock.reader(), Arc::clone(&self.event))
    }

    /// The sizes that `set_buffer` has worked out; `None` before.
    #[must_use]
    pub fn plan(&self) -> Option<BufferPlan> {
        self.plan
    }

    fn initialized(&self) -> Result<BufferPlan, EndpointError> {
        self.plan.ok_or(EndpointError::NotInitialized)
    }

    fn has_event(&self) -> bool {
        self.event.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

impl AudioEndpoint for ClockedControl {
    fn frame_format(&self) -> Format {
        self.format
    }

    fn frames_per_packet(&self) -> Result<FrameCount, EndpointError> {
        Ok(self.initialized()?.packet)
    }

    fn latency(&self) -> Result<Hns, EndpointError> {
        Ok(self.initialized()?.latency)
    }

    fn set_stream_flags(&mut self, flags: StreamFlags) -> Result<(), EndpointError> {
        if self.lifecycle == Lifecycle::Running {
            return Err(EndpointError::NotStopped);
        }
        let honoured = Self::HARMLESS | if self.event_driven { StreamFlags::EVENT_CALLBACK.bits() } else { 0 };
        match flags.bits() & !honoured {
            0 => {
                self.flags = flags;
                Ok(())
            }
            bits => Err(EndpointError::InvalidStreamFlag { bits }),
        }
    }

    fn set_event(&mut self, event: Arc<dyn Event>) -> Result<(), EndpointError> {
        self.lifecycle.initialized()?;
        if !self.flags.contains(StreamFlags::EVENT_CALLBACK) {
            return Err(EndpointError::EventNotExpected);
        }
        if self.lifecycle == Lifecycle::Running {
            return Err(EndpointError::NotStopped);
        }
        *self.event.lock().unwrap_or_else(PoisonError::into_inner) = Some(event);
        Ok(())
    }

    fn last_buffer_control(&self) -> bool {
        self.last_buffer
    }

    fn offload_volume(&mut self) -> Option<&mut dyn OffloadVolume> {
        self.sound.as_mut().map(|sound| -> &mut dyn OffloadVolume { sound })
    }

    fn offload_mute(&mut self) -> Option<&mut dyn OffloadMute> {
        self.sound.as_mut().map(|sound| -> &mut dyn OffloadMute { sound })
    }

    fn offload_meter(&self) -> Option<&dyn OffloadMeter> {
        self.sound.as_ref().map(|sound| -> &dyn OffloadMeter { sound })
    }

    fn local_effects(&mut self) -> Option<&mut dyn LocalEffects> {
        self.sound.as_mut().map(|sound| -> &mut dyn LocalEffects { sound })
    }
}

impl DeviceEndpoint for ClockedControl {
    fn set_buffer(&mut self, max_period: Hns, coefficient: u32) -> Result<(), EndpointError> {
        if self.exclusive {
            return Err(EndpointError::InUse);
        }
        let mut lifecycle = self.lifecycle;
        lifecycle.set_buffer()?;
        let plan = BufferPlan::new(self.format, max_period, coefficient, self.minimum_latency)?;
        self.clock.set_buffer(&plan);
        // The event of an earlier use is another engine's, or another connection's.
        *self.event.lock().unwrap_or_else(PoisonError::into_inner) = None;
        (self.lifecycle, self.plan) = (lifecycle, Some(plan));
        Ok(())
    }

    fn event_driven_capable(&self) -> bool {
        self.event_driven
    }

    fn exclusive_mode(&mut self, request: &ExclusiveRequest) -> Result<ExclusivePlan, EndpointError> {
        if self.lifecycle != Lifecycle::Fresh {
            return Err(EndpointError::InUse);
        }
        let plan = ExclusivePlan::new(self.format, request, self.minimum_latency)?;
        self.lifecycle.set_buffer()?;
        self.clock.set_buffer(&plan.sizes);
        (self.plan, self.exclusive) = (Some(plan.sizes), true);
        Ok(plan)
    }

    fn release_buffer(&mut self) -> Result<(), EndpointError> {
        if self.lifecycle == Lifecycle::Running {
            self.stop()?;
        }
        self.clock.reset();
        *self.event.lock().unwrap_or_else(PoisonError::into_inner) = None;
        (self.lifecycle, self.plan, self.exclusive) = (Lifecycle::Fresh, None, false);
        self.flags = StreamFlags::NONE;
        Ok(())
    }
}

impl EndpointControl for ClockedControl {
    fn start(&mut self) -> Result<(), EndpointError> {
        let mut lifecycle = self.lifecycle;
        let start = lifecycle.start()?;
        if self.flags.contains(StreamFlags::EVENT_CALLBACK) && !self.has_event() {
            return Err(EndpointError::EventNotSet);
        }
        self.clock.start(start);
        self.lifecycle = lifecycle;
        Ok(())
    }

    fn stop(&mut self) -> Result<(), EndpointError> {
        self.lifecycle.stop()?;
        self.clock.stop();
        Ok(())
    }

    fn reset(&mut self) -> Result<(), EndpointError> {
        self.lifecycle.reset()?;
        self.clock.reset();
        Ok(())
    }
}
