//! Wiring of the outbox relay.

use aws_adapters::{Clients, Environment, SnsBus, init_logs};
use aws_lambda_events::event::dynamodb::Event;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use outbox_relay::{Failures, Relay};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let environment = Environment;
    init_logs(environment);
    let clients = Clients::from_environment(environment)?;
    let bus = SnsBus::new(clients.sns(), environment.text("BUS_TOPIC_ARN")?);
    let endpoint = environment.optional("AWS_ENDPOINT_URL");
    let relay = &Relay::new(bus, Failures::understood_at(endpoint.as_deref()));

    lambda_runtime::run(service_fn(move |event: LambdaEvent<Event>| async move {
        relay.relay(&event.payload).await.map_err(Error::from)
    }))
    .await
}
