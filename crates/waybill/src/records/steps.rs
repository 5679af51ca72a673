//! The three steps of an order, as their idempotency records have them.

use aws_sdk_dynamodb::Client;
use domain::payment::Charge;
use domain::shipment::Shipment;
use domain::stock::Reservation;
use domain::{ItemQuantity, OrderId, Step};
use idempotency::record::{ActionOutcome, State};
use idempotency::{DynamoDbStore, Key, ResultJson, Store, StoreError};
use ports::Unavailable;
use serde::Serialize;

use super::{moment, now_millis};
use crate::failure::Failure;

/// The actions of the saga, in the order in which it takes them.
pub(crate) const ACTIONS: [Step; 3] = [Step::Charge, Step::Reserve, Step::Ship];

/// What undoes an action.
pub(crate) fn undo_of(action: Step) -> Step {
    match action.action() {
        Step::Reserve => Step::Release,
        Step::Ship => Step::CancelShipment,
        _ => Step::Refund,
    }
}

/// The consumer that carries out a step.
pub(crate) fn consumer_of(step: Step) -> &'static str {
    match step.action() {
        Step::Reserve => "stock",
        Step::Ship => "shipping",
        _ => "payment",
    }
}

/// An action with its undo.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct StepState {
    /// `payment.charge`, `stock.reserve` or `shipment.create`.
    #[serde(serialize_with = "name")]
    pub(crate) step: Step,
    #[serde(flatten)]
    pub(crate) stage: Stage,
    /// What the action came to, in words.
    pub(crate) effect: String,
    /// Whether its effect stands.
    pub(crate) stands: Stands,
}

fn name<S: serde::Serializer>(step: &Step, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(step.as_str())
}

/// How far a step is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub(crate) enum Stage {
    /// There is no record: it was never begun, or it is forgotten.
    Absent,
    /// The action was begun.
    Started {
        /// Until when nobody else may take it up.
        until: String,
        /// Whether that is still to come.
        busy: bool,
    },
    /// The action has its result.
    Completed,
    /// The undo was begun.
    Undoing {
        /// Until when nobody else may take it up.
        until: String,
        /// Whether that is still to come.
        busy: bool,
    },
    /// The undo is done, or there was nothing to undo.
    Undone,
}

impl Stage {
    /// The stable name.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Started { .. } => "started",
            Self::Completed => "completed",
            Self::Undoing { .. } => "undoing",
            Self::Undone => "undone",
        }
    }
}

/// Whether there is something to undo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Stands {
    /// Nothing.
    No,
    /// Something that is on record.
    Yes,
    /// An attempt ended without a word.
    Unknown,
}

/// Reads the three records of an order.
pub(crate) async fn read(
    client: &Client,
    table: &str,
    order: OrderId,
) -> Result<Vec<StepState>, Failure> {
    let store = DynamoDbStore::new(client.clone(), table);
    let read = ACTIONS.map(|step| one(&store, order, step));
    futures_util::future::try_join_all(read).await
}

async fn one(store: &DynamoDbStore, order: OrderId, step: Step) -> Result<StepState, Failure> {
    let key = Key::new(format!("{order}/{step}"));
    let key = key.map_err(|error| Failure::unexpected("the key is none", error))?;
    let record = store.get(&key).await;
    let record = record.map_err(|error| unread(&format!("the record of {step}"), error))?;
    Ok(state(step, record.as_ref().map(|record| &record.state)))
}

/// A store that denies or cannot answer is told apart from a record that is damaged.
fn unread(what: &str, error: StoreError) -> Failure {
    match error {
        StoreError::Unavailable(source) => Failure::from_port(Unavailable::new("DynamoDB", source)),
        damaged => Failure::unexpected(format!("{what} cannot be read"), damaged),
    }
}

/// Whether people were told of an order's end.
pub(crate) async fn told(client: &Client, table: &str, event_id: &str) -> Result<bool, Failure> {
    let key = Key::prefixed("notify", event_id);
    let key = key.map_err(|error| Failure::unexpected("the key is none", error))?;
    let store = DynamoDbStore::new(client.clone(), table);
    let record = store.get(&key).await;
    let record = record.map_err(|error| unread("the notifier's record", error))?;
    Ok(record.is_some_and(|record| matches!(record.state, State::Completed { .. })))
}

pub(crate) fn state(step: Step, record: Option<&State>) -> StepState {
    let lease = |until: u64| (moment(until), until > now_millis());
    let (stage, (stands, effect)) = match record {
        None => (Stage::Absent, (Stands::No, "nothing".to_owned())),
        Some(State::Started { lease_until, .. }) => {
            let (until, busy) = lease(lease_until.get());
            (Stage::Started { until, busy }, unknown())
        }
        Some(State::Completed { result, .. }) => (Stage::Completed, effect(step, result)),
        Some(State::Undoing {
            action,
            lease_until,
            ..
        }) => {
            let (until, busy) = lease(lease_until.get());
            (Stage::Undoing { until, busy }, outcome(step, action))
        }
        Some(State::Undone { action, .. }) => {
            let (stands, effect) = outcome(step, action);
            let effect = match stands {
                Stands::No => effect,
                Stands::Yes => format!("{effect}, and it was undone"),
                Stands::Unknown => "whatever it did was undone".to_owned(),
            };
            (Stage::Undone, (Stands::No, effect))
        }
    };
    StepState {
        step,
        stage,
        effect,
        stands,
    }
}

fn unknown() -> (Stands, String) {
    let effect = "unknown: an attempt ended without a word, or is under way";
    (Stands::Unknown, effect.to_owned())
}

fn outcome(step: Step, action: &ActionOutcome) -> (Stands, String) {
    match action {
        ActionOutcome::NeverRan => (Stands::No, "nothing".to_owned()),
        ActionOutcome::Completed { result } => effect(step, result),
        ActionOutcome::Unknown => unknown(),
    }
}

/// What an action's result says.
fn effect(step: Step, result: &ResultJson) -> (Stands, String) {
    let text = result.as_str();
    let read = match step.action() {
        Step::Reserve => contracts::reservation::read(text).map(|it| reserved(&it)),
        Step::Ship => contracts::shipment::read(text).map(shipped),
        _ => contracts::charge::read(text).map(charged),
    };
    read.unwrap_or_else(|_| (Stands::Unknown, "the result cannot be read".to_owned()))
}

fn charged(charge: Charge) -> (Stands, String) {
    match charge {
        Charge::Captured { money, reference } => {
            let (amount, currency) = (money.amount, money.currency.as_str());
            let effect = format!("captured {amount} {currency} (minor units) as {reference}");
            (Stands::Yes, effect)
        }
        Charge::Declined { code, .. } => (Stands::No, format!("declined: {code}")),
    }
}

fn reserved(reservation: &Reservation) -> (Stands, String) {
    match reservation {
        Reservation::Reserved { items } => (Stands::Yes, format!("reserved {}", lines(items))),
        Reservation::OutOfStock { skus } => {
            let skus: Vec<_> = skus.iter().map(domain::Sku::as_str).collect();
            (Stands::No, format!("out of stock: {}", skus.join(", ")))
        }
    }
}

fn shipped(shipment: Shipment) -> (Stands, String) {
    match shipment {
        Shipment::Created { reference, items } => {
            let effect = format!("shipped {} as {reference}", lines(&items));
            (Stands::Yes, effect)
        }
        Shipment::Refused { code, .. } => (Stands::No, format!("refused: {code}")),
    }
}

fn lines(items: &[ItemQuantity]) -> String {
    let lines = items
        .iter()
        .map(|item| format!("{} {}", item.quantity.get(), item.sku));
    lines.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use idempotency::{Fingerprint, OwnerToken};

    pub(crate) const CAPTURED: &str =
        r#"{"outcome":"captured","money":{"amount":2500,"currency":"EUR"},"reference":"ch_1"}"#;
    pub(crate) const RESERVED: &str =
        r#"{"outcome":"reserved","items":[{"sku":"MUG-RED","quantity":2}]}"#;
    pub(crate) const SHIPPED: &str =
        r#"{"outcome":"created","reference":"sh_1","items":[{"sku":"MUG-RED","quantity":2}]}"#;

    pub(crate) fn completed(step: Step, result: &str) -> StepState {
        let result = ResultJson::from_json(result.to_owned()).unwrap();
        let record = State::Completed {
            fingerprint: Fingerprint::of("x"),
            owner: OwnerToken::from_u128(1),
            result,
        };
        state(step, Some(&record))
    }

    pub(crate) fn undone(step: Step, result: &str) -> StepState {
        let result = ResultJson::from_json(result.to_owned()).unwrap();
        let record = State::Undone {
            action: ActionOutcome::Completed {
                result: result.clone(),
            },
            fingerprint: Fingerprint::of("x"),
            owner: OwnerToken::from_u128(1),
            result,
        };
        state(step, Some(&record))
    }

    pub(crate) fn absent(step: Step) -> StepState {
        state(step, None)
    }

    #[test]
    fn a_completed_step_says_what_stands() {
        for (step, result, words) in [
            (
                Step::Charge,
                CAPTURED,
                "captured 2500 EUR (minor units) as ch_1",
            ),
            (Step::Reserve, RESERVED, "reserved 2 MUG-RED"),
            (Step::Ship, SHIPPED, "shipped 2 MUG-RED as sh_1"),
        ] {
            let state = completed(step, result);
            assert_eq!((state.stands, state.effect.as_str()), (Stands::Yes, words));
        }
    }

    #[test]
    fn nothing_stands_of_what_was_undone_declined_or_never_begun() {
        let declined = r#"{"outcome":"declined","code":"card-declined","message":"no"}"#;
        for state in [
            undone(Step::Charge, CAPTURED),
            completed(Step::Charge, declined),
            absent(Step::Ship),
        ] {
            assert_eq!(state.stands, Stands::No, "{state:?}");
        }
    }

    #[test]
    fn of_an_attempt_that_ended_without_a_word_nothing_is_known() {
        let record = State::Started {
            fingerprint: Fingerprint::of("x"),
            owner: OwnerToken::from_u128(1),
            lease_until: idempotency::Millis::new(0),
        };
        let state = state(Step::Charge, Some(&record));
        assert_eq!(state.stands, Stands::Unknown);
        assert!(matches!(state.stage, Stage::Started { busy: false, .. }));
    }

    #[test]
    fn a_result_that_cannot_be_read_is_not_taken_for_nothing() {
        assert_eq!(completed(Step::Ship, "{}").stands, Stands::Unknown);
    }
}
