//! A sound in which every frame says which one it is, so that a single lost or repeated frame is seen.

use std::path::Path;

/// Length of the sound in seconds.
pub(crate) fn seconds() -> u32 {
    std::env::var("SOUNDPOST_TEST_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(15)
}

/// Frame `index` of the sound: its low 16 bits on the left, one more than the rest on the right. Never silence.
fn frame(index: u32) -> (i16, i16) {
    (((index & 0xFFFF) as u16).cast_signed(), ((index >> 16) + 1) as i16)
}

/// The frame that this is, where it is one.
pub(crate) fn index(left: i16, right: i16) -> Option<u32> {
    let high = u32::try_from(right).ok()?.checked_sub(1)?;
    Some(high << 16 | u32::from(left.cast_unsigned()))
}

/// Writes `frames` frames as a WAV file of 16-bit stereo at 48 kHz.
pub(crate) fn write(path: &Path, frames: u32) {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(b"RIFF");
    bytes.extend_from_slice(&(36 + frames * 4).to_le_bytes());
    bytes.extend_from_slice(b"WAVEfmt ");
    bytes.extend_from_slice(&16_u32.to_le_bytes());
    for field in [1_u16, 2] {
        bytes.extend_from_slice(&field.to_le_bytes());
    }
    for field in [48_000_u32, 192_000] {
        bytes.extend_from_slice(&field.to_le_bytes());
    }
    for field in [4_u16, 16] {
        bytes.extend_from_slice(&field.to_le_bytes());
    }
    bytes.extend_from_slice(b"data");
    bytes.extend_from_slice(&(frames * 4).to_le_bytes());
    for k in 0..frames {
        let (left, right) = frame(k);
        bytes.extend_from_slice(&left.to_le_bytes());
        bytes.extend_from_slice(&right.to_le_bytes());
    }
    std::fs::write(path, bytes).unwrap();
}

/// What a listener heard of the sound.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Frames of the sound, in whatever order.
    pub(crate) frames: u32,
    /// Places where another frame came than the next one. A loop's end followed by its start is none.
    pub(crate) breaks: Vec<(u32, u32)>,
    /// Silent frames after the first frame of the sound and before the last.
    pub(crate) silent_inside: u32,
    /// Frames that are neither sound nor silence.
    pub(crate) strange: u32,
    pub(crate) first: Option<u32>,
    pub(crate) last: Option<u32>,
}

/// Judges 16-bit stereo sound against a sound of `length` frames that may loop.
pub(crate) fn judge(samples: impl IntoIterator<Item = (i16, i16)>, length: u32) -> Heard {
    let mut heard = Heard::default();
    let mut silent = 0;
    for (left, right) in samples {
        if (left, right) == (0, 0) {
            silent += u32::from(heard.last.is_some());
            continue;
        }
        let Some(index) = index(left, right).filter(|index| *index < length) else {
            heard.strange += 1;
            continue;
        };
        heard.silent_inside += std::mem::take(&mut silent);
        if let Some(last) = heard.last
            && index != (last + 1) % length
        {
            heard.breaks.push((last, index));
        }
        heard.first.get_or_insert(index);
        heard.last = Some(index);
        heard.frames += 1;
    }
    heard
}

impl Heard {
    /// Every frame from the first to the last, once and in order.
    pub(crate) fn is_whole(&self) -> bool {
        self.frames > 0 && self.breaks.is_empty() && self.silent_inside == 0 && self.strange == 0
    }
}

/// Frames of 16-bit stereo bytes.
pub(crate) fn frames(pcm: &[u8]) -> impl Iterator<Item = (i16, i16)> + '_ {
    pcm.chunks_exact(4).map(|f| (i16::from_le_bytes([f[0], f[1]]), i16::from_le_bytes([f[2], f[3]])))
}

/// The first frame of the sound in these bytes, and how many frames lie before it.
pub(crate) fn first_index(pcm: &[u8]) -> Option<(u32, usize)> {
    frames(pcm).enumerate().find_map(|(k, (left, right))| index(left, right).map(|index| (index, k)))
}

#[test]
fn the_judge_sees_a_single_frame() {
    let sound = |indices: &[u32]| indices.iter().map(|k| frame(*k)).collect::<Vec<_>>();
    let whole: Vec<u32> = (65_530..65_545).chain(0..5).collect();
    assert!(judge(sound(&whole), 65_545).is_whole());
    assert_eq!(judge(sound(&[1, 2, 4]), 10).breaks, [(2, 4)]);
    assert_eq!(judge(sound(&[1, 2, 2, 3]), 10).breaks, [(2, 2)]);
    let mut gap = sound(&[1, 2, 3]);
    gap.insert(1, (0, 0));
    assert_eq!(judge(gap, 10).silent_inside, 1);
    assert_eq!(judge([(5, 5)], 10).strange, 1);
}
