//! The section of the page.

use std::fmt::Write as _;

use waybill_tests::say;

use crate::Arguments;
use crate::load::Run;

/// Around what is written into the page.
pub(crate) const MARKERS: (&str, &str) = (
    "<!-- written by make growth -->",
    "<!-- end of what make growth writes -->",
);
/// What counts as flat.
const TOLERANCE: f64 = 0.05;

/// The section.
pub(crate) fn write(runs: &[Run], ceilings: &[Run], arguments: &Arguments) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut text = format!(
        "{} build of the functions, {} orders on their way at a time, {cores} cores, load average {} at the end.\n\n",
        arguments.build,
        arguments.clients,
        load_average(),
    );
    text += "| run | orders | orders/s | of the ceiling around it | ms from 202 to completed, p50 | p99 | requests per order |\n";
    text += "|---|---:|---:|---:|---:|---:|---:|\n";
    let mut ceilings = ceilings.iter();
    let mut before = ceilings.next().expect("a ceiling before the first run");
    line(&mut text, "ceiling", before, "", "");
    let mut measured = Vec::new();
    for (run, after) in runs.iter().zip(ceilings) {
        let around = f64::midpoint(before.orders_per_second(), after.orders_per_second());
        let share = run.orders_per_second() / around;
        let requests = format!("{:.2}", run.requests_per_order());
        line(
            &mut text,
            "Waybill",
            run,
            &format!("{:.0} %", share * 100.0),
            &requests,
        );
        line(&mut text, "ceiling", after, "", "");
        for failure in &run.failures {
            say(&format!("  failed: {failure}"));
        }
        measured.push(Measured { run, share });
        before = after;
    }
    text += "\n";
    let failed: usize = runs.iter().map(|run| run.failures.len()).sum();
    if failed > 0 {
        let _ = writeln!(
            text,
            "{failed} orders failed that should have been completed.\n"
        );
    }
    text += &growth(&measured);
    text
}

/// A run, and its part of the ceiling that was measured before and after it.
struct Measured<'a> {
    run: &'a Run,
    share: f64,
}

fn line(text: &mut String, name: &str, run: &Run, share: &str, requests: &str) {
    let (speed, orders) = (run.orders_per_second(), run.orders);
    let (half, most) = (run.percentile(50), run.percentile(99));
    let _ = writeln!(
        text,
        "| {name} | {orders} | {speed:.1} | {share} | {half} | {most} | {requests} |"
    );
}

/// Each figure of each run against the first run.
fn growth(runs: &[Measured<'_>]) -> String {
    let Some((first, others)) = runs.split_first() else {
        return String::new();
    };
    let mut text = "| figure |".to_owned();
    for run in runs {
        let _ = write!(text, " {} orders |", run.run.orders);
    }
    let _ = writeln!(
        text,
        " grew by | flat |\n|---|{}---:|---|",
        "---:|".repeat(runs.len())
    );
    let mut row = |name: &str, of: &dyn Fn(&Measured<'_>) -> f64| {
        let grew = others
            .iter()
            .map(|it| of(it) / of(first) - 1.0)
            .fold(0.0, f64::max);
        let cells: Vec<_> = runs.iter().map(|run| format!("{:.2}", of(run))).collect();
        let flat = if grew <= TOLERANCE { "yes" } else { "no" };
        let _ = writeln!(
            text,
            "| {name} | {} | {:.0} % | {flat} |",
            cells.join(" | "),
            grew * 100.0
        );
    };
    row("requests per order", &|it| it.run.requests_per_order());
    row("ms per order", &|it| 1000.0 / it.run.orders_per_second());
    row("time per order, in times of the ceiling's", &|it| {
        1.0 / it.share
    });
    for function in first.run.memory.keys() {
        let of = |it: &Measured<'_>| {
            let kilobytes = it.run.memory.get(function).copied();
            f64::from(kilobytes.unwrap_or_default()) / 1024.0
        };
        row(&format!("MiB of `{function}`"), &of);
    }
    text
}

fn load_average() -> String {
    let loads = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    loads.split(' ').next().unwrap_or_default().to_owned()
}
