//! `cargo xtask guards`: each guard of the real-time side against each planted violation.
//!
//! What is planted stands in `crates/testsuite/examples/plant/violations` and `crates/guards/planted-c`. The fences,
//! which judge sources, see it as a module of a copy of the crates that passes are written in ([`fences`]). The guards
//! that judge running passes see it in an endpoint's real-time half in a real engine ([`running`]). The answers are
//! the table of docs/real-time.md.

mod fences;
mod running;
mod table;

use std::fs;
use std::path::Path;

use fences::Fences;
use running::Programs;
use table::Table;

/// Something that a pass must not do.
#[derive(Clone, Copy, Debug)]
struct Violation {
    /// Its name as a file, and as an argument of the planted program.
    name: &'static str,
    /// Its name in the table.
    shown: &'static str,
    /// Where its source is.
    source: &'static str,
    /// Whether it comes back.
    ends: bool,
}

const VIOLATIONS: &[Violation] = &[
    planted("malloc_in_rust", "malloc in Rust"),
    Violation { name: "malloc_in_c", shown: "malloc in C", source: "crates/guards/planted-c/src/lib.rs", ends: true },
    planted("contended_lock", "contended lock"),
    planted("uncontended_lock", "uncontended lock"),
    planted("sleep", "sleep"),
    planted("clock_read", "clock read"),
    planted("file_read", "file read"),
    Violation { ends: false, ..planted("unbounded_loop", "unbounded loop") },
    planted("nothing", "*nothing (the control)*"),
];

/// One that is planted in Rust, and comes back.
const fn planted(name: &'static str, shown: &'static str) -> Violation {
    Violation { name, shown, source: "", ends: true }
}

impl Violation {
    fn is_control(&self) -> bool {
        self.name == "nothing"
    }

    fn text(&self, root: &Path) -> Result<String, String> {
        let path = if self.source.is_empty() {
            root.join("crates/testsuite/examples/plant/violations").join(format!("{}.rs", self.name))
        } else {
            root.join(self.source)
        };
        fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// Whether a guard caught a violation; the error says that the experiment itself went wrong.
type Verdict = Result<bool, String>;

/// Runs all of it, and compares the table with the one in docs/real-time.md; `update` writes it there.
pub(crate) fn run(root: &Path, update: bool) -> Result<(), String> {
    let fences = Fences::make(root)?;
    let programs = Programs::build(root)?;
    let mut table = Table::new(&["rt", "lints", "sources", "no-alloc", "rtsan", "watch", "calls", "trace"]);
    for violation in VIOLATIONS {
        let text = violation.text(root)?;
        let mut row = vec![Some(fences.rt(&text)?), Some(fences.lints(&text)?), Some(fences::sources(&text))];
        for guard in running::GUARDS {
            row.push(Some(programs.run(guard, violation)?));
        }
        row.push(Some(programs.calls(violation)?));
        row.push(programs.trace(violation)?);
        println!("guards: {}", Table::line(violation.shown, &row));
        judge(violation, &row)?;
        table.add(violation.shown, row);
    }
    table.compare(&root.join("docs/real-time.md"), update)
}

/// The two things that have to hold whatever the table says in detail.
fn judge(violation: &Violation, row: &[Option<bool>]) -> Result<(), String> {
    let caught = row.contains(&Some(true));
    match (violation.is_control(), caught) {
        (true, true) => Err("a guard stops a pass that does nothing forbidden".to_owned()),
        (false, false) => Err(format!("no guard catches this in a pass: {}", violation.shown)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_that_nobody_catches_is_an_error_and_so_is_a_control_that_somebody_does() {
        let violation = planted("sleep", "sleep");
        assert_eq!(judge(&violation, &[Some(false), None, Some(true)]), Ok(()));
        assert!(judge(&violation, &[Some(false), None]).unwrap_err().contains("sleep"));
        let control = planted("nothing", "nothing");
        assert_eq!(judge(&control, &[Some(false), None]), Ok(()));
        assert!(judge(&control, &[Some(false), Some(true)]).is_err());
    }
}
