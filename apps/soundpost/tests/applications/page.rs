//! A page with WebAudio in a browser without a window.

use super::*;

const PAGE: &str = "<!doctype html><title>tone</title><script>
const context = new AudioContext();
const tone = new OscillatorNode(context, {frequency: 1000});
tone.connect(new GainNode(context, {gain: 0.4})).connect(context.destination);
tone.start();
</script>";

#[test]
fn a_page_with_webaudio_is_heard() {
    if !installed(&["chromium"]) {
        return;
    }
    let session = Session::start(&[]);
    let page = session.daemon.path("page.html");
    std::fs::write(&page, PAGE).unwrap();
    let mut browser = session
        .command("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"])
        .args(["--autoplay-policy=no-user-gesture-required", "--remote-debugging-port=0"])
        .arg(format!("--user-data-dir={}", session.daemon.path("browser").display()))
        .arg(format!("file://{}", page.display()))
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(session.daemon.path("browser.log")).unwrap())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let list = session.pactl(&["list", "sink-inputs"]);
        if list.contains("Corked: no") {
            break;
        }
        if Instant::now() > deadline {
            browser.kill().unwrap();
            let told = std::fs::read_to_string(session.daemon.path("browser.log")).unwrap();
            panic!("the browser opens no stream: {list}\n{told}");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    std::thread::sleep(Duration::from_secs(3));
    browser.kill().unwrap();
    browser.wait().unwrap();
    let seconds = seconds_of_tone(&session.heard(), 48_000.0, 1_000.0);
    assert!(seconds > 2.5, "{seconds} s of the page's tone");
}
