//! A whole Lambda function that tells customers about their orders, once for
//! each order and kind of message, however often its event is delivered.
//!
//! The event: `{"order": "o-42", "kind": "shipped", "to": "ada@example.com"}`.
//! The environment: `TABLE` names the table.

use aws_config::BehaviorVersion;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use idempotency::{DynamoDbStore, Idempotency, Key, Millis, Parts, Started, Store};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    // The default features of the SDK bring an HTTP client. This one is chosen
    // for its size, and leaves them off.
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
        .build_https();
    let config = aws_config::defaults(BehaviorVersion::latest()).http_client(http);
    let client = aws_sdk_dynamodb::Client::new(&config.load().await);
    let mails = Idempotency::new(DynamoDbStore::new(client, std::env::var("TABLE")?));
    let parts = Parts::at(["/order", "/kind"])?;
    lambda_runtime::run(service_fn(|event| tell(&mails, &parts, event))).await
}

/// An error makes Lambda deliver the event again, and nobody is told twice.
async fn tell<S: Store>(
    mails: &Idempotency<S>,
    parts: &Parts,
    LambdaEvent { payload, context }: LambdaEvent<Value>,
) -> Result<String, Error> {
    let key = Key::hashed("mail", &parts.fingerprint(&payload)?)?;
    let deadline = Millis::new(context.deadline);
    let told = mails
        .run(key, &payload, deadline, |claim| send(claim, &payload))
        .await?;
    Ok(told.into_inner())
}

#[derive(Debug, thiserror::Error)]
#[error("the mail server did not take the mail")]
struct NotSent;

/// The mail server knows repeated requests by the key. If yours cannot, choose
/// `OnAbandoned::Block` above: a mail that may or may not have been sent is then
/// left to a person.
async fn send(claim: Started, event: &Value) -> Result<String, NotSent> {
    let _to = event["to"].as_str().ok_or(NotSent)?;
    // Call the mail server here, with `claim.key` as its idempotency key, and
    // answer what it answers.
    Ok(format!("receipt for {}", claim.key))
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        reason = "a panic in a test is its failure report"
    )]

    use std::time::Duration;

    use idempotency::{Clock, MemoryStore, SystemClock};
    use lambda_runtime::Context;
    use serde_json::json;

    use super::*;

    async fn deliver(mails: &Idempotency<MemoryStore>, event: Value) -> Result<String, Error> {
        let parts = Parts::at(["/order", "/kind"]).unwrap();
        let mut context = Context::default();
        context.deadline = SystemClock.now().plus(Duration::from_secs(30)).get();
        tell(mails, &parts, LambdaEvent::new(event, context)).await
    }

    #[tokio::test]
    async fn each_kind_of_mail_is_sent_once_for_an_order() {
        let mails = Idempotency::new(MemoryStore::default());
        let event = |kind, to| json!({"order": "o-42", "kind": kind, "to": to});
        let first = deliver(&mails, event("paid", "ada@example.com"))
            .await
            .unwrap();
        let again = deliver(&mails, event("paid", "ada@example.com"))
            .await
            .unwrap();
        assert_eq!(first, again);
        let other = deliver(&mails, event("shipped", "ada@example.com"))
            .await
            .unwrap();
        assert_ne!(first, other);
        let changed = deliver(&mails, event("paid", "eve@example.com")).await;
        assert!(changed.is_err(), "{changed:?}");
    }

    #[tokio::test]
    async fn an_event_without_an_order_is_an_error() {
        let mails = Idempotency::new(MemoryStore::default());
        let error = deliver(&mails, json!({"kind": "paid"})).await.unwrap_err();
        assert_eq!(error.to_string(), "the payload has nothing at `/order`");
    }
}
