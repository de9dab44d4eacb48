//! Reading the parts of a file that matter, wherever they lie.

use std::io::{Read, Seek, SeekFrom};

/// The bytes at `at`; none where the file ends before them, or cannot be read.
pub(crate) fn read<const N: usize>(file: &mut (impl Read + Seek), at: u64) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    file.seek(SeekFrom::Start(at)).ok()?;
    file.read_exact(&mut bytes).ok()?;
    Some(bytes)
}
