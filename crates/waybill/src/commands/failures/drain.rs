//! `waybill failures drain`.

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use clap::Args;
use failures::replay::Drains;
use ports::Unavailable;
use serde_json::{Value, json};

use crate::cli::Context;
use crate::deployment::Deployment;
use crate::failure::{Exit, Failure};

/// `waybill failures drain [QUEUE…]`
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The queues, such as payment-dlq, payment-delivery-dlq or quarantine [default: all]
    #[arg(value_name = "QUEUE")]
    queues: Vec<String>,
}

impl Arguments {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let deployment = context.settings.deployment().await?;
        let request = match self.queues.is_empty() {
            true => json!({ "drain": "all" }),
            false => json!({ "drain": self.queues }),
        };
        let answer = Drain::of(&deployment)?.now(&request).await?;
        context.output.result(&answer, text)?;
        Ok(Exit::Ok)
    }
}

/// The function that drains.
pub(super) struct Drain {
    client: aws_sdk_lambda::Client,
    function: String,
}

impl Drain {
    pub(super) fn of(deployment: &Deployment) -> Result<Self, Failure> {
        Ok(Self {
            client: aws_sdk_lambda::Client::new(deployment.config()),
            function: deployment.output("DlqAlarmFunctionName")?.to_owned(),
        })
    }

    /// Drains, and waits until it is done.
    async fn now(&self, request: &Value) -> Result<Value, Failure> {
        let invoked = self
            .client
            .invoke()
            .function_name(&self.function)
            .payload(Blob::new(request.to_string()))
            .send()
            .await
            .map_err(|error| Failure::from_sdk("lambda:InvokeFunction", error))?;
        let payload = invoked.payload.map(Blob::into_inner).unwrap_or_default();
        let answer: Value = serde_json::from_slice(&payload).unwrap_or_default();
        match invoked.function_error {
            None => Ok(answer),
            Some(kind) => {
                let message = answer["errorMessage"].as_str().unwrap_or("it says no more");
                if message.contains("no queue is drained under the name") {
                    return Err(Failure::Input(message.to_owned()));
                }
                Err(Failure::Busy {
                    what: format!("the function {} ({kind})", self.function),
                    message: message.to_owned(),
                })
            }
        }
    }
}

impl Drains for Drain {
    /// Only begins it: the records tell what came of it.
    async fn drain(&self) -> Result<(), Unavailable> {
        let invoked = self
            .client
            .invoke()
            .function_name(&self.function)
            .invocation_type(InvocationType::Event)
            .payload(Blob::new(json!({ "drain": "all" }).to_string()))
            .send()
            .await;
        match invoked {
            Ok(_) => Ok(()),
            Err(error) => Err(Unavailable::new("Lambda", error)),
        }
    }
}

/// A line for each queue, with its counts.
fn text(answer: &Value) -> String {
    let Some(queues) = answer["queues"].as_object() else {
        return format!("{answer:#}");
    };
    let lines = queues.iter().map(|(queue, counts)| {
        let told = counts.as_object().into_iter().flatten();
        let told = told.filter(|(_, count)| count.as_u64().is_some_and(|count| count > 0));
        let mut told: Vec<_> = told
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        if counts["unreadable"] == true {
            told.push("it could not be read".to_owned());
        }
        match told.is_empty() {
            true => format!("{queue}: empty"),
            false => format!("{queue}: {}", told.join(", ")),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}
