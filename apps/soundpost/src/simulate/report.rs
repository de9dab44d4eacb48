//! What a simulation came to, for people and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::json;
use soundpost_testkit::simulate::{GroupOutcome, Outcome, Scenario, Spread};

/// What a run cost this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) cpu_seconds: f64,
    /// By how much the process has grown.
    pub(crate) bytes: u64,
}

/// Everything there is to say.
pub(crate) struct Report<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) outcome: &'a Outcome,
    /// Of the first run.
    pub(crate) cost: Cost,
    pub(crate) times: u32,
    pub(crate) same: bool,
}

const ROW: [&str; COLUMNS] =
    ["group", "sessions", "passes", "late", "missed", "ran dry", "put in", "lost", "latency (ms)", "padding (ms)"];
const COLUMNS: usize = 10;

impl Report<'_> {
    fn session_seconds(&self) -> f64 {
        float(self.outcome.sessions) * self.outcome.seconds
    }

    pub(crate) fn text(&self) -> String {
        let (scenario, outcome) = (self.scenario, self.outcome);
        let mut text = String::new();
        let sessions = if outcome.sessions == 1 { "session" } else { "sessions" };
        let _ = writeln!(
            text,
            "{}: {} {sessions}, {:.1} s, seed {}",
            scenario.name, outcome.sessions, outcome.seconds, scenario.seed
        );
        let repeated = match (self.times, self.same) {
            (1, _) => String::new(),
            (times, true) => format!("   the same in {times} runs"),
            (times, false) => format!("   NOT the same in {times} runs"),
        };
        let _ = writeln!(text, "digest    {}{repeated}", outcome.digest);
        let each = self.cost.cpu_seconds / self.session_seconds();
        let _ = writeln!(
            text,
            "CPU time  {:.2} s: {:.0} us a session-second, {:.0} times as fast as real time",
            self.cost.cpu_seconds,
            each * 1e6,
            1.0 / each
        );
        let _ =
            writeln!(text, "memory    {:.1} kB a session\n", float(self.cost.bytes) / 1e3 / float(outcome.sessions));
        let rows: Vec<[String; COLUMNS]> =
            std::iter::once(ROW.map(str::to_owned)).chain(outcome.groups.iter().map(row)).collect();
        for row in &rows {
            for (column, cell) in row.iter().enumerate() {
                let width = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
                let width = width.unwrap_or(0);
                let _ = if column == 0 { write!(text, "{cell:<width$}") } else { write!(text, "  {cell:>width$}") };
            }
            text.push('\n');
        }
        text.push_str("latency and padding: least / median / most\n");
        text.push_str(&self.faults());
        text
    }

    /// Endpoints that did the same wrong at the same time are one line.
    fn faults(&self) -> String {
        let mut alike: BTreeMap<(u64, &str), (u32, &str)> = BTreeMap::new();
        for fault in &self.outcome.faults {
            let found = alike.entry((fault.at.to_bits(), &fault.what)).or_insert((0, &fault.session));
            found.0 += 1;
        }
        let mut text = String::new();
        for ((at, what), (count, session)) in alike {
            let who = if count == 1 { session.to_owned() } else { format!("{session} and {} more", count - 1) };
            let _ = writeln!(
                text,
                "{}{:.2} s  {who}: {what}",
                if text.is_empty() { "\ndetached:\n" } else { "" },
                f64::from_bits(at)
            );
        }
        text
    }

    pub(crate) fn json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let groups: Vec<_> = self
            .outcome
            .groups
            .iter()
            .map(|group| {
                json!({
                    "group": group.name,
                    "flow": group.flow.to_string(),
                    "sessions": group.sessions,
                    "totals": group.totals,
                    "latency_ms": group.latency(),
                    "padding_ms": group.padding(),
                    "points": group.points.iter().map(|point| {
                        json!({"at": point.at, "latency_ms": point.latency, "padding_ms": point.padding})
                    }).collect::<Vec<_>>(),
                })
            })
            .collect();
        let faults: Vec<_> = self
            .outcome
            .faults
            .iter()
            .map(|fault| json!({"at": fault.at, "session": fault.session, "what": fault.what}))
            .collect();
        let mut bytes = serde_json::to_vec_pretty(&json!({
            "scenario": self.scenario.name,
            "seed": self.scenario.seed,
            "seconds": self.outcome.seconds,
            "sessions": self.outcome.sessions,
            "digest": self.outcome.digest.to_string(),
            "runs": self.times,
            "same": self.same,
            "cpu_seconds": self.cost.cpu_seconds,
            "cpu_seconds_per_session_second": self.cost.cpu_seconds / self.session_seconds(),
            "bytes_per_session": self.cost.bytes / self.outcome.sessions.max(1),
            "groups": groups,
            "faults": faults,
        }))?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

fn row(group: &GroupOutcome) -> [String; COLUMNS] {
    let totals = &group.totals;
    let frames = |count| if count == 0 { "0".to_owned() } else { format!("{count} frames") };
    [
        format!("{} ({})", group.name, group.flow),
        group.sessions.to_string(),
        totals.passes.to_string(),
        totals.late.to_string(),
        totals.missed.to_string(),
        (totals.stream_underruns + totals.endpoint_underruns).to_string(),
        frames(totals.inserted),
        frames(totals.lost + totals.stream_lost),
        spread(group.latency()),
        spread(group.padding()),
    ]
}

fn spread(spread: Option<Spread>) -> String {
    spread.map_or_else(|| "-".to_owned(), |of| format!("{:.1} / {:.1} / {:.1}", of.min, of.median, of.max))
}

fn float(count: u64) -> f64 {
    #[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "a count for a display")]
    {
        count as f64
    }
}
