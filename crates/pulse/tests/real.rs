//! Debian's own clients against the machine, over a Unix socket with the smallest loop that can be: one thread, sockets
//! that do not block, a millisecond's sleep. The sink plays in real time into a buffer, the source records a ramp.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use soundpost_core::Instant;
use soundpost_pulse::buffer::LatencyRange;
use soundpost_pulse::{Change, ClientId, Event, Now, PlaybackId, RecordId, WallTime};

use crate::rig::Rig;

/// Longest that a client may take.
const PATIENCE: Duration = Duration::from_secs(60);

struct Loop {
    rig: Rig,
    listener: UnixListener,
    sockets: BTreeMap<ClientId, (UnixStream, Vec<u8>)>,
    playing: BTreeMap<PlaybackId, f64>,
    recording: BTreeMap<RecordId, f64>,
    heard: Vec<u8>,
    start: std::time::Instant,
    last: Duration,
}

impl Loop {
    fn new(socket: &Path) -> Self {
        let listener = UnixListener::bind(socket).expect("a socket");
        listener.set_nonblocking(true).expect("a socket that does not block");
        let (rig, start) = (Rig::new(), std::time::Instant::now());
        let (sockets, playing, recording) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { rig, listener, sockets, playing, recording, heard: Vec::new(), start, last: Duration::ZERO }
    }

    fn turn(&mut self) {
        let passed = self.start.elapsed();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        self.rig.now = Now {
            at: Instant::from_nanos(u64::try_from(passed.as_nanos()).expect("a short test")),
            wall: WallTime {
                seconds: u32::try_from(wall.as_secs()).expect("before 2106"),
                micros: wall.subsec_micros(),
            },
        };
        let now = self.rig.now;
        if let Ok((socket, _)) = self.listener.accept() {
            socket.set_nonblocking(true).expect("a socket that does not block");
            let id = self.rig.connect(true);
            self.sockets.insert(id, (socket, Vec::new()));
        }
        self.read(now);
        self.sound(passed, now);
        self.rig.server.handle_timeout(now);
        self.events();
        self.write();
    }

    fn read(&mut self, now: Now) {
        let mut gone = Vec::new();
        for (&id, (socket, held)) in &mut self.sockets {
            let mut buffer = [0; 16_384];
            if held.is_empty() && self.rig.server.wants_input(id) {
                match socket.read(&mut buffer) {
                    Ok(0) => gone.push(id),
                    Ok(count) => held.extend(&buffer[..count]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(_) => gone.push(id),
                }
            }
            let taken = self.rig.server.handle_input(id, held, now);
            held.drain(..taken);
        }
        for id in gone {
            self.rig.server.disconnect(id);
            self.sockets.remove(&id);
        }
    }

    /// As much as time has passed, at 44.1 kHz and 4 bytes a frame, as the clients below have it.
    fn sound(&mut self, passed: Duration, now: Now) {
        let frames = (passed - std::mem::replace(&mut self.last, passed)).as_secs_f64() * 44_100.0;
        for (&id, owed) in &mut self.playing {
            *owed += frames;
            let mut out = vec![0; whole(owed) * 4];
            let filled = self.rig.server.pull(id, &mut out, 20_000, now);
            self.heard.extend(&out[..filled]);
        }
        for (&id, owed) in &mut self.recording {
            *owed += frames;
            self.rig.server.push(id, &vec![7; whole(owed) * 4], 10_000, now);
        }
    }

    fn events(&mut self) {
        while let Some(event) = self.rig.server.poll_event() {
            match event {
                Event::NewPlayback(new) => drop(self.playing.insert(new.id, 0.0)),
                Event::NewRecord(new) => drop(self.recording.insert(new.id, 0.0)),
                Event::Playback(id, Change::Gone) => drop(self.playing.remove(&id)),
                Event::Record(id, Change::Gone) => drop(self.recording.remove(&id)),
                Event::Close(id, reason) => {
                    eprintln!("closed: {reason}");
                    self.rig.server.disconnect(id);
                    self.sockets.remove(&id);
                }
                _ => {}
            }
        }
    }

    fn write(&mut self) {
        for (&id, (socket, _)) in &mut self.sockets {
            if let Ok(count) = socket.write(self.rig.server.output(id)) {
                self.rig.server.sent(id, count);
            }
        }
    }

    /// Runs until the client ends, or `enough` says so; then the client is ended.
    fn run(&mut self, mut client: Child, enough: impl Fn(&Self) -> bool) -> (ExitStatus, String) {
        let begun = std::time::Instant::now();
        let status = loop {
            self.turn();
            if let Some(status) = client.try_wait().expect("a child") {
                break status;
            }
            if enough(self) || begun.elapsed() > PATIENCE {
                client.kill().expect("a child");
                break client.wait().expect("a child");
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        assert!(begun.elapsed() < PATIENCE, "the client did not end");
        let mut said = String::new();
        client.stdout.take().expect("its output").read_to_string(&mut said).expect("text");
        (status, said)
    }
}

#[expect(clippy::as_conversions, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few frames")]
fn whole(owed: &mut f64) -> usize {
    let frames = owed.floor();
    *owed -= frames;
    frames as usize
}

/// Whether the program is there; says why a test is skipped where it is not.
fn installed(program: &str) -> bool {
    let there = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !there {
        println!("skipped: {program} is not installed (apt-get install pulseaudio-utils)");
    }
    there
}

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> (Self, Loop) {
        let folder = tempfile::tempdir().expect("a folder");
        let machine = Loop::new(&folder.path().join("native"));
        (Self { folder }, machine)
    }

    fn client(&self, program: &str, arguments: &[&str], input: Stdio) -> Child {
        let folder = self.folder.path();
        Command::new(program)
            .args(arguments)
            .env("PULSE_SERVER", format!("unix:{}", folder.join("native").display()))
            .env("HOME", folder)
            .env("XDG_RUNTIME_DIR", folder)
            .env("LC_ALL", "C")
            .stdin(input)
            .stdout(Stdio::piped())
            .spawn()
            .expect("a client")
    }
}

#[test]
fn real_pactl_shows_and_changes_everything() {
    if !installed("pactl") {
        return;
    }
    let (bench, mut machine) = Bench::new();
    let mut pactl = |arguments: &[&str]| {
        let (status, said) = machine.run(bench.client("pactl", arguments, Stdio::null()), |_| false);
        assert!(status.success(), "pactl {arguments:?}: {status}, {said}");
        said
    };
    let info = pactl(&["info"]);
    for line in [
        "Server Name: PulseAudio (on Soundpost)",
        "Default Sink: soundpost",
        "Default Source: soundpost_microphone",
        "Server Protocol Version: 35",
    ] {
        assert!(info.contains(line), "{line} is not in {info}");
    }
    let list = pactl(&["list"]);
    for line in [
        "Name: soundpost",
        "Name: soundpost.monitor",
        "Monitor of Sink: soundpost",
        "Description: soundpost described",
        "float32le 2ch 48000Hz",
    ] {
        assert!(list.contains(line), "{line} is not in {list}");
    }
    assert!(pactl(&["list", "short", "sinks"]).starts_with("0\tsoundpost\tsoundpost\t"));
    pactl(&["set-sink-volume", "@DEFAULT_SINK@", "50%"]);
    pactl(&["set-sink-mute", "soundpost", "toggle"]);
    assert!(pactl(&["get-sink-volume", "soundpost"]).contains("50%"));
    assert!(pactl(&["get-sink-mute", "soundpost"]).contains("Mute: yes"));
    pactl(&["set-default-source", "soundpost.monitor"]);
    assert_eq!(pactl(&["get-default-source"]).trim(), "soundpost.monitor");
    pactl(&["suspend-sink", "soundpost", "1"]);
    assert!(pactl(&["list", "sinks"]).contains("State: SUSPENDED"));
    pactl(&["stat"]);
}

#[test]
fn real_pacat_plays_every_byte_and_waits_for_the_end() {
    if !installed("pacat") {
        return;
    }
    let (bench, mut machine) = Bench::new();
    let tune: Vec<u8> = (0..88_200u32).flat_map(|index| (index % 251 + 1).to_le_bytes()).take(88_200).collect();
    let file = bench.folder.path().join("tune.raw");
    std::fs::write(&file, &tune).expect("a file");
    for arguments in [
        &["--raw", "--rate=44100", "--channels=2", "--format=s16le"][..],
        &["--raw", "--rate=44100", "--channels=2", "--format=s16le", "--latency-msec=40"],
    ] {
        machine.heard.clear();
        let input = std::fs::File::open(&file).expect("the file").into();
        let (status, said) = machine.run(bench.client("pacat", arguments, input), |_| false);
        assert!(status.success(), "pacat {arguments:?}: {status}, {said}");
        assert_eq!(machine.heard.len(), tune.len());
        assert!(machine.heard == tune, "what was heard is not what was played");
    }
}

#[test]
fn real_parec_records() {
    if !installed("parec") {
        return;
    }
    let (bench, mut machine) = Bench::new();
    let target = bench.folder.path().join("recorded.raw");
    let name = target.display().to_string();
    let arguments = ["--raw", "--rate=44100", "--channels=2", "--format=s16le", "--latency-msec=20", &name];
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |data| data.len());
    machine.run(bench.client("parec", &arguments, Stdio::null()), |_| size(&target) >= 40_000);
    let recorded = std::fs::read(&target).expect("a recording");
    assert!(recorded.len() >= 40_000 && recorded.iter().all(|&byte| byte == 7));
}

#[test]
fn real_parec_records_on_while_its_devices_latency_changes() {
    if !installed("parec") {
        return;
    }
    let (bench, mut machine) = Bench::new();
    let target = bench.folder.path().join("recorded.raw");
    let name = target.display().to_string();
    let size = || std::fs::metadata(&target).map_or(0, |data| data.len());
    let arguments = ["--raw", "--rate=44100", "--channels=2", "--format=s16le", "--latency-msec=20"];
    let arguments = [&arguments[..], &["-d", "soundpost.monitor", &name]].concat();
    let mut recorder = bench.client("parec", &arguments, Stdio::null());
    let mut turns = 0_u64;
    let begun = std::time::Instant::now();
    while size() < 400_000 {
        turns += 1;
        if turns.is_multiple_of(25) {
            // 5 to 95 ms: below and above what the client has asked for.
            let min = 5_000 + turns / 25 % 10 * 10_000;
            let range = LatencyRange { min, max: min + 10_000, takes: None };
            machine.rig.server.set_sink_range(machine.rig.sink, range, machine.rig.now);
        }
        machine.turn();
        assert!(begun.elapsed() < PATIENCE, "it has stopped at {} bytes", size());
        assert_eq!(recorder.try_wait().expect("a child"), None, "parec has gone");
        std::thread::sleep(Duration::from_millis(1));
    }
    recorder.kill().expect("a child");
    recorder.wait().expect("a child");
    assert!(std::fs::read(&target).expect("a recording").iter().all(|&byte| byte == 7));
}

#[test]
fn real_pactl_subscribe_and_samples_work() {
    if !installed("pactl") {
        return;
    }
    let (bench, mut machine) = Bench::new();
    let file = bench.folder.path().join("bell.wav");
    std::fs::write(&file, wav(&[5; 8820])).expect("a file");
    let name = file.display().to_string();
    let (status, said) =
        machine.run(bench.client("pactl", &["upload-sample", &name, "bell"], Stdio::null()), |_| false);
    assert!(status.success(), "upload-sample: {status}, {said}");
    let (status, said) = machine.run(bench.client("pactl", &["play-sample", "bell"], Stdio::null()), |_| false);
    assert!(status.success(), "play-sample: {status}, {said}");
    let begun = std::time::Instant::now();
    while !machine.playing.is_empty() && begun.elapsed() < PATIENCE {
        machine.turn();
        std::thread::sleep(Duration::from_millis(1));
    }
    // pactl uploads what it reads as float32, whatever the file has: 0x0505 is 1285 of 32,768.
    let sample = (1285.0f32 / 32_768.0).to_le_bytes();
    assert!(machine.heard == sample.repeat(4410), "{} bytes were heard", machine.heard.len());
    let (status, _) = machine.run(bench.client("pactl", &["remove-sample", "bell"], Stdio::null()), |_| false);
    assert!(status.success());
}

/// 16 bits, two channels, 44.1 kHz.
fn wav(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("a length");
    let mut file = b"RIFF".to_vec();
    file.extend((36 + length).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x02\0\x44\xac\0\0\x10\xb1\x02\0\x04\0\x10\0data");
    file.extend(length.to_le_bytes());
    file.extend(bytes);
    file
}
