//! Dead letters and replays on small scenarios; `make model` explores larger ones.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "what was explored is for people to read; a sabotage without a scenario fails its test"
)]

mod common;

use model::explored::invariants;
use model::letters::{DeadLetters, Sabotage, quick, sabotaged};
use model::report::check;

use common::{comes_to_rest, holds};

#[test]
fn no_dead_letter_is_lost_and_no_replay_goes_beside_another() {
    let mut unseen = 0;
    for scenario in quick() {
        let name = format!("{} message(s), {}", scenario.messages, scenario.name);
        let report = holds(&name, DeadLetters::new(scenario.clone()));
        unseen += report.unseen.len();
    }
    // Only where nobody replays.
    assert_eq!(unseen, 1);
}

#[test]
fn from_every_state_all_letters_come_to_rest_without_a_further_mishap() {
    for scenario in quick() {
        comes_to_rest(scenario.name, &DeadLetters::new(scenario.clone()));
    }
}

#[track_caller]
fn breaks(sabotage: Sabotage, number: usize, part: &str) {
    let mut all = sabotaged().into_iter();
    let scenario = all.find(|scenario| scenario.sabotage == Some(sabotage));
    // With one thread the first way that is found is a shortest one.
    let report = check(DeadLetters::new(scenario.unwrap()), 1);
    for broken in &report.broken {
        println!("{sabotage:?} breaks {broken}:\n{}\n", broken.path);
    }
    let words = invariants::ALL[number - 1];
    let mut broken = report.broken.iter();
    let noticed = broken.any(|broken| broken.words == words && broken.parts.contains(&part));
    assert!(noticed, "not noticed in {} states", report.states);
}

#[test]
fn a_dead_letter_that_is_deleted_before_it_is_stored_is_noticed() {
    let part = "a dead letter is deleted only when a record has it";
    breaks(Sabotage::DeleteBeforeStore, 5, part);
}

#[test]
fn a_message_that_is_sent_without_a_claim_is_noticed() {
    let part = "a replay sends only what it has claimed";
    breaks(Sabotage::SendWithoutClaim, 6, part);
}

#[test]
fn a_record_that_is_stored_over_any_version_is_noticed() {
    let part = "a replay sends only what it has claimed";
    breaks(Sabotage::NoVersionCheck, 6, part);
}

#[test]
fn a_record_that_is_resolved_when_its_message_is_sent_is_noticed() {
    let part = "what is resolved was processed, or a person says so";
    breaks(Sabotage::ResolveAtSend, 5, part);
}

#[test]
fn a_replay_that_does_not_name_its_record_is_noticed() {
    breaks(Sabotage::ForgetAttributes, 6, "a message has one record");
}
