//! The table of docs/real-time.md.

use std::fs;
use std::path::Path;

/// What was seen. A cell is nothing where the guard could not be run.
pub(super) struct Table {
    guards: Vec<&'static str>,
    rows: Vec<(&'static str, Vec<Option<bool>>)>,
}

const BEGIN: &str = "<!-- cargo xtask guards --update -->\n";
const END: &str = "<!-- end -->";

impl Table {
    pub(super) fn new(guards: &[&'static str]) -> Self {
        Self { guards: guards.to_vec(), rows: Vec::new() }
    }

    pub(super) fn add(&mut self, violation: &'static str, cells: Vec<Option<bool>>) {
        self.rows.push((violation, cells));
    }

    pub(super) fn line(violation: &str, cells: &[Option<bool>]) -> String {
        let shown = cells.iter().map(|cell| match cell {
            Some(true) => "**caught**",
            Some(false) => "no",
            None => "?",
        });
        format!("| {violation} | {} |", shown.collect::<Vec<_>>().join(" | "))
    }

    fn shown(&self) -> String {
        let mut text =
            format!("| planted | {} |\n|---|{}\n", self.guards.join(" | "), "---|".repeat(self.guards.len()));
        for (violation, cells) in &self.rows {
            text.push_str(&Self::line(violation, cells));
            text.push('\n');
        }
        text
    }

    /// Compares with the file, or writes into it.
    pub(super) fn compare(&self, path: &Path, update: bool) -> Result<(), String> {
        let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let (before, rest) = text.split_once(BEGIN).ok_or("docs/real-time.md has no place for the table")?;
        let (old, after) = rest.split_once(END).ok_or("the table of docs/real-time.md has no end")?;
        let new = self.shown();
        if update {
            return fs::write(path, format!("{before}{BEGIN}{new}{END}{after}"))
                .map_err(|error| format!("{}: {error}", path.display()));
        }
        if agree(old, &new) {
            println!("guards: {} violations, as in docs/real-time.md", self.rows.len() - 1);
            return Ok(());
        }
        Err(format!(
            "the guards do not do what docs/real-time.md says; `cargo xtask guards --update` if that is right:\n{new}"
        ))
    }
}

/// Whether two tables say the same, but for cells that were not tried.
fn agree(old: &str, new: &str) -> bool {
    let cells = |text: &str| -> Vec<Vec<String>> {
        text.lines().map(|line| line.split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
    };
    let (old, new) = (cells(old), cells(new));
    old.len() == new.len()
        && old
            .iter()
            .zip(&new)
            .all(|(old, new)| old.len() == new.len() && old.iter().zip(new).all(|(old, new)| old == new || new == "?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_that_differs_is_noticed_and_one_that_was_not_tried_is_not() {
        let mut table = Table::new(&["one", "two"]);
        table.add("sleep", vec![Some(true), Some(false)]);
        let text = table.shown();
        assert!(text.contains("| sleep | **caught** | no |"));
        let with = |cells| {
            let mut table = Table::new(&["one", "two"]);
            table.add("sleep", cells);
            agree(&text, &table.shown())
        };
        assert!(with(vec![Some(true), Some(false)]) && with(vec![Some(true), None]));
        assert!(!with(vec![Some(true), Some(true)]) && !with(vec![Some(false), None]));
        assert!(!agree(&text, "| planted | one | two |"));
    }
}
