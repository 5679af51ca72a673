//! What is aimed at, and whether it is met.

use std::fmt::Write as _;

use crate::measure::{Phase, Placement, Round, float};
use crate::report::{Results, digits, title};
use crate::subject::{FUNCTIONS, MINIMAL, PYTHON, Subject, TYPESCRIPT};

/// The batch and the latency that the targets are about.
const BATCH: usize = 10;
const LATENCY_MILLIS: f64 = 3.0;
const MIB: f64 = 1024.0 * 1024.0;

/// A limit, and what was measured.
#[derive(Debug)]
struct Target {
    what: String,
    most: f64,
    /// What was measured, the largest first where several functions must keep it.
    measured: Vec<Measured>,
}

#[derive(Debug)]
struct Measured {
    placement: Placement,
    name: String,
    value: f64,
}

impl Target {
    /// `None` where nothing of it was measured.
    fn is_met(&self) -> Option<bool> {
        let values = || self.measured.iter().map(|it| it.value);
        (values().count() > 0).then(|| values().all(|it| it <= self.most))
    }

    /// The worst of a placement.
    fn worst(&self, placement: Placement) -> Option<&Measured> {
        let of = self.measured.iter().filter(|it| it.placement == placement);
        of.max_by(|one, other| one.value.total_cmp(&other.value))
    }
}

/// The table of targets, each with the worst that was measured.
pub(crate) fn table(results: &Results, subjects: &[Subject], batch: usize, latency: f64) -> String {
    let mut text = format!(
        "| target | at most | {} | {} | met |\n|---|---:|---|---|---|\n",
        title(Placement::Together),
        title(Placement::Apart),
    );
    let is_meant = batch == BATCH && (latency - LATENCY_MILLIS).abs() < f64::EPSILON;
    for target in all(results, subjects, is_meant) {
        let cell = |placement| {
            target.worst(placement).map_or_else(String::new, |it| {
                format!("{} (`{}`)", digits(it.value), it.name)
            })
        };
        let met = match target.is_met() {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "not measured",
        };
        let cells = [
            cell(Placement::Together),
            cell(Placement::Apart),
            met.to_owned(),
        ];
        let _ = writeln!(
            text,
            "| {} | {} | {} |",
            target.what,
            digits(target.most),
            cells.join(" | ")
        );
    }
    text
}

fn all(results: &Results, subjects: &[Subject], is_meant: bool) -> Vec<Target> {
    let mut all = vec![
        cold_start(results),
        cpu(results, MINIMAL, "the minimal worker's", 1.5),
        cpu(results, PYTHON, "Python's", 0.1),
        cpu(results, TYPESCRIPT, "TypeScript's", 1.0 / 6.0),
    ];
    if is_meant {
        let workers = ["payment-worker", "stock-worker", "shipping-worker"];
        let of = |round: &Round| round.slow.p50;
        let what = "ms for a batch of 10 with 3 ms for each store request (p50)";
        all.push(plain(results, what, 12.0, &workers, &of));
    }
    let store = |it: &Phase| per_record(it, it.tally.store_requests());
    let first: &dyn Fn(&Round) -> f64 = &|it| store(&it.first);
    let again: &dyn Fn(&Round) -> f64 = &|it| store(&it.duplicate);
    let one = ["order-api", "stock-worker"];
    let two = ["payment-worker", "shipping-worker"];
    let four = [
        "order-api",
        "stock-worker",
        "payment-worker",
        "shipping-worker",
    ];
    let steps = ["stock-worker", "payment-worker", "shipping-worker"];
    let answers: &dyn Fn(&Round) -> f64 =
        &|it| per_record(&it.first, it.first.tally.of("Step Functions"));
    let publishes: &dyn Fn(&Round) -> f64 = &|it| per_record(&it.first, it.first.tally.of("SNS"));
    all.push(plain(
        results,
        "store requests for an order or a reservation",
        1.0,
        &one,
        first,
    ));
    all.push(plain(
        results,
        "store requests for a payment or a shipment",
        2.0,
        &two,
        first,
    ));
    all.push(plain(
        results,
        "store requests for a duplicate",
        1.0,
        &four,
        again,
    ));
    all.push(plain(
        results,
        "answers to the saga for a command",
        1.0,
        &steps,
        answers,
    ));
    if is_meant {
        let relay = ["outbox-relay"];
        all.push(plain(
            results,
            "publish requests for an event",
            0.1,
            &relay,
            publishes,
        ));
    }
    let own: Vec<&str> = FUNCTIONS.iter().map(|(name, _, _)| *name).collect();
    all.push(plain(
        results,
        "MiB of memory at the peak",
        20.0,
        &own,
        &|it| it.peak_mib,
    ));
    all.push(zip(subjects, &own));
    all
}

fn per_record(phase: &Phase, count: u64) -> f64 {
    float(count) / phase.records
}

/// The same limit for several functions.
fn plain(
    results: &Results,
    what: &str,
    most: f64,
    names: &[&str],
    of: &dyn Fn(&Round) -> f64,
) -> Target {
    let mut measured = Vec::new();
    for placement in results.placements() {
        for name in names {
            let figure = results.figure(name, placement, of);
            measured.extend(figure.map(|it| Measured {
                placement,
                name: (*name).to_owned(),
                value: it.median,
            }));
        }
    }
    Target {
        what: what.to_owned(),
        most,
        measured,
    }
}

fn cold_start(results: &Results) -> Target {
    let mut measured = Vec::new();
    for placement in results.placements() {
        let start = |name: &str| results.start(name, placement, |it| it.to_request);
        let minimal = start(MINIMAL);
        for (name, _, _) in FUNCTIONS {
            let times = start(name)
                .zip(minimal)
                .map(|(own, it)| own.median / it.median);
            measured.extend(times.map(|value| Measured {
                placement,
                name: name.to_owned(),
                value,
            }));
        }
    }
    Target {
        what: "cold start to the first request for work, in times of the minimal worker's"
            .to_owned(),
        most: 1.3,
        measured,
    }
}

fn cpu(results: &Results, other: &str, whose: &str, most: f64) -> Target {
    let own = "payment-worker";
    let mut measured = Vec::new();
    for placement in results.placements() {
        let cpu = |name: &str| results.figure(name, placement, &|it| it.first.cpu_per_thousand());
        measured.extend(cpu(own).zip(cpu(other)).map(|(own_cpu, it)| Measured {
            placement,
            name: own.to_owned(),
            value: own_cpu.median / it.median,
        }));
    }
    Target {
        what: format!("CPU of a payment, in times of {whose}"),
        most,
        measured,
    }
}

fn zip(subjects: &[Subject], own: &[&str]) -> Target {
    let is_own = |it: &&Subject| own.contains(&it.name.as_str());
    let measured = subjects.iter().filter(is_own).map(|it| Measured {
        placement: Placement::Together,
        name: it.name.clone(),
        value: float(it.sizes.zip) / MIB,
    });
    Target {
        what: "MiB of a function's zip file".to_owned(),
        most: 4.0,
        measured: measured.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(values: &[f64]) -> Target {
        let measured = values.iter().map(|value| Measured {
            placement: Placement::Together,
            name: format!("f{value}"),
            value: *value,
        });
        Target {
            what: "x".to_owned(),
            most: 2.0,
            measured: measured.collect(),
        }
    }

    #[test]
    fn a_target_is_met_where_each_function_keeps_it() {
        assert_eq!(target(&[1.0, 2.0]).is_met(), Some(true));
        assert_eq!(target(&[1.0, 2.1]).is_met(), Some(false));
        assert_eq!(target(&[]).is_met(), None);
    }

    #[test]
    fn the_worst_is_shown() {
        let target = target(&[1.0, 3.0, 2.0]);
        assert_eq!(target.worst(Placement::Together).unwrap().name, "f3");
        assert!(target.worst(Placement::Apart).is_none());
    }
}
