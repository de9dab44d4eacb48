//! Several listeners at once, and what one of them can do to the others.

use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

use soundpost_core::SampleRate;
use soundpost_testsuite::client::{Client, ClientChannels, ClientSecurity, Options, Record};
use soundpost_testsuite::ear::{self, ClientOptions, Ear, Recording, Signal};

use crate::counter::{first_index, frames, index, judge, seconds, write};
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

/// When the frame with this index came to this client.
fn arrival_of(index: u32, reference: &Record) -> Option<Instant> {
    let (start, arrived) = reference.waves.iter().find_map(|wave| {
        let (first, before) = first_index(&reference.pcm[wave.offset..wave.offset + wave.length])?;
        let start = first.checked_sub(before as u32)?;
        (start..start + wave.length as u32 / 4).contains(&index).then_some((start, wave.arrived))
    })?;
    Some(arrived + Duration::from_secs_f64(f64::from(index - start) / 48e3))
}

/// By how many milliseconds one is later than the other.
fn later_ms(one: Instant, other: Instant) -> f64 {
    match one.checked_duration_since(other) {
        Some(after) => after.as_secs_f64() * 1e3,
        None => -other.duration_since(one).as_secs_f64() * 1e3,
    }
}

/// How much later than `reference` this client hears, in milliseconds, at the wave that begins at byte `from`.
fn lag_ms(record: &Record, from: usize, reference: &Record, length: u32) -> Option<f64> {
    let (index, arrived) = arrival(record, from, length)?;
    Some(later_ms(arrived, arrival_of(index, reference)?))
}

/// The eighth listener: a real client, and its loudspeaker.
struct RealClient {
    client: ear::Client,
    recording: Recording,
    _ear: Ear,
}

/// While the real client was held.
struct Held {
    from: Instant,
    to: Instant,
}

impl RealClient {
    /// Where there is one on this machine.
    fn connect(daemon: &Daemon) -> Option<Self> {
        if let Err(why) = Ear::available() {
            eprintln!("SKIPPED: the real client among the listeners ({why})");
            return None;
        }
        let ear = Ear::open(SampleRate::HZ_48000).unwrap();
        let recording = ear.record().unwrap();
        std::thread::sleep(Ear::SETTLING);
        let client = ear.connect(&ClientOptions::new(daemon.address, USER, PASSWORD)).unwrap();
        assert!(recording.wait_for_sound(0, Duration::from_secs(20)).is_some(), "{}", client.log());
        Some(Self { client, recording, _ear: ear })
    }

    /// Holds its process for [`STOPPED`].
    fn hold(&mut self) -> Held {
        let from = Instant::now();
        self.client.signal(Signal::Stop);
        std::thread::sleep(STOPPED);
        let to = Instant::now();
        self.client.signal(Signal::Continue);
        Held { from, to }
    }

    /// What its loudspeaker gave: nothing is missing until the process is held, and it is back in time afterwards.
    /// `reference` is what a client heard that nothing was done to.
    fn judge(mut self, held: &Held, reference: &Record, length: u32) {
        assert!(self.client.is_running(), "the real client ended: {}", self.client.log());
        let heard = self.recording.stop();
        let frame_at = |time: Instant| {
            let marks = heard.marks.iter().take_while(|mark| mark.at < time);
            marks.last().map_or(0, |mark| mark.frames)
        };
        let (stopped, continued) = (frame_at(held.from), frame_at(held.to));
        // Its first moments are PulseAudio's, and in its last it is held already.
        let whole = heard.first_sound().unwrap() + 4_800..stopped - 4_800;
        let before = section(&heard, whole, length);
        eprintln!("the real client before it is held: {before}");
        assert!(before.frames > 48_000 * 4, "{before}");
        before.assert_whole();

        // Every millisecond of the loudspeaker's sound: how much later than the reference it was heard.
        let lag = |frame: usize| {
            let sample = heard.samples.get(frame * 2..frame * 2 + 2)?;
            let index = index(sample[0], sample[1]).filter(|index| *index < length)?;
            Some(later_ms(heard.came_at(frame)?, arrival_of(index, reference)?))
        };
        let lags = |frames: Range<usize>| {
            frames.step_by(48).filter_map(|frame| Some((frame, lag(frame)?))).collect::<Vec<(usize, f64)>>()
        };
        let end = heard.samples.len() / 2 - 4_800;
        assert!(lags(stopped + 48_000..continued - 4_800).is_empty(), "it was not held");
        let usual = median(&lags(stopped - 48_000..stopped - 4_800));
        let back = lags(continued..end);
        let live = back.iter().find(|(_, lag)| *lag < usual + 30.0).expect("live sound never came back").0;
        let took = later_ms(heard.came_at(live).unwrap(), held.to);
        // What the client had, or the kernel for it, when it was held.
        let old = back.iter().filter(|(_, lag)| *lag > usual + 1_000.0).count();
        let late = back.iter().filter(|(_, lag)| (usual + 30.0..=usual + 1_000.0).contains(lag)).count();
        let rest = section(&heard, continued + 48_000..end, length);
        let settled = median(&lags(continued + 48_000..end));
        eprintln!(
            "the real client is back after {took:.0} ms; {old} ms of old sound were under way, {late} ms came late; \
             lag before {usual:.1} ms, after {settled:.1} ms; then {rest}"
        );
        assert!(took < 1_000.0, "the real client's live sound took {took} ms");
        assert!(old <= 250, "the real client played {old} ms of old sound");
        assert!(late <= 250, "the real client played {late} ms of sound late");
        // Its own buffer may begin anew with less in it.
        assert!(settled < usual + 30.0, "the real client's lag of {usual} ms became {settled} ms");
        assert!(rest.frames > 48_000 * 2, "{rest}");
        rest.assert_whole();
    }
}

fn median(lags: &[(usize, f64)]) -> f64 {
    let mut lags: Vec<f64> = lags.iter().map(|(_, lag)| *lag).collect();
    lags.sort_unstable_by(f64::total_cmp);
    lags[lags.len() / 2]
}

/// What the real client played in a stretch of its loudspeaker's sound. PulseAudio's own clock may slip by less than
/// 2 ms, which is no jump.
struct Section {
    frames: u32,
    jumps: usize,
    silent: u32,
    strange: u32,
}

fn section(heard: &ear::Heard, frames: Range<usize>, length: u32) -> Section {
    let samples = &heard.samples[frames.start * 2..frames.end * 2];
    let heard = judge(samples.chunks_exact(2).map(|f| (f[0], f[1])), length);
    let jumps = heard.breaks.iter().filter(|(from, to)| (from + 1).abs_diff(*to) >= 96).count();
    Section { frames: heard.frames, jumps, silent: heard.silent_inside, strange: heard.strange }
}

impl Section {
    fn assert_whole(&self) {
        assert!(self.jumps == 0 && self.silent < 96 && self.strange < 96, "the real client: {self}");
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { frames, jumps, silent, strange } = self;
        write!(f, "{frames} frames, {jumps} jumps, {silent} silent frames inside, {strange} strange ones")
    }
}

#[test]
fn a_killed_a_stopped_and_a_deaf_client_cost_the_others_nothing() {
    // Longer than the test, so that every frame occurs once.
    let length = 48_000 * (seconds() + 60);
    let sound = tempfile::NamedTempFile::with_suffix(".wav").unwrap();
    write(sound.path(), length);
    let daemon = Daemon::start(&["--play", sound.path().to_str().unwrap()]);
    let mut real = RealClient::connect(&daemon);
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
    // The real client is undisturbed until now, and is held only now: so it is one of the others as well.
    std::thread::sleep(Duration::from_secs(u64::from(seconds().saturating_sub(15))));
    let held = real.as_mut().map(RealClient::hold);
    std::thread::sleep(STOPPED);
    let after = daemon.memory_kib("VmRSS");

    if let (Some(real), Some(held)) = (real, held) {
        // A copy: a record that is kept locked stops its client.
        let reference = others[0].record().clone();
        real.judge(&held, &reference, length);
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

/// README: each session goes on when its last listener leaves.
#[test]
fn a_listener_that_comes_back_is_where_the_others_would_be() {
    /// Nobody listens for so long.
    const AWAY: Duration = Duration::from_secs(2);
    let length = 48_000 * 60;
    let sound = tempfile::NamedTempFile::with_suffix(".wav").unwrap();
    write(sound.path(), length);
    let daemon = Daemon::start(&["--play", sound.path().to_str().unwrap()]);
    let first = daemon.connect();
    assert!(first.wait_until(|record| record.pcm.len() > 192_000));
    let (last, left) = {
        let record = first.record();
        (judge(frames(&record.pcm), length).last.unwrap(), record.waves.last().unwrap().arrived)
    };
    first.disconnect();
    std::thread::sleep(AWAY);
    let second = daemon.connect();
    assert!(second.wait_until(|record| first_index(&record.pcm).is_some()));
    let record = second.record();
    let (index, came) = record
        .waves
        .iter()
        .find_map(|wave| {
            let pcm = record.pcm.get(wave.offset..wave.offset + wave.length)?;
            Some((first_index(pcm)?.0, wave.arrived))
        })
        .unwrap();
    let away = came.duration_since(left);
    let played = Duration::from_secs_f64(f64::from(index - last) / 48e3);
    eprintln!("{played:?} of the sound were played while nobody listened for {away:?}");
    assert!(played.abs_diff(away) < Duration::from_millis(500), "{played:?} of the sound in {away:?}");
}
