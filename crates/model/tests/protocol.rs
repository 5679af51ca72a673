//! The model on small scenarios; `make model` explores larger ones.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "what was explored is for people to read; a sabotage without a scenario fails its test"
)]

use model::relay::Publication;
use model::report::{Report, Special, check};
use model::saga::{Definition, Kind};
use model::scenario::{forgetful_parties, prompt_parties, quick, sabotaged};
use model::{PartyRules, Protocol, Sabotage, Scenario, rest};
use outbox_relay::Failures;
use stateright::{Checker, Model};

const THREADS: usize = 2;

#[track_caller]
fn holds(scenario: &Scenario) -> Report {
    let report = check(scenario.clone(), THREADS);
    println!(
        "{} order(s), {}: {} states, depth {}, {:?}",
        scenario.orders, scenario.name, report.states, report.depth, report.time
    );
    let broken: Vec<String> = report
        .broken
        .iter()
        .map(|(invariant, path)| format!("{invariant}:\n{path}"))
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n\n"));
    report
}

#[track_caller]
fn breaks(scenario: Scenario, invariants: &[&str]) {
    let what = scenario.sabotage;
    // With one thread the first way that is found is a shortest one.
    let report = check(scenario, 1);
    for (invariant, path) in &report.broken {
        println!("{what:?} breaks {invariant:?}:\n{path}\n");
    }
    let noticed = |(broken, _): &(&str, String)| invariants.iter().any(|i| broken.starts_with(i));
    assert!(
        report.broken.iter().any(noticed),
        "{what:?} breaks none of {invariants:?} in {} states",
        report.states
    );
}

#[track_caller]
fn sabotage_breaks(sabotage: Sabotage, invariants: &[&str]) {
    let mut all = sabotaged().into_iter();
    let scenario = all.find(|scenario| scenario.sabotage == Some(sabotage));
    breaks(scenario.unwrap(), invariants);
}

/// The invariants hold, and they were put to the test: every end was reached, and
/// every answer that only a race or a mishap leads to was heard by some worker.
#[test]
fn the_invariants_hold_in_every_state_and_none_of_them_for_want_of_trouble() {
    let reports: Vec<Report> = quick().iter().map(holds).collect();
    for special in Special::ALL {
        let heard = reports.iter().any(|report| report.heard.contains(&special));
        assert!(heard, "no worker was ever answered {special:?}");
    }
    for unseen in &reports[0].unseen {
        let seen = reports.iter().any(|report| !report.unseen.contains(unseen));
        assert!(seen, "{unseen} never happened");
    }
}

#[test]
fn from_every_state_all_orders_come_to_rest_without_a_further_mishap() {
    for scenario in quick() {
        let explored = rest::explore(&Protocol::new(scenario.clone()));
        assert!(
            explored.at_rest > 0,
            "{}: nothing comes to rest",
            scenario.name
        );
        assert_eq!(explored.trap, None, "{}", scenario.name);
    }
}

#[test]
fn both_explorers_visit_the_same_states() {
    for scenario in quick().into_iter().take(2) {
        let report = check(scenario.clone(), THREADS);
        assert_eq!(
            rest::explore(&Protocol::new(scenario)).states,
            report.states
        );
    }
}

#[test]
fn the_lease_alone_protects_a_lost_call_where_the_parties_are_prompt() {
    holds(&prompt_parties());
}

#[test]
fn a_barring_party_protects_a_lost_call_even_where_the_claim_is_given_back() {
    let given_back = prompt_parties().broken(Sabotage::ReleaseUnknown);
    holds(&Scenario {
        party: PartyRules::Barring,
        ..given_back
    });
}

#[test]
fn a_completion_without_fencing_is_noticed() {
    sabotage_breaks(Sabotage::NoFencing, &["1. completed", "6."]);
}

#[test]
fn an_undo_that_comes_first_and_leaves_no_tombstone_is_noticed() {
    sabotage_breaks(Sabotage::NoTombstone, &["1. failed"]);
}

#[test]
fn an_unconditional_write_of_the_end_is_noticed() {
    sabotage_breaks(
        Sabotage::UnconditionalEnd,
        &["1. an order reaches exactly one end"],
    );
}

#[test]
fn an_answer_before_the_commit_is_noticed() {
    sabotage_breaks(Sabotage::AnswerBeforeCommit, &["1. completed"]);
}

#[test]
fn a_claim_that_is_forgotten_while_its_outcome_is_unknown_is_noticed() {
    sabotage_breaks(Sabotage::ForgetUnknown, &["1. failed", "2. captured"]);
}

#[test]
fn a_claim_that_is_given_back_while_its_outcome_is_unknown_is_noticed_where_nothing_is_barred() {
    sabotage_breaks(Sabotage::ReleaseUnknown, &["1. failed", "2. captured"]);
}

#[test]
fn a_provider_key_that_changes_with_the_delivery_is_noticed() {
    sabotage_breaks(
        Sabotage::KeyPerDelivery,
        &["2. a payment is captured at most once"],
    );
}

#[test]
fn a_message_that_is_deleted_before_it_is_moved_is_noticed() {
    sabotage_breaks(Sabotage::DeleteBeforeMove, &["5."]);
}

#[test]
fn a_commit_to_an_order_that_has_ended_is_noticed() {
    sabotage_breaks(
        Sabotage::CommitAfterEnd,
        &["1. every accepted order reaches an end"],
    );
}

#[test]
fn a_lost_claim_that_is_taken_for_an_ended_order_is_noticed() {
    sabotage_breaks(Sabotage::OrderBeforeRecord, &["1. completed"]);
}

#[test]
fn an_outside_party_that_forgets_a_refusal_would_break_the_promise() {
    breaks(forgetful_parties(), &["1. failed"]);
}

#[test]
fn the_saga_of_the_model_is_the_deployed_one() {
    let saga = Definition::deployed();
    let commands = saga
        .states
        .iter()
        .filter(|state| matches!(state.kind, Kind::Ask(_)));
    assert_eq!(commands.count(), 6);
    let first = saga.state(saga.first);
    assert_eq!(first.name, "Charge");
    let declined = first.caught(contracts::saga::PAYMENT_DECLINED).unwrap();
    assert_eq!(saga.state(declined).name, "Fail");
    let timed_out = first.caught("States.Timeout").unwrap();
    assert_eq!(saga.state(timed_out).name, "Refund");
}

/// The names of the properties of the publication that do not hold.
fn broken_publication(failures: Failures, lying_bus: bool) -> Vec<&'static str> {
    let model = Publication {
        failures,
        mishaps: 3,
        lying_bus,
    };
    let checker = model.checker().threads(THREADS).spawn_bfs().join();
    println!("publication: {} states", checker.unique_state_count());
    let found = checker.discoveries();
    assert!(found.contains_key("everything is published"));
    let mut broken: Vec<_> = found
        .into_keys()
        .filter(|name| name.starts_with('4'))
        .collect();
    broken.sort_unstable();
    broken
}

#[test]
fn each_event_is_published_in_order_with_its_number_whatever_the_bus_refuses() {
    for failures in [Failures::BySequence, Failures::ByError] {
        assert_eq!(broken_publication(failures, false), Vec::<&str>::new());
    }
}

#[test]
fn an_event_that_is_taken_for_published_and_is_not_is_noticed() {
    let broken = broken_publication(Failures::BySequence, true);
    assert_eq!(
        broken,
        [
            "4. an order's events are published in order",
            "4. each event of an order is published at least once",
        ]
    );
}
