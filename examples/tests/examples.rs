//! The examples are short, run, and hold what they owe.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::process::Command;

#[test]
fn each_endpoint_is_at_most_60_lines_long() {
    for name in ["sine.rs", "level.rs"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(name);
        let lines = std::fs::read_to_string(path).unwrap().lines().count();
        assert!(lines <= 60, "{name} has {lines} lines");
    }
}

#[test]
fn the_level_printer_shows_the_sine() {
    let output = Command::new(env!("CARGO_BIN_EXE_play")).arg("10").output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 10);
    let peaks: Vec<u32> = text.lines().map(|line| line.split_whitespace().nth(2).unwrap().parse().unwrap()).collect();
    // Half of full scale is 16,384; a pass of 10 ms has more than four cycles of 440 Hz.
    assert!(peaks[3..].iter().all(|peak| peak.abs_diff(16_384) < 100), "{peaks:?}");
}

#[test]
fn both_hold_what_they_owe_at_every_level() {
    for level in ["reference", "contract", "stress"] {
        let output = Command::new(env!("CARGO_BIN_EXE_verify")).args(["--level", level]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}");
        assert_eq!(text.matches("all requirements that it owes hold").count(), 2, "{text}");
    }
}
