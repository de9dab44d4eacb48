//! `soundpost bench`: what passes, conversions and the contract's calls cost on this machine.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::Instant;

use serde_json::json;
use soundpost_benches::cases::{ALL, Recipe};
use soundpost_benches::compare::{self, Comparison};
use soundpost_benches::{Quantiles, time};

use crate::cli::BenchArgs;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Measures and prints. Fails where a comparison exceeds its limit.
pub(crate) fn run(args: &BenchArgs) -> Result<ExitCode, Error> {
    let start = Instant::now();
    let mut clock = || start.elapsed().as_secs_f64() * 1e9;
    let runs = usize::try_from(args.runs)?;
    let comparisons = compare::run(runs, &mut clock)?;
    let mut cases = Vec::new();
    for recipe in ALL {
        cases.push((*recipe, time(recipe.make()?.as_mut(), runs, &mut clock)));
    }
    let holds = comparisons.iter().all(Comparison::holds);
    crate::print(&if args.json { as_json(&comparisons, &cases)? } else { text(&comparisons, &cases).into_bytes() })?;
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn text(comparisons: &[Comparison], cases: &[(Recipe, Quantiles)]) -> String {
    let mut text = String::new();
    for found in comparisons {
        let Comparison { what, ours, theirs, ratio, limit, .. } = found;
        let _ = writeln!(
            text,
            "{what}:\n  {:.2} times (median of turns; a tenth below {:.2}, a tenth above {:.2}; fastest runs {:.2}), \
             at most {limit}: {}\n  {} beside {}\n",
            ratio.median,
            ratio.low,
            ratio.high,
            found.ratio_of_fastest(),
            if found.holds() { "holds" } else { "EXCEEDED" },
            nanos(ours.median),
            nanos(theirs.median),
        );
    }
    let width = cases.iter().map(|(recipe, _)| recipe.name().len()).max().unwrap_or(0);
    let _ = writeln!(text, "{:<width$}  {:>10}  {:>10}  {:>10}", "case", "fastest", "median", "90 %");
    for (recipe, of) in cases {
        let _ = writeln!(
            text,
            "{:<width$}  {:>10}  {:>10}  {:>10}",
            recipe.name(),
            nanos(of.min),
            nanos(of.median),
            nanos(of.high)
        );
    }
    text
}

fn nanos(nanos: f64) -> String {
    if nanos < 10_000.0 { format!("{nanos:.0} ns") } else { format!("{:.1} us", nanos / 1e3) }
}

fn as_json(comparisons: &[Comparison], cases: &[(Recipe, Quantiles)]) -> Result<Vec<u8>, Error> {
    let of = |of: &Quantiles| json!({"min": of.min, "low": of.low, "median": of.median, "high": of.high});
    let comparisons: Vec<_> = comparisons
        .iter()
        .map(|found| {
            json!({
                "what": found.what,
                "case": found.case,
                "plain": found.plain,
                "ratio": of(&found.ratio),
                "ratio_of_fastest": found.ratio_of_fastest(),
                "limit": found.limit,
                "holds": found.holds(),
                "case_ns": of(&found.ours),
                "plain_ns": of(&found.theirs),
            })
        })
        .collect();
    let cases: Vec<_> = cases.iter().map(|(recipe, times)| json!({"case": recipe.name(), "ns": of(times)})).collect();
    let mut bytes = serde_json::to_vec_pretty(&json!({"comparisons": comparisons, "cases": cases}))?;
    bytes.push(b'\n');
    Ok(bytes)
}
