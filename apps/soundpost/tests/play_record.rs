//! `soundpost play` and `soundpost record` as clients of Debian's sound servers.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::counter::{frames, judge, write};
use crate::daemon::{output, read_wav, soundpost};
use crate::sound_server::{Kind, PATIENCE, SoundServer};

/// The command, with this server as the one that it finds.
fn command(server: &SoundServer, args: &[&str]) -> Command {
    let mut command = soundpost();
    for name in ["PULSE_SERVER", "PULSE_RUNTIME_PATH", "PULSE_COOKIE"] {
        command.env_remove(name);
    }
    command.env("XDG_RUNTIME_DIR", server.dir()).args(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn str(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap().success());
}

/// A recording that has begun: its file holds sound, be it silence.
fn recording(server: &SoundServer, file: &Path, device: &str) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = command(server, &["record", str(file), "--device", device]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert!(line.contains("Ctrl-C ends it"), "{line}");
    wait_for(|| std::fs::metadata(file).is_ok_and(|meta| meta.len() > 20_000));
    (child, lines)
}

fn wait_for(ready: impl Fn() -> bool) {
    let begin = Instant::now();
    while !ready() {
        assert!(begin.elapsed() < PATIENCE, "it does not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn real_what_is_played_is_recorded_sample_by_sample_to_its_end() {
    let Some(server) = SoundServer::start(Kind::PulseAudio) else { return };
    server.add_sink("out");
    let (sound, file) = (server.dir().join("sound.wav"), server.dir().join("recorded.wav"));
    // No whole number of anybody's blocks.
    let length = 96_000 + 17;
    write(&sound, length);
    let (mut recorder, mut lines) = recording(&server, &file, "out.monitor");
    for latency in [&[][..], &["--latency-msec", "30"]] {
        let before = read_wav(&file).len();
        let args = [&["play", str(&sound), "--device", "out"], latency].concat();
        let played = command(&server, &args).output().unwrap();
        assert_eq!(played.status.code(), Some(0), "{played:?}");
        assert!(String::from_utf8_lossy(&played.stdout).contains("played 96017 frames"), "{played:?}");
        assert!(played.stderr.is_empty(), "{played:?}");
        // It ends when it has been heard; what has been heard reaches the file a little later.
        let end = read_wav(&file).len();
        wait_for(|| read_wav(&file).len() > end + 48_000);
        let heard = judge(read_wav(&file)[before..].chunks_exact(2).map(|frame| (frame[0], frame[1])), length);
        assert!(heard.is_whole() && heard.frames == length, "{heard:?}");
        assert_eq!((heard.first, heard.last), (Some(0), Some(length - 1)));
    }
    signal(&recorder, "INT");
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert_eq!(recorder.wait().unwrap().code(), Some(0), "Ctrl-C is how a recording ends");
    let frames = read_wav(&file).len() / 2;
    assert_eq!(rest.trim(), format!("recorded {frames} frames"));
}

#[test]
fn real_a_recording_of_so_many_seconds_has_exactly_that_length() {
    let Some(server) = SoundServer::start(Kind::PulseAudio) else { return };
    server.add_sink("out");
    let file = server.dir().join("recorded.wav");
    let recorded =
        command(&server, &["record", str(&file), "--device", "out.monitor", "--seconds", "0.51"]).output().unwrap();
    assert_eq!(recorded.status.code(), Some(0), "{recorded:?}");
    assert_eq!(read_wav(&file).len(), 24_480 * 2);
}

#[test]
fn real_the_volume_is_as_mixers_show_it() {
    let Some(server) = SoundServer::start(Kind::PulseAudio) else { return };
    server.add_sink("out");
    let sound = server.dir().join("sound.wav");
    write(&sound, 48_000 * 30);
    let mut player = command(&server, &["play", str(&sound), "--device", "out", "--volume", "50"]).spawn().unwrap();
    wait_for(|| !server.list("sink-inputs").is_empty());
    let told = String::from_utf8(server.pactl(&["list", "sink-inputs"]).stdout).unwrap();
    for part in ["50%", "sound.wav", "application.name = \"soundpost\"", "s16le 2ch 48000Hz"] {
        assert!(told.contains(part), "{part} is not in\n{told}");
    }
    signal(&player, "INT");
    player.wait().unwrap();
}

#[test]
fn real_ctrl_c_stops_playing_at_once_and_says_nothing_odd() {
    let Some(server) = SoundServer::start(Kind::PulseAudio) else { return };
    server.add_sink("out");
    let sound = server.dir().join("sound.wav");
    write(&sound, 48_000 * 30);
    let player = command(&server, &["play", str(&sound), "--device", "out"]).spawn().unwrap();
    wait_for(|| !server.list("sink-inputs").is_empty());
    std::thread::sleep(Duration::from_millis(500));
    signal(&player, "INT");
    let ended = player.wait_with_output().unwrap();
    // It has gone before it ends, with two seconds of its sound unheard.
    assert_eq!(server.list("sink-inputs"), "");
    assert_eq!(ended.status.code(), Some(130), "{ended:?}");
    assert!(ended.stderr.is_empty(), "{ended:?}");
    let told = String::from_utf8(ended.stdout).unwrap();
    let last = told.lines().last().unwrap();
    let frames: u32 =
        last.strip_prefix("interrupted after ").unwrap().strip_suffix(" frames").unwrap().parse().unwrap();
    assert!(frames < 48_000 * 20, "{told}");
}

#[test]
fn real_a_server_or_a_device_that_goes_ends_it_in_one_line() {
    let Some(mut server) = SoundServer::start(Kind::PulseAudio) else { return };
    server.add_sink("out");
    let sound = server.dir().join("sound.wav");
    write(&sound, 48_000 * 30);
    let start = |server: &SoundServer| {
        let player = command(server, &["play", str(&sound), "--device", "out"]).spawn().unwrap();
        wait_for(|| !server.list("sink-inputs").is_empty());
        player
    };
    let refused = |player: Child, why: &str| {
        let ended = player.wait_with_output().unwrap();
        let told = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(2), "{told}");
        assert!(told.lines().count() == 1 && told.contains(why), "{told}");
    };
    let player = start(&server);
    // With no other sink to move to, the stream goes with its own.
    assert!(server.pactl(&["unload-module", "module-always-sink"]).status.success());
    assert!(server.pactl(&["unload-module", "module-null-sink"]).status.success());
    refused(player, "has ended the stream");
    server.add_sink("out");
    let player = start(&server);
    server.kill();
    refused(player, "closed the connection");
}

#[test]
fn what_is_not_there_is_told_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let sound = dir.path().join("sound.wav");
    write(&sound, 100);
    let nowhere = format!("unix:{}", dir.path().join("none").display());
    let refused = |args: &[&str]| {
        let output = output(args);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert_eq!(told.trim_end().lines().count(), 1, "{told}");
        told
    };
    assert!(refused(&["play", str(&sound), "--server", &nowhere]).contains("no sound server runs at unix:"));
    assert!(refused(&["play", str(&sound), "--server", "tcp:x:y"]).contains("tcp:HOST"));
    let file = dir.path().join("recorded.wav");
    assert!(refused(&["record", str(&file), "--server", &nowhere]).contains("no sound server runs"));
    assert!(!file.exists(), "nothing was recorded");
    assert!(
        refused(&[
            "serve",
            "--log",
            "error",
            "--rdp",
            "127.0.0.1:0",
            "--state-dir",
            str(&dir.path().join("s")),
            &format!("--attach={nowhere}")
        ])
        .contains("nothing to attach to")
    );
}

#[test]
fn real_a_device_that_the_server_does_not_have_is_told() {
    let Some(server) = SoundServer::start(Kind::PulseAudio) else { return };
    let sound = server.dir().join("sound.wav");
    write(&sound, 100);
    for args in [["play", str(&sound), "--device", "nobody"], ["record", "r.wav", "--device", "nobody"]] {
        let output = command(&server, &args).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains("\"nobody\"") && told.contains("pactl list short"), "{told}");
    }
}

#[test]
fn real_over_tcp_the_cookie_lets_in() {
    let Some(server) = SoundServer::start(Kind::PulseAudio) else { return };
    server.add_sink("out");
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let loaded =
        server.pactl(&["load-module", "module-native-protocol-tcp", &format!("port={port}"), "listen=127.0.0.1"]);
    assert!(loaded.status.success(), "{loaded:?}");
    let (sound, address) = (server.dir().join("sound.wav"), format!("tcp:127.0.0.1:{port}"));
    write(&sound, 4_800);
    let args = ["play", str(&sound), "--device", "out", "--server", &address];
    let played = command(&server, &args).env("HOME", server.dir()).output().unwrap();
    assert_eq!(played.status.code(), Some(0), "{played:?}");
    let stranger = command(&server, &args).output().unwrap();
    let told = String::from_utf8(stranger.stderr).unwrap();
    assert_eq!(stranger.status.code(), Some(2), "{told}");
    assert!(told.contains("does not let you in") && told.contains("PULSE_COOKIE"), "{told}");
}

/// PipeWire's devices are of floating point, in which 16 bits are exact.
#[test]
fn real_pipewire_plays_it_sample_by_sample_to_its_end() {
    let Some(server) = SoundServer::start(Kind::PipeWire) else { return };
    server.add_sink("out");
    let (sound, file) = (server.dir().join("sound.wav"), server.dir().join("recorded"));
    let length = 96_000 + 17;
    write(&sound, length);
    let out = std::fs::File::create(&file).unwrap();
    let args = ["--raw", "--format=s16le", "--rate=48000", "--channels=2", "--latency-msec=50", "--device=out.monitor"];
    let mut recorder = server.command("parec").args(args).stdout(out).spawn().unwrap();
    wait_for(|| std::fs::metadata(&file).is_ok_and(|meta| meta.len() > 20_000));
    let played = command(&server, &["play", str(&sound), "--device", "out"]).output().unwrap();
    assert_eq!(played.status.code(), Some(0), "{played:?}");
    let end = std::fs::metadata(&file).unwrap().len();
    wait_for(|| std::fs::metadata(&file).unwrap().len() > end + 100_000);
    signal(&recorder, "TERM");
    recorder.wait().unwrap();
    let heard = judge(frames(&std::fs::read(&file).unwrap()), length);
    assert!(heard.is_whole() && heard.frames == length, "{heard:?}");
}
