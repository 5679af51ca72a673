//! Requests and messages are read by hand-written code and described by schemas.
//! Both must draw the same line: these tests change good samples in many ways and
//! compare the two verdicts.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is how a test reports its failure"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use contracts::schema::{ORDER_REQUEST, Schema};
use contracts::{CommandMessage, ContractError, EventMessage, RequestError, parse_order};
use domain::{Currency, EventKind, OrderFault, Sku, Step};
use jsonschema::Validator;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Map, Value, json};

/// A schema, ready to use, and a message that keeps it.
struct Contract {
    validator: Validator,
    sample: Value,
}

impl Contract {
    fn load(schema: &Schema) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("samples")
            .join(format!("{}.json", schema.message_type));
        let document = serde_json::from_str(schema.text).unwrap();
        Self {
            validator: jsonschema::draft202012::new(&document).unwrap(),
            sample: serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap(),
        }
    }

    /// The places of all faults that the schema finds.
    fn faults(&self, value: &Value) -> Vec<String> {
        let faults = self.validator.iter_errors(value);
        faults
            .map(|fault| fault.instance_path().to_string())
            .collect()
    }
}

static REQUEST: LazyLock<Contract> = LazyLock::new(|| Contract::load(&ORDER_REQUEST));

static MESSAGES: LazyLock<BTreeMap<&str, Contract>> = LazyLock::new(|| {
    let contracts = contracts::schema::MESSAGES.iter();
    contracts
        .map(|schema| (schema.message_type, Contract::load(schema)))
        .collect()
});

/// The contract of a message, by `<noun>.<verb>`.
fn contract_of(name: &str) -> &'static Contract {
    &MESSAGES[format!("waybill.{name}.v1").as_str()]
}

/// One change to a JSON document. Places are chosen by index, whatever the document is.
#[derive(Debug, Clone)]
enum Change {
    Replace(Index, Value),
    Remove(Index),
    Add(Index, String, Value),
    /// An array of an object's values, which a careless reader takes for the object.
    ObjectToArray(Index),
    /// An array of this length that repeats the first element.
    Resize(Index, usize),
}

/// The JSON pointers of all values in a document, the document itself included.
fn places(value: &Value) -> Vec<String> {
    fn collect(value: &Value, pointer: &str, places: &mut Vec<String>) {
        places.push(pointer.to_owned());
        match value {
            Value::Object(fields) => fields
                .iter()
                .for_each(|(key, value)| collect(value, &format!("{pointer}/{key}"), places)),
            Value::Array(values) => values
                .iter()
                .enumerate()
                .for_each(|(index, value)| collect(value, &format!("{pointer}/{index}"), places)),
            _ => {}
        }
    }
    let mut places = Vec::new();
    collect(value, "", &mut places);
    places
}

/// One of the places whose value the filter accepts.
fn choose<'a>(
    document: &'a mut Value,
    index: &Index,
    wanted: fn(&Value) -> bool,
) -> Option<&'a mut Value> {
    let mut places = places(document);
    places.retain(|place| document.pointer(place).is_some_and(wanted));
    if places.is_empty() {
        return None;
    }
    document.pointer_mut(index.get::<String>(&places))
}

fn apply(document: &mut Value, change: Change) {
    match change {
        Change::Replace(index, value) => {
            if let Some(place) = choose(document, &index, |_| true) {
                *place = value;
            }
        }
        Change::Remove(index) => match choose(document, &index, is_container) {
            Some(Value::Object(fields)) => {
                let keys: Vec<_> = fields.keys().cloned().collect();
                if !keys.is_empty() {
                    fields.remove(index.get(&keys));
                }
            }
            Some(Value::Array(values)) => drop(values.pop()),
            _ => {}
        },
        Change::Add(index, key, value) => {
            if let Some(Value::Object(fields)) = choose(document, &index, Value::is_object) {
                fields.insert(key, value);
            }
        }
        Change::ObjectToArray(index) => {
            if let Some(place) = choose(document, &index, Value::is_object) {
                let fields: Map<_, _> = place.as_object().cloned().unwrap_or_default();
                *place = fields.into_iter().map(|(_, value)| value).collect();
            }
        }
        Change::Resize(index, length) => {
            if let Some(Value::Array(values)) = choose(document, &index, Value::is_array)
                && let Some(first) = values.first().cloned()
            {
                values.resize(length, first);
            }
        }
    }
}

fn is_container(value: &Value) -> bool {
    value.is_object() || value.is_array()
}

/// Text around every limit: lengths in characters that are one to four bytes long,
/// with blanks and control characters among them.
fn text() -> impl Strategy<Value = String> {
    let letters = prop::sample::select(vec![
        'a', 'Z', '0', '-', '~', '!', ' ', 'ß', '山', '😀', '\u{a0}', '\u{2028}', '\u{3000}',
        '\u{feff}', '\u{0}', '\n', '\u{7f}', '\u{85}', '\u{9f}',
    ]);
    let lengths = prop::sample::select(vec![
        0usize, 1, 2, 3, 19, 20, 21, 63, 64, 65, 127, 128, 129, 199, 200, 201,
    ]);
    let repeated = (letters.clone(), lengths.clone())
        .prop_map(|(letter, length)| letter.to_string().repeat(length));
    let one_odd = (letters, lengths, any::<Index>()).prop_map(|(letter, length, at)| {
        let mut word = vec!['a'; length.max(1)];
        *at.get_mut(&mut word) = letter;
        word.into_iter().collect()
    });
    let near = prop::sample::select(vec![
        "EUR",
        "eur",
        "EURO",
        "DE",
        "de",
        "DEU",
        "1.0",
        "application/json",
        "2026-11-21T17:56:15Z",
        "2026-11-21T17:56:15.123456789+01:00",
        "2026-11-21T17:56:15.Z",
        "2026-11-21",
        "0b7e7f0e-6a52-5d5c-9a39-0a2c8a1d9f10",
        "0B7E7F0E-6A52-5D5C-9A39-0A2C8A1D9F10",
        "0b7e7f0e6a525d5c9a390a2c8a1d9f10",
        "waybill.payment.charge.v1",
        "waybill.payment.charge.v01",
        "waybill.payment.charge.v2",
    ]);
    prop_oneof![
        3 => repeated,
        3 => one_odd,
        2 => near.prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

fn number() -> impl Strategy<Value = Value> {
    let limits = prop::sample::select(vec![
        0i64,
        1,
        10_000,
        10_001,
        1_000_000_000,
        1_000_000_001,
        100_000_000_000,
        100_000_000_001,
        4_294_967_295,
        4_294_967_296,
        9_007_199_254_740_993,
    ]);
    prop_oneof![
        limits.clone().prop_map(|number| json!(number)),
        limits.clone().prop_map(|number| json!(-number)),
        limits.clone().prop_map(|number| json!(number as f64)),
        limits.prop_map(|number| json!(number as f64 + 0.5)),
        any::<u64>().prop_map(|number| json!(number)),
        any::<f64>().prop_map(|number| json!(number)),
        Just(json!(-0.0)),
    ]
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => text().prop_map(Value::from),
        6 => number(),
        1 => Just(json!(null)),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(json!([])),
        1 => Just(json!({})),
        1 => Just(json!([[1], {"sku": "A", "quantity": 1, "unitPrice": 1}])),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let key = prop_oneof![
        Just("Sku".to_owned()),
        Just("addedLater".to_owned()),
        Just("line2".to_owned()),
        Just(String::new()),
        any::<String>(),
    ];
    prop_oneof![
        6 => (any::<Index>(), any_value()).prop_map(|(at, value)| Change::Replace(at, value)),
        2 => any::<Index>().prop_map(Change::Remove),
        2 => (any::<Index>(), key, any_value())
            .prop_map(|(at, key, value)| Change::Add(at, key, value)),
        1 => any::<Index>().prop_map(Change::ObjectToArray),
        1 => (any::<Index>(), prop::sample::select(vec![0usize, 1, 2, 49, 50, 51]))
            .prop_map(|(at, length)| Change::Resize(at, length)),
    ]
}

fn changed(sample: &Value, changes: Vec<Change>) -> Value {
    let mut document = sample.clone();
    changes
        .into_iter()
        .for_each(|change| apply(&mut document, change));
    document
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    prop::collection::vec(change(), 1..4)
}

/// Failures are shrunk and printed; they are not kept in files.
fn many_cases() -> ProptestConfig {
    ProptestConfig {
        cases: 1500,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// As many faults as one answer lists.
const MOST_FAULTS: usize = 100;

/// Compares the verdicts on a request.
///
/// A schema cannot add up: only the rules about all lines together may refuse what it accepts.
fn compare_request(request: &Value) -> Result<(), TestCaseError> {
    let read = parse_order(request.to_string().as_bytes());
    let places = REQUEST.faults(request);
    match read {
        Ok(_) => prop_assert!(places.is_empty(), "read, but wrong at {places:?}"),
        Err(RequestError::Malformed(why)) => prop_assert!(false, "malformed: {why}"),
        Err(RequestError::Invalid(faults)) if places.is_empty() => {
            let rules = [
                OrderFault::NothingToPay,
                OrderFault::TotalTooLarge,
                OrderFault::TooManyOfOneSku,
            ]
            .map(|rule| rule.to_string());
            let by_rule = |fault: &contracts::Fault| {
                fault.pointer == "/items" && rules.contains(&fault.detail)
            };
            prop_assert!(faults.iter().all(by_rule), "refused: {faults:?}");
        }
        // A list that is full names the first faults only.
        Err(RequestError::Invalid(faults)) if faults.len() == MOST_FAULTS => {}
        Err(RequestError::Invalid(faults)) => {
            for place in places {
                let named = faults.iter().any(|fault| fault.pointer.starts_with(&place));
                prop_assert!(named, "no fault at {place}: {faults:?}");
            }
        }
    }
    Ok(())
}

/// Whether the parts of a message that must agree do.
fn ids_agree(message: &Value, name: &str) -> bool {
    let Some(subject) = message["subject"].as_str() else {
        return false;
    };
    message["id"] == format!("{subject}/{name}") && message["data"]["orderId"] == subject
}

/// Whether all lines of one article together ask for no more than a line may.
fn lines_add_up(message: &Value) -> bool {
    let mut pieces: BTreeMap<&str, f64> = BTreeMap::new();
    for line in message["data"]["items"].as_array().into_iter().flatten() {
        let sku = line["sku"].as_str().unwrap_or_default();
        *pieces.entry(sku).or_default() += line["quantity"].as_f64().unwrap_or_default();
    }
    pieces.values().all(|sum| *sum <= 10_000.0)
}

/// Compares the verdicts on a message; `may_differ` knows the rules beyond the schema.
fn compare_message(
    places: &[String],
    read: Result<(), ContractError>,
    may_differ: impl Fn(&ContractError) -> bool,
) -> Result<(), TestCaseError> {
    match read {
        Ok(()) => prop_assert!(places.is_empty(), "read, but wrong at {places:?}"),
        Err(error) if places.is_empty() => {
            prop_assert!(may_differ(&error), "refused: {error:?}");
        }
        Err(_) => {}
    }
    Ok(())
}

fn compare_command(step: Step, command: &Value) -> Result<(), TestCaseError> {
    let read = CommandMessage::parse(&command.to_string()).map(drop);
    let places = contract_of(step.as_str()).faults(command);
    compare_message(&places, read, |error| match error {
        ContractError::Inconsistent(_) => !ids_agree(command, step.as_str()),
        ContractError::Value(_) => !lines_add_up(command),
        _ => false,
    })
}

/// Reads an event, with its data where this system reads it.
fn read_event(event: &Value) -> Result<(), ContractError> {
    let message = EventMessage::parse(&event.to_string())?;
    match message.kind {
        EventKind::OrderPlaced => message.placed_order().map(drop),
        EventKind::OrderCompleted | EventKind::OrderFailed | EventKind::OrderNeedsAttention => {
            message.outcome().map(drop)
        }
        _ => Ok(()),
    }
}

/// Puts back what readers do not look at: the number, which a stored event does not
/// have, the total, which they add up themselves, and data that nobody reads.
fn put_back_unread(kind: EventKind, event: &mut Value) {
    let original = &contract_of(kind.as_str()).sample;
    let Some(event) = event.as_object_mut() else {
        return;
    };
    if event.get("sequence").is_none_or(Value::is_null) {
        event.insert("sequence".into(), json!(1));
    }
    let Some(data) = event.get_mut("data") else {
        return;
    };
    match kind {
        EventKind::OrderPlaced => {
            if let Some(data) = data.as_object_mut() {
                data.insert("total".into(), original["data"]["total"].clone());
            }
        }
        EventKind::OrderCompleted | EventKind::OrderFailed | EventKind::OrderNeedsAttention => {}
        _ => *data = original["data"].clone(),
    }
}

fn compare_event(kind: EventKind, event: &Value) -> Result<(), TestCaseError> {
    let read = read_event(event);
    let places = contract_of(kind.as_str()).faults(event);
    compare_message(&places, read, |error| match error {
        ContractError::Inconsistent(_) => !ids_agree(event, kind.as_str()),
        // The rules about all lines of an order together.
        ContractError::Value(rejected) => rejected.0.contains("the order as a whole"),
        _ => false,
    })
}

proptest! {
    #![proptest_config(many_cases())]

    #[test]
    fn a_request_is_read_if_and_only_if_its_schema_accepts_it(changes in changes()) {
        compare_request(&changed(&REQUEST.sample, changes))?;
    }

    #[test]
    fn a_command_is_read_if_and_only_if_its_schema_accepts_it(
        step in prop::sample::select(Step::ALL.to_vec()),
        changes in changes(),
    ) {
        let command = changed(&contract_of(step.as_str()).sample, changes);
        compare_command(step, &command)?;
    }

    #[test]
    fn an_event_is_read_if_and_only_if_its_schema_accepts_it(
        kind in prop::sample::select(EventKind::ALL.to_vec()),
        changes in changes(),
    ) {
        let mut event = changed(&contract_of(kind.as_str()).sample, changes);
        put_back_unread(kind, &mut event);
        compare_event(kind, &event)?;
    }
}

#[test]
fn the_rules_about_all_lines_are_the_only_ones_beyond_the_schema() {
    let line =
        |quantity: u32, price: u64| json!({"sku": "A", "quantity": quantity, "unitPrice": price});
    for items in [
        json!([line(1, 0)]),
        json!([line(10_000, 1_000_000_000)]),
        json!([line(10_000, 1), line(1, 1)]),
    ] {
        let mut request = REQUEST.sample.clone();
        request["items"] = items;
        assert!(REQUEST.validator.is_valid(&request));
        assert!(parse_order(request.to_string().as_bytes()).is_err());
    }
}

/// Holds every character of the first two Unicode planes, which have all the blanks and
/// control characters, alone and inside a word, against one field of the request.
#[track_caller]
fn check_every_character(pointer: &str, accepts: impl Fn(&str) -> bool) {
    let schema: Value = serde_json::from_str(ORDER_REQUEST.text).unwrap();
    let field = schema.pointer(pointer).unwrap();
    let validator = jsonschema::draft202012::new(field).unwrap();
    for letter in char::MIN..='\u{1ffff}' {
        for word in [letter.to_string(), format!("a{letter}b")] {
            let valid = validator.is_valid(&Value::from(word.as_str()));
            assert_eq!(valid, accepts(&word), "{word:?}");
        }
    }
}

#[test]
fn every_character_is_judged_alike_in_a_line_of_text() {
    let field = "/properties/shipTo/properties/city";
    check_every_character(field, |word| domain::Address::check_line(word).is_ok());
}

#[test]
fn every_character_is_judged_alike_in_a_token_and_a_code() {
    let field = "/properties/items/items/properties/sku";
    check_every_character(field, |word| Sku::new(word).is_ok());
    let field = "/properties/currency";
    check_every_character(field, |word| Currency::new(word).is_ok());
}
