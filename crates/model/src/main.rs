//! `make model`: explores the protocol, prints what was explored, and fails
//! where an invariant does not hold or a sabotage goes unnoticed.

use std::io::{self, Write};
use std::process::ExitCode;
use std::thread::available_parallelism;

use model::relay::Publication;
use model::report::{Report, check};
use model::scenario::{forgetful_parties, prompt_parties, quick, sabotaged, thorough};
use model::{Protocol, Scenario, rest};
use outbox_relay::Failures;
use stateright::{Checker, Model};

fn main() -> io::Result<ExitCode> {
    let threads = available_parallelism().map_or(1, usize::from);
    let mut out = io::stdout().lock();
    let all = [quick(), thorough(), vec![prompt_parties()]].concat();
    let mut failed = invariants(&mut out, &all, threads)?;
    failed |= comes_to_rest(&mut out, &quick())?;
    failed |= publication(&mut out, threads)?;
    failed |= sabotages(&mut out)?;
    Ok(ExitCode::from(u8::from(failed)))
}

/// Checks that all invariants hold.
fn invariants(out: &mut impl Write, all: &[Scenario], threads: usize) -> io::Result<bool> {
    writeln!(out, "The invariants, in every state that can be reached:\n")?;
    heading(out)?;
    let mut failed = false;
    for scenario in all {
        let report = check(scenario.clone(), threads);
        row(out, scenario, &report)?;
        for (invariant, path) in &report.broken {
            writeln!(out, "\nBROKEN: {invariant}\n{path}\n")?;
        }
        failed |= !report.broken.is_empty();
    }
    Ok(failed)
}

fn heading(out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "{:>6} {:<58} {:>10} {:>5} {:>8}",
        "orders", "what may go wrong", "states", "depth", "seconds"
    )
}

fn row(out: &mut impl Write, scenario: &Scenario, report: &Report) -> io::Result<()> {
    writeln!(
        out,
        "{:>6} {:<58} {:>10} {:>5} {:>8.1}",
        scenario.orders,
        scenario.name,
        report.states,
        report.depth,
        report.time.as_secs_f64()
    )?;
    out.flush()
}

/// Checks that every path comes to rest.
fn comes_to_rest(out: &mut impl Write, all: &[Scenario]) -> io::Result<bool> {
    writeln!(
        out,
        "\nFrom every state the orders come to rest without a further mishap:\n"
    )?;
    let mut failed = false;
    for scenario in all {
        let explored = rest::explore(&Protocol::new(scenario.clone()));
        let verdict = if explored.trap.is_some() {
            "A TRAP"
        } else {
            "yes"
        };
        writeln!(
            out,
            "{:>6} {:<58} {:>10} states, {} at rest: {verdict}",
            scenario.orders, scenario.name, explored.states, explored.at_rest
        )?;
        failed |= explored.trap.is_some();
    }
    Ok(failed)
}

/// Checks that events are published at least once and in order.
fn publication(out: &mut impl Write, threads: usize) -> io::Result<bool> {
    writeln!(
        out,
        "\nThe publication of events, with up to four mishaps:\n"
    )?;
    let mut failed = false;
    for failures in [Failures::BySequence, Failures::ByError] {
        let model = Publication {
            failures,
            mishaps: 4,
            lying_bus: false,
        };
        let checker = model.checker().threads(threads).spawn_bfs().join();
        let states = checker.unique_state_count();
        let mut broken = checker.discoveries().into_keys();
        let broken = broken.find(|name| name.starts_with('4'));
        let verdict = broken.unwrap_or("all hold");
        writeln!(
            out,
            "       {:<58} {states:>10} states: {verdict}",
            format!("{failures:?}")
        )?;
        failed |= broken.is_some();
    }
    Ok(failed)
}

/// Checks that each sabotage breaks an invariant.
fn sabotages(out: &mut impl Write) -> io::Result<bool> {
    writeln!(out, "\nBroken on purpose; the shortest way to see it:")?;
    let mut failed = false;
    for scenario in [sabotaged(), vec![forgetful_parties()]].concat() {
        let what = match scenario.sabotage {
            Some(sabotage) => format!("{sabotage:?}"),
            None => scenario.name.to_owned(),
        };
        // With one thread the first way that is found is a shortest one.
        let report = check(scenario, 1);
        match report.broken.first() {
            Some((invariant, path)) => writeln!(out, "\n{what} breaks \"{invariant}\":\n{path}")?,
            None => writeln!(out, "\n{what}: NOT NOTICED in {} states", report.states)?,
        }
        failed |= report.broken.is_empty();
    }
    Ok(failed)
}
