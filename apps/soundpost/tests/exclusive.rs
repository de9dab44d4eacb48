//! D5 as its users meet it: `soundpost play --exclusive`, `soundpost record --exclusive`, and what becomes of the
//! endpoint when such a process is killed.
//!
//! `SOUNDPOST_TEST_KILLS` sets how many are killed (20 where it is not set).

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use soundpost_endpoint::DataFlow;
use soundpost_host::exclusive::{ExclusiveClient, OpenError, OpenRequest};

use crate::counter::{first_index, frames, judge, write};
use crate::daemon::{Daemon, read_wav, soundpost};

fn state(daemon: &Daemon) -> PathBuf {
    daemon.path("state")
}

/// The command with the daemon's state directory.
fn command(daemon: &Daemon, args: &[&str]) -> Command {
    let mut command = soundpost();
    command.args(args).arg("--state-dir").arg(state(daemon)).stdin(Stdio::null());
    command
}

fn run(daemon: &Daemon, args: &[&str]) -> Output {
    command(daemon, args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A daemon that writes to `out.wav` in a folder of its own, and a sound of so many frames there.
fn scene(frames: u32, args: &[&str]) -> (Daemon, tempfile::TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let (sound, out) = (dir.path().join("sound.wav"), dir.path().join("out.wav"));
    write(&sound, frames);
    let mut all = vec!["--render", out.to_str().unwrap()];
    let replaced: Vec<String> = args.iter().map(|arg| arg.replace("SOUND", sound.to_str().unwrap())).collect();
    all.extend(replaced.iter().map(String::as_str));
    let daemon = Daemon::start(&all);
    (daemon, dir, sound, out)
}

fn str(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Whether the first endpoint is soon back at its device.
fn idle_again(daemon: &Daemon) -> bool {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(10) {
        if endpoints(daemon)[0]["state"] == "idle" {
            return true;
        }
    }
    false
}

/// What the daemon says of its endpoints.
fn endpoints(daemon: &Daemon) -> serde_json::Value {
    serde_json::from_slice(&run(daemon, &["endpoints", "--json"]).stdout).unwrap()
}

#[test]
fn d5_a_second_process_plays_a_file_into_a_file_endpoint_bit_by_bit() {
    let (mut daemon, _dir, sound, out) = scene(48_000 * 3 + 17, &[]);
    let played = run(&daemon, &["play", "--exclusive", str(&sound)]);
    assert!(played.status.success(), "{}", text(&played.stderr));
    assert!(text(&played.stdout).contains("bit by bit"), "{}", text(&played.stdout));
    assert!(text(&played.stdout).contains("played 144017 frames"), "{}", text(&played.stdout));
    // The next one waits for the one before it to let go.
    let again = run(&daemon, &["play", "--exclusive", str(&sound)]);
    assert!(again.status.success(), "{}", text(&again.stderr));
    // Its device has it again: attached, and nothing plays.
    assert!(idle_again(&daemon), "{}", endpoints(&daemon));
    daemon.signal("TERM");
    assert_eq!(daemon.wait(Duration::from_secs(10)), Some(0));
    let (heard, played) = (read_wav(&out), read_wav(&sound));
    assert!(heard == [&played[..], &played[..]].concat(), "{} samples of 2 × {}", heard.len(), played.len());
}

#[test]
fn d5_a_listener_hears_exactly_what_is_played_exclusively() {
    let dir = tempfile::tempdir().unwrap();
    let sound = dir.path().join("sound.wav");
    write(&sound, 96_000);
    let daemon = Daemon::start(&[]);
    let client = daemon.connect();
    let begin = Instant::now();
    while endpoints(&daemon).as_array().unwrap().is_empty() {
        assert!(begin.elapsed() < Duration::from_secs(20), "no listener");
    }
    let played = run(&daemon, &["play", "--exclusive", str(&sound)]);
    assert!(played.status.success(), "{}", text(&played.stderr));
    assert!(
        client.wait_until(|record| judge(frames(&record.pcm), 96_000).frames >= 96_000),
        "{:?}",
        client.record().ended
    );
    let record = client.record();
    let heard = judge(frames(&record.pcm), 96_000);
    assert!(heard.breaks.is_empty() && heard.strange == 0 && heard.first == Some(0), "{heard:?}");
    assert!(first_index(&record.pcm).is_some());
    assert_eq!(endpoints(&daemon)[0]["exclusive_process"], serde_json::Value::Null, "given back");
}

#[test]
fn d5_a_killed_client_gives_the_endpoint_back_and_a_watched_connection_loses_nothing() {
    let kills = std::env::var("SOUNDPOST_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(20_usize);
    let length = 48_000 * 60;
    let (daemon, _dir, sound, out) = scene(length, &["--play", "SOUND"]);
    let watched = daemon.connect();
    assert!(watched.wait_until(|record| record.pcm.len() > 192_000), "{:?}", watched.record().ended);
    let request = OpenRequest { endpoint: Some(str(&out).to_owned()), ..OpenRequest::new(DataFlow::Render) };
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut took = Vec::new();
    for _ in 0..kills {
        let mut child = command(&daemon, &["play", "--exclusive", str(&sound), "--endpoint", str(&out)])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.next().unwrap().unwrap().contains("into"), "it has not begun to play");
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        std::thread::sleep(Duration::from_micros(random % 200_000));
        let since = kill(&mut child);
        took.push(usable_again(&daemon, &request, since));
        child.wait().unwrap();
    }
    let broken = endpoints(&daemon);
    let broken = broken.as_array().unwrap().iter().find(|one| one["name"] == str(&out)).unwrap().clone();
    assert_eq!(broken["exclusive_broken"], kills, "{broken}");
    let heard = judge(frames(&watched.record().pcm), length);
    took.sort();
    let at = |part: f64| took[((took.len() as f64 * part).ceil() as usize).clamp(1, took.len()) - 1];
    eprintln!(
        "{kills} kills: usable again after {:?} (median), {:?} (p99), {:?} (longest); the watched connection heard {} \
         frames, with {} breaks",
        at(0.5),
        at(0.99),
        at(1.0),
        heard.frames,
        heard.breaks.len()
    );
    assert!(at(1.0) < Duration::from_millis(500), "{took:?}");
    assert!(heard.is_whole(), "{heard:?}");
}

/// `kill -9`; the moment at which it was sent.
fn kill(child: &mut Child) -> Instant {
    let now = Instant::now();
    child.kill().unwrap();
    // Reaped on the side: until then it is a zombie, which must not make a difference.
    now
}

/// How long after `since` the endpoint is granted to somebody else: this process, which lets go at once.
fn usable_again(daemon: &Daemon, request: &OpenRequest, since: Instant) -> Duration {
    let socket = state(daemon).join("control.sock");
    loop {
        match ExclusiveClient::open(&socket, request) {
            Ok(_) => return since.elapsed(),
            Err(OpenError::Refused { .. }) if since.elapsed() < Duration::from_secs(20) => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn d5_a_microphone_is_recorded_exclusively_frame_by_frame() {
    let (mut daemon, dir, _sound, _out) = scene(100, &["--capture", "test-signal"]);
    let file = dir.path().join("recorded.wav");
    let recorded = run(&daemon, &["record", "--exclusive", str(&file), "--seconds", "1"]);
    assert!(recorded.status.success(), "{}", text(&recorded.stderr));
    let samples = read_wav(&file);
    assert_eq!(samples.len(), 96_000);
    let number = |frame: &[i16]| u32::from(frame[0].cast_unsigned()) | u32::from(frame[1].cast_unsigned()) << 16;
    let numbers: Vec<u32> = samples.chunks_exact(2).map(number).collect();
    let breaks = numbers.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
    assert!(breaks == 0 || text(&recorded.stdout).contains("were lost"), "{breaks} breaks, and none was counted");

    // Ctrl-C ends a recording; what was recorded is in the file.
    let mut child = command(&daemon, &["record", "--exclusive", str(&file)]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("test signal"));
    std::thread::sleep(Duration::from_millis(300));
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert!(lines.next().unwrap().unwrap().starts_with("recorded "));
    assert!(child.wait().unwrap().success());
    assert!(!read_wav(&file).is_empty());
    daemon.signal("TERM");
    assert_eq!(daemon.wait(Duration::from_secs(10)), Some(0));
}

#[test]
fn d5_what_cannot_be_had_is_refused_in_one_line_that_says_why() {
    let (mut daemon, dir, sound, out) = scene(48_000 * 30, &[]);
    let refused = |args: &[&str]| {
        let output = run(&daemon, args);
        let line = text(&output.stderr);
        assert_eq!((output.status.code(), line.lines().count()), (Some(2), 1), "{args:?}: {line}");
        line
    };
    let sound = str(&sound);
    // What belongs to exclusive use goes with it alone, and what belongs to a sound server does not.
    for args in [["play", sound, "--endpoint", "x"], ["record", "r.wav", "--buffer", "20"]] {
        let told = run(&daemon, &args);
        assert_eq!(told.status.code(), Some(2), "{args:?}");
        assert!(text(&told.stderr).contains("--exclusive"), "{}", text(&told.stderr));
    }
    let told = run(&daemon, &["play", "--exclusive", sound, "--device", "x"]);
    assert_eq!(told.status.code(), Some(2));
    assert!(text(&told.stderr).contains("cannot be used with"), "{}", text(&told.stderr));
    let line = refused(&["play", "--exclusive", sound, "--period", "101"]);
    assert!(line.contains("101.0000 ms") && line.contains("2.5000 ms"), "{line}");
    assert!(refused(&["play", "--exclusive", sound, "--buffer", "10"]).contains("20.0000 ms"));
    assert!(refused(&["play", "--exclusive", sound, "--endpoint", "none"]).contains(str(&out)), "names what there is");
    assert!(refused(&["record", "--exclusive", str(&dir.path().join("r.wav"))]).contains("no capture endpoint"));
    let elsewhere = soundpost()
        .args(["play", "--exclusive", sound, "--state-dir"])
        .arg(dir.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(text(&elsewhere.stderr).contains("start `soundpost serve`"), "{}", text(&elsewhere.stderr));

    // One client at a time, and the daemon shows which.
    let socket = state(&daemon).join("control.sock");
    let first = ExclusiveClient::open(&socket, &OpenRequest::new(DataFlow::Render)).unwrap();
    let own = std::process::id();
    assert!(refused(&["play", "--exclusive", sound]).contains(&own.to_string()));
    let shown = endpoints(&daemon)[0].clone();
    assert_eq!(
        (&shown["exclusive_process"], &shown["state"]),
        (&own.into(), &format!("exclusive (process {own})").into())
    );
    let other = OpenRequest { process: own + 1, ..OpenRequest::new(DataFlow::Render) };
    drop(first);
    let begin = Instant::now();
    loop {
        match ExclusiveClient::open(&socket, &other) {
            Err(OpenError::Refused { message, requirement })
                if requirement.as_deref() == Some("D5") && message.contains("ask for itself") =>
            {
                break;
            }
            answer => assert!(begin.elapsed() < Duration::from_secs(10), "{answer:?}"),
        }
    }
    // A daemon that ends takes its endpoints along.
    let client = ExclusiveClient::open(&socket, &OpenRequest::new(DataFlow::Render));
    daemon.signal("TERM");
    assert_eq!(daemon.wait(Duration::from_secs(10)), Some(0));
    assert!(client.unwrap().wait(Duration::from_secs(10)).is_err());
}
