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
mod verify;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::cli::{Cli, Command, EndpointsArgs};
use crate::serve::Ended;

/// The exit status for what the user can put right: a wrong flag, a port in use, a bad file.
const USAGE: u8 = 2;
/// The exit status after Ctrl-C, as shells have it.
const INTERRUPTED: u8 = 130;

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

fn endpoints(args: EndpointsArgs) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let status = status::ask(&config::state_dir(args.config, args.state_dir)?)?;
    if args.json {
        let mut json = serde_json::to_string_pretty(&status.endpoints)?;
        json.push('\n');
        return print(json.as_bytes());
    }
    print(status::table(&status).as_bytes())
}

fn completions(shell: clap_complete::Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "soundpost", &mut script);
    script
}

fn man() -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
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
fn print(bytes: &[u8]) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    match io::stdout().lock().write_all(bytes) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}
