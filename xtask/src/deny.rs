//! `cargo xtask deny`: licences, bans and sources of everything in Cargo.lock, by the rules of deny.toml.
//!
//! The rules are written for cargo-deny, which takes several minutes to build. This is the part of it that we rely on,
//! in a moment; where cargo-deny is installed, it runs too.

use std::fs;
use std::path::Path;

use toml::Table;

use crate::licence;
use crate::process;
use crate::workspace::{Kind, Package, Workspace};

/// Checks, and says by which programs.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let text = fs::read_to_string(root.join("deny.toml")).map_err(|error| format!("deny.toml: {error}"))?;
    let rules = Rules::parse(&text)?;
    let workspace = Workspace::load(root)?;
    let errors = rules.check(&workspace);
    if !errors.is_empty() {
        return Err(errors.join("\n"));
    }
    println!("deny: {} packages, licences, bans and sources as deny.toml wants them", workspace.packages.len());
    if process::succeeds(process::cargo(root).args(["deny", "--version"])) {
        println!("deny: cargo-deny is installed and checks too");
        return process::run(process::cargo(root).args(["deny", "--locked", "check", "bans", "licenses", "sources"]));
    }
    println!("deny: cargo-deny is not installed; nothing is lost but its opinion");
    Ok(())
}

/// What deny.toml says, as far as we check it.
#[derive(Debug, Default)]
struct Rules {
    licences: Vec<String>,
    /// Licences allowed for one crate alone.
    exceptions: Vec<(String, Vec<String>)>,
    banned: Vec<(String, String)>,
    registries: Vec<String>,
    wildcards_denied: bool,
}

impl Rules {
    fn parse(text: &str) -> Result<Self, String> {
        let table: Table = text.parse().map_err(|error| format!("deny.toml: {error}"))?;
        let (licences, bans, sources) =
            (section(&table, "licenses")?, section(&table, "bans")?, section(&table, "sources")?);
        for key in ["unknown-registry", "unknown-git"] {
            if sources.get(key).and_then(toml::Value::as_str) != Some("deny") {
                return Err(format!("deny.toml: [sources] {key} has to be \"deny\""));
            }
        }
        Ok(Self {
            licences: strings(licences, "allow"),
            exceptions: tables(licences, "exceptions")
                .map(|exception| (text_of(exception, "crate"), strings(exception, "allow")))
                .collect(),
            banned: tables(bans, "deny").map(|ban| (text_of(ban, "crate"), text_of(ban, "reason"))).collect(),
            registries: strings(sources, "allow-registry"),
            wildcards_denied: bans.get("wildcards").and_then(toml::Value::as_str) == Some("deny"),
        })
    }

    fn check(&self, workspace: &Workspace) -> Vec<String> {
        let wildcards = workspace.members().flat_map(|member| self.wildcards(member));
        let others = workspace.packages.iter().flat_map(|package| {
            [self.licence_error(package), self.ban(package), self.source_error(package)].into_iter().flatten()
        });
        others.chain(wildcards).collect()
    }

    fn licence_error(&self, package: &Package) -> Option<String> {
        let Package { name, version, .. } = package;
        let Some(licence) = &package.licence else { return Some(format!("{name} {version} names no licence")) };
        let exceptions = self.exceptions.iter().filter(|(of, _)| of == name).flat_map(|(_, allowed)| allowed);
        let allowed: Vec<String> = self.licences.iter().chain(exceptions).cloned().collect();
        match licence::is_met(licence, &allowed) {
            Ok(true) => None,
            Ok(false) => Some(format!("{name} {version}: the licence {licence} is not allowed by deny.toml")),
            Err(why) => Some(format!("{name} {version}: {why}")),
        }
    }

    fn ban(&self, package: &Package) -> Option<String> {
        let (_, reason) = self.banned.iter().find(|(name, _)| *name == package.name)?;
        Some(format!("{} {} is banned: {reason}", package.name, package.version))
    }

    fn source_error(&self, package: &Package) -> Option<String> {
        let source = package.source.as_deref()?;
        let known =
            source.strip_prefix("registry+").is_some_and(|url| self.registries.iter().any(|known| known == url));
        (!known).then(|| {
            format!("{} {} comes from {source}, which deny.toml does not allow", package.name, package.version)
        })
    }

    fn wildcards<'a>(&'a self, member: &'a Package) -> impl Iterator<Item = String> + 'a {
        member
            .dependencies
            .iter()
            .filter(|dependency| self.wildcards_denied && dependency.requirement == "*" && !dependency.local)
            .map(|dependency| {
                let table = if dependency.kind == Kind::Dev { "dev-dependencies" } else { "dependencies" };
                format!("{}: {} in [{table}] takes any version", member.name, dependency.name)
            })
    }
}

fn section<'a>(table: &'a Table, name: &str) -> Result<&'a Table, String> {
    table.get(name).and_then(toml::Value::as_table).ok_or_else(|| format!("deny.toml: [{name}] is missing"))
}

fn strings(table: &Table, key: &str) -> Vec<String> {
    let values = table.get(key).and_then(toml::Value::as_array).map_or(&[][..], Vec::as_slice);
    values.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect()
}

fn tables<'a>(table: &'a Table, key: &str) -> impl Iterator<Item = &'a Table> {
    table.get(key).and_then(toml::Value::as_array).into_iter().flatten().filter_map(toml::Value::as_table)
}

fn text_of(table: &Table, key: &str) -> String {
    table.get(key).and_then(toml::Value::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;

    const RULES: &str = r#"
        [licenses]
        allow = ["MIT"]
        exceptions = [{ allow = ["MPL-2.0"], crate = "decoder" }]
        [bans]
        wildcards = "deny"
        deny = [{ crate = "openssl-sys", reason = "TLS is rustls" }]
        [sources]
        unknown-registry = "deny"
        unknown-git = "deny"
        allow-registry = ["https://github.com/rust-lang/crates.io-index"]
    "#;

    fn errors(change: impl FnOnce(&mut Package)) -> Vec<String> {
        let mut package = Package {
            name: "good".to_owned(),
            version: "1.0.0".to_owned(),
            licence: Some("MIT OR Apache-2.0".to_owned()),
            source: Some("registry+https://github.com/rust-lang/crates.io-index".to_owned()),
            member: true,
            ..Package::default()
        };
        change(&mut package);
        Rules::parse(RULES).unwrap().check(&Workspace { packages: vec![package] })
    }

    fn one_error(expected: &str, change: impl FnOnce(&mut Package)) {
        let errors = errors(change);
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].contains(expected), "{errors:?}");
    }

    #[test]
    fn a_good_package_passes() {
        assert!(errors(|_| ()).is_empty());
        assert!(errors(|package| package.source = None).is_empty());
    }

    #[test]
    fn a_licence_that_is_not_allowed_is_named() {
        one_error("GPL-3.0", |package| package.licence = Some("GPL-3.0".to_owned()));
        one_error("names no licence", |package| package.licence = None);
        one_error("MPL-2.0", |package| package.licence = Some("MPL-2.0".to_owned()));
        assert!(
            errors(|package| {
                package.name = "decoder".to_owned();
                package.licence = Some("MPL-2.0".to_owned());
            })
            .is_empty()
        );
    }

    #[test]
    fn a_banned_crate_is_named_with_the_reason() {
        one_error("TLS is rustls", |package| package.name = "openssl-sys".to_owned());
    }

    #[test]
    fn another_source_is_named() {
        one_error("git+https://example.org/x", |package| package.source = Some("git+https://example.org/x".to_owned()));
        one_error("elsewhere", |package| package.source = Some("registry+https://elsewhere".to_owned()));
    }

    #[test]
    fn any_version_is_refused() {
        one_error("takes any version", |package| {
            package.dependencies = vec![Dependency {
                name: "loose".to_owned(),
                kind: Kind::Normal,
                requirement: "*".to_owned(),
                local: false,
            }];
        });
    }

    #[test]
    fn rules_that_let_anything_in_are_refused() {
        assert!(Rules::parse(&RULES.replace("unknown-git = \"deny\"", "unknown-git = \"allow\"")).is_err());
        assert!(Rules::parse("[licenses]").is_err());
    }
}
