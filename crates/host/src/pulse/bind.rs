//! Taking the places where clients look for a sound server.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::owner::Owner;

/// Why a place cannot be taken.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another sound server answers there.
    #[error(
        "another sound server (PulseAudio, PipeWire or a soundpost) answers on {0}: make this one its client with --attach, \
         give this one another place with --pulse-socket PATH, or none with --pulse off"
    )]
    Taken(PathBuf),
    /// The directory is not this user's alone.
    #[error("cannot put the sound server's socket into {dir}: {why}; name another place with --pulse-socket PATH")]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The system refuses.
    #[error("cannot open the sound server's socket {path}: {error}; name another place with --pulse-socket PATH")]
    Io {
        /// The place.
        path: PathBuf,
        /// The system's word.
        error: io::Error,
    },
    /// The TCP address cannot be had.
    #[error("cannot listen for sound clients on {address}: {error}; name another address with --pulse-tcp ADDR:PORT")]
    Tcp {
        /// The address.
        address: SocketAddr,
        /// The system's word.
        error: io::Error,
    },
}

/// Where clients look for a sound server: `pulse/native` in the user's runtime directory. None where the system has made
/// none for this user (`XDG_RUNTIME_DIR`); then clients find a server by `PULSE_SERVER` alone.
#[must_use]
pub fn usual_socket() -> Option<PathBuf> {
    let dir = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    dir.map(|dir| dir.join("pulse/native"))
}

/// A Unix socket, taken. Dropping it removes the socket's name.
#[derive(Debug)]
pub struct PulseSocket {
    pub(super) listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the name: another server's must not be removed.
    identity: Option<(u64, u64)>,
    /// In whose name it was made.
    owner: Owner,
}

impl PulseSocket {
    /// Takes the place `path`. Its directory is made where it is missing, for this user alone; a socket that nobody answers
    /// on was left by a server that was killed, and is replaced.
    ///
    /// # Errors
    /// [`BindError`].
    pub fn bind(path: &Path) -> Result<Self, BindError> {
        Self::bind_for(path, Owner::own())
    }

    /// The same for another user, with their rights: directory and socket are theirs.
    ///
    /// # Errors
    /// [`BindError`], also where this process may not act for them.
    pub fn bind_for(path: &Path, owner: Owner) -> Result<Self, BindError> {
        let refused = |error: io::Error| BindError::Io { path: path.into(), error };
        owner.act(|| Self::bind_as_owner(path, owner)).map_err(refused)?
    }

    fn bind_as_owner(path: &Path, owner: Owner) -> Result<Self, BindError> {
        let io = |error: io::Error| BindError::Io { path: path.into(), error };
        let path = std::path::absolute(path).map_err(io)?;
        let io = |error: io::Error| BindError::Io { path: path.clone(), error };
        if let Some(dir) = path.parent() {
            own_directory(dir)?;
        }
        match UnixStream::connect(&path) {
            Ok(_) => return Err(BindError::Taken(path)),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                // Nothing but a socket is removed: a mistyped path must not cost a file.
                let kind = std::fs::symlink_metadata(&path).map_err(io)?.file_type();
                if !std::os::unix::fs::FileTypeExt::is_socket(&kind) {
                    return Err(io(io::Error::other("it exists and is no socket")));
                }
                std::fs::remove_file(&path).map_err(io)?;
            }
            Err(_) => {}
        }
        let listener = UnixListener::bind(&path).map_err(io)?;
        // Who may come is decided by the peer's user and the cookie; the directory keeps all others away before that.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).map_err(io)?;
        listener.set_nonblocking(true).map_err(io)?;
        let identity = identity(&path);
        Ok(Self { listener, path, identity, owner })
    }

    /// Where it is, an absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PulseSocket {
    fn drop(&mut self) {
        // It is of no use to anybody now; if it stays, the next server removes it.
        let _ = self.owner.act(|| {
            if self.identity.is_some() && identity(&self.path) == self.identity {
                let _ = std::fs::remove_file(&self.path);
            }
        });
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// Makes the directory, or sees to it that the one that is there is this user's and nobody else's to write.
fn own_directory(dir: &Path) -> Result<(), BindError> {
    let refused = |why: String| BindError::Directory { dir: dir.into(), why };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| refused(error.to_string()))?;
    let found = std::fs::metadata(dir).map_err(|error| refused(error.to_string()))?;
    // Of a directory like /tmp, where all may write and nobody may remove what is another's, a socket is safe as well.
    let sticky = found.mode() & 0o1000 != 0;
    if found.uid() != rustix::process::geteuid().as_raw() && !sticky {
        return Err(refused("it belongs to another user".into()));
    }
    if found.mode() & 0o022 != 0 && !sticky {
        return Err(refused(format!("others can write to it (mode {:o})", found.mode() & 0o777)));
    }
    Ok(())
}

/// A TCP port, taken. Its clients need the cookie.
#[derive(Debug)]
pub struct PulseTcp {
    pub(super) listener: TcpListener,
    address: SocketAddr,
}

impl PulseTcp {
    /// Listens at `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// [`BindError::Tcp`].
    pub fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let tcp = |error: io::Error| BindError::Tcp { address, error };
        let listener = TcpListener::bind(address).map_err(tcp)?;
        listener.set_nonblocking(true).map_err(tcp)?;
        let address = listener.local_addr().map_err(tcp)?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_owner_keeps_its_place_and_a_dead_one_loses_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pulse/native");
        let first = PulseSocket::bind(&path).unwrap();
        let told = PulseSocket::bind(&path).unwrap_err().to_string();
        assert!(told.contains("--attach") && told.contains("--pulse-socket"), "{told}");
        let mode = std::fs::metadata(dir.path().join("pulse")).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o700);
        drop(first);
        assert!(!path.exists(), "a socket of its own is removed at the end");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "left by one that was killed");
        PulseSocket::bind(&path).unwrap();
    }

    #[test]
    fn nothing_but_a_socket_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("letter");
        std::fs::write(&path, "dear anna").unwrap();
        assert!(PulseSocket::bind(&path).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "dear anna");
    }

    #[test]
    fn a_directory_that_others_write_to_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let open = dir.path().join("open");
        std::fs::create_dir(&open).unwrap();
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
        let told = PulseSocket::bind(&open.join("native")).unwrap_err().to_string();
        assert!(told.contains("others can write"), "{told}");
    }

    #[test]
    fn the_name_of_another_server_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("native");
        let first = PulseSocket::bind(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        drop(first);
        assert!(path.exists());
    }
}
