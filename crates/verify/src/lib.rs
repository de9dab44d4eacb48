//! Runs the conformance kit (`soundpost_testkit::verify`) where it can be trusted to come to an end: each endpoint in
//! a child process, watched, measured, by the real clock where the endpoint has one of its own.
//!
//! `soundpost verify` is this over the endpoints that ship. The author of another endpoint makes a binary of their own:
//!
//! ```no_run
//! # fn subjects() -> Vec<Box<dyn soundpost_testkit::verify::Subject>> { Vec::new() }
//! #[global_allocator]
//! static ALLOCATOR: soundpost_verify::CountingAllocator = soundpost_verify::CountingAllocator;
//!
//! fn main() -> std::process::ExitCode {
//!     soundpost_verify::main(&subjects())
//! }
//! ```

#![forbid(unsafe_code)]

mod args;
mod child;
mod parent;
mod show;
mod tools;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use soundpost_testkit::verify::{Options, Report, Subject, flaws, verify_engine};
use thiserror::Error;

pub use args::VerifyArgs;
pub use show::FaultyRow;
pub use soundpost_host::measure::CountingAllocator;
pub use tools::ProcessTools;

/// Why a run cannot be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// There is no such endpoint.
    #[error("there is no endpoint {asked:?} to verify: use one of {known}")]
    Unknown {
        /// What was asked for.
        asked: String,
        /// What there is.
        known: String,
    },
    /// The child process cannot be started or heard.
    #[error("cannot run the verifying child process: {0}")]
    Child(#[source] io::Error),
    /// The report cannot be written.
    #[error("cannot write the report: {0}")]
    Write(#[from] io::Error),
}

/// The whole command line of an endpoint author's own verifier.
#[derive(Debug, Parser)]
#[command(about = "Holds endpoints against the AudioEndpoint contract")]
struct Cli {
    #[command(flatten)]
    args: VerifyArgs,
}

/// `main` of an endpoint author's own verifier: reads the command line, and verifies `subjects`. Exit status 0: all
/// that is owed holds; 1: something is broken; 2: it could not be tried.
#[must_use]
pub fn main(subjects: &[Box<dyn Subject>]) -> ExitCode {
    match run(&Cli::parse().args, subjects, &[]) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Standard error may be closed; the exit status still tells.
            let _ = writeln!(io::stderr(), "verify: {error}");
            ExitCode::from(2)
        }
    }
}

/// Does what `args` ask for. `leading` are the arguments before them, with which this program starts itself as its
/// child. Answers whether everything that is owed holds.
///
/// # Errors
/// [`VerifyError`].
pub fn run(args: &VerifyArgs, subjects: &[Box<dyn Subject>], leading: &[&str]) -> Result<bool, VerifyError> {
    let mut known: Vec<&dyn Subject> = subjects.iter().map(AsRef::as_ref).collect();
    let faulty: Vec<Faulty> = flaws::CASES.iter().map(Faulty).collect();
    known.extend(faulty.iter().map(|case| -> &dyn Subject { case }));
    if let Some(child) = &args.child {
        return child::run(find(&known, child)?, args).map(|()| true);
    }
    if args.list {
        let names: Vec<String> = subjects.iter().map(|subject| subject.name()).collect();
        writeln!(io::stdout(), "{}", names.join("\n"))?;
        return Ok(true);
    }
    let parent = parent::Parent::new(args, leading)?;
    if args.markdown {
        let reports = parent.verify_all(&subjects.iter().map(AsRef::as_ref).collect::<Vec<_>>())?;
        let engine = engine(args.options());
        let rows = faulty_rows(&parent, &faulty)?;
        show::markdown(&reports, &engine, &rows, args.options())?;
        return Ok(reports.iter().all(Report::held) && engine.held() && rows.iter().all(FaultyRow::found));
    }
    if args.faulty {
        let rows = faulty_rows(&parent, &faulty)?;
        show::faulty(&rows, args.json)?;
        return Ok(rows.iter().all(FaultyRow::found));
    }
    let reports = if args.engine {
        vec![engine(args.options())]
    } else if args.endpoints.is_empty() {
        parent.verify_all(&subjects.iter().map(AsRef::as_ref).collect::<Vec<_>>())?
    } else {
        let chosen: Result<Vec<_>, _> = args.endpoints.iter().map(|name| find(&known, name)).collect();
        parent.verify_all(&chosen?)?
    };
    show::reports(&reports, args.json)?;
    Ok(reports.iter().all(Report::held))
}

fn engine(options: Options) -> Report {
    child::silence_panics();
    let started = ProcessTools::new(None);
    let mut report = verify_engine(options, &started);
    report.milliseconds = started.age_millis();
    report
}

fn faulty_rows(parent: &parent::Parent, faulty: &[Faulty]) -> Result<Vec<FaultyRow>, VerifyError> {
    let subjects: Vec<&dyn Subject> = faulty.iter().map(|case| -> &dyn Subject { case }).collect();
    let reports = parent.verify_all(&subjects)?;
    Ok(faulty.iter().zip(reports).map(|(case, report)| FaultyRow::new(case.0, &report)).collect())
}

fn find<'a>(known: &[&'a dyn Subject], name: &str) -> Result<&'a dyn Subject, VerifyError> {
    known.iter().find(|subject| subject.name() == name).copied().ok_or_else(|| {
        let mut names: Vec<String> = known.iter().map(|subject| subject.name()).collect();
        names.retain(|name| !name.starts_with(Faulty::PREFIX));
        names.push(format!("{}NAME for a faulty one (--faulty lists them)", Faulty::PREFIX));
        VerifyError::Unknown { asked: name.to_owned(), known: names.join(", ") }
    })
}

/// A faulty endpoint, under a name that cannot be mistaken.
struct Faulty(&'static flaws::Case);

impl Faulty {
    const PREFIX: &'static str = "faulty:";
}

impl Subject for Faulty {
    fn name(&self) -> String {
        format!("{}{}", Self::PREFIX, self.0.name)
    }

    fn flow(&self) -> soundpost_testkit::verify::DataFlow {
        self.0.flow()
    }

    fn make(
        &self,
        clock: std::sync::Arc<dyn soundpost_core::Clock>,
    ) -> Result<soundpost_testkit::verify::Made, String> {
        self.0.make(clock)
    }
}
