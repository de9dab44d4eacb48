//! `soundpost play`: a file through a sound server, or (here) exclusively into an endpoint.

use std::sync::atomic::{AtomicBool, Ordering};

use soundpost_endpoint::DataFlow;
use soundpost_host::decode::AudioFile;
use soundpost_host::exclusive::ExclusiveClient;

use crate::cli::PlayArgs;
use crate::convert::Converter;
use crate::exclusive::{Failure, Progress, TICK, interrupted, open, say};
use crate::shared;

/// Plays the file to its end, or until Ctrl-C; answers whether it came to its end.
///
/// # Errors
/// Whatever keeps it from playing to the end: one line that says what to do.
pub(crate) fn run(args: &PlayArgs) -> Result<bool, Failure> {
    if !args.exclusive.exclusive {
        return shared::play(args);
    }
    let file = AudioFile::open(&args.file)?;
    let stop = interrupted()?;
    let mut client = open(&args.exclusive, DataFlow::Render)?;
    let (from, to) = (file.format(), client.record().format);
    let converter = Converter::new(from, to).map_err(|error| format!("{from} cannot be made {to}: {error:?}"))?;
    let how = if converter.is_exact() { format!("{to}, bit by bit") } else { format!("{from} as {to}") };
    say(&format!("{}: into {}, {how}", args.file.display(), client.granted().endpoint));
    let length = file.length().map(|frames| to.rate.frames_nearest(from.rate.hns_of(frames)));
    let mut progress = Progress::new(to.rate, length);
    let played = play(file, converter, &mut client, &stop, &mut progress);
    progress.end();
    let complete = played?;
    let (underruns, _) = client.glitches();
    let frames = client.played().frames;
    let dry = if underruns > 0 { format!("; the endpoint ran dry {underruns} times") } else { String::new() };
    say(&format!("{} {frames} frames{dry}", if complete { "played" } else { "interrupted after" }));
    Ok(complete)
}

/// Answers whether it came to the end.
fn play(
    mut file: AudioFile,
    mut converter: Converter,
    client: &mut ExclusiveClient,
    stop: &AtomicBool,
    progress: &mut Progress,
) -> Result<bool, Failure> {
    let mut sound = Vec::new();
    let mut more = true;
    while more {
        sound.clear();
        match file.next_block()? {
            Some(block) => converter.push(block, &mut sound),
            None => {
                converter.finish(&mut sound);
                more = false;
            }
        }
        if !write(client, &sound, stop, progress)? {
            return Ok(false);
        }
    }
    client.start();
    client.finish();
    while !client.is_played() {
        if stop.load(Ordering::Acquire) {
            return Ok(false);
        }
        client.wait(TICK)?;
        progress.show(client.played().frames);
    }
    Ok(true)
}

/// Writes all of it, as the endpoint takes it; false where it was interrupted.
fn write(
    client: &mut ExclusiveClient,
    sound: &[u8],
    stop: &AtomicBool,
    progress: &mut Progress,
) -> Result<bool, Failure> {
    let format = client.record().format;
    let mut rest = sound;
    while !rest.is_empty() {
        if stop.load(Ordering::Acquire) {
            return Ok(false);
        }
        let taken = client.write(rest)?;
        rest = rest.get(format.bytes_of(taken)..).unwrap_or_default();
        if taken.is_zero() {
            // Only a full ring starts the device: so it does not run dry at once.
            client.start();
            client.wait(TICK)?;
            progress.show(client.played().frames);
        }
    }
    Ok(true)
}
