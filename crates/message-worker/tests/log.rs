//! What is logged. In a file of its own, since `tracing` remembers for the whole
//! process which events somebody listens to, and other tests do not listen.

#![allow(
    clippy::unwrap_used,
    reason = "in a test, and in what helps it, a panic is the failure report"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use message_worker::memory::MemoryQueue;
use message_worker::{Config, Delivery, Description, Failure, Handler, RecordContext, Worker};
use tokio::time::Instant;

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

/// Fails what is not confidential.
struct Quiet;

impl Handler for Quiet {
    type Message = bool;
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
