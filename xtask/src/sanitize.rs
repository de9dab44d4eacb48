//! `cargo xtask loom`, `rtsan`, `tsan`: tests of the workspace in builds of their own.

use std::path::Path;
use std::process::Command;

use crate::process;
use crate::tree::Tree;
use crate::workspace::Workspace;

/// The models of the hand-made atomics: what follows `cargo test`.
const MODELS: [&[&str]; 2] =
    [&["--package", "soundpost-queue", "--test", "loom"], &["--package", "soundpost-endpoint", "--lib", "loom_models"]];

/// One ordering less, which the models have to notice: the file, what stands there, and what is put in its place.
const WEAKENED: [(&str, &str, &str); 5] = [
    ("crates/queue/src/atomics.rs", "self.0.store(true, Ordering::Release)", "self.0.store(true, Ordering::Relaxed)"),
    ("crates/queue/src/snapshot.rs", "place.store(*word, Ordering::Release)", "place.store(*word, Ordering::Relaxed)"),
    ("crates/queue/src/snapshot.rs", "words[i].load(Ordering::Acquire)", "words[i].load(Ordering::Relaxed)"),
    ("crates/endpoint/src/stock/seqlock.rs", "fence(Ordering::Release);", ""),
    ("crates/endpoint/src/stock/seqlock.rs", "fence(Ordering::Acquire);", ""),
];

/// Every interleaving of the hand-made atomics, as loom has them; and whether loom would notice if one of their orderings
/// were too weak.
pub(crate) fn loom(root: &Path) -> Result<(), String> {
    for model in MODELS {
        process::run(&mut loom_on(root, root, model))?;
    }
    let tree = Tree::make(root, &root.join("target/loom/tree"))?;
    for (file, from, to) in WEAKENED {
        let model = if file.contains("queue") { MODELS[0] } else { MODELS[1] };
        let mut found = false;
        let change = |text: &str| {
            found = text.contains(from);
            text.replace(from, to)
        };
        let missed = tree.with_change(file, change, || {
            let mut builds = loom_on(root, tree.folder(), model);
            process::run(builds.arg("--no-run"))?;
            Ok(process::succeeds(&mut loom_on(root, tree.folder(), model)))
        })?;
        if !found {
            return Err(format!("{file} has no `{from}` to weaken any more: change the list in xtask/src/sanitize.rs"));
        }
        if missed {
            return Err(format!("loom does not notice that `{from}` is missing in {file}"));
        }
        println!("loom: without `{from}` a model of {file} fails, as it should");
    }
    Ok(())
}

fn loom_on(root: &Path, workspace: &Path, model: &[&str]) -> Command {
    let mut command = process::cargo(workspace);
    command.args(["test", "--quiet", "--release", "--target-dir"]).arg(root.join("target/loom"));
    // The copy's lock file has more than its few crates need, and is brought in line.
    command.arg(if workspace == root { "--locked" } else { "--offline" });
    command.args(model).env("RUSTFLAGS", "--cfg loom");
    command
}

/// Every test that runs passes, in a build with RealtimeSanitizer: who calls the C library's allocator, a file or a
/// system call that waits in a pass ends the test.
pub(crate) fn rtsan(root: &Path) -> Result<(), String> {
    let tests: [&[&str]; 2] = [
        &["--package", "soundpost-testsuite", "--test", "main", "--", "engine::", "guard::"],
        // Those of link (and dsp). Chosen from the whole workspace, so that nothing is built with other features.
        &["--workspace", "--test", "rdp", "--test", "properties", "--test", "no_alloc"],
    ];
    for test in tests {
        let mut command = process::cargo(root);
        command.args(["test", "--locked"]).args(test);
        with_rtsan(root, &mut command)?;
        process::run(&mut command)?;
    }
    Ok(())
}

/// Has the build use the RealtimeSanitizer that comes with the compiler.
pub(crate) fn with_rtsan(root: &Path, command: &mut Command) -> Result<(), String> {
    let sysroot = process::output(rustc(root).args(["--print", "sysroot"]))?;
    let platform = process::host_platform(root)?;
    let folder = Path::new(sysroot.trim()).join("lib/rustlib").join(platform).join("lib");
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let library = entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.ends_with("_rt.rtsan.a")));
    let library = library.ok_or_else(|| format!("{} has no RealtimeSanitizer", folder.display()))?;
    command.env("RTSAN_ENABLE", "1").env("RTSAN_LIB_PATH", library);
    Ok(())
}

/// The stress tests of the queues under ThreadSanitizer; and whether it would notice if the ring below them handed its
/// elements over without an ordering.
///
/// The sanitizer is not part of the stable compiler's promises, hence RUSTC_BOOTSTRAP. The standard library is not
/// instrumented: what a thread hands to another by way of `std` alone would be reported. Nor does the sanitizer understand
/// fences, which `queue` has none of (`endpoint`'s clock has: loom models it, and it is left out here).
pub(crate) fn tsan(root: &Path) -> Result<(), String> {
    process::run(&mut tsan_on(root, root)?)?;
    let tree = Tree::make(root, &root.join("target/tsan/tree"))?;
    let packages = Workspace::load(root)?.packages;
    let ring = packages.iter().find(|package| package.name == "rtrb").ok_or("Cargo.lock has no rtrb")?;
    tree.take(&ring.folder, "rtrb")?;
    let patch = "\n[patch.crates-io]\nrtrb = { path = \"rtrb\" }\n";
    let (from, to) =
        ("self.buffer.tail.store(tail, Ordering::Release)", "self.buffer.tail.store(tail, Ordering::Relaxed)");
    let mut found = false;
    let change = |text: &str| {
        found = text.contains(from);
        text.replace(from, to)
    };
    let missed = tree.with_change(
        "Cargo.toml",
        |text| format!("{text}{patch}"),
        || {
            tree.with_change("rtrb/src/lib.rs", change, || {
                let mut tests = tsan_on(root, tree.folder())?;
                process::run(tests.arg("--no-run"))?;
                Ok(process::succeeds(&mut tsan_on(root, tree.folder())?))
            })
        },
    )?;
    match (found, missed) {
        (false, _) => Err(format!("rtrb has no `{from}` to weaken any more: change xtask/src/sanitize.rs")),
        (true, true) => Err(format!("ThreadSanitizer does not notice that `{from}` is weakened in rtrb")),
        (true, false) => {
            println!("tsan: with a relaxed `{from}` in rtrb a stress test fails, as it should");
            Ok(())
        }
    }
}

fn tsan_on(root: &Path, workspace: &Path) -> Result<Command, String> {
    let mut command = process::cargo(workspace);
    command.args(["test", "--quiet", "--target", &process::host_platform(root)?, "--target-dir"]);
    command.arg(root.join("target/tsan")).arg(if workspace == root { "--locked" } else { "--offline" });
    command.args(["--package", "soundpost-queue", "--test", "stress"]);
    command.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", "-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer");
    let suppressions = root.join("crates/queue/tsan.suppressions");
    command.env("TSAN_OPTIONS", format!("halt_on_error=1 suppressions={}", suppressions.display()));
    Ok(command)
}

/// Passes of the real engine by the hundred thousand, in an optimised build, under the guards; and the guards' own test.
pub(crate) fn passes(root: &Path, number: &[&str]) -> Result<(), String> {
    let awake = ["test", "--locked", "--release", "--package", "soundpost-guards"];
    process::run(process::cargo(root).args(awake))?;
    let run = ["run", "--locked", "--release", "--package", "soundpost-testkit", "--example", "passes", "--"];
    process::run(process::cargo(root).args(run).args(number))
}

fn rustc(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    command.current_dir(root);
    command
}
