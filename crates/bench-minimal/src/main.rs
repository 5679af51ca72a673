//! The baseline of `make bench`: an idempotent SQS worker as small as one can be.
//!
//! One record after the other: a conditional put claims it, an update stores its result.
//! There is no lease, no undo, no contract, no dead letter and no log line.

use aws_config::BehaviorVersion;
use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue::S;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
        .build_https();
    let config = aws_config::defaults(BehaviorVersion::latest()).http_client(http);
    let worker = &Worker {
        client: Client::new(&config.load().await),
        table: std::env::var("IDEMPOTENCY_TABLE")?,
    };
    lambda_runtime::run(service_fn(move |event: LambdaEvent<SqsEvent>| async move {
        Ok::<_, Error>(worker.run(event.payload.records).await)
    }))
    .await
}

struct Worker {
    client: Client,
    table: String,
}

impl Worker {
    async fn run(&self, records: Vec<SqsMessage>) -> SqsBatchResponse {
        let mut response = SqsBatchResponse::default();
        for record in records {
            let id = record.message_id.unwrap_or_default();
            let body = record.body.unwrap_or_default();
            if self.process(&body).await.is_err() {
                let mut failure = BatchItemFailure::default();
                failure.item_identifier = id;
                response.batch_item_failures.push(failure);
            }
        }
        response
    }

    async fn process(&self, body: &str) -> Result<(), Error> {
        let message: Value = serde_json::from_str(body)?;
        let id = message["id"].as_str().ok_or("the message has no id")?;
        if !self.claim(id).await? {
            return Ok(());
        }
        let result = format!("charged {}", message["data"]["amount"]);
        self.client
            .update_item()
            .table_name(&self.table)
            .key("id", S(id.to_owned()))
            .update_expression("SET #state = :completed, #result = :result")
            .expression_attribute_names("#state", "state")
            .expression_attribute_names("#result", "result")
            .expression_attribute_values(":completed", S("completed".to_owned()))
            .expression_attribute_values(":result", S(result))
            .send()
            .await?;
        Ok(())
    }

    /// Whether this delivery is the first.
    async fn claim(&self, id: &str) -> Result<bool, Error> {
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("id", S(id.to_owned()))
            .item("state", S("started".to_owned()))
            .condition_expression("attribute_not_exists(id)")
            .send()
            .await;
        match put {
            Ok(_) => Ok(true),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|it| it.is_conditional_check_failed_exception()) =>
            {
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }
}
