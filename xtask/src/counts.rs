//! `cargo xtask counts`: instructions of every benchmark case, held against the ones that are committed.
//!
//! The program `counts` of soundpost-benches runs one case under callgrind, which counts within one function alone
//! (`--toggle-collect`): getting ready is not counted, and neither is the start of the program. The same program with
//! the same input gives the same count every time. Callgrind presents a processor of its own, the same one on every
//! machine of a class: code that chooses by the processor (the resampling library, the C library's memcpy) chooses the
//! same everywhere in that class. A machine of another class has counts of its own: it is told so, and not compared.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{packages, process};

/// What `counts` is started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To hold the counts against the committed ones.
    Check,
    /// To commit new ones.
    Update,
}

/// Runs of each case; the count is of one. Several, since not all do the same: meters show a level every tenth.
const RUNS: u32 = 5;
/// By how much a count may differ from the committed one, in percent.
const TOLERANCE: f64 = 2.0;
/// By how much the cost of a session may differ between few and many of them, in percent.
const SCALE_TOLERANCE: f64 = 5.0;

const VALGRIND: &[packages::Package] = &[packages::Package { name: "valgrind", program: "valgrind" }];

/// Instructions of one run, by case.
type Counts = BTreeMap<String, u64>;

/// Counts and compares, or commits.
pub(crate) fn run(root: &Path, purpose: Purpose) -> Result<(), String> {
    packages::ensure(VALGRIND)?;
    let program = build(root)?;
    let mut counts = Counts::new();
    for name in process::output(Command::new(&program).arg("list"))?.lines() {
        counts.insert(name.to_owned(), count(&program, name, RUNS)?);
    }
    let scale = Scale::measure(&program)?;
    let class = class();
    let path = root.join("benches/counts.toml");
    if purpose == Purpose::Update {
        let text = written(&class, &counts);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        println!("counts: {} cases written to benches/counts.toml", counts.len());
        return scale.check();
    }
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let (of_class, committed) = read(&text)?;
    if of_class != class {
        println!(
            "counts: NOT COMPARED. The committed counts are of a {of_class} processor, this is a {class} one; these are its own:"
        );
        counts.iter().for_each(|(name, count)| println!("  {name:<24} {count:>12}"));
        return scale.check();
    }
    let errors = compare(&committed, &counts);
    if !errors.is_empty() {
        return Err(format!(
            "{}\nIf that is as it should be: `cargo xtask counts --update`, and say in the commit why.",
            errors.join("\n")
        ));
    }
    println!("counts: {} cases within {TOLERANCE} % of benches/counts.toml", counts.len());
    scale.check()
}

fn build(root: &Path) -> Result<PathBuf, String> {
    process::run(process::cargo(root).args([
        "build",
        "--locked",
        "--release",
        "-p",
        "soundpost-benches",
        "--bin",
        "counts",
    ]))?;
    let folder = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(folder.join("release/counts"))
}

/// Instructions of one run of a case.
fn count(program: &Path, case: &str, runs: u32) -> Result<u64, String> {
    let (_, told) = process::both_outputs(
        Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=counts::counted*"])
            .arg(program)
            .args([case, &runs.to_string()])
            // What a glibc of another machine is tuned to by its user must not matter.
            .env_remove("GLIBC_TUNABLES"),
    )?;
    let all = collected(&told).ok_or_else(|| format!("valgrind did not say what it counted for {case}:\n{told}"))?;
    if all == 0 {
        return Err(format!("{case}: nothing was counted: is the function still called counts::counted?"));
    }
    Ok(all / u64::from(runs))
}

/// The number after valgrind's "Collected :".
fn collected(told: &str) -> Option<u64> {
    let (_, rest) = told.split_once("Collected : ")?;
    rest.split_whitespace().next()?.parse().ok()
}

/// What a session costs among few and among many.
struct Scale {
    few: u64,
    many: u64,
}

impl Scale {
    fn measure(program: &Path) -> Result<Self, String> {
        // A run is a fifth of a second of 10 sessions or of 1,000, each with two streams and a listener.
        Ok(Self {
            few: 5 * count(program, "sessions-10", 20)? / 10,
            many: 5 * count(program, "sessions-1000", 1)? / 1_000,
        })
    }

    fn percent(&self) -> f64 {
        100.0 * difference(self.few, self.many)
    }

    fn check(&self) -> Result<(), String> {
        let Self { few, many } = self;
        let percent = self.percent();
        println!("counts: a session-second takes {few} instructions among 10, {many} among 1,000 ({percent:+.2} %)");
        if percent.abs() > SCALE_TOLERANCE {
            return Err(format!(
                "the cost of a session differs by more than {SCALE_TOLERANCE} % between 10 and 1,000 of them"
            ));
        }
        Ok(())
    }
}

fn compare(committed: &Counts, counts: &Counts) -> Vec<String> {
    let mut errors = Vec::new();
    for (name, now) in counts {
        match committed.get(name) {
            None => errors.push(format!("{name}: not in benches/counts.toml")),
            Some(before) => {
                let percent = 100.0 * difference(*before, *now);
                if percent.abs() > TOLERANCE {
                    errors.push(format!("{name}: {now} instructions instead of {before} ({percent:+.1} %)"));
                }
            }
        }
    }
    let gone = committed.keys().filter(|name| !counts.contains_key(*name));
    errors.extend(gone.map(|name| format!("{name}: in benches/counts.toml, but no case any more")));
    errors
}

/// By which share `now` is more than `before`.
fn difference(before: u64, now: u64) -> f64 {
    #[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    {
        now as f64 / before as f64 - 1.0
    }
}

/// What kind of processor valgrind presents here.
fn class() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = info.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let has = |flag: &str| flags.split_whitespace().any(|found| found == flag);
    let simd = if has("avx2") && has("fma") {
        "avx2+fma"
    } else if has("avx") {
        "avx"
    } else {
        "plain"
    };
    format!("{} {simd}", std::env::consts::ARCH)
}

fn written(class: &str, counts: &Counts) -> String {
    let mut text = format!(
        "# Instructions of one run of each case (BENCHMARKS.md). Written by `cargo xtask counts --update`.\nprocessor = \"{class}\"\n\n[counts]\n"
    );
    for (name, count) in counts {
        text += &format!("{name} = {count}\n");
    }
    text
}

fn read(text: &str) -> Result<(String, Counts), String> {
    let table: toml::Table = text.parse().map_err(|error| format!("benches/counts.toml: {error}"))?;
    let class = table.get("processor").and_then(toml::Value::as_str).unwrap_or_default().to_owned();
    let counts = table.get("counts").and_then(toml::Value::as_table).cloned().unwrap_or_default();
    let number = |(name, value): (String, toml::Value)| {
        let count = value.as_integer().and_then(|count| u64::try_from(count).ok());
        count.map(|count| (name.clone(), count)).ok_or_else(|| format!("benches/counts.toml: {name} is no number"))
    };
    Ok((class, counts.into_iter().map(number).collect::<Result<_, _>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valgrinds_number_is_found() {
        assert_eq!(collected("==7== \n==7== Events    : Ir\n==7== Collected : 1016000\n==7== \n"), Some(1_016_000));
        assert_eq!(collected("==7== nothing\n"), None);
    }

    #[test]
    fn what_has_become_dearer_or_cheaper_or_is_new_or_gone_is_named() {
        let counts =
            |list: &[(&str, u64)]| list.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect::<Counts>();
        let before = counts(&[("same", 1_000), ("close", 1_000), ("dear", 1_000), ("cheap", 1_000), ("gone", 1)]);
        let now = counts(&[("same", 1_000), ("close", 1_019), ("dear", 1_021), ("cheap", 970), ("new", 1)]);
        let errors = compare(&before, &now);
        assert_eq!(
            errors,
            [
                "cheap: 970 instructions instead of 1000 (-3.0 %)",
                "dear: 1021 instructions instead of 1000 (+2.1 %)",
                "new: not in benches/counts.toml",
                "gone: in benches/counts.toml, but no case any more",
            ]
        );
        assert_eq!(read(&written("x86_64 plain", &now)).unwrap(), ("x86_64 plain".to_owned(), now));
    }

    #[test]
    fn a_session_that_costs_more_among_many_fails() {
        assert!(Scale { few: 100, many: 104 }.check().is_ok());
        assert!(Scale { few: 100, many: 106 }.check().is_err());
    }
}
