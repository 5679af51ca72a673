//! The model on small scenarios; `make model` explores larger ones.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "what was explored is for people to read; a sabotage without a scenario fails its test"
)]

use model::explored::invariants;
use model::relay::Publication;
use model::report::{Checkable, Report, Special, check, check_protocol};
use model::saga::{Definition, Kind};
use model::scenario::{forgetful_parties, prompt_parties, quick, sabotaged};
use model::{PartyRules, Protocol, Sabotage, Scenario, rest};
use outbox_relay::Failures;

const THREADS: usize = 2;

#[track_caller]
fn holds(scenario: &Scenario) -> (Report, Vec<Special>) {
    let (report, heard) = check_protocol(scenario.clone(), THREADS);
    println!(
        "{} order(s), {}: {} states, depth {}, {:?}",
        scenario.orders, scenario.name, report.states, report.depth, report.time
    );
    assert_holds(&report);
    (report, heard)
}

#[track_caller]
fn assert_holds(report: &Report) {
    let broken = report.broken.iter();
    let broken: Vec<String> = broken
        .map(|broken| format!("{broken}:\n{}", broken.path))
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n\n"));
}

/// `noticed` are numbers of invariants, each with the part that does not hold.
#[track_caller]
fn breaks(what: &str, model: impl Checkable, noticed: &[(usize, &str)]) {
    // With one thread the first way that is found is a shortest one.
    let report = check(model, 1);
    for broken in &report.broken {
        println!("{what} breaks {broken}:\n{}\n", broken.path);
    }
    let is_noticed = |(number, part): &(usize, &str)| {
        let words = invariants::ALL[number - 1];
        let mut broken = report.broken.iter();
        broken.any(|broken| broken.words == words && broken.parts.contains(part))
    };
    assert!(
        noticed.iter().any(is_noticed),
        "{what} breaks none of {noticed:?} in {} states",
        report.states
    );
}

#[track_caller]
fn sabotage_breaks(sabotage: Sabotage, noticed: &[(usize, &str)]) {
    let mut all = sabotaged().into_iter();
    let scenario = all.find(|scenario| scenario.sabotage == Some(sabotage));
    let model = Protocol::new(scenario.unwrap());
    breaks(&format!("{sabotage:?}"), model, noticed);
}

/// The invariants hold, and they were put to the test: every end was reached, and
/// every answer that only a race or a mishap leads to was heard by some worker.
#[test]
fn the_invariants_hold_in_every_state_and_none_of_them_for_want_of_trouble() {
    let reports: Vec<_> = quick().iter().map(holds).collect();
    for special in Special::ALL {
        let heard = reports.iter().any(|(_, heard)| heard.contains(&special));
        assert!(heard, "no worker was ever answered {special:?}");
    }
    for unseen in &reports[0].0.unseen {
        let seen = reports
            .iter()
            .any(|(report, _)| !report.unseen.contains(unseen));
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
        let report = check(Protocol::new(scenario.clone()), THREADS);
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
    sabotage_breaks(
        Sabotage::NoFencing,
        &[
            (1, "completed means paid and shipped"),
            (6, "each effect happens once"),
        ],
    );
}

#[test]
fn an_undo_that_comes_first_and_leaves_no_tombstone_is_noticed() {
    sabotage_breaks(Sabotage::NoTombstone, &[(1, "failed means fully undone")]);
}

#[test]
fn an_unconditional_write_of_the_end_is_noticed() {
    sabotage_breaks(
        Sabotage::UnconditionalEnd,
        &[(1, "an order reaches exactly one end")],
    );
}

#[test]
fn an_answer_before_the_commit_is_noticed() {
    sabotage_breaks(
        Sabotage::AnswerBeforeCommit,
        &[(1, "completed means paid and shipped")],
    );
}

#[test]
fn a_claim_that_is_forgotten_while_its_outcome_is_unknown_is_noticed() {
    sabotage_breaks(
        Sabotage::ForgetUnknown,
        &[
            (1, "failed means fully undone"),
            (2, "captured and not completed means refunded"),
        ],
    );
}

#[test]
fn a_claim_that_is_given_back_while_its_outcome_is_unknown_is_noticed_where_nothing_is_barred() {
    sabotage_breaks(
        Sabotage::ReleaseUnknown,
        &[
            (1, "failed means fully undone"),
            (2, "captured and not completed means refunded"),
        ],
    );
}

#[test]
fn a_provider_key_that_changes_with_the_delivery_is_noticed() {
    sabotage_breaks(
        Sabotage::KeyPerDelivery,
        &[(2, "a payment is captured at most once")],
    );
}

#[test]
fn a_message_that_is_deleted_before_it_is_moved_is_noticed() {
    sabotage_breaks(
        Sabotage::DeleteBeforeMove,
        &[(5, "every message is processed, waiting, or a dead letter")],
    );
}

#[test]
fn a_commit_to_an_order_that_has_ended_is_noticed() {
    sabotage_breaks(
        Sabotage::CommitAfterEnd,
        &[(1, "every accepted order reaches an end")],
    );
}

#[test]
fn a_lost_claim_that_is_taken_for_an_ended_order_is_noticed() {
    sabotage_breaks(
        Sabotage::OrderBeforeRecord,
        &[(1, "completed means paid and shipped")],
    );
}

#[test]
fn an_outside_party_that_forgets_a_refusal_would_break_the_promise() {
    breaks(
        "a forgetful party",
        Protocol::new(forgetful_parties()),
        &[(1, "failed means fully undone")],
    );
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

/// Holds in every state, whatever the bus refuses, and comes to rest from each.
fn check_publication(what: &str, with: fn(Failures, u8) -> Publication) {
    for failures in [Failures::BySequence, Failures::ByError] {
        let report = check(with(failures, 3), THREADS);
        println!(
            "{what}, {failures:?}: {} states, depth {}, {:?}",
            report.states, report.depth, report.time
        );
        assert_holds(&report);
        assert_eq!(report.unseen, Vec::<&str>::new());
        assert_eq!(rest::explore(&with(failures, 2)).trap, None);
    }
}

#[test]
fn each_event_is_published_in_order_with_its_number_whatever_the_bus_refuses() {
    check_publication("publication", Publication::new);
}

#[test]
fn an_order_with_an_unreadable_event_is_held_and_told_of_and_the_others_go_on() {
    check_publication("unreadable event", Publication::unreadable);
}

#[test]
fn an_event_that_is_taken_for_published_and_is_not_is_noticed() {
    let mut model = Publication::new(Failures::BySequence, 3);
    model.lying_bus = true;
    let report = check(model, 1);
    let broken: Vec<_> = report.broken.iter().map(|broken| broken.words).collect();
    let noticed = [
        "each event of an order that can be read is published at least once",
        "an order's events are published in order",
        invariants::EVENTS,
    ];
    assert_eq!(broken, noticed);
}

/// In the words of ARCHITECTURE.md, but for its asterisks.
#[test]
fn the_invariants_are_those_of_the_architecture() {
    let architecture = include_str!("../../../ARCHITECTURE.md").replace('*', "");
    for words in invariants::ALL {
        let line = architecture.lines().any(|line| line == words);
        assert!(line, "{words}");
    }
}
