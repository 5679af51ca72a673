//! Intake on small scenarios; `make model` explores larger ones.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "what was explored is for people to read; a sabotage without a scenario fails its test"
)]

mod common;

use model::intake::{INTAKE, Intake, Sabotage, quick, sabotaged};
use model::report::check;

use common::{comes_to_rest, holds};

#[test]
fn a_key_makes_one_order_and_a_202_means_that_it_is_stored() {
    for scenario in quick() {
        let report = holds(scenario.name, Intake::new(scenario.clone()));
        assert!(
            report.unseen.is_empty(),
            "{}: {:?}",
            scenario.name,
            report.unseen
        );
    }
}

#[test]
fn from_every_state_each_client_gets_its_answer_without_a_further_mishap() {
    for scenario in quick() {
        comes_to_rest(scenario.name, &Intake::new(scenario.clone()));
    }
}

#[track_caller]
fn breaks(sabotage: Sabotage, part: &str) {
    let mut all = sabotaged().into_iter();
    let scenario = all.find(|scenario| scenario.sabotage == Some(sabotage));
    // With one thread the first way that is found is a shortest one.
    let report = check(Intake::new(scenario.unwrap()), 1);
    for broken in &report.broken {
        println!("{sabotage:?} breaks {broken}:\n{}\n", broken.path);
    }
    let mut broken = report.broken.iter();
    let noticed = broken.any(|broken| broken.words == INTAKE && broken.parts.contains(&part));
    assert!(noticed, "not noticed in {} states", report.states);
}

#[test]
fn an_order_that_is_stored_over_another_is_noticed() {
    let part = "a stored order is never replaced";
    breaks(Sabotage::Unconditional, part);
}

#[test]
fn an_order_that_is_stored_without_its_event_is_noticed() {
    let part = "an order is stored together with the event that it was placed";
    breaks(Sabotage::NoOutbox, part);
}

#[test]
fn an_order_whose_fingerprint_is_not_kept_is_noticed() {
    let part = "another order under a used key is refused, and its own is not";
    breaks(Sabotage::NoFingerprint, part);
}

#[test]
fn an_order_that_expires_is_noticed() {
    let part = "a 202 means that its order is stored";
    breaks(Sabotage::Expires, part);
}
