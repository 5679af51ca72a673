//! Wiring of the notifier.

use aws_adapters::{Clients, Environment, SnsPeople, init_logs, queue_worker, serve_queue};
use idempotency::{DynamoDbStore, SystemClock};
use notifier::Notifier;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let environment = Environment;
    init_logs(environment);
    let clients = Clients::from_environment(environment)?;
    let store = DynamoDbStore::new(clients.dynamodb(), environment.text("IDEMPOTENCY_TABLE")?);
    let people = SnsPeople::new(clients.sns(), environment.text("NOTIFICATIONS_TOPIC_ARN")?);
    let notifier = Notifier::new(store, people, SystemClock);
    serve_queue(queue_worker("notify", environment, &clients, notifier)?).await
}
