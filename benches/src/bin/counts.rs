//! `counts CASE RUNS` runs one case, for valgrind to count the instructions of: `cargo xtask counts` starts it so.
//!
//! What is counted happens within [`counted`] alone: valgrind is told that function's name (`--toggle-collect`).

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a program that speaks to xtask")]

use soundpost_benches::cases::{ALL, Case, Recipe};

fn main() -> Result<(), String> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["list"] => {
            ALL.iter().for_each(|recipe| println!("{}", recipe.name()));
            Ok(())
        }
        ["sessions-10", runs] => sessions(10, runs),
        ["sessions-1000", runs] => sessions(1_000, runs),
        [name, runs] => run(name, runs),
        _ => Err("usage: counts list | counts CASE RUNS".to_owned()),
    }
}

fn run(name: &str, runs: &str) -> Result<(), String> {
    let runs: u32 = runs.parse().map_err(|error| format!("{runs}: {error}"))?;
    let recipe = Recipe::find(name).ok_or_else(|| format!("{name}: no such case; `counts list` names them"))?;
    let mut case = recipe.make().map_err(|error| error.to_string())?;
    for _ in 0..runs {
        case.prepare();
        counted(case.as_mut());
    }
    Ok(())
}

/// Each run is a fifth of a second of so many sessions, after one that is not counted.
fn sessions(count: u32, runs: &str) -> Result<(), String> {
    let runs: u32 = runs.parse().map_err(|error| format!("{runs}: {error}"))?;
    let mut case = soundpost_benches::sessions::Sessions::new(count).map_err(|error| error.to_string())?;
    for _ in 0..runs {
        counted(&mut case);
    }
    Ok(())
}

#[inline(never)]
fn counted(case: &mut dyn Case) {
    case.run();
}
