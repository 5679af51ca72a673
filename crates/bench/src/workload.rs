//! What the functions are given: made of the samples in `events/`, each with ids of its own.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::Fault;
use crate::runtime_api::Event;
use crate::standin::StandIn;

/// The order that the samples are about.
const SAMPLE_ORDER: &str = "5520e7e7-394c-5ddd-8cf1-6d92723ea28e";
const SAMPLE_KEY: &str = "checkout-7f3a";
const DEAD_LETTERS: &str = "waybill-payment-dlq";

/// The form of a function's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Messages of a queue, or changes of a table: so many records in an event.
    Records,
    /// One request, one order.
    Request,
    /// An alarm, and messages in the queue that it is about.
    Alarm,
    /// A schedule's event.
    Tick,
}

/// Makes events for a function.
#[derive(Debug, Clone)]
pub(crate) struct Workload {
    form: Form,
    /// The event, or one of its records, as text.
    sample: String,
    /// The order as it is in its table before the function gets to it, as text.
    order: Option<String>,
    /// A message of a queue, as SQS gives it out.
    letter: String,
}

impl Workload {
    /// Reads the samples of a workload. Orders are stored where a function changes them.
    pub(crate) fn read(events: &Path, sample: &str, form: Form) -> Result<Self, Fault> {
        let read = |name: &str| -> Result<Value, Fault> {
            let path = events.join(name);
            let text = std::fs::read_to_string(&path)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            Ok(serde_json::from_str(&text)?)
        };
        let event = read(sample)?;
        let sample_text = match form {
            Form::Records => event["Records"][0].to_string(),
            _ => event.to_string(),
        };
        let stored = read("outbox-relay/insert-order-placed.json")?;
        let changes_orders = ["payment-worker/", "stock-worker/", "shipping-worker/"];
        let is_changed = changes_orders.iter().any(|it| sample.starts_with(it));
        let charge = read("payment-worker/charge.json")?;
        Ok(Self {
            form,
            sample: sample_text,
            order: is_changed.then(|| stored["Records"][0]["dynamodb"]["NewImage"].to_string()),
            letter: charge["Records"][0]["body"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        })
    }

    /// How many records an event has of this size of batch.
    pub(crate) fn records_of(&self, batch: usize) -> usize {
        match self.form {
            Form::Records | Form::Alarm => batch,
            Form::Request | Form::Tick => 1,
        }
    }

    /// How many events are given at most at a time. Alarms are rare, and each looks at all
    /// that is open of a group: many more at once would be no picture of any day.
    pub(crate) fn most_events(&self) -> usize {
        match self.form {
            Form::Alarm => 20,
            _ => usize::MAX,
        }
    }

    /// Stores what has to be there before.
    pub(crate) fn prepare(&self, aws: &StandIn, orders: &[Uuid]) -> Result<(), Fault> {
        let plenty = json!({ "N": "1000000000" });
        for sku in ["MUG-RED", "STICKER"] {
            let item = json!({ "sku": { "S": sku }, "available": plenty, "reserved": plenty });
            aws.seed("Stock", &item)?;
        }
        let Some(stored) = &self.order else {
            return Ok(());
        };
        for order in orders {
            let item = stored.replace(SAMPLE_ORDER, &order.to_string());
            aws.seed("Orders", &serde_json::from_str(&item)?)?;
        }
        Ok(())
    }

    /// An event about these orders. The same orders give the same event: a duplicate.
    pub(crate) fn event(&self, orders: &[Uuid]) -> Result<Event, Fault> {
        let mut letters = Vec::new();
        let payload = match self.form {
            Form::Records => {
                let records = orders.iter().map(|order| self.record(*order));
                json!({ "Records": records.collect::<Result<Vec<_>, _>>()? }).to_string()
            }
            Form::Request => {
                let key = orders.first().map(Uuid::to_string).unwrap_or_default();
                self.sample.replace(SAMPLE_KEY, &key)
            }
            Form::Alarm => {
                let letter = |order| (DEAD_LETTERS.to_owned(), self.dead_letter(order));
                letters.extend(orders.iter().map(letter));
                self.sample.clone()
            }
            Form::Tick => self.sample.clone(),
        };
        Ok(Event {
            payload: Arc::from(payload.into_bytes()),
            letters,
        })
    }

    fn record(&self, order: Uuid) -> Result<Value, Fault> {
        let text = self.sample.replace(SAMPLE_ORDER, &order.to_string());
        let mut record: Value = serde_json::from_str(&text)?;
        let id = json!(Uuid::new_v5(&order, b"message").to_string());
        for name in ["messageId", "eventID"] {
            if let Some(field) = record.get_mut(name) {
                *field = id.clone();
            }
        }
        Ok(record)
    }

    fn dead_letter(&self, order: &Uuid) -> Value {
        let id = Uuid::new_v5(order, b"message").to_string();
        let source = "arn:aws:sqs:eu-central-1:123456789012:waybill-payment";
        json!({
            "MessageId": id,
            "ReceiptHandle": id,
            "Body": self.letter.replace(SAMPLE_ORDER, &order.to_string()),
            "Attributes": {
                "SentTimestamp": "1795283776102",
                "ApproximateReceiveCount": "6",
                "DeadLetterQueueSourceArn": source
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(sample: &str, form: Form) -> Workload {
        let events = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events");
        Workload::read(&events, sample, form).unwrap()
    }

    #[test]
    fn each_record_is_about_its_own_order_and_a_duplicate_is_the_same() {
        let workload = workload("payment-worker/charge.json", Form::Records);
        let orders = [Uuid::from_u128(1), Uuid::from_u128(2)];
        let event = workload.event(&orders).unwrap();
        let text = String::from_utf8(event.payload.to_vec()).unwrap();
        assert!(!text.contains(SAMPLE_ORDER));
        let event: Value = serde_json::from_str(&text).unwrap();
        for (record, order) in event["Records"].as_array().unwrap().iter().zip(&orders) {
            assert!(
                record["body"]
                    .as_str()
                    .unwrap()
                    .contains(&order.to_string())
            );
        }
        assert_ne!(
            event["Records"][0]["messageId"],
            event["Records"][1]["messageId"]
        );
        assert_eq!(
            workload.event(&orders).unwrap().payload,
            text.into_bytes().into()
        );
    }

    #[test]
    fn each_request_has_its_own_key() {
        let workload = workload("order-api/post-order.json", Form::Request);
        let event = workload.event(&[Uuid::from_u128(1)]).unwrap();
        let text = String::from_utf8(event.payload.to_vec()).unwrap();
        assert!(text.contains(&Uuid::from_u128(1).to_string()) && !text.contains(SAMPLE_KEY));
    }

    #[test]
    fn an_alarm_comes_with_the_messages_that_it_is_about() {
        let workload = workload("dlq-alarm/alarm.json", Form::Alarm);
        let event = workload
            .event(&[Uuid::from_u128(1), Uuid::from_u128(2)])
            .unwrap();
        assert_eq!(event.letters.len(), 2);
        assert!(
            String::from_utf8(event.payload.to_vec())
                .unwrap()
                .contains(DEAD_LETTERS)
        );
    }
}
