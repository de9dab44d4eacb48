//! Scenarios on the virtual clock.

#![allow(clippy::unwrap_used, reason = "tests")]

use soundpost_guards::{may_panic, no_alloc};
use soundpost_testkit::Gate;
use soundpost_testkit::simulate::{Flow, Outcome, Scenario, Simulation};

soundpost_guards::install!();

const COMPANY: &str = "
    name = 'company'
    seconds = 3
    seed = 7
    workers = 2

    [[session]]
    name = 'desk'
    count = 4
    [[session.stream]]
    count = 2
    [[session.stream]]
    format = 'f32'
    volume = 0.5
    starts = 0.5
    ends = 1.5
    spread = 0.5
    [[session.endpoint]]
    clock_spread_ppm = 500
    [[session.endpoint]]
    arrives = 1
    leaves = 2
    spread = 0.3

    [[session]]
    name = 'meeting'
    count = 2
    period_ms = 5
    [[session.stream]]
    flow = 'capture'
    [[session.endpoint]]
    flow = 'capture'

    [[stall]]
    at = 2.2
    seconds = 0.15
";

fn play(text: &str) -> Outcome {
    let scenario = Scenario::parse(text).unwrap();
    Simulation::new(&scenario, no_alloc).unwrap().run(&mut |_| {}).unwrap()
}

#[test]
fn the_same_seed_gives_the_same_everything_and_another_seed_another_sound() {
    let first = play(COMPANY);
    assert_eq!(play(COMPANY), first);
    let other = play(&COMPANY.replace("seed = 7", "seed = 8"));
    assert_ne!(other.digest, first.digest);
    assert_eq!(other.groups.len(), first.groups.len());
    // Workers share nothing that is heard.
    let mut alone = play(&COMPANY.replace("workers = 2", "workers = 1"));
    alone.runs = first.runs;
    assert_eq!(alone, first);
}

/// No rate is converted here and no tone is played, so that the digest depends on neither processor nor build. When it
/// changes, what listeners are given has changed: say in the commit why.
#[test]
fn the_digest_of_one_scenario_is_known() {
    assert_eq!(play(COMPANY).digest.to_string(), "9488101141f4f4f0");
}

#[test]
fn everybody_who_is_planned_comes_and_what_they_do_is_counted() {
    let outcome = play(COMPANY);
    let [desk, silent, meeting] = outcome.groups.as_slice() else { panic!("{:?}", outcome.groups) };
    assert_eq!((desk.flow, silent.flow, meeting.flow), (Flow::Render, Flow::Render, Flow::Capture));
    assert_eq!((desk.totals.streams, desk.totals.endpoints), (4 * 3, 4 * 2));
    assert_eq!((meeting.totals.streams, meeting.totals.endpoints), (2, 2));
    assert_eq!((silent.totals.passes, silent.latency()), (0, None));
    // 300 periods; of the 15 that the stall has taken the last one had its pass, late.
    assert!((4 * 283..=4 * 300).contains(&desk.totals.passes), "{:?}", desk.totals);
    assert!((2 * 565..=2 * 600).contains(&meeting.totals.passes), "{:?}", meeting.totals);
    assert_eq!((desk.totals.missed, desk.totals.late), (4 * 14, 4));
    // Ten milliseconds of cushion and as much in flight, twice; the queue of the application in front of it.
    let (latency, padding) = (desk.latency().unwrap(), desk.padding().unwrap());
    assert!(padding.max <= 20.1 && padding.median >= 18.0, "{padding:?}");
    assert!(latency.max <= 80.0 && latency.median >= 40.0, "{latency:?}");
    assert_eq!(desk.points.len(), 30);
}

#[test]
fn x3_an_endpoint_that_breaks_the_contract_is_named_and_its_neighbours_lose_nothing() {
    let scenario = "name = 'faults'\nseconds = 2\n[[session]]\nname = 'mixed'\ncount = 2\n[[session.stream]]\n\
        [[session.endpoint]]\n[[session.endpoint]]\nfault = 'short-buffer'\nfault_at = 1\n\
        [[session.endpoint]]\nflow = 'capture'\nfault = 'no-buffer'\nfault_at = 0.5\n[[session.stream]]\nflow = 'capture'\n";
    let outcome = play(scenario);
    let faults: Vec<_> = outcome.faults.iter().map(|fault| (fault.session.as_str(), fault.at)).collect();
    assert_eq!(faults, [("mixed 1", 0.5), ("mixed 2", 0.5), ("mixed 1", 1.0), ("mixed 2", 1.0)]);
    let render = &outcome.groups[0].totals;
    assert_eq!((render.lost, render.inserted, render.endpoint_underruns, render.stream_underruns), (0, 0, 0, 0));
}

#[test]
fn a_listener_that_is_too_fast_runs_dry_and_one_that_is_too_slow_has_frames_cut() {
    let listener = |ppm: i32| {
        let text = format!(
            "name = 'drift'\nseconds = 10\n[[session]]\nname = 'a'\n[[session.stream]]\n[[session.endpoint]]\nclock_ppm = {ppm}\n"
        );
        play(&text).groups[0].totals
    };
    let (right, fast, slow) = (listener(0), listener(5_000), listener(-5_000));
    assert_eq!((right.lost, right.endpoint_underruns), (0, 0));
    // 5,000 ppm of 10 s are 50 ms, the cushion is 10 ms.
    assert!(fast.lost == 0 && (3..=6).contains(&fast.endpoint_underruns), "{fast:?}");
    // Each time the cushion of a packet is filled anew.
    assert!((fast.endpoint_underruns * 400..fast.endpoint_underruns * 600).contains(&fast.inserted), "{fast:?}");
    assert_eq!((right.inserted, slow.inserted), (0, 0));
    assert!(slow.endpoint_underruns == 0 && (1_000..=2_400).contains(&slow.lost), "{slow:?}");
}

#[test]
fn the_scenarios_that_are_shipped_can_be_played() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios");
    let mut played = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let gate: Gate = if text.contains("\"panic-in-") { may_panic } else { no_alloc };
        let mut scenario = Scenario::parse(&text).unwrap();
        // Few sessions, and two minutes of them, in which something starts in each scenario: the rest is for release
        // builds.
        scenario.seconds = scenario.seconds.min(130.0);
        scenario.sessions.iter_mut().for_each(|group| group.count = group.count.min(3));
        let outcome = Simulation::new(&scenario, gate).unwrap().run(&mut |_| {}).unwrap();
        assert!(outcome.groups.iter().any(|group| group.totals.passes > 0), "{}", path.display());
        played += 1;
    }
    assert!(played >= 5);
}
