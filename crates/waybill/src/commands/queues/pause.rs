//! `waybill queues pause` and `waybill queues resume`.

use std::collections::HashMap;

use aws_adapters::{DynamoCircuits, LambdaMappings};
use aws_sdk_lambda::Client as Lambda;
use circuit::{CircuitStore, NotSettled, Resumed, Saved, settle};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use idempotency::Millis;
use serde::Serialize;

use crate::cli::Context;
use crate::deployment::Deployment;
use crate::failure::{Exit, Failure};
use crate::operator::operator;
use crate::output::{note, printable};
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
    /// Close its circuit as well and let all messages pass at once, though nobody has
    /// seen its outside party serve. If it does not, messages use up receives until the
    /// circuit opens again; with the controller dead, nothing closes it then but this
    #[arg(long)]
    force: bool,
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
        let made = make_as_wanted(&deployment, self.consumer).await;
        made.inspect_err(|_| left_to_the_controller(self.consumer, "paused", "resume"))?;
        show(&deployment, self.consumer, context).await
    }
}

impl Resume {
    /// A circuit that is not closed lets messages through by itself, when it is time.
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let deployment = context.settings.deployment().await?;
        let circuits = traffic::circuits(&deployment)?;
        let resumed = Resumed {
            at: Millis::new(now_millis()),
            by: operator(&deployment).await?,
        };
        if self.force {
            force(&circuits, self.consumer, resumed).await?;
        } else {
            let ended = circuits.resume(self.consumer.name, &resumed).await;
            ended.map_err(Failure::from_port)?;
        }
        let made = make_as_wanted(&deployment, self.consumer).await;
        made.inspect_err(|_| left_to_the_controller(self.consumer, "resumed", "pause"))?;
        if self.force {
            check_passing(&deployment, self.consumer).await?;
        }
        show(&deployment, self.consumer, context).await
    }
}

/// What was ordered is written down, though this command could not carry it out.
fn left_to_the_controller(consumer: Consumer, is: &str, back: &str) {
    let name = consumer.name;
    note(&format!(
        "{name} is {is} all the same: that is written down, and the controller carries it out \
         within a minute; waybill queues {back} {name} takes it back"
    ));
}

/// Closes a circuit if nobody changes it between our look and our write.
async fn force(
    circuits: &DynamoCircuits,
    consumer: Consumer,
    resumed: Resumed,
) -> Result<(), Failure> {
    let seen = circuits.load(consumer.name).await;
    let seen = seen.map_err(Failure::from_port)?;
    let saved = circuits.save(&seen.forced(resumed)).await;
    match saved.map_err(Failure::from_port)? {
        Saved::Yes => {
            note(&format!(
                "the circuit of {} is closed by force; it opens again if calls fail again",
                consumer.name
            ));
            Ok(())
        }
        Saved::Conflict => Err(Failure::Busy {
            what: format!("the circuit of {}", consumer.name),
            message: "it was changed in the meantime; look at it, and repeat it if you must"
                .to_owned(),
        }),
    }
}

/// A mapping that is just being disabled takes no other change, and nobody else may
/// enable it afterwards.
async fn check_passing(deployment: &Deployment, consumer: Consumer) -> Result<(), Failure> {
    let mapping = traffic::read(deployment, consumer).await?.mapping;
    if !mapping.state.starts_with("Disabl") {
        return Ok(());
    }
    Err(Failure::Busy {
        what: format!("the mapping of {}", consumer.name),
        message: format!("it is {}; repeat it in a minute", mapping.state),
    })
}

/// Does at once what the controller would do within a minute. A mapping that is being
/// changed just now is left to it.
async fn make_as_wanted(deployment: &Deployment, consumer: Consumer) -> Result<(), Failure> {
    let circuits = traffic::circuits(deployment)?;
    let id = deployment.output(consumer.mapping)?.to_owned();
    let ids = HashMap::from([(consumer.name.to_owned(), id)]);
    let mappings = LambdaMappings::new(Lambda::new(deployment.config()), ids);
    let settled = settle(&circuits, &mappings, consumer.name, full(deployment)?).await;
    match settled {
        Ok(_) => Ok(()),
        Err(NotSettled::Unread(error) | NotSettled::Unchanged(error)) => {
            Err(Failure::from_port(error))
        }
        Err(error @ NotSettled::Restless) => Err(Failure::Busy {
            what: format!("the circuit of {}", consumer.name),
            message: error.to_string(),
        }),
    }
}

/// The concurrency of a consumer when all is well.
fn full(deployment: &Deployment) -> Result<u32, Failure> {
    let text = deployment.output("WorkerConcurrency")?;
    text.parse().map_err(|error| {
        Failure::unexpected(
            format!("the stack's WorkerConcurrency is no number: {text}"),
            error,
        )
    })
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
    let passing = traffic.hindrance();
    let passing = passing.unwrap_or_else(|| "messages pass".to_owned());
    printable(&format!("{consumer}: {passing}; its mapping is {mapping}"))
}
