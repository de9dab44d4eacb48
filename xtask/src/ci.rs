//! `cargo xtask ci`: every check, in the order in which a mistake is found soonest. `.ci/run` runs this and nothing else.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::{calls, counts, deny, edges, fuzz, guards, process, sanitize, tests_run, trace};

/// One check: its name in the summary, and what it runs.
struct Step {
    name: &'static str,
    run: fn(&Path) -> Result<(), String>,
}

const STEPS: &[Step] = &[
    Step { name: "format", run: format },
    Step { name: "edges", run: edges::run },
    Step { name: "deny", run: deny::run },
    Step { name: "lints", run: lints },
    Step { name: "docs", run: docs },
    Step { name: "tests", run: |root| tests_run::run(root, &[]) },
    Step { name: "counts", run: |root| counts::run(root, counts::Purpose::Check) },
    Step { name: "passes", run: |root| sanitize::passes(root, &[]) },
    Step { name: "calls", run: calls::run },
    Step { name: "loom", run: sanitize::loom },
    Step { name: "trace", run: |root| trace::run(root, &[]) },
    Step { name: "rtsan", run: sanitize::rtsan },
    Step { name: "guards", run: |root| guards::run(root, false) },
    Step { name: "tsan", run: sanitize::tsan },
    Step { name: "fuzz smoke", run: |root| fuzz::run(root, &fuzz::Options::default()) },
];

/// Runs the steps up to the first that fails, then says how long each took.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    run_steps(root, STEPS)
}

fn run_steps(root: &Path, steps: &[Step]) -> Result<(), String> {
    let mut lines = Vec::new();
    let mut failure = None;
    for step in steps {
        println!("\n==> {}", step.name);
        let start = Instant::now();
        let outcome = (step.run)(root);
        lines.push(summary_line(step.name, Some(start.elapsed()), if outcome.is_ok() { "ok" } else { "FAILED" }));
        if let Err(why) = outcome {
            failure = Some(format!("{} failed: {why}", step.name));
            break;
        }
    }
    lines.extend(steps.iter().skip(lines.len()).map(|step| summary_line(step.name, None, "not run")));
    println!("\n{}", lines.join("\n"));
    failure.map_or(Ok(()), Err)
}

fn summary_line(name: &str, took: Option<Duration>, outcome: &str) -> String {
    let took = took.map(|took| format!("{:.1} s", took.as_secs_f64())).unwrap_or_default();
    format!("{name:<12} {took:>9}  {outcome}")
}

fn format(root: &Path) -> Result<(), String> {
    process::run(process::cargo(root).args(["fmt", "--all", "--check"]))
        .map_err(|why| format!("{why}: run `cargo fmt`"))
}

fn lints(root: &Path) -> Result<(), String> {
    let arguments = ["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"];
    process::run(process::cargo(root).args(arguments))
}

fn docs(root: &Path) -> Result<(), String> {
    let arguments = ["doc", "--locked", "--no-deps", "--workspace"];
    process::run(process::cargo(root).args(arguments).env("RUSTDOCFLAGS", "-D warnings"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_ends_it_and_is_named() {
        let steps = [
            Step { name: "good", run: |_| Ok(()) },
            Step { name: "bad", run: |_| Err("planted".to_owned()) },
            Step { name: "never", run: |_| Err("must not run".to_owned()) },
        ];
        assert_eq!(run_steps(Path::new("."), &steps), Err("bad failed: planted".to_owned()));
        assert_eq!(run_steps(Path::new("."), &steps[..1]), Ok(()));
    }
}
