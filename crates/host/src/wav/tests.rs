//! Byte layouts against expectations written by hand, from the chunk definitions of RIFF, WAVEFORMATEXTENSIBLE and
//! EBU Tech 3306.

use soundpost_core::{ChannelCount, ChannelLayout, Format, SampleFormat, SampleRate};

use super::*;

/// A sink that keeps the first bytes of a file, its length, and the order of writes; the rest is forgotten.
#[derive(Debug, Default)]
struct Start {
    kept: Vec<u8>,
    len: u64,
    writes: Vec<(u64, usize)>,
    full_at: Option<u64>,
}

const KEPT: usize = 256;

impl WavSink for Start {
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let end = offset + bytes.len() as u64;
        if self.full_at.is_some_and(|full| end > full) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.len = self.len.max(end);
        self.writes.push((offset, bytes.len()));
        for (at, byte) in (offset..).zip(bytes).take_while(|(at, _)| *at < KEPT as u64) {
            let at = at as usize;
            self.kept.resize(self.kept.len().max(at + 1), 0);
            self.kept[at] = *byte;
        }
        Ok(())
    }
}

fn format(sample: SampleFormat, rate: u32, channels: u16) -> Format {
    let layout = ChannelLayout::default_for(ChannelCount::new(channels).unwrap());
    Format { sample, rate: SampleRate::new(rate).unwrap(), layout }
}

fn writer(format: Format) -> WavWriter<Start> {
    WavWriter::new(Start::default(), WavFormat::try_from(format).unwrap()).unwrap()
}

/// Bytes from hexadecimal digits and quoted text: `"RIFF" 2C000000`.
fn bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for word in text.split_whitespace() {
        match word.strip_prefix('\'') {
            Some(name) => out.extend(name.replace('_', " ").bytes()),
            None => out.extend((0..word.len()).step_by(2).map(|at| u8::from_str_radix(&word[at..at + 2], 16).unwrap())),
        }
    }
    out
}

const JUNK: &str = "'JUNK 1C000000 00000000000000000000000000000000000000000000000000000000";

#[test]
fn s16_stereo_is_the_oldest_form() {
    let mut wav = writer(format(SampleFormat::S16, 48_000, 2));
    wav.append(&[1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
    wav.checkpoint().unwrap();
    let want = format!(
        "'RIFF 50000000 'WAVE {JUNK} 'fmt_ 10000000 0100 0200 80BB0000 00EE0200 0400 1000 'data 08000000 0102030405060708"
    );
    assert_eq!(wav.sink.kept, bytes(&want));
    assert_eq!(wav.sink.len, 0x50 + 8);
    assert_eq!(wav.frames(), 2);
}

#[test]
fn s24_mono_is_extensible_and_padded_to_an_even_length() {
    let mut wav = writer(format(SampleFormat::S24, 44_100, 1));
    wav.append(&[0xAA, 0xBB, 0xCC]).unwrap();
    wav.checkpoint().unwrap();
    let want = format!(
        "'RIFF 70000000 'WAVE {JUNK} 'fmt_ 28000000 FEFF 0100 44AC0000 CC040200 0300 1800 1600 1800 04000000 \
         0100000000001000800000AA00389B71 'fact 04000000 01000000 'data 03000000 AABBCC 00"
    );
    assert_eq!(wav.sink.kept, bytes(&want));
    // What comes next takes the pad's place.
    wav.append(&[0xDD, 0xEE, 0xFF]).unwrap();
    wav.checkpoint().unwrap();
    assert!(wav.sink.kept.ends_with(&bytes("'data 06000000 AABBCCDDEEFF")));
}

#[test]
fn float_stereo_has_a_fact_chunk() {
    let mut wav = writer(Format::DEFAULT);
    wav.append(&[0; 16]).unwrap();
    wav.checkpoint().unwrap();
    let want = format!(
        "'RIFF 66000000 'WAVE {JUNK} 'fmt_ 12000000 0300 0200 80BB0000 00DC0500 0800 2000 0000 \
         'fact 04000000 02000000 'data 10000000 00000000000000000000000000000000"
    );
    assert_eq!(wav.sink.kept, bytes(&want));
}

#[test]
fn float_surround_is_extensible_with_its_loudspeakers() {
    let wav = writer(format(SampleFormat::F32, 96_000, 6));
    let want = format!(
        "'RIFF 6C000000 'WAVE {JUNK} 'fmt_ 28000000 FEFF 0600 00770100 00282300 1800 2000 1600 2000 3F000000 \
         0300000000001000800000AA00389B71 'fact 04000000 00000000 'data 00000000"
    );
    assert_eq!(wav.sink.kept, bytes(&want), "a file without sound is valid too");
}

#[test]
fn past_4_gib_the_file_becomes_rf64_in_one_write() {
    let mut wav = writer(format(SampleFormat::S16, 48_000, 2));
    // The last even length that RIFF can say: its size counts all but the first 8 bytes.
    let last = u64::from(u32::MAX) - 1 - (0x50 - 8) - 2;
    wav.data = last - 4;
    wav.append(&[0; 4]).unwrap();
    wav.checkpoint().unwrap();
    assert!(wav.sink.kept.starts_with(b"RIFF"), "as long as the sizes fit, every reader can open it");
    wav.append(&[7; 4]).unwrap();
    let before = wav.sink.writes.len();
    wav.checkpoint().unwrap();
    let riff = last + 4 + 0x50 - 8;
    let (data, frames) = (last + 4, (last + 4) / 4);
    let hex = |n: u64| n.to_le_bytes().map(|b| format!("{b:02X}")).concat();
    let want = format!(
        "'RF64 FFFFFFFF 'WAVE 'ds64 1C000000 {} {} {} 00000000 'fmt_ 10000000 0100 0200 80BB0000 00EE0200 0400 1000 \
         'data FFFFFFFF",
        hex(riff),
        hex(data),
        hex(frames)
    );
    assert_eq!(wav.sink.kept, bytes(&want));
    assert_eq!(wav.sink.writes[before..], [(0, 0x50)], "a kill between two writes must not leave half of a switch");
}

#[test]
fn sound_is_written_before_the_header_that_counts_it() {
    let mut wav = writer(format(SampleFormat::U8, 8_000, 1));
    wav.append(&[0x80; 5]).unwrap();
    assert!(wav.sink.kept[0x50 - 4..].starts_with(&0_u32.to_le_bytes()), "not yet counted");
    wav.checkpoint().unwrap();
    wav.checkpoint().unwrap();
    assert_eq!(wav.sink.writes, [(0, 0x50), (0x50, 5), (0x55, 1), (0, 0x50)], "sound, pad, header; nothing twice");
}

#[test]
fn a_full_disk_leaves_a_valid_file_and_loses_no_count() {
    let mut wav = writer(format(SampleFormat::S16, 48_000, 1));
    wav.sink.full_at = Some(0x50 + 10);
    wav.append(&[1; 8]).unwrap();
    assert_eq!(wav.append(&[2; 8]).unwrap_err().kind(), io::ErrorKind::StorageFull);
    wav.checkpoint().unwrap();
    assert_eq!(wav.frames(), 4);
    wav.sink.full_at = None;
    wav.append(&[2; 8]).unwrap();
    wav.checkpoint().unwrap();
    assert!(wav.sink.kept.ends_with(&bytes("'data 10000000 0101010101010101 0202020202020202")));
}

#[test]
fn formats_that_wav_cannot_carry_are_refused() {
    let padded = format(SampleFormat::S24In32, 48_000, 2);
    assert_eq!(WavFormat::try_from(padded), Err(UnsupportedFormat(padded)));
}

#[test]
fn an_existing_recording_is_replaced_and_any_other_file_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.wav");
    std::fs::write(&path, b"RIFF\0\0\0\0WAVEold sound").unwrap();
    let file = create(&path).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 0);
    assert!(matches!(create(&path), Err(CreateError::InUse { .. })), "one recording at a time");
    drop(file);
    drop(create(&path).unwrap());

    let letter = dir.path().join("letter.txt");
    std::fs::write(&letter, b"Dear Sir").unwrap();
    assert!(matches!(create(&letter), Err(CreateError::Foreign { .. })));
    assert_eq!(std::fs::read(&letter).unwrap(), b"Dear Sir");
}

#[test]
fn what_cannot_be_created_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let error = create(dir.path()).unwrap_err();
    assert!(error.to_string().contains("give the name of a file"), "{error}");
    let error = create(&dir.path().join("missing/a.wav")).unwrap_err();
    assert!(error.to_string().contains("missing does not exist; create it"), "{error}");
    let error = create(std::path::Path::new("/dev/full")).unwrap_err();
    assert!(matches!(error, CreateError::NotAFile { .. }), "{error}");
    let error = CreateError::from_io(&dir.path().join("a.wav"), io::ErrorKind::StorageFull.into());
    assert!(error.to_string().contains("no space left"), "{error}");
}
