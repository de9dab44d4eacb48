//! The system's users (getpwnam_r(3), which asks whatever the system keeps them in).

use std::ffi::CStr;
use std::io;

/// Room for the strings of an entry; getpwnam_r(3) says when it is too little.
const ROOM: usize = 64 * 1024;

/// Number and first group of the user of this name; none where there is no such user.
///
/// # Errors
/// The system's.
pub(crate) fn user(name: &CStr) -> io::Result<Option<(u32, u32)>> {
    let mut entry = std::mem::MaybeUninit::<libc::passwd>::uninit();
    let mut room: Vec<libc::c_char> = vec![0; ROOM];
    let mut found: *mut libc::passwd = std::ptr::null_mut();
    // SAFETY: `name` ends at a zero. `entry` has room for a `struct passwd` and `room` for as many bytes as is said; both,
    // like `found`, live until the call returns and are this call's alone; the C library's
    // function keeps none of the pointers (that is what `_r` says).
    let answer =
        unsafe { libc::getpwnam_r(name.as_ptr(), entry.as_mut_ptr(), room.as_mut_ptr(), room.len(), &raw mut found) };
    match answer {
        // The answers by which different systems say that there is none (the manual's list).
        0 | libc::ENOENT | libc::ESRCH | libc::EBADF | libc::EPERM if found.is_null() => Ok(None),
        0 => {
            // SAFETY: the call succeeded and `found` is not null: it points to `entry`, which is filled in then. Only
            // its numbers are read; its pointers into `room` are not followed.
            let entry = unsafe { entry.assume_init_ref() };
            Ok(Some((entry.pw_uid, entry.pw_gid)))
        }
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_known_everywhere_and_strangers_nowhere() {
        assert_eq!(user(c"root").unwrap(), Some((0, 0)));
        assert_eq!(user(c"no-such-user-anywhere").unwrap(), None);
        assert_eq!(user(c"").unwrap(), None);
    }
}
