//! Several listeners at once, and what one of them can do to the others.

use std::time::{Duration, Instant};

use soundpost_core::SampleRate;
use soundpost_testsuite::client::{Client, ClientChannels, ClientSecurity, Options, Record};
use soundpost_testsuite::ear::{self, ClientOptions, Ear, Recording};

use crate::counter::{first_index, frames, judge, seconds, write};
use crate::daemon::{Daemon, PASSWORD, USER};

/// The stopped client is stopped for so long.
const STOPPED: Duration = Duration::from_secs(5);

/// Seven clients that differ in all that matters: channel, security, version, confirmations.
fn crowd(daemon: &Daemon) -> Vec<Options> {
    let variant = |channels, security, audio_version, confirms| Options {
        channels,
        security,
        audio_version,
        confirms,
        ..daemon.options()
    };
    vec![
        variant(ClientChannels::Both, ClientSecurity::Nla, 8, 2),
        variant(ClientChannels::Static, ClientSecurity::Tls, 5, 1),
        variant(ClientChannels::Dynamic, ClientSecurity::Nla, 6, 0),
        variant(ClientChannels::RefusesDynamic, ClientSecurity::Both, 8, 1),
        variant(ClientChannels::Both, ClientSecurity::Nla, 8, 1),
        variant(ClientChannels::Both, ClientSecurity::Nla, 8, 2),
        variant(ClientChannels::Static, ClientSecurity::Nla, 6, 2),
    ]
}

/// When the frame with this index arrived, by the waves' times.
fn arrival(record: &Record, from: usize, length: u32) -> Option<(u32, Instant)> {
    let wave = record.waves.iter().find(|wave| wave.offset >= from)?;
    let (index, before) = first_index(&record.pcm[wave.offset..wave.offset + wave.length])?;
    (index >= before as u32 && index < length).then(|| (index - before as u32, wave.arrived))
}

/// How much later than `reference` this client hears, in milliseconds, at the wave that begins at byte `from`.
fn lag_ms(record: &Record, from: usize, reference: &Record, length: u32) -> Option<f64> {
    let (index, arrived) = arrival(record, from, length)?;
    let wave = reference.waves.iter().find_map(|wave| {
        let (first, before) = first_index(&reference.pcm[wave.offset..wave.offset + wave.length])?;
        let start = first.checked_sub(before as u32)?;
        (start..start + wave.length as u32 / 4).contains(&index).then_some((start, wave.arrived))
    })?;
    let ahead = f64::from(index - wave.0) / 48.0;
    let signed = |later: Instant, earlier: Instant| match later.checked_duration_since(earlier) {
        Some(after) => after.as_secs_f64() * 1e3,
        None => -earlier.duration_since(later).as_secs_f64() * 1e3,
    };
    Some(signed(arrived, wave.1) - ahead)
}

/// The eighth listener: a real client, where there is one on this machine.
fn real_client(daemon: &Daemon) -> Option<(Ear, Recording, ear::Client)> {
    if let Err(why) = Ear::available() {
        eprintln!("SKIPPED: the real client among the listeners ({why})");
        return None;
    }
    let ear = Ear::open(SampleRate::HZ_48000).unwrap();
    let recording = ear.record().unwrap();
    std::thread::sleep(Ear::SETTLING);
    let client = ear.connect(&ClientOptions::new(daemon.address, USER, PASSWORD)).unwrap();
    assert!(recording.wait_for_sound(0, Duration::from_secs(20)).is_some(), "{}", client.log());
    Some((ear, recording, client))
}

/// What the real client's loudspeaker gave. PulseAudio's own clock may slip by less than 2 ms.
fn judge_real_client(recording: Recording, length: u32) {
    let heard = recording.stop();
    // Its first moments are PulseAudio's.
    let start = heard.first_sound().unwrap() * 2 + 2 * 4_800;
    let heard = judge(heard.samples[start..].chunks_exact(2).map(|f| (f[0], f[1])), length);
    let jumps = heard.breaks.iter().filter(|(from, to)| (from + 1).abs_diff(*to) >= 96).count();
    eprintln!("the real client: {} frames, {jumps} jumps, {} silent frames inside", heard.frames, heard.silent_inside);
    assert!(heard.frames > 48_000 * seconds() && jumps == 0, "the real client: {heard:?}");
    assert!(heard.silent_inside < 96 && heard.strange < 96, "the real client: {heard:?}");
}

#[test]
fn a_killed_a_stopped_and_a_deaf_client_cost_the_others_nothing() {
    // Longer than the test, so that every frame occurs once.
    let length = 48_000 * (seconds() + 60);
    let sound = tempfile::NamedTempFile::with_suffix(".wav").unwrap();
    write(sound.path(), length);
    let daemon = Daemon::start(&["--play", sound.path().to_str().unwrap()]);
    let real = real_client(&daemon);
    let clients: Vec<Client> = crowd(&daemon).into_iter().map(|options| Client::connect(options).unwrap()).collect();
    for (k, client) in clients.iter().enumerate() {
        assert!(client.wait_until(|record| record.pcm.len() > 192_000 / 2), "client {k}: {:?}", client.record().ended);
    }
    let before = daemon.memory_kib("VmRSS");
    let mut clients = clients.into_iter();
    let (killed, stopped, deaf) = (clients.next().unwrap(), clients.next_back().unwrap(), clients.next_back().unwrap());
    let others: Vec<Client> = clients.collect();

    drop(killed);
    deaf.read(false);
    stopped.read(false);
    std::thread::sleep(STOPPED);
    let heard_before = stopped.record().pcm.len();
    let resumed = Instant::now();
    stopped.read(true);
    std::thread::sleep(Duration::from_secs(u64::from(seconds()).saturating_sub(STOPPED.as_secs()).max(3)));
    let after = daemon.memory_kib("VmRSS");

    if let Some((_ear, recording, _client)) = real {
        judge_real_client(recording, length);
    }
    for (k, client) in others.iter().enumerate() {
        let record = client.record();
        let heard = judge(frames(&record.pcm), length);
        assert!(heard.is_whole(), "client {k} of the others: {heard:?}");
        assert!(heard.frames > 48_000 * seconds(), "client {k} of the others heard {} frames only", heard.frames);
        assert_eq!(record.ended, None);
    }
    assert_eq!(stopped.record().ended, None, "the stopped client was ended");
    assert_eq!(deaf.record().ended, None, "the deaf client was ended");
    eprintln!("resident memory: {before} KiB before, {after} KiB after");
    assert!(after < before + 8 * 1024, "{before} KiB grew to {after} KiB");

    // Live again within a second, and at the latency of before.
    let (record, reference) = (stopped.record(), others[0].record());
    let lag = |from| lag_ms(&record, from, &reference, length);
    let usual = lag(heard_before - 96_000).unwrap();
    let live = record
        .waves
        .iter()
        .filter(|wave| wave.offset >= heard_before)
        .find(|wave| wave.arrived > resumed && lag(wave.offset).is_some_and(|lag| (lag - usual).abs() < 30.0));
    let live = live.expect("the stopped client never came back to live sound");
    let took = live.arrived.duration_since(resumed);
    let stale = record.waves.iter().filter(|wave| wave.offset >= heard_before && wave.offset < live.offset);
    let stale: f64 = stale.map(|wave| wave.length as f64 / 192.0).sum();
    eprintln!("back after {took:?}; {stale} ms of old sound were under way; lag before {usual:.1} ms");
    assert!(took < Duration::from_secs(1), "live sound took {took:?}");
    assert!(stale <= 250.0, "{stale} ms of old sound");
    // And it stays so.
    let last = record.waves[record.waves.len() - 20].offset;
    let now = lag(last).unwrap();
    assert!((now - usual).abs() < 30.0, "a lag of {usual} ms became {now} ms");
    let rest = judge(frames(&record.pcm[live.offset..]), length);
    assert!(rest.is_whole(), "after coming back: {rest:?}");
}

#[test]
fn users_hear_their_own_session_only() {
    let dir = tempfile::tempdir().unwrap();
    let (password, sound) = (dir.path().join("password"), dir.path().join("sound.wav"));
    std::fs::write(&password, "other").unwrap();
    write(&sound, 48_000 * 30);
    let second = format!("--add-user=second={}", password.display());
    let daemon = Daemon::start(&["--play", sound.to_str().unwrap(), &second]);
    let first = daemon.connect();
    assert!(first.wait_until(|record| record.pcm.len() > 192_000));
    // Its own first listener starts the second session's player: it hears the file from its first frame.
    let second = Client::connect(Options::new(daemon.address, "second", "other")).unwrap();
    assert!(second.wait_until(|record| first_index(&record.pcm).is_some()));
    assert_eq!(first_index(&second.record().pcm).unwrap().0, 0);
    assert!(judge(frames(&first.record().pcm), 48_000 * 30).is_whole());
    assert!(Client::connect(Options::new(daemon.address, "second", "open sesame")).is_err(), "another user's password");
}
