//! Everything that CI and contributors run: `cargo xtask ci` is what CI runs, step by step.
//!
//! Each command is a module; [`workspace`] is how they see the crates, [`process`] how they run other programs.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool speaks on its terminal")]

mod calls;
mod ci;
mod conformance;
mod counts;
mod deny;
mod edges;
mod fuzz;
mod guards;
mod licence;
mod packages;
mod process;
mod sanitize;
mod source;
mod testdata;
mod tests_run;
mod trace;
mod tree;
mod workspace;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask COMMAND

  ci                             all of the following checks, as CI runs them; stops at the first that fails
  test [-- OPTIONS]              installs what the tests with real clients need, then runs all tests
  edges                          the crates' dependency edges, unsafe code, clocks, I/O and lengths of files
  deny                           licences, banned crates and sources of everything in Cargo.lock (deny.toml)
  fuzz [--seconds N] [TARGET]    runs one fuzz target, or all of them (default 10 s each)
  counts [--update]              instructions of every benchmark case, against benches/counts.toml
  conformance                    makes the tables of docs/conformance.md again
  guards [--update]              each guard of the real-time side against each planted violation (docs/real-time.md)
  calls                          every function that passes call, by name: no lock, clock, allocation or wait among them
  passes [NUMBER]                so many passes of the real engine (default 200000) in an optimised build, guarded
  trace [--seconds N]            the system calls of the daemon's real-time threads (default 10 s)
  loom                           every interleaving of the hand-made atomics
  rtsan                          the tests that run passes, with RealtimeSanitizer
  tsan                           the stress tests of the queues, with ThreadSanitizer
  testdata                       makes the sound files of testdata/ again";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let root = repository_root();
    let outcome = match args.as_slice() {
        ["ci"] => ci::run(&root),
        ["test"] => tests_run::run(&root, &[]),
        ["test", "--", options @ ..] => tests_run::run(&root, options),
        ["edges"] => edges::run(&root),
        ["deny"] => deny::run(&root),
        ["fuzz", options @ ..] => fuzz::Options::parse(options).and_then(|options| fuzz::run(&root, &options)),
        ["counts"] => counts::run(&root, counts::Purpose::Check),
        ["counts", "--update"] => counts::run(&root, counts::Purpose::Update),
        ["conformance"] => conformance::run(&root),
        ["calls"] => calls::run(&root),
        ["guards"] => guards::run(&root, false),
        ["guards", "--update"] => guards::run(&root, true),
        ["passes", number @ ..] if number.len() < 2 => sanitize::passes(&root, number),
        ["trace", options @ ..] => trace::run(&root, options),
        ["loom"] => sanitize::loom(&root),
        ["rtsan"] => sanitize::rtsan(&root),
        ["tsan"] => sanitize::tsan(&root),
        ["testdata"] => testdata::run(&root),
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// The repository that this program was built in: the folder above its own package.
fn repository_root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_owned()
}
