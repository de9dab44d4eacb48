//! `cargo xtask conformance`: makes the tables of docs/conformance.md again, from a run of `soundpost verify`.

use std::fs;
use std::path::Path;

use crate::process;

const PAGE: &str = "docs/conformance.md";
const BEGIN: &str = "<!-- begin: cargo xtask conformance -->\n";
const END: &str = "<!-- end -->";

/// Runs the kit over everything, and puts what it has seen between the marks of the page.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let arguments = ["run", "--quiet", "--locked", "--package", "soundpost", "--", "verify", "--markdown"];
    let mut tables = String::new();
    let held = process::lines(process::cargo(root).args(arguments), |line| {
        tables.push_str(line);
        tables.push('\n');
    })?;
    if tables.is_empty() {
        return Err("soundpost verify has printed no tables".to_owned());
    }
    let path = root.join(PAGE);
    let page = fs::read_to_string(&path).map_err(|error| format!("{PAGE}: {error}"))?;
    fs::write(&path, replaced(&page, &tables)?).map_err(|error| format!("{PAGE}: {error}"))?;
    if held { Ok(()) } else { Err(format!("something is broken: see {PAGE}")) }
}

fn replaced(page: &str, tables: &str) -> Result<String, String> {
    let marks = page.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = marks.ok_or_else(|| format!("{PAGE} has lost the marks between which the tables belong"))?;
    Ok(format!("{before}{BEGIN}{tables}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_between_the_marks_is_replaced() {
        let page = format!("a\n{BEGIN}old\n{END}\nb\n");
        assert_eq!(replaced(&page, "new\n"), Ok(format!("a\n{BEGIN}new\n{END}\nb\n")));
        assert!(replaced("nothing", "new\n").is_err());
    }
}
