//! An MP4 file's edit list: few reads however long the file claims to be, and the same answer twice.

use std::io::{Cursor, Read, Result, Seek, SeekFrom};

use soundpost_codec::mp4_edit as read;

/// Reads that a file may cost: a few for each box, of which each level has 4,096 at most, and a file of the fuzzer's
/// size a few hundred.
const MOST_READS: usize = 100_000;

/// Reads the edit list twice, counting.
pub fn mp4_edit(data: &[u8]) {
    let mut file = Counted { inner: Cursor::new(data), reads: 0 };
    let first = read(&mut file);
    assert!(file.reads <= MOST_READS, "{} reads for {} bytes", file.reads, data.len());
    assert_eq!(read(&mut Cursor::new(data)), first);
    // An answer needs a file type, a movie, a track and its boxes.
    assert!(first.is_none() || data.len() > 100, "{first:?} from {} bytes", data.len());
}

struct Counted<'a> {
    inner: Cursor<&'a [u8]>,
    reads: usize,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.reads += 1;
        self.inner.read(buffer)
    }
}

impl Seek for Counted<'_> {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        self.inner.seek(to)
    }
}
