//! What is logged. In a file of its own, since `tracing` remembers for the whole
//! process which events somebody listens to, and other tests do not listen.

#![allow(
    clippy::unwrap_used,
    reason = "in a test, and in what helps it, a panic is the failure report"
)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use message_worker::memory::MemoryQueue;
use message_worker::{Config, Delivery, Description, Failure, Handler, RecordContext, Worker};
use tokio::time::Instant;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

/// Collects what `tracing` writes.
#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn the_log_has_one_line_per_outcome_with_stable_fields_and_never_a_body() {
    let output = Output::default();
    let writer = output.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let queue = MemoryQueue::new(Duration::from_secs(180), 8);
    queue.send("confidential");
    queue.send("transient");
    let worker = Worker::new(Config::new("greeter"), queue.clone(), Quiet);
    let deadline = Instant::now() + Duration::from_secs(30);
    worker.run(queue.receive(10), deadline).await.unwrap();

    let text = String::from_utf8(output.0.lock().unwrap().clone()).unwrap();
    assert!(!text.contains("confidential"), "{text}");
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3, "{text}");
    let fields = &lines[1]["fields"];
    assert_eq!(lines[1]["level"], "WARN");
    assert_eq!(lines[1]["span"]["correlation_id"], "c-1");
    assert_eq!(fields["outcome"], "retried");
    assert_eq!(fields["error_class"], "transient");
    assert_eq!(fields["error_name"], "Throttled");
    assert_eq!(fields["cause"], "Throttled: slow down");
    assert_eq!(fields["message_id"], "message-2");
    assert_eq!(fields["correlation_id"], "c-1");
    assert_eq!(fields["attempt"], 1);
    assert!(fields["duration_ms"].is_u64() && fields["delay_ms"].is_u64());
    assert_eq!(lines[0]["fields"]["outcome"], "processed");
    assert_eq!(lines[2]["fields"]["message"], "batch finished");
}

/// Remembers the fields of every span, as an exporter of traces would.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<BTreeMap<String, String>>>>);

impl<S: tracing::Subscriber> Layer<S> for Spans {
    fn on_new_span(&self, span: &Attributes<'_>, id: &Id, _: Context<'_, S>) {
        let mut fields = Fields::default();
        span.record(&mut fields);
        fields.0.insert("id".to_owned(), id.into_u64().to_string());
        self.0.lock().unwrap().push(fields.0);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        let id = id.into_u64().to_string();
        let mut spans = self.0.lock().unwrap();
        let known = spans.iter_mut().rev().find(|span| span["id"] == id);
        let mut fields = Fields::default();
        values.record(&mut fields);
        known.unwrap().extend(fields.0);
    }
}

#[derive(Default)]
struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}

#[tokio::test(start_paused = true)]
async fn each_record_has_a_span_that_ends_with_its_outcome_and_its_error() {
    let spans = Spans::default();
    let subscriber = tracing_subscriber::registry().with(spans.clone());
    let _guard = tracing::subscriber::set_default(subscriber);

    let queue = MemoryQueue::new(Duration::from_secs(180), 8);
    queue.send("confidential");
    queue.send("transient");
    let worker = Worker::new(Config::new("greeter"), queue.clone(), Quiet);
    let deadline = Instant::now() + Duration::from_secs(30);
    worker.run(queue.receive(10), deadline).await.unwrap();

    let spans = spans.0.lock().unwrap();
    assert_eq!(spans.len(), 2);
    for (span, message_id, outcome) in [
        (&spans[0], "message-1", "processed"),
        (&spans[1], "message-2", "retried"),
    ] {
        assert_eq!(span["consumer"], "greeter");
        assert_eq!(span["message_id"], message_id);
        assert_eq!(span["correlation_id"], "c-1");
        assert_eq!(span["outcome"], outcome);
    }
    assert!(!spans[0].contains_key("error_class"));
    assert_eq!(spans[1]["error_class"], "transient");
    assert_eq!(spans[1]["error_name"], "Throttled");
    assert!(!format!("{spans:?}").contains("confidential"));
}

/// Fails what is not confidential.
struct Quiet;

impl Handler for Quiet {
    type Message = bool;
    type Output = ();
    type Error = Failure;

    fn decode(&self, delivery: &Delivery) -> Result<bool, Failure> {
        Ok(delivery.body() == "confidential")
    }

    async fn handle(&self, succeeds: bool, _: &RecordContext) -> Result<(), Failure> {
        let failure = || Failure::transient("Throttled").caused_by("slow down");
        succeeds.then_some(()).ok_or_else(failure)
    }

    fn describe(&self, _: &Delivery) -> Description {
        Description {
            correlation_id: Some("c-1".to_owned()),
            ..Description::default()
        }
    }
}
