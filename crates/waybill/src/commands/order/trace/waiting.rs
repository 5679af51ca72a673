//! What is not answered or not processed, and where it must therefore be.
//!
//! Nobody may look into a consumer's queue: receiving uses up receives. So where a
//! message is follows from what is on record.

use std::fmt;

use domain::Step;
use failures::Status;
use serde::Serialize;

use super::gather::Found;
use crate::records::order::StoredOrder;
use crate::records::steps::{Stage, StepState, consumer_of};

/// A message that waits, or is being handled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Waiting {
    /// `noun.verb`.
    pub(super) message: String,
    /// Since when, RFC 3339.
    pub(super) since: String,
    /// Where it must be.
    pub(super) place: String,
    /// What holds it up there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hindrance: Option<String>,
}

impl fmt::Display for Waiting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            message,
            since,
            place,
            ..
        } = self;
        write!(formatter, "{message}: since {since}, {place}")?;
        match &self.hindrance {
            Some(hindrance) => write!(formatter, "; {hindrance}"),
            None => Ok(()),
        }
    }
}

/// Finds what waits.
pub(super) fn waiting(found: &Found) -> Vec<Waiting> {
    let mut waiting = commands(found);
    if let Some(order) = &found.order {
        waiting.extend(events(found, order));
        waiting.extend(notice(found, order));
        waiting.extend(saga(found, order));
    }
    waiting
}

/// Commands that were on the bus and have no answer.
fn commands(found: &Found) -> Vec<Waiting> {
    let mut waiting: Vec<Waiting> = Vec::new();
    for audited in found.audit.iter().rev() {
        let Ok(step) = audited.name.parse::<Step>() else {
            continue;
        };
        let is_told = waiting.iter().any(|it| it.message == audited.name);
        let state = found.steps.iter().find(|state| state.step == step.action());
        if is_told || state.is_none_or(|state| is_answered(step, state)) {
            continue;
        }
        let place = set_aside(found, &audited.id, None)
            .unwrap_or_else(|| with_its_consumer(step, state, found));
        let consumer = consumer_of(step);
        waiting.push(Waiting {
            message: audited.name.clone(),
            since: audited.time.clone(),
            place,
            hindrance: hindrance(found, consumer),
        });
    }
    waiting.reverse();
    waiting
}

fn is_answered(step: Step, state: &StepState) -> bool {
    match (&state.stage, step.is_undo()) {
        (Stage::Absent | Stage::Started { .. }, _) => false,
        (Stage::Completed | Stage::Undoing { .. }, is_undo) => !is_undo,
        (Stage::Undone, _) => true,
    }
}

fn with_its_consumer(step: Step, state: Option<&StepState>, found: &Found) -> String {
    let consumer = consumer_of(step);
    match state.map(|state| &state.stage) {
        Some(Stage::Started { until, busy: true }) if !step.is_undo() => {
            format!("being handled by {consumer}, claimed until {until}")
        }
        Some(Stage::Undoing { until, busy: true }) => {
            format!("being handled by {consumer}, claimed until {until}")
        }
        // What an ended order refuses leaves no record where nothing was claimed for it.
        _ if !step.is_undo() && has_ended(found) => {
            format!("in the {consumer} queue, or refused there since the order has ended")
        }
        _ => format!("in the {consumer} queue or being handled"),
    }
}

fn has_ended(found: &Found) -> bool {
    let status = found.order.as_ref().and_then(|order| order.status);
    status.is_some_and(domain::OrderStatus::is_final)
}

/// The dead letter or the failure that a message has become.
fn set_aside(found: &Found, message_id: &str, consumer: Option<&str>) -> Option<String> {
    let is_it = |failure: &&failures::Failure| {
        failure.event_id.as_deref() == Some(message_id)
            && failure.status != Status::Resolved
            && consumer.is_none_or(|consumer| failure.consumer == consumer)
    };
    if let Some(failure) = found.failures.iter().rev().find(is_it) {
        let (id, status) = (&failure.id, failure.status);
        return Some(format!("in the failure store as {id}, {status}"));
    }
    let letters = &found.dead_letters.found;
    let letter = letters.iter().find(|letter| {
        letter.message_id.as_deref() == Some(message_id)
            && consumer.is_none_or(|consumer| letter.queue.contains(&format!("-{consumer}-")))
    })?;
    Some(format!("in {}, not drained yet", letter.queue))
}

/// Events that are in the timeline, and not in the audit trail.
fn events(found: &Found, order: &StoredOrder) -> Vec<Waiting> {
    let is_audited = |id: &str| found.audit.iter().any(|audited| audited.id == id);
    let missing = order
        .timeline
        .iter()
        .filter(|event| !is_audited(event.id()));
    missing
        .map(|event| Waiting {
            message: event.name(),
            since: event.time().to_owned(),
            place: set_aside(found, event.id(), Some("audit"))
                .unwrap_or_else(|| "with the relay, or in the audit queue".to_owned()),
            hindrance: hindrance(found, "audit"),
        })
        .collect()
}

/// The notice of the order's end.
fn notice(found: &Found, order: &StoredOrder) -> Option<Waiting> {
    if found.told != Some(false) {
        return None;
    }
    let name = format!("order.{}", order.status_name());
    let event = order.last(&name)?;
    let place = set_aside(found, event.id(), Some("notify"));
    Some(Waiting {
        message: name,
        since: event.time().to_owned(),
        place: place.unwrap_or_else(|| {
            "people are not told yet: in the notify queue or being handled".to_owned()
        }),
        hindrance: hindrance(found, "notify"),
    })
}

/// The start of a saga that is not there. One that has expired is no news.
fn saga(found: &Found, order: &StoredOrder) -> Option<Waiting> {
    let has_moved = found.audit.iter().any(|audited| audited.sequence.is_none());
    let is_accepted = order.status == Some(domain::OrderStatus::Accepted);
    if found.saga.is_some() || has_moved || !is_accepted {
        return None;
    }
    let event = order.last("order.placed")?;
    let place = set_aside(found, event.id(), Some("saga"));
    Some(Waiting {
        message: "order.placed".to_owned(),
        since: event.time().to_owned(),
        place: place.unwrap_or_else(|| {
            "the saga has not begun: with the relay, in the saga queue or being handled".to_owned()
        }),
        hindrance: hindrance(found, "saga"),
    })
}

fn hindrance(found: &Found, consumer: &str) -> Option<String> {
    let what = found.traffic.get(consumer)?.hindrance()?;
    Some(format!("{consumer}: {what}"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::records::audit::Audited;
    use crate::records::failures::{DeadLetter, Peek};
    use crate::records::order::tests::order;
    use crate::records::steps::tests::{CAPTURED, absent, completed, undone};
    use crate::records::traffic::tests::traffic;
    use serde_json::json;
    use std::collections::BTreeMap;

    pub(in super::super) fn audited(id: &str, name: &str, sequence: Option<u32>) -> Audited {
        Audited {
            id: id.to_owned(),
            name: name.to_owned(),
            time: "2026-11-21T17:56:00.000Z".to_owned(),
            source: "/waybill/order-saga".to_owned(),
            sequence,
            recorded_at: "2026-11-21T17:56:00.300Z".to_owned(),
        }
    }

    pub(in super::super) fn found(order: Option<StoredOrder>, audit: Vec<Audited>) -> Found {
        Found {
            order,
            audit,
            saga: None,
            recoveries: Vec::new(),
            failures: Vec::new(),
            steps: vec![
                absent(Step::Charge),
                absent(Step::Reserve),
                absent(Step::Ship),
            ],
            dead_letters: Peek::default(),
            told: None,
            traffic: BTreeMap::new(),
            remarks: Vec::new(),
        }
    }

    #[track_caller]
    fn check(found: &Found, expected: &[(&str, &str)]) {
        let waiting = waiting(found);
        assert_eq!(waiting.len(), expected.len(), "{waiting:?}");
        for (waiting, (message, words)) in waiting.iter().zip(expected) {
            assert_eq!(waiting.message, *message);
            assert!(waiting.to_string().contains(words), "{waiting}");
        }
    }

    fn charge() -> Audited {
        audited("o/payment.charge", "payment.charge", None)
    }

    #[test]
    fn a_command_without_an_answer_is_with_its_consumer() {
        let mut found = found(None, vec![charge()]);
        check(
            &found,
            &[("payment.charge", "in the payment queue or being handled")],
        );
        found.traffic.insert("payment", traffic("Disabled", "open"));
        check(&found, &[("payment.charge", "its circuit is open")]);
    }

    #[test]
    fn a_command_that_was_set_aside_is_where_it_was_set_aside_to() {
        let mut found = found(None, vec![charge()]);
        found.dead_letters.found.push(DeadLetter {
            queue: "waybill-payment-dlq".to_owned(),
            sqs_id: "m-1".to_owned(),
            message_id: Some("o/payment.charge".to_owned()),
            name: Some("payment.charge".to_owned()),
            since: None,
            error_name: None,
        });
        check(&found, &[("payment.charge", "in waybill-payment-dlq")]);
    }

    #[test]
    fn a_command_that_was_answered_waits_nowhere() {
        let refund = audited("o/payment.refund", "payment.refund", None);
        let mut found = found(None, vec![charge(), refund]);
        found.steps[0] = completed(Step::Charge, CAPTURED);
        check(&found, &[("payment.refund", "in the payment queue")]);
        found.steps[0] = undone(Step::Charge, CAPTURED);
        check(&found, &[]);
    }

    #[test]
    fn a_command_that_was_sent_twice_waits_once() {
        check(
            &found(None, vec![charge(), charge()]),
            &[("payment.charge", "in the payment queue")],
        );
    }

    #[test]
    fn an_event_that_the_audit_lacks_and_a_saga_that_has_not_begun_are_told() {
        let order = order("accepted", &[("order.placed", json!({}))]);
        let found = found(Some(order), Vec::new());
        check(
            &found,
            &[
                ("order.placed", "with the relay, or in the audit queue"),
                ("order.placed", "the saga has not begun"),
            ],
        );
    }

    #[test]
    fn an_end_that_people_were_not_told_of_waits_with_the_notifier() {
        let order = order("failed", &[("order.failed", json!({}))]);
        let audit = vec![audited(order.timeline[0].id(), "order.failed", Some(1))];
        let mut found = found(Some(order), audit);
        found.told = Some(false);
        check(&found, &[("order.failed", "people are not told yet")]);
        found.told = Some(true);
        check(&found, &[]);
    }
}
