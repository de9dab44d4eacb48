//! Reading a file, into memory that is there already.

use std::io::Read;

/// Opens and reads.
pub(crate) fn commit() {
    let mut bytes = [0; 16];
    if let Ok(mut file) = std::fs::File::open("/proc/self/stat") {
        std::hint::black_box(file.read(&mut bytes).is_ok());
    }
}
