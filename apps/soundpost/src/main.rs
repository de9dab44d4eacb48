//! The `soundpost` command: the daemon and everything that is done with it, in one binary.

#![forbid(unsafe_code)]

mod cli;
mod config;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let _ = cli::Cli::parse();
    ExitCode::SUCCESS
}
