//! The command line: what it prints, and how it ends.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;

use crate::daemon::{Daemon, output};

fn refused(args: &[&str]) -> String {
    let output = output(args);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert_eq!(told.trim_end().lines().count(), 1, "{told}");
    told
}

#[test]
fn what_cannot_work_is_one_line_that_says_what_to_do_and_exit_status_2() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let state = path("state");
    let serve = |more: &[&str]| {
        let mut args = vec!["serve", "--user", "anna", "--state-dir", &state, "--rdp", "127.0.0.1:0"];
        args.extend_from_slice(more);
        refused(&args)
    };
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    assert!(refused(&["serve", "--state-dir", &state, "--rdp", &taken]).contains("in use"));
    assert!(
        refused(&["serve", "--state-dir", &state, "--rdp", "192.0.2.1:0"]).contains("not an address of this machine")
    );
    assert!(serve(&["--play", &path("missing.wav")]).contains("missing.wav"));
    std::fs::write(path("noise.wav"), [7; 5000]).unwrap();
    assert!(serve(&["--play", &path("noise.wav")]).contains("noise.wav"));
    assert!(serve(&["--render", &path("no/such/folder.wav")]).contains("folder.wav"));
    assert!(serve(&["--password-file", &path("missing")]).contains("password file"));
    std::fs::write(path("bad.pem"), "nothing").unwrap();
    assert!(serve(&["--rdp-certificate", &path("bad.pem"), "--rdp-key", &path("bad.pem")]).contains("bad.pem"));
    std::fs::write(path("config.toml"), "[rdp]\nlisen = \"x\"\n").unwrap();
    assert!(serve(&["--config", &path("config.toml")]).contains("did you mean `rdp.listen`?"));
    assert!(serve(&["--log", "soundpost=loud"]).contains("log level"));
}

#[test]
fn a_second_daemon_does_not_take_the_first_ones_state() {
    let daemon = Daemon::start(&[]);
    let state = daemon.path("state");
    let told = refused(&["serve", "--rdp", "127.0.0.1:0", "--state-dir", state.to_str().unwrap(), "--log", "error"]);
    assert!(told.contains("another soundpost uses"), "{told}");
}

#[test]
fn endpoints_of_a_running_daemon_are_listed() {
    let tone = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/welcome.flac");
    let daemon = Daemon::start(&["--play", tone]);
    let state = daemon.path("state");
    let list = |more: &[&str]| {
        let mut args = vec!["endpoints", "--state-dir", state.to_str().unwrap()];
        args.extend_from_slice(more);
        let output = output(&args);
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(list(&[]).contains("nobody listens yet"));
    let client = daemon.connect();
    assert!(client.wait_until(|record| record.pcm.iter().any(|byte| *byte != 0)), "{:?}", client.record().ended);
    let table = list(&[]);
    assert!(table.contains("s16 48000 Hz stereo") && table.contains("playing") && table.contains("20.0"), "{table}");
    let json: serde_json::Value = serde_json::from_str(&list(&["--json"])).unwrap();
    assert_eq!(json[0]["session"], "tester");
    assert_eq!(json[0]["flow"], "render");
    let name = json[0]["name"].as_str().unwrap();
    assert_eq!(name, format!("{} (scripted)", client.address()));
    assert!(json[0]["frames"].as_u64().unwrap() > 0 && json[0]["padding_frames"].is_u64());
    let device = &json[0]["device"];
    assert_eq!(device["streams"][0]["name"], "welcome.flac");
    assert!(device["streams"][0]["frames"].as_u64().unwrap() > 0);
    assert_eq!(device["levels"].as_array().unwrap().len(), 2);
    let passes = device["passes"].as_u64().unwrap();
    let histogram = device["pass_time"]["histogram"].as_array().unwrap();
    let counted: u64 = histogram.iter().map(|bucket| bucket["count"].as_u64().unwrap()).sum();
    assert!(passes > 0 && counted > 0 && counted.abs_diff(passes) <= 1, "{counted} of {passes} passes");
    // The daemon's configuration file leads there as well.
    let config = daemon.path("where.toml");
    std::fs::write(&config, format!("state_dir = {state:?}\n")).unwrap();
    let found = output(&["endpoints", "--config", config.to_str().unwrap()]);
    assert!(found.status.success() && String::from_utf8(found.stdout).unwrap().contains(name));
}

#[test]
fn status_shows_who_plays_what_to_whom() {
    let tone = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/welcome.flac");
    let daemon = Daemon::start(&["--play", tone]);
    let state = daemon.path("state");
    let args = |more: &[&'static str]| [&["status", "--state-dir", state.to_str().unwrap()], more].concat();
    let shown = |more| {
        let output = output(&args(more));
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(shown(&[]).contains("nobody listens yet"));
    let client = daemon.connect();
    assert!(client.wait_until(|record| record.pcm.iter().any(|byte| *byte != 0)), "{:?}", client.record().ended);
    // The whole of the file is not loud all the time, and a level is known after a tenth of a second.
    let loud = || -> Option<serde_json::Value> {
        let json: serde_json::Value = serde_json::from_str(&shown(&["--json"])).unwrap();
        json["sessions"][0]["devices"][0]["streams"][0]["levels"][0]["peak_db"].as_f64().map(|_| json)
    };
    let json = (0..100).find_map(|_| loud()).unwrap();
    assert_eq!(json["sessions"][0]["name"], "tester");
    let device = &json["sessions"][0]["devices"][0];
    assert_eq!((device["flow"].as_str(), device["active"].as_bool()), (Some("render"), Some(true)));
    assert_eq!((device["volume"].as_f64(), device["muted"].as_bool()), (Some(1.0), Some(false)));
    let (stream, endpoint) = (&device["streams"][0], &device["endpoints"][0]);
    assert_eq!(stream["name"], "welcome.flac");
    let level = &stream["levels"][0];
    let decibels = 20.0 * level["peak"].as_f64().unwrap().log10();
    assert!((level["peak_db"].as_f64().unwrap() - decibels).abs() < 1e-3 && decibels < 0.1, "{level}");
    assert!(stream["latency_ms"].as_f64().unwrap() >= 20.0, "with the listener's cushion: {stream}");
    assert_eq!(endpoint["name"], format!("{} (scripted)", client.address()));
    let listed = output(&["endpoints", "--state-dir", state.to_str().unwrap(), "--json"]).stdout;
    let listed: serde_json::Value = serde_json::from_slice(&listed).unwrap();
    assert_eq!(endpoint["latency_ms"], listed[0]["latency_ms"], "the same as `soundpost endpoints` says");
    let table = shown(&[]);
    let line =
        |word: &str| table.lines().find(|line| line.contains(word)).unwrap_or_else(|| panic!("{table}")).to_owned();
    assert!(line("welcome.flac").trim_start().starts_with("from ") && line("welcome.flac").contains("100%"), "{table}");
    assert!(line("(scripted)").trim_start().starts_with("to "), "{table}");
    assert!(!table.contains('\x1b'), "no redrawing where it is no terminal");

    // Again and again, until nobody reads it any more.
    let mut watch = crate::daemon::soundpost();
    watch.args(args(&["--watch", "--json"])).stdout(std::process::Stdio::piped());
    let mut watch = watch.spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut passes = || -> u64 {
        let json: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        json["sessions"][0]["devices"][0]["passes"].as_u64().unwrap()
    };
    let (first, second) = (passes(), passes());
    assert!(second > first, "{first} and {second} passes");
    drop(lines);
    assert!(watch.wait().unwrap().success());
}

#[test]
fn status_without_a_daemon_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    assert!(refused(&["status", "--state-dir", dir.path().to_str().unwrap()]).contains("start `soundpost serve`"));
}

#[test]
fn version_man_page_and_completions_are_printed() {
    let text = |args: &[&str]| String::from_utf8(output(args).stdout).unwrap();
    assert_eq!(text(&["--version"]), format!("soundpost {}\n", env!("CARGO_PKG_VERSION")));
    let man = text(&["man"]);
    for flag in
        ["rdp", "user", "password\\-file", "play", "once", "render", "state\\-dir", "rdp\\-channel", "rdp\\-security"]
    {
        assert!(man.contains(&format!("\\-\\-{flag}")), "{flag} is not in the man page");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(text(&["completions", shell]).contains("password-file"), "{shell}");
    }
}
