//! An MP4 file's edit list: few reads however long the file claims to be, and the same answer twice.

use std::io::Cursor;

use soundpost_codec::mp4_edit as read;

use super::Counted;

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
