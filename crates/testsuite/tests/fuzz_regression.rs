//! Every input that ever broke an oracle, and every seed of the fuzzer, on the stable compiler and without a fuzzer.

use std::fs;
use std::io;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use soundpost_testsuite::oracles;

/// Regressions lie beside this crate, seeds with the fuzz targets.
fn inputs(oracle: &str) -> io::Result<Vec<PathBuf>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [here.join("data/fuzz_regression").join(oracle), here.join("../../fuzz/seeds").join(oracle)];
    let mut inputs = Vec::new();
    for folder in folders.iter().filter(|folder| folder.is_dir()) {
        for entry in fs::read_dir(folder)? {
            inputs.push(entry?.path());
        }
    }
    inputs.sort();
    Ok(inputs)
}

#[test]
fn every_kept_input_passes_its_oracle() {
    for (name, oracle) in oracles::ALL {
        let inputs = inputs(name).expect("folders that can be listed");
        assert!(!inputs.is_empty(), "{name} has no input at all: give it a seed in fuzz/seeds/{name}");
        for input in inputs {
            let bytes = fs::read(&input).expect("a file that can be read");
            assert!(catch_unwind(|| oracle(&bytes)).is_ok(), "{name} broke on {}", input.display());
        }
    }
}

#[test]
fn every_oracle_has_a_fuzz_target_of_its_name() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).expect("fuzz/Cargo.toml");
    for (name, _) in oracles::ALL {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is missing from fuzz/Cargo.toml");
        assert!(fuzz.join("fuzz_targets").join(format!("{name}.rs")).is_file(), "{name} has no shell");
    }
}
