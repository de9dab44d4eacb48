//! A real RDP client, Debian's xfreerdp, hears what is played: recorded at its loudspeaker and compared.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use soundpost_core::SampleRate;
use soundpost_testsuite::ear::{ClientOptions, ClientSecurity, Ear, SoundChannel};
use soundpost_testsuite::judge::{Pcm, Tolerant, noise, tolerant};

use crate::counter::seconds;
use crate::daemon::{Daemon, PASSWORD, USER};

/// What is played, and the samples that it stands for.
struct Sound {
    path: PathBuf,
    samples: Vec<i16>,
    rate: SampleRate,
}

/// Measures how late this process's threads are woken: what any ordinary program on this machine, the client and its
/// sound server among them, suffers from others just now.
struct Disturbance {
    stop: Arc<AtomicBool>,
    worst_micros: Arc<AtomicU64>,
}

/// The client's loudspeaker keeps less than this in hand. A machine that makes ordinary programs wait longer makes gaps
/// that no server can prevent.
const TOO_LATE: Duration = Duration::from_millis(12);
/// How often a run on a disturbed machine is made again.
const ATTEMPTS: u32 = 4;

impl Disturbance {
    fn watch() -> Self {
        let (stop, worst_micros) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (ended, worst) = (stop.clone(), worst_micros.clone());
        std::thread::spawn(move || {
            let step = Duration::from_millis(5);
            while !ended.load(Ordering::Relaxed) {
                let before = Instant::now();
                std::thread::sleep(step);
                let late = before.elapsed().saturating_sub(step);
                worst.fetch_max(u64::try_from(late.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        });
        Self { stop, worst_micros }
    }

    fn worst(self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        Duration::from_micros(self.worst_micros.load(Ordering::Relaxed))
    }
}

/// Plays the sound once to a client and judges what its loudspeaker gave.
fn listen(sound: &Sound, options: impl Fn(&mut ClientOptions), serve: &[&str]) -> Tolerant {
    let mut args = vec!["--play", sound.path.to_str().unwrap(), "--once"];
    args.extend_from_slice(serve);
    let mut daemon = Daemon::start(&args);
    let ear = Ear::open(SampleRate::HZ_48000).unwrap();
    let recording = ear.record().unwrap();
    std::thread::sleep(Ear::SETTLING);
    let mut client = ClientOptions::new(daemon.address, USER, PASSWORD);
    options(&mut client);
    let client = ear.connect(&client).unwrap();
    let length = Duration::from_secs_f64(sound.samples.len() as f64 / 2.0 / f64::from(sound.rate.get()));
    let status = daemon.wait(length + Duration::from_secs(30));
    assert_eq!(status, Some(0), "{}", client.log());
    recording.wait_for_silence(Duration::from_millis(500), Duration::from_secs(5));
    let heard = recording.stop();
    let played = Pcm { samples: &sound.samples, rate: sound.rate };
    tolerant(played, heard.pcm()).unwrap_or_else(|why| panic!("{why}\n{}\n{}", client.log(), daemon.log()))
}

/// Jumps of 2 ms and more; what lies below is the sound server's own clock.
fn jumps(verdict: &Tolerant) -> usize {
    verdict.jumps.iter().filter(|jump| jump.skipped_ms.abs() >= 2.0).count()
}

/// Listens until it is heard without a flaw, as often as the machine is disturbed; the last verdict counts.
fn hears(name: &str, sound: &Sound, options: impl Fn(&mut ClientOptions), serve: &[&str]) {
    if let Err(why) = Ear::available() {
        eprintln!("SKIPPED: {why}");
        return;
    }
    for attempt in 1..=ATTEMPTS {
        let watch = Disturbance::watch();
        let verdict = listen(sound, &options, serve);
        let worst = watch.worst();
        eprintln!(
            "{name}: matched {:?}, jumps {}, lost {:.1} ms, put in {:.1} ms, unmatched {:?}, snr {:.1} dB; \
             the machine made ordinary threads wait {worst:?} at most",
            verdict.matched,
            jumps(&verdict),
            verdict.lost_ms(),
            verdict.put_in_ms(),
            verdict.unmatched,
            verdict.snr_db
        );
        let length = sound.samples.len() as f64 / 2.0 / f64::from(sound.rate.get());
        let whole = verdict.matched.as_secs_f64() > length - 0.2;
        let flawless = jumps(&verdict) == 0 && verdict.unmatched <= Duration::from_millis(20) && whole;
        if !flawless && worst > TOO_LATE && attempt < ATTEMPTS {
            eprintln!("{name}: again, since other work on this machine disturbed the client");
            continue;
        }
        assert!(flawless, "{name}: {verdict:?}");
        assert!(verdict.channels_right && verdict.snr_db >= 25.0, "{name}: {verdict:?}");
        return;
    }
}

fn signal(dir: &Path, rate: SampleRate) -> Sound {
    let samples = noise(7, (rate.get() * seconds()) as usize);
    let path = dir.join("signal.wav");
    let data: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let (bytes, hertz) = (u32::try_from(data.len()).unwrap(), rate.get());
    let mut wav = [b"RIFF", &(36 + bytes).to_le_bytes()[..], b"WAVEfmt ", &16_u32.to_le_bytes()].concat();
    wav.extend_from_slice(&[1, 0, 2, 0]);
    wav.extend([hertz.to_le_bytes(), (hertz * 4).to_le_bytes()].concat());
    wav.extend([&[4, 0, 16, 0], &b"data"[..], &bytes.to_le_bytes(), &data].concat());
    std::fs::write(&path, wav).unwrap();
    Sound { path, samples, rate }
}

#[test]
fn real_client_hears_48_khz_over_nla() {
    let dir = tempfile::tempdir().unwrap();
    let sound = signal(dir.path(), SampleRate::HZ_48000);
    hears("48 kHz, NLA", &sound, |client| client.security = ClientSecurity::Nla, &[]);
}

#[test]
fn real_client_hears_44_khz() {
    let dir = tempfile::tempdir().unwrap();
    let sound = signal(dir.path(), SampleRate::HZ_44100);
    hears("44.1 kHz", &sound, |_| {}, &[]);
}

#[test]
fn real_client_hears_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    let sound = signal(dir.path(), SampleRate::HZ_48000);
    hears("TLS", &sound, |_| {}, &["--rdp-security", "tls"]);
}

#[test]
fn real_client_hears_by_the_static_channel() {
    let dir = tempfile::tempdir().unwrap();
    let sound = signal(dir.path(), SampleRate::HZ_48000);
    hears("static", &sound, |_| {}, &["--rdp-channel", "static"]);
}

#[test]
fn real_client_that_has_the_static_channel_alone_hears_by_it() {
    let dir = tempfile::tempdir().unwrap();
    let sound = signal(dir.path(), SampleRate::HZ_48000);
    hears("static client", &sound, |client| client.channel = SoundChannel::Static, &[]);
}

#[test]
fn real_client_hears_by_the_dynamic_channel() {
    let dir = tempfile::tempdir().unwrap();
    let sound = signal(dir.path(), SampleRate::HZ_48000);
    hears("dynamic", &sound, |_| {}, &["--rdp-channel", "dynamic"]);
}

#[test]
fn real_client_with_a_wrong_password_is_refused() {
    if let Err(why) = Ear::available() {
        eprintln!("SKIPPED: {why}");
        return;
    }
    let daemon = Daemon::start(&[]);
    let ear = Ear::open(SampleRate::HZ_48000).unwrap();
    for (security, status) in [(ClientSecurity::Nla, 134), (ClientSecurity::Tls, 131)] {
        let mut options = ClientOptions::new(daemon.address, USER, "wrong");
        options.security = security;
        let mut client = ear.connect(&options).unwrap();
        let ended = client.wait(Duration::from_secs(20)).and_then(|status| status.code());
        assert_eq!(ended, Some(status), "{security:?}\n{}", client.log());
    }
}
