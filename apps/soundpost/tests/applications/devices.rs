//! Several sessions, and several devices in each.

use super::*;

/// A configuration with a second session, and with further devices where `tape` says so.
fn configuration(dir: &Path, tape: bool) -> String {
    let password = dir.join("second.password");
    std::fs::write(&password, "another").unwrap();
    let mut text = format!(
        "[[users]]\nname = 'second one'\npassword_file = '{}'\n\
         [[devices]]\nkind = 'sink'\nname = 'music'\ndescription = 'Music'\nendpoints = ['listeners', 'file:music.wav']\n\
         [[devices]]\nkind = 'source'\nname = 'test.tone'\nendpoints = ['tone']\n\
         [[devices]]\nkind = 'sink'\nname = 'theirs'\nuser = 'second one'\n",
        password.display()
    );
    if tape {
        text.push_str("[[devices]]\nkind = 'sink'\nname = 'tape'\nendpoints = ['file:tape.wav']\n");
    }
    text
}

/// The number of the only stream, and the name of the sink that it is on.
fn stream(session: &Session) -> Option<(String, String)> {
    let list = session.pactl(&["list", "short", "sink-inputs"]);
    let mut fields = list.split('\t');
    let (index, sink) = (fields.next()?.to_owned(), fields.next()?.to_owned());
    let sinks = session.pactl(&["list", "short", "sinks"]);
    let name = sinks.lines().find_map(|line| line.strip_prefix(&format!("{sink}\t"))?.split('\t').next());
    Some((index, name?.to_owned()))
}

fn until(what: &str, session: &Session, reached: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !reached() {
        assert!(Instant::now() < deadline, "{what}: {}", session.daemon.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn further_devices_are_heard_apart_moved_between_and_unplugged() {
    if !installed(&["pactl", "paplay", "pacat"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    let write = |tape| std::fs::write(&path, configuration(dir.path(), tape)).unwrap();
    write(true);
    let session = Session::start(&["--config", path.to_str().unwrap()]);
    let listed = |what: &str| -> Vec<String> {
        let list = session.pactl(&["list", "short", what]);
        list.lines().map(|line| line.split('\t').nth(1).unwrap().to_owned()).collect()
    };
    assert_eq!(listed("sinks"), ["soundpost", "music", "tape"]);
    let sources = ["soundpost.monitor", "soundpost.microphone", "music.monitor", "test.tone", "tape.monitor"];
    assert_eq!(listed("sources"), sources);
    assert!(session.pactl(&["list", "sinks"]).contains("Description: Music"));
    assert_eq!(session.pactl(&["get-default-sink"]).trim(), "soundpost");

    // What is heard by the listeners goes through the speakers' mix bit for bit; the tape is heard by nobody.
    let (music, taped) = (noise(21, 48_000), noise(22, 48_000));
    write_wav(&session.daemon.path("a.wav"), &music, 48_000);
    write_wav(&session.daemon.path("b.wav"), &taped, 48_000);
    session.run("paplay", &["--device=music", "a.wav"]);
    session.run("paplay", &["--device=tape", "b.wav"]);

    // The second session has devices of its own.
    let second = |program: &str, args: &[&str]| {
        let socket = session.daemon.path("state/pulse/second%20one/native");
        let mut command = session.command(program);
        let output = command.env("PULSE_SERVER", format!("unix:{}", socket.display())).args(args).output().unwrap();
        assert!(output.status.success(), "{program} {args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let theirs = second("pactl", &["list", "short", "sinks"]);
    assert!(theirs.contains("soundpost\t") && theirs.contains("theirs\t") && !theirs.contains("music"), "{theirs}");
    second("paplay", &["b.wav"]);

    // A stream is moved, loses its device, follows the default, and comes back.
    let mut player = session
        .command("pacat")
        .args(["--raw", "--rate=48000", "--channels=2", "--format=s16le", "/dev/zero"])
        .spawn()
        .unwrap();
    until("the stream", &session, || stream(&session).is_some());
    let (index, _) = stream(&session).unwrap();
    session.pactl(&["move-sink-input", &index, "tape"]);
    assert_eq!(stream(&session).unwrap().1, "tape");
    write(false);
    session.daemon.signal("USR1");
    until("the tape goes", &session, || !listed("sinks").contains(&"tape".to_owned()));
    assert_eq!(stream(&session), Some((index.clone(), "soundpost".to_owned())));
    session.pactl(&["set-default-sink", "music"]);
    assert_eq!(stream(&session).unwrap().1, "music");
    std::fs::rename(session.daemon.path("tape.wav"), session.daemon.path("first-tape.wav")).unwrap();
    write(true);
    session.daemon.signal("USR1");
    until("the tape comes", &session, || stream(&session).unwrap().1 == "tape");
    assert_eq!(player.try_wait().unwrap(), None, "it has played on");
    player.kill().unwrap();
    player.wait().unwrap();

    let (tape, music_file) = (session.daemon.path("first-tape.wav"), session.daemon.path("music.wav"));
    heard_exactly(&taped, &read_wav(&tape), "the tape");
    let kept = session.daemon.path("state/applications.json");
    until("the default is kept", &session, || {
        std::fs::read_to_string(&kept).is_ok_and(|text| text.contains(r#""default_sink": "music""#))
    });
    let Session { mut daemon } = session;
    daemon.signal("INT");
    assert_eq!(daemon.wait(Duration::from_secs(20)), Some(0), "{}", daemon.log());
    heard_exactly(&music, &read_wav(&music_file), "the file of the music");
    heard_exactly(&music, &read_wav(&daemon.path("heard.wav")), "the listeners");
}

#[test]
fn another_user_does_not_get_in() {
    if !installed(&["pactl", "setpriv"]) {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root can be several users");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let open = |path: &Path, owner| {
        std::fs::create_dir_all(path).unwrap();
        std::os::unix::fs::chown(path, Some(owner), Some(owner)).unwrap();
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    };
    // Whoever knows the way may come to the sockets: the server itself keeps them out.
    open(dir.path(), 0);
    open(&dir.path().join("theirs"), 65_534);
    std::fs::write(dir.path().join("password"), "another").unwrap();
    let (first, second) = (dir.path().join("native"), dir.path().join("theirs/native"));
    let text = format!(
        "[[users]]\nname = 'second'\npassword_file = '{}'\naccount = 'nobody'\npulse_socket = '{}'\n",
        dir.path().join("password").display(),
        second.display(),
    );
    let path = dir.path().join("config.toml");
    std::fs::write(&path, text).unwrap();
    let session = Session::start(&["--config", path.to_str().unwrap(), "--pulse-socket", first.to_str().unwrap()]);
    let enters = |user: &str, socket: &Path| {
        let mut command = session.command("setpriv");
        command.args(["--reuid", user, "--regid", user, "--clear-groups", "pactl", "info"]).current_dir("/");
        let output = command.env("PULSE_SERVER", format!("unix:{}", socket.display())).output().unwrap();
        output.status.success()
    };
    assert_eq!(["0", "65534", "1"].map(|user| enters(user, &first)), [true, false, false]);
    assert_eq!(["0", "65534", "1"].map(|user| enters(user, &second)), [true, true, false]);
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&second).unwrap());
    assert_eq!(owner, 65_534);
}
