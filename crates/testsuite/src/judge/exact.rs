//! Sample by sample, for chains that change nothing.

use std::collections::HashMap;

use soundpost_core::{FrameCount, FramePosition};

use super::NotFound;

/// Frames that have to agree before two places count as the same.
const WINDOW: usize = 12;

/// Of these, so many have to differ from each other: silence and held values are everywhere and prove nothing.
const DISTINCT: usize = 8;

/// Every so many frames of the played signal one window is remembered.
const STEP: usize = 16;

/// The same moment in both signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Frames since the start of the played signal.
    pub played: FramePosition,
    /// Frames since the start of what was heard.
    pub heard: FramePosition,
}

/// Where what was heard does not go on as it was played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Break {
    /// The first frame that is not as expected.
    pub at: Place,
    /// Played frames that were not heard.
    pub lost: FrameCount,
    /// Heard frames that were not played, or had been heard before.
    pub inserted: FrameCount,
    /// Frames heard in place of as many others.
    pub altered: FrameCount,
    /// Of the inserted and altered frames, those that are silent.
    pub silent: FrameCount,
}

/// The verdict on a chain that should change nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exact {
    /// The first frame that agrees.
    pub first: Place,
    /// The place after the last frame that agrees.
    pub end: Place,
    /// Frames that agree.
    pub matching: u64,
    /// Everything between `first` and `end` that does not.
    pub breaks: Vec<Break>,
    /// Played frames with sound in them before `first`.
    pub unheard_before: u64,
    /// Played frames with sound in them after `end`.
    pub unheard_after: u64,
    /// Heard frames before `first` and after `end` that are not silent.
    pub foreign: u64,
}

impl Exact {
    /// Played frames that were not heard, between the first and the last that were.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.breaks.iter().map(|at| u64::from(at.lost.get())).sum()
    }

    /// Heard frames that were not played, between the first and the last that were.
    #[must_use]
    pub fn inserted(&self) -> u64 {
        self.breaks.iter().map(|at| u64::from(at.inserted.get())).sum()
    }

    /// Frames heard with other samples than played.
    #[must_use]
    pub fn altered(&self) -> u64 {
        self.breaks.iter().map(|at| u64::from(at.altered.get())).sum()
    }

    /// Silent frames inside that were not played as silence.
    #[must_use]
    pub fn silent(&self) -> u64 {
        self.breaks.iter().map(|at| u64::from(at.silent.get())).sum()
    }

    /// Whether nothing was lost, put in or altered from the first heard frame to the last.
    #[must_use]
    pub fn is_flawless(&self) -> bool {
        self.breaks.is_empty() && self.foreign == 0
    }

    /// Whether it is flawless and all of the played sound was heard.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.is_flawless() && self.unheard_before == 0 && self.unheard_after == 0
    }
}

/// Compares 16-bit interleaved stereo, frame by frame.
///
/// # Errors
/// [`NotFound`] where no stretch of a dozen frames agrees.
pub fn exact(played: &[i16], heard: &[i16]) -> Result<Exact, NotFound> {
    let (played, heard) = (frames(played), frames(heard));
    if heard.iter().all(|frame| is_silent(*frame)) {
        return Err(NotFound::Silence);
    }
    let index = Index::of(&played);
    let Some(start) = index.find(&heard, 0) else {
        let swapped: Vec<Frame> = heard.iter().map(|&[left, right]| [right, left]).collect();
        return Err(if index.find(&swapped, 0).is_some() { NotFound::Swapped } else { NotFound::Other });
    };
    Ok(walk(&index, &heard, start))
}

type Frame = [i16; 2];

/// A pair of indices, into the played and the heard frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct At {
    played: usize,
    heard: usize,
}

impl At {
    fn place(self) -> Place {
        Place { played: position(self.played), heard: position(self.heard) }
    }

    fn moved(self, frames: usize) -> Self {
        Self { played: self.played + frames, heard: self.heard + frames }
    }
}

fn walk(index: &Index<'_>, heard: &[Frame], start: At) -> Exact {
    let played = index.played;
    let (mut at, mut matching, mut breaks) = (start, 0_u64, Vec::new());
    let end = loop {
        let run = agreeing(played, heard, at);
        matching += count(run);
        at = at.moved(run);
        let Some(next) = resume(index, heard, at) else { break at };
        breaks.push(what_happened(played, heard, at, next));
        at = next;
    };
    let sounding =
        |frames: Option<&[Frame]>| count(frames.unwrap_or_default().iter().filter(|frame| !is_silent(**frame)).count());
    Exact {
        first: start.place(),
        end: end.place(),
        matching,
        breaks,
        unheard_before: sounding(played.get(..start.played)),
        unheard_after: sounding(played.get(end.played..)),
        foreign: sounding(heard.get(..start.heard)) + sounding(heard.get(end.heard..)),
    }
}

/// Frames from `at` on that agree.
fn agreeing(played: &[Frame], heard: &[Frame], at: At) -> usize {
    let played = played.get(at.played..).unwrap_or_default();
    let heard = heard.get(at.heard..).unwrap_or_default();
    played.iter().zip(heard).take_while(|(played, heard)| played == heard).count()
}

/// Where the two agree again: the first place at or after `at`, in order of what was heard.
fn resume(index: &Index<'_>, heard: &[Frame], at: At) -> Option<At> {
    let last = heard.len().checked_sub(WINDOW)?;
    (at.heard..=last).find_map(|from| {
        let straight = at.moved(from - at.heard);
        if index.agrees(heard, straight) { Some(straight) } else { index.find_at(heard, from, at.heard) }
    })
}

fn what_happened(played: &[Frame], heard: &[Frame], at: At, next: At) -> Break {
    let strange = heard.get(at.heard..next.heard).unwrap_or_default();
    let silent = strange.iter().filter(|frame| is_silent(**frame)).count();
    let (lost, inserted, altered) = if let Some(skipped) = played.get(at.played..next.played) {
        let fell_silent = silent == strange.len() && !skipped.iter().all(|frame| is_silent(*frame));
        let altered = if fell_silent { 0 } else { strange.len().min(skipped.len()) };
        (skipped.len() - altered, strange.len() - altered, altered)
    } else {
        (0, strange.len() + (at.played - next.played), 0)
    };
    Break {
        at: at.place(),
        lost: FrameCount::from_usize(lost),
        inserted: FrameCount::from_usize(inserted),
        altered: FrameCount::from_usize(altered),
        silent: FrameCount::from_usize(silent),
    }
}

/// Windows of the played signal by what is in them; none where two of them are the same.
struct Index<'a> {
    played: &'a [Frame],
    places: HashMap<&'a [Frame], Option<usize>>,
}

impl<'a> Index<'a> {
    fn of(played: &'a [Frame]) -> Self {
        let mut places = HashMap::with_capacity(played.len() / STEP);
        for (number, window) in
            played.windows(WINDOW).enumerate().step_by(STEP).filter(|(_, window)| is_distinct(window))
        {
            places.entry(window).and_modify(|place| *place = None).or_insert(Some(number));
        }
        Self { played, places }
    }

    /// The first place at or after `from` of what was heard that is in the index.
    fn find(&self, heard: &[Frame], from: usize) -> Option<At> {
        (from..=heard.len().checked_sub(WINDOW)?).find_map(|at| self.find_at(heard, at, from))
    }

    /// The place of the window at `at`, followed back as far as the two agree, yet not before `from`.
    fn find_at(&self, heard: &[Frame], at: usize, from: usize) -> Option<At> {
        let played = (*self.places.get(heard.get(at..at + WINDOW)?)?)?;
        let before = self.played.get(..played)?.iter().rev().zip(heard.get(from..at)?.iter().rev());
        let back = before.take_while(|(played, heard)| played == heard).count();
        Some(At { played: played - back, heard: at - back })
    }

    /// Whether the two windows agree, and have enough in them for that to mean something.
    fn agrees(&self, heard: &[Frame], at: At) -> bool {
        let played = self.played.get(at.played..at.played + WINDOW);
        played.is_some() && played == heard.get(at.heard..at.heard + WINDOW) && played.is_some_and(is_distinct)
    }
}

fn is_distinct(window: &[Frame]) -> bool {
    let mut sorted = window.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    sorted.len() >= DISTINCT
}

fn is_silent(frame: Frame) -> bool {
    frame == [0, 0]
}

fn frames(samples: &[i16]) -> Vec<Frame> {
    samples.as_chunks().0.to_vec()
}

fn position(frames: usize) -> FramePosition {
    FramePosition::new(count(frames))
}

fn count(frames: usize) -> u64 {
    u64::try_from(frames).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::noise;
    use super::*;

    const FRAMES: usize = 20_000;

    fn played() -> Vec<Frame> {
        frames(&noise(1, FRAMES))
    }

    /// What is judged when `frames` come after 100 silent frames.
    fn judge(heard: &[Frame]) -> Result<Exact, NotFound> {
        let mut all = vec![[0, 0]; 100];
        all.extend(heard);
        exact(played().as_flattened(), all.as_flattened())
    }

    #[test]
    fn a_perfect_chain_is_complete() {
        let verdict = judge(&played()).unwrap();
        assert!(verdict.is_complete(), "{verdict:?}");
        assert_eq!(verdict.matching, 20_000);
        assert_eq!(verdict.first, At { played: 0, heard: 100 }.place());
        assert_eq!(verdict.end, At { played: FRAMES, heard: FRAMES + 100 }.place());
    }

    #[test]
    fn one_lost_frame_is_counted_where_it_was() {
        for place in [37, 5_000, 5_001, 9_999] {
            let mut heard = played();
            heard.remove(place);
            let verdict = judge(&heard).unwrap();
            assert_eq!((verdict.lost(), verdict.inserted(), verdict.altered()), (1, 0, 0), "{verdict:?}");
            assert_eq!(verdict.breaks[0].at.played, position(place));
            assert!(!verdict.is_flawless());
        }
    }

    #[test]
    fn one_inserted_frame_is_counted() {
        let mut heard = played();
        heard.insert(7_000, [1, -1]);
        let verdict = judge(&heard).unwrap();
        assert_eq!((verdict.lost(), verdict.inserted(), verdict.altered()), (0, 1, 0), "{verdict:?}");
        let mut heard = played();
        heard.insert(7_000, heard[7_000]);
        let verdict = judge(&heard).unwrap();
        assert_eq!((verdict.lost(), verdict.inserted(), verdict.altered()), (0, 1, 0), "{verdict:?}");
    }

    #[test]
    fn one_altered_sample_is_counted() {
        let mut heard = played();
        heard[7_000][1] ^= 1;
        let verdict = judge(&heard).unwrap();
        assert_eq!((verdict.lost(), verdict.inserted(), verdict.altered()), (0, 0, 1), "{verdict:?}");
        assert_eq!(verdict.matching, 19_999);
    }

    #[test]
    fn a_dropout_is_silence_in_place_of_lost_frames() {
        let mut heard = played();
        heard[7_000..7_480].fill([0, 0]);
        let verdict = judge(&heard).unwrap();
        assert_eq!((verdict.lost(), verdict.inserted(), verdict.silent()), (480, 480, 480), "{verdict:?}");
        let mut heard = played();
        heard.splice(7_000..7_100, vec![[0, 0]; 480]);
        let verdict = judge(&heard).unwrap();
        assert_eq!((verdict.lost(), verdict.inserted(), verdict.silent()), (100, 480, 480), "{verdict:?}");
    }

    #[test]
    fn a_repeated_block_is_put_in() {
        let mut heard = played();
        let block = heard[6_520..7_000].to_vec();
        heard.splice(7_000..7_000, block);
        let verdict = judge(&heard).unwrap();
        assert_eq!((verdict.lost(), verdict.inserted(), verdict.altered()), (0, 480, 0), "{verdict:?}");
    }

    #[test]
    fn several_faults_are_told_apart() {
        let mut heard = played();
        heard.remove(15_000);
        heard[10_000][0] ^= 1;
        heard.insert(5_000, [9, 9]);
        let verdict = judge(&heard).unwrap();
        assert_eq!((verdict.breaks.len(), verdict.lost(), verdict.inserted(), verdict.altered()), (3, 1, 1, 1));
    }

    #[test]
    fn what_was_cut_off_at_either_end_is_counted_apart() {
        let verdict = judge(&played()[480..19_000]).unwrap();
        assert!(verdict.is_flawless() && !verdict.is_complete());
        assert_eq!((verdict.unheard_before, verdict.unheard_after), (480, 1_000));
    }

    #[test]
    fn foreign_sound_before_and_after_is_a_flaw() {
        let mut heard = vec![[5, 5]; 10];
        heard.extend(played());
        heard.extend([[7, 7]; 20]);
        let verdict = judge(&heard).unwrap();
        assert_eq!((verdict.breaks.len(), verdict.foreign), (0, 30));
        assert!(!verdict.is_flawless());
    }

    #[test]
    fn an_exchanged_channel_or_another_gain_is_not_found() {
        let swapped: Vec<Frame> = played().iter().map(|&[left, right]| [right, left]).collect();
        assert_eq!(judge(&swapped), Err(NotFound::Swapped));
        let softer: Vec<Frame> = played().iter().map(|&[left, right]| [left / 2, right / 2]).collect();
        assert_eq!(judge(&softer), Err(NotFound::Other));
        assert_eq!(judge(&[[0, 0]; 50]), Err(NotFound::Silence));
        assert_eq!(exact(&[], &[]), Err(NotFound::Silence));
    }
}
