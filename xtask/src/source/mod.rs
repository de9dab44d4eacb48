//! Rules about sources that no compiler checks: where unsafe code may stand, who may read a clock or do I/O.

mod code;

use std::fs;
use std::path::{Path, PathBuf};

use crate::workspace::Package;
use code::Code;

/// The one crate that may hold unsafe code, and where in it.
const UNSAFE_CRATE: &str = "soundpost-host";
const UNSAFE_FOLDER: &str = "src/sys";

/// The crate whose own source is held to `no_std` without `alloc`.
const PASS_CRATE: &str = "soundpost-rt";

/// Crates that may read a clock: time is an argument everywhere else.
const CLOCK_CRATES: &[&str] = &["soundpost-host", "soundpost-verify", "soundpost", "soundpost-testsuite", "xtask"];

/// Crates that may do I/O.
const IO_CRATES: &[&str] = &[
    "soundpost-host",
    "soundpost-verify",
    "soundpost",
    "soundpost-examples",
    "soundpost-guards",
    "soundpost-testsuite",
    "xtask",
];

const CLOCK_READS: &[&str] = &["Instant::now", "SystemTime", "clock_gettime"];
const IO: &[&str] = &["std::fs", "std::net", "std::process", "std::os::fd", "std::os::unix", "std::io::stdin"];

/// How tests run passes.
const RUN_PASSES: &[&str] = &["Runner::new(", "Runner::with_config(", "Simulation::new("];

/// A file longer than this is worth splitting.
const LONG_FILE: usize = 700;

/// What reading all sources has shown.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) errors: Vec<String>,
    pub(crate) warnings: Vec<String>,
    pub(crate) files: usize,
}

/// Reads every Rust file of the packages.
pub(crate) fn check(packages: &[&Package]) -> Result<Report, String> {
    let mut report = Report::default();
    for package in packages {
        let mut guard = GuardedTests::default();
        for path in rust_files(&package.folder)? {
            let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            let within = path.strip_prefix(&package.folder).unwrap_or(&path);
            report.files += 1;
            let file = File { package: &package.name, within, shown: &path, text: &text };
            check_file(&file, &mut report);
            guard.look(&file, &mut report);
        }
        guard.judge(&package.name, &mut report);
    }
    Ok(report)
}

/// What is wrong with a text, as if it stood in that file of that package.
pub(crate) fn errors_in(package: &str, within: &Path, text: &str) -> Vec<String> {
    let mut report = Report::default();
    check_file(&File { package, within, shown: within, text }, &mut report);
    report.errors
}

/// One file, and what the rules need to know about it.
struct File<'a> {
    package: &'a str,
    /// Its path from the package's folder.
    within: &'a Path,
    /// Its path as a message shows it.
    shown: &'a Path,
    text: &'a str,
}

impl File<'_> {
    fn is_source(&self) -> bool {
        self.within.starts_with("src")
    }

    fn is_crate_root(&self) -> bool {
        self.within == Path::new("src/lib.rs") || self.within == Path::new("src/main.rs")
    }
}

fn check_file(file: &File<'_>, report: &mut Report) {
    let code = Code::of(file.text);
    check_unsafe(file, &code, report);
    if file.package == PASS_CRATE && file.is_source() {
        check_no_std(file, &code, report);
    }
    if file.is_source() && !CLOCK_CRATES.contains(&file.package) {
        refuse(file, &code, CLOCK_READS, "reads a clock: time is an argument below host", report);
    }
    if file.is_source() && !IO_CRATES.contains(&file.package) {
        refuse(file, &code, IO, "does I/O: only host does", report);
    }
    let length = file.text.lines().count();
    if length > LONG_FILE {
        report.warnings.push(format!("{}: {length} lines: split it by idea", file.shown.display()));
    }
}

/// The tests of one package: whether they run passes, and whether the guard of `soundpost-guards` is installed there.
#[derive(Debug, Default)]
struct GuardedTests {
    run_passes: bool,
    installed: bool,
}

impl GuardedTests {
    fn look(&mut self, file: &File<'_>, report: &mut Report) {
        if !file.within.starts_with("tests") || file.package == "xtask" {
            return;
        }
        let code = Code::of(file.text);
        self.run_passes |= RUN_PASSES.iter().any(|word| code.contains(word));
        self.installed |= code.contains("soundpost_guards::install!");
        if !code.contains("no_alloc(") {
            refuse(file, &code, &["run_pass("], "runs a pass without a guard: use testkit's Runner", report);
        }
        refuse(file, &code, &["pass()"], "lets a pass run without a guard: use those of soundpost-guards", report);
    }

    fn judge(&self, package: &str, report: &mut Report) {
        if self.run_passes && !self.installed {
            report.errors.push(format!(
                "{package}: its tests run passes without the guard against allocation: say soundpost_guards::install!()"
            ));
        }
    }
}

fn check_unsafe(file: &File<'_>, code: &Code, report: &mut Report) {
    let shown = file.shown.display();
    let (lint, may_hold) = if file.package == UNSAFE_CRATE {
        ("#![deny(unsafe_code)]", file.within.starts_with(UNSAFE_FOLDER))
    } else {
        ("#![forbid(unsafe_code)]", false)
    };
    if file.is_crate_root() && !code.contains(lint) {
        report.errors.push(format!("{shown}: `{lint}` is missing"));
    }
    if may_hold {
        return;
    }
    for word in ["unsafe", "expect(unsafe_code", "allow(unsafe_code"] {
        for line in code.lines_with(word) {
            report.errors.push(format!(
                "{shown}:{line}: `{word}`: unsafe code may stand in {UNSAFE_CRATE}'s {UNSAFE_FOLDER} alone"
            ));
        }
    }
}

fn check_no_std(file: &File<'_>, code: &Code, report: &mut Report) {
    let shown = file.shown.display();
    if file.is_crate_root() && !code.contains("#![no_std]") {
        report.errors.push(format!("{shown}: `#![no_std]` is missing"));
    }
    for name in ["extern crate alloc", "extern crate std"] {
        for line in code.lines_with(name) {
            if !code.is_for_tests(line) {
                report.errors.push(format!("{shown}:{line}: `{name}`: the pass has neither a heap nor a system"));
            }
        }
    }
}

fn refuse(file: &File<'_>, code: &Code, words: &[&str], why: &str, report: &mut Report) {
    for word in words {
        for line in code.lines_with(word) {
            report.errors.push(format!("{}:{line}: `{word}` {why}", file.shown.display()));
        }
    }
}

/// Every `.rs` file of a package, without what cargo builds and without packages of their own further in, in a stable
/// order. (Such a one is no member of the workspace, so that only tests can depend on it: [`crate::edges`].)
fn rust_files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for entry in entries {
            let path = entry.map_err(|error| format!("{}: {error}", folder.display()))?.path();
            let is_package = path.join("Cargo.toml").exists();
            if path.is_dir() && !is_package && path.file_name().is_some_and(|name| name != "target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Errors and warnings of one planted file.
    fn judge(package: &str, within: &str, text: &str) -> Report {
        let mut report = Report::default();
        let within = Path::new(within);
        check_file(&File { package, within, shown: within, text }, &mut report);
        report
    }

    fn one_error(package: &str, within: &str, text: &str, expected: &str) {
        let report = judge(package, within, text);
        assert_eq!(report.errors.len(), 1, "{:?}", report.errors);
        assert!(report.errors[0].contains(expected), "{:?}", report.errors);
    }

    fn clean(package: &str, within: &str, text: &str) {
        let report = judge(package, within, text);
        assert!(report.errors.is_empty(), "{:?}", report.errors);
    }

    #[test]
    fn a_crate_root_without_forbid_is_found() {
        one_error("soundpost-dsp", "src/lib.rs", "//! #![forbid(unsafe_code)]\nmod mix;", "is missing");
        one_error("soundpost-host", "src/lib.rs", "mod sys;", "#![deny(unsafe_code)]");
        clean("soundpost-dsp", "src/lib.rs", "#![forbid(unsafe_code)]\nmod mix;");
        clean("soundpost-host", "src/lib.rs", "#![deny(unsafe_code)]\nmod sys;");
        clean("soundpost-dsp", "src/mix.rs", "");
    }

    #[test]
    fn unsafe_code_outside_of_its_folder_is_found() {
        one_error("soundpost-host", "src/net/mod.rs", "\n fn f() { unsafe { g() } }", "src/net/mod.rs:2: `unsafe`");
        one_error(
            "soundpost-host",
            "src/net.rs",
            "#[expect(unsafe_code, reason = \"\")] fn f() {}",
            "expect(unsafe_code",
        );
        one_error("soundpost-queue", "tests/a.rs", "unsafe impl Send for X {}", "`unsafe`");
        clean("soundpost-host", "src/sys/thread.rs", "unsafe { g() }");
        clean("soundpost-queue", "src/a.rs", "// unsafe\nlet s = \"unsafe\"; let not_unsafe = 1;");
    }

    #[test]
    fn the_pass_without_no_std_or_with_a_heap_is_found() {
        let root = "#![no_std]\n#![forbid(unsafe_code)]\n";
        one_error("soundpost-rt", "src/lib.rs", "#![forbid(unsafe_code)]", "#![no_std]");
        one_error("soundpost-rt", "src/lib.rs", &format!("{root}extern crate alloc;"), ":3: `extern crate alloc`");
        one_error("soundpost-rt", "src/mix.rs", "extern  crate\n std;", "`extern crate std`");
        clean("soundpost-rt", "src/lib.rs", &format!("{root}#[cfg(test)]\nextern crate std;"));
        clean("soundpost-queue", "src/lib.rs", "#![forbid(unsafe_code)]\nextern crate alloc;");
    }

    #[test]
    fn a_clock_read_below_host_is_found() {
        one_error("soundpost-engine", "src/run.rs", "\nlet t = Instant::now();", "src/run.rs:2: `Instant::now`");
        one_error("soundpost-core", "src/time.rs", "use std::time::SystemTime;", "`SystemTime`");
        one_error("soundpost-testkit", "src/clock.rs", "std::time::Instant :: now()", "`Instant::now`");
        clean("soundpost-host", "src/clock.rs", "Instant::now()");
        clean("soundpost-engine", "src/run.rs", "// not Instant::now\nMyInstant::nowhere()");
        clean("soundpost-engine", "tests/all.rs", "Instant::now()");
    }

    #[test]
    fn io_below_host_is_found() {
        one_error("soundpost-rdp", "src/lib.rs", "#![forbid(unsafe_code)]\nuse std::net::IpAddr;", ":2: `std::net`");
        clean("soundpost-host", "src/net.rs", "use std::net::TcpStream;");
    }

    #[test]
    fn tests_that_run_passes_without_the_guard_are_found() {
        let errors = |texts: &[&str]| {
            let (mut report, mut guard) = (Report::default(), GuardedTests::default());
            let within = Path::new("tests/a.rs");
            for text in texts {
                guard.look(&File { package: "soundpost-link", within, shown: within, text }, &mut report);
            }
            guard.judge("soundpost-link", &mut report);
            report.errors
        };
        let runs = "let runner = Runner::new(1, no_alloc);";
        assert!(errors(&[runs])[0].contains("install!"));
        assert_eq!(errors(&[runs, "soundpost_guards::install!();"]), [""; 0]);
        assert_eq!(errors(&["// Runner::new(1)"]), [""; 0]);
        assert!(errors(&["worker.run_pass(now);"])[0].contains("testkit's Runner"));
        assert_eq!(errors(&["no_alloc(&mut || drop(worker.run_pass(now)));"]), [""; 0]);
        assert!(errors(&["fn gate(pass: &mut dyn FnMut()) { pass(); }"])[0].contains("without a guard"));
    }

    #[test]
    fn a_long_file_is_a_warning() {
        let report = judge("soundpost-core", "src/a.rs", &"\n".repeat(LONG_FILE + 1));
        assert!(report.errors.is_empty() && report.warnings.len() == 1, "{report:?}");
        assert!(judge("soundpost-core", "src/a.rs", &"\n".repeat(LONG_FILE)).warnings.is_empty());
    }
}
