//! What the loudspeaker plays, written down with the time at which it came.

use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use soundpost_core::SampleRate;

use super::process::{Output, Process, command};
use super::{EarError, LOOK, STARTING, wait_for};
use crate::judge::Pcm;

/// Below this nobody hears anything: -66 dBFS.
const AUDIBLE: u16 = 16;

/// Frames of `heard` that had come at `at`.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// When the recorder handed them over.
    pub at: Instant,
    /// Frames since the recording began, up to and with these.
    pub frames: usize,
}

/// A recording so far, or a whole one.
#[derive(Clone, Debug)]
pub struct Heard {
    /// 16-bit interleaved stereo.
    pub samples: Vec<i16>,
    /// Frames per second.
    pub rate: SampleRate,
    /// One for every piece in which sound came, some milliseconds each.
    pub marks: Vec<Mark>,
}

impl Heard {
    /// As the judge takes it.
    #[must_use]
    pub fn pcm(&self) -> Pcm<'_> {
        Pcm { samples: &self.samples, rate: self.rate }
    }

    /// The first frame that one could hear, if any.
    #[must_use]
    pub fn first_sound(&self) -> Option<usize> {
        self.samples.iter().position(|sample| is_audible(*sample)).map(|sample| sample / 2)
    }

    /// The frame after the last that one could hear.
    #[must_use]
    pub fn end_of_sound(&self) -> Option<usize> {
        self.samples.iter().rposition(|sample| is_audible(*sample)).map(|sample| sample / 2 + 1)
    }

    /// When a frame came; the end of the piece that it is in. None for one that has not come.
    #[must_use]
    pub fn came_at(&self, frame: usize) -> Option<Instant> {
        let piece = self.marks.partition_point(|mark| mark.frames <= frame);
        self.marks.get(piece).map(|mark| mark.at)
    }
}

/// A running recording.
#[derive(Debug)]
pub struct Recording {
    recorder: Process,
    heard: Arc<Mutex<Heard>>,
    reader: Option<JoinHandle<()>>,
}

impl Recording {
    pub(super) fn start(server: &str, rate: SampleRate, folder: &Path) -> Result<Self, EarError> {
        let mut command = command("parec");
        command
            .arg(format!("--server={server}"))
            .args(["--device=spk.monitor", "--raw", "--format=s16le", "--channels=2", "--latency-msec=5"])
            .arg(format!("--rate={}", rate.get()));
        let mut recorder = Process::start(&mut command, Output::Piped, &folder.join("parec.log"))?;
        let Some(stdout) = recorder.stdout() else { return Err(EarError::new("parec", "has no output")) };
        let heard = Arc::new(Mutex::new(Heard { samples: Vec::new(), rate, marks: Vec::new() }));
        let writer = Arc::clone(&heard);
        let reader = thread::spawn(move || write_down(stdout, &writer));
        let recording = Self { recorder, heard, reader: Some(reader) };
        match wait_for(STARTING, || (!recording.so_far().marks.is_empty()).then_some(())) {
            Some(()) => Ok(recording),
            None => Err(EarError::new("parec", "nothing came, not even silence")),
        }
    }

    /// What has been heard so far. Hold it for a moment only: the recorder waits meanwhile.
    pub fn so_far(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something audible from `frame` on; gives the frame at which it was, or none within `limit`.
    pub fn wait_for_sound(&self, frame: usize, limit: Duration) -> Option<usize> {
        wait_for(limit, || {
            let heard = self.so_far();
            let new = heard.samples.get(frame * 2..)?;
            new.iter().position(|sample| is_audible(*sample)).map(|sample| frame + sample / 2)
        })
    }

    /// Waits until nothing audible has come for as long as `quiet`; whether that happened within `limit`.
    pub fn wait_for_silence(&self, quiet: Duration, limit: Duration) -> bool {
        wait_for(limit, || {
            let heard = self.so_far();
            let frames = usize::try_from(heard.rate.frames_in_duration(quiet)).ok()?;
            let last = heard.samples.len().checked_sub(frames * 2)?;
            heard.samples.get(last..)?.iter().all(|sample| !is_audible(*sample)).then_some(())
        })
        .is_some()
    }

    /// Ends it.
    #[must_use]
    pub fn stop(mut self) -> Heard {
        self.close();
        self.so_far().clone()
    }

    fn close(&mut self) {
        // What the loudspeaker has just played is still on its way.
        thread::sleep(4 * LOOK);
        self.recorder.end();
        if let Some(reader) = self.reader.take() {
            // It ends with the pipe. Had it panicked, what it wrote down would still be there.
            let _ = reader.join();
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if self.reader.is_some() {
            self.close();
        }
    }
}

fn write_down(mut stdout: impl Read, heard: &Mutex<Heard>) {
    let mut bytes = [0; 16_384];
    let mut kept = 0;
    while let Some(space) = bytes.get_mut(kept..)
        && let Ok(read) = stdout.read(space)
        && read > 0
    {
        let at = Instant::now();
        let filled = kept + read;
        // A pipe cuts where it likes; half a frame waits for its other half.
        let whole = filled - filled % 4;
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        let new = bytes.get(..whole).unwrap_or_default().as_chunks().0;
        heard.samples.extend(new.iter().map(|sample| i16::from_le_bytes(*sample)));
        let frames = heard.samples.len() / 2;
        heard.marks.push(Mark { at, frames });
        bytes.copy_within(whole..filled, 0);
        kept = filled - whole;
    }
}

fn is_audible(sample: i16) -> bool {
    sample.unsigned_abs() >= AUDIBLE
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pipe that gives three bytes at a time.
    struct Dripping<'a>(&'a [u8]);

    impl Read for Dripping<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let length = self.0.len().min(3);
            let (now, later) = self.0.split_at(length);
            buffer[..length].copy_from_slice(now);
            self.0 = later;
            Ok(length)
        }
    }

    #[test]
    fn frames_are_whole_however_the_pipe_cuts_them() {
        let heard = Mutex::new(Heard { samples: Vec::new(), rate: SampleRate::HZ_48000, marks: Vec::new() });
        write_down(Dripping(&[1, 0, 2, 0, 255, 255, 100, 0, 9]), &heard);
        let heard = heard.into_inner().unwrap();
        assert_eq!(heard.samples, [1, 2, -1, 100]);
        assert_eq!((heard.first_sound(), heard.end_of_sound()), (Some(1), Some(2)));
        assert_eq!(heard.came_at(0), heard.marks.iter().find(|mark| mark.frames == 1).map(|mark| mark.at));
        assert_eq!(heard.came_at(2), None);
    }
}
