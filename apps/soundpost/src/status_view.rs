//! How `soundpost status` shows sessions to people.

use crate::status::{AttachedStatus, DeviceStatus, Level, Status, StreamStatus, latency, lined_up};

/// Who plays what to whom: for each session its devices, and for each of those what plays into it and who hears it (or,
/// for a microphone, where it comes from and who records it).
pub(crate) fn sessions(status: &Status) -> String {
    let mut rows = vec![["SESSION", "", "STATE", "VOLUME", "PEAK", "RMS", "LATENCY", "UNDERRUNS"].map(str::to_owned)];
    for session in &status.sessions {
        rows.push(row(&session.name, "", "", "", [String::new(), String::new()], "", ""));
        for device in &session.devices {
            rows.push(device_row(device));
            let behind = device.endpoints.iter().map(|endpoint| endpoint.client_latency_ms).fold(0.0, f64::max);
            let (into, out) = if device.flow == "capture" { ("to", "from") } else { ("from", "to") };
            rows.extend(device.streams.iter().map(|stream| stream_row(into, stream, behind)));
            rows.extend(device.endpoints.iter().map(|endpoint| endpoint_row(out, endpoint)));
        }
    }
    let mut text = lined_up(&rows);
    if status.sessions.iter().all(|session| session.devices.iter().all(|device| device.endpoints.is_empty())) {
        text.push_str(&format!("(nobody listens yet; RDP clients connect to {})\n", status.listen));
    }
    text
}

/// The same, written over what a terminal shows of the last time.
pub(crate) fn over_the_last(text: &str) -> String {
    // To the upper left corner; each line to its end; then whatever is below.
    format!("\x1b[H{}\x1b[J", text.replace('\n', "\x1b[K\n"))
}

fn row(
    first: &str,
    name: &str,
    state: &str,
    volume: &str,
    [peak, rms]: [String; 2],
    latency: &str,
    underruns: &str,
) -> [String; 8] {
    [first.into(), name.into(), state.into(), volume.into(), peak, rms, latency.into(), underruns.into()]
}

fn device_row(device: &DeviceStatus) -> [String; 8] {
    let state = if device.active { "on" } else { "idle" };
    let volume = volume(device.volume, device.muted);
    let name = format!("{} ({})", device.name, device.format);
    // A device that is idle keeps the levels of its last pass.
    let levels = if device.active { levels(&device.levels) } else { [String::new(), String::new()] };
    row("  device", &name, state, &volume, levels, "", "")
}

fn stream_row(way: &str, stream: &StreamStatus, behind_ms: f64) -> [String; 8] {
    let volume = volume(stream.volume, stream.muted);
    let (late, dry) = (latency(stream.latency_ms, behind_ms), stream.underruns.to_string());
    row(&format!("    {way}"), &printable(&stream.name), &stream.state, &volume, levels(&stream.levels), &late, &dry)
}

fn endpoint_row(way: &str, endpoint: &AttachedStatus) -> [String; 8] {
    let late = latency(endpoint.latency_ms, endpoint.client_latency_ms);
    let peak = decibels(endpoint.peak.iter().copied().fold(0.0, f32::max));
    let (name, dry) = (printable(&endpoint.name), endpoint.underruns.to_string());
    row(&format!("    {way}"), &name, &endpoint.state, "", [peak, String::new()], &late, &dry)
}

/// A name that came from outside, without what would steer the terminal.
fn printable(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// As mixers show it, in percent: the cube root of the gain.
fn volume(gain: f32, muted: bool) -> String {
    let percent = gain.max(0.0).cbrt() * 100.0;
    if muted { format!("{percent:.0}% muted") } else { format!("{percent:.0}%") }
}

/// The loudest channel's peak and RMS.
fn levels(levels: &[Level]) -> [String; 2] {
    let most = |of: fn(&Level) -> f32| decibels(levels.iter().map(of).fold(0.0, f32::max));
    [most(|level| level.peak), most(|level| level.rms)]
}

fn decibels(level: f32) -> String {
    if level < 1e-6 { "silent".into() } else { format!("{:.1} dB", 20.0 * level.log10()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{PassTime, SessionStatus};

    fn status() -> Status {
        let stream = StreamStatus {
            name: "Music\x1b[2J".into(),
            format: "s16 44100 Hz stereo".into(),
            state: "running".into(),
            volume: 0.125,
            muted: true,
            frames: 1,
            queued_frames: 1,
            underruns: 3,
            latency_ms: 30.0,
            levels: vec![Level::new(0.1, 0.01), Level::new(0.5, 0.0)],
        };
        let endpoint = AttachedStatus {
            name: "10.0.0.7:5000 (laptop)".into(),
            format: "s16 48000 Hz stereo".into(),
            state: "playing".into(),
            latency_ms: 20.0,
            client_latency_ms: 45.0,
            underruns: 0,
            applies_volume: false,
            peak: vec![0.0, 0.0],
        };
        let device = DeviceStatus {
            name: "anna's speakers".into(),
            flow: "render".into(),
            volume: 1.0,
            muted: false,
            format: "f32 48000 Hz stereo".into(),
            period_ms: 10.0,
            active: true,
            levels: vec![],
            passes: 1,
            late_passes: 0,
            missed_passes: 0,
            limited_frames: 0,
            pass_time: PassTime::default(),
            streams: vec![stream],
            endpoints: vec![endpoint],
        };
        let sessions = vec![SessionStatus { name: "anna".into(), devices: vec![device] }];
        Status { version: "1".into(), pid: 1, listen: "x".into(), endpoints: vec![], sessions }
    }

    #[test]
    fn a_stream_and_its_listener_are_shown_with_levels_and_latency() {
        let text = sessions(&status());
        let words = |line: usize| text.lines().nth(line).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words(1), "anna");
        assert_eq!(words(2), "device anna's speakers (f32 48000 Hz stereo) on 100% silent silent");
        assert_eq!(words(3), "from Music?[2J running 50% muted -6.0 dB -40.0 dB 30.0 + 45 ms 3");
        assert_eq!(words(4), "to 10.0.0.7:5000 (laptop) playing silent 20.0 + 45 ms 0");
        assert_eq!(text.lines().count(), 5);
    }

    #[test]
    fn a_redrawn_table_leaves_nothing_of_the_last_one() {
        assert_eq!(over_the_last("a\nb\n"), "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J");
    }

    #[test]
    fn who_waits_for_a_listener_is_told_where_to_connect() {
        let mut empty = status();
        empty.sessions[0].devices[0].endpoints.clear();
        assert!(sessions(&empty).contains("nobody listens yet; RDP clients connect to x"));
    }

    #[test]
    fn json_has_decibels_and_none_for_silence() {
        let json = serde_json::to_value(status().overview()).unwrap();
        let levels = &json["sessions"][0]["devices"][0]["streams"][0]["levels"];
        assert!((levels[0]["peak_db"].as_f64().unwrap() + 20.0).abs() < 1e-3, "{levels}");
        assert!(levels[1]["rms_db"].is_null() && levels[1]["rms"] == 0.0, "{levels}");
        assert_eq!(json["sessions"][0]["devices"][0]["endpoints"][0]["client_latency_ms"], 45.0);
    }
}
