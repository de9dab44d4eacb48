//! How a run ends: of itself, when asked, and when killed.

use std::time::Duration;

use crate::counter::{first_index, frames, judge, seconds, write};
use crate::daemon::{Daemon, read_wav};

const LIMIT: Duration = Duration::from_secs(10);

/// A daemon that plays `length` frames of counted sound.
fn playing(length: u32, more: &[&str]) -> Daemon {
    let dir = tempfile::tempdir().unwrap();
    let sound = dir.path().join("sound.wav");
    write(&sound, length);
    let mut args = vec!["--play", sound.to_str().unwrap()];
    args.extend_from_slice(more);
    Daemon::start(&args)
}

#[test]
fn once_ends_when_the_file_has_been_heard_to_its_last_frame() {
    let length = 48_000 * 2 + 123;
    let dir = tempfile::tempdir().unwrap();
    let render = dir.path().join("heard.wav");
    let mut daemon = playing(length, &["--once", "--render", render.to_str().unwrap()]);
    let client = daemon.connect();
    assert_eq!(daemon.wait(LIMIT), Some(0));
    assert!(client.wait_until(|record| record.ended.is_some()));
    let record = client.record();
    let heard = judge(frames(&record.pcm), length);
    assert!(heard.is_whole(), "{heard:?}");
    assert_eq!((heard.first, heard.last), (Some(0), Some(length - 1)));
    assert!(record.goodbye, "the client was not told");
    let file = judge(read_wav(&render).chunks_exact(2).map(|f| (f[0], f[1])), length);
    assert!(file.is_whole(), "{file:?}");
    assert_eq!((file.first, file.last), (Some(0), Some(length - 1)));
}

#[test]
fn without_rdp_the_file_that_is_written_is_the_listener() {
    let length = 48_000;
    let dir = tempfile::tempdir().unwrap();
    let (sound, render) = (dir.path().join("sound.wav"), dir.path().join("heard.wav"));
    write(&sound, length);
    let status = crate::daemon::soundpost()
        .args(["serve", "--rdp", "off", "--once", "--play", sound.to_str().unwrap()])
        .args(["--render", render.to_str().unwrap(), "--state-dir", dir.path().join("state").to_str().unwrap()])
        .output()
        .unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    let file = judge(read_wav(&render).chunks_exact(2).map(|f| (f[0], f[1])), length);
    assert!(file.is_whole(), "{file:?}");
    assert_eq!((file.first, file.last), (Some(0), Some(length - 1)));
}

#[test]
fn a_signal_ends_it_in_order_and_tells_the_client() {
    for signal in ["TERM", "INT"] {
        let mut daemon = playing(48_000 * 60, &[]);
        let client = daemon.connect();
        assert!(client.wait_until(|record| first_index(&record.pcm).is_some()));
        daemon.signal(signal);
        assert_eq!(daemon.wait(LIMIT), Some(0), "{signal}");
        assert!(client.wait_until(|record| record.ended.is_some()));
        let record = client.record();
        assert!(record.goodbye, "{signal}: the client was not told");
        assert!(judge(frames(&record.pcm), 48_000 * 60).is_whole(), "{signal}");
        assert!(!daemon.path("state").join("control.sock").exists());
    }
}

#[test]
fn a_file_being_written_is_whole_after_a_kill() {
    let length = 48_000 * 60;
    let dir = tempfile::tempdir().unwrap();
    let render = dir.path().join("heard.wav");
    let mut daemon = playing(length, &["--render", render.to_str().unwrap()]);
    let client = daemon.connect();
    let played = 48_000 * 4 * 3;
    assert!(client.wait_until(|record| record.pcm.len() > played), "{:?}", client.record().ended);
    daemon.signal("KILL");
    assert_eq!(daemon.wait(LIMIT), None);
    let heard = judge(frames(&client.record().pcm), length);
    let file = judge(read_wav(&render).chunks_exact(2).map(|f| (f[0], f[1])), length);
    assert!(file.is_whole(), "{file:?}");
    assert_eq!(file.first, Some(0));
    let (file, heard) = (file.last.unwrap(), heard.last.unwrap());
    eprintln!("the file ends {} ms before the sound did", heard.saturating_sub(file) / 48);
    assert!(file + 48_000 > heard, "the file ends at frame {file}, the listener heard frame {heard}");
}

#[test]
fn a_hundred_idle_sessions_cost_less_than_a_hundredth_of_a_core() {
    let dir = tempfile::tempdir().unwrap();
    let password = dir.path().join("password");
    std::fs::write(&password, "p").unwrap();
    let users: Vec<String> = (0..99).map(|k| format!("--add-user=user{k}={}", password.display())).collect();
    let daemon = Daemon::start(&users.iter().map(String::as_str).collect::<Vec<_>>());
    std::thread::sleep(Duration::from_secs(2));
    let before = daemon.ticks();
    let watched = u64::from(seconds().min(60));
    std::thread::sleep(Duration::from_secs(watched));
    let used = daemon.ticks() - before;
    eprintln!("100 idle sessions: {} ms of processor time in {watched} s", used * 10);
    // A tick is 10 ms: a hundredth of a core is one tick a second.
    assert!(used < watched, "{used} ticks in {watched} s");
}
