//! The cookie file: what a client shows that the kernel does not vouch for.

use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use soundpost_pulse::COOKIE;
use thiserror::Error;

/// Why there is no cookie.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CookieError {
    /// The file cannot be read, or a new one not be written.
    #[error("cannot use the cookie file {path}: {error}; name another with --pulse-cookie FILE")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's word.
        error: io::Error,
    },
    /// It is not what it should be.
    #[error("the cookie file {path} {why}; remove it, and a new one is made")]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// Where clients look for it: `$PULSE_COOKIE`, or `pulse/cookie` in the user's configuration directory.
#[must_use]
pub fn usual_cookie() -> Option<PathBuf> {
    let path = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    path("PULSE_COOKIE")
        .or_else(|| path("XDG_CONFIG_HOME").map(|dir| dir.join("pulse/cookie")))
        .or_else(|| path("HOME").map(|dir| dir.join(".config/pulse/cookie")))
}

/// The cookie in this file; a new one is made, readable for this user alone, where there is none.
///
/// # Errors
/// [`CookieError`].
pub fn load_or_create(path: &Path) -> Result<[u8; COOKIE], CookieError> {
    let refused = |error: io::Error| CookieError::Io { path: path.into(), error };
    let unfit = |why: String| CookieError::Unfit { path: path.into(), why };
    match std::fs::File::open(path) {
        Ok(mut file) => {
            let found = file.metadata().map_err(refused)?;
            if found.mode() & 0o077 != 0 {
                return Err(unfit(format!("can be read by others (mode {:o})", found.mode() & 0o777)));
            }
            if found.len() != 256 {
                return Err(unfit(format!("has {} bytes instead of 256", found.len())));
            }
            let mut cookie = [0; COOKIE];
            file.read_exact(&mut cookie).map_err(refused)?;
            Ok(cookie)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(path).map_err(refused),
        Err(error) => Err(refused(error)),
    }
}

fn create(path: &Path) -> io::Result<[u8; COOKIE]> {
    if let Some(dir) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).create(dir)?;
    }
    let mut cookie = [0; COOKIE];
    getrandom::fill(&mut cookie).map_err(io::Error::other)?;
    // Whole or not at all: a client that comes meanwhile must not find half of it.
    let part = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
    let written = file.write_all(&cookie).and_then(|()| std::fs::rename(&part, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    written.map(|()| cookie)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_cookie_is_made_once_for_this_user_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config/pulse/cookie");
        let made = load_or_create(&path).unwrap();
        assert_ne!(made, [0; COOKIE]);
        let found = std::fs::metadata(&path).unwrap();
        assert_eq!((found.mode() & 0o777, found.len()), (0o600, 256));
        assert_eq!(load_or_create(&path).unwrap(), made);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_cookie_that_others_can_read_or_that_is_cut_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cookie");
        load_or_create(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(load_or_create(&path).unwrap_err().to_string().contains("read by others (mode 644)"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, [1; 17]).unwrap();
        assert!(load_or_create(&path).unwrap_err().to_string().contains("17 bytes"));
    }
}
