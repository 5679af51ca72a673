//! The relay against a bus that fails as told.

use std::collections::HashMap;
use std::sync::Mutex;

use aws_lambda_events::event::dynamodb::Event;
use contracts::Envelope;
use idempotency::ManualClock;
use ports::Unavailable;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Takes everything but what a script says.
#[derive(Default)]
struct ScriptedBus {
    published: Mutex<Vec<String>>,
    requests: Mutex<usize>,
    refused: Vec<String>,
    down: bool,
    held: Mutex<Vec<HeldOrder>>,
    nobody_hears: bool,
}

impl HeldOrders for &ScriptedBus {
    async fn report(&self, order: &HeldOrder) -> Result<(), Unavailable> {
        if self.nobody_hears {
            return Err(Unavailable::new("SQS", "down"));
        }
        self.held.lock().unwrap().push(order.clone());
        Ok(())
    }
}

/// When all records were made.
const MADE_AT: u64 = 1_795_283_775;

/// The clock at this time after the records were made.
fn after(age: Duration) -> ManualClock {
    ManualClock::at(Millis::new(MADE_AT * 1000).plus(age))
}

const YOUNG: Duration = Duration::from_secs(30 * 60 - 1);
const OLD: Duration = Duration::from_secs(30 * 60);

impl Bus for &ScriptedBus {
    const BATCH: usize = 10;
    const BATCH_BYTES: usize = 262_144;

    async fn publish(&self, messages: &[&str]) -> Result<Vec<Delivery>, Unavailable> {
        *self.requests.lock().unwrap() += 1;
        if self.down {
            return Err(Unavailable::new("SNS", "down"));
        }
        let deliver = |message: &&str| {
            let id = Envelope::parse(message).unwrap().id;
            if self.refused.contains(&id) {
                return Delivery::Failed {
                    code: "InternalError".to_owned(),
                };
            }
            self.published.lock().unwrap().push(id);
            Delivery::Published
        };
        Ok(messages.iter().map(deliver).collect())
    }
}

fn order(number: usize) -> String {
    format!("0b7e7f0e-6a52-5d5c-9a39-{number:012x}")
}

const NAMES: [&str; 3] = ["order.placed", "payment.captured", "stock.reserved"];

fn stored(order: &str, name: &str) -> Value {
    let message = json!({
        "specversion": "1.0", "id": format!("{order}/{name}"), "source": "/waybill/test",
        "type": format!("waybill.{name}.v1"), "subject": order,
        "time": "2026-11-21T17:56:15.859Z", "datacontenttype": "application/json",
        "correlationid": "c", "data": {}
    });
    json!({ "S": message.to_string() })
}

fn record(sequence: usize, order: &str, before: usize, after: usize) -> Value {
    let timeline = |length| {
        let entries: Vec<_> = NAMES[..length]
            .iter()
            .map(|name| stored(order, name))
            .collect();
        json!({ "orderId": { "S": order }, "timeline": { "L": entries } })
    };
    let mut change = json!({
        "Keys": { "orderId": { "S": order } }, "NewImage": timeline(after),
        "SequenceNumber": sequence.to_string(), "SizeBytes": 1,
        "ApproximateCreationDateTime": MADE_AT,
        "StreamViewType": "NEW_AND_OLD_IMAGES"
    });
    if before > 0 {
        change["OldImage"] = timeline(before);
    }
    json!({ "awsRegion": "eu-central-1", "eventID": "e", "eventName": "MODIFY", "dynamodb": change })
}

fn event(records: &[Value]) -> Event {
    serde_json::from_value(json!({ "Records": records })).unwrap()
}

async fn relay(bus: &ScriptedBus, records: &[Value]) -> Option<String> {
    relay_after(YOUNG, bus, records).await
}

async fn relay_after(age: Duration, bus: &ScriptedBus, records: &[Value]) -> Option<String> {
    let response = Relay::new(bus, bus, after(age), Failures::BySequence)
        .relay(&event(records))
        .await
        .unwrap();
    let mut failures = response.batch_item_failures;
    assert!(failures.len() <= 1);
    failures.pop().and_then(|failure| failure.item_identifier)
}

#[tokio::test]
async fn what_a_change_added_is_published_with_its_place_in_the_timeline() {
    let change = &event(&[record(1, &order(1), 1, 3)]).records[0].change;
    let events = outgoing(change).events;
    let read = |body: &str| Envelope::parse(body).unwrap();
    let numbered: Vec<_> = events
        .iter()
        .map(|event| (read(&event.body).id, read(&event.body).sequence))
        .collect();
    let id = |name| format!("{}/{name}", order(1));
    assert_eq!(
        numbered,
        [
            (id("payment.captured"), Some(2)),
            (id("stock.reserved"), Some(3))
        ]
    );
}

#[tokio::test]
async fn ten_orders_travel_in_one_request() {
    let bus = ScriptedBus::default();
    let records: Vec<_> = (0..10).map(|n| record(n, &order(n), 0, 1)).collect();
    assert_eq!(relay(&bus, &records).await, None);
    assert_eq!(*bus.requests.lock().unwrap(), 1);
    assert_eq!(bus.published.lock().unwrap().len(), 10);
}

#[tokio::test]
async fn behind_a_refused_event_its_order_waits_and_the_record_is_reported() {
    let refused = vec![format!("{}/order.placed", order(1))];
    let bus = ScriptedBus {
        refused,
        ..ScriptedBus::default()
    };
    let records = [
        record(7, &order(0), 0, 1),
        record(8, &order(1), 0, 1),
        record(9, &order(1), 1, 2),
    ];
    assert_eq!(relay(&bus, &records).await.as_deref(), Some("8"));
    assert_eq!(
        *bus.published.lock().unwrap(),
        [format!("{}/order.placed", order(0))]
    );
}

#[tokio::test]
async fn a_bus_that_is_down_leaves_the_whole_batch_for_later() {
    let bus = ScriptedBus {
        down: true,
        ..ScriptedBus::default()
    };
    let records = [record(7, &order(0), 0, 1), record(8, &order(1), 0, 1)];
    assert_eq!(relay(&bus, &records).await.as_deref(), Some("7"));
}

#[tokio::test]
async fn where_reports_are_not_read_a_failure_is_an_error_and_success_is_not() {
    let records = [record(7, &order(0), 0, 1)];
    let down = ScriptedBus {
        down: true,
        ..ScriptedBus::default()
    };
    assert!(
        Relay::new(&down, &down, after(YOUNG), Failures::ByError)
            .relay(&event(&records))
            .await
            .is_err()
    );
    let up = ScriptedBus::default();
    assert!(
        Relay::new(&up, &up, after(YOUNG), Failures::ByError)
            .relay(&event(&records))
            .await
            .is_ok()
    );
}

/// The record with an entry, by its sequence number, that nobody can read, in each image.
fn broken(mut record: Value, place: usize) -> Value {
    for image in ["OldImage", "NewImage"] {
        let entry = record["dynamodb"].pointer_mut(&format!("/{image}/timeline/L/{}", place - 1));
        if let Some(entry) = entry {
            *entry = json!({ "S": "{" });
        }
    }
    record
}

fn ids(order: usize, names: &[&str]) -> Vec<String> {
    let id = |name| format!("{}/{name}", self::order(order));
    names.iter().map(id).collect()
}

/// An order whose second of three events is broken, with another in front and behind.
fn three_orders() -> [Value; 4] {
    [
        record(7, &order(0), 0, 1),
        broken(record(8, &order(1), 0, 3), 2),
        record(9, &order(2), 0, 1),
        broken(record(10, &order(1), 3, 3), 2),
    ]
}

#[tokio::test]
async fn an_unreadable_record_is_tried_again_after_those_in_front_of_it_are_published() {
    let bus = ScriptedBus::default();
    let failed = relay_after(YOUNG, &bus, &three_orders()).await;
    assert_eq!(failed.as_deref(), Some("8"));
    assert_eq!(*bus.published.lock().unwrap(), ids(0, &["order.placed"]));
    assert_eq!(*bus.held.lock().unwrap(), []);
}

#[tokio::test]
async fn an_order_whose_record_stays_unreadable_is_held_and_told_of_and_others_go_on() {
    let bus = ScriptedBus::default();
    assert_eq!(relay_after(OLD, &bus, &three_orders()).await, None);
    let mut published = bus.published.lock().unwrap().clone();
    published.sort();
    let readable = [0, 1, 2].map(|order| ids(order, &["order.placed"]));
    assert_eq!(published, readable.concat());
    let held = bus.held.lock().unwrap();
    assert_eq!(held.len(), 1, "{held:?}");
    assert_eq!((held[0].order_id.as_str(), held[0].from), (&*order(1), 2));
    assert!(held[0].cause.contains("not an event"), "{}", held[0].cause);
}

#[tokio::test]
async fn what_comes_behind_an_unreadable_event_is_not_published_whatever_its_age() {
    let bus = ScriptedBus::default();
    let records = [
        broken(record(8, &order(1), 2, 3), 2),
        record(9, &order(2), 0, 1),
    ];
    assert_eq!(relay_after(Duration::ZERO, &bus, &records).await, None);
    assert_eq!(*bus.published.lock().unwrap(), ids(2, &["order.placed"]));
    assert_eq!(*bus.held.lock().unwrap(), [], "people were told before");
}

#[tokio::test]
async fn an_order_is_told_of_before_its_record_is_given_up() {
    let bus = ScriptedBus {
        nobody_hears: true,
        ..ScriptedBus::default()
    };
    let failed = relay_after(OLD, &bus, &three_orders()).await;
    assert_eq!(failed.as_deref(), Some("8"));
}

#[tokio::test]
async fn an_order_behind_a_refused_event_is_not_told_of_yet() {
    let bus = ScriptedBus {
        refused: ids(0, &["order.placed"]),
        ..ScriptedBus::default()
    };
    let failed = relay_after(OLD, &bus, &three_orders()).await;
    assert_eq!(failed.as_deref(), Some("7"));
    assert_eq!(*bus.held.lock().unwrap(), []);
}

#[tokio::test]
async fn a_timeline_that_is_none_or_has_become_shorter_is_held_from_its_first_event() {
    let mut none = record(7, &order(0), 0, 1);
    none["dynamodb"]["NewImage"]["timeline"] = json!({ "S": "none" });
    for record in [none, record(8, &order(0), 2, 1)] {
        let bus = ScriptedBus::default();
        assert_eq!(relay_after(OLD, &bus, &[record]).await, None);
        assert_eq!(*bus.published.lock().unwrap(), Vec::<String>::new());
        let held = bus.held.lock().unwrap();
        let told: Vec<_> = held.iter().map(|it| (&*it.order_id, it.from)).collect();
        assert_eq!(told, [(&*order(0), 1)]);
    }
}

#[tokio::test]
async fn a_record_that_does_not_say_when_it_was_made_is_tried_again() {
    let bus = ScriptedBus::default();
    let mut record = broken(record(8, &order(1), 0, 1), 1);
    record["dynamodb"]["ApproximateCreationDateTime"] = json!(0);
    assert_eq!(
        relay_after(OLD, &bus, &[record]).await.as_deref(),
        Some("8")
    );
}

#[tokio::test]
async fn a_change_without_a_new_event_and_a_removal_publish_nothing() {
    let bus = ScriptedBus::default();
    let mut removal = record(8, &order(1), 2, 0);
    removal["dynamodb"]["NewImage"] = Value::Null;
    removal["eventName"] = json!("REMOVE");
    assert_eq!(
        relay(&bus, &[record(7, &order(0), 1, 1), removal]).await,
        None
    );
    assert_eq!(*bus.requests.lock().unwrap(), 0);
}

proptest! {
    #[test]
    fn a_plan_holds_each_event_once_and_keeps_each_orders_order(
        orders in prop::collection::vec(0usize..6, 0..60),
        longest in 1usize..11,
    ) {
        let events: Vec<_> = orders
            .iter()
            .map(|n| Outgoing { order_id: order(*n), body: "x".repeat(10) })
            .collect();
        let events: Vec<_> = events.iter().collect();
        let batches = plan(&events, longest, 55);
        let mut all: Vec<_> = batches.iter().flatten().copied().collect();
        let mut last_batch: HashMap<&str, (usize, usize)> = HashMap::new();
        for (place, batch) in batches.iter().enumerate() {
            prop_assert!((1..=longest.min(5)).contains(&batch.len()));
            for index in batch {
                let seen = last_batch.insert(&events[*index].order_id, (place, *index));
                if let Some((earlier_place, earlier_index)) = seen {
                    prop_assert!(earlier_place < place && earlier_index < *index);
                }
            }
        }
        all.sort_unstable();
        prop_assert_eq!(all, (0..events.len()).collect::<Vec<_>>());
    }
}
