//! The control half: what is never called on the real-time thread.

use std::sync::Arc;

use soundpost_core::{Format, FrameCount, Hns};

use crate::exclusive::{ExclusivePlan, ExclusiveRequest};
use crate::{EndpointError, LocalEffects, OffloadMeter, OffloadMute, OffloadVolume, StreamFlags};

/// Something an endpoint can signal: "a packet's worth of time has passed on my device" (E5, D4).
///
/// Off Windows the engine's implementation is an eventfd, on Windows an event object. `signal` may be called from any
/// thread, the endpoint's own real-time thread included: it neither blocks nor allocates.
pub trait Event: Send + Sync {
    /// Wakes whoever waits. Signals that nobody has waited for yet may fall together into one.
    fn signal(&self);
}

/// Information about an endpoint (IAudioEndpoint). Never called on the real-time thread.
pub trait AudioEndpoint {
    /// The format of a frame (E1, GetFrameFormat). Does not change during the endpoint's life.
    fn frame_format(&self) -> Format;

    /// The most frames that one acquire may ask for (E2, GetFramesPerPacket): `ceil(period × rate)`.
    ///
    /// # Errors
    /// [`EndpointError::NotInitialized`] before [`DeviceEndpoint::set_buffer`].
    fn frames_per_packet(&self) -> Result<FrameCount, EndpointError>;

    /// What the endpoint itself adds to the stream (E3, GetLatency); the actual value, not the one asked for (D2).
    /// For a render endpoint this is also the length of its buffer: the engine keeps at most so much queued.
    ///
    /// # Errors
    /// [`EndpointError::NotInitialized`] before [`DeviceEndpoint::set_buffer`].
    fn latency(&self) -> Result<Hns, EndpointError>;

    /// Says how the stream will be used (E4, SetStreamFlags). Called before `set_buffer`.
    ///
    /// # Errors
    /// [`EndpointError::InvalidStreamFlag`] for a flag that this endpoint cannot honour. (Unknown bits do not come
    /// this far: [`StreamFlags::from_bits`] refuses them.)
    fn set_stream_flags(&mut self, flags: StreamFlags) -> Result<(), EndpointError>;

    /// Hands over the event by which the endpoint drives the engine (E5, SetEventHandle).
    ///
    /// # Errors
    /// [`EndpointError::NotInitialized`] before `set_buffer`; [`EndpointError::EventNotExpected`] without
    /// [`StreamFlags::EVENT_CALLBACK`].
    fn set_event(&mut self, event: Arc<dyn Event>) -> Result<(), EndpointError>;

    /// Whether the real-time half knows the end of sound from silence (X1, IsLastBufferControlSupported): it is told by
    /// [`crate::OutputEndpointRt::release_last`] then, and nothing follows until sound begins anew. This and the four
    /// that follow are asked once, at registration, and stay the same during the endpoint's life.
    fn last_buffer_control(&self) -> bool {
        false
    }

    /// The endpoint's own volume, where it has one (X1, QueryInterface for IAudioEndpointOffloadStreamVolume).
    fn offload_volume(&mut self) -> Option<&mut dyn OffloadVolume> {
        None
    }

    /// The endpoint's own mute, where it has one (X1, QueryInterface for IAudioEndpointOffloadStreamMute).
    fn offload_mute(&mut self) -> Option<&mut dyn OffloadMute> {
        None
    }

    /// The endpoint's own meter, where it has one (X1, QueryInterface for IAudioEndpointOffloadStreamMeter).
    fn offload_meter(&self) -> Option<&dyn OffloadMeter> {
        None
    }

    /// The endpoint's own effects, where it has some (X1, QueryInterface for IAudioLfxControl).
    fn local_effects(&mut self) -> Option<&mut dyn LocalEffects> {
        None
    }
}

/// Initialisation of an endpoint that is a device (IAudioDeviceEndpoint). Never called on the real-time thread.
pub trait DeviceEndpoint {
    /// Initialises the endpoint and makes its buffer (D1, SetBuffer). Latency becomes `coefficient × max_period`, or
    /// the device's minimum where that is more or the coefficient is 0 (D2). A second call before Start replaces the
    /// first.
    ///
    /// # Errors
    /// [`EndpointError::PeriodOutOfRange`]; [`EndpointError::NotStopped`] while running; [`EndpointError::InUse`]
    /// after exclusive use began; [`EndpointError::Device`] where the resource cannot be had.
    fn set_buffer(&mut self, max_period: Hns, coefficient: u32) -> Result<(), EndpointError>;

    /// Whether the device can be driven without the engine's threads (D3, GetRTCaps). Always false for a remote
    /// desktop's endpoints, and so not for an endpoint to answer.
    fn rt_capable(&self) -> bool {
        false
    }

    /// Whether the endpoint can set the engine's period by its events (D4, GetEventDrivenCapable). Asked before
    /// `set_buffer`.
    fn event_driven_capable(&self) -> bool;

    /// Gives the endpoint to one client process alone (D5, WriteExclusiveModeParametersToSharedMemory): works out the
    /// parameters, and initialises the endpoint as SetBuffer would. Its host puts them, and the buffer, into memory that
    /// it shares with that process. From here on SetBuffer is refused (D1), until [`DeviceEndpoint::release_buffer`].
    ///
    /// # Errors
    /// [`EndpointError::InUse`] once SetBuffer has initialised the endpoint, or when it is in exclusive use already;
    /// [`EndpointError::PeriodOutOfRange`]; [`EndpointError::BufferOutOfRange`];
    /// [`EndpointError::ExclusiveNotAllowed`] by an endpoint that does not offer it, as those do that do not implement
    /// this.
    fn exclusive_mode(&mut self, request: &ExclusiveRequest) -> Result<ExclusivePlan, EndpointError> {
        let _ = request;
        Err(EndpointError::ExclusiveNotAllowed)
    }

    /// Lets go of what `set_buffer` or `exclusive_mode` has made: the endpoint is as new, and both are open to it. Stops
    /// it first if it runs. (In the reference an endpoint object is released instead, and another one activated.)
    ///
    /// # Errors
    /// [`EndpointError::ExclusiveNotAllowed`] by an endpoint that does not offer exclusive mode, and never has to be as
    /// new.
    fn release_buffer(&mut self) -> Result<(), EndpointError> {
        Err(EndpointError::ExclusiveNotAllowed)
    }
}

/// Start, stop and reset (IAudioEndpointControl). Never called on the real-time thread.
///
/// Legal order (C2): `set_buffer → start → passes → stop → (reset) → start ...`. Anything else is answered with an
/// error and changes nothing.
pub trait EndpointControl {
    /// Starts the stream (C1). After a `stop` without `reset`, queued data plays on (C3).
    ///
    /// # Errors
    /// [`EndpointError::NotInitialized`] before `set_buffer`, [`EndpointError::NotStopped`] when running.
    fn start(&mut self) -> Result<(), EndpointError>;

    /// Stops the stream; what is queued stays (C1, C3).
    ///
    /// # Errors
    /// [`EndpointError::NotStarted`] when not running.
    fn stop(&mut self) -> Result<(), EndpointError>;

    /// Throws away everything not yet processed, and sets the positions back to 0 (C1, T2).
    ///
    /// # Errors
    /// [`EndpointError::NotInitialized`] before `set_buffer`, [`EndpointError::NotStopped`] when running.
    fn reset(&mut self) -> Result<(), EndpointError>;
}

/// The whole control half. Implemented by everything that implements its three parts.
pub trait ControlHalf: AudioEndpoint + DeviceEndpoint + EndpointControl + Send {}

impl<T: AudioEndpoint + DeviceEndpoint + EndpointControl + Send> ControlHalf for T {}
