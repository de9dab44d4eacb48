//! `serve --attach`: as a client of Debian's sound servers.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::counter::{frames, judge, write};
use crate::daemon::{Daemon, read_wav};
use crate::sound_server::{Kind, PATIENCE, SoundServer};

/// How often what needs real time is tried on a machine that others use as well.
const ATTEMPTS: u32 = 3;

fn wait_for(what: &str, ready: impl Fn() -> bool) {
    let begin = Instant::now();
    while !ready() {
        assert!(begin.elapsed() < PATIENCE, "{what} does not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn start(server: &SoundServer, render: &Path, more: &[&str]) -> Daemon {
    let attach = format!("--attach={}", server.address());
    let daemon = Daemon::start(&[&["--render", render.to_str().unwrap(), &attach], more].concat());
    wait_for("attaching", || daemon.log().contains("attached: "));
    daemon
}

/// The sink, and what the source is made of: a sink that is fed, and its monitor under a name of its own.
const MODULES: usize = 3;

/// The modules that are ours.
fn ours(server: &SoundServer) -> Vec<String> {
    server.list("modules").lines().filter(|line| line.contains("=soundpost")).map(str::to_owned).collect()
}

fn end(mut daemon: Daemon) {
    daemon.signal("TERM");
    assert_eq!(daemon.wait(Duration::from_secs(10)), Some(0));
}

/// What is played into the virtual sink is in the session: every frame, in order, and unchanged.
fn plays_into_the_session(kind: Kind) {
    let Some(server) = SoundServer::start(kind) else { return };
    let (sound, render) = (server.dir().join("sound.wav"), server.dir().join("render.wav"));
    let length = 48_000 * 2 + 17;
    write(&sound, length);
    for attempt in 1.. {
        let daemon = start(&server, &render, &[]);
        assert_eq!(ours(&server).len(), MODULES, "{}", server.list("modules"));
        let played = server.command("paplay").arg("--device=soundpost").arg(&sound).output().unwrap();
        assert!(played.status.success(), "{played:?}");
        // The last of it is on its way still.
        std::thread::sleep(Duration::from_millis(500));
        end(daemon);
        assert_eq!(ours(&server), [""; 0], "at its end it takes its modules with it");
        let heard = judge(read_wav(&render).chunks_exact(2).map(|frame| (frame[0], frame[1])), length);
        eprintln!("{kind:?}, attempt {attempt}: {heard:?}");
        // A gap in the middle is this machine's doing; a frame that is lost, or changed, is ours.
        let in_order = heard.breaks.is_empty() && heard.strange == 0;
        if in_order && heard.frames == length && heard.silent_inside == 0 {
            return;
        }
        assert!(attempt < ATTEMPTS, "{heard:?}");
    }
}

#[test]
fn real_what_is_played_into_pulseaudio_is_in_the_session() {
    plays_into_the_session(Kind::PulseAudio);
}

#[test]
fn real_what_is_played_into_pipewire_is_in_the_session() {
    plays_into_the_session(Kind::PipeWire);
}

/// The virtual source gives what the session's microphone gives, which counts frames.
fn records_from_the_session(kind: Kind) {
    let Some(server) = SoundServer::start(kind) else { return };
    let (render, file) = (server.dir().join("render.wav"), server.dir().join("recorded"));
    let daemon = start(&server, &render, &["--capture", "test-signal"]);
    let opened = |daemon: &Daemon| daemon.log().matches("records from the microphone").count();
    assert_eq!((ours(&server).len(), opened(&daemon)), (3, 0), "{}", daemon.log());
    for attempt in 1.. {
        let out = std::fs::File::create(&file).unwrap();
        let mut recorder = server.command("parec");
        recorder.args(["--raw", "--format=s16le", "--rate=48000", "--channels=2", "--latency-msec=30"]);
        recorder.arg("--device=soundpost-microphone").stdin(Stdio::null()).stdout(out);
        let mut recorder = recorder.spawn().unwrap();
        wait_for("recording", || std::fs::metadata(&file).unwrap().len() > 48_000 * 4 * 2);
        recorder.kill().unwrap();
        recorder.wait().unwrap();
        let bytes = std::fs::read(&file).unwrap();
        let number =
            |(left, right): (i16, i16)| u32::from(left.cast_unsigned()) | u32::from(right.cast_unsigned()) << 16;
        let numbers: Vec<u32> = frames(&bytes).map(number).skip_while(|number| *number == 0).collect();
        let breaks: Vec<_> = numbers.windows(2).filter(|pair| pair[1] != pair[0].wrapping_add(1)).collect();
        eprintln!("{kind:?}, attempt {attempt}: {} frames, breaks {breaks:?}", numbers.len());
        if breaks.is_empty() && numbers.len() > 48_000 {
            break;
        }
        assert!(attempt < ATTEMPTS, "{} frames, {breaks:?}", numbers.len());
    }
    wait_for("closing the microphone", || daemon.log().contains("nobody records from the microphone any more"));
    end(daemon);
    assert_eq!(ours(&server), [""; 0]);
}

#[test]
fn real_what_the_session_captures_is_recorded_from_pulseaudio() {
    records_from_the_session(Kind::PulseAudio);
}

#[test]
fn real_what_the_session_captures_is_recorded_from_pipewire() {
    records_from_the_session(Kind::PipeWire);
}

/// A soundpost that is killed leaves its modules; the next one takes them over, and has them unloaded at its end.
fn is_found_again(kind: Kind) {
    let Some(server) = SoundServer::start(kind) else { return };
    let render = server.dir().join("render.wav");
    let daemon = start(&server, &render, &["--capture", "tone"]);
    let before = ours(&server);
    assert_eq!(before.len(), 3, "{before:?}");
    daemon.signal("KILL");
    drop(daemon);
    assert_eq!(ours(&server), before);
    let daemon = start(&server, &render, &["--capture", "tone"]);
    assert_eq!(ours(&server), before, "the same modules, by their numbers");
    end(daemon);
    assert_eq!(ours(&server), [""; 0]);
}

#[test]
fn real_modules_that_were_left_are_taken_over_in_pulseaudio() {
    is_found_again(Kind::PulseAudio);
}

#[test]
fn real_modules_that_were_left_are_taken_over_in_pipewire() {
    is_found_again(Kind::PipeWire);
}

#[test]
fn real_a_server_that_comes_back_is_attached_to_again() {
    let Some(mut server) = SoundServer::start(Kind::PulseAudio) else { return };
    let (sound, render) = (server.dir().join("sound.wav"), server.dir().join("render.wav"));
    let length = 48_000;
    write(&sound, length);
    let daemon = start(&server, &render, &[]);
    server.kill();
    wait_for("noticing", || daemon.log().contains("looking for it again"));
    server.run();
    wait_for("attaching again", || daemon.log().matches("attached: ").count() == 2);
    let played = server.command("paplay").arg("--device=soundpost").arg(&sound).output().unwrap();
    assert!(played.status.success(), "{played:?}");
    // Somebody unloads the sink: it is back in a moment.
    assert!(server.pactl(&["unload-module", "module-null-sink"]).status.success());
    wait_for("attaching a third time", || daemon.log().matches("attached: ").count() == 3);
    assert_eq!(ours(&server).len(), MODULES);
    std::thread::sleep(Duration::from_millis(300));
    end(daemon);
    let heard = judge(read_wav(&render).chunks_exact(2).map(|frame| (frame[0], frame[1])), length);
    assert!(heard.frames > 0 && heard.strange == 0, "{heard:?}");
}
