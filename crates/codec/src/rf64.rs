//! Where the sound lies in a WAV file of more than 4 GiB.
//!
//! RF64 (EBU Tech 3306) and its successor BW64 (ITU-R BS.2088) are RIFF/WAVE files whose 32-bit sizes say "see the ds64
//! chunk". symphonia does not know them. This reads the few chunks that are needed to find the sound.

use std::io::{Read, Seek};

use crate::bytes::read;

/// The sound of an RF64 file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rf64 {
    /// Where its first byte lies in the file.
    pub start: u64,
    /// Bytes of sound, whole blocks. The file may be shorter.
    pub bytes: u64,
    /// Bytes in a block: a frame, for PCM. Never 0.
    pub block: u16,
}

impl Rf64 {
    /// Blocks of sound: frames, for PCM.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        self.bytes / u64::from(self.block.max(1))
    }
}

/// Chunks before the sound that are looked at, so that no file keeps this busy.
const MOST_CHUNKS: usize = 4_096;
/// A 32-bit size that stands in the ds64 chunk instead.
const IN_DS64: u32 = u32::MAX;

/// Finds the sound of an RF64 or BW64 file, from the file's start. `None` for other files, and for one whose chunks
/// before the sound make no sense. Bytes from outside: reads a few dozen of each chunk, however long it claims to be.
pub fn rf64(file: &mut (impl Read + Seek)) -> Option<Rf64> {
    let [r0, r1, r2, r3, _, _, _, _, form @ ..] = read::<12>(file, 0)?;
    if ![*b"RF64", *b"BW64"].contains(&[r0, r1, r2, r3]) || form != *b"WAVE" {
        return None;
    }
    let (mut sound, mut block) = (None, None);
    let mut at = 12_u64;
    for _ in 0..MOST_CHUNKS {
        let [k0, k1, k2, k3, size @ ..] = read::<8>(file, at)?;
        let (size, content) = (u32::from_le_bytes(size), at.checked_add(8)?);
        match &[k0, k1, k2, k3] {
            // RIFF size, size of the sound, count of samples: 64 bits each.
            b"ds64" => sound = Some(u64::from_le_bytes(read(file, content.checked_add(8)?)?)),
            b"fmt " => block = Some(u16::from_le_bytes(read(file, content.checked_add(12)?)?)),
            b"data" => {
                let bytes = if size == IN_DS64 { sound? } else { u64::from(size) };
                let block = block.filter(|block| *block > 0)?;
                content.checked_add(bytes)?;
                return Some(Rf64 { start: content, bytes: bytes - bytes % u64::from(block), block });
            }
            // Only the sound is ever so long.
            _ if size == IN_DS64 => return None,
            _ => {}
        }
        at = content.checked_add(u64::from(size))?.checked_add(u64::from(size % 2))?;
    }
    None
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn chunk(kind: &[u8; 4], size: u32, content: &[u8]) -> Vec<u8> {
        [&kind[..], &size.to_le_bytes(), content].concat()
    }

    /// s16 stereo, with `data` in the size of the sound.
    fn file(form: &[u8; 4], sound: u64, data: u32) -> Vec<u8> {
        let ds64 = [&100_u64.to_le_bytes()[..], &sound.to_le_bytes(), &0_u64.to_le_bytes(), &[0; 4]].concat();
        let fmt = [1, 0, 2, 0, 0x80, 0xBB, 0, 0, 0, 0xEE, 2, 0, 4, 0, 16, 0];
        [
            chunk(form, u32::MAX, b"WAVE"),
            chunk(b"ds64", 28, &ds64),
            chunk(b"odd ", 3, &[1, 2, 3, 0]),
            chunk(b"fmt ", 16, &fmt),
            chunk(b"data", data, &[]),
        ]
        .concat()
    }

    #[test]
    fn the_sound_is_found_with_its_long_size() {
        let start = 12 + 36 + 12 + 24 + 8;
        let long = Rf64 { start, bytes: 6_000_000_000, block: 4 };
        assert_eq!(rf64(&mut Cursor::new(file(b"RF64", 6_000_000_003, u32::MAX))), Some(long));
        assert_eq!(rf64(&mut Cursor::new(file(b"BW64", 6_000_000_000, u32::MAX))), Some(long));
        assert_eq!(long.blocks(), 1_500_000_000);
        // A size that fits stands where it always stood.
        assert_eq!(rf64(&mut Cursor::new(file(b"RF64", 8, 16))), Some(Rf64 { start, bytes: 16, block: 4 }));
    }

    #[test]
    fn other_files_are_none_and_hostile_ones_end() {
        assert_eq!(rf64(&mut Cursor::new(file(b"RIFF", 8, 8))), None);
        assert_eq!(rf64(&mut Cursor::new(Vec::new())), None);
        assert_eq!(rf64(&mut Cursor::new(file(b"RF64", u64::MAX, u32::MAX))), None, "it ends past the end of numbers");
        let whole = file(b"RF64", 6_000_000_000, u32::MAX);
        for at in 0..whole.len() {
            for byte in [0, 1, 0x7F, 0x80, 0xFF] {
                let mut bytes = whole.clone();
                bytes[at] = byte;
                let _ = rf64(&mut Cursor::new(bytes));
            }
            assert_eq!(rf64(&mut Cursor::new(&whole[..at])), None);
        }
        let many = [&whole[..48], &chunk(b"odd ", 0, &[]).repeat(100_000)].concat();
        assert_eq!(rf64(&mut Cursor::new(many)), None);
    }
}
