//! `cargo xtask test`: all tests, with what those with real clients need installed first where we may.

use std::fmt;
use std::path::Path;
use std::process::Command;

use crate::packages::{self, APPLICATIONS, REAL_CLIENT, SOUND_SERVERS};
use crate::process;

/// Installs, then runs everything. `options` go to the test runner.
pub(crate) fn run(root: &Path, options: &[&str]) -> Result<(), String> {
    let needs = [("a real RDP client", REAL_CLIENT), ("real applications", APPLICATIONS), ("PipeWire", SOUND_SERVERS)];
    let skipped = needs.map(|(with, needed)| packages::ensure(needed).err().map(|why| format!("{with} ({why})")));
    announce(&skipped);
    let outcome = if has_nextest(root) { with_nextest(root, options) } else { with_cargo(root, options) };
    announce(&skipped);
    outcome
}

/// Tests say themselves why they are skipped, but a runner that captures their output does not show it.
fn announce(skipped: &[Option<String>]) {
    for what in skipped.iter().flatten() {
        println!("SKIPPED: the tests with {what}");
    }
}

fn has_nextest(root: &Path) -> bool {
    process::succeeds(process::cargo(root).args(["nextest", "--version"]))
}

/// Doctests first: nextest does not run them, and its summary is to be the last word.
fn with_nextest(root: &Path, options: &[&str]) -> Result<(), String> {
    summed(vec![cargo_test(root, &["--doc"])])?;
    process::run(process::cargo(root).args(["nextest", "run", "--locked", "--workspace"]).args(options))
}

/// Integration tests one at a time: many of them play sound in real time, and would disturb each other's timing.
/// (For nextest, `.config/nextest.toml` says so.)
fn with_cargo(root: &Path, options: &[&str]) -> Result<(), String> {
    let mut parallel = cargo_test(root, &["--lib", "--bins"]);
    let mut serial = cargo_test(root, &["--test", "*"]);
    let mut doc = cargo_test(root, &["--doc"]);
    for command in [&mut parallel, &mut serial, &mut doc] {
        command.args(options);
    }
    if !options.contains(&"--") {
        serial.arg("--");
    }
    serial.arg("--test-threads=1");
    summed(vec![parallel, serial, doc])
}

fn cargo_test(root: &Path, which: &[&str]) -> Command {
    let mut command = process::cargo(root);
    command.args(["test", "--locked", "--workspace", "--no-fail-fast"]).args(which);
    command
}

/// Runs every `cargo test`, also after one has failed, and closes with the sum of their many summaries.
fn summed(commands: Vec<Command>) -> Result<(), String> {
    let mut sum = Sum::default();
    let mut failed = Vec::new();
    for mut command in commands {
        let good = process::lines(&mut command, |line| {
            println!("{line}");
            sum.add(line);
        })?;
        if !good {
            sum.broken = true;
            failed.push(format!("`{}` failed", process::shown(&command)));
        }
    }
    println!("\n{sum}");
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

/// What the lines `test result: ok. 3 passed; 0 failed; 1 ignored; …` come to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sum {
    binaries: u32,
    passed: u32,
    failed: u32,
    ignored: u32,
    /// A run failed in another way than by its tests: it could not be built, or was killed.
    broken: bool,
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { binaries, passed, failed, ignored, broken } = self;
        let word = if *failed == 0 && !broken { "ok" } else { "FAILED" };
        write!(f, "all tests: {word}. {passed} passed; {failed} failed; {ignored} ignored; in {binaries} runs")
    }
}

impl Sum {
    fn add(&mut self, line: &str) {
        let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) else {
            return;
        };
        self.binaries += 1;
        for count in counts.split("; ") {
            match count.split_once(' ').map(|(number, what)| (number.parse::<u32>(), what)) {
                Some((Ok(number), "passed")) => self.passed += number,
                Some((Ok(number), "failed")) => self.failed += number,
                Some((Ok(number), "ignored")) => self.ignored += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_add_up() {
        let mut sum = Sum::default();
        sum.add("running 4 tests");
        sum.add("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s");
        sum.add("test result: FAILED. 2 passed; 5 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s");
        assert_eq!(sum, Sum { binaries: 2, passed: 5, failed: 5, ignored: 1, broken: false });
        assert_eq!(sum.to_string(), "all tests: FAILED. 5 passed; 5 failed; 1 ignored; in 2 runs");
        let unbuilt = Sum { broken: true, ..Sum::default() };
        assert!(unbuilt.to_string().starts_with("all tests: FAILED"));
    }
}
