//! The control socket: answers `soundpost endpoints` and `soundpost status`, and takes requests for exclusive use.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use soundpost_core::{Format, Hns};
use soundpost_engine::{
    AttachedEndpoint, DeviceSnapshot, EndpointId, EndpointState, Histogram, Metering, StreamSnapshot, StreamState,
};
use soundpost_host::exclusive;
use soundpost_link::rdp::PumpState;
use thiserror::Error;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::hub::Hub;
use crate::status::{
    AttachedStatus, Bucket, DeviceStatus, EndpointStatus, Level, PassTime, REQUEST, SOCKET, SessionStatus, Status,
    StreamStatus,
};

/// Why there is no control socket.
#[derive(Debug, Error)]
pub(crate) enum ControlError {
    #[error("another soundpost uses the state directory {0}: give this one its own with --state-dir DIR")]
    Taken(PathBuf),
    #[error("cannot open the control socket {path}: {error}")]
    Io { path: PathBuf, error: io::Error },
}

/// The control socket's place in the state directory, taken.
pub(crate) struct ControlSocket {
    path: PathBuf,
    listener: std::os::unix::net::UnixListener,
}

/// The control socket, being answered on.
pub(crate) struct Control {
    path: PathBuf,
    task: Option<tokio::task::JoinHandle<()>>,
}

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many may ask at once.
const MAX_ASKING: usize = 16;
/// The longest request.
const MAX_REQUEST: u64 = 4096;

impl ControlSocket {
    /// Opens the socket in the state directory, which is the user's alone.
    pub(crate) fn bind(state_dir: &Path) -> Result<Self, ControlError> {
        let path = state_dir.join(SOCKET);
        let io = |error: io::Error| ControlError::Io { path: path.clone(), error };
        // A socket that nobody answers on was left by a daemon that was killed.
        match std::os::unix::net::UnixStream::connect(&path) {
            Ok(_) => return Err(ControlError::Taken(state_dir.into())),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(&path).map_err(io)?;
            }
            Err(_) => {}
        }
        let listener = std::os::unix::net::UnixListener::bind(&path).map_err(io)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(io)?;
        listener.set_nonblocking(true).map_err(io)?;
        Ok(Self { path, listener })
    }
}

impl Control {
    /// Begins to answer. Within a tokio runtime.
    pub(crate) fn start(socket: ControlSocket, hub: Arc<Hub>, listen: String) -> Self {
        let task = match UnixListener::from_std(socket.listener) {
            Ok(listener) => Some(tokio::spawn(accept(listener, hub, listen))),
            Err(error) => {
                tracing::warn!(%error, "no control socket: `soundpost endpoints` and `status` will get no answer");
                None
            }
        };
        Self { path: socket.path, task }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
        // It is of no use to anybody now; if it stays, the next daemon removes it.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn accept(listener: UnixListener, hub: Arc<Hub>, listen: String) {
    let places = Arc::new(Semaphore::new(MAX_ASKING));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (hub, listen) = (hub.clone(), listen.clone());
                tokio::spawn(async move {
                    if !matches!(timeout(PATIENCE, answer(stream, &hub, listen, place)).await, Ok(Ok(()))) {
                        tracing::debug!("a question on the control socket was not asked to the end");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "control socket");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer(mut stream: UnixStream, hub: &Arc<Hub>, listen: String, place: OwnedSemaphorePermit) -> io::Result<()> {
    let (read, mut write) = stream.split();
    let mut request = String::new();
    BufReader::new(read.take(MAX_REQUEST)).read_line(&mut request).await?;
    if request.starts_with(exclusive::REQUEST) {
        // It stays open for as long as the client has the endpoint: on a thread of its own, which waits.
        let (stream, hub) = (stream.into_std()?, hub.clone());
        let thread = std::thread::Builder::new().name("soundpost-excl".into());
        thread.spawn(move || super::exclusive::serve(&hub, stream, &request, place))?;
        return Ok(());
    }
    let mut line = if request.trim_end() == REQUEST {
        serde_json::to_string(&status(hub, listen)).map_err(io::Error::other)?
    } else {
        format!("{{\"error\":\"unknown request: ask {REQUEST:?}\"}}")
    };
    line.push('\n');
    write.write_all(line.as_bytes()).await
}

fn status(hub: &Hub, listen: String) -> Status {
    let (mut endpoints, mut sessions) = (Vec::new(), Vec::new());
    for session in hub.snapshot().sessions {
        let first = endpoints.len();
        let mut ids = Vec::new();
        for endpoint in session.endpoints {
            let place = session.devices.iter().find_map(|device| {
                let connection = device.connections.iter().find(|connection| {
                    connection.endpoint.as_ref().is_some_and(|attached| attached.id == endpoint.id)
                })?;
                Some((device, connection))
            });
            let listener = hub.listener_stats(endpoint.id);
            let exclusive = hub.uses().of(endpoint.id);
            let state = match (&endpoint.state, place, listener) {
                (EndpointState::Lent, _, _) => match exclusive.process {
                    Some(process) => format!("exclusive (process {process})"),
                    None => "exclusive".into(),
                },
                (EndpointState::Faulty(fault), _, _) => format!("detached ({}: {fault})", fault.requirement()),
                (_, None, _) => "detached".into(),
                (_, Some(_), Some(stats)) => pump_state(stats.state).into(),
                (_, Some((device, _)), None) => if device.active { "playing" } else { "idle" }.into(),
            };
            let latency =
                place.and_then(|(_, connection)| connection.endpoint.as_ref()).map(|attached| attached.latency);
            let client = listener.and_then(|stats| stats.client_latency).unwrap_or_default();
            let stats = place.map(|(_, connection)| connection.stats).unwrap_or_default();
            ids.push(endpoint.id);
            endpoints.push(EndpointStatus {
                session: session.name.clone(),
                name: endpoint.name,
                flow: endpoint.flow.to_string(),
                format: endpoint.format.to_string(),
                latency_ms: latency.map(Hns::to_duration).unwrap_or_default().as_secs_f64() * 1e3,
                client_latency_ms: client.as_secs_f64() * 1e3,
                state,
                exclusive_process: exclusive.process,
                exclusive_broken: exclusive.broken,
                padding_frames: stats.padding.get(),
                waiting_frames: stats.waiting.get(),
                frames: stats.frames,
                silent_frames: stats.silent,
                underruns: stats.underruns,
                overruns: stats.overruns,
                cut_frames: stats.cut,
                measured_rate: stats.rate,
                pass_time: pass_time(&stats.cost),
                slow_passes: stats.slow,
                device: None,
            });
        }
        let known: Vec<(EndpointId, EndpointStatus)> =
            ids.into_iter().zip(endpoints.get(first..).unwrap_or_default().iter().cloned()).collect();
        let devices: Vec<DeviceStatus> = session.devices.iter().map(|device| device_status(device, &known)).collect();
        for ((id, _), endpoint) in known.iter().zip(endpoints.get_mut(first..).unwrap_or_default()) {
            let mut with = session.devices.iter().zip(&devices);
            endpoint.device =
                with.find(|(device, _)| attached(device).any(|one| one.id == *id)).map(|(_, it)| it.clone());
        }
        sessions.push(SessionStatus { name: session.name, devices });
    }
    Status { version: env!("CARGO_PKG_VERSION").into(), pid: std::process::id(), listen, endpoints, sessions }
}

/// The endpoints of a device.
fn attached(device: &DeviceSnapshot) -> impl Iterator<Item = &AttachedEndpoint> {
    device.connections.iter().filter_map(|connection| connection.endpoint.as_ref())
}

/// An endpoint as its device has it; `known` are those of the session.
fn attached_status(endpoint: &AttachedEndpoint, known: &[(EndpointId, EndpointStatus)]) -> Option<AttachedStatus> {
    let (_, status) = known.iter().find(|(id, _)| *id == endpoint.id)?;
    let peak = match &endpoint.metering {
        Metering::Engine(peak) | Metering::Endpoint(peak) => peak,
    };
    Some(AttachedStatus {
        name: endpoint.name.clone(),
        format: endpoint.format.to_string(),
        state: status.state.clone(),
        latency_ms: status.latency_ms,
        client_latency_ms: status.client_latency_ms,
        underruns: status.underruns,
        applies_volume: endpoint.applies_volume,
        peak: peak.iter().take(endpoint.format.layout.channels().as_usize()).copied().collect(),
    })
}

fn device_status(device: &DeviceSnapshot, known: &[(EndpointId, EndpointStatus)]) -> DeviceStatus {
    let DeviceSnapshot { stats, format, .. } = device;
    DeviceStatus {
        name: device.name.clone(),
        flow: device.flow.to_string(),
        volume: device.volume.get(),
        muted: device.muted,
        format: format.to_string(),
        period_ms: device.period.to_duration().as_secs_f64() * 1e3,
        active: device.active,
        levels: levels(&stats.levels.peak, &stats.levels.rms, *format),
        passes: stats.passes,
        late_passes: stats.late,
        missed_passes: stats.missed,
        limited_frames: stats.limited,
        pass_time: pass_time(&stats.cost),
        streams: device.streams.iter().map(stream_status).collect(),
        endpoints: attached(device).filter_map(|endpoint| attached_status(endpoint, known)).collect(),
    }
}

fn stream_status(stream: &StreamSnapshot) -> StreamStatus {
    let state = match stream.state {
        StreamState::Running => "running",
        StreamState::Paused => "paused",
        StreamState::Draining => "draining",
    };
    StreamStatus {
        name: stream.name.clone(),
        format: stream.format.to_string(),
        state: state.into(),
        volume: stream.volume.get(),
        muted: stream.muted,
        frames: stream.stats.frames,
        queued_frames: stream.stats.queued.get(),
        underruns: stream.stats.underruns,
        latency_ms: stream.stats.latency.to_duration().as_secs_f64() * 1e3,
        levels: levels(&stream.stats.levels.peak, &stream.stats.levels.rms, stream.format),
    }
}

fn levels(peak: &[f32], rms: &[f32], format: Format) -> Vec<Level> {
    let channels = format.layout.channels().as_usize();
    peak.iter().zip(rms).take(channels).map(|(&peak, &rms)| Level::new(peak, rms)).collect()
}

fn pass_time(cost: &Histogram) -> PassTime {
    let micros = |duration: Duration| duration.as_secs_f64() * 1e6;
    let happened = cost.buckets().filter(|(_, count)| *count > 0);
    PassTime {
        longest_us: micros(cost.longest()),
        p99_us: micros(cost.quantile(0.99)),
        histogram: happened.map(|(below, count)| Bucket { below_us: micros(below), count }).collect(),
    }
}

fn pump_state(state: PumpState) -> &'static str {
    match state {
        PumpState::Negotiating => "connecting",
        PumpState::Idle => "idle",
        PumpState::Flowing => "playing",
        PumpState::Cut => "stalled",
        PumpState::Closed => "closed",
    }
}
