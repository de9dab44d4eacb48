//! A file descriptor under the eyes of tokio.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Has the present tokio runtime watch `fd`, which belongs to the answer from here on.
///
/// # Errors
/// The system's, such as a descriptor that cannot be polled.
pub(crate) fn watch(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor has to be open, and to stay one and the same open file, for as long as the AsyncFd lives.
    // An OwnedFd is open until it is dropped, always answers with the same descriptor, and nobody else may close it; the
    // AsyncFd owns it, and lends it out by shared reference only, through which it can be neither closed nor replaced.
    let watched = unsafe { AsyncFd::register_with_interest(fd, interest) };
    watched.map_err(io::Error::from)
}
