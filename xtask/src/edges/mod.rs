//! `cargo xtask edges`: the folders are the architecture, and this is what holds them to it.
//!
//! [`check`] compares the dependency edges with [`table::TABLE`]; [`source::check`] reads the sources.

mod table;

use std::path::Path;

use crate::source;
use crate::workspace::{Kind, Package, Workspace};
use table::{External, Row, TABLE};

/// Checks edges and sources; prints warnings, and gives every error at once.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let workspace = Workspace::load_members(root)?;
    let members: Vec<&Package> = workspace.members().collect();
    let mut errors = check(&members, TABLE);
    let report = source::check(&members)?;
    for warning in &report.warnings {
        println!("warning: {warning}");
    }
    errors.extend(report.errors);
    if errors.is_empty() {
        println!("edges: {} crates, {} source files, nothing out of place", members.len(), report.files);
        return Ok(());
    }
    Err(errors.join("\n"))
}

/// Compares what the members declare with the table, in both directions.
fn check(members: &[&Package], table: &[Row]) -> Vec<String> {
    let mut errors = Vec::new();
    for package in members {
        match table.iter().find(|row| row.name == package.name) {
            Some(row) => errors.extend(forbidden_edges(package, row, members)),
            None => errors.push(format!(
                "{} is not in the table of crates: add a row to xtask/src/edges/table.rs that says what it may know",
                package.name
            )),
        }
    }
    for row in table.iter().filter(|row| !members.iter().any(|package| package.name == row.name)) {
        errors.push(format!(
            "the table of crates has a row for {}, which does not exist: remove it from xtask/src/edges/table.rs",
            row.name
        ));
    }
    errors
}

fn forbidden_edges(package: &Package, row: &Row, members: &[&Package]) -> Vec<String> {
    let is_member = |name: &str| members.iter().any(|member| member.name == name);
    package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind != Kind::Dev)
        .filter(|dependency| {
            let name = dependency.name.as_str();
            if dependency.local || is_member(name) {
                return !row.internal.contains(&name);
            }
            match row.external {
                External::Any => false,
                External::Only(allowed) => !allowed.contains(&name),
            }
        })
        .map(|dependency| {
            let kind = if dependency.kind == Kind::Build { " (build dependency)" } else { "" };
            format!(
                "forbidden edge {} -> {}{kind}: the layout (xtask/src/edges/table.rs) does not let one know the other",
                package.name, dependency.name
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;

    const LAYOUT: &[Row] = &[
        Row { name: "low", internal: &[], external: External::Only(&[]) },
        Row { name: "high", internal: &["low"], external: External::Only(&["rtrb"]) },
        Row { name: "shell", internal: &["low", "high"], external: External::Any },
    ];

    fn package(name: &str, dependencies: &[(&str, Kind)]) -> Package {
        let dependencies = dependencies
            .iter()
            .map(|&(name, kind)| Dependency { name: name.to_owned(), kind, requirement: "^1".to_owned(), local: false })
            .collect();
        Package { name: name.to_owned(), member: true, dependencies, ..Package::default() }
    }

    fn errors(low: &[(&str, Kind)], high: &[(&str, Kind)], shell: &[(&str, Kind)]) -> Vec<String> {
        let (low, high, shell) = (package("low", low), package("high", high), package("shell", shell));
        check(&[&low, &high, &shell], LAYOUT)
    }

    #[test]
    fn the_layout_as_it_should_be_passes() {
        let found = errors(&[], &[("low", Kind::Normal), ("rtrb", Kind::Normal)], &[("tokio", Kind::Normal)]);
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn a_lower_crate_that_knows_a_higher_one_is_named() {
        let found = errors(&[("high", Kind::Normal)], &[], &[]);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("low -> high"), "{found:?}");
    }

    #[test]
    fn a_build_dependency_counts_and_one_of_tests_does_not() {
        let found = errors(&[("cc", Kind::Build), ("proptest", Kind::Dev), ("high", Kind::Dev)], &[], &[]);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("low -> cc (build dependency)"), "{found:?}");
    }

    #[test]
    fn a_crate_from_elsewhere_that_is_not_listed_is_named() {
        let found = errors(&[], &[("tokio", Kind::Normal)], &[]);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("high -> tokio"), "{found:?}");
    }

    #[test]
    fn a_crate_without_a_row_and_a_row_without_a_crate_fail() {
        let (low, stranger) = (package("low", &[]), package("stranger", &[]));
        let found = check(&[&low, &stranger], &LAYOUT[..2]);
        assert_eq!(found.len(), 2);
        assert!(found[0].contains("stranger is not in the table"), "{found:?}");
        assert!(found[1].contains("row for high"), "{found:?}");
    }

    #[test]
    fn the_real_table_has_no_way_upward() {
        for (index, row) in TABLE.iter().enumerate() {
            for known in row.internal {
                let below = TABLE[..index].iter().any(|lower| lower.name == *known);
                assert!(below, "{} may know {known}, which does not stand below it", row.name);
            }
        }
    }
}
