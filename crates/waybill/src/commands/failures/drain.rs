//! `waybill failures drain`.

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use clap::Args;
use failures::replay::Drains;
use ports::Unavailable;
use serde_json::{Value, json};

use super::consumers;
use crate::cli::Context;
use crate::deployment::Deployment;
use crate::failure::{Exit, Failure};
use crate::output::{printable, printable_lines};

/// `waybill failures drain [QUEUE…]`
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The queues, such as payment-dlq, payment-delivery-dlq or quarantine; `payment` means its two
    /// [default: all]
    #[arg(value_name = "QUEUE", value_parser = queue)]
    queues: Vec<String>,
}

impl Arguments {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let deployment = context.settings.deployment().await?;
        let request = match self.queues.is_empty() {
            true => json!({ "drain": "all" }),
            false => json!({ "drain": addressed(&self.queues) }),
        };
        let answer = Drain::of(&deployment)?.now(&request).await?;
        context.output.result(&answer, text)?;
        Ok(Exit::Ok)
    }
}

/// The name of a queue that is drained, with or without the stack's in front, or of a
/// consumer.
fn queue(text: &str) -> Result<String, String> {
    let drained = drained();
    let is_meant = |name: &String| {
        let in_front = text.strip_suffix(name.as_str());
        in_front.is_some_and(|stack| stack.is_empty() || stack.ends_with('-'))
    };
    match consumers::names().contains(&text) || drained.iter().any(is_meant) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "no such queue is drained; there are: {}",
            drained.join(", ")
        )),
    }
}

/// The queues that are drained, without the stack's name.
fn drained() -> Vec<String> {
    let of_consumers = consumers::names().into_iter().flat_map(dead_letter_queues);
    of_consumers.chain(["quarantine".to_owned()]).collect()
}

fn dead_letter_queues(consumer: &str) -> [String; 2] {
    [
        format!("{consumer}-dlq"),
        format!("{consumer}-delivery-dlq"),
    ]
}

/// A consumer's name stands for its two queues.
fn addressed(queues: &[String]) -> Vec<String> {
    let names = consumers::names();
    let each = queues
        .iter()
        .flat_map(|queue| match names.contains(&queue.as_str()) {
            true => dead_letter_queues(queue).to_vec(),
            false => vec![queue.clone()],
        });
    each.collect()
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
        return printable_lines(&format!("{answer:#}"));
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
            true => printable(&format!("{queue}: empty")),
            false => printable(&format!("{queue}: {}", told.join(", "))),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = include_str!("../../../../../template.yaml");

    #[test]
    fn a_queue_that_is_not_drained_is_refused_with_those_that_are() {
        for name in [
            "payment",
            "payment-dlq",
            "quarantine",
            "waybill-dev-stock-delivery-dlq",
        ] {
            assert_eq!(queue(name).unwrap(), name);
        }
        for wrong in [
            "",
            "paymnet-dlq",
            "-",
            "dlq",
            "relay-failures",
            "saga-rescue-dlq",
        ] {
            let error = queue(wrong).unwrap_err();
            assert!(error.contains("payment-delivery-dlq, "), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_consumer_stands_for_its_two_queues() {
        let named = ["payment".to_owned(), "quarantine".to_owned()];
        let expected = ["payment-dlq", "payment-delivery-dlq", "quarantine"];
        assert_eq!(addressed(&named), expected);
    }

    #[test]
    fn every_queue_that_is_drained_is_in_the_template() {
        for name in drained() {
            let line = format!("QueueName: !Sub '${{AWS::StackName}}-{name}'");
            assert!(TEMPLATE.contains(&line), "{name}");
        }
    }
}
