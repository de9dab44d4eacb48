//! The child process: runs one endpoint's checks, and tells the parent about each as it goes.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use soundpost_testkit::verify::{CheckResult, Subject, plan, run_check};

use crate::tools::{Noted, ProcessTools};
use crate::{VerifyArgs, VerifyError};

/// A line from the child to the parent.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Told {
    /// The check at this place in the plan begins.
    Begin(usize),
    /// It has come to this.
    Done(CheckResult),
    /// A call does not return; the child ends itself.
    Stuck(Noted),
    /// All checks are done.
    End,
}

/// How long a call may take. No call of the contract may wait for anything that takes longer; it is that long because
/// a busy machine may hold up the whole process.
const LONGEST_CALL: Duration = Duration::from_secs(5);

/// The panics of endpoints are part of the report.
pub(crate) fn silence_panics() {
    std::panic::set_hook(Box::new(|_| {}));
}

fn tell(told: &Told) -> io::Result<()> {
    let mut line = serde_json::to_string(told).map_err(io::Error::other)?;
    line.push('\n');
    // One write, so that lines of two threads do not mix.
    io::stdout().lock().write_all(line.as_bytes())
}

pub(crate) fn run(subject: &dyn Subject, args: &VerifyArgs) -> Result<(), VerifyError> {
    silence_panics();
    let progress = args.progress.as_ref().map(|path| OpenOptions::new().write(true).open(path)).transpose()?;
    let tools = Arc::new(ProcessTools::new(progress));
    let watched = Arc::clone(&tools);
    // Ends with the process.
    std::thread::Builder::new().name("watch".to_owned()).spawn(move || watch(&watched)).map_err(VerifyError::Child)?;
    let options = args.options();
    for (place, index) in plan(subject, options.level).into_iter().enumerate().skip(args.from) {
        tell(&Told::Begin(place))?;
        tell(&Told::Done(run_check(subject, index, options, &*tools)))?;
    }
    tell(&Told::End)?;
    Ok(())
}

fn watch(tools: &ProcessTools) {
    loop {
        std::thread::sleep(Duration::from_millis(100));
        if let Some(running) = tools.stuck(LONGEST_CALL) {
            let noted = Noted { call: running.call.to_owned(), real_time: running.real_time };
            // If the parent has gone, nobody is left to be told.
            let _ = tell(&Told::Stuck(noted));
            std::process::exit(3);
        }
    }
}
