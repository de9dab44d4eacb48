//! A recording survives `kill -9`: the file opens and holds everything up to the last second (issue 2, acceptance 5).

#![cfg_attr(test, allow(clippy::as_conversions, clippy::expect_used, clippy::unwrap_used, reason = "a test"))]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use soundpost_core::{ChannelLayout, Format, FrameCount, Hns, SampleFormat, SampleRate};
use soundpost_endpoint::{BufferFlag, RtHalf};
use soundpost_host::clock::MonotonicClock;
use soundpost_host::decode::AudioFile;
use soundpost_host::record::record;

const FORMAT: Format = Format { sample: SampleFormat::S16, rate: SampleRate::HZ_48000, layout: ChannelLayout::STEREO };
/// Names the file to the copy of this program that records.
const FILE: &str = "SOUNDPOST_TEST_KILL_FILE";
const PACKET: u32 = 480;

#[test]
fn a_recording_that_is_killed_holds_all_but_the_last_second() {
    if let Ok(path) = std::env::var(FILE) {
        return record_until_killed(Path::new(&path));
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.wav");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_recording_that_is_killed_holds_all_but_the_last_second", "--nocapture"])
        .env(FILE, &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // The child says how many packets it has recorded. At different moments: a kill may hit any write.
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut recorded = lines.filter_map(|line| line.strip_prefix("recorded ").and_then(|n| n.parse::<u64>().ok()));
    recorded.find(|packets| *packets >= 300).expect("the child records");
    child.kill().unwrap();
    child.wait().unwrap();
    let frames = (300 + recorded.count() as u64) * u64::from(PACKET);

    let mut file = AudioFile::open(&path).unwrap();
    let held = file.length().unwrap();
    assert!(held + 48_000 >= frames && held > 0, "{held} frames of {frames}");
    let mut next = 0_u32;
    while let Some(block) = file.next_block().unwrap() {
        for frame in block.chunks_exact(4) {
            assert_eq!(u32::from_le_bytes(frame.try_into().unwrap()), next);
            next += 1;
        }
    }
    assert_eq!(u64::from(next), held, "the header counts nothing that is not there");
}

/// Records frames that count up, in real time.
fn record_until_killed(path: &Path) {
    let (mut endpoint, _recording) = record(path, FORMAT, Arc::new(MonotonicClock)).unwrap();
    endpoint.control.set_buffer(Hns::from_millis(10), 2).unwrap();
    endpoint.control.start().unwrap();
    let RtHalf::Render(realtime) = &mut endpoint.realtime else { return };
    for packet in 0..3_000 {
        let sound: Vec<u8> = (packet * PACKET..(packet + 1) * PACKET).flat_map(u32::to_le_bytes).collect();
        realtime.acquire(FrameCount::new(PACKET), None).unwrap().copy_from_slice(&sound);
        realtime.release(FrameCount::new(PACKET), BufferFlag::Valid);
        realtime.processing_complete();
        let mut out = std::io::stdout();
        writeln!(out, "\nrecorded {}", packet + 1).unwrap();
        out.flush().unwrap();
        // The pace of a recording, and the upper bound of a child that nobody kills.
        std::thread::sleep(Duration::from_millis(10));
    }
}
