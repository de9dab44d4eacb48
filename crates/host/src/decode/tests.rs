use soundpost_core::{ChannelLayout, SampleFormat, SampleRate};

use super::*;
use crate::wav::{self, WavFormat, WavWriter};

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(name)
}

fn all(file: &mut AudioFile) -> Result<Vec<u8>, (Vec<u8>, DecodeError)> {
    let mut bytes = Vec::new();
    loop {
        match file.next_block() {
            Ok(Some(block)) => bytes.extend(block),
            Ok(None) => return Ok(bytes),
            Err(error) => return Err((bytes, error)),
        }
    }
}

fn format(sample: SampleFormat, rate: u32) -> Format {
    Format { sample, rate: SampleRate::new(rate).unwrap(), layout: ChannelLayout::STEREO }
}

/// A WAV file of our own writer, with these bytes of sound.
fn wav(dir: &tempfile::TempDir, format: Format, sound: &[u8]) -> PathBuf {
    let path = dir.path().join("a.wav");
    let mut writer = WavWriter::new(wav::create(&path).unwrap(), WavFormat::try_from(format).unwrap()).unwrap();
    writer.append(sound).unwrap();
    writer.checkpoint().unwrap();
    path
}

/// Bytes without a pattern, the same each time.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    })
    .take(len)
    .collect()
}

#[test]
fn pcm_comes_back_bit_for_bit_in_every_format_of_a_recording() {
    for sample in [SampleFormat::U8, SampleFormat::S16, SampleFormat::S24, SampleFormat::S32, SampleFormat::F32] {
        for channels in 1..=8 {
            let layout = ChannelLayout::new(channels, 0).unwrap();
            let format = Format { sample, rate: SampleRate::HZ_44100, layout };
            let mut sound = noise(format.frame_bytes() * 5_003);
            if sample == SampleFormat::F32 {
                // Any number within ±1: not every pattern of bits is one.
                sound = sound.iter().flat_map(|byte| (f32::from(*byte) / 256.0 - 0.5).to_le_bytes()).collect();
                sound.truncate(format.frame_bytes() * 5_003);
            }
            let dir = tempfile::tempdir().unwrap();
            let mut file = AudioFile::open(wav(&dir, format, &sound)).unwrap();
            assert_eq!(file.format(), format);
            assert_eq!(file.length(), Some(5_003));
            assert!(all(&mut file).unwrap() == sound, "{format}");
        }
    }
}

#[test]
fn flac_is_the_same_bits_as_the_wav_file_it_was_made_from() {
    let mut flac = AudioFile::open(testdata("noise.flac")).unwrap();
    let mut wav = AudioFile::open(testdata("noise-s16.wav")).unwrap();
    assert_eq!(flac.format(), format(SampleFormat::S16, 48_000));
    assert_eq!(flac.codec(), "flac");
    assert!(all(&mut flac).unwrap() == all(&mut wav).unwrap());
}

#[test]
fn lossy_files_have_the_length_and_the_place_of_the_original() {
    let mut wav = AudioFile::open(testdata("noise-s16.wav")).unwrap();
    let frames = wav.length().unwrap();
    let original = mono(&all(&mut wav).unwrap(), SampleFormat::S16);
    for name in ["noise.mp3", "noise.ogg", "noise.m4a"] {
        let mut file = AudioFile::open(testdata(name)).unwrap();
        assert_eq!(file.format(), format(SampleFormat::F32, 48_000), "{name}");
        let sound = all(&mut file).unwrap();
        let sound = mono(&sound, SampleFormat::F32);
        assert_eq!(sound.len() as u64, frames, "{name}: encoder delay and padding are left out");
        assert_eq!(lag(&original, &sound), 0, "{name}");
    }
}

#[test]
fn a_loop_has_no_gap_and_repeats_nothing() {
    for name in ["noise-s24.wav", "noise.flac", "noise.mp3", "noise.ogg", "noise.m4a"] {
        let mut file = AudioFile::open(testdata(name)).unwrap();
        let first = all(&mut file).unwrap();
        assert!(file.next_block().unwrap().is_none(), "the end stays the end");
        file.rewind().unwrap();
        assert!(all(&mut file).unwrap() == first, "{name}");
    }
}

#[test]
fn what_cannot_be_played_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let open = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        AudioFile::open(path).unwrap_err()
    };
    assert!(matches!(AudioFile::open(dir.path().join("no.wav")).unwrap_err(), OpenError::NotFound { .. }));
    assert!(matches!(AudioFile::open(dir.path()).unwrap_err(), OpenError::Folder { .. }));
    assert!(matches!(open("a.txt", b"Dear Sir, no sound here."), OpenError::NotSound { .. }));
    assert!(matches!(open("a.wav", b""), OpenError::NotSound { .. }));
    assert!(matches!(open("b.wav", b"RF64\xff\xff\xff\xffWAVEds64"), OpenError::NotSound { .. }));
    let empty = wav(&dir, format(SampleFormat::S16, 48_000), b"");
    assert!(matches!(AudioFile::open(empty).unwrap_err(), OpenError::NoSound { .. }));
    let error = open("c.mp3", &[0xAA; 4096]);
    assert!(error.to_string().contains("cannot play"), "{error}");
    assert!(!error.to_string().contains('\n'));
}

#[test]
fn a_format_that_is_not_carried_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = wav(&dir, format(SampleFormat::S16, 48_000), &[1; 400]);
    let mut bytes = std::fs::read(&path).unwrap();
    let rate = bytes.windows(4).position(|window| window == 48_000_u32.to_le_bytes()).unwrap();
    bytes[rate..rate + 4].copy_from_slice(&4_000_u32.to_le_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let error = AudioFile::open(&path).unwrap_err();
    assert!(error.to_string().contains("4000 Hz"), "{error}");
}

#[test]
fn a_truncated_file_plays_up_to_there_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let sound = noise(4 * 48_000);
    let path = wav(&dir, format(SampleFormat::S16, 48_000), &sound);
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(0x50 + 4 * 30_000).unwrap();
    let mut file = AudioFile::open(&path).unwrap();
    let (played, error) = all(&mut file).unwrap_err();
    assert!(played.len() == 4 * 30_000 && played == sound[..played.len()], "{}", played.len() / 4);
    assert!(error.to_string().ends_with("played up to there"), "{error}");
    assert!(file.next_block().unwrap().is_none());

    let flac = std::fs::read(testdata("noise.flac")).unwrap();
    let path = dir.path().join("a.flac");
    std::fs::write(&path, &flac[..flac.len() / 2]).unwrap();
    let (played, error) = all(&mut AudioFile::open(&path).unwrap()).unwrap_err();
    assert!(played.len() > 4 * 24_000, "{error}: {}", played.len() / 4);
}

#[test]
fn hostile_bytes_end_in_an_error_or_in_bounded_sound() {
    let dir = tempfile::tempdir().unwrap();
    let mut dice = 7_u64;
    let mut roll = |sides: usize| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(dice >> 33).unwrap() % sides
    };
    for name in ["noise-s16.wav", "noise.flac", "noise.mp3", "noise.ogg", "noise.m4a"] {
        let whole = std::fs::read(testdata(name)).unwrap();
        let whole = &whole[..whole.len().min(24_000)];
        for _ in 0..40 {
            let mut bytes = whole.to_vec();
            for _ in 0..=roll(8) {
                // Headers are where the harm is done.
                let at = if roll(2) == 0 { roll(bytes.len()) } else { roll(512) };
                bytes[at] = [0, 0xFF, 0x7F, 0x80, roll(256) as u8][roll(5)];
            }
            bytes.truncate(bytes.len() - if roll(3) == 0 { roll(bytes.len()) } else { 0 });
            let path = dir.path().join(name);
            std::fs::write(&path, &bytes).unwrap();
            let Ok(mut file) = AudioFile::open(&path) else { continue };
            let mut total = 0_usize;
            while let Ok(Some(block)) = file.next_block() {
                assert!(block.len() <= 1 << 23, "a block is bounded");
                total += block.len();
                if total > 1 << 26 {
                    break;
                }
            }
        }
    }
}

#[test]
fn a_panic_of_a_decoder_is_an_error() {
    assert!(guarded(|| panic!("in a decoder")).is_none());
}

fn mono(bytes: &[u8], sample: SampleFormat) -> Vec<f32> {
    let value = |bytes: &[u8]| match sample {
        SampleFormat::S16 => f32::from(i16::from_le_bytes(bytes.try_into().unwrap())) / 32_768.0,
        _ => f32::from_le_bytes(bytes.try_into().unwrap()),
    };
    bytes.chunks_exact(2 * sample.bytes()).map(|frame| value(&frame[..sample.bytes()])).collect()
}

/// By how many frames `copy` comes later than `original`: where the two are most alike.
fn lag(original: &[f32], copy: &[f32]) -> i64 {
    let (from, len) = (20_000_i64, 8_000);
    let alike = |lag: i64| -> f32 {
        let at = |at: i64| usize::try_from(at).unwrap();
        original[at(from)..at(from + len)]
            .iter()
            .zip(&copy[at(from + lag)..at(from + lag + len)])
            .map(|(a, b)| a * b)
            .sum()
    };
    (-2_500..=2_500).max_by(|a, b| alike(*a).total_cmp(&alike(*b))).unwrap()
}

/// Makes an RF64 file of one of our recordings: the header of a file past 4 GiB, around a few frames.
fn make_rf64(path: &Path, sound: u64) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[..8].copy_from_slice(b"RF64\xff\xff\xff\xff");
    bytes[12..16].copy_from_slice(b"ds64");
    bytes[20..28].copy_from_slice(&(sound + 72).to_le_bytes());
    bytes[28..36].copy_from_slice(&sound.to_le_bytes());
    for name in [b"fact", b"data"] {
        if let Some(at) = bytes.windows(4).position(|four| four == name) {
            let size = if name == b"fact" { at + 8 } else { at + 4 };
            bytes[size..size + 4].fill(0xFF);
        }
    }
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn recordings_past_4_gib_are_played_to_their_last_frame_and_again() {
    for sample in [SampleFormat::U8, SampleFormat::S16, SampleFormat::S24, SampleFormat::S32] {
        // Whole packets of the decoder, some more, less than one; nothing behind the sound, and something.
        for (frames, behind) in [(2 * 1_152, 0), (5_003, 0), (100, 0), (5_003, 50_000)] {
            let format = format(sample, 44_100);
            let sound = noise(format.frame_bytes() * frames);
            let dir = tempfile::tempdir().unwrap();
            let path = wav(&dir, format, &sound);
            make_rf64(&path, sound.len() as u64);
            let mut bytes = std::fs::read(&path).unwrap();
            bytes.extend(vec![0x55; behind]);
            std::fs::write(&path, bytes).unwrap();
            let mut file = AudioFile::open(&path).unwrap();
            assert_eq!((file.format(), file.length()), (format, Some(frames as u64)));
            assert!(all(&mut file).unwrap() == sound, "{sample:?} {frames} {behind}");
            file.rewind().unwrap();
            assert!(all(&mut file).unwrap() == sound, "{sample:?} {frames} {behind}, again");
        }
    }
}

#[test]
fn a_recording_past_4_gib_that_is_cut_short_says_so() {
    let format = format(SampleFormat::S16, 48_000);
    let dir = tempfile::tempdir().unwrap();
    let sound = noise(format.frame_bytes() * 5_003);
    let path = wav(&dir, format, &sound);
    make_rf64(&path, 6_000_000_000);
    let mut file = AudioFile::open(&path).unwrap();
    assert_eq!(file.length(), Some(1_500_000_000));
    let (played, error) = all(&mut file).unwrap_err();
    assert!(sound.starts_with(&played) && played.len() > 4_000 * 4, "{}", played.len());
    assert!(error.to_string().contains("ends before it should"), "{error}");
}
