//! Files in TOML of which every key is known: one that is not is named, with the known one that it looks like.

use serde::de::DeserializeOwned;
use thiserror::Error;

/// A file that cannot be used. One line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TomlError {
    /// No TOML, or a value of the wrong kind.
    #[error("{0}")]
    Syntax(String),
    /// A key that means nothing.
    #[error("unknown key `{key}`{}", nearest.map(|known| format!(": did you mean `{known}`?")).unwrap_or_default())]
    UnknownKey {
        /// With the names of the tables around it.
        key: String,
        /// The known key that it looks like.
        nearest: Option<&'static str>,
    },
}

/// Reads `text`, which may hold these keys: by their dotted names, a table's own name among them.
///
/// # Errors
/// [`TomlError`]: the first thing that is wrong.
pub fn read_toml<T: DeserializeOwned>(text: &str, keys: &[&'static str]) -> Result<T, TomlError> {
    let syntax = |error: toml::de::Error| TomlError::Syntax(one_line(&error));
    let table: toml::Table = text.parse().map_err(syntax)?;
    if let Some(key) = unknown("", &table, keys) {
        let nearest = nearest(&key, keys);
        return Err(TomlError::UnknownKey { key, nearest });
    }
    // From the text and not from the table, so that a wrong value is reported with its line.
    toml::from_str(text).map_err(syntax)
}

/// A TOML error with its excerpt is several lines; the first says where, the last what.
fn one_line(error: &toml::de::Error) -> String {
    let text = error.to_string();
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let first = lines.next().unwrap_or_default().to_owned();
    match lines.next_back() {
        Some(last) => format!("{first}: {last}"),
        None => first,
    }
}

fn unknown(prefix: &str, table: &toml::Table, keys: &[&str]) -> Option<String> {
    table.iter().find_map(|(name, value)| {
        let key = format!("{prefix}{name}");
        if !keys.contains(&key.as_str()) {
            return Some(key);
        }
        let inner = format!("{key}.");
        match value {
            toml::Value::Table(table) => unknown(&inner, table, keys),
            toml::Value::Array(items) => {
                items.iter().filter_map(toml::Value::as_table).find_map(|table| unknown(&inner, table, keys))
            }
            _ => None,
        }
    })
}

/// The known key that a mistyped one most likely meant: the nearest by edits to the whole name, or, where somebody
/// forgot the table or put it into the wrong one, to its last part.
fn nearest(key: &str, keys: &[&'static str]) -> Option<&'static str> {
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let distance = |known: &str| {
        strsim::damerau_levenshtein(known, key).min(strsim::damerau_levenshtein(&last(known), &last(key)) + 1)
    };
    keys.iter().copied().min_by_key(|known| distance(known)).filter(|known| distance(known) <= 1 + key.len() / 3)
}
