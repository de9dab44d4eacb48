//! Passwords: read from a file, or made for one run.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why there is no password.
#[derive(Debug, Error)]
pub(crate) enum PasswordError {
    #[error("cannot read the password file {path}: {error}")]
    Read { path: PathBuf, error: std::io::Error },
    #[error("the password file {path} has an empty first line: write the password there")]
    Empty { path: PathBuf },
    #[error("the system gives no random numbers to make a password from: {0}")]
    Random(getrandom::Error),
}

/// The first line of a file, without its line ending. The rest of the file may hold notes.
pub(crate) fn from_file(path: &Path) -> Result<String, PasswordError> {
    let text = std::fs::read_to_string(path).map_err(|error| PasswordError::Read { path: path.into(), error })?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(PasswordError::Empty { path: path.into() }),
    }
}

/// A new password of 80 random bits, in letters and digits that are hard to mistake for one another and mean nothing
/// to a shell: `k7wm-3tqa-x9fh-e2cd`.
pub(crate) fn make() -> Result<String, PasswordError> {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random).map_err(PasswordError::Random)?;
    let mut password = String::with_capacity(19);
    for (k, byte) in random.iter().enumerate() {
        if k > 0 && k % 4 == 0 {
            password.push('-');
        }
        // 32 letters divide 256 evenly, so every one is as likely as the others.
        password.push(ALPHABET.get(usize::from(byte % 32)).copied().map_or('x', char::from));
    }
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_passwords_differ_and_need_no_quotes() {
        let (a, b) = (make().unwrap(), make().unwrap());
        assert_ne!(a, b);
        assert_eq!(a.len(), 19);
        assert!(a.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
    }

    #[test]
    fn only_the_first_line_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        std::fs::write(&path, "pass word \r\nnote").unwrap();
        assert_eq!(from_file(&path).unwrap(), "pass word ");
        std::fs::write(&path, "\nsecret").unwrap();
        assert!(from_file(&path).unwrap_err().to_string().contains("empty first line"));
    }
}
