//! Players, recorders and speakers that know PulseAudio directly or by ALSA's plugin.

use super::*;

/// A second of sound that each player has, at 48 kHz: 16 bits reach the ear as they are.
fn played(session: &Session) -> Vec<i16> {
    let sound = noise(11, 48_000);
    write_wav(&session.daemon.path("sound.wav"), &sound, 48_000);
    sound
}

#[test]
fn aplay_is_heard_and_arecord_hears() {
    if !installed(&["aplay", "arecord"]) {
        return;
    }
    let session = Session::start(&["--capture", "tone"]);
    if !session.command("aplay").arg("-L").output().is_ok_and(|o| String::from_utf8_lossy(&o.stdout).contains("pulse"))
    {
        eprintln!("SKIPPED: libasound2-plugins is not installed");
        return;
    }
    let sound = played(&session);
    session.run("aplay", &["-q", "-D", "pulse", "sound.wav"]);
    session.run("arecord", &["-q", "-D", "pulse", "-f", "S16_LE", "-r", "48000", "-c", "2", "-d", "2", "mic.wav"]);
    let recorded = read_wav(&session.daemon.path("mic.wav"));
    let seconds = seconds_of_tone(&recorded, 48_000.0, 440.0);
    assert!(seconds > 1.8, "arecord has {seconds} s of the tone");
    heard_exactly(&sound, &session.heard(), "aplay");
}

#[test]
fn ffmpeg_plays_and_records() {
    if !installed(&["ffmpeg"]) {
        return;
    }
    let session = Session::start(&["--capture", "tone"]);
    let sound = played(&session);
    // Left to itself it buffers 2 s, and at the end it goes away without waiting for what is buffered.
    let out = ["-f", "pulse", "-buffer_duration", "60", "a stream"];
    session.run("ffmpeg", &[&["-v", "error", "-re", "-i", "sound.wav"], &out[..]].concat());
    session.run("ffmpeg", &["-v", "error", "-f", "pulse", "-i", "default", "-t", "2", "mic.wav"]);
    let recorded = read_wav(&session.daemon.path("mic.wav"));
    let seconds = seconds_of_tone(&recorded, 48_000.0, 440.0);
    assert!(seconds > 1.8, "ffmpeg has {seconds} s of the tone");
    let verdict = exact(&sound, &session.heard()).unwrap();
    eprintln!("ffmpeg: {verdict:?}");
    assert!(verdict.breaks.is_empty() && verdict.unheard_before == 0 && verdict.foreign == 0, "{verdict:?}");
    assert!(verdict.unheard_after < 48_000 / 5, "{verdict:?}");
}

#[test]
fn mpv_plays_from_anywhere_at_another_speed() {
    if !installed(&["mpv"]) {
        return;
    }
    let session = Session::start(&[]);
    write_wav(&session.daemon.path("tone.wav"), &tone(1_000.0, 3.0), 48_000);
    let mpv = ["--no-config", "--no-video", "--ao=pulse", "--really-quiet"];
    session.run("mpv", &[&mpv[..], &["tone.wav"]].concat());
    session.run("mpv", &[&mpv[..], &["--speed=1.5", "--start=1", "tone.wav"]].concat());
    let heard = session.heard();
    let seconds = seconds_of_tone(&heard, 48_000.0, 1_000.0);
    // All of it, and then two thirds of 2 s: mpv keeps the pitch.
    assert!((4.0..4.6).contains(&seconds), "{seconds} s were heard");
}

#[test]
fn espeak_is_heard() {
    if !installed(&["espeak-ng"]) {
        return;
    }
    let session = Session::start(&[]);
    session.run("espeak-ng", &["Soundpost speaks to you"]);
    let heard = session.heard();
    let voiced = heard.chunks(960).filter(|part| part.iter().any(|sample| sample.unsigned_abs() > 500)).count();
    assert!(voiced > 50, "{} ms of speech", voiced * 10);
}
