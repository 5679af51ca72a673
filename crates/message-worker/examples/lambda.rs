//! A complete Lambda function on an SQS queue: it greets whom the messages name.
//!
//! Build it with `cargo lambda build --release --example lambda --features emf,memory,sqs`.
//! It reads the URLs of its queues from `QUEUE_URL`, `DLQ_URL` and
//! `QUARANTINE_URL`. The README has the queues and the permissions.

use std::env;

use aws_config::BehaviorVersion;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use message_worker::emf::{Emf, EmfObserver};
use message_worker::sqs::{QueueUrls, SqsQueue};
use message_worker::{
    Config, Delivery, Description, Failure, Handler, Observer, PoisonMemory, Queue, RecordContext,
    ResultExt, SqsEvent, TracingObserver, Worker, deadline_from,
};
use serde::Deserialize;

/// What a message's body holds.
#[derive(Debug, Deserialize)]
struct Greeting {
    request_id: String,
    name: String,
}

/// Handles one message at a time. Clients that it needs are fields of it.
struct Greeter;

impl Handler for Greeter {
    type Message = Greeting;
    type Output = ();
    type Error = Failure;

    fn decode(&self, delivery: &Delivery) -> Result<Greeting, Failure> {
        serde_json::from_str(delivery.body()).or_poison("NotAGreeting")
    }

    async fn handle(&self, greeting: Greeting, context: &RecordContext) -> Result<(), Failure> {
        if greeting.name.is_empty() {
            return Err(Failure::business("NobodyToGreet").correlated(greeting.request_id));
        }
        send(&greeting)
            .await
            .or_transient("PostOfficeUnavailable")?;
        tracing::info!(attempt = context.attempt(), "greeted");
        Ok(())
    }

    fn describe(&self, delivery: &Delivery) -> Description {
        let greeting: Option<Greeting> = serde_json::from_str(delivery.body()).ok();
        Description {
            correlation_id: greeting.map(|greeting| greeting.request_id),
            ..Description::default()
        }
    }
}

/// Stands for the call that your function makes. It must be idempotent: the
/// same message may come twice.
async fn send(_: &Greeting) -> std::io::Result<()> {
    Ok(())
}

fn worker<Q: Queue>(queue: Q) -> Worker<Q, Greeter, impl Observer> {
    let mut config = Config::new("greeter");
    config.poison_memory = Some(PoisonMemory::default());
    let metrics = EmfObserver::new(Emf::new("Greetings"), "greeter");
    Worker::new(config, queue, Greeter).with_observer((TracingObserver, metrics))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    tracing_subscriber::fmt().json().init();
    // `aws_config::load_defaults` does as well; this client makes a smaller binary.
    let tls = Provider::Rustls(CryptoMode::Ring);
    let http = Builder::new().tls_provider(tls).build_https();
    let defaults = aws_config::defaults(BehaviorVersion::latest());
    let aws = defaults.http_client(http).load().await;
    let urls = QueueUrls {
        own: env::var("QUEUE_URL")?,
        dead_letter: env::var("DLQ_URL")?,
        quarantine: env::var("QUARANTINE_URL")?,
    };
    // Made once, and used by all invocations of this environment.
    let worker = &worker(SqsQueue::new(aws_sdk_sqs::Client::new(&aws), urls));
    let invoked = async move |event: LambdaEvent<SqsEvent>| {
        let deadline = deadline_from(event.context.deadline());
        Ok::<_, Error>(worker.run(event.payload, deadline).await?)
    };
    lambda_runtime::run(service_fn(invoked)).await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use message_worker::memory::MemoryQueue;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_no_greeting_is_quarantined_and_the_others_are_done() {
        let queue = MemoryQueue::new(Duration::from_secs(60), 10);
        queue.send(r#"{"request_id": "r-1", "name": "Ada"}"#);
        queue.send("hello");
        let worker = worker(queue.clone());
        let (invocation, patience) = (Duration::from_secs(30), Duration::from_secs(3600));
        queue.drive(&worker, invocation, patience).await;
        assert!(queue.waiting().is_empty());
        let parked = queue.quarantined().remove(0);
        assert_eq!(parked.body, "hello");
        assert_eq!(parked.record.unwrap().error_name, "NotAGreeting");
    }
}
