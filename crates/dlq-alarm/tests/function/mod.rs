//! The function with everything outside it in memory.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::BTreeMap;
use std::time::Duration;

use circuit::{Circuit, CircuitStore, Saved};
use dlq_alarm::{Answer, DlqAlarm, Incomplete, Request, StoredCircuits};
use failures::{AutomaticReplay, DeadLetter, Drain, DrainedQueue, Letter, Limits, Notices};
use idempotency::Clock;
use ports::Unavailable;
use serde_json::json;
use testkit::{VirtualClock, World};

/// The queue of the sample `alarm`.
pub(crate) const QUEUE: &str = "waybill-payment-dlq";

const QUEUES: [&str; 4] = [
    QUEUE,
    "waybill-stock-dlq",
    "waybill-payment-delivery-dlq",
    "waybill-quarantine",
];

/// Circuits that nobody has opened.
struct Closed;

impl CircuitStore for Closed {
    async fn load(&self, consumer: &str) -> Result<Circuit, Unavailable> {
        Ok(Circuit::new(consumer))
    }

    async fn save(&self, _circuit: &Circuit) -> Result<Saved, Unavailable> {
        Ok(Saved::Conflict)
    }
}

/// Puts a transient failure into a queue.
pub(crate) fn put(world: &World, queue: &str, name: &str) {
    let record = json!({
        "errorClass": "transient", "errorName": "ProviderUnavailable", "cause": [],
        "consumer": "payment", "bodySha256": "", "attempts": 5,
        "failedAt": "2026-11-21T17:56:10.5Z", "messageId": "m",
    });
    world.put_dead_letter(DeadLetter {
        message_id: format!("message-{name}"),
        receipt_handle: String::new(),
        queue: queue.to_owned(),
        sent_at: VirtualClock::START.get(),
        receives: 0,
        letter: Letter::new(json!({ "subject": name }).to_string(), BTreeMap::new()),
        record: Some(serde_json::from_value(record).unwrap()),
        redriven: false,
        replayed: None,
    });
}

/// Handles a request in a minute's time.
pub(crate) async fn handle(world: &World, request: &Request) -> Result<Answer, Incomplete> {
    let (clock, consumers) = (world.clock(), vec!["payment".to_owned()]);
    let function = DlqAlarm {
        queues: QUEUES
            .iter()
            .filter_map(|name| DrainedQueue::from_name(name))
            .collect(),
        drain: Drain::new(world.clone(), world.clone(), world.clone(), clock),
        notices: Notices::new(
            world.clone(),
            world.clone(),
            world.clone(),
            clock,
            "waybill",
        ),
        automatic: Some(AutomaticReplay::new(
            (world.clone(), world.clone()),
            world.clone(),
            StoredCircuits(Closed),
            clock,
            consumers.clone(),
            Limits::default(),
        )),
        looks: world.clone(),
        people: world.clone(),
        clock,
        consumers,
    };
    let until = clock.now().plus(Duration::from_secs(60));
    function.handle(request, until).await
}
