//! `soundpost record`: into a WAV file, from a sound server, or (here) exclusively from an endpoint.

use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use soundpost_core::FrameCount;
use soundpost_endpoint::DataFlow;
use soundpost_host::exclusive::ExclusiveClient;
use soundpost_host::wav::{self, WavFormat, WavWriter};

use crate::cli::RecordArgs;
use crate::exclusive::{Failure, Progress, TICK, interrupted, open, say};
use crate::shared;

/// How often the file's header is brought up to date: whatever ends the process, the file holds all but so much.
pub(crate) const CHECKPOINT: Duration = Duration::from_millis(500);

/// Records until Ctrl-C, or for the seconds that were asked for.
///
/// # Errors
/// Whatever keeps it from recording: one line that says what to do. What was recorded before is in the file.
pub(crate) fn run(args: &RecordArgs) -> Result<(), Failure> {
    let seconds = match args.seconds.map(Duration::try_from_secs_f64) {
        None => None,
        Some(Ok(time)) if !time.is_zero() => Some(time),
        Some(_) => return Err("--seconds has to be more than 0".into()),
    };
    if !args.exclusive.exclusive {
        return shared::record(args, seconds);
    }
    let stop = interrupted()?;
    let mut client = open(&args.exclusive, DataFlow::Capture)?;
    let format = client.record().format;
    let wav_format = WavFormat::try_from(format).map_err(|error| format!("{error}; a WAV file cannot hold it"))?;
    let mut wav = WavWriter::new(wav::create(&args.file)?, wav_format)?;
    say(&format!("{}: from {}, {format}; Ctrl-C ends it", args.file.display(), client.granted().endpoint));
    let limit = seconds.map(|time| format.rate.frames_in_duration(time));
    let mut progress = Progress::new(format.rate, limit);
    let recorded = record(&mut client, &mut wav, limit, &stop, &mut progress);
    progress.end();
    // Whatever happened, the file counts what is in it.
    wav.checkpoint()?;
    recorded?;
    let (_, lost) = client.glitches();
    let lost = if lost > 0 { format!("; {lost} frames were lost, since the disk was too slow") } else { String::new() };
    say(&format!("recorded {} frames{lost}", wav.frames()));
    Ok(())
}

fn record(
    client: &mut ExclusiveClient,
    wav: &mut WavWriter<File>,
    limit: Option<u64>,
    stop: &AtomicBool,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let format = client.record().format;
    let mut room = vec![0; format.bytes_of(client.record().ring)];
    let mut counted = Instant::now();
    client.start();
    while !stop.load(Ordering::Acquire) {
        let left = limit.map_or(u64::MAX, |limit| limit.saturating_sub(wav.frames()));
        if left == 0 {
            break;
        }
        let most = FrameCount::new(u32::try_from(left).unwrap_or(u32::MAX)).min(client.record().ring);
        let frames = client.read(room.get_mut(..format.bytes_of(most)).unwrap_or_default())?;
        wav.append(room.get(..format.bytes_of(frames)).unwrap_or_default())?;
        if counted.elapsed() >= CHECKPOINT {
            wav.checkpoint()?;
            counted = Instant::now();
        }
        if frames.is_zero() {
            client.wait(TICK)?;
        }
        progress.show(wav.frames());
    }
    Ok(())
}
