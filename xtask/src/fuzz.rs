//! `cargo xtask fuzz`: libFuzzer on the stable compiler.
//!
//! cargo-fuzz wants nightly for its sanitizers. Coverage alone, which is what guides the fuzzer, is a pass of LLVM that
//! stable has; a panic, a hang and a memory limit are found without a sanitizer, and there is no unsafe code to sanitize.

use std::fs;
use std::path::{Path, PathBuf};

use toml::Table;

use crate::packages;
use crate::process;

/// Instruments every crate of the target for coverage. `--target` keeps this away from build scripts and macros.
const RUSTFLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions --cfg fuzzing";

/// More resident memory than this is a finding: no input of ours may grow so far.
const MEMORY_MIB: u32 = 512;

/// One input that takes longer than this is a finding.
const SECONDS_PER_INPUT: u32 = 5;

/// What `cargo xtask fuzz` was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// How long each target runs.
    pub(crate) seconds: u32,
    /// One target, else all.
    pub(crate) target: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { seconds: 10, target: None }
    }
}

impl Options {
    pub(crate) fn parse(arguments: &[&str]) -> Result<Self, String> {
        let mut options = Self::default();
        let mut rest = arguments;
        loop {
            rest = match rest {
                [] => return Ok(options),
                ["--seconds", seconds, more @ ..] => {
                    options.seconds = match seconds.parse() {
                        Ok(seconds) if seconds > 0 => seconds,
                        _ => return Err(format!("--seconds {seconds}: give a whole number of seconds, at least 1")),
                    };
                    more
                }
                [target, more @ ..] if !target.starts_with('-') && options.target.is_none() => {
                    options.target = Some((*target).to_owned());
                    more
                }
                [unknown, ..] => return Err(format!("{unknown}: use cargo xtask fuzz [--seconds N] [TARGET]")),
            }
        }
    }
}

/// Builds what is asked for, then runs one target after the other; the first finding ends it.
pub(crate) fn run(root: &Path, options: &Options) -> Result<(), String> {
    let folder = root.join("fuzz");
    let manifest =
        fs::read_to_string(folder.join("Cargo.toml")).map_err(|error| format!("fuzz/Cargo.toml: {error}"))?;
    let all = targets(&manifest)?;
    let chosen = match &options.target {
        None => all,
        Some(name) if all.contains(name) => vec![name.clone()],
        Some(name) => return Err(format!("no fuzz target {name}: there are {}", all.join(", "))),
    };
    packages::ensure(packages::FUZZING).map_err(|why| format!("libFuzzer cannot be built: {why}"))?;
    let programs = build(root, &folder, &chosen)?;
    for target in &chosen {
        println!("fuzz: {target}, {} s", options.seconds);
        run_target(&folder, &programs.join(target), target, options.seconds)?;
    }
    println!("fuzz: {} targets, no finding", chosen.len());
    Ok(())
}

/// The names of all `[[bin]]` tables.
fn targets(manifest: &str) -> Result<Vec<String>, String> {
    let table: Table = manifest.parse().map_err(|error| format!("fuzz/Cargo.toml: {error}"))?;
    let names: Vec<String> = table
        .get("bin")
        .and_then(toml::Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|bin| bin.get("name")?.as_str().map(str::to_owned))
        .collect();
    if names.is_empty() { Err("fuzz/Cargo.toml has no [[bin]], so no target".to_owned()) } else { Ok(names) }
}

/// Gives the folder of the programs.
fn build(root: &Path, folder: &Path, targets: &[String]) -> Result<PathBuf, String> {
    let platform = process::host_platform(root)?;
    let built = folder.join("target");
    let mut command = process::cargo(folder);
    command.args(["build", "--release", "--locked", "--target", &platform]).arg("--target-dir").arg(&built);
    for target in targets {
        command.args(["--bin", target]);
    }
    process::run(command.env("RUSTFLAGS", RUSTFLAGS))?;
    Ok(built.join(platform).join("release"))
}

fn run_target(folder: &Path, program: &Path, target: &str, seconds: u32) -> Result<(), String> {
    let corpus = made(&folder.join("corpus").join(target))?;
    let artifacts = made(&folder.join("artifacts").join(target))?;
    let seeds = folder.join("seeds").join(target);
    let mut command = std::process::Command::new(program);
    command
        .current_dir(folder)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={SECONDS_PER_INPUT}"))
        .arg(format!("-rss_limit_mb={MEMORY_MIB}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg("-print_final_stats=1")
        .arg("-verbosity=0")
        .arg(&corpus);
    if seeds.is_dir() {
        command.arg(seeds);
    }
    process::run(&mut command).map_err(|why| {
        format!(
            "{why}\nfuzz target {target} has a finding, kept in {}: move it to the regressions, and mend what it shows",
            artifacts.display()
        )
    })
}

fn made(folder: &Path) -> Result<PathBuf, String> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_in_any_order() {
        let expected = Options { seconds: 600, target: Some("pdu".to_owned()) };
        assert_eq!(Options::parse(&["--seconds", "600", "pdu"]).unwrap(), expected);
        assert_eq!(Options::parse(&["pdu", "--seconds", "600"]).unwrap(), expected);
        assert_eq!(Options::parse(&[]).unwrap(), Options::default());
        for wrong in [&["--seconds", "0"][..], &["--seconds"], &["a", "b"], &["--fast"]] {
            assert!(Options::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn targets_are_those_of_the_manifest() {
        let manifest = "[package]\nname = \"x\"\n[[bin]]\nname = \"a\"\npath = \"a.rs\"\n[[bin]]\nname = \"b\"\n";
        assert_eq!(targets(manifest).unwrap(), ["a", "b"]);
        assert!(targets("[package]\nname = \"x\"\n").is_err());
    }
}
