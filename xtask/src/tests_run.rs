//! `cargo xtask test`: all tests, with what those with real clients need installed first where we may.

use std::path::Path;
use std::process::Command;

use crate::packages::{self, REAL_CLIENT};
use crate::process;

/// Installs, then runs everything. `options` go to the test runner.
pub(crate) fn run(root: &Path, options: &[&str]) -> Result<(), String> {
    let skipped = packages::ensure(REAL_CLIENT).err();
    announce(skipped.as_deref());
    let outcome = if has_nextest(root) { with_nextest(root, options) } else { with_cargo(root, options) };
    announce(skipped.as_deref());
    outcome
}

/// Tests say themselves why they are skipped, but a runner that captures their output does not show it.
fn announce(skipped: Option<&str>) {
    if let Some(why) = skipped {
        println!("SKIPPED: the tests with a real RDP client ({why})");
    }
}

fn has_nextest(root: &Path) -> bool {
    process::succeeds(process::cargo(root).args(["nextest", "--version"]))
}

/// Doctests first: nextest does not run them, and its summary is to be the last word.
fn with_nextest(root: &Path, options: &[&str]) -> Result<(), String> {
    summed(process::cargo(root).args(["test", "--locked", "--workspace", "--doc"]))?;
    process::run(process::cargo(root).args(["nextest", "run", "--locked", "--workspace"]).args(options))
}

fn with_cargo(root: &Path, options: &[&str]) -> Result<(), String> {
    summed(process::cargo(root).args(["test", "--locked", "--workspace"]).args(options))
}

/// Runs `cargo test`, and closes with the sum of its many summaries.
fn summed(command: &mut Command) -> Result<(), String> {
    let mut sum = Sum::default();
    let good = process::lines(command, |line| {
        println!("{line}");
        sum.add(line);
    })?;
    let Sum { binaries, passed, failed, ignored } = sum;
    let word = if good { "ok" } else { "FAILED" };
    println!("\nall tests: {word}. {passed} passed; {failed} failed; {ignored} ignored; in {binaries} runs");
    if good { Ok(()) } else { Err(format!("`{}` failed", process::shown(command))) }
}

/// What the lines `test result: ok. 3 passed; 0 failed; 1 ignored; …` come to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sum {
    binaries: u32,
    passed: u32,
    failed: u32,
    ignored: u32,
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
        assert_eq!(sum, Sum { binaries: 2, passed: 5, failed: 5, ignored: 1 });
    }
}
