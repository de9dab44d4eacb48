//! What is wrong with a sound file, in one line that says what to do.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use symphonia::core::errors::Error;
use thiserror::Error as ThisError;

/// Why a sound file cannot be played.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no such file.
    #[error("cannot play {path}: there is no such file; check the name")]
    NotFound {
        /// The file.
        path: PathBuf,
    },
    /// No permission.
    #[error("cannot play {path}: no permission to read it; change its permissions or play a copy")]
    Denied {
        /// The file.
        path: PathBuf,
    },
    /// A directory.
    #[error("cannot play {path}: it is a folder; give the name of a sound file in it")]
    Folder {
        /// The file.
        path: PathBuf,
    },
    /// Not a sound file that is known.
    #[error("cannot play {path}: not a WAV, FLAC, Ogg Vorbis, MP3 or AAC file; convert it to one of these")]
    NotSound {
        /// The file.
        path: PathBuf,
    },
    /// A known container with no sound in it.
    #[error("cannot play {path}: there is no sound in it; choose another file")]
    NoSound {
        /// The file.
        path: PathBuf,
    },
    /// A codec that is not known.
    #[error("cannot play {path}: its codec is not supported ({what}); convert it to WAV, FLAC, Ogg Vorbis, MP3 or AAC")]
    UnsupportedCodec {
        /// The file.
        path: PathBuf,
        /// What the decoder says.
        what: String,
    },
    /// A rate or number of channels that the engine does not carry.
    #[error("cannot play {path}: {unsupported}; convert it")]
    UnsupportedFormat {
        /// The file.
        path: PathBuf,
        /// What is not carried.
        unsupported: String,
    },
    /// Broken from the start.
    #[error("cannot play {path}: the file is damaged ({why}); get it anew or convert it")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The file is not what it was at the start.
    #[error("cannot play {path} again: the file has changed meanwhile; start anew")]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// Anything else that the system says.
    #[error("cannot play {path}: {source}")]
    Other {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl OpenError {
    pub(super) fn from_io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            ErrorKind::NotFound => Self::NotFound { path },
            ErrorKind::PermissionDenied => Self::Denied { path },
            ErrorKind::IsADirectory => Self::Folder { path },
            _ => Self::Other { path, source },
        }
    }

    /// What symphonia says while it looks for the container.
    pub(super) fn from_probe(path: &Path, error: Error) -> Self {
        match error {
            Error::IoError(source) if source.kind() == ErrorKind::UnexpectedEof => {
                Self::NotSound { path: path.to_owned() }
            }
            Error::IoError(source) => Self::from_io(path, source),
            Error::Unsupported(_) => Self::NotSound { path: path.to_owned() },
            other => Self::Damaged { path: path.to_owned(), why: other.to_string() },
        }
    }

    /// What symphonia says when it is asked for a decoder.
    pub(super) fn from_codec(path: &Path, error: Error) -> Self {
        Self::UnsupportedCodec { path: path.to_owned(), what: error.to_string() }
    }
}

/// A file that cannot be read to its end.
#[derive(Debug, ThisError)]
#[error("{path} is damaged ({why}): played up to there")]
pub struct DecodeError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub why: String,
}
