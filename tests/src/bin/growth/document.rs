//! The section of the page.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;

use crate::Arguments;
use crate::load::Run;

const BEGIN: &str = "<!-- written by make growth -->";
const END: &str = "<!-- end of what make growth writes -->";
/// What counts as flat.
const TOLERANCE: f64 = 0.05;

/// Prints a line. Nothing sensible can be done when the reader is gone.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// Puts a text between the markers of a page.
pub(crate) fn replace(page: &Path, text: &str) {
    let old = std::fs::read_to_string(page);
    let old = old.unwrap_or_else(|error| panic!("{}: {error}", page.display()));
    let (head, rest) = old
        .split_once(BEGIN)
        .expect("the page has the first marker");
    let (_, tail) = rest.split_once(END).expect("the page has the last marker");
    let new = format!("{head}{BEGIN}\n{text}{END}{tail}");
    std::fs::write(page, new).expect("the page is written");
}

/// The section.
pub(crate) fn write(runs: &[Run], ceilings: &[Run], arguments: &Arguments) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut text = format!(
        "{} build of the functions, {} orders on their way at a time, {cores} cores, load average {} at the end.\n\n",
        arguments.build,
        arguments.clients,
        load_average(),
    );
    text +=
        "| run | orders | orders/s | ms from 202 to completed, p50 | p99 | requests per order |\n";
    text += "|---|---:|---:|---:|---:|---:|\n";
    for run in ceilings {
        line(&mut text, "ceiling", run, "");
    }
    for run in runs {
        let requests = format!("{:.2}", run.requests_per_order());
        line(&mut text, "Waybill", run, &requests);
    }
    text += "\n";
    text += &of_ceiling(runs, ceilings);
    text += &growth(runs);
    text
}

fn line(text: &mut String, name: &str, run: &Run, requests: &str) {
    let (speed, half, most) = (
        run.orders_per_second(),
        run.percentile(50),
        run.percentile(99),
    );
    let orders = run.orders;
    let _ = writeln!(
        text,
        "| {name} | {orders} | {speed:.1} | {half} | {most} | {requests} |"
    );
}

/// Against the better of the ceiling's runs.
fn of_ceiling(runs: &[Run], ceilings: &[Run]) -> String {
    let best = ceilings
        .iter()
        .map(Run::orders_per_second)
        .fold(0.0, f64::max);
    let mut text = String::new();
    for run in runs {
        let share = run.orders_per_second() / best * 100.0;
        let _ = writeln!(
            text,
            "- {} orders: {share:.0} % of the ceiling.",
            run.orders
        );
    }
    text + "\n"
}

/// Each figure of each run against the first run.
fn growth(runs: &[Run]) -> String {
    let Some((first, others)) = runs.split_first() else {
        return String::new();
    };
    let mut text = "| figure |".to_owned();
    for run in runs {
        let _ = write!(text, " {} orders |", run.orders);
    }
    let _ = writeln!(
        text,
        " grew by | flat |\n|---|{}---:|---|",
        "---:|".repeat(runs.len())
    );
    let mut row = |name: &str, of: &dyn Fn(&Run) -> f64| {
        let grew = others
            .iter()
            .map(|it| of(it) / of(first) - 1.0)
            .fold(0.0, f64::max);
        let cells: Vec<_> = runs.iter().map(|run| format!("{:.1}", of(run))).collect();
        let flat = if grew <= TOLERANCE { "yes" } else { "no" };
        let _ = writeln!(
            text,
            "| {name} | {} | {:.0} % | {flat} |",
            cells.join(" | "),
            grew * 100.0
        );
    };
    row("requests per order", &Run::requests_per_order);
    row("ms per order", &|run| 1000.0 / run.orders_per_second());
    for function in first.memory.keys() {
        let of =
            |run: &Run| f64::from(run.memory.get(function).copied().unwrap_or_default()) / 1024.0;
        row(&format!("MiB of `{function}`"), &of);
    }
    text
}

fn load_average() -> String {
    let loads = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    loads.split(' ').next().unwrap_or_default().to_owned()
}
