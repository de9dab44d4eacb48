//! What `play --exclusive` and `record --exclusive` have in common.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use soundpost_core::{Hns, SampleRate};
use soundpost_endpoint::DataFlow;
use soundpost_host::exclusive::{ExclusiveClient, OpenError, OpenRequest};

use crate::cli::ExclusiveArgs;
use crate::config::state_dir;
use crate::status::SOCKET;

/// Anything that ends the command, in one line.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How long a command waits at once before it looks whether it was asked to end.
pub(crate) const TICK: Duration = Duration::from_millis(100);
/// How often the progress is shown.
const SHOW: Duration = Duration::from_millis(250);

/// Opens the endpoint that the flags name.
pub(crate) fn open(args: &ExclusiveArgs, flow: DataFlow) -> Result<ExclusiveClient, Failure> {
    let state_dir = state_dir(args.config.clone(), args.state_dir.clone())?;
    let request = OpenRequest {
        endpoint: args.endpoint.clone(),
        session: args.session.clone(),
        period: hns("period", args.period)?,
        buffer: hns("buffer", args.buffer)?,
        ..OpenRequest::new(flow)
    };
    ExclusiveClient::open(&state_dir.join(SOCKET), &request).map_err(|error| match error {
        OpenError::NotRunning(_) => not_running(&state_dir).into(),
        error => error.into(),
    })
}

fn not_running(state_dir: &Path) -> String {
    format!(
        "no soundpost is running with the state directory {}: start `soundpost serve`, or name its --state-dir",
        state_dir.display()
    )
}

/// Milliseconds as 100 ns; what is out of the endpoint's range it refuses itself, with the range.
fn hns(flag: &str, millis: f64) -> Result<i64, Failure> {
    match Duration::try_from_secs_f64(millis / 1e3) {
        Ok(time) if time < Duration::from_secs(3_600) => Ok(Hns::from(time).get()),
        _ => Err(format!("--{flag} {millis} is no number of milliseconds that can be had").into()),
    }
}

/// Set when Ctrl-C is pressed, or the process is asked to end.
pub(crate) fn interrupted() -> Result<Arc<AtomicBool>, Failure> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = flag.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Registered before the thread starts: from here on the signals end nothing by themselves.
    let (mut interrupt, mut terminate) = {
        let _within = runtime.enter();
        use tokio::signal::unix::{SignalKind, signal};
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::Builder::new().name("soundpost-signal".into()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        set.store(true, Ordering::Release);
    })?;
    Ok(flag)
}

/// How far it is, on a terminal.
pub(crate) struct Progress {
    rate: SampleRate,
    length: Option<u64>,
    shown: Option<Instant>,
    terminal: bool,
}

impl Progress {
    pub(crate) fn new(rate: SampleRate, length: Option<u64>) -> Self {
        Self { rate, length, shown: None, terminal: std::io::stderr().is_terminal() }
    }

    pub(crate) fn show(&mut self, frames: u64) {
        if !self.terminal || self.shown.is_some_and(|last| last.elapsed() < SHOW) {
            return;
        }
        self.shown = Some(Instant::now());
        let seconds = |frames: u64| self.rate.duration_of(frames).as_secs_f64();
        let of = self.length.map(|length| format!(" of {:.1}", seconds(length))).unwrap_or_default();
        // A terminal that has gone away is no reason to end.
        let _ = write!(std::io::stderr(), "\r  {:.1}{of} s ", seconds(frames));
    }

    pub(crate) fn end(&self) {
        if self.shown.is_some() {
            let _ = writeln!(std::io::stderr());
        }
    }
}

/// One line on standard output.
pub(crate) fn say(line: &str) {
    // Nobody reads it where standard output is closed; that is no reason to end.
    let _ = writeln!(std::io::stdout(), "{line}");
}
