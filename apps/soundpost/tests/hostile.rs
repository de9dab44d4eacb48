//! Clients that mean harm, after their login.

use std::time::{Duration, Instant};

use soundpost_testsuite::client::{Client, ClientChannels, Options};

use crate::counter::{frames, judge, write};
use crate::daemon::Daemon;

/// CHANNEL_PDU_HEADER: the length of the whole message, flags.
fn chunk(length: u32, flags: u32, data: &[u8]) -> Vec<u8> {
    [&length.to_le_bytes()[..], &flags.to_le_bytes(), data].concat()
}

const FIRST: u32 = 1;
const LAST: u32 = 2;
const COMPRESSED: u32 = 0x0020_0000;

/// One round of everything that claims memory.
fn attack(client: &Client) {
    let filler = vec![0x55; 1600];
    for dynamic in [false, true] {
        // A message of 4 GiB, and a lot of it.
        client.send_on_channel(dynamic, chunk(u32::MAX, FIRST, &filler));
        for _ in 0..500 {
            client.send_on_channel(dynamic, chunk(u32::MAX, 0, &filler));
        }
        client.send_on_channel(dynamic, chunk(1600, FIRST | LAST | COMPRESSED, &filler));
    }
    // DATA_FIRST on channel 1: 4 GiB claimed, and one that ends within its length.
    for channel in [1, 2, 3] {
        let claim = [&[0x28, channel][..], &u32::MAX.to_le_bytes(), &filler[..1580]].concat();
        client.send_on_channel(true, chunk(claim.len() as u32, FIRST | LAST, &claim));
        for _ in 0..200 {
            let more = [&[0x30, channel][..], &filler[..1590]].concat();
            client.send_on_channel(true, chunk(more.len() as u32, FIRST | LAST, &more));
        }
        let cut = [0x28, channel, 0xFF];
        client.send_on_channel(true, chunk(3, FIRST | LAST, &cut));
    }
}

#[test]
fn claims_of_memory_get_none() {
    let dir = tempfile::tempdir().unwrap();
    let sound = dir.path().join("sound.wav");
    let length = 48_000 * 120;
    write(&sound, length);
    let daemon = Daemon::start(&["--play", sound.to_str().unwrap()]);
    let watched = daemon.connect();
    assert!(watched.wait_until(|record| record.pcm.len() > 192_000));
    let options = |glued_hello| Options { glued_hello, channels: ClientChannels::Both, ..daemon.options() };
    // What every connection takes once (the allocator's arenas, TLS) is not what is measured.
    for _ in 0..3 {
        let client = Client::connect(options(true)).unwrap();
        attack(&client);
        assert!(client.wait_until(|record| record.pcm.len() > 19_200), "{:?}", client.record().ended);
    }
    std::thread::sleep(Duration::from_millis(300));
    let before = daemon.memory_kib("VmRSS");
    daemon.forget_peak();
    for round in 0..20 {
        let client = Client::connect(options(true)).unwrap();
        attack(&client);
        // The session goes on: sound still comes, also after the last of it.
        let heard = client.record().pcm.len();
        assert!(client.wait_until(|record| record.pcm.len() > heard + 38_400), "{round}: {:?}", client.record().ended);
    }
    std::thread::sleep(Duration::from_millis(500));
    let (after, peak) = (daemon.memory_kib("VmRSS"), daemon.memory_kib("VmHWM"));
    eprintln!("resident memory: {before} KiB before, {after} KiB after, {peak} KiB at its peak");
    assert!(after < before + 4 * 1024, "{before} KiB grew to {after} KiB");
    assert!(peak < before + 16 * 1024, "{before} KiB grew to {peak} KiB for a while");
    let heard = judge(frames(&watched.record().pcm), length);
    assert!(heard.is_whole(), "{heard:?}");
}

#[test]
fn audio_messages_that_make_no_sense_are_logged_once_and_counted_to_the_end() {
    let daemon = Daemon::start(&[]);
    let client = daemon.connect();
    let told = |text: &str| daemon.log().lines().filter(|line| line.contains(text)).count();
    let wait_for = |text: &str| {
        let deadline = Instant::now() + Duration::from_secs(20);
        while told(text) == 0 {
            assert!(Instant::now() < deadline, "the log does not say: {text}");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    wait_for("sound is agreed on");
    assert_eq!(told("make no sense"), 0, "an honest client has no faults");
    for _ in 0..20 {
        // A type that nobody knows, and a confirmation of a wave that was never sent.
        client.send_audio(vec![0x99, 0, 0, 0]);
        client.send_audio(vec![5, 0, 4, 0, 0, 0, 77, 0]);
    }
    client.request_shutdown();
    assert!(client.wait_until(|record| record.shutdown_denied == 1), "the session goes on");
    client.disconnect();
    wait_for("listener gone");
    let log = daemon.log();
    assert_eq!(told("make no sense"), 1, "a client cannot fill the log: {log}");
    let first = log.lines().find(|line| line.contains("make no sense")).unwrap();
    assert!(first.contains("INFO") && first.contains(r#"faults={"unknown_type": 1}"#), "{first}");
    let last = log.lines().find(|line| line.contains("listener gone")).unwrap();
    assert!(last.contains("faults=40"), "{last}");
}
