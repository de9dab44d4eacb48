//! Memory that another process may be writing to at any time: seen as atomic words, and never as a slice of bytes.

use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use rustix::fs::{SealFlags, fcntl_get_seals, fstat};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// A memfd of fixed length, mapped for reading and writing. Unmapped when dropped.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<AtomicU64>,
    words: usize,
}

/// Bytes of a word.
const WORD: usize = size_of::<AtomicU64>();

impl Mapping {
    /// Maps all of a memfd that is sealed against shrinking and growing; other files are refused, since a file that can
    /// be cut short kills whoever reads behind its new end.
    ///
    /// # Errors
    /// `InvalidInput` for a file without these seals, or whose length is 0 or no multiple of 8; else the system's.
    pub(crate) fn of_sealed(memory: BorrowedFd<'_>) -> io::Result<Self> {
        let wanted = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        if !fcntl_get_seals(memory)?.contains(wanted) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the memory is not sealed against resizing"));
        }
        let length = usize::try_from(fstat(memory)?.st_size).unwrap_or(0);
        if length == 0 || !length.is_multiple_of(WORD) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the memory is empty, or no whole number of words",
            ));
        }
        // SAFETY: the address is null, so that the kernel chooses one where nothing of this process lies; the mapping is
        // new memory to Rust, to which no reference exists.
        let start = unsafe {
            mmap(std::ptr::null_mut(), length, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, memory, 0)
        }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, words: length / WORD })
    }

    /// All of it.
    pub(crate) fn words(&self) -> &[AtomicU64] {
        // SAFETY: `start` is where mmap put `words` words of readable and writable memory; a page's start is aligned to
        // a word. It stays mapped until `self` is dropped, which the answer's lifetime does not outlast, and backed by
        // memory, since the seals that were checked keep the file from ever being cut. Zeroed or not, every bit pattern is an
        // AtomicU64. That this and the other process write to it while the reference exists is what atomics allow; all of
        // this process's access goes through this method.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.words) }
    }
}

// SAFETY: the mapping belongs to the process, not to a thread: any thread may use and unmap it. What is in it is reached
// as atomics alone.
unsafe impl Send for Mapping {}

// SAFETY: by shared reference there is `words` alone, whose answer is atomics, made to be used from several threads.
unsafe impl Sync for Mapping {}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: these are the start and the length of a mapping that `of_sealed` has made and nobody else unmaps. No
        // reference into it is left: each borrowed from `self`.
        let unmapped = unsafe { munmap(self.start.as_ptr().cast(), self.words * WORD) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}
