//! From a sound server into a WAV file.

use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use soundpost_core::{Format, FrameCount, SampleFormat};
use soundpost_host::pulse_client::{Client, Notice, RecordRequest};
use soundpost_host::wav::{self, WavFormat, WavWriter};

use super::bar::Bar;
use super::{TAKEN, TICK, connect, name_of, volume};
use crate::cli::RecordArgs;
use crate::exclusive::{Failure, interrupted, say};
use crate::record::CHECKPOINT;

/// How much the server sends at once where nobody says: little enough for a meter, and for an end by Ctrl-C.
const LATENCY: Duration = Duration::from_millis(50);

/// Records until Ctrl-C, or for so long.
///
/// # Errors
/// Whatever keeps it from recording: one line that says what to do. What was recorded before is in the file.
pub(crate) fn record(args: &RecordArgs, time: Option<Duration>) -> Result<(), Failure> {
    let stop = interrupted()?;
    let mut client = connect(&args.server)?;
    let name = args.server.device.as_deref();
    let Some(source) = client.source(name)? else {
        let place = client.place();
        return Err(match name {
            Some(name) => {
                format!("{place} has no source {name:?}: `pactl list short sources` shows those that it has").into()
            }
            None => format!("{place} has nothing to record from").into(),
        });
    };
    let (format, wav_format) = recordable(source.format)?;
    let mut wav = WavWriter::new(wav::create(&args.file)?, wav_format)?;
    let stream = client.open_record(&RecordRequest {
        name: name_of(&args.file),
        format,
        source: name.map(str::to_owned),
        volume: volume(&args.server),
        latency: args.server.latency_msec.map_or(LATENCY, Duration::from_millis),
        fixed: false,
    })?;
    say(&format!("{}: {format}, from {} at {}; Ctrl-C ends it", args.file.display(), stream.source, client.place()));
    let limit = time.map(|time| format.rate.frames_in_duration(time));
    let mut bar = Bar::new(format, limit);
    let recorded = run(&mut client, stream.channel, format, &mut wav, limit, &stop, &mut bar);
    bar.end();
    // Whatever happened, the file counts what is in it.
    wav.checkpoint()?;
    recorded?;
    client.close_record(stream.channel)?;
    say(&format!("recorded {} frames", wav.frames()));
    Ok(())
}

/// The source's own format, so that nothing is converted, where a WAV file can hold it; else the nearest that it can.
fn recordable(source: Option<Format>) -> Result<(Format, WavFormat), Failure> {
    let own = source.unwrap_or(Format::DEFAULT);
    let format = if WavFormat::try_from(own).is_ok() { own } else { Format { sample: SampleFormat::S32, ..own } };
    Ok((format, WavFormat::try_from(format)?))
}

fn run(
    client: &mut Client,
    stream: u32,
    format: Format,
    wav: &mut WavWriter<File>,
    limit: Option<u64>,
    stop: &AtomicBool,
    bar: &mut Bar,
) -> Result<(), Failure> {
    let mut counted = Instant::now();
    while !stop.load(Ordering::Acquire) {
        let left = limit.map_or(u64::MAX, |limit| limit.saturating_sub(wav.frames()));
        if left == 0 {
            break;
        }
        match client.next(TICK, None)? {
            Some(Notice::Sound { channel, bytes }) if channel == stream => {
                let most = FrameCount::new(u32::try_from(left).unwrap_or(u32::MAX));
                let sound = bytes.get(..format.bytes_of(format.frames_in(bytes.len()).min(most))).unwrap_or_default();
                wav.append(sound)?;
                bar.note(sound, wav.frames());
            }
            Some(Notice::Gone { channel }) if channel == stream => return Err(TAKEN.into()),
            _ => {}
        }
        if counted.elapsed() >= CHECKPOINT {
            wav.checkpoint()?;
            counted = Instant::now();
        }
        bar.show(wav.frames());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_wav_file_cannot_hold_becomes_wider() {
        let own = |sample| Some(Format { sample, ..Format::DEFAULT });
        for same in [SampleFormat::U8, SampleFormat::S16, SampleFormat::S24, SampleFormat::F32] {
            assert_eq!(recordable(own(same)).unwrap().0.sample, same);
        }
        assert_eq!(recordable(own(SampleFormat::S24In32)).unwrap().0.sample, SampleFormat::S32);
        assert_eq!(recordable(None).unwrap().0, Format::DEFAULT);
    }
}
