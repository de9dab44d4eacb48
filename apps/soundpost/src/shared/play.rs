//! A file through a sound server.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use soundpost_host::decode::AudioFile;
use soundpost_host::pulse_client::{Client, Notice, Playback, PlaybackRequest, Ticket, Timing};

use super::bar::Bar;
use super::{TAKEN, TICK, connect, name_of, volume};
use crate::cli::PlayArgs;
use crate::exclusive::{Failure, interrupted, say};

/// Sound that may wait for the socket.
const BACKLOG: usize = 256 * 1024;
/// How often the server is asked where it is.
const ASK: Duration = Duration::from_millis(100);

/// Plays the file to its end, or until Ctrl-C; answers whether it came to its end.
///
/// # Errors
/// Whatever keeps it from playing to the end: one line that says what to do.
pub(crate) fn play(args: &PlayArgs) -> Result<bool, Failure> {
    let file = AudioFile::open(&args.file)?;
    let stop = interrupted()?;
    let mut client = connect(&args.server)?;
    if let Some(name) = &args.server.device
        && client.sink(Some(name))?.is_none()
    {
        let place = client.place();
        return Err(format!("{place} has no sink {name:?}: `pactl list short sinks` shows those that it has").into());
    }
    let format = file.format();
    let stream = client.open_playback(&PlaybackRequest {
        name: name_of(&args.file),
        format,
        sink: args.server.device.clone(),
        volume: volume(&args.server),
        latency: args.server.latency_msec.map(Duration::from_millis),
        fixed: false,
    })?;
    say(&format!("{}: {format}, into {} at {}", args.file.display(), stream.sink, client.place()));
    let bar = Bar::new(format, file.length());
    let mut playing =
        Playing { file, client, stream, bar, block: Vec::new(), at: 0, written: 0, heard: 0, ended: false };
    let result = playing.run(&stop);
    playing.bar.end();
    let complete = result?;
    let frames = playing.heard;
    say(&format!("{} {frames} frames", if complete { "played" } else { "interrupted after" }));
    Ok(complete)
}

struct Playing {
    file: AudioFile,
    client: Client,
    stream: Playback,
    bar: Bar,
    /// Sound from the file, and how much of it was sent.
    block: Vec<u8>,
    at: usize,
    /// Frames sent, and frames heard as far as the server has told.
    written: u64,
    heard: u64,
    /// The file has no more.
    ended: bool,
}

impl Playing {
    fn run(&mut self, stop: &AtomicBool) -> Result<bool, Failure> {
        let mut wanted = usize::try_from(self.stream.wanted)?;
        let mut drained: Option<Ticket> = None;
        let mut asked: Option<Ticket> = None;
        let mut last = Instant::now();
        loop {
            if stop.load(Ordering::Acquire) {
                // At once: what the server still has is not played.
                self.client.close_playback(self.stream.channel)?;
                return Ok(false);
            }
            wanted -= self.feed(wanted)?;
            if self.ended && drained.is_none() {
                drained = Some(self.client.drain(self.stream.channel)?);
            }
            if asked.is_none() && last.elapsed() >= ASK {
                asked = Some(self.client.ask_timing(self.stream.channel)?);
                last = Instant::now();
            }
            match self.client.next(TICK, None)? {
                Some(Notice::Wants { channel, bytes }) if channel == self.stream.channel => {
                    wanted = wanted.saturating_add(usize::try_from(bytes)?);
                }
                Some(Notice::Gone { channel }) if channel == self.stream.channel => return Err(TAKEN.into()),
                Some(Notice::Answer { ticket, answer }) if Some(ticket) == drained => {
                    answer.map_err(|reason| format!("the sound server does not play it to the end: {reason}"))?;
                    self.heard = self.written;
                    self.client.close_playback(self.stream.channel)?;
                    return Ok(true);
                }
                Some(Notice::Answer { ticket, answer }) if Some(ticket) == asked => {
                    asked = None;
                    self.locate(answer.ok().and_then(|answer| Timing::of(&answer)));
                }
                _ => {}
            }
            self.bar.show(self.heard);
        }
    }

    /// Sends at most `wanted` bytes, whole frames; answers how many.
    fn feed(&mut self, wanted: usize) -> Result<usize, Failure> {
        let format = self.file.format();
        let mut sent = 0;
        // A server may want more at once than its socket takes: as much as it says is not kept here.
        while !self.ended && self.client.unsent() < BACKLOG {
            if self.at == self.block.len() {
                self.block.clear();
                self.at = 0;
                match self.file.next_block()? {
                    Some(block) => self.block.extend_from_slice(block),
                    None => self.ended = true,
                }
            }
            let room = format.bytes_of(format.frames_in(wanted - sent));
            let rest = self.block.get(self.at..).unwrap_or_default();
            let now = rest.get(..room.min(rest.len()).min(BACKLOG)).unwrap_or_default();
            if now.is_empty() && !self.ended {
                break;
            }
            self.client.write(self.stream.channel, now)?;
            self.written += u64::from(format.frames_in(now.len()).get());
            self.bar.note(now, self.written);
            self.at += now.len();
            sent += now.len();
        }
        Ok(sent)
    }

    /// Works out what has been heard: what has left the stream's buffer, without what is between that and the ear.
    fn locate(&mut self, timing: Option<Timing>) {
        let Some(timing) = timing else { return };
        let format = self.file.format();
        let left = timing.read / u64::try_from(format.frame_bytes()).unwrap_or(1).max(1);
        let behind = format.rate.frames_in_duration(Duration::from_micros(timing.sink_micros));
        self.heard = self.heard.max(left.saturating_sub(behind)).min(self.written);
    }
}
