//! What a running daemon tells about itself, over a socket in its state directory, and how `soundpost endpoints`
//! shows it.
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
    /// Passes that ended too late.
    pub(crate) late_passes: u64,
    /// Times that it ran dry.
    pub(crate) underruns: u64,
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
            latency(endpoint),
            endpoint.state.clone(),
        ]);
    }
    let mut widths = [0_usize; 6];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut table = String::new();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        table.push_str(cells.join("  ").trim_end());
        table.push('\n');
    }
    if status.endpoints.is_empty() {
        table.push_str(&format!("(nobody listens yet; RDP clients connect to {})\n", status.listen));
    }
    table
}

/// The endpoint's own latency, and the client's behind it.
fn latency(endpoint: &EndpointStatus) -> String {
    if endpoint.client_latency_ms > 0.0 {
        return format!("{:.1} + {:.0} ms", endpoint.latency_ms, endpoint.client_latency_ms);
    }
    format!("{:.1} ms", endpoint.latency_ms)
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
            late_passes: 0,
            underruns: 0,
        };
        let endpoints = vec![endpoint("127.0.0.1:40000"), endpoint("a.wav")];
        let status = Status { version: "1".into(), pid: 1, listen: "x".into(), endpoints };
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
