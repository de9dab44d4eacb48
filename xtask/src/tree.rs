//! A copy of the crates that passes are written in, in which something can be planted without harm.

use std::fs;
use std::path::{Path, PathBuf};

/// The crates that a pass is written in, from the lowest up, and what their tests need.
const CRATES: &[&str] = &["core", "endpoint", "dsp", "queue", "rt", "guards"];

/// The copy: a workspace of its own.
pub(crate) struct Tree {
    folder: PathBuf,
}

const MEMBERS: &str = "members = [\"crates/*\"]";

impl Tree {
    /// Copies what is in the repository now to `folder`, which is made anew.
    pub(crate) fn make(root: &Path, folder: &Path) -> Result<Self, String> {
        let tree = Self { folder: folder.to_owned() };
        if folder.exists() {
            fs::remove_dir_all(folder).map_err(|error| shown(folder, &error))?;
        }
        for name in CRATES {
            copy(&root.join("crates").join(name), &folder.join("crates").join(name))?;
        }
        for file in ["Cargo.lock", "clippy.toml"] {
            copy(&root.join(file), &folder.join(file))?;
        }
        let text = read(&root.join("Cargo.toml"))?;
        let members = text.lines().map(|line| if line.starts_with("members = ") { MEMBERS } else { line });
        tree.add("Cargo.toml", &members.collect::<Vec<_>>().join("\n"))?;
        Ok(tree)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a file.
    pub(crate) fn add(&self, file: &str, text: &str) -> Result<(), String> {
        let path = self.folder.join(file);
        fs::write(&path, text).map_err(|error| shown(&path, &error))
    }

    /// Copies a folder from elsewhere.
    pub(crate) fn take(&self, from: &Path, name: &str) -> Result<(), String> {
        copy(from, &self.folder.join(name))
    }

    /// Does something while a file is not as it was.
    pub(crate) fn with_change<T>(
        &self,
        file: &str,
        change: impl FnOnce(&str) -> String,
        then: impl FnOnce() -> Result<T, String>,
    ) -> Result<T, String> {
        let before = read(&self.folder.join(file))?;
        self.add(file, &change(&before))?;
        let result = then();
        self.add(file, &before)?;
        result
    }
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| shown(path, &error))
}

/// A file or a folder with all that is in it; a link becomes what it leads to.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    if from.is_dir() {
        for entry in fs::read_dir(from).map_err(|error| shown(from, &error))? {
            let name = entry.map_err(|error| shown(from, &error))?.file_name();
            copy(&from.join(&name), &to.join(&name))?;
        }
        return Ok(());
    }
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(|error| shown(folder, &error))?;
    }
    fs::copy(from, to).map(drop).map_err(|error| shown(from, &error))
}

fn shown(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}
