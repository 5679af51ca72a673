//! The saga's definition, held against the code and against the rules for state machines.

use std::collections::BTreeSet;

use contracts::saga;
use serde_json::{Map, Value};

const ORDER_SAGA: &str = include_str!("../../infra/order-saga.asl.json");
const RESCUE: &str = include_str!("../../infra/saga-rescue.asl.json");
const SWEEP: &str = include_str!("../../infra/order-sweep.asl.json");
const RECOVERY: &str = include_str!("../../infra/order-recovery.asl.json");

/// The definition, with a number in the place of each substituted one.
fn parse(definition: &str) -> Value {
    let mut filled = definition.to_owned();
    for number in ["${StepTimeoutSeconds}", "${UndoTimeoutSeconds}"] {
        filled = filled.replace(number, "60");
    }
    serde_json::from_str(&filled).unwrap()
}

fn states(definition: &Value) -> &Map<String, Value> {
    definition["States"].as_object().unwrap()
}

/// The error names of a state's catches or retries, in order.
fn errors<'a>(state: &'a Value, part: &str) -> Vec<&'a str> {
    let rules = state[part]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let names = rules
        .iter()
        .filter_map(|rule| rule["ErrorEquals"].as_array())
        .flatten();
    names.filter_map(Value::as_str).collect()
}

fn tasks(definition: &Value) -> impl Iterator<Item = (&String, &Value)> {
    states(definition)
        .iter()
        .filter(|(_, state)| state["Type"] == "Task")
}

#[test]
fn the_error_names_that_the_saga_catches_are_those_that_the_workers_send() {
    let definition = parse(ORDER_SAGA);
    let caught: BTreeSet<_> = tasks(&definition)
        .flat_map(|(_, state)| errors(state, "Catch"))
        .filter(|name| name.starts_with("Waybill."))
        .collect();
    let business = [
        saga::PAYMENT_DECLINED,
        saga::OUT_OF_STOCK,
        saga::SHIPMENT_REFUSED,
    ];
    assert_eq!(caught, BTreeSet::from(business));
    for other in [saga::ALREADY_UNDONE, saga::ORDER_ENDED, saga::BAD_MESSAGE] {
        assert!(other.starts_with("Waybill."), "{other} falls to States.ALL");
    }
}

#[test]
fn every_state_with_an_effect_has_a_time_limit() {
    for definition in [ORDER_SAGA, RESCUE, SWEEP, RECOVERY].map(parse) {
        for (name, state) in tasks(&definition) {
            assert!(
                state["TimeoutSeconds"].as_u64().is_some_and(|it| it > 0),
                "{name}"
            );
        }
        assert!(
            definition["TimeoutSeconds"].as_u64().is_some(),
            "and so has the whole"
        );
    }
}

#[test]
fn every_state_with_an_effect_catches_everything_at_last() {
    for (name, state) in tasks(&parse(ORDER_SAGA)) {
        assert_eq!(errors(state, "Catch").last(), Some(&"States.ALL"), "{name}");
    }
}

#[test]
fn nothing_is_retried_on_a_blanket_error() {
    for definition in [ORDER_SAGA, RESCUE, SWEEP, RECOVERY].map(parse) {
        for (name, state) in tasks(&definition) {
            for error in errors(state, "Retry") {
                assert!(
                    !["States.ALL", "States.TaskFailed"].contains(&error),
                    "{name}: {error}"
                );
            }
            for rule in state["Retry"].as_array().into_iter().flatten() {
                assert_eq!(rule["JitterStrategy"], "FULL", "{name}");
                assert!(
                    rule["BackoffRate"].as_f64().is_some_and(|rate| rate > 1.0),
                    "{name}"
                );
                assert!(rule["MaxDelaySeconds"].is_number(), "{name}");
            }
        }
    }
}

/// The states from one to the end, along `Next`.
fn path<'a>(definition: &'a Value, from: &'a str) -> Vec<&'a str> {
    let mut path = vec![from];
    while let Some(next) = states(definition)[*path.last().unwrap()]["Next"].as_str() {
        assert!(!path.contains(&next), "{next} comes round again");
        path.push(next);
    }
    path
}

#[test]
fn a_completed_order_takes_four_states() {
    let definition = parse(ORDER_SAGA);
    let start = definition["StartAt"].as_str().unwrap();
    assert_eq!(
        path(&definition, start),
        ["Charge", "Reserve", "Ship", "Complete"]
    );
}

/// Where a catch leads, and through which states it goes from there.
#[track_caller]
fn check_undo(state: &str, error: &str, undone_by: &[&str]) {
    let definition = parse(ORDER_SAGA);
    let catches = states(&definition)[state]["Catch"].as_array().unwrap();
    let names = |rule: &Value| {
        rule["ErrorEquals"]
            .as_array()
            .unwrap()
            .contains(&Value::from(error))
    };
    let next = catches.iter().find(|rule| names(rule)).unwrap()["Next"]
        .as_str()
        .unwrap();
    assert_eq!(path(&definition, next), undone_by, "{state} after {error}");
}

#[test]
fn every_step_is_undone_in_reverse_from_where_its_effect_is_in_doubt() {
    check_undo("Charge", saga::PAYMENT_DECLINED, &["Fail"]);
    check_undo("Charge", "States.Timeout", &["Refund", "Fail"]);
    check_undo("Charge", "States.ALL", &["Refund", "Fail"]);
    check_undo("Reserve", saga::OUT_OF_STOCK, &["Refund", "Fail"]);
    check_undo("Reserve", "States.Timeout", &["Release", "Refund", "Fail"]);
    check_undo("Reserve", "States.ALL", &["Release", "Refund", "Fail"]);
    check_undo(
        "Ship",
        saga::SHIPMENT_REFUSED,
        &["Release", "Refund", "Fail"],
    );
    check_undo(
        "Ship",
        "States.Timeout",
        &["CancelShipment", "Release", "Refund", "Fail"],
    );
    check_undo(
        "Ship",
        "States.ALL",
        &["CancelShipment", "Release", "Refund", "Fail"],
    );
}

#[test]
fn an_undo_that_fails_is_handed_to_people() {
    for undo in ["CancelShipment", "Release", "Refund", "Complete", "Fail"] {
        check_undo(undo, "States.ALL", &["NeedsAttention", "HandedToPeople"]);
    }
}

/// Where a recovery goes from a state: by its own way, and where it fails.
fn recovery(state: &str) -> (String, String) {
    let definition = parse(RECOVERY);
    let state = &states(&definition)[state];
    let next = |it: &Value| it["Next"].as_str().unwrap_or_default().to_owned();
    (next(state), next(&state["Catch"][0]))
}

#[test]
fn a_recovery_tries_every_undo_but_gives_back_no_pieces_of_a_shipment_that_stands() {
    let way = |own: &str, failed: &str| (own.to_owned(), failed.to_owned());
    assert_eq!(recovery("CancelShipment"), way("Release", "Refund"));
    assert_eq!(recovery("Release"), way("Refund", "Refund"));
    assert_eq!(recovery("Refund"), way("IsUndone", "IsUndone"));
}

#[test]
fn a_recovery_writes_to_an_order_only_while_it_needs_attention_and_has_it() {
    let definition = parse(RECOVERY);
    let writes = tasks(&definition)
        .filter(|(_, state)| state["Resource"] == "arn:aws:states:::dynamodb:updateItem");
    let mut count = 0;
    for (name, state) in writes {
        let condition = state["Arguments"]["ConditionExpression"].as_str().unwrap();
        assert!(condition.contains("#status = :attention"), "{name}");
        let is_first = definition["StartAt"] == name.as_str();
        assert_eq!(
            is_first,
            !condition.contains("recovery.#name = :name"),
            "{name}"
        );
        count += 1;
    }
    assert_eq!(count, 4);
}

#[test]
fn a_recovery_sends_the_commands_that_the_saga_sends() {
    let message = |definition: &str, state: &str| {
        let definition = parse(definition);
        let message = &states(&definition)[state]["Arguments"]["Message"];
        message
            .as_str()
            .unwrap()
            .replace("/order-recovery", "/order-saga")
    };
    for undo in ["CancelShipment", "Release", "Refund"] {
        assert_eq!(message(RECOVERY, undo), message(ORDER_SAGA, undo), "{undo}");
    }
}
