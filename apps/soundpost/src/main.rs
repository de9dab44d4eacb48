//! The `soundpost` command: the daemon and everything that is done with it, in one binary.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::as_conversions, reason = "tests"))]

mod bench;
mod cli;
mod config;
mod convert;
mod exclusive;
mod logging;
mod password;
mod play;
mod record;
mod serve;
mod shared;
mod simulate;
mod status;
mod status_view;
mod verify;

use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser};

use crate::cli::{Cli, Command, DaemonArgs, EndpointsArgs, StatusArgs};
use crate::exclusive::Failure;
use crate::serve::Ended;

/// The exit status for what the user can put right: a wrong flag, a port in use, a bad file.
const USAGE: u8 = 2;
/// The exit status after Ctrl-C, as shells have it.
const INTERRUPTED: u8 = 130;
/// How often `status --watch` looks.
const AGAIN: Duration = Duration::from_millis(500);

/// Counts, so that `verify` can tell whether an endpoint allocates where it must not.
#[global_allocator]
static ALLOCATOR: soundpost_verify::CountingAllocator = soundpost_verify::CountingAllocator;

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(args) => serve::run(*args).map(|ended| match ended {
            Ended::Well => ExitCode::SUCCESS,
            Ended::Damaged | Ended::Badly => ExitCode::FAILURE,
        }),
        Command::Endpoints(args) => endpoints(args).map(|()| ExitCode::SUCCESS),
        Command::Status(args) => watch(&args).map(|()| ExitCode::SUCCESS),
        Command::Play(args) => {
            play::run(&args).map(|complete| if complete { ExitCode::SUCCESS } else { ExitCode::from(INTERRUPTED) })
        }
        Command::Record(args) => record::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Simulate(args) => simulate::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Completions { shell } => print(&completions(shell)).map(|()| ExitCode::SUCCESS),
        Command::Man => man().and_then(|page| print(&page)).map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|error| {
        // Standard error may be closed; the exit status still tells.
        let _ = writeln!(io::stderr(), "soundpost: {error}");
        ExitCode::from(USAGE)
    })
}

fn endpoints(args: EndpointsArgs) -> Result<(), Failure> {
    let status = status::ask(&state_dir(&args.daemon)?)?;
    if args.json {
        let mut json = serde_json::to_string_pretty(&status.endpoints)?;
        json.push('\n');
        return print(json.as_bytes());
    }
    print(status::table(&status).as_bytes())
}

/// Shows a daemon's sessions, once or until somebody presses Ctrl-C.
fn watch(args: &StatusArgs) -> Result<(), Failure> {
    let state_dir = state_dir(&args.daemon)?;
    let terminal = io::stdout().is_terminal();
    loop {
        let status = status::ask(&state_dir)?;
        let shown = match (args.json, args.watch) {
            (true, true) => serde_json::to_string(&status.overview())? + "\n",
            (true, false) => serde_json::to_string_pretty(&status.overview())? + "\n",
            (false, true) if terminal => status_view::over_the_last(&status_view::sessions(&status)),
            (false, _) => status_view::sessions(&status),
        };
        // Whoever has stopped reading has seen enough.
        if !write(shown.as_bytes())? || !args.watch {
            return Ok(());
        }
        std::thread::sleep(AGAIN);
    }
}

fn state_dir(args: &DaemonArgs) -> Result<std::path::PathBuf, Failure> {
    Ok(config::state_dir(args.config.clone(), args.state_dir.clone())?)
}

fn completions(shell: clap_complete::Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "soundpost", &mut script);
    script
}

fn man() -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    let command = Cli::command();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    for mut part in command.get_subcommands().cloned() {
        let title = format!("soundpost {}", part.get_name()).to_uppercase();
        part = part.display_name(title.clone());
        writeln!(page, ".SH \"{title}\"")?;
        let man = clap_mangen::Man::new(part);
        man.render_description_section(&mut page)?;
        man.render_options_section(&mut page)?;
    }
    Ok(page)
}

/// Writes to standard output. A reader that has seen enough is no error.
fn print(bytes: &[u8]) -> Result<(), Failure> {
    write(bytes).map(|_| ())
}

/// Writes to standard output, and answers whether anybody reads it.
fn write(bytes: &[u8]) -> Result<bool, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        result => Ok(result.map(|()| true)?),
    }
}
