//! `soundpost simulate`: what it prints, and how it ends.

use crate::daemon::output;

const SCENARIO: &str = "name = 'two desks'\nseconds = 2\nseed = 1\n[[session]]\nname = 'desk'\ncount = 2\n\
    [[session.stream]]\n[[session.endpoint]]\nclock_ppm = 100\n[[session.endpoint]]\nfault = 'panic-in-acquire'\nfault_at = 1\n";

#[test]
fn a_scenario_is_played_compared_and_drawn() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("two.toml"), SCENARIO).unwrap();
    let played = output(&["simulate", &path("two.toml"), "--times", "2", "--plot", &path("two.png")]);
    let (told, complaints) = (String::from_utf8(played.stdout).unwrap(), String::from_utf8(played.stderr).unwrap());
    assert!(played.status.success(), "{told}{complaints}");
    assert!(told.contains("the same in 2 runs") && told.contains("desk (render)"), "{told}");
    assert!(told.contains("1.00 s  desk 1 and 1 more: panic in acquire"), "{told}");
    // Panics that a scenario asks for are no news.
    assert_eq!(complaints, "");
    let picture = std::fs::read(path("two.png")).unwrap();
    assert!(picture.starts_with(b"\x89PNG\r\n") && picture.len() > 5_000);

    let json: serde_json::Value = serde_json::from_slice(
        &output(&["simulate", &path("two.toml"), "--json", "--seconds", "1", "--seed", "9"]).stdout,
    )
    .unwrap();
    assert_eq!(
        (json["seconds"].as_f64(), json["seed"].as_u64(), json["sessions"].as_u64()),
        (Some(1.0), Some(9), Some(2))
    );
    assert_eq!(json["groups"][0]["points"].as_array().unwrap().len(), 10);
    assert!(json["cpu_seconds"].as_f64().unwrap() > 0.0);
}

#[test]
fn what_is_wrong_with_a_scenario_is_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad.toml").to_str().unwrap().to_owned();
    for (text, part) in
        [("secnds = 1", "did you mean `seconds`?"), ("name = 'x'\nseconds = 1", "[[session]]"), ("name =", "line 1")]
    {
        std::fs::write(&path, text).unwrap();
        let played = output(&["simulate", &path]);
        let told = String::from_utf8(played.stderr).unwrap();
        assert_eq!((played.status.code(), told.trim_end().lines().count()), (Some(2), 1), "{told}");
        assert!(told.contains("bad.toml") && told.contains(part), "{told}");
    }
    assert_eq!(output(&["simulate", "/no/such/file"]).status.code(), Some(2));
}
