//! Where an RF64 file has its sound: few reads however many chunks the file claims, and an answer that makes sense.

use std::io::Cursor;

use soundpost_codec::rf64 as read;

use super::Counted;

/// Reads that a file may cost: two for each of 4,096 chunks, and a few more.
const MOST_READS: usize = 10_000;

/// Looks for the sound twice, counting.
pub fn rf64(data: &[u8]) {
    let mut file = Counted { inner: Cursor::new(data), reads: 0 };
    let first = read(&mut file);
    assert!(file.reads <= MOST_READS, "{} reads for {} bytes", file.reads, data.len());
    assert_eq!(read(&mut Cursor::new(data)), first);
    if let Some(sound) = first {
        assert!(sound.block > 0 && sound.bytes.is_multiple_of(u64::from(sound.block)), "{sound:?}");
        assert_eq!(sound.blocks() * u64::from(sound.block), sound.bytes);
        assert!(sound.start.checked_add(sound.bytes).is_some(), "{sound:?}");
        // The header of the sound has been read: it lies within the file.
        assert!(
            usize::try_from(sound.start).is_ok_and(|start| start <= data.len()),
            "{sound:?} in {} bytes",
            data.len()
        );
    }
}
