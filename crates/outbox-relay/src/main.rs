//! Wiring of the outbox relay.

use aws_adapters::{Clients, Environment, SnsBus, SqsHeldOrders, init_logs};
use aws_lambda_events::event::dynamodb::Event;
use idempotency::SystemClock;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use outbox_relay::{Failures, Relay};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let environment = Environment;
    init_logs(environment);
    let clients = Clients::from_environment(environment)?;
    let bus = SnsBus::new(clients.sns(), environment.text("BUS_TOPIC_ARN")?);
    let held = SqsHeldOrders::new(clients, environment.text("RELAY_FAILURES_QUEUE_URL")?);
    let endpoint = environment.optional("AWS_ENDPOINT_URL");
    let failures = Failures::understood_at(endpoint.as_deref());
    let relay = &Relay::new(bus, held, SystemClock, failures);

    lambda_runtime::run(service_fn(move |event: LambdaEvent<Event>| async move {
        relay.relay(&event.payload).await.map_err(Error::from)
    }))
    .await
}
