//! Making the file that a recording goes to.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a file for a recording cannot be made. Each is one line that says what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The folder is missing.
    #[error("cannot record to {path}: the folder {folder} does not exist; create it or choose another")]
    NoFolder {
        /// The file.
        path: PathBuf,
        /// Its folder.
        folder: PathBuf,
    },
    /// The path is a directory, a device, a pipe or a socket.
    #[error("cannot record to {path}: it is no regular file; give the name of a file, such as session.wav")]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// There is a file that is no recording.
    #[error(
        "cannot record to {path}: the file exists and is no WAV file, so it is kept; move it away or choose another name"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Another recording, or a player, uses the file.
    #[error("cannot record to {path}: the file is being played or recorded just now; choose another name")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// No permission.
    #[error("cannot record to {path}: no permission to write there; choose another folder or change its permissions")]
    Denied {
        /// The file.
        path: PathBuf,
    },
    /// No space, or a disk quota is used up.
    #[error("cannot record to {path}: no space left; free some or choose another disk")]
    NoSpace {
        /// The file.
        path: PathBuf,
    },
    /// Anything else.
    #[error("cannot record to {path}: {source}")]
    Other {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl CreateError {
    /// The error that a system's answer about `path` means.
    pub(crate) fn from_io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            ErrorKind::NotFound => {
                let folder = match path.parent() {
                    Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
                    _ => PathBuf::from("."),
                };
                Self::NoFolder { path, folder }
            }
            ErrorKind::IsADirectory => Self::NotAFile { path },
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Self::Denied { path },
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::NoSpace { path },
            _ => Self::Other { path, source },
        }
    }
}

/// Makes the file for a recording. An existing WAV file is replaced, as other recorders do; any other file with
/// something in it is kept and refused, because a mistyped name should not cost a document. The file stays locked (an
/// advisory lock, as far as the file system has such) so that neither a second recording nor a player of ours meets it.
///
/// # Errors
/// [`CreateError`].
pub fn create(path: &Path) -> Result<File, CreateError> {
    let fail = |source| CreateError::from_io(path, source);
    // Asked before opening: to open a pipe for writing can block for ever.
    if std::fs::metadata(path).is_ok_and(|meta| !meta.is_file()) {
        return Err(CreateError::NotAFile { path: path.to_owned() });
    }
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(fail)?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => return Err(CreateError::InUse { path: path.to_owned() }),
        // Without locks there (some network file systems), a lock is not what a recording should fail on.
        Ok(()) | Err(TryLockError::Error(_)) => {}
    }
    if !is_empty_or_wav(&file).map_err(fail)? {
        return Err(CreateError::Foreign { path: path.to_owned() });
    }
    file.set_len(0).map_err(fail)?;
    Ok(file)
}

fn is_empty_or_wav(file: &File) -> io::Result<bool> {
    let mut start = Vec::with_capacity(12);
    file.take(12).read_to_end(&mut start)?;
    let riff = start.starts_with(b"RIFF") || start.starts_with(b"RF64");
    Ok(start.is_empty() || (riff && start.ends_with(b"WAVE")))
}
