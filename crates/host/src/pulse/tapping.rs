//! Attaching what is recorded of what is played: a device's monitor, or one stream alone.

use std::sync::Arc;

use rtrb::{Producer, RingBuffer};
use soundpost_core::{Format, Hns, SampleFormat, SampleRate};
use soundpost_endpoint::{DataFlow, Endpoint};
use soundpost_engine::{AttachConfig, ConnectionId, DeviceConfig, DeviceId, EndpointId, Engine, EngineError};

use super::PulseConfig;
use super::feed::DEVICE;
use super::monitor::{monitor, pickup};
use crate::clock::MonotonicClock;

/// How much of one stream waits for its recording.
const QUEUE: Hns = Hns::from_millis(500);

/// A capture device that is fed by what is played.
#[derive(Debug)]
pub(super) struct Tapping {
    pub(super) device: DeviceId,
    attached: Vec<(ConnectionId, EndpointId)>,
}

impl Tapping {
    /// What a device of this rate plays.
    pub(super) fn of_device(
        engine: &mut Engine,
        config: &PulseConfig,
        (device, rate): (DeviceId, SampleRate),
    ) -> Result<Self, EngineError> {
        let format = Format { sample: SampleFormat::F32, rate, layout: DEVICE };
        let (tap, pickup) = monitor(format, config.period, Arc::new(MonotonicClock));
        let mut tapping = Self::open(engine, config, format, "monitor")?;
        let attached = tapping.attach(engine, config, tapping.device, pickup, 2);
        let attached = attached.and_then(|()| tapping.attach(engine, config, device, tap, 1));
        tapping.whole(engine, config, attached)
    }

    /// What is written to the queue that comes with it, in this format.
    pub(super) fn of_stream(
        engine: &mut Engine,
        config: &PulseConfig,
        format: Format,
    ) -> Result<(Self, Producer<u8>), EngineError> {
        let (producer, consumer) = RingBuffer::new(format.bytes_of(format.rate.frames_covering(QUEUE)));
        let mut tapping = Self::open(engine, config, format, "monitor of a stream")?;
        let endpoint = pickup(format, config.period, Arc::new(MonotonicClock), consumer);
        let attached = tapping.attach(engine, config, tapping.device, endpoint, 2);
        Ok((tapping.whole(engine, config, attached)?, producer))
    }

    fn open(engine: &mut Engine, config: &PulseConfig, format: Format, name: &str) -> Result<Self, EngineError> {
        let device = DeviceConfig {
            rate: format.rate,
            layout: format.layout,
            period: config.period,
            ..DeviceConfig::new(name, DataFlow::Capture)
        };
        Ok(Self { device: engine.open_device(config.session, device)?, attached: Vec::new() })
    }

    fn attach(
        &mut self,
        engine: &mut Engine,
        config: &PulseConfig,
        device: DeviceId,
        endpoint: Endpoint,
        coefficient: u32,
    ) -> Result<(), EngineError> {
        let endpoint = engine.register(config.session, "monitor", endpoint)?;
        let connection = engine.connect(config.session, device).inspect_err(|_| {
            // It was never attached: this cannot fail but where the session is gone.
            let _ = engine.unregister(config.session, endpoint);
        })?;
        self.attached.push((connection, endpoint));
        engine.attach(config.session, connection, endpoint, AttachConfig { coefficient, event_driven: false })
    }

    /// Itself, if everything could be attached; otherwise what there is goes away again.
    fn whole(
        self,
        engine: &mut Engine,
        config: &PulseConfig,
        attached: Result<(), EngineError>,
    ) -> Result<Self, EngineError> {
        match attached {
            Ok(()) => Ok(self),
            Err(error) => {
                self.end(engine, config);
                Err(error)
            }
        }
    }

    /// Takes it all away, with the streams that record from it.
    pub(super) fn end(self, engine: &mut Engine, config: &PulseConfig) {
        let session = config.session;
        for (connection, endpoint) in self.attached {
            let done = engine.disconnect(session, connection).and_then(|()| engine.unregister(session, endpoint));
            if let Err(error) = done {
                tracing::warn!(%error, "a monitor is not taken off");
            }
        }
        if let Err(error) = engine.close_device(session, self.device) {
            tracing::warn!(%error, "a monitor's device is not closed");
        }
    }
}
