//! `waybill queues pause` and `waybill queues resume`.

use aws_sdk_lambda::Client as Lambda;
use circuit::{CircuitStore, State};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use idempotency::Millis;
use serde::Serialize;

use crate::cli::Context;
use crate::deployment::Deployment;
use crate::failure::{Exit, Failure};
use crate::operator::operator;
use crate::output::printable;
use crate::records::now_millis;
use crate::records::traffic::{self, CONSUMERS, Consumer, Traffic};

/// `waybill queues pause CONSUMER`
#[derive(Debug, Args)]
pub(super) struct Pause {
    #[arg(value_parser = consumer())]
    consumer: Consumer,
    /// Why, for those who find it paused
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    why: String,
}

/// `waybill queues resume CONSUMER`
#[derive(Debug, Args)]
pub(super) struct Resume {
    #[arg(value_parser = consumer())]
    consumer: Consumer,
}

/// Offers the consumers to `--help` and to completions.
fn consumer() -> impl TypedValueParser<Value = Consumer> {
    PossibleValuesParser::new(CONSUMERS.map(|consumer| consumer.name))
        .try_map(|name| traffic::consumer(&name).ok_or("no such consumer"))
}

#[derive(Debug, Serialize)]
struct Changed {
    consumer: &'static str,
    #[serde(flatten)]
    traffic: Traffic,
}

impl Pause {
    /// The order to stop is written first: without it the mapping would soon be enabled again.
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let deployment = context.settings.deployment().await?;
        let pause = circuit::Pause {
            at: Millis::new(now_millis()),
            by: operator(&deployment).await?,
            why: self.why,
        };
        let paused = traffic::circuits(&deployment)?
            .pause(self.consumer.name, &pause)
            .await;
        paused.map_err(Failure::from_port)?;
        switch(&deployment, self.consumer, false).await?;
        show(&deployment, self.consumer, context).await
    }
}

impl Resume {
    /// A circuit that is not closed lets messages through by itself, when it is time.
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let deployment = context.settings.deployment().await?;
        let circuits = traffic::circuits(&deployment)?;
        let resumed = circuits.resume(self.consumer.name).await;
        resumed.map_err(Failure::from_port)?;
        let circuit = circuits.load(self.consumer.name).await;
        let circuit = circuit.map_err(Failure::from_port)?;
        if circuit.state == State::Closed && circuit.pause.is_none() {
            switch(&deployment, self.consumer, true).await?;
        }
        show(&deployment, self.consumer, context).await
    }
}

async fn switch(deployment: &Deployment, consumer: Consumer, on: bool) -> Result<(), Failure> {
    let lambda = Lambda::new(deployment.config());
    let updated = lambda
        .update_event_source_mapping()
        .uuid(deployment.output(consumer.mapping)?)
        .enabled(on)
        .send()
        .await;
    match updated {
        Ok(_) => Ok(()),
        // It is being changed just now; the controller makes it as it is wanted within a minute.
        Err(error)
            if error
                .as_service_error()
                .is_some_and(|error| error.is_resource_in_use_exception()) =>
        {
            Ok(())
        }
        Err(error) => Err(Failure::from_sdk("lambda:UpdateEventSourceMapping", error)),
    }
}

async fn show(
    deployment: &Deployment,
    consumer: Consumer,
    context: &Context,
) -> Result<Exit, Failure> {
    let changed = Changed {
        consumer: consumer.name,
        traffic: traffic::read(deployment, consumer).await?,
    };
    context.output.result(&changed, text)?;
    Ok(Exit::Ok)
}

fn text(changed: &Changed) -> String {
    let Changed { consumer, traffic } = changed;
    let mapping = &traffic.mapping.state;
    printable(&match traffic.hindrance() {
        Some(hindrance) => format!("{consumer}: {hindrance}; its mapping is {mapping}"),
        None => format!("{consumer}: messages pass; its mapping is {mapping}"),
    })
}
