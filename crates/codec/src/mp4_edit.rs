//! Which part of an MP4 file's sound is meant to be heard.
//!
//! An AAC encoder puts priming frames before the sound and fills up the last packet. MP4 says so in an edit list
//! (ISO/IEC 14496-12, 8.6.5 and 8.6.6), which symphonia does not apply. This reads the few boxes that are needed.

use std::io::{Read, Seek, SeekFrom};

use crate::bytes::read;

/// The part that is heard, in frames of the sound track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Frames that are left out at the start.
    pub skip: u64,
    /// Frames that are heard from there on.
    pub play: u64,
}

/// Boxes of one level that are looked at, so that no file keeps this busy.
const MOST_BOXES: usize = 4_096;

/// Reads the edit list of the only sound track of an MP4 file, from its start. `None` for other files, for a file with
/// several sound tracks, and for an edit list that says more than "leave something out at both ends". Bytes from
/// outside: reads a few dozen of each box, however long it claims to be.
pub fn mp4_edit(file: &mut (impl Read + Seek)) -> Option<Edit> {
    let end = file.seek(SeekFrom::End(0)).ok()?;
    let top = boxes(file, 0, end)?;
    if top.first()?.kind != *b"ftyp" {
        return None;
    }
    let movie = children(file, find(&top, *b"moov")?)?;
    let movie_scale = time_scale(file, find(&movie, *b"mvhd")?)?;
    let mut sounds = Vec::new();
    for track in movie.iter().filter(|there| there.kind == *b"trak") {
        let track = children(file, track)?;
        let media = children(file, find(&track, *b"mdia")?)?;
        if is_sound(file, find(&media, *b"hdlr")?)? {
            sounds.push((track, time_scale(file, find(&media, *b"mdhd")?)?));
        }
    }
    let [(track, scale)] = sounds.as_slice() else { return None };
    let edits = children(file, find(track, *b"edts")?)?;
    let (duration, start) = only_entry(file, find(&edits, *b"elst")?)?;
    // The movie's ticks are usually longer than a frame: rounded up, so that nothing is cut off.
    let play = u128::from(duration).checked_mul(u128::from(*scale))?.div_ceil(u128::from(movie_scale));
    Some(Edit { skip: u64::try_from(start).ok()?, play: u64::try_from(play).ok()? })
}

/// A box: where its content lies.
#[derive(Clone, Copy, Debug)]
struct Place {
    kind: [u8; 4],
    start: u64,
    end: u64,
}

fn find(places: &[Place], kind: [u8; 4]) -> Option<&Place> {
    places.iter().find(|there| there.kind == kind)
}

fn children(file: &mut (impl Read + Seek), parent: &Place) -> Option<Vec<Place>> {
    boxes(file, parent.start, parent.end)
}

fn boxes(file: &mut (impl Read + Seek), start: u64, end: u64) -> Option<Vec<Place>> {
    let mut places = Vec::new();
    let mut at = start;
    while at.checked_add(8)? <= end && places.len() < MOST_BOXES {
        let [a, b, c, d, kind @ ..] = read::<8>(file, at)?;
        let (header, len) = match u32::from_be_bytes([a, b, c, d]) {
            0 => (8, end - at),
            1 => (16, u64::from_be_bytes(read(file, at + 8)?)),
            len => (8, u64::from(len)),
        };
        let next = at.checked_add(len)?;
        if len < header || next > end {
            return None;
        }
        places.push(Place { kind, start: at + header, end: next });
        at = next;
    }
    Some(places)
}

/// Of an mvhd or mdhd box: ticks per second, never 0.
fn time_scale(file: &mut (impl Read + Seek), place: &Place) -> Option<u32> {
    let [version, ..] = read::<4>(file, place.start)?;
    let scale = read(file, place.start + if version == 1 { 20 } else { 12 })?;
    Some(u32::from_be_bytes(scale)).filter(|scale| *scale != 0)
}

fn is_sound(file: &mut (impl Read + Seek), place: &Place) -> Option<bool> {
    Some(read::<4>(file, place.start + 8)? == *b"soun")
}

/// Of an elst box with one entry at normal speed: its length in the movie's ticks, its start in the track's.
fn only_entry(file: &mut (impl Read + Seek), place: &Place) -> Option<(u64, i64)> {
    let [version, _, _, _, count @ ..] = read::<8>(file, place.start)?;
    if u32::from_be_bytes(count) != 1 {
        return None;
    }
    let at = place.start + 8;
    let (duration, start, rate) = if version == 1 {
        (u64::from_be_bytes(read(file, at)?), i64::from_be_bytes(read(file, at + 8)?), read::<4>(file, at + 16)?)
    } else {
        let start = i32::from_be_bytes(read(file, at + 4)?);
        (u64::from(u32::from_be_bytes(read(file, at)?)), i64::from(start), read::<4>(file, at + 8)?)
    };
    (rate == [0, 1, 0, 0]).then_some((duration, start))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn boxed(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
        [&(content.len() as u32 + 8).to_be_bytes(), &kind[..], content].concat()
    }

    fn mp4(elst: &[u8]) -> Vec<u8> {
        let header = |scale: u32| [&[0; 12], &scale.to_be_bytes()[..], &[0; 8]].concat();
        let media = [boxed(b"mdhd", &header(48_000)), boxed(b"hdlr", b"\0\0\0\0\0\0\0\0soun")].concat();
        let track = [boxed(b"edts", &boxed(b"elst", elst)), boxed(b"mdia", &media)].concat();
        let movie = [boxed(b"mvhd", &header(1_000)), boxed(b"trak", &track)].concat();
        [boxed(b"ftyp", b"M4A "), boxed(b"free", b""), boxed(b"moov", &movie)].concat()
    }

    const ONE: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0x07, 0xD0, 0, 0, 4, 0, 0, 1, 0, 0];

    #[test]
    fn an_edit_list_says_what_is_heard() {
        assert_eq!(mp4_edit(&mut Cursor::new(mp4(ONE))), Some(Edit { skip: 1_024, play: 96_000 }));
        let long =
            [&[1, 0, 0, 0, 0, 0, 0, 1], &2_001_u64.to_be_bytes()[..], &7_i64.to_be_bytes(), &[0, 1, 0, 0]].concat();
        assert_eq!(mp4_edit(&mut Cursor::new(mp4(&long))), Some(Edit { skip: 7, play: 96_048 }));
    }

    #[test]
    fn what_is_more_than_an_edit_at_both_ends_is_left_alone() {
        let changed = |at: usize, byte: u8| {
            let mut elst = ONE.to_vec();
            elst[at] = byte;
            mp4_edit(&mut Cursor::new(mp4(&elst)))
        };
        assert_eq!(changed(7, 2), None, "two entries");
        assert_eq!(changed(12, 0xFF), None, "an empty edit");
        assert_eq!(changed(17, 2), None, "double speed");
        assert_eq!(mp4_edit(&mut Cursor::new(b"RIFF\0\0\0\0WAVE".to_vec())), None);
        assert_eq!(mp4_edit(&mut Cursor::new(Vec::new())), None);
    }

    #[test]
    fn hostile_boxes_end_in_nothing() {
        let whole = mp4(ONE);
        for at in 0..whole.len() {
            for byte in [0, 1, 0x7F, 0x80, 0xFF] {
                let mut bytes = whole.clone();
                bytes[at] = byte;
                let _ = mp4_edit(&mut Cursor::new(bytes));
            }
            let _ = mp4_edit(&mut Cursor::new(&whole[..at]));
        }
        let many = boxed(b"free", b"").repeat(100_000);
        assert_eq!(mp4_edit(&mut Cursor::new([boxed(b"ftyp", b""), many].concat())), None);
    }
}
