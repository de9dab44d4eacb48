//! Applications that start, stop, seek and change speed again and again: nothing of that is left behind.
//!
//! `SOUNDPOST_TEST_TIMES` sets how often (40 where it is not set).

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;

use super::scripted::Scripted;
use super::*;

fn times() -> usize {
    std::env::var("SOUNDPOST_TEST_TIMES").ok().and_then(|text| text.parse().ok()).unwrap_or(40)
}

/// What must be as it was.
#[derive(Debug)]
struct Footprint {
    files: usize,
    resident_kib: u64,
    /// From the writing of a new stream to its end of the engine, in milliseconds.
    latency_ms: u64,
}

impl Footprint {
    fn of(session: &Session) -> Self {
        session.until("the end of all streams", || session.streams() == 0);
        let mut client = Scripted::connect(&session.daemon.path("state/pulse/native"), 35);
        let latency_ms = client.latency_of_a_new_stream().as_millis() as u64;
        drop(client);
        session.until("the end of the stream", || session.streams() == 0);
        Self { files: session.files(), resident_kib: session.daemon.memory_kib("VmRSS"), latency_ms }
    }

    fn is_as(&self, before: &Self, who: &str) {
        eprintln!("{who}, {} times: {before:?} before, {self:?} after", times());
        assert_eq!(self.files, before.files, "{who}: files are left open");
        assert!(self.resident_kib < before.resident_kib + 8 * 1024, "{who}: {before:?}, then {self:?}");
        // What is kept ahead grows by up to 38 ms where the machine comes too late; nothing else may add to it.
        assert!(self.latency_ms < before.latency_ms + 45, "{who}: {before:?}, then {self:?}");
    }
}

/// A player that is told what to do.
struct Player {
    child: Child,
    commands: UnixStream,
    answers: BufReader<UnixStream>,
    sent: u32,
}

impl Player {
    fn start(session: &Session, file: &str) -> Self {
        let path = session.daemon.path("mpv");
        let child = session
            .command("mpv")
            .args(["--no-config", "--no-video", "--ao=pulse", "--really-quiet", "--loop=inf"])
            .arg(format!("--input-ipc-server={}", path.display()))
            .arg(file)
            .spawn()
            .unwrap();
        session.until("mpv", || UnixStream::connect(&path).is_ok());
        let commands = UnixStream::connect(&path).unwrap();
        commands.set_read_timeout(Some(PATIENCE)).unwrap();
        let answers = BufReader::new(commands.try_clone().unwrap());
        Self { child, commands, answers, sent: 0 }
    }

    /// Gives a command; its answer. Others are events.
    fn tell(&mut self, command: &str) -> String {
        self.sent += 1;
        writeln!(self.commands, r#"{{"command":[{command}],"request_id":{}}}"#, self.sent).unwrap();
        let mine = format!(r#""request_id":{}"#, self.sent);
        loop {
            let mut line = String::new();
            assert!(self.answers.read_line(&mut line).unwrap() > 0, "mpv has gone");
            if line.contains(&format!("{mine},")) || line.contains(&format!("{mine}}}")) {
                return line;
            }
        }
    }

    fn place(&mut self) -> Option<f64> {
        let answer = self.tell(r#""get_property","time-pos""#);
        let data = answer.split_once(r#""data":"#)?.1;
        data.split([',', '}']).next()?.parse().ok()
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn mpv_that_seeks_pauses_and_changes_speed_leaves_nothing_behind() {
    if !installed(&["mpv", "pactl"]) {
        return;
    }
    let session = Session::start(&[]);
    write_wav(&session.daemon.path("tone.wav"), &tone(1_000.0, 60.0), 48_000);
    // What the first player makes the daemon keep is not what is looked at.
    session.run("mpv", &["--no-config", "--no-video", "--ao=pulse", "--really-quiet", "--length=0.5", "tone.wav"]);
    let before = Footprint::of(&session);
    let mut player = Player::start(&session, "tone.wav");
    session.until("mpv's stream", || session.streams() == 1);
    for k in 0..times() {
        for command in [
            format!(r#""seek",{},"absolute""#, k * 7 % 50),
            r#""set_property","pause",true"#.to_owned(),
            r#""set_property","pause",false"#.to_owned(),
            format!(r#""set_property","speed",{}"#, [0.5, 1.0, 1.25, 2.0][k % 4]),
        ] {
            let answer = player.tell(&command);
            // A seek is refused while the file is opened anew.
            assert!(answer.contains("success") || command.contains("seek"), "{command}: {answer}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    player.tell(r#""set_property","speed",1.0"#);
    player.tell(r#""seek",5,"absolute""#);
    // It plays on: what mpv takes for heard moves with the clock, and there is still one stream.
    session.until("sound after all that", || session.streams() == 1);
    std::thread::sleep(Duration::from_millis(500));
    let (from, begin) = (player.place().expect("a place"), Instant::now());
    std::thread::sleep(Duration::from_secs(1));
    let (to, passed) = (player.place().expect("a place"), begin.elapsed().as_secs_f64());
    assert!((to - from - passed).abs() < 0.3, "from {from} to {to} s in {passed} s");
    assert!(session.pactl(&["list", "sink-inputs"]).contains("Corked: no"));
    player.tell(r#""quit""#);
    wait(&mut player.child, "mpv");
    Footprint::of(&session).is_as(&before, "mpv");
    let seconds = seconds_of_tone(&session.heard(), 48_000.0, 1_000.0);
    assert!(seconds > 1.5, "{seconds} s of the tone were heard");
}

const PAGE: &str = r#"<!doctype html><title>restless</title><script>
const rate = 8000, length = 800, bytes = new Uint8Array(44 + length);
const view = new DataView(bytes.buffer);
const text = (at, word) => [...word].forEach((c, k) => bytes[at + k] = c.charCodeAt(0));
text(0, "RIFF"); view.setUint32(4, 36 + length, true); text(8, "WAVEfmt "); view.setUint32(16, 16, true);
view.setUint16(20, 1, true); view.setUint16(22, 1, true); view.setUint32(24, rate, true); view.setUint32(28, rate, true);
view.setUint16(32, 1, true); view.setUint16(34, 8, true); text(36, "data"); view.setUint32(40, length, true);
for (let k = 0; k < length; k++) bytes[44 + k] = 128 + 60 * Math.sin(k * 2 * Math.PI * 1000 / rate);
const file = URL.createObjectURL(new Blob([bytes], {type: "audio/wav"}));
const pause = ms => new Promise(done => setTimeout(done, ms));
async function all() {
  for (let k = 0; k < TIMES; k++) {
    // Some are over before they are heard, and every fourth one has its time.
    const time = k % 8 < 6 ? 30 : 120;
    if (k % 2) {
      const context = new AudioContext();
      const tone = new OscillatorNode(context, {frequency: 1000});
      tone.connect(new GainNode(context, {gain: 0.4})).connect(context.destination);
      tone.start();
      await pause(time);
      await context.close();
    } else {
      const sound = new Audio(file);
      await sound.play();
      await pause(time);
      sound.pause();
      sound.removeAttribute("src");
      sound.load();
    }
  }
  console.log("all " + TIMES + " sounds were played");
}
all().catch(error => console.log("all failed: " + error));
</script>"#;

/// How many sounds there are with at least 10 ms of quiet between them.
fn sounds_in(samples: &[i16]) -> usize {
    let mut quiet = usize::MAX;
    let mut sounds = 0;
    for frame in samples.chunks_exact(2) {
        if frame[0].unsigned_abs() > 3_000 {
            sounds += usize::from(quiet > 480);
            quiet = 0;
        } else {
            quiet = quiet.saturating_add(1);
        }
    }
    sounds
}

#[test]
fn a_page_that_starts_and_stops_sounds_leaves_nothing_behind() {
    if !installed(&["chromium", "pactl"]) {
        return;
    }
    let session = Session::start(&[]);
    let page = session.daemon.path("page.html");
    let log = session.daemon.path("browser.log");
    let told = || std::fs::read_to_string(&log).unwrap_or_default();
    let visit = |times: usize| {
        std::fs::write(&page, PAGE.replace("TIMES", &times.to_string())).unwrap();
        let mut browser = session
            .command("chromium")
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"])
            .args(["--autoplay-policy=no-user-gesture-required", "--remote-debugging-port=0"])
            .args(["--enable-logging=stderr"])
            .arg(format!("--user-data-dir={}", session.daemon.path("browser").display()))
            .arg(format!("file://{}", page.display()))
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let (mut most, deadline) = (0, Instant::now() + PATIENCE * 10);
        while !["sounds were played", "all failed:"].iter().any(|end| told().contains(end)) {
            most = most.max(session.streams());
            assert!(Instant::now() < deadline, "the page does not end: {}", told());
            std::thread::sleep(Duration::from_millis(200));
        }
        browser.kill().unwrap();
        browser.wait().unwrap();
        assert!(told().contains(&format!("all {times} sounds were played")), "{}", told());
        most
    };
    visit(4);
    let before = Footprint::of(&session);
    let most = visit(times());
    eprintln!("at most {most} streams at once");
    assert!((1..=8).contains(&most), "{most} streams at once");
    Footprint::of(&session).is_as(&before, "the page");
    let sounds = sounds_in(&session.heard());
    eprintln!("{sounds} sounds were heard");
    assert!(sounds * 5 >= times(), "{sounds} sounds were heard, {} had their time", times() / 4);
}
