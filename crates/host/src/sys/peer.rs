//! Who is at the other end of a Unix socket (unix(7), SO_PEERCRED).

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// The process and the user that connected, as the kernel noted them then. The process is 0 where it has no number in
/// this process's PID namespace (for which reason this is not rustix's: its `Pid` cannot be 0).
///
/// # Errors
/// The system's, for a descriptor that is no Unix socket.
pub(crate) fn peer(socket: BorrowedFd<'_>) -> io::Result<(u32, u32)> {
    let mut found = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = libc::socklen_t::try_from(size_of::<libc::ucred>()).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open while it is borrowed. `found` is a `struct ucred`, plain integers that any bytes
    // are valid for; the kernel writes at most `length` bytes to it, its size, and the count to `length`. Both live until
    // the call returns, and the kernel keeps neither pointer.
    let answer = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            std::ptr::from_mut(&mut found).cast(),
            std::ptr::from_mut(&mut length),
        )
    };
    if answer != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((u32::try_from(found.pid).unwrap_or(0), found.uid))
}
