//! The crates as `cargo metadata` tells of them, cut down to what the checks ask.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::process;

/// All packages of the build: the workspace's own and everything in Cargo.lock.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// Every package, in no particular order.
    pub(crate) packages: Vec<Package>,
}

/// One package.
#[derive(Clone, Debug, Default)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// The SPDX expression of Cargo.toml.
    pub(crate) licence: Option<String>,
    /// Where it comes from; none for a folder on this machine.
    pub(crate) source: Option<String>,
    /// The folder of its Cargo.toml.
    pub(crate) folder: PathBuf,
    /// Whether it belongs to the workspace.
    pub(crate) member: bool,
    /// What it declares that it depends on, for any platform and with any feature.
    pub(crate) dependencies: Vec<Dependency>,
}

/// One line of a `[dependencies]` table.
#[derive(Clone, Debug)]
pub(crate) struct Dependency {
    /// The package's real name, whatever the crate calls it.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// The version that is asked for.
    pub(crate) requirement: String,
    /// Whether it is a folder on this machine.
    pub(crate) local: bool,
}

/// Which table the line stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    Build,
    Dev,
}

impl Workspace {
    /// The workspace's own packages alone, with what they declare; needs neither Cargo.lock nor a network.
    pub(crate) fn load_members(root: &Path) -> Result<Self, String> {
        Self::parse(&process::output(process::cargo(root).args(["metadata", "--format-version", "1", "--no-deps"]))?)
    }

    /// Everything in Cargo.lock; one that is out of date is an error.
    pub(crate) fn load(root: &Path) -> Result<Self, String> {
        let text = process::output(process::cargo(root).args(["metadata", "--format-version", "1", "--locked"]))
            .map_err(|why| format!("{why}: is Cargo.lock up to date and committed?"))?;
        Self::parse(&text)
    }

    /// Reads the answer of `cargo metadata --format-version 1`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| format!("cargo metadata: {error}"))?;
        let members: Vec<&str> = array(&value, "workspace_members").iter().filter_map(Value::as_str).collect();
        let packages = array(&value, "packages").iter().map(|package| Package::read(package, &members)).collect();
        Ok(Self { packages })
    }

    /// The workspace's own packages.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.member)
    }
}

impl Package {
    fn read(value: &Value, members: &[&str]) -> Self {
        let manifest = PathBuf::from(string(value, "manifest_path").unwrap_or_default());
        Self {
            name: string(value, "name").unwrap_or_default(),
            version: string(value, "version").unwrap_or_default(),
            licence: string(value, "license"),
            source: string(value, "source"),
            folder: manifest.parent().unwrap_or(&manifest).to_owned(),
            member: string(value, "id").is_some_and(|id| members.contains(&id.as_str())),
            dependencies: array(value, "dependencies").iter().map(Dependency::read).collect(),
        }
    }
}

impl Dependency {
    fn read(value: &Value) -> Self {
        Self {
            name: string(value, "name").unwrap_or_default(),
            kind: match value["kind"].as_str() {
                Some("dev") => Kind::Dev,
                Some("build") => Kind::Build,
                _ => Kind::Normal,
            },
            requirement: string(value, "req").unwrap_or_default(),
            local: value["path"].is_string(),
        }
    }
}

fn string(value: &Value, key: &str) -> Option<String> {
    value[key].as_str().map(str::to_owned)
}

fn array<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_read_as_cargo_writes_it() {
        let workspace = Workspace::parse(
            r#"{"workspace_members": ["path+file:///w/a#0.1.0"], "packages": [
                {"id": "path+file:///w/a#0.1.0", "name": "a", "version": "0.1.0", "license": "MIT", "source": null,
                 "manifest_path": "/w/a/Cargo.toml", "dependencies": [
                    {"name": "b", "kind": null, "rename": "other", "req": "^1", "path": null},
                    {"name": "c", "kind": "dev", "req": "*", "path": "/w/c"},
                    {"name": "d", "kind": "build", "req": "^2"}]},
                {"id": "b", "name": "b", "version": "1.2.0", "license": null, "source": "registry+x",
                 "manifest_path": "/r/b/Cargo.toml", "dependencies": []}]}"#,
        )
        .unwrap();
        let a = workspace.members().next().unwrap();
        assert_eq!((a.name.as_str(), a.folder.as_path()), ("a", Path::new("/w/a")));
        assert_eq!(a.dependencies.iter().map(|d| d.kind).collect::<Vec<_>>(), [Kind::Normal, Kind::Dev, Kind::Build]);
        assert!(a.dependencies[1].local && !a.dependencies[0].local);
        assert_eq!(workspace.members().count(), 1);
        assert_eq!(workspace.packages[1].source.as_deref(), Some("registry+x"));
    }
}
