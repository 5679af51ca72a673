//! Wiring of the handler of dead-letter alarms.

use aws_adapters::{Clients, Environment, SnsPeople, SqsDeadLetters, init_logs};
use aws_lambda_events::event::sns::SnsEvent;
use dlq_alarm::DlqAlarm;
use idempotency::SystemClock;
use lambda_runtime::{Error, LambdaEvent, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let environment = Environment;
    init_logs(environment);
    let clients = Clients::from_environment(environment)?;
    let people = SnsPeople::new(clients.sns(), environment.text("NOTIFICATIONS_TOPIC_ARN")?);
    let handler = &DlqAlarm::new(SqsDeadLetters::new(clients.sqs()), people, SystemClock);

    lambda_runtime::run(service_fn(move |event: LambdaEvent<SnsEvent>| async move {
        handler.handle(&event.payload).await.map_err(Error::from)
    }))
    .await
}
