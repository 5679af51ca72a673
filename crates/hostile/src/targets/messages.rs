//! Everything that reads from a queue: the body of a message, and the event around it.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use audit_recorder::AuditRecorder;
use aws_lambda_events::event::sqs::SqsEvent;
use contracts::schema::MESSAGES;
use domain::Step;
use domain::stock::StockLevel;
use jsonschema::Validator;
use message_worker::emf::EmfObserver;
use message_worker::memory::MemoryQueue;
use message_worker::{Config, Handler, Observer, RecordReport, TracingObserver, Worker};
use notifier::Notifier;
use payment_worker::Payments;
use saga_starter::SagaStarter;
use saga_step::{ClaimedSteps, StepHandler};
use serde_json::Value;
use shipping_worker::Shipments;
use stock_worker::Stock;
use testkit::{Handled, World, fixtures};
use tokio::time::Instant;

use super::{Target, Verdict, check_refusal, in_runtime};
use crate::corpus::seeds;

/// A message, given to each consumer.
pub(super) const BODY: Target = Target {
    name: "message",
    seeds: || seeds("message", &["crates/contracts/samples"]),
    check: check_body,
};

/// A batch of records, as Lambda hands it over.
pub(super) const BATCH: Target = Target {
    name: "batch",
    seeds: || seeds("batch", &["events/payment-worker", "events/audit-recorder"]),
    check: check_batch,
};

/// The consumers, and whether each looks at a message's data.
const CONSUMERS: [(&str, bool); 6] = [
    ("payment", true),
    ("stock", true),
    ("shipping", true),
    ("saga", true),
    ("notify", true),
    ("audit", false),
];

static SCHEMAS: LazyLock<BTreeMap<&str, Validator>> = LazyLock::new(|| {
    let schemas = MESSAGES.iter();
    schemas
        .map(|schema| {
            let document = serde_json::from_str(schema.text).unwrap();
            let validator = jsonschema::draft202012::new(&document).unwrap();
            (schema.message_type, validator)
        })
        .collect()
});

/// What the worker said of each record: outcome, error, whether it said why.
#[derive(Debug, Clone, Default)]
struct Reports(Arc<Mutex<Vec<Handled>>>);

impl Observer for Reports {
    fn record_finished(&self, report: &RecordReport<'_>) {
        let error = report.error_name.map(str::to_owned);
        let outcome = report.outcome.as_str().to_owned();
        self.0.lock().unwrap().push((outcome, error));
    }
}

fn world() -> World {
    let world = World::new();
    let plenty = StockLevel {
        available: 1_000_000,
        ..StockLevel::default()
    };
    for sku in ["MUG-RED", "STICKER"] {
        world.put_stock(&fixtures::sku(sku), plenty);
    }
    world
}

fn worker<H: Handler>(
    consumer: &str,
    queue: &MemoryQueue,
    handler: H,
    reports: &Reports,
) -> Worker<MemoryQueue, H, impl Observer + use<H>> {
    let metrics = EmfObserver::new(aws_adapters::metrics(), consumer);
    let observers = ((TracingObserver, metrics), reports.clone());
    Worker::new(Config::new(consumer), queue.clone(), handler).with_observer(observers)
}

/// One invocation of a consumer's function.
async fn invoke(
    consumer: &str,
    world: &World,
    queue: &MemoryQueue,
    event: SqsEvent,
    reports: &Reports,
) -> Option<usize> {
    macro_rules! run {
        ($handler:expr) => {{
            let worker = worker(consumer, queue, $handler, reports);
            let deadline = Instant::now() + testkit::INVOCATION;
            let response = worker.run(event, deadline).await.ok()?;
            Some(response.batch_item_failures.len())
        }};
    }
    let (own, clock) = (|| world.clone(), world.clock());
    match consumer {
        "payment" => {
            let steps = ClaimedSteps::new(own(), Payments::new(own(), clock), clock);
            run!(StepHandler::new(Step::Charge, steps, own()))
        }
        "stock" => run!(StepHandler::new(
            Step::Reserve,
            Stock::new(own(), clock),
            own()
        )),
        "shipping" => {
            let steps = ClaimedSteps::new(own(), Shipments::new(own(), clock), clock);
            run!(StepHandler::new(Step::Ship, steps, own()))
        }
        "saga" => run!(SagaStarter::new(own())),
        "notify" => run!(Notifier::new(own(), own(), clock)),
        _ => run!(AuditRecorder::new(own(), clock, Duration::from_secs(1))),
    }
}

fn check_body(input: &[u8]) -> Verdict {
    let body = String::from_utf8_lossy(input);
    let verdicts = CONSUMERS.map(|(consumer, reads)| check_consumer(consumer, reads, &body));
    match verdicts.contains(&Verdict::Accepted) {
        true => Verdict::Accepted,
        false => Verdict::Refused,
    }
}

fn check_consumer(consumer: &str, reads_data: bool, body: &str) -> Verdict {
    in_runtime(async {
        let (world, reports) = (world(), Reports::default());
        let queue = MemoryQueue::new(Duration::from_secs(180), 1000);
        queue.send(body);
        let event = queue.receive(10);
        invoke(consumer, &world, &queue, event, &reports)
            .await
            .unwrap();
        let reported = reports.0.lock().unwrap().clone();
        let [(outcome, error)] = reported.as_slice() else {
            panic!("{consumer}: {reported:?}");
        };
        match outcome.as_str() {
            "quarantined" => {
                check_quarantined(&queue, body);
                check_untouched(&world, consumer);
                Verdict::Refused
            }
            "processed" => {
                check_schema(body, reads_data);
                Verdict::Accepted
            }
            _ => panic!("{consumer}: {outcome} {error:?}"),
        }
    })
}

/// It is there whole, with what is known of it.
fn check_quarantined(queue: &MemoryQueue, body: &str) {
    let [parked] = queue.quarantined().try_into().unwrap();
    assert_eq!(parked.body, body);
    let record = parked.record.unwrap();
    assert_eq!(record.error_class, "poison", "{record:?}");
    assert!(record.cause.len() > 1, "no cause: {record:?}");
    check_refusal(&record.cause.join(": "));
}

/// A saga may be told; nothing else may have happened.
fn check_untouched(world: &World, consumer: &str) {
    let same_but_for_answers = world.ledger().is_empty()
        && world.sagas().is_empty()
        && world.trail().is_empty()
        && world.notices().is_empty()
        && world.published().is_empty()
        && world.stock(&fixtures::sku("MUG-RED")).reserved == 0;
    assert!(
        same_but_for_answers,
        "{consumer} refused it, and did something"
    );
}

/// What is carried out keeps its schema.
fn check_schema(body: &str, reads_data: bool) {
    let message: Value = serde_json::from_str(body).unwrap();
    let message_type = message["type"].as_str().unwrap();
    let schema = &SCHEMAS[message_type];
    if reads_data {
        // A stored event has no number, and a reader adds up the total itself.
        let unread = |place: &str| place == "/sequence" || place.starts_with("/data/total");
        let faults = schema.iter_errors(&message);
        let of_number = |text: &str| text.starts_with("\"sequence\"");
        let faults: Vec<_> = faults
            .filter(|fault| !unread(&fault.instance_path().to_string()))
            .filter(|fault| !of_number(&fault.to_string()))
            .map(|fault| fault.to_string())
            .collect();
        assert!(faults.is_empty(), "carried out: {faults:?}");
    }
}

/// What a batch reports is in it; what is not reported is done or moved.
fn check_batch(input: &[u8]) -> Verdict {
    let Ok(event) = serde_json::from_slice::<SqsEvent>(input) else {
        return Verdict::Refused;
    };
    // SQS itself names messages, with 36 characters; no sender can.
    let is_named_by_sqs = |id: &Option<String>| id.as_ref().is_none_or(|id| id.len() <= 1000);
    if !event
        .records
        .iter()
        .all(|record| is_named_by_sqs(&record.message_id))
    {
        return Verdict::Refused;
    }
    let records = event.records.len();
    in_runtime(async {
        let (world, reports) = (world(), Reports::default());
        let queue = MemoryQueue::new(Duration::from_secs(180), 1000);
        let Some(returned) = invoke("payment", &world, &queue, event, &reports).await else {
            assert_eq!(reports.0.lock().unwrap().len(), 0, "refused as a whole");
            return Verdict::Refused;
        };
        let reported = reports.0.lock().unwrap().clone();
        assert_eq!(reported.len(), records, "each record has an outcome");
        assert!(returned <= records);
        let panicked = reported.iter().any(|(_, e)| e.as_deref() == Some("Panic"));
        assert!(!panicked, "{reported:?}");
        match reported.iter().any(|(outcome, _)| outcome == "processed") {
            true => Verdict::Accepted,
            false => Verdict::Refused,
        }
    })
}
