//! `cargo xtask calls`: every function that passes of the real engine call, by name, and none of them may take a lock,
//! read a clock, allocate, or ask the system for anything.
//!
//! Other guards see what a lock or an allocation does to the process; a lock that is free does nothing that they could
//! see. So the passes run in a build without any optimisation, in which a call is a call, under callgrind, which notes
//! each function that is called within `Worker::run_pass`, in whatever library. Of the standard library only what
//! [`STD`] lists may be called.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::packages::Package;
use crate::{packages, process};

const VALGRIND: &[Package] = &[Package { name: "valgrind", program: "valgrind" }];

/// What a pass is, to callgrind.
const PASS: &str = "soundpost_engine::worker::Worker::run_pass";

/// Passes that `calls` looks at: with those, each kind of stream, format and change has come up many times.
const PASSES: u32 = 2_000;

/// What a pass may call of `std` (all of `core` it may): computing, and catching an endpoint's panic. The last two
/// stand between the start of the program and the first pass, and are named for that alone.
const STD: &[&str] = &[
    "std::f32::",
    "std::f64::",
    "std::panic::catch_unwind",
    "std::panicking::catch_unwind",
    "std::rt::",
    "std::sys::backtrace::__rust_begin_short_backtrace",
];

/// The allocator's names, and what a C library's function is called that waits, locks, allocates or does I/O.
const NAMES: &[&str] = &[
    "__rust_alloc",
    "__rust_alloc_zeroed",
    "__rust_realloc",
    "__rust_dealloc",
    "malloc",
    "calloc",
    "realloc",
    "free",
    "aligned_alloc",
    "posix_memalign",
    "memalign",
    "mmap",
    "munmap",
    "brk",
    "sbrk",
    "syscall",
    "clock_gettime",
    "gettimeofday",
    "time",
    "nanosleep",
    "clock_nanosleep",
    "usleep",
    "sleep",
    "sched_yield",
    "open",
    "open64",
    "openat",
    "close",
    "read",
    "write",
    "readv",
    "writev",
    "pread",
    "pwrite",
    "lseek",
    "fstat",
    "stat",
    "poll",
    "ppoll",
    "select",
    "epoll_wait",
    "send",
    "sendto",
    "sendmsg",
    "recv",
    "recvfrom",
    "recvmsg",
    "sem_wait",
    "sem_post",
    "fopen",
    "fread",
    "fwrite",
    "printf",
    "puts",
];

/// What the functions of `pthread` begin with: locks, conditions, threads.
const PREFIXES: &[&str] = &["pthread_", "__pthread_mutex", "__pthread_rwlock", "__pthread_cond", "___pthread_"];

/// The functions that were called within passes.
pub(crate) struct Called(BTreeSet<String>);

impl Called {
    /// Runs a program of [`build`] and notes what its passes call. `ends`: whether it is to end well.
    pub(crate) fn in_passes_of(program: &Path, arguments: &[&str], ends: bool) -> Result<Self, String> {
        let noted = program.with_extension("calls");
        let _ = fs::remove_file(&noted);
        let mut command = Command::new("valgrind");
        command
            .arg("--tool=callgrind")
            .arg(format!("--callgrind-out-file={}", noted.display()))
            .arg(format!("--toggle-collect={PASS}"))
            .arg(program)
            .args(arguments);
        match process::both_outputs(&mut command) {
            Err(why) if ends => return Err(why),
            _ => {}
        }
        let text = fs::read_to_string(&noted).map_err(|error| format!("{}: {error}", noted.display()))?;
        Self::parse(&text).ok_or_else(|| format!("{}: no pass was seen: is it still {PASS}?", process::shown(&command)))
    }

    /// Reads what callgrind has written; none where no pass is in it.
    fn parse(text: &str) -> Option<Self> {
        let named = text.lines().filter_map(|line| {
            let line = line.strip_prefix('c').unwrap_or(line).strip_prefix("fn=(")?;
            // A name stands where its number is met for the first time.
            line.split_once(") ").map(|(_, name)| name)
        });
        // Behind an apostrophe: how deep in a recursion. Behind an at sign: the version of the library.
        let plain = |name: &str| {
            let end = name.rfind('\'').filter(|at| name[at + 1..].bytes().all(|sign| sign.is_ascii_digit()));
            let name = name.get(..end.unwrap_or(name.len())).unwrap_or(name);
            name.split("@@").next().unwrap_or(name).to_owned()
        };
        let names: BTreeSet<String> = named.map(plain).collect();
        names.iter().any(|name| name.contains("Worker>::run_pass") || name == PASS).then_some(Self(names))
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Those that no pass may call.
    pub(crate) fn forbidden(&self) -> Vec<&str> {
        self.0.iter().map(String::as_str).filter(|name| is_forbidden(name)).collect()
    }
}

fn is_forbidden(name: &str) -> bool {
    // `<std::time::Instant>::now`, and `<std::sync::MutexGuard<T> as ...>::drop`.
    let path = name.trim_start_matches(['<', '&']).trim_start_matches("mut ").trim_start_matches("__rustc::");
    if path.starts_with("std::") {
        return !STD.iter().any(|prefix| path.starts_with(prefix));
    }
    NAMES.contains(&path) || PREFIXES.iter().any(|prefix| path.starts_with(prefix)) || path.starts_with("parking_lot")
}

/// Builds the planted program and the many passes without optimisation; answers where they are.
pub(crate) fn build(root: &Path) -> Result<PathBuf, String> {
    packages::ensure(VALGRIND)?;
    process::run(process::cargo(root).args([
        "build",
        "--locked",
        "--profile=unoptimised",
        "--package=soundpost-testsuite",
        "--package=soundpost-testkit",
        "--example=plant",
        "--example=passes",
    ]))?;
    let folder = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(folder.join("unoptimised/examples"))
}

/// Looks at what passes call while streams and endpoints come, change and go.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let programs = build(root)?;
    let called = Called::in_passes_of(&programs.join("passes"), &[&PASSES.to_string()], true)?;
    let forbidden = called.forbidden();
    if !forbidden.is_empty() {
        return Err(format!("passes call what they must not:\n  {}", forbidden.join("\n  ")));
    }
    println!("calls: {PASSES} passes call {} functions; none locks, allocates, reads a clock or waits", called.count());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_pass_must_not_call_is_found_by_its_name() {
        let text = "fl=(1) a.rs\nfn=(7) soundpost_engine::worker::Worker::run_pass\n12 3\ncfn=(8) core::mem::swap'2\n\
                    cfn=(9) std::sync::poison::mutex::Mutex<T>::lock\ncfn=(8)\nfn=(10) clock_gettime@@GLIBC_2.17\n";
        let called = Called::parse(text).unwrap();
        assert_eq!(called.forbidden(), ["clock_gettime", "std::sync::poison::mutex::Mutex<T>::lock"]);
        assert_eq!(called.count(), 4);
        assert!(Called::parse("fn=(1) main\n").is_none(), "a run without a pass shows nothing");
        for name in ["<std::time::Instant>::now", "__rustc::__rust_alloc", "pthread_mutex_lock", "malloc"] {
            assert!(is_forbidden(name), "{name}");
        }
        for name in ["std::thread::functions::sleep", "<std::sync::poison::mutex::MutexGuard<T> as X>::drop"] {
            assert!(is_forbidden(name), "{name}");
        }
        for name in ["std::f64::<impl f64>::sin", "alloc::vec::Vec<T,A>::push", "__memset_avx2_unaligned_erms"] {
            assert!(!is_forbidden(name), "{name}");
        }
    }
}
