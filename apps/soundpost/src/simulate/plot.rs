//! Latency and padding over time as a picture: one panel each, a line of medians and a band from least to most for
//! every group.

use std::ops::Range;
use std::path::Path;
use std::sync::Once;

use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};
use soundpost_testkit::simulate::{Flow, GroupOutcome, Outcome, Point, Scenario, Spread};

type Error = Box<dyn std::error::Error + Send + Sync>;
type Area<'a> = DrawingArea<BitMapBackend<'a>, plotters::coord::Shift>;

/// Colours that people with the usual colour blindnesses tell apart (Okabe and Ito).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
];
const INK: RGBColor = RGBColor(40, 40, 40);
const GRID: RGBColor = RGBColor(225, 225, 225);
const SIZE: (u32, u32) = (1_280, 900);

/// Draws into a PNG file.
pub(super) fn draw(path: &Path, scenario: &Scenario, outcome: &Outcome) -> Result<(), Error> {
    static FONT: Once = Once::new();
    FONT.call_once(|| {
        let _ = register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular());
    });
    let groups: Vec<&GroupOutcome> =
        outcome.groups.iter().filter(|group| group.points.iter().any(|point| point.latency.is_some())).collect();
    let root = BitMapBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let title = format!("{}: {} sessions, {}", scenario.name, outcome.sessions, length(outcome.seconds));
    let root = root.margin(14, 0, 0, 0).titled(&title, ("sans-serif", 26).into_font().color(&INK))?;
    let legend = u32::try_from(groups.len().div_ceil(3)).unwrap_or(1).clamp(1, 8) * 26 + 12;
    let (panels, below) = root.split_vertically(root.dim_in_pixel().1.saturating_sub(legend));
    let (upper, lower) = panels.split_vertically(panels.dim_in_pixel().1 / 2);
    let latency = "Latency (ms): written to heard, or recorded to read";
    panel(&upper, latency, outcome, &groups, |point| point.latency)?;
    panel(&lower, "Padding (ms): queued in the endpoints", outcome, &groups, |point| point.padding)?;
    draw_legend(&below, &groups)?;
    root.present()?;
    Ok(())
}

fn panel(
    area: &Area<'_>,
    title: &str,
    outcome: &Outcome,
    groups: &[&GroupOutcome],
    value: fn(&Point) -> Option<Spread>,
) -> Result<(), Error> {
    let most =
        groups.iter().flat_map(|group| &group.points).filter_map(value).fold(0.0, |most: f64, of| most.max(of.max));
    let (unit, in_units) = unit(outcome.seconds);
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18).into_font().color(&INK))
        .margin(12)
        .margin_right(28)
        .x_label_area_size(44)
        .y_label_area_size(58)
        .build_cartesian_2d(0.0..outcome.seconds / in_units, scale(most))?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(GRID)
        .axis_style(INK)
        .x_desc(unit)
        .label_style(("sans-serif", 15).into_font().color(&INK))
        .x_label_formatter(&|at| tick(*at))
        .y_label_formatter(&|at| tick(*at))
        .draw()?;
    for (group, colour) in groups.iter().zip(COLOURS.iter().cycle()) {
        // A group that has nobody for a while has a gap there.
        for run in group.points.split(|point| value(point).is_none()) {
            let points: Vec<(f64, Spread)> =
                run.iter().filter_map(|point| value(point).map(|of| (point.at / in_units, of))).collect();
            let band: Vec<(f64, f64)> = points
                .iter()
                .map(|(at, of)| (*at, of.max))
                .chain(points.iter().rev().map(|(at, of)| (*at, of.min)))
                .collect();
            chart.draw_series(std::iter::once(Polygon::new(band, colour.mix(0.18))))?;
            let line = points.iter().map(|(at, of)| (*at, of.median));
            chart.draw_series(LineSeries::new(line, colour.stroke_width(2)))?;
        }
    }
    Ok(())
}

/// Three columns of names, and what the shades mean.
fn draw_legend(area: &Area<'_>, groups: &[&GroupOutcome]) -> Result<(), Error> {
    let (width, _) = area.dim_in_pixel();
    let column = i32::try_from(width / 3).unwrap_or(400) - 20;
    let style = ("sans-serif", 16).into_font().color(&INK);
    for ((group, colour), number) in groups.iter().zip(COLOURS.iter().cycle()).zip(0_i32..24) {
        let (x, y) = (70 + number % 3 * column, 4 + number / 3 * 26);
        area.draw(&Rectangle::new([(x, y + 2), (x + 30, y + 16)], colour.mix(0.18).filled()))?;
        area.draw(&PathElement::new([(x, y + 9), (x + 30, y + 9)], colour.stroke_width(2)))?;
        let direction = if group.flow == Flow::Capture { " (capture)" } else { "" };
        let text = format!("{}{direction}: median, least to most", group.name);
        area.draw(&Text::new(text, (x + 40, y), style.clone()))?;
    }
    Ok(())
}

/// From 0 to a little above the most.
fn scale(most: f64) -> Range<f64> {
    0.0..if most > 0.0 { most * 1.12 } else { 1.0 }
}

fn unit(seconds: f64) -> (&'static str, f64) {
    match seconds {
        long if long > 3.0 * 3_600.0 => ("hours", 3_600.0),
        middling if middling > 300.0 => ("minutes", 60.0),
        _ => ("seconds", 1.0),
    }
}

fn length(seconds: f64) -> String {
    let (unit, in_units) = unit(seconds);
    format!("{} {unit}", tick(seconds / in_units))
}

/// Without decimals that say nothing.
fn tick(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
