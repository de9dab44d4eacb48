//! Whose a session is on this machine, and doing things in their name.

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::process::{Gid, Uid, geteuid};

use super::text;
use crate::sys;

/// A user of this system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Their number.
    pub user: u32,
    /// Their first group.
    pub group: u32,
}

impl Owner {
    /// Who runs this process.
    #[must_use]
    pub fn own() -> Self {
        Self { user: geteuid().as_raw(), group: rustix::process::getegid().as_raw() }
    }

    /// The system's user of this name; none where it knows none.
    ///
    /// # Errors
    /// The system's, where it cannot tell.
    pub fn named(name: &str) -> io::Result<Option<Self>> {
        Ok(sys::user(&text(name))?.map(|(user, group)| Self { user, group }))
    }

    /// Whether this process may do things in their name.
    #[must_use]
    pub fn can_be_served(self) -> bool {
        geteuid().is_root() || self.user == geteuid().as_raw()
    }

    /// Does `work` with this user's rights alone, on a thread of its own: what they could not reach or write is not
    /// reached or written for them either, whatever they have put where the path leads.
    ///
    /// # Errors
    /// The system's, where it does not let this process act for them.
    pub(super) fn act<T: Send>(self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        if self.user == geteuid().as_raw() {
            return Ok(work());
        }
        let as_them = || -> io::Result<T> {
            let (user, group) = (Uid::from_raw(self.user), Gid::from_raw(self.group));
            // In Linux these change the calling thread alone.
            rustix::thread::set_thread_groups(&[group])?;
            rustix::thread::set_thread_res_gid(group, group, group)?;
            rustix::thread::set_thread_res_uid(user, user, user)?;
            Ok(work())
        };
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("soundpost-as-user".into()).spawn_scoped(scope, as_them)?;
            thread.join().map_err(|_| io::Error::other("acting for a user panicked"))?
        })
    }
}

/// Where another user's applications look for their sound server: in their runtime directory. Where the system has made
/// none for them, root makes a directory that they have for themselves.
///
/// # Errors
/// The system's.
pub fn socket_of(owner: Owner) -> io::Result<PathBuf> {
    place_of(owner, Path::new("/run/user"), Path::new("/run/soundpost"))
}

fn place_of(owner: Owner, runtime: &Path, own: &Path) -> io::Result<PathBuf> {
    let theirs = runtime.join(owner.user.to_string());
    if std::fs::symlink_metadata(&theirs).is_ok_and(|found| found.is_dir()) {
        return Ok(theirs.join("pulse/native"));
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o755).create(own)?;
    let dir = own.join(owner.user.to_string());
    match std::fs::DirBuilder::new().mode(0o700).create(&dir) {
        Ok(()) => std::os::unix::fs::lchown(&dir, Some(owner.user), Some(owner.group))?,
        // From an earlier start: whether it is theirs is looked at where the socket is made, with their rights.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    Ok(dir.join("pulse/native"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;
    use crate::pulse::PulseSocket;

    /// Root, or a reason printed.
    fn is_root() -> bool {
        let root = geteuid().is_root();
        if !root {
            eprintln!("SKIPPED: only root can act for other users");
        }
        root
    }

    const NOBODY: Owner = Owner { user: 65_534, group: 65_534 };

    #[test]
    fn a_place_made_for_a_user_is_theirs_alone() {
        if !is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let path = place_of(NOBODY, &dir.path().join("none"), &dir.path().join("own")).unwrap();
        let socket = PulseSocket::bind_for(&path, NOBODY).unwrap();
        for (part, mode) in [("own/65534", 0o700), ("own/65534/pulse", 0o700), ("own/65534/pulse/native", 0o777)] {
            let found = std::fs::metadata(dir.path().join(part)).unwrap();
            assert_eq!((found.uid(), found.mode() & 0o777), (65_534, mode), "{part}");
        }
        drop(socket);
        assert!(!path.exists());
        assert_eq!(place_of(NOBODY, &dir.path().join("none"), &dir.path().join("own")).unwrap(), path);
        std::fs::create_dir_all(dir.path().join("run/65534")).unwrap();
        let theirs = place_of(NOBODY, &dir.path().join("run"), &dir.path().join("own")).unwrap();
        assert_eq!(theirs, dir.path().join("run/65534/pulse/native"));
    }

    #[test]
    fn what_a_user_puts_in_the_way_gains_them_nothing() {
        if !is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let (theirs, roots) = (dir.path().join("theirs"), dir.path().join("roots"));
        for (path, owner) in [(&theirs, 65_534), (&roots, 0)] {
            std::fs::create_dir(path).unwrap();
            std::os::unix::fs::chown(path, Some(owner), Some(owner)).unwrap();
        }
        std::os::unix::fs::symlink(&roots, theirs.join("pulse")).unwrap();
        assert!(PulseSocket::bind_for(&theirs.join("pulse/native"), NOBODY).is_err());
        assert_eq!(std::fs::read_dir(&roots).unwrap().count(), 0);
    }
}
