//! What must hold of dead letters and replays.

use failures::{Failure, Status};
use stateright::Property;

use super::process::{AUTOMATIC_REPLAYS, CONSUMER, body};
use super::{DeadLetters, Moment};
use crate::explored::invariants::{DELIVERIES, MESSAGES};
use crate::explored::{Explored, Part, all_hold};

const MESSAGES_PARTS: &[Part<DeadLetters>] = &[
    (
        "a message is processed, in a queue, a dead letter or in the failure store",
        none_is_lost,
    ),
    (
        "a dead letter is deleted only when a record has it",
        |_, moment| !moment.seen.deleted_unstored,
    ),
    (
        "what is resolved was processed, or a person says so",
        resolved_is_processed,
    ),
    (
        "at rest nothing is claimed that nobody sends",
        |model, moment| {
            let mut store = model.store(moment);
            !model.is_at_rest(moment) || store.all(|it| !is_left_alone(&it))
        },
    ),
];

const DELIVERIES_PARTS: &[Part<DeadLetters>] = &[
    ("a message has one record", |model, moment| {
        (0..model.scenario.messages).all(|number| records_of(model, moment, number).count() <= 1)
    }),
    ("a replay sends only what it has claimed", |_, moment| {
        !moment.seen.sent_unclaimed
    }),
    (
        "two replays of a message are never under way at once",
        |_, moment| !moment.seen.sent_beside,
    ),
    ("each failure is counted, once", |model, moment| {
        !model.is_at_rest(moment) || model.store(moment).all(|it| is_counted(model, moment, &it))
    }),
];

/// The invariants, and what must be possible for them to mean something.
pub(super) fn all() -> Vec<Property<DeadLetters>> {
    vec![
        Property::always(MESSAGES, |model, moment| {
            all_hold(MESSAGES_PARTS, model, moment)
        }),
        Property::always(DELIVERIES, |model, moment| {
            all_hold(DELIVERIES_PARTS, model, moment)
        }),
        Property::sometimes("a replayed message is processed", |model, moment| {
            let mut store = model.store(moment);
            store.any(|it| {
                let by = it.resolution.as_ref().map(|resolution| &resolution.by);
                it.status == Status::Resolved && by.is_some_and(|by| by == CONSUMER)
            })
        }),
    ]
}

/// The parts of a property.
pub(super) fn parts(words: &str) -> &'static [Part<DeadLetters>] {
    match words {
        MESSAGES => MESSAGES_PARTS,
        DELIVERIES => DELIVERIES_PARTS,
        _ => &[],
    }
}

/// An automatic claim that was not sent: the next run takes it up.
pub(super) fn is_abandoned(failure: &Failure) -> bool {
    is_unsent(failure, true) && failure.automatic_replays < AUTOMATIC_REPLAYS
}

fn is_unsent(failure: &Failure, automatic: bool) -> bool {
    let claim = failure.replay.as_ref();
    failure.status == Status::Replaying
        && claim.is_some_and(|it| it.automatic == automatic && it.sent_at.is_none())
}

/// Claimed, and neither sent nor ever to be sent. After the last replay by itself a
/// claim whose message may have been sent is for a person, as a message that waits.
fn is_left_alone(failure: &Failure) -> bool {
    let is_for_a_person =
        is_unsent(failure, true) && failure.automatic_replays >= AUTOMATIC_REPLAYS;
    failure.status == Status::Replaying && !is_for_a_person
}

fn records_of<'a>(
    model: &'a DeadLetters,
    moment: &'a Moment,
    number: u8,
) -> impl Iterator<Item = std::sync::Arc<Failure>> + 'a {
    let body = body(number);
    let store = model.store(moment);
    store.filter(move |failure| failure.letter.body == body)
}

fn none_is_lost(model: &DeadLetters, moment: &Moment) -> bool {
    let is_processed = |number: u8| moment.seen.processed & (1 << number) != 0;
    let is_in_a_queue = |number: u8| moment.messages.iter().any(|it| it.body == number);
    let is_kept = |number: u8| {
        let mut records = records_of(model, moment, number);
        records.any(|it| it.status != Status::Resolved || is_resolved_by_hand(&it))
    };
    (0..model.scenario.messages)
        .all(|number| is_processed(number) || is_in_a_queue(number) || is_kept(number))
}

fn is_resolved_by_hand(failure: &Failure) -> bool {
    let resolution = failure.resolution.as_ref();
    resolution.is_some_and(|resolution| resolution.by != CONSUMER)
}

fn resolved_is_processed(model: &DeadLetters, moment: &Moment) -> bool {
    model.store(moment).all(|failure| {
        let number = model.bodies.number(&failure.letter.body);
        failure.status != Status::Resolved
            || is_resolved_by_hand(&failure)
            || moment.seen.processed & (1 << number) != 0
    })
}

/// Once for the first failure, and once for each replay that was given up.
fn is_counted(model: &DeadLetters, moment: &Moment, failure: &Failure) -> bool {
    let number = model.bodies.number(&failure.letter.body);
    let again = moment.seen.failed_again[usize::from(number)];
    failure.failed == 1 + u32::from(again)
}
