//! Wiring of the circuits' controller.

use std::collections::HashMap;
use std::time::Duration;

use aws_adapters::{
    CircuitMetrics, Clients, DynamoCircuits, Environment, EnvironmentError, LambdaMappings,
    LambdaWake, ProbeLine, SnsPeople, SqsProbes, init_logs,
};
use circuit::Settings;
use circuit_control::{Consumer, Controller, Invocation, Ports, Watch};
use idempotency::SystemClock;
use lambda_runtime::{Error, LambdaEvent, service_fn};

/// Longer than a worker may take.
const PATIENCE: Duration = Duration::from_secs(35);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let environment = Environment;
    init_logs(environment);
    let clients = Clients::from_environment(environment)?;
    let ports = Ports {
        circuits: DynamoCircuits::new(clients.dynamodb(), environment.text("CIRCUITS_TABLE")?),
        mappings: LambdaMappings::new(clients.lambda(), mappings(environment)?),
        messages: SqsProbes::new(
            clients.sqs(),
            clients.patient_lambda(PATIENCE),
            lines(environment)?,
        ),
        people: SnsPeople::new(clients.sns(), environment.text("NOTIFICATIONS_TOPIC_ARN")?),
        wake: LambdaWake::new(
            clients.lambda(),
            environment.text("CIRCUIT_CONTROL_FUNCTION")?,
        ),
        meter: CircuitMetrics,
    };
    let probe_interval = Duration::from_secs(environment.number("PROBE_INTERVAL_SECONDS")?);
    let ramp_interval = Duration::from_secs(environment.number("RAMP_INTERVAL_SECONDS")?);
    let settings = Settings::new(probe_interval, ramp_interval);
    let watch = Watch::every(probe_interval.min(ramp_interval) / 4);
    let consumers = consumers(environment)?;
    let controller = &Controller::new(consumers, settings, ports, SystemClock);
    let serve = move |event: LambdaEvent<Invocation>| async move {
        if event.payload.is_news() {
            controller.hear().await.map_err(Error::from)
        } else {
            controller.watch(watch).await.map_err(Error::from)
        }
    };
    lambda_runtime::run(service_fn(serve)).await
}

/// The consumers and the variables that name their mappings.
const MAPPINGS: [(&str, &str); 6] = [
    ("saga", "SAGA_MAPPING"),
    ("payment", "PAYMENT_MAPPING"),
    ("stock", "STOCK_MAPPING"),
    ("shipping", "SHIPPING_MAPPING"),
    ("audit", "AUDIT_MAPPING"),
    ("notify", "NOTIFY_MAPPING"),
];

fn consumers(environment: Environment) -> Result<Vec<Consumer>, EnvironmentError> {
    let concurrency = environment.number("WORKER_CONCURRENCY")?;
    let of = |(name, _): &(&str, &str)| Consumer {
        name: (*name).to_owned(),
        concurrency,
    };
    Ok(MAPPINGS.iter().map(of).collect())
}

fn mappings(environment: Environment) -> Result<HashMap<String, String>, EnvironmentError> {
    let of = |(name, variable)| Ok((str::to_owned(name), environment.text(variable)?));
    MAPPINGS.into_iter().map(of).collect()
}

/// The consumers whose outside party may be down.
fn lines(environment: Environment) -> Result<HashMap<String, ProbeLine>, EnvironmentError> {
    let line = |queue_url, queue_arn, function| -> Result<ProbeLine, EnvironmentError> {
        Ok(ProbeLine {
            queue_url: environment.text(queue_url)?,
            queue_arn: environment.text(queue_arn)?,
            function: environment.text(function)?,
        })
    };
    let payment = line("PAYMENT_QUEUE_URL", "PAYMENT_QUEUE_ARN", "PAYMENT_FUNCTION")?;
    let shipping = line(
        "SHIPPING_QUEUE_URL",
        "SHIPPING_QUEUE_ARN",
        "SHIPPING_FUNCTION",
    )?;
    Ok(HashMap::from([
        ("payment".to_owned(), payment),
        ("shipping".to_owned(), shipping),
    ]))
}
