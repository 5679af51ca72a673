//! `events/` holds one event per function and case, as AWS sends it. Each is read with
//! the types that its function uses, down to the message inside.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is how a test reports its failure"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use aws_lambda_events::sns::{CloudWatchAlarmPayload, SnsEvent};
use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use aws_lambda_events::{dynamodb, encodings::Base64Data};
use contracts::{
    CommandMessage, ContractError, Envelope, EventMessage, RequestError, fingerprint, parse_order,
};
use domain::{CustomerId, IdempotencyKey, OrderId, OrderStatus, Step};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A sample event: its case is the file's name.
struct Sample {
    case: String,
    text: String,
}

impl Sample {
    fn parse<T: DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{}: {error}", self.case))
    }
}

fn folders() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events");
    fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn samples(function: &str) -> Vec<Sample> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../events")
        .join(function);
    let mut samples: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| Sample {
            case: path.file_stem().unwrap().to_str().unwrap().to_owned(),
            text: fs::read_to_string(&path).unwrap(),
        })
        .collect();
    samples.sort_by(|a, b| a.case.cmp(&b.case));
    samples
}

#[test]
fn every_function_has_events_and_every_event_belongs_to_a_function() {
    let functions = [
        "audit-recorder",
        "circuit-control",
        "dlq-alarm",
        "notifier",
        "order-api",
        "outbox-relay",
        "payment-worker",
        "saga-starter",
        "shipping-worker",
        "stock-worker",
    ];
    let wanted: BTreeSet<_> = functions.map(str::to_owned).into();
    assert_eq!(folders(), wanted);
    for function in functions {
        assert!(!samples(function).is_empty(), "events/{function} is empty");
    }
}

/// Reads the bodies of all records and compares with what the case's name says:
/// `bad-…` holds only messages that are refused, `mixed-…` some, all others none.
fn check_queue_events<T>(function: &str, read: impl Fn(&str) -> Result<T, ContractError>) {
    for sample in samples(function) {
        let case = format!("{function}/{}", sample.case);
        let records = sample.parse::<SqsEvent>().records;
        records
            .iter()
            .for_each(|record| check_delivery(&case, record));
        let bodies = records.iter().map(|record| record.body.as_deref().unwrap());
        let results: Vec<_> = bodies.map(&read).collect();
        let refused = results.iter().filter(|result| result.is_err()).count();
        let read = results.len() - refused;
        if sample.case.starts_with("bad-") {
            assert!(read == 0 && refused > 0, "{case}: {read} were read");
        } else if sample.case.starts_with("mixed-") {
            assert!(read > 0 && refused > 0, "{case}: {read} and {refused}");
        } else {
            let faults: Vec<_> = results.iter().filter_map(|r| r.as_ref().err()).collect();
            assert!(read > 0 && refused == 0, "{case}: {faults:?}");
        }
    }
}

#[track_caller]
fn check_delivery(case: &str, record: &SqsMessage) {
    let number = |name: &str| -> u64 {
        let text = record.attributes.get(name);
        let text = text.unwrap_or_else(|| panic!("{case}: {name} is missing"));
        text.parse().unwrap()
    };
    assert!(number("ApproximateReceiveCount") >= 1, "{case}");
    assert!(
        number("SentTimestamp") <= number("ApproximateFirstReceiveTimestamp"),
        "{case}"
    );
    assert!(record.message_id.is_some(), "{case}");
    assert!(record.receipt_handle.is_some(), "{case}");
    assert_eq!(record.event_source.as_deref(), Some("aws:sqs"), "{case}");
    let queue = record.event_source_arn.as_deref().unwrap();
    assert!(queue.starts_with("arn:aws:sqs:"), "{case}");
}

/// A worker reads the commands of its own action and undo, and refuses all others.
fn read_command_of(action: Step) -> impl Fn(&str) -> Result<CommandMessage, ContractError> {
    move |body| {
        let message = CommandMessage::parse(body)?;
        if message.step.action() == action {
            Ok(message)
        } else {
            Err(ContractError::UnknownType(message.envelope.message_type))
        }
    }
}

#[test]
fn the_saga_starter_reads_its_events() {
    check_queue_events("saga-starter", |body| {
        EventMessage::parse(body)?.placed_order()
    });
}

#[test]
fn the_payment_worker_reads_its_events() {
    check_queue_events("payment-worker", read_command_of(Step::Charge));
}

#[test]
fn the_stock_worker_reads_its_events() {
    check_queue_events("stock-worker", read_command_of(Step::Reserve));
}

#[test]
fn the_shipping_worker_reads_its_events() {
    check_queue_events("shipping-worker", read_command_of(Step::Ship));
}

#[test]
fn the_notifier_reads_its_events() {
    check_queue_events("notifier", |body| EventMessage::parse(body)?.outcome());
}

#[test]
fn the_audit_recorder_reads_its_events() {
    check_queue_events("audit-recorder", Envelope::parse);
    let with_token = samples("audit-recorder")
        .into_iter()
        .find(|sample| sample.case == "command-with-task-token")
        .unwrap();
    let records = with_token.parse::<SqsEvent>().records;
    let message = Envelope::parse(records[0].body.as_deref().unwrap()).unwrap();
    assert!(message.task_token.is_some());
}

fn body_of(request: &ApiGatewayV2httpRequest) -> Vec<u8> {
    let body = request.body.clone().unwrap_or_default();
    if request.is_base64_encoded {
        let decoded: Base64Data = serde_json::from_value(json!(body)).unwrap();
        decoded.0
    } else {
        body.into_bytes()
    }
}

fn header<'a>(request: &'a ApiGatewayV2httpRequest, name: &str) -> Option<&'a str> {
    request
        .headers
        .get(name)
        .map(|value| value.to_str().unwrap())
}

#[test]
fn the_order_api_reads_its_events() {
    for sample in samples("order-api") {
        let case = &sample.case;
        let request: ApiGatewayV2httpRequest = sample.parse();
        let authorizer = request.request_context.authorizer.as_ref().unwrap();
        assert_eq!(authorizer.jwt.is_some(), case.contains("jwt"), "{case}");
        assert_eq!(authorizer.iam.is_some(), !case.contains("jwt"), "{case}");
        let has_key = header(&request, "idempotency-key").is_some();
        match request.route_key.as_deref().unwrap() {
            "POST /orders" => {
                assert_eq!(has_key, !case.contains("without-key"), "{case}");
                check_post(case, &body_of(&request));
            }
            "GET /orders/{orderId}" => {
                let id = request.path_parameters["orderId"].parse::<OrderId>();
                assert!(id.is_ok(), "{case}");
            }
            other => panic!("{case}: {other} is no route"),
        }
    }
}

#[track_caller]
fn check_post(case: &str, body: &[u8]) {
    let read = parse_order(body);
    let as_named = if case.ends_with("invalid") {
        matches!(read, Err(RequestError::Invalid(_)))
    } else if case.ends_with("malformed") || case.ends_with("not-json") {
        matches!(read, Err(RequestError::Malformed(_)))
    } else {
        read.is_ok()
    };
    assert!(as_named, "{case}: {read:?}");
}

#[test]
fn the_order_that_is_placed_is_the_one_that_is_shown_and_published() {
    let find = |case: &str| {
        let sample = samples("order-api").into_iter().find(|s| s.case == case);
        sample.unwrap().parse::<ApiGatewayV2httpRequest>()
    };
    let placed = find("post-order");
    let order = parse_order(&body_of(&placed)).unwrap();
    let key = IdempotencyKey::new(header(&placed, "idempotency-key").unwrap()).unwrap();
    let id = OrderId::derive(order.customer(), &key);
    assert_eq!(find("get-order").path_parameters["orderId"], id.to_string());

    let starter = samples("saga-starter");
    let published = starter.iter().find(|s| s.case == "order-placed").unwrap();
    let records = published.parse::<SqsEvent>().records;
    let event = EventMessage::parse(records[0].body.as_deref().unwrap()).unwrap();
    assert_eq!(event.envelope.order, id);
    assert_eq!(event.placed_order().unwrap(), order);
}

/// The events of a stored order; the item is checked on the way.
fn read_timeline(case: &str, image: &Value) -> Vec<String> {
    let text = |name: &str| {
        let text = image[name]["S"].as_str();
        text.unwrap_or_else(|| panic!("{case}: {name} is missing"))
    };
    let id: OrderId = text("orderId").parse().unwrap();
    let order = parse_order(text("order").as_bytes()).unwrap();
    assert_eq!(fingerprint(&order), text("requestFingerprint"), "{case}");
    assert_eq!(
        CustomerId::new(text("customerId")).as_ref(),
        Ok(order.customer())
    );
    assert_eq!(image["totalAmount"]["N"], order.total().amount.to_string());
    assert_eq!(text("currency"), order.currency().as_str(), "{case}");

    let entries = image["timeline"]["L"].as_array().unwrap();
    let events: Vec<_> = entries
        .iter()
        .map(|entry| entry["S"].as_str().unwrap().to_owned())
        .collect();
    let mut status = None;
    for event in &events {
        let event = EventMessage::parse(event).unwrap();
        assert_eq!(event.envelope.order, id, "{case}");
        assert_eq!(event.envelope.sequence, None, "{case}");
        status = domain::evolve(event.kind).or(status);
    }
    let stored: OrderStatus = text("status").parse().unwrap();
    assert_eq!(Some(stored), status, "{case}");
    events
}

#[test]
fn the_outbox_relay_reads_its_events() {
    for sample in samples("outbox-relay") {
        let case = &sample.case;
        let typed: dynamodb::Event = sample.parse();
        let plain: Value = sample.parse();
        assert!(!typed.records.is_empty(), "{case}");
        for (record, plain) in typed
            .records
            .iter()
            .zip(plain["Records"].as_array().unwrap())
        {
            let change = &plain["dynamodb"];
            let timeline = |image: &str| match change.get(image) {
                Some(image) => read_timeline(case, image),
                None => Vec::new(),
            };
            let (old, new) = (timeline("OldImage"), timeline("NewImage"));
            let wanted = match (old.is_empty(), new.is_empty()) {
                (true, false) => "INSERT",
                (false, false) => "MODIFY",
                _ => "REMOVE",
            };
            assert_eq!(record.event_name, wanted, "{case}");
            assert!(record.change.sequence_number.is_some(), "{case}");
            assert!(
                wanted == "REMOVE" || new.starts_with(&old),
                "{case}: events are only appended"
            );
        }
    }
}

#[test]
fn the_dlq_alarm_reads_its_events() {
    for sample in samples("dlq-alarm") {
        let case = &sample.case;
        // Not of AWS's making; the function's own tests read them.
        if ["schedule", "drain"].contains(&case.as_str()) {
            let request: Value = sample.parse();
            assert!(request["drain"].is_string() || request["drain"].is_array());
            continue;
        }
        let records = sample.parse::<SnsEvent>().records;
        assert!(!records.is_empty(), "{case}");
        for record in records {
            let alarm: CloudWatchAlarmPayload = serde_json::from_str(&record.sns.message).unwrap();
            let state = if case.starts_with("ok") {
                "OK"
            } else {
                "ALARM"
            };
            assert_eq!(alarm.new_state_value, state, "{case}");
            let trigger = alarm.trigger;
            assert_eq!(
                trigger.metric_name.as_deref(),
                Some("ApproximateNumberOfMessagesVisible"),
                "{case}"
            );
            let mut dimensions = trigger.dimensions.iter();
            assert!(dimensions.any(|d| d.name == "QueueName"), "{case}");
        }
    }
}
