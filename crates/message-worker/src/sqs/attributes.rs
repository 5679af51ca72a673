//! The attributes of a message that is moved, within the limits of SQS.

use std::collections::BTreeMap;

use crate::delivery::{Attribute, Delivery};
use crate::failure_record::FailureRecord;

const MOST_ATTRIBUTES: usize = 10;

/// More than any sensible chain of causes; SQS bills by the size of a message.
const LARGEST_RECORD: usize = 16 * 1024;

/// A cause shorter than this tells too little to be cut further.
const SHORTEST_CAUSE: usize = 32;

/// The message's own attributes and the failure record, within `size_limit`
/// bytes together with the body.
pub(super) fn with_record(
    delivery: &Delivery,
    record: &FailureRecord,
    size_limit: usize,
) -> BTreeMap<String, Attribute> {
    let summary = summary(record);
    let mut chosen = own(delivery);
    let mut used = delivery.body().len() + chosen.iter().map(size).sum::<usize>();
    let overhead = FailureRecord::ATTRIBUTE.len() + "String".len();
    let room = size_limit.saturating_sub(used + overhead);
    let failure = json_within(record, room.min(LARGEST_RECORD));
    let failure = failure.map(|json| (FailureRecord::ATTRIBUTE, json));
    for (name, value) in failure.into_iter().chain(summary) {
        let entry = (name.to_owned(), Attribute::text(allowed(&value)));
        let larger = used + size((&entry.0, &entry.1));
        // SQS refuses an attribute with an empty value.
        if chosen.len() < MOST_ATTRIBUTES && larger <= size_limit && !value.is_empty() {
            chosen.extend([entry]);
            used = larger;
        }
    }
    chosen
}

/// The fields of the record that people filter by.
fn summary(record: &FailureRecord) -> Vec<(&'static str, String)> {
    vec![
        ("errorClass", record.error_class.clone()),
        ("errorName", record.error_name.clone()),
        ("consumer", record.consumer.clone()),
        (
            "correlationId",
            record.correlation_id.clone().unwrap_or_default(),
        ),
        ("bodySha256", record.body_sha256.clone()),
    ]
}

/// The message's own attributes, with one place left for the failure record.
/// Those of an earlier failure, which a replayed message has, are left out.
fn own(delivery: &Delivery) -> BTreeMap<String, Attribute> {
    delivery
        .attributes()
        .iter()
        .filter(|(name, _)| !FailureRecord::ATTRIBUTES.contains(&name.as_str()))
        .take(MOST_ATTRIBUTES - 1)
        .map(|(name, attribute)| (name.clone(), attribute.clone()))
        .collect()
}

/// SQS counts the name, the type and the value.
fn size((name, attribute): (&String, &Attribute)) -> usize {
    name.len()
        + match attribute {
            Attribute::Text { data_type, value } => data_type.len() + value.len(),
            Attribute::Binary { data_type, value } => data_type.len() + value.len(),
        }
}

/// The record as JSON, its longest causes cut in half until it fits.
fn json_within(record: &FailureRecord, room: usize) -> Option<String> {
    let mut record = record.clone();
    loop {
        let json = allowed(&serde_json::to_string(&record).ok()?);
        if json.len() <= room {
            return Some(json);
        }
        if record.cause.is_empty() {
            return None;
        }
        shorten(&mut record.cause);
    }
}

fn shorten(cause: &mut Vec<String>) {
    let lengths = cause.iter().map(String::len).enumerate();
    let Some((longest, length)) = lengths.max_by_key(|(_, length)| *length) else {
        return;
    };
    if length < SHORTEST_CAUSE {
        cause.remove(longest);
        return;
    }
    let text = &mut cause[longest];
    text.truncate(text.floor_char_boundary(length / 2));
    text.push('…');
}

/// SQS takes only the characters that XML 1.0 allows, and refuses the whole
/// message for any other.
fn allowed(text: &str) -> String {
    let is_allowed = |c: &char| match c {
        '\t' | '\n' | '\r' => true,
        '\u{FFFE}' | '\u{FFFF}' => false,
        c => *c >= ' ',
    };
    let replace = |c| {
        if is_allowed(&c) {
            c
        } else {
            char::REPLACEMENT_CHARACTER
        }
    };
    text.chars().map(replace).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lambda_events::event::sqs::SqsMessage;

    fn own_attributes(count: usize) -> BTreeMap<String, Attribute> {
        let names = (0..count).map(|n| format!("own{n:02}"));
        names.map(|name| (name, Attribute::text("v"))).collect()
    }

    fn delivery(body: &str, attributes: &BTreeMap<String, Attribute>) -> Delivery {
        let attributes: BTreeMap<_, _> = attributes
            .iter()
            .map(|(name, attribute)| {
                let value = attribute.as_text();
                let value = serde_json::json!({"stringValue": value, "dataType": "String"});
                (name, value)
            })
            .collect();
        let record: SqsMessage = serde_json::from_value(serde_json::json!({
            "messageId": "m", "receiptHandle": "r", "body": body, "messageAttributes": attributes,
        }))
        .unwrap();
        Delivery::parse(0, record).unwrap()
    }

    fn record(cause: &[&str]) -> FailureRecord {
        FailureRecord {
            error_class: "transient".to_owned(),
            error_name: "StoreUnavailable".to_owned(),
            original_error_name: None,
            cause: cause.iter().map(|&text| text.to_owned()).collect(),
            consumer: "payments".to_owned(),
            source_queue: None,
            schema: None,
            schema_hash: None,
            body_sha256: "ab".repeat(32),
            attempts: 5,
            first_seen: None,
            failed_at: "2026-01-01T00:00:00Z".to_owned(),
            correlation_id: None,
            message_id: "m".to_owned(),
        }
    }

    fn failure(attributes: &BTreeMap<String, Attribute>) -> FailureRecord {
        let json = attributes[FailureRecord::ATTRIBUTE].as_text().unwrap();
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_record_travels_whole_and_in_parts_and_absent_parts_are_left_out() {
        let record = record(&["StoreUnavailable", "connection refused"]);
        let attributes = with_record(&delivery("{}", &own_attributes(1)), &record, 10_000);
        let names: Vec<_> = attributes.keys().map(String::as_str).collect();
        let expected = [
            "bodySha256",
            "consumer",
            "errorClass",
            "errorName",
            "failure",
            "own00",
        ];
        assert_eq!(names, expected);
        assert_eq!(failure(&attributes), record);
    }

    #[test]
    fn there_are_never_more_than_ten_attributes_and_the_record_is_among_them() {
        for own in 0..=10 {
            let attributes =
                with_record(&delivery("{}", &own_attributes(own)), &record(&[]), 10_000);
            assert!(attributes.len() <= MOST_ATTRIBUTES, "{own} of its own");
            assert_eq!(failure(&attributes), record(&[]));
            let kept = attributes.keys().filter(|name| name.starts_with("own"));
            assert_eq!(kept.count(), own.min(9));
        }
    }

    #[test]
    fn the_attributes_of_an_earlier_failure_are_replaced() {
        let moved = with_record(
            &delivery("{}", &own_attributes(0)),
            &record(&["first"]),
            10_000,
        );
        let replayed = delivery("{}", &moved);
        let attributes = with_record(&replayed, &record(&["second"]), 10_000);
        assert_eq!(failure(&attributes).cause, ["second"]);
    }

    #[test]
    fn causes_are_cut_until_the_message_fits_and_the_body_is_not() {
        let long = "é".repeat(50_000);
        let record = record(&["StoreUnavailable", &long, "root cause"]);
        let body = "b".repeat(1_000);
        for limit in [1_000, 1_100, 1_400, 1_500, 2_000, 5_000, 1_000_000] {
            let attributes = with_record(&delivery(&body, &own_attributes(0)), &record, limit);
            let total = body.len() + attributes.iter().map(size).sum::<usize>();
            assert!(total <= limit, "{total} bytes for a limit of {limit}");
            assert_eq!(attributes.contains_key("failure"), limit >= 1_400);
        }
        let roomy = with_record(&delivery(&body, &own_attributes(0)), &record, 1_000_000);
        let cause = failure(&roomy).cause;
        assert_eq!(
            (cause[0].as_str(), cause[2].as_str()),
            ("StoreUnavailable", "root cause")
        );
        assert!(cause[1].ends_with("é…"));
        assert!(roomy["failure"].as_text().unwrap().len() <= LARGEST_RECORD);
    }

    #[test]
    fn characters_that_sqs_refuses_are_replaced() {
        assert_eq!(
            allowed("a\u{0}b\u{FFFF}\tc\u{1F600}"),
            "a\u{FFFD}b\u{FFFD}\tc\u{1F600}"
        );
    }
}
