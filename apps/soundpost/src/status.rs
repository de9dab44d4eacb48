//! What a running daemon tells about itself, over a socket in its state directory, and how `soundpost endpoints`
//! and `soundpost status` show it.
//!
//! The exchange is one line each way: a request ([`REQUEST`]), and the [`Status`] as one line of JSON.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The socket's name in the state directory.
pub(crate) const SOCKET: &str = "control.sock";
/// The only request there is.
pub(crate) const REQUEST: &str = "status 1";

/// A daemon's state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Status {
    /// Soundpost's version.
    pub(crate) version: String,
    /// The daemon's process.
    pub(crate) pid: u32,
    /// Where RDP clients connect.
    pub(crate) listen: String,
    /// The endpoints of all sessions.
    pub(crate) endpoints: Vec<EndpointStatus>,
    /// The sessions.
    pub(crate) sessions: Vec<SessionStatus>,
}

/// What `soundpost status --json` prints.
#[derive(Debug, Serialize)]
pub(crate) struct Overview<'a> {
    version: &'a str,
    pid: u32,
    listen: &'a str,
    sessions: &'a [SessionStatus],
}

impl Status {
    /// Sessions instead of endpoints.
    pub(crate) fn overview(&self) -> Overview<'_> {
        Overview { version: &self.version, pid: self.pid, listen: &self.listen, sessions: &self.sessions }
    }
}

/// A session: what belongs to one user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SessionStatus {
    /// Its name.
    pub(crate) name: String,
    /// Its devices.
    pub(crate) devices: Vec<DeviceStatus>,
}

/// An endpoint as a device has it: who hears that, or where its sound comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct AttachedStatus {
    /// Its name.
    pub(crate) name: String,
    /// Its format.
    pub(crate) format: String,
    /// What it is doing.
    pub(crate) state: String,
    /// What it adds to the stream, and what a remote client says that it adds itself, in milliseconds.
    pub(crate) latency_ms: f64,
    pub(crate) client_latency_ms: f64,
    /// Times that it ran dry.
    pub(crate) underruns: u64,
    /// Whether it applies the device's volume itself; else the engine does.
    pub(crate) applies_volume: bool,
    /// The peak of each channel, 1 for full scale: its own meter's, or that of what the engine gives to it.
    pub(crate) peak: Vec<f32>,
}

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct EndpointStatus {
    /// Whose session it belongs to.
    pub(crate) session: String,
    /// Its name: where the listener is, or which file.
    pub(crate) name: String,
    /// `render` or `capture`.
    pub(crate) flow: String,
    /// Its format.
    pub(crate) format: String,
    /// What it adds to the stream, in milliseconds.
    pub(crate) latency_ms: f64,
    /// What a remote client says that it adds itself, in milliseconds; 0 where it says nothing.
    pub(crate) client_latency_ms: f64,
    /// What it is doing.
    pub(crate) state: String,
    /// The process that has it for itself, where one does.
    pub(crate) exclusive_process: Option<u32>,
    /// How often such a process died, stood still or wrote nonsense, and lost it.
    pub(crate) exclusive_broken: u64,
    /// Frames that it holds and has not played yet (its padding), at the last pass.
    pub(crate) padding_frames: u32,
    /// Frames between the device and it, at the last pass.
    pub(crate) waiting_frames: u32,
    /// Frames moved to or from it, silence included, and those of them that were silence.
    pub(crate) frames: u64,
    pub(crate) silent_frames: u64,
    /// Times that it ran dry.
    pub(crate) underruns: u64,
    /// Times that more came than it took, and the frames that were cut then.
    pub(crate) overruns: u64,
    pub(crate) cut_frames: u64,
    /// The rate at which it really runs, in hertz, once that is known.
    pub(crate) measured_rate: Option<f64>,
    /// What the calls into it cost, a pass.
    pub(crate) pass_time: PassTime,
    /// Passes in which they cost more than half a period.
    pub(crate) slow_passes: u64,
    /// The device that it is attached to.
    pub(crate) device: Option<DeviceStatus>,
}

/// A device: what endpoints of a session have in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct DeviceStatus {
    /// Its name.
    pub(crate) name: String,
    /// `render` or `capture`.
    pub(crate) flow: String,
    /// Its volume, 1 for full, and whether it is muted.
    pub(crate) volume: f32,
    pub(crate) muted: bool,
    /// The format of its mix.
    pub(crate) format: String,
    /// The time between its passes, in milliseconds.
    pub(crate) period_ms: f64,
    /// Whether passes are going on.
    pub(crate) active: bool,
    /// The levels of the last tenth of a second, a channel each.
    pub(crate) levels: Vec<Level>,
    /// Passes so far; those that came later than a quarter of the period; periods without one.
    pub(crate) passes: u64,
    pub(crate) late_passes: u64,
    pub(crate) missed_passes: u64,
    /// Frames in which the limiter turned the sound down.
    pub(crate) limited_frames: u64,
    /// What its passes cost.
    pub(crate) pass_time: PassTime,
    /// What plays into it, or records from it.
    pub(crate) streams: Vec<StreamStatus>,
    /// Where its sound goes, or comes from.
    pub(crate) endpoints: Vec<AttachedStatus>,
}

/// A stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StreamStatus {
    /// Its name.
    pub(crate) name: String,
    /// Its format.
    pub(crate) format: String,
    /// `running`, `paused` or `draining`.
    pub(crate) state: String,
    /// Its volume, 1 for full, and whether it is muted.
    pub(crate) volume: f32,
    pub(crate) muted: bool,
    /// Frames consumed so far, at its rate, and those that wait in its queue.
    pub(crate) frames: u64,
    pub(crate) queued_frames: u32,
    /// Times that it had too little.
    pub(crate) underruns: u64,
    /// How long a frame written now takes until it is heard, in milliseconds.
    pub(crate) latency_ms: f64,
    /// The levels of the last tenth of a second, a channel each.
    pub(crate) levels: Vec<Level>,
}

/// A level, 1 for full scale, and in decibels below that; none for silence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Level {
    pub(crate) peak: f32,
    pub(crate) rms: f32,
    pub(crate) peak_db: Option<f32>,
    pub(crate) rms_db: Option<f32>,
}

impl Level {
    pub(crate) fn new(peak: f32, rms: f32) -> Self {
        let decibels = |level: f32| (level > 0.0).then(|| 20.0 * level.log10());
        Self { peak, rms, peak_db: decibels(peak), rms_db: decibels(rms) }
    }
}

/// How long something took, in microseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct PassTime {
    /// The longest.
    pub(crate) longest_us: f64,
    /// An upper bound of all but one in a hundred.
    pub(crate) p99_us: f64,
    /// How often it took less than so long, and no less than the entry before says; what never happened is left out.
    pub(crate) histogram: Vec<Bucket>,
}

/// An entry of a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Bucket {
    pub(crate) below_us: f64,
    pub(crate) count: u64,
}

/// Why a daemon could not be asked.
#[derive(Debug, Error)]
pub(crate) enum StatusError {
    #[error("no soundpost is running with the state directory {0}: start `soundpost serve`, or name its --state-dir")]
    NotRunning(PathBuf),
    #[error("no permission to ask the soundpost at {0}: it belongs to another user")]
    Denied(PathBuf),
    #[error("the soundpost at {path} did not answer: {error}")]
    Io { path: PathBuf, error: std::io::Error },
    #[error("the soundpost at {path} answered something else than a status ({error}): is it of another version?")]
    Answer { path: PathBuf, error: serde_json::Error },
}

/// Asks the daemon whose state directory this is.
pub(crate) fn ask(state_dir: &Path) -> Result<Status, StatusError> {
    let path = state_dir.join(SOCKET);
    let io = |error: std::io::Error| StatusError::Io { path: path.clone(), error };
    let mut stream = UnixStream::connect(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => {
            StatusError::NotRunning(state_dir.to_path_buf())
        }
        std::io::ErrorKind::PermissionDenied => StatusError::Denied(state_dir.to_path_buf()),
        _ => io(error),
    })?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).map_err(io)?;
    stream.set_write_timeout(Some(Duration::from_secs(5))).map_err(io)?;
    stream.write_all(format!("{REQUEST}\n").as_bytes()).map_err(io)?;
    let mut line = String::new();
    BufReader::new(stream.take(1 << 24)).read_line(&mut line).map_err(io)?;
    serde_json::from_str(&line).map_err(|error| StatusError::Answer { path: path.clone(), error })
}

/// The endpoints as a table for people.
pub(crate) fn table(status: &Status) -> String {
    let mut rows = vec![["SESSION", "ENDPOINT", "FLOW", "FORMAT", "LATENCY", "STATE"].map(str::to_owned)];
    for endpoint in &status.endpoints {
        rows.push([
            endpoint.session.clone(),
            endpoint.name.clone(),
            endpoint.flow.clone(),
            endpoint.format.clone(),
            latency(endpoint.latency_ms, endpoint.client_latency_ms),
            endpoint.state.clone(),
        ]);
    }
    let mut table = lined_up(&rows);
    if status.endpoints.is_empty() {
        table.push_str(&format!("(nobody listens yet; RDP clients connect to {})\n", status.listen));
    }
    table
}

/// Rows with their columns below each other.
pub(crate) fn lined_up<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0_usize; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut table = String::new();
    for row in rows {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        table.push_str(cells.join("  ").trim_end());
        table.push('\n');
    }
    table
}

/// A latency of ours, and the client's behind it.
pub(crate) fn latency(ours_ms: f64, client_ms: f64) -> String {
    if client_ms > 0.0 {
        return format!("{ours_ms:.1} + {client_ms:.0} ms");
    }
    format!("{ours_ms:.1} ms")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_lines_up() {
        let endpoint = |name: &str| EndpointStatus {
            session: "anna".into(),
            name: name.into(),
            flow: "render".into(),
            format: "s16 48000 Hz stereo".into(),
            latency_ms: 20.0,
            client_latency_ms: 45.0,
            state: "playing".into(),
            exclusive_process: None,
            exclusive_broken: 0,
            padding_frames: 0,
            waiting_frames: 0,
            frames: 0,
            silent_frames: 0,
            underruns: 0,
            overruns: 0,
            cut_frames: 0,
            measured_rate: None,
            pass_time: PassTime::default(),
            slow_passes: 0,
            device: None,
        };
        let endpoints = vec![endpoint("127.0.0.1:40000"), endpoint("a.wav")];
        let status = Status { version: "1".into(), pid: 1, listen: "x".into(), endpoints, sessions: vec![] };
        let table = table(&status);
        let columns: Vec<usize> =
            table.lines().filter_map(|line| line.find("s16").or_else(|| line.find("FORMAT"))).collect();
        assert_eq!(columns.len(), 3);
        assert!(columns.windows(2).all(|pair| pair.first() == pair.last()), "{table}");
    }

    #[test]
    fn a_missing_daemon_is_told_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        assert!(ask(dir.path()).unwrap_err().to_string().contains("start `soundpost serve`"));
    }
}
