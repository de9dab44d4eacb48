//! The fences: what the compiler, clippy and `cargo xtask edges` say to a violation in the source.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use super::Verdict;
use crate::tree::Tree;
use crate::{process, source};

/// The file that a violation becomes.
const PLANTED: &str = "src/planted.rs";

/// A copy of the crates that passes are written in, to plant in.
pub(super) struct Fences {
    tree: Tree,
    built: PathBuf,
}

impl Fences {
    /// Copies what is in the repository now.
    pub(super) fn make(root: &Path) -> Result<Self, String> {
        let guards = root.join("target/guards");
        Ok(Self { tree: Tree::make(root, &guards.join("tree"))?, built: guards.join("built") })
    }

    /// Whether `soundpost-rt`, which is `no_std` without `alloc` and forbids unsafe code, refuses it.
    pub(super) fn rt(&self, text: &str) -> Verdict {
        let found = self.cargo("check", "rt", text)?;
        Ok(found.iter().any(|message| message.error))
    }

    /// Whether the lints of `soundpost-endpoint` refuse it: clippy's fence (crates/realtime-clippy.toml), which
    /// `endpoint`, `dsp`, `queue`, `engine` and `link` have too, and `forbid(unsafe_code)`.
    pub(super) fn lints(&self, text: &str) -> Verdict {
        let found = self.cargo("clippy", "endpoint", text)?;
        let fences = ["clippy::disallowed_types", "clippy::disallowed_methods", "unsafe_code"];
        Ok(found.iter().any(|message| fences.contains(&message.code.as_str())))
    }

    /// Plants it in a crate, and gives what is said about it.
    fn cargo(&self, command: &str, name: &str, text: &str) -> Result<Vec<Message>, String> {
        let folder = format!("crates/{name}");
        self.tree.add(&format!("{folder}/{PLANTED}"), text)?;
        let mut messages = Vec::new();
        let mut cargo = process::cargo(self.tree.folder());
        cargo.args([command, "--quiet", "--offline", "--message-format=json", "--package"]);
        cargo.arg(format!("soundpost-{name}")).arg("--target-dir").arg(&self.built);
        let good = self.tree.with_change(
            &format!("{folder}/src/lib.rs"),
            |root| format!("{root}\nmod planted;\n"),
            || {
                // What the compiler says is read from its standard output.
                process::lines(cargo.stderr(Stdio::null()), |line| messages.extend(Message::read(line)))
            },
        );
        let (own, others): (Vec<_>, Vec<_>) = messages.into_iter().partition(|message| message.planted);
        if !good? && !own.iter().any(|message| message.error) {
            let why = others.iter().find(|message| message.error).map(|message| message.text.clone());
            let unknown = || format!("run `cargo check -p soundpost-{name}` in {}", self.tree.folder().display());
            return Err(format!("the copy of {name} does not build: {}", why.unwrap_or_else(unknown)));
        }
        Ok(own)
    }
}

/// Whether `cargo xtask edges` refuses it in a crate of the pass.
pub(super) fn sources(text: &str) -> bool {
    !source::errors_in("soundpost-endpoint", Path::new(PLANTED), text).is_empty()
}

/// What the compiler says.
struct Message {
    /// Whether it is about the planted file.
    planted: bool,
    error: bool,
    code: String,
    text: String,
}

impl Message {
    /// Reads a line of cargo's JSON; nothing where it is no message of the compiler.
    fn read(line: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(line).ok()?;
        let message = value.get("message").filter(|_| value["reason"] == "compiler-message")?;
        let is_planted = |span: &Value| span["file_name"].as_str().is_some_and(|name| name.ends_with(PLANTED));
        Some(Self {
            planted: message["spans"].as_array().is_some_and(|spans| spans.iter().any(is_planted)),
            error: message["level"] == "error",
            code: message["code"]["code"].as_str().unwrap_or_default().to_owned(),
            text: message["rendered"].as_str().unwrap_or_default().to_owned(),
        })
    }
}
