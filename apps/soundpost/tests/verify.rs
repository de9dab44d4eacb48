//! `soundpost verify`: what ships holds, what is faulty is found, and the documentation's tables are those of the run.

use std::path::Path;

use crate::daemon::output;

fn told(args: &[&str]) -> (Option<i32>, String) {
    let output = output(args);
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

/// One run of everything: the endpoints that ship, the engine, and all faulty endpoints.
#[test]
fn everything_that_ships_holds_every_flaw_is_found_and_the_docs_say_so() {
    let (status, tables) = told(&["verify", "--markdown"]);
    assert_eq!(status, Some(0), "{tables}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/conformance.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (_, rest) = page.split_once("<!-- begin: cargo xtask conformance -->\n").unwrap();
    let (committed, _) = rest.split_once("<!-- end -->").unwrap();
    assert!(committed.trim() == tables.trim(), "docs/conformance.md is old: run `cargo xtask conformance`\n{tables}");
}

#[test]
fn a_faulty_endpoint_ends_with_status_1_and_its_number() {
    let (status, text) = told(&["verify", "faulty:frames-in-hns-field"]);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.lines().any(|line| line.starts_with("  T1   BROKEN")), "{text}");
}

#[test]
fn x2_an_endpoint_that_takes_the_process_along_costs_only_its_child() {
    let (status, text) = told(&["verify", "faulty:crashes", "null-render"]);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("X2   BROKEN       the process ended in processing_complete: signal 6"), "{text}");
    assert!(text.contains("all requirements that it owes hold"), "{text}");
}

#[test]
fn json_has_a_line_for_every_requirement_and_the_seed() {
    let (status, text) = told(&["verify", "tone", "--json", "--seed", "77", "--level", "reference"]);
    assert_eq!(status, Some(0), "{text}");
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json[0]["subject"], "tone");
    assert_eq!((&json[0]["seed"], &json[0]["level"]), (&77.into(), &"reference".into()));
    // 35 of groups R to X, and one for the enumerator's.
    assert_eq!(json[0]["lines"].as_array().unwrap().len(), 36);
}

#[test]
fn an_unknown_endpoint_is_one_line_and_status_2() {
    let output = output(&["verify", "nothing"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert_eq!(told.trim_end().lines().count(), 1, "{told}");
    assert!(told.contains("null-render"), "{told}");
}
