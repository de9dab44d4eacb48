//! What `pactl` says to each of its verbs, and how it ends: beside a PulseAudio that has as much, or as little.

use super::*;
use crate::sound_server::{Kind, SoundServer};

/// Verbs that PulseAudio answers for something that is not there, or not to be had, as it is and by whatever name.
const REFUSED: &[&[&str]] = &[
    &["set-default-sink", "nowhere"],
    &["set-default-source", "nowhere"],
    &["set-sink-volume", "nowhere", "50%"],
    &["set-source-volume", "nowhere", "50%"],
    &["set-sink-mute", "nowhere", "1"],
    &["set-source-mute", "77", "1"],
    &["get-sink-volume", "nowhere"],
    &["get-source-mute", "nowhere"],
    &["set-sink-input-volume", "77", "50%"],
    &["set-sink-input-mute", "77", "1"],
    &["set-source-output-volume", "77", "50%"],
    &["set-source-output-mute", "77", "1"],
    &["move-sink-input", "77", "nowhere"],
    &["move-sink-input", "77", "@DEFAULT_SINK@"],
    &["move-source-output", "77", "nowhere"],
    &["suspend-sink", "nowhere", "1"],
    &["suspend-source", "nowhere", "1"],
    &["set-sink-port", "@DEFAULT_SINK@", "analog-output"],
    &["set-sink-port", "nowhere", "analog-output"],
    &["set-source-port", "@DEFAULT_SOURCE@", "analog-input"],
    &["set-card-profile", "nowhere", "off"],
    &["set-port-latency-offset", "nowhere", "analog-output", "1000"],
    &["play-sample", "nothing"],
    &["remove-sample", "nothing"],
    &["load-module", "module-that-nobody-has"],
    &["unload-module", "77"],
    &["send-message", "/nowhere", "ping"],
];

/// Verbs that are done, with nothing to say.
const DONE: &[&[&str]] = &[
    &["suspend-sink", "@DEFAULT_SINK@", "0"],
    &["suspend-sink", "0"],
    &["suspend-source", "0"],
    &["set-sink-volume", "@DEFAULT_SINK@", "-5%"],
    &["set-sink-volume", "@DEFAULT_SINK@", "+3dB"],
    &["set-sink-volume", "@DEFAULT_SINK@", "40%", "60%"],
    &["set-sink-mute", "@DEFAULT_SINK@", "toggle"],
    &["set-source-mute", "@DEFAULT_SOURCE@", "toggle"],
    &["upload-sample", "click.wav", "click"],
    &["upload-sample", "click.wav"],
    &["play-sample", "click"],
    &["play-sample", "click", "@DEFAULT_SINK@"],
    &["remove-sample", "click"],
    // It says that it failed, and ends as if it had not.
    &["unload-module", "module-that-nobody-has"],
    &["list", "short", "cards"],
    &["list", "cards"],
];

/// How it ended, and its complaint.
fn ended(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

#[test]
fn pactl_is_answered_as_pulseaudio_answers_it() {
    if !installed(&["pactl"]) {
        return;
    }
    let Some(theirs) = SoundServer::start(Kind::PulseAudio) else { return };
    theirs.add_sink("theirs");
    let session = Session::start(&[]);
    for place in [session.daemon.path("click.wav"), theirs.dir().join("click.wav")] {
        write_wav(&place, &tone(1_000.0, 0.1), 48_000);
    }
    let ask_theirs = |args: &[&str]| theirs.command("pactl").args(args).current_dir(theirs.dir()).output().unwrap();
    let ask_ours = |args: &[&str]| session.command("pactl").args(args).output().unwrap();
    let mut wrong = Vec::new();
    for args in REFUSED.iter().chain(DONE) {
        let (expected, got) = (ended(&ask_theirs(args)), ended(&ask_ours(args)));
        let refused = REFUSED.contains(args);
        assert_eq!(expected.0 != Some(0), refused, "PulseAudio itself: {args:?}: {expected:?}");
        if got != expected {
            wrong.push(format!("{args:?}: {got:?} in place of {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pactl_lists_and_counts() {
    if !installed(&["pactl", "pacat", "parec"]) {
        return;
    }
    let session = Session::start(&[]);
    assert!(session.pactl(&["stat"]).contains("Sample cache size: 0 B"), "nothing yet");
    write_wav(&session.daemon.path("click.wav"), &tone(1_000.0, 1.0), 48_000);
    session.pactl(&["upload-sample", "click.wav", "click"]);
    // pactl uploads 32 bits a sample, whatever the file has.
    assert!(session.pactl(&["stat"]).contains("Sample cache size: 375.0 KiB"), "{}", session.pactl(&["stat"]));
    assert!(session.pactl(&["list", "samples"]).contains("Name: click"));
    session.pactl(&["play-sample", "click"]);
    session.until("the sample's stream", || session.streams() == 1);
    session.until("its end", || session.streams() == 0);
    session.pactl(&["remove-sample", "click"]);
    assert!(session.pactl(&["list", "short", "samples"]).is_empty());
    assert_eq!(session.pactl(&["get-default-sink"]).trim(), "soundpost");
    session.pactl(&["set-default-sink", "soundpost"]);

    // A recording is moved to the monitor, made quieter, and muted.
    let out = std::fs::File::create(session.daemon.path("recorded.raw")).unwrap();
    let mut recorder =
        session.command("parec").args(["--raw", "-d", "soundpost.microphone"]).stdout(out).spawn().unwrap();
    let list = || session.pactl(&["list", "source-outputs"]);
    session.until("the recording", || list().contains("Source Output #"));
    let index = list().split_once("Source Output #").unwrap().1.lines().next().unwrap().to_owned();
    let monitor = session.pactl(&["list", "short", "sources"]);
    let monitor = monitor.lines().find(|line| line.contains("soundpost.monitor")).unwrap();
    let monitor = monitor.split_whitespace().next().unwrap();
    session.pactl(&["move-source-output", &index, "soundpost.monitor"]);
    session.pactl(&["set-source-output-volume", &index, "50%"]);
    session.pactl(&["set-source-output-mute", &index, "1"]);
    let shown = list();
    for part in [format!("Source: {monitor}\n"), "32768 /  50%".into(), "Mute: yes".into()] {
        assert!(shown.contains(&part), "{part}: {shown}");
    }
    recorder.kill().unwrap();
    recorder.wait().unwrap();

    for list in ["modules", "sinks", "sources", "sink-inputs", "source-outputs", "clients", "samples", "cards"] {
        session.pactl(&["list", list]);
        session.pactl(&["list", "short", list]);
    }
    session.run("pactl", &["--format=json", "list"]);
    session.pactl(&["list", "message-handlers"]);
    // The server does not end because a client wants it to.
    let output = session.command("pactl").arg("exit").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("Access denied"), "{output:?}");
    session.pactl(&["info"]);
}
