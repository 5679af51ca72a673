//! The schema files are the contract: samples keep it, the code that writes keeps it,
//! and what is published stays as it is.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is how a test reports its failure"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use contracts::schema::{MESSAGES, ORDER_REQUEST, Schema};
use contracts::{
    CommandMessage, Event, EventMessage, Lineage, MessageType, Reason, Timestamp, TraceParent,
    newest_version, parse_order, write_order,
};
use domain::{
    CorrelationId, Currency, EventKind, ItemQuantity, Money, NewOrder, OrderId, Quantity, Sku, Step,
};
use jsonschema::Validator;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The JSON files of a folder of this crate, by name without the extension.
fn json_files(name: &str) -> Vec<(String, String)> {
    let mut files: Vec<_> = fs::read_dir(folder(name))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .map(|path| {
            let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (stem, fs::read_to_string(&path).unwrap())
        })
        .collect();
    files.sort();
    files
}

fn all_schemas() -> impl Iterator<Item = &'static Schema> {
    MESSAGES.iter().chain([&ORDER_REQUEST])
}

fn parsed(schema: &Schema) -> Value {
    serde_json::from_str(schema.text).unwrap()
}

fn validator(schema: &Schema) -> Validator {
    jsonschema::draft202012::new(&parsed(schema)).unwrap()
}

#[track_caller]
fn assert_valid(schema: &Schema, message: &Value) {
    let faults: Vec<_> = validator(schema)
        .iter_errors(message)
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect();
    assert!(faults.is_empty(), "{}: {faults:#?}", schema.message_type);
}

/// Reads a message as its consumers do.
fn read(schema: &Schema, body: &str) -> Result<(), String> {
    if schema.message_type == ORDER_REQUEST.message_type {
        return parse_order(body.as_bytes())
            .map(drop)
            .map_err(|error| format!("{error:?}"));
    }
    let kind = MessageType::parse(schema.message_type).unwrap();
    if kind.name.parse::<Step>().is_ok() {
        CommandMessage::parse(body).map(drop)
    } else {
        EventMessage::parse(body).and_then(|event| read_event_data(&event))
    }
    .map_err(|error| format!("{error:?}"))
}

fn read_event_data(event: &EventMessage) -> Result<(), contracts::ContractError> {
    match event.kind {
        EventKind::OrderPlaced => event.placed_order().map(drop),
        EventKind::OrderCompleted | EventKind::OrderFailed | EventKind::OrderNeedsAttention => {
            event.outcome().map(drop)
        }
        _ => Ok(()),
    }
}

/// The schema that a sample file is a sample of: `<schema>.json` or `<schema>.<case>.json`.
fn schema_of(sample: &str) -> Option<&'static Schema> {
    all_schemas().find(|schema| {
        sample
            .strip_prefix(schema.message_type)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

#[test]
fn every_schema_is_a_schema_with_its_own_id_and_needs_no_other_file() {
    for schema in all_schemas() {
        let document = parsed(schema);
        assert_eq!(document["$id"], schema.id());
        assert_eq!(
            document["$schema"],
            "https://json-schema.org/draft/2020-12/schema"
        );
        assert!(
            jsonschema::meta::is_valid(&document),
            "{}",
            schema.message_type
        );
        assert!(!schema.text.contains("$ref"), "{}", schema.message_type);
    }
}

#[test]
fn every_command_and_event_has_a_schema_and_every_file_is_used() {
    let commands = Step::ALL.map(|step| step.to_string());
    let events = EventKind::ALL.map(|event| event.to_string());
    let needed: BTreeSet<_> = commands.into_iter().chain(events).collect();
    let known: BTreeSet<_> = versions().into_keys().map(str::to_owned).collect();
    assert_eq!(known, needed);

    let files: BTreeSet<_> = json_files("schemas").into_iter().map(|f| f.0).collect();
    let used: BTreeSet<_> = all_schemas().map(|s| s.message_type.to_owned()).collect();
    assert_eq!(files, used);
}

/// The versions that have a schema, of each message.
fn versions() -> BTreeMap<&'static str, BTreeSet<u32>> {
    let mut versions: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for schema in MESSAGES {
        let kind = MessageType::parse(schema.message_type).unwrap();
        versions.entry(kind.name).or_default().insert(kind.version);
    }
    versions
}

#[test]
fn every_version_is_read_and_leads_to_the_next() {
    for (name, published) in versions() {
        let read: BTreeSet<_> = (1..=newest_version(name)).collect();
        assert_eq!(
            published, read,
            "{name}: the versions that have a schema, and those that are read. Each version \
             but the newest needs a step in src/upcast.rs."
        );
    }
}

fn sha256(text: &str) -> String {
    let digest = Sha256::digest(text);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Holds the JSON files of a folder against its list of what is published.
#[track_caller]
fn check_published(folder_name: &str) {
    let list = folder(folder_name).join("PUBLISHED");
    let mut published: BTreeMap<_, _> = fs::read_to_string(&list)
        .unwrap()
        .lines()
        .map(|line| line.split_once("  ").unwrap())
        .map(|(hash, file)| (file.to_owned(), hash.to_owned()))
        .collect();
    for (name, text) in json_files(folder_name) {
        let (file, hash) = (format!("{name}.json"), sha256(&text));
        match published.remove(&file) {
            Some(listed) => assert_eq!(
                listed, hash,
                "{folder_name}/{file} is published and must not change: others hold their \
                 messages against it. Add a new version, or a new sample, beside it."
            ),
            None => panic!("add this line to {}: {hash}  {file}", list.display()),
        }
    }
    let gone: Vec<_> = published.into_keys().collect();
    assert!(gone.is_empty(), "published, and must stay: {gone:?}");
}

#[test]
fn a_published_schema_is_never_changed() {
    check_published("schemas");
    for schema in all_schemas() {
        assert_eq!(schema.hash(), sha256(schema.text));
    }
}

#[test]
fn a_published_sample_is_never_changed() {
    check_published("samples");
}

#[test]
fn every_sample_keeps_its_schema_and_is_read() {
    for (name, text) in json_files("samples") {
        let schema = schema_of(&name).unwrap_or_else(|| panic!("{name} belongs to no schema"));
        assert_valid(schema, &serde_json::from_str(&text).unwrap());
        assert_eq!(read(schema, &text), Ok(()), "{name}");
    }
}

#[test]
fn every_schema_has_a_sample_and_a_minimal_one() {
    let samples: BTreeSet<_> = json_files("samples").into_iter().map(|f| f.0).collect();
    for schema in all_schemas() {
        for name in [
            schema.message_type.to_owned(),
            format!("{}.minimal", schema.message_type),
        ] {
            assert!(samples.contains(&name), "samples/{name}.json is missing");
        }
    }
}

/// Adds a field that nobody knows to an object and to all objects inside it.
fn add_unknown_fields(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(add_unknown_fields);
            fields.insert("addedLater".into(), json!({ "anything": [1, null] }));
        }
        Value::Array(values) => values.iter_mut().for_each(add_unknown_fields),
        _ => {}
    }
}

#[test]
fn a_message_may_carry_what_is_added_later_and_a_request_may_not() {
    for (name, text) in json_files("samples") {
        let schema = schema_of(&name).unwrap();
        let mut newer: Value = serde_json::from_str(&text).unwrap();
        add_unknown_fields(&mut newer);
        let is_message = schema.message_type != ORDER_REQUEST.message_type;
        assert_eq!(validator(schema).is_valid(&newer), is_message, "{name}");
        assert_eq!(
            read(schema, &newer.to_string()).is_ok(),
            is_message,
            "{name}"
        );
    }
}

fn sample_order() -> NewOrder {
    let text = fs::read(folder("samples").join("order-request.v1.json")).unwrap();
    parse_order(&text).unwrap()
}

fn sample_events() -> Vec<Event> {
    let money = Money {
        amount: 2500,
        currency: Currency::new("EUR").unwrap(),
    };
    let sku = Sku::new("MUG-RED").unwrap();
    let items = vec![ItemQuantity {
        sku: sku.clone(),
        quantity: Quantity::new(2).unwrap(),
    }];
    let reference = || "reference-1".to_owned();
    let reason = Reason {
        code: "out-of-stock".into(),
        message: "no mugs".into(),
    };
    vec![
        Event::OrderPlaced(sample_order()),
        Event::PaymentCaptured {
            money,
            reference: reference(),
        },
        Event::PaymentDeclined(reason.clone()),
        Event::PaymentRefunded {
            money,
            reference: reference(),
        },
        Event::StockReserved(items.clone()),
        Event::StockRejected(vec![sku]),
        Event::StockReleased(items.clone()),
        Event::ShipmentCreated {
            reference: reference(),
            items,
        },
        Event::ShipmentCancelled {
            reference: reference(),
        },
        Event::OrderCompleted,
        Event::OrderFailed(reason.clone()),
        Event::OrderNeedsAttention(reason),
    ]
}

fn lineages() -> [Lineage; 2] {
    let correlation = CorrelationId::new("c-1").unwrap();
    let trace = TraceParent::new("00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01");
    [
        Lineage {
            correlation: correlation.clone(),
            causation: None,
            trace: None,
        },
        Lineage {
            correlation,
            causation: Some("cause".into()),
            trace: Some(trace.unwrap()),
        },
    ]
}

#[test]
fn every_event_that_is_written_keeps_its_schema_once_it_is_numbered() {
    let order: OrderId = "0b7e7f0e-6a52-5d5c-9a39-0a2c8a1d9f10".parse().unwrap();
    let at = Timestamp::from_epoch_millis(1_795_283_775_859);
    let mut written = BTreeSet::new();
    for event in sample_events() {
        for lineage in lineages() {
            let stored = event.store(order, &lineage, "/waybill/somewhere", at);
            let schema = Schema::find(&format!("waybill.{}.v1", stored.kind)).unwrap();
            let mut message: Value = serde_json::from_str(&stored.json).unwrap();
            assert!(!validator(schema).is_valid(&message), "it has no number");
            message["sequence"] = json!(1);
            assert_valid(schema, &message);
            assert_eq!(read(schema, &message.to_string()), Ok(()));
            written.insert(stored.kind);
        }
    }
    assert_eq!(written, BTreeSet::from(EventKind::ALL));
}

#[test]
fn an_order_as_it_is_stored_keeps_the_schema_of_the_request() {
    let stored: Value = serde_json::from_str(&write_order(&sample_order())).unwrap();
    assert_valid(&ORDER_REQUEST, &stored);
}
