//! Further devices of sessions, as the configuration has them, and what stands behind them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use soundpost_core::{Format, FrameCount, Gain, Hns, SampleFormat, SampleRate};
use soundpost_endpoint::DataFlow;
use soundpost_endpoint::stock::{self, StockConfig, TestSignal, Tone};
use soundpost_engine::{DeviceConfig, DeviceId, EngineError, StreamConfig, StreamId};
use soundpost_host::clock::MonotonicClock;
use soundpost_host::pulse::{PulseDevice, PulseServer};
use soundpost_host::record::{Recording, record};
use soundpost_host::submix::{Onward, submix};

use super::Failure;
use super::hub::{Attached, Hub, HubSession, TRY_AGAIN};
use crate::config::{DeviceEndpoint, DeviceSettings, Settings};

/// How often a busy engine is asked to close a device.
const TRIES: u32 = 20;

/// The further devices of all sessions.
pub(super) struct Devices {
    hub: Arc<Hub>,
    rate: SampleRate,
    period: Hns,
    opened: Vec<Opened>,
}

/// One of them.
struct Opened {
    settings: DeviceSettings,
    device: DeviceId,
    attached: Vec<Attached>,
    recordings: Vec<Recording>,
    /// Streams into the speakers, and how long their sound takes from there.
    mixed: Vec<(StreamId, Arc<Onward>)>,
}

/// How much longer sound takes behind a device than its own endpoints say.
pub(super) type Ways = Arc<std::sync::Mutex<Vec<(DeviceId, Arc<Onward>)>>>;

impl Devices {
    /// Opens all devices of the settings.
    pub(super) fn open(hub: &Arc<Hub>, settings: &Settings, ways: &Ways) -> Result<Self, Failure> {
        let mut devices = Self { hub: hub.clone(), rate: settings.rate, period: settings.period, opened: Vec::new() };
        for one in &settings.devices {
            devices.add(one, ways)?;
        }
        Ok(devices)
    }

    /// A session's devices as its applications see them: the defaults first.
    pub(super) fn of_session(&self, session: usize) -> Vec<PulseDevice> {
        let Some(found) = self.hub.sessions().get(session) else { return Vec::new() };
        let own = |name: &str, description: &str, flow, device, rate| PulseDevice {
            name: name.into(),
            description: description.into(),
            flow,
            device,
            rate,
        };
        let mut devices = vec![
            (1, own("soundpost", "Remote speakers", DataFlow::Render, found.device, self.rate)),
            (
                1,
                own(
                    "soundpost.microphone",
                    "Remote microphone",
                    DataFlow::Capture,
                    found.microphone,
                    SampleRate::HZ_48000,
                ),
            ),
        ];
        let further = self.opened.iter().filter(|opened| opened.settings.session == session);
        devices.extend(further.map(|opened| (if opened.settings.is_default { 0 } else { 2 }, self.seen(opened))));
        devices.sort_by_key(|(order, _)| *order);
        devices.into_iter().map(|(_, device)| device).collect()
    }

    fn seen(&self, opened: &Opened) -> PulseDevice {
        let DeviceSettings { name, description, flow, .. } = opened.settings.clone();
        PulseDevice { name, description, flow, device: opened.device, rate: self.rate }
    }

    fn add(&mut self, settings: &DeviceSettings, ways: &Ways) -> Result<PulseDevice, Failure> {
        let session = self.hub.sessions().get(settings.session).ok_or("there is no such session")?.clone();
        let config = DeviceConfig {
            rate: self.rate,
            period: self.period,
            ..DeviceConfig::new(settings.description.clone(), settings.flow)
        };
        let device = self.hub.engine().open_device(session.id, config)?;
        let mut opened = Opened {
            settings: settings.clone(),
            device,
            attached: Vec::new(),
            recordings: Vec::new(),
            mixed: Vec::new(),
        };
        for endpoint in &settings.endpoints {
            if let Err(error) = self.attach(&session, &mut opened, endpoint) {
                self.close(opened, ways);
                return Err(format!("cannot have the device {}: {error}", settings.name).into());
            }
        }
        lock(ways).extend(opened.mixed.iter().map(|(_, onward)| (device, onward.clone())));
        let seen = self.seen(&opened);
        self.opened.push(opened);
        Ok(seen)
    }

    fn attach(&self, session: &HubSession, opened: &mut Opened, endpoint: &DeviceEndpoint) -> Result<(), Failure> {
        let mix = Format { rate: self.rate, ..Format::DEFAULT };
        let stock = StockConfig::new(Format { sample: SampleFormat::S16, ..mix });
        let (name, endpoint) = match endpoint {
            DeviceEndpoint::Listeners => {
                let mix = Format { sample: SampleFormat::F32, ..mix };
                let packets = self.rate.frames_in_duration(self.period.to_duration() * 2);
                let config = StreamConfig {
                    capacity: Duration::from_millis(100),
                    // What is kept in store, and a packet: whichever device's pass comes first, there is one.
                    prebuffer: FrameCount::new(u32::try_from(packets).unwrap_or(u32::MAX)),
                    ..StreamConfig::new(&opened.settings.description, mix)
                };
                let (stream, writer) = self.hub.open_stream(session, config)?;
                let (endpoint, onward) = submix(writer, self.hub.clock());
                opened.mixed.push((stream, onward));
                ("listeners".to_owned(), endpoint)
            }
            DeviceEndpoint::File(path) => {
                let (endpoint, recording) =
                    record(path, Format { sample: SampleFormat::S16, ..mix }, Arc::new(MonotonicClock))?;
                opened.recordings.push(recording);
                (path.display().to_string(), endpoint)
            }
            DeviceEndpoint::Tone => {
                let tone = Tone::new(440_000, Gain::new(0.1));
                ("tone".to_owned(), stock::tone(&stock, self.hub.clock(), tone).endpoint)
            }
            DeviceEndpoint::TestSignal => {
                let signal = stock::test_signal(&stock, self.hub.clock(), TestSignal::Counter);
                ("test signal".to_owned(), signal.endpoint)
            }
        };
        opened.attached.push(self.hub.attach_to(session, opened.device, &name, endpoint)?);
        Ok(())
    }

    /// Makes the devices those of `wanted`: what is not there any more is unplugged, what is new is plugged in. What
    /// cannot be had is logged and left out.
    pub(super) fn change(&mut self, wanted: &[DeviceSettings], pulse: &PulseServer, ways: &Ways) {
        let (stay, gone) =
            std::mem::take(&mut self.opened).into_iter().partition(|opened| wanted.contains(&opened.settings));
        self.opened = stay;
        for opened in gone {
            let DeviceSettings { session, flow, name, .. } = opened.settings.clone();
            if let Err(error) = pulse.unplug(session, flow, &name) {
                tracing::error!(%error, name, "a device is not taken away");
            }
            self.close(opened, ways);
            tracing::info!(name, "a device is gone");
        }
        for settings in wanted {
            if self.opened.iter().any(|opened| opened.settings == *settings) {
                continue;
            }
            let plugged = self.add(settings, ways).and_then(|device| Ok(pulse.plug(settings.session, device)?));
            match plugged {
                Ok(()) => tracing::info!(name = settings.name, "a device is there"),
                Err(error) => tracing::warn!(%error, "a device is left out"),
            }
        }
    }

    /// Closes one, and what is behind it.
    fn close(&self, opened: Opened, ways: &Ways) {
        lock(ways).retain(|(device, _)| *device != opened.device);
        drop(opened.attached);
        if let Some(session) = self.hub.sessions().get(opened.settings.session) {
            let insist = |what: &str, close: &dyn Fn() -> Result<(), EngineError>| {
                let busy = |tried: &u32| {
                    let answer = close();
                    let busy = matches!(answer, Err(EngineError::Busy));
                    if busy && *tried < TRIES {
                        std::thread::sleep(TRY_AGAIN);
                    } else if let Err(error) = answer {
                        tracing::warn!(%error, "{what} is not closed");
                    }
                    busy
                };
                (0..=TRIES).take_while(busy).for_each(drop);
            };
            for (stream, _) in &opened.mixed {
                insist("a device's way to the speakers", &|| self.hub.engine().close_stream(session.id, *stream));
            }
            insist("a device", &|| self.hub.engine().close_device(session.id, opened.device));
        }
        finish(opened.recordings);
    }

    /// Closes the files. Answers whether all are whole.
    pub(super) fn finish(self) -> bool {
        let recordings = self.opened.into_iter().flat_map(|opened| {
            drop(opened.attached);
            opened.recordings
        });
        finish(recordings.collect())
    }
}

fn finish(recordings: Vec<Recording>) -> bool {
    let whole = |recording: Recording| {
        let path = recording.path().to_owned();
        is_whole(&path, recording)
    };
    // Each is closed, also after one that is not whole.
    recordings.into_iter().map(whole).filter(|whole| !whole).count() == 0
}

/// Closes a recording, and says in the log how it went.
pub(super) fn is_whole(path: &Path, recording: Recording) -> bool {
    let status = recording.finish(Recording::PATIENCE);
    if status.trouble.is_none() && status.closed && status.cut_frames == 0 {
        tracing::info!(file = %path.display(), frames = status.frames, "recording closed");
        return true;
    }
    tracing::error!(file = %path.display(), closed = status.closed, %status, "the recording is not whole");
    false
}

fn lock<T>(ways: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    super::hub::lock(ways)
}
