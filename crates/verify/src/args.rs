//! The command line.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use soundpost_testkit::verify::{Level, Options};

/// What to verify, and how.
#[derive(Clone, Debug, Default, Args)]
pub struct VerifyArgs {
    /// Endpoints to verify [default: every one that ships]
    #[arg(value_name = "ENDPOINT", conflicts_with_all = ["engine", "faulty", "markdown"])]
    pub endpoints: Vec<String>,

    /// Verify the engine instead: what it owes, seen from probe endpoints
    #[arg(long, conflicts_with_all = ["faulty", "markdown"])]
    pub engine: bool,

    /// Verify the kit instead: every deliberately faulty endpoint has to be found under its number
    #[arg(long, conflicts_with = "markdown")]
    pub faulty: bool,

    /// How strict: what Microsoft's reference says; the whole contract; also long random runs
    #[arg(long, value_name = "LEVEL", default_value = "contract")]
    pub level: LevelArg,

    /// Where chance comes from: the same seed makes the same run
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,

    /// Print JSON instead of text
    #[arg(long, conflicts_with = "markdown")]
    pub json: bool,

    /// List the endpoints that ship
    #[arg(long)]
    pub list: bool,

    /// Print everything as the tables of docs/conformance.md
    #[arg(long, hide = true)]
    pub markdown: bool,

    /// Run as the child that verifies this endpoint
    #[arg(long, hide = true, value_name = "ENDPOINT")]
    pub child: Option<String>,

    /// The child's first check
    #[arg(long, hide = true, default_value_t = 0)]
    pub from: usize,

    /// Where the child notes which call it is in
    #[arg(long, hide = true)]
    pub progress: Option<PathBuf>,
}

impl VerifyArgs {
    pub(crate) fn options(&self) -> Options {
        Options { level: self.level.into(), seed: self.seed }
    }
}

/// How strict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LevelArg {
    /// What Microsoft's reference says
    Reference,
    /// And what this project's contract has decided beside it
    #[default]
    Contract,
    /// And long runs in random order
    Stress,
}

impl From<LevelArg> for Level {
    fn from(level: LevelArg) -> Self {
        match level {
            LevelArg::Reference => Self::Reference,
            LevelArg::Contract => Self::Contract,
            LevelArg::Stress => Self::Stress,
        }
    }
}
