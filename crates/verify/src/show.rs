//! Reports as text, JSON, and the tables of the documentation.

use std::io::{self, Write};

use serde::Serialize;
use soundpost_testkit::verify::flaws::Case;
use soundpost_testkit::verify::{Options, Report, Verdict};

/// What became of a faulty endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FaultyRow {
    /// Its name.
    pub name: String,
    /// Its direction.
    pub flow: String,
    /// What it does.
    pub what: String,
    /// What that breaks.
    pub expected: String,
    /// What was seen of it.
    pub seen: Option<String>,
    /// What else was seen broken: one breach often breaks a further requirement.
    pub also: Vec<String>,
}

impl FaultyRow {
    pub(crate) fn new(case: &Case, report: &Report) -> Self {
        let expected = case.requirement.to_string();
        let broken = report.lines.iter().filter(|line| line.verdict == Verdict::Broken);
        let seen = broken.clone().find(|line| line.requirement == expected).map(|line| line.seen.clone());
        let also = broken.map(|line| line.requirement.clone()).filter(|number| *number != expected).collect();
        Self {
            name: case.name.to_owned(),
            flow: case.flow.to_string(),
            what: case.what.to_owned(),
            expected,
            seen,
            also,
        }
    }

    /// Whether it was found under its number.
    #[must_use]
    pub fn found(&self) -> bool {
        self.seen.is_some()
    }
}

/// Writes to standard output. A reader that has seen enough is no error.
fn print(text: &str) -> io::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

fn json(value: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_string_pretty(value).map_err(io::Error::other)?;
    text.push('\n');
    print(&text)
}

pub(crate) fn reports(reports: &[Report], as_json: bool) -> io::Result<()> {
    if as_json {
        return json(&reports);
    }
    let text: Vec<String> = reports.iter().map(ToString::to_string).collect();
    print(&text.join("\n"))
}

pub(crate) fn faulty(rows: &[FaultyRow], as_json: bool) -> io::Result<()> {
    if as_json {
        return json(&rows);
    }
    let mut text = String::new();
    for row in rows {
        let FaultyRow { name, what, expected, .. } = row;
        let seen = row.seen.as_deref().unwrap_or("NOT FOUND");
        text += &format!("{name:<26} {expected:<4} {what}\n{:<32}{seen}\n", "");
    }
    let found = rows.iter().filter(|row| row.found()).count();
    text += &format!("{found} of {} faulty endpoints were found under their number\n", rows.len());
    print(&text)
}

/// The tables of docs/conformance.md. Without what differs from run to run: times.
pub(crate) fn markdown(
    endpoints: &[Report],
    engine: &Report,
    faulty: &[FaultyRow],
    Options { level, seed }: Options,
) -> io::Result<()> {
    let mut text = format!("Level `{level}`, seed {seed}.\n\n### Endpoints that ship\n\n");
    text += "`+` held, `t` held by type, `-` not owed, not offered or not of this direction, `X` broken.\n\n| |";
    for report in endpoints {
        text += &format!(" {} |", report.subject);
    }
    text += "\n|---|";
    text += &"---|".repeat(endpoints.len());
    text.push('\n');
    let numbers = endpoints.first().map(|report| report.lines.as_slice()).unwrap_or_default();
    for (place, line) in numbers.iter().enumerate() {
        text += &format!("| {} |", line.requirement);
        for report in endpoints {
            let sign = match report.lines.get(place).map(|line| line.verdict) {
                Some(Verdict::Held) => "+",
                Some(Verdict::ByType) => "t",
                Some(Verdict::Broken) => "X",
                _ => "-",
            };
            text += &format!(" {sign} |");
        }
        text.push('\n');
    }
    text += "| clock |";
    for report in endpoints {
        text += &format!(" {} |", report.clock);
    }
    text += "\n\n### The engine\n\n| | | seen |\n|---|---|---|\n";
    for line in &engine.lines {
        text += &format!("| {} | {} | {} |\n", line.requirement, line.verdict, line.seen);
    }
    let found = faulty.iter().filter(|row| row.found()).count();
    text += &format!("\n### Faulty endpoints\n\n{found} of {} are found under their number.\n\n", faulty.len());
    text += "| endpoint | | what it does | breaks | found | also broken by it |\n|---|---|---|---|---|---|\n";
    for row in faulty {
        let FaultyRow { name, flow, what, expected, also, .. } = row;
        let seen = if row.found() { "yes" } else { "NO" };
        text += &format!("| {name} | {flow} | {what} | {expected} | {seen} | {} |\n", also.join(", "));
    }
    print(&text)
}
