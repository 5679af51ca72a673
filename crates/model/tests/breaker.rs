//! The circuit breaker on small scenarios; `make model` explores larger ones.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "what was explored is for people to read; a sabotage without a scenario fails its test"
)]

mod common;

use model::breaker::{Breaking, CIRCUIT, Sabotage, endless, quick, sabotaged};
use model::explored::invariants;
use model::report::check;
use model::rest;

use common::{comes_to_rest, holds};

#[test]
fn a_circuit_holds_messages_back_and_loses_none() {
    for scenario in quick() {
        let report = holds(scenario.name, Breaking::new(scenario.clone()));
        assert!(
            report.unseen.is_empty(),
            "{}: {:?}",
            scenario.name,
            report.unseen
        );
    }
}

#[test]
fn from_every_state_the_circuit_is_closed_again_or_kept_by_a_person() {
    for scenario in quick() {
        comes_to_rest(scenario.name, &Breaking::new(scenario.clone()));
    }
}

#[track_caller]
fn breaks(sabotage: Sabotage, words: &str, part: &str) {
    let mut all = sabotaged().into_iter();
    let scenario = all.find(|scenario| scenario.sabotage == Some(sabotage));
    // With one thread the first way that is found is a shortest one.
    let report = check(Breaking::new(scenario.unwrap()), 1);
    for broken in &report.broken {
        println!("{sabotage:?} breaks {broken}:\n{}\n", broken.path);
    }
    let mut broken = report.broken.iter();
    let noticed = broken.any(|broken| broken.words == words && broken.parts.contains(&part));
    assert!(noticed, "not noticed in {} states", report.states);
}

#[test]
fn a_circuit_that_is_stored_over_any_version_is_noticed() {
    breaks(Sabotage::NoVersionCheck, CIRCUIT, "one probe at a time");
}

#[test]
fn a_mapping_that_does_not_change_is_noticed() {
    let part = "once it was looked after, a mapping lets through what its circuit wants";
    breaks(Sabotage::DeafMapping, CIRCUIT, part);
}

#[test]
fn a_probed_message_that_is_deleted_before_its_copy_is_sent_is_noticed() {
    let part = "no message is lost by a pause, a probe or an open circuit";
    breaks(Sabotage::DeleteBeforeCopy, invariants::MESSAGES, part);
}

#[test]
fn a_controller_that_forgets_a_pause_is_noticed() {
    let part = "a pause is begun and ended by a person only";
    breaks(Sabotage::PauseForgotten, CIRCUIT, part);
}

#[test]
fn a_probe_that_is_waited_for_without_end_is_noticed() {
    let rest = rest::explore(&Breaking::new(endless()));
    assert!(rest.trap.is_some(), "not noticed in {} states", rest.states);
}
