//! The picture: the orders by state over time, and below them the faults.

use std::path::Path;
use std::time::Duration;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::fault::FAULTS;
use crate::run::Run;
use crate::watch::{STATES, Sample};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

const SIZE: (u32, u32) = (1200, 860);
const TITLE: u32 = 64;
const ORDERS: u32 = 420;
/// Wide enough for the names of the faults; both parts have it, so that their times agree.
const LEFT: u32 = 190;
const RIGHT: u32 = 130;

/// From what is good to what is only begun, as in `STATES`.
const COLOURS: [RGBColor; STATES.len()] = [
    RGBColor(46, 139, 87),
    RGBColor(225, 150, 60),
    RGBColor(200, 40, 50),
    RGBColor(120, 180, 215),
    RGBColor(90, 140, 200),
    RGBColor(70, 100, 175),
    RGBColor(150, 150, 165),
];
const FAULT: RGBColor = RGBColor(200, 70, 60);

/// Draws it into a file.
pub(crate) fn draw(path: &Path, run: &Run, samples: &[Sample], held: bool) {
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    let drawn = parts(&root, run, samples, held);
    drawn.unwrap_or_else(|error| panic!("no picture at {}: {error}", path.display()));
}

fn parts(root: &Area<'_>, run: &Run, samples: &[Sample], held: bool) -> Drawn {
    root.fill(&WHITE)?;
    let (title, rest) = root.split_vertically(TITLE);
    let (orders, faults) = rest.split_vertically(ORDERS);
    let end = samples.last().map_or(1.0, |it| it.at.as_secs_f64());
    draw_title(&title, run, samples, held)?;
    draw_orders(&orders, run, samples, end)?;
    draw_faults(&faults, run, end)?;
    root.present()?;
    Ok(())
}

fn draw_title(area: &Area<'_>, run: &Run, samples: &[Sample], held: bool) -> Drawn {
    let verdict = match held {
        true => "all invariants held",
        false => "NOT all invariants held",
    };
    let title = format!(
        "{} orders while everything fails: {verdict}",
        samples.last().map_or(0, Sample::all)
    );
    let faults: usize = FAULTS.iter().map(|fault| run.tally.count(*fault)).sum();
    let below = format!(
        "seed {}, {faults} faults, {}, Waybill {} on ministack {}",
        run.plan.seed,
        run.day(),
        env!("CARGO_PKG_VERSION"),
        emulator()
    );
    area.draw(&Text::new(title, (20, 14), ("sans-serif", 24)))?;
    area.draw(&Text::new(
        below,
        (20, 42),
        ("sans-serif", 15).into_font().color(&grey()),
    ))?;
    Ok(())
}

/// The emulator's version, as it is pinned.
fn emulator() -> &'static str {
    let pins = include_str!("../../../../infra/local/requirements-emulator.txt");
    let mut versions = pins.lines().filter_map(|it| it.strip_prefix("ministack=="));
    versions.next().unwrap_or("of an unknown version")
}

fn draw_orders(area: &Area<'_>, run: &Run, samples: &[Sample], end: f64) -> Drawn {
    let most = samples.iter().map(Sample::all).max().unwrap_or_default();
    let most = (most as f64).max(1.0);
    let mut chart = ChartBuilder::on(area)
        .set_label_area_size(LabelAreaPosition::Left, LEFT)
        .set_label_area_size(LabelAreaPosition::Bottom, 30)
        .margin_right(RIGHT)
        .margin_top(12)
        .build_cartesian_2d(0.0..end, 0.0..most)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .max_light_lines(1)
        .x_labels(10)
        .x_label_formatter(&clock)
        .y_label_formatter(&|orders| format!("{orders:.0}"))
        .label_style(("sans-serif", 14))
        .draw()?;
    let unit = Text::new("orders", (i32::try_from(LEFT)? - 90, 8), ("sans-serif", 14));
    area.draw(&unit)?;
    // The highest sum first: each lower one covers its part of it.
    for state in (0..STATES.len()).rev() {
        let sum = |it: &Sample| it.counts[..=state].iter().sum::<u64>() as f64;
        let line = samples.iter().map(|it| (it.at.as_secs_f64(), sum(it)));
        chart.draw_series(AreaSeries::new(line, 0.0, COLOURS[state].filled()))?;
    }
    let calm = run.calm_since().as_secs_f64();
    let calm_line = PathElement::new(vec![(calm, 0.0), (calm, most)], BLACK.stroke_width(1));
    chart.draw_series([calm_line])?;
    let (x, y) = chart.backend_coord(&(calm, most));
    let (left, top) = area.get_base_pixel();
    let words = Text::new(
        "no faults from here on",
        (x - left + 5, y - top + 4),
        ("sans-serif", 13),
    );
    area.draw(&words)?;
    draw_key(area)
}

/// What the colours mean, on the right, in the order of the layers.
fn draw_key(area: &Area<'_>) -> Drawn {
    let (width, _) = area.dim_in_pixel();
    let left = i32::try_from(width - RIGHT + 14)?;
    let mut top = 20;
    for (state, colour) in STATES.iter().zip(COLOURS).rev() {
        let patch = [(left, top), (left + 14, top + 14)];
        area.draw(&Rectangle::new(patch, colour.filled()))?;
        area.draw(&Text::new(*state, (left + 20, top), ("sans-serif", 14)))?;
        top += 22;
    }
    Ok(())
}

/// A lane for each kind of fault, with how many there were in each of its periods.
fn draw_faults(area: &Area<'_>, run: &Run, end: f64) -> Drawn {
    let lanes = i32::try_from(FAULTS.len())?;
    let mut chart = ChartBuilder::on(area)
        .set_label_area_size(LabelAreaPosition::Left, LEFT)
        .set_label_area_size(LabelAreaPosition::Bottom, 40)
        .margin_right(RIGHT)
        .margin_top(12)
        .build_cartesian_2d(0.0..end, 0..lanes * 10)?;
    chart
        .configure_mesh()
        .disable_mesh()
        .x_labels(10)
        .x_label_formatter(&clock)
        .x_desc("minutes since the first order; the numbers are how many there were")
        .disable_y_axis()
        .label_style(("sans-serif", 14))
        .draw()?;
    let (left, top) = area.get_base_pixel();
    let centred = Pos::new(HPos::Center, VPos::Center);
    for (lane, fault) in (0..lanes).rev().zip(FAULTS) {
        let middle = lane * 10 + 5;
        let (_, y) = chart.backend_coord(&(0.0, middle));
        let right = Pos::new(HPos::Right, VPos::Center);
        let name = ("sans-serif", 14)
            .into_font()
            .into_text_style(area)
            .pos(right);
        area.draw(&Text::new(
            fault.words(),
            (i32::try_from(LEFT)? - 12, y - top),
            name,
        ))?;
        for period in run.periods(fault) {
            let (from, until) = (period.from.as_secs_f64(), period.until.as_secs_f64());
            let band = [(from, lane * 10 + 1), (until, lane * 10 + 9)];
            chart.draw_series([Rectangle::new(band, FAULT.mix(0.35).filled())])?;
            let (x, _) = chart.backend_coord(&(f64::midpoint(from, until), middle));
            let count = run
                .tally
                .between(fault, period.from, period.until + AFTERWARDS);
            let style = ("sans-serif", 13)
                .into_font()
                .into_text_style(area)
                .pos(centred);
            area.draw(&Text::new(count.to_string(), (x - left, y - top), style))?;
        }
    }
    Ok(())
}

/// An operator may die so much later than that was decided.
const AFTERWARDS: Duration = Duration::from_secs(3);

fn clock(seconds: &f64) -> String {
    let seconds = seconds.round();
    format!("{}:{:02}", (seconds / 60.0).floor(), seconds % 60.0)
}

fn grey() -> RGBColor {
    RGBColor(90, 90, 90)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;
    use crate::plan::Plan;

    #[tokio::test]
    async fn a_picture_names_every_state_and_every_fault() {
        let run = Run::begin(Plan::draw(1, 10, Duration::from_secs(60)));
        run.calm();
        let counts = [5, 1, 1, 1, 1, 1, 0];
        let samples = [0, 30, 60].map(|seconds| Sample {
            at: Duration::from_secs(seconds),
            counts,
        });
        let mut drawn = String::new();
        let root = SVGBackend::with_string(&mut drawn, SIZE).into_drawing_area();
        parts(&root, &run, &samples, true).unwrap();
        drop(root);
        for words in STATES.into_iter().chain(FAULTS.map(Fault::words)) {
            assert!(drawn.contains(words), "{words}: {drawn}");
        }
        assert!(drawn.contains("10 orders") && drawn.contains("seed 1"));
    }
}
