//! PulseAudio's own tools.

use std::io::{BufRead, BufReader};

use super::*;

#[test]
fn paplay_and_pacat_are_heard_to_the_last_sample() {
    if !installed(&["paplay", "pacat"]) {
        return;
    }
    let session = Session::start(&[]);
    let (first, second) = (noise(1, 48_000), noise(2, 48_000));
    write_wav(&session.daemon.path("one.wav"), &first, 48_000);
    session.run("paplay", &["one.wav"]);
    let raw: Vec<u8> = second.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    std::fs::write(session.daemon.path("two.raw"), raw).unwrap();
    session.run("pacat", &["--raw", "--rate=48000", "--channels=2", "--format=s16le", "--latency-msec=30", "two.raw"]);
    let heard = session.heard();
    let between = heard.len() / 2;
    // Whichever of the two ends in the middle, silence is between them.
    let gap = (0..heard.len() / 2).find_map(|k| {
        let quiet = |at: usize| heard.get(at..at + 200).is_some_and(|part| part.iter().all(|sample| *sample == 0));
        [between + k, between - k].into_iter().find(|at| quiet(*at & !1)).map(|at| at & !1)
    });
    let (one, two) = heard.split_at(gap.expect("silence between the two"));
    heard_exactly(&first, one, "paplay");
    heard_exactly(&second, two, "pacat");
}

#[test]
fn what_is_suspended_stands_still_and_goes_on() {
    if !installed(&["paplay", "parec", "pactl"]) {
        return;
    }
    let session = Session::start(&[]);
    write_wav(&session.daemon.path("tone.wav"), &tone(440.0, 2.0), 48_000);
    let begun = Instant::now();
    let mut player = session.command("paplay").arg("tone.wav").spawn().unwrap();
    std::thread::sleep(Duration::from_millis(700));
    session.pactl(&["suspend-sink", "soundpost", "1"]);
    assert!(session.pactl(&["list", "short", "sinks"]).contains("SUSPENDED"));
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(player.try_wait().unwrap(), None, "nothing plays meanwhile, so it does not end");
    session.pactl(&["suspend-sink", "soundpost", "0"]);
    wait(&mut player, "paplay");
    assert!(begun.elapsed() > Duration::from_millis(3_400), "{:?}", begun.elapsed());
    // A source: nothing comes while it stands still.
    session.pactl(&["suspend-source", "soundpost.microphone", "1"]);
    let mut recorder = session.command("parec");
    let recorder = recorder.args(["--raw", "--latency-msec=20", "-d", "soundpost.microphone"]);
    let file = std::fs::File::create(session.daemon.path("recorded.raw")).unwrap();
    let mut recorder = recorder.stdout(file).spawn().unwrap();
    let recorded = || std::fs::metadata(session.daemon.path("recorded.raw")).unwrap().len();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(recorded(), 0);
    session.pactl(&["suspend-source", "soundpost.microphone", "0"]);
    let limit = Instant::now() + PATIENCE;
    while recorded() == 0 {
        assert!(Instant::now() < limit, "it does not go on");
        std::thread::sleep(Duration::from_millis(20));
    }
    recorder.kill().unwrap();
    recorder.wait().unwrap();
    let heard = session.heard();
    // What was faded at the two ends of the pause is no clean tone.
    let sounds = seconds_of_tone(&heard, 48_000.0, 440.0);
    assert!((1.9..=2.02).contains(&sounds), "{sounds} s of 2 s were heard");
    let (mut silent, mut longest) = (0, 0);
    for frame in heard.chunks_exact(2) {
        silent = if frame[0] == 0 { silent + 1 } else { 0 };
        longest = longest.max(silent);
    }
    assert!(longest > 48_000, "{longest} silent frames in a row");
}

#[test]
fn every_sample_format_and_many_rates_are_heard() {
    if !installed(&["pacat", "ffmpeg"]) {
        return;
    }
    let session = Session::start(&[]);
    write_wav(&session.daemon.path("tone.wav"), &tone(1_000.0, 1.0), 48_000);
    let formats = [
        ("u8", "u8", "8000"),
        ("alaw", "alaw", "16000"),
        ("ulaw", "mulaw", "22050"),
        ("s16be", "s16be", "44100"),
        ("s24le", "s24le", "48000"),
        ("s32be", "s32be", "96000"),
        ("float32be", "f32be", "192000"),
        ("float32le", "f32le", "11025"),
    ];
    for (pulse, ffmpeg, rate) in formats {
        let codec = format!("pcm_{ffmpeg}");
        let made = ["-ar", rate, "-c:a", &codec, "-f", ffmpeg, "tone.raw"];
        session.run("ffmpeg", &[&["-v", "error", "-y", "-i", "tone.wav"], &made[..]].concat());
        let args = [&format!("--format={pulse}"), &format!("--rate={rate}"), "--raw", "--channels=2", "tone.raw"];
        session.run("pacat", &args);
    }
    let heard = session.heard();
    let seconds = seconds_of_tone(&heard, 48_000.0, 1_000.0);
    assert!(seconds > 7.5 && seconds < 8.2, "8 formats of a second each: {seconds} s were heard");
}

#[test]
fn parec_records_the_microphone_and_the_monitor_without_a_loss() {
    if !installed(&["parec", "paplay"]) {
        return;
    }
    let session = Session::start(&["--capture", "test-signal"]);
    let raw = ["--raw", "--rate=48000", "--channels=2", "--format=s16le", "--latency-msec=20"];
    let record = |device: &str, file: &str| {
        let out = std::fs::File::create(session.daemon.path(file)).unwrap();
        session.command("parec").args(raw).args(["-d", device]).stdout(out).spawn().unwrap()
    };
    let mut recorders = [record("soundpost.microphone", "mic.raw"), record("soundpost.monitor", "monitor.raw")];
    std::thread::sleep(Duration::from_millis(500));
    let played = noise(3, 96_000);
    write_wav(&session.daemon.path("one.wav"), &played, 48_000);
    session.run("paplay", &["one.wav"]);
    std::thread::sleep(Duration::from_millis(500));
    for recorder in &mut recorders {
        recorder.kill().unwrap();
        recorder.wait().unwrap();
    }
    let read = |file: &str| -> Vec<i16> {
        let bytes = std::fs::read(session.daemon.path(file)).unwrap();
        bytes.chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect()
    };
    heard_exactly(&played, &read("monitor.raw"), "the monitor");
    // The test signal is the number of each frame, 16 bits a channel.
    let numbers: Vec<u32> = read("mic.raw")
        .chunks_exact(2)
        .map(|frame| u32::from(frame[1] as u16) << 16 | u32::from(frame[0] as u16))
        .skip_while(|number| *number == 0)
        .collect();
    assert!(numbers.len() > 90_000, "{} frames", numbers.len());
    let breaks = numbers.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
    assert_eq!(breaks, 0, "from {:?} to {:?}", numbers.first(), numbers.last());
}

#[test]
fn pactl_shows_and_changes_everything() {
    if !installed(&["pactl", "pacat"]) {
        return;
    }
    let session = Session::start(&[]);
    let info = session.pactl(&["info"]);
    assert!(info.contains("Server Name: PulseAudio (on Soundpost)"), "{info}");
    assert!(info.contains("Default Sink: soundpost\n") && info.contains("Default Source: soundpost.microphone\n"));
    let list = session.pactl(&["list"]);
    for part in
        ["Description: Remote speakers", "Description: Remote microphone", "Name: soundpost.monitor", "Client #"]
    {
        assert!(list.contains(part), "{part}: {list}");
    }
    let events = Subscription::start(&session);
    let mut player = session
        .command("pacat")
        .args(["--raw", "--rate=48000", "--channels=2", "--format=s16le", "/dev/zero"])
        .spawn()
        .unwrap();
    let created = events.wait_for("'new' on sink-input");
    let index = created.rsplit_once('#').unwrap().1.to_owned();
    session.pactl(&["set-sink-input-volume", &index, "50%"]);
    session.pactl(&["set-sink-input-mute", &index, "1"]);
    session.pactl(&["move-sink-input", &index, "soundpost"]);
    let shown = session.pactl(&["list", "sink-inputs"]);
    assert!(shown.contains("Mute: yes") && shown.contains("front-left: 32768 /  50%"), "{shown}");
    events.wait_for("'change' on sink-input");
    session.pactl(&["set-sink-volume", "@DEFAULT_SINK@", "80%"]);
    session.pactl(&["set-sink-mute", "soundpost", "1"]);
    session.pactl(&["set-source-volume", "soundpost.microphone", "30%"]);
    session.pactl(&["set-source-mute", "@DEFAULT_SOURCE@", "1"]);
    assert!(session.pactl(&["get-sink-volume", "soundpost"]).contains("80%"));
    assert!(session.pactl(&["get-sink-mute", "soundpost"]).contains("yes"));
    assert!(session.pactl(&["get-source-volume", "soundpost.microphone"]).contains("30%"));
    assert!(session.pactl(&["get-source-mute", "soundpost.microphone"]).contains("yes"));
    session.pactl(&["set-default-source", "soundpost.monitor"]);
    assert_eq!(session.pactl(&["get-default-source"]).trim(), "soundpost.monitor");
    assert_eq!(session.pactl(&["get-default-sink"]).trim(), "soundpost");
    player.kill().unwrap();
    player.wait().unwrap();
    events.wait_for("'remove' on sink-input");
}

/// `pactl subscribe`, and what it has printed.
struct Subscription {
    child: Child,
    lines: std::sync::Arc<std::sync::Mutex<Vec<String>>>,
}

impl Subscription {
    /// Starts it, and waits until it hears something.
    fn start(session: &Session) -> Self {
        let mut child = session.command("pactl").arg("subscribe").stdout(Stdio::piped()).spawn().unwrap();
        let lines = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let (out, heard) = (BufReader::new(child.stdout.take().unwrap()), lines.clone());
        std::thread::spawn(move || out.lines().map_while(Result::ok).for_each(|line| heard.lock().unwrap().push(line)));
        let subscription = Self { child, lines };
        let deadline = Instant::now() + PATIENCE;
        while subscription.lines.lock().unwrap().is_empty() {
            assert!(Instant::now() < deadline, "pactl subscribe hears nothing");
            // Each client that comes is an event.
            session.pactl(&["info"]);
        }
        subscription
    }

    fn wait_for(&self, what: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let lines = self.lines.lock().unwrap().clone();
            if let Some(line) = lines.iter().find(|line| line.contains(what)) {
                return line.clone();
            }
            assert!(Instant::now() < deadline, "no event {what}: {lines:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn volumes_are_heard_and_outlive_the_daemon() {
    if !installed(&["pactl", "paplay"]) {
        return;
    }
    let session = Session::start(&[]);
    let loud = |samples: &[i16]| samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0);
    write_wav(&session.daemon.path("tone.wav"), &tone(500.0, 1.5), 48_000);
    let mut player = session.command("paplay").args(["--property=application.id=tester", "tone.wav"]).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    let index = loop {
        let list = session.pactl(&["list", "short", "sink-inputs"]);
        if let Some(index) = list.split_whitespace().next() {
            break index.to_owned();
        }
        assert!(Instant::now() < deadline);
    };
    session.pactl(&["set-sink-input-volume", &index, "50%"]);
    wait(&mut player, "paplay");
    let state = session.daemon.path("state/applications.json");
    let heard = session.heard_in(&state);
    // An eighth of 12000, by the cubic scale, once the volume is set.
    let end = heard.0.len() - 20_000;
    let last = loud(&heard.0[end - 20_000..end]);
    assert!((1_450..=1_550).contains(&last), "{last}");
    assert!(heard.1.contains("application-id:tester") && heard.1.contains("32768"), "{}", heard.1);
}

impl Session {
    /// What the session has heard, and a file's text, which goes with the daemon.
    fn heard_in(mut self, file: &Path) -> (Vec<i16>, String) {
        self.daemon.signal("INT");
        assert_eq!(self.daemon.wait(Duration::from_secs(20)), Some(0), "{}", self.daemon.log());
        (read_wav(&self.daemon.path("heard.wav")), std::fs::read_to_string(file).unwrap())
    }
}
