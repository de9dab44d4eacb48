//! `soundpost simulate`: a scenario on the virtual clock.

mod plot;
mod report;

use std::path::Path;
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use soundpost_testkit::simulate::{Outcome, Scenario, Simulation};

use crate::cli::SimulateArgs;
use report::{Cost, Report};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Plays the scenario, as often as asked, and prints what it came to. Fails where two runs differ.
pub(crate) fn run(args: &SimulateArgs) -> Result<ExitCode, Error> {
    let scenario = read(args)?;
    quiet_planned_panics();
    let mut first: Option<(Outcome, Cost)> = None;
    let mut same = true;
    for turn in 1..=args.times {
        let (outcome, cost) = play(&scenario, turn, args.times)?;
        match &first {
            None => first = Some((outcome, cost)),
            Some((before, _)) => same &= *before == outcome,
        }
    }
    let Some((outcome, cost)) = first else { return Ok(ExitCode::SUCCESS) };
    if let Some(path) = &args.plot {
        plot::draw(path, &scenario, &outcome).map_err(|error| format!("cannot draw {}: {error}", path.display()))?;
    }
    let report = Report { scenario: &scenario, outcome: &outcome, cost, times: args.times, same };
    crate::print(&if args.json { report.json()? } else { report.text().into_bytes() })?;
    Ok(if same { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read(args: &SimulateArgs) -> Result<Scenario, Error> {
    let path: &Path = &args.scenario;
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let told = |error| format!("{}: {error}", path.display());
    let mut scenario = Scenario::parse(&text).map_err(told)?;
    if let Some(seconds) = args.seconds {
        scenario.seconds = seconds;
    }
    if let Some(seed) = args.seed {
        scenario.seed = seed;
    }
    scenario.check().map_err(told)?;
    Ok(scenario)
}

fn play(scenario: &Scenario, turn: u32, turns: u32) -> Result<(Outcome, Cost), Error> {
    let bar = ProgressBar::new(tenths(scenario.seconds));
    let style = "{msg} {wide_bar:.cyan/blue} {percent:>3} %  {eta} left";
    bar.set_style(ProgressStyle::with_template(style)?);
    bar.set_message(if turns > 1 {
        format!("{}, run {turn} of {turns}", scenario.name)
    } else {
        scenario.name.clone()
    });
    let (resident, time) = (resident_bytes()?, cpu_seconds());
    let mut simulation = Simulation::new(scenario, |pass| pass())?;
    let outcome = simulation.run(&mut |seconds| bar.set_position(tenths(seconds)))?;
    let cost = Cost { cpu_seconds: cpu_seconds() - time, bytes: resident_bytes()?.saturating_sub(resident) };
    bar.finish_and_clear();
    Ok((outcome, cost))
}

/// Endpoints of a scenario that panic on purpose are not to be told about; anything else is.
fn quiet_planned_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let planned =
            info.payload().downcast_ref::<&str>().is_some_and(|text| *text == soundpost_testkit::PLANNED_PANIC);
        if !planned {
            usual(info);
        }
    }));
}

/// What this process holds in memory.
fn resident_bytes() -> Result<u64, Error> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()?.saturating_mul(1_024))
}

/// Processor time that this process has taken.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    std::time::Duration::try_from(time).unwrap_or_default().as_secs_f64()
}

/// A bar counts in whole steps.
fn tenths(seconds: f64) -> u64 {
    std::time::Duration::try_from_secs_f64(seconds).map_or(0, |time| u64::try_from(time.as_millis() / 100).unwrap_or(0))
}
