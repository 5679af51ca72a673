//! What lets messages through to a consumer: its event source mapping and its circuit.

use aws_adapters::DynamoCircuits;
use circuit::{Circuit, CircuitStore, State};
use serde::Serialize;

use super::moment;
use crate::deployment::Deployment;
use crate::failure::Failure;

/// A consumer of the bus, with the names of the stack's outputs about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Consumer {
    /// Its name, such as `payment`.
    pub(crate) name: &'static str,
    pub(crate) queue: &'static str,
    pub(crate) dlq: &'static str,
    pub(crate) delivery_dlq: &'static str,
    pub(crate) mapping: &'static str,
}

macro_rules! consumer {
    ($name:literal, $stem:literal) => {
        Consumer {
            name: $name,
            queue: concat!($stem, "QueueUrl"),
            dlq: concat!($stem, "DlqUrl"),
            delivery_dlq: concat!($stem, "DeliveryDlqUrl"),
            mapping: concat!($stem, "MappingId"),
        }
    };
}

/// The consumers, in the order in which an order meets them.
pub(crate) const CONSUMERS: [Consumer; 6] = [
    consumer!("saga", "Saga"),
    consumer!("payment", "Payment"),
    consumer!("stock", "Stock"),
    consumer!("shipping", "Shipping"),
    consumer!("audit", "Audit"),
    consumer!("notify", "Notify"),
];

/// The consumer of a name.
pub(crate) fn consumer(name: &str) -> Option<Consumer> {
    CONSUMERS.into_iter().find(|consumer| consumer.name == name)
}

/// What lets messages through to a consumer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Traffic {
    pub(crate) mapping: Mapping,
    pub(crate) circuit: CircuitState,
    /// Somebody's order to stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) paused: Option<Paused>,
    /// The end of the last pause, or an order to let all pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resumed: Option<Resumed>,
}

/// An event source mapping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Mapping {
    /// `Enabled`, `Disabled`, or on the way to either.
    pub(crate) state: String,
    /// How many invocations at a time it makes at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) concurrency: Option<i32>,
}

/// A circuit, as people read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct CircuitState {
    /// `closed`, `open` or `half-open`.
    pub(crate) state: &'static str,
    /// Since when it is not closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<String>,
    /// Why it was opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cause: Option<String>,
}

/// A consumer that a person has stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Paused {
    pub(crate) since: String,
    pub(crate) by: String,
    pub(crate) why: String,
}

/// Who let a consumer go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Resumed {
    pub(crate) at: String,
    pub(crate) by: String,
}

impl Traffic {
    /// What holds messages up, in words.
    pub(crate) fn hindrance(&self) -> Option<String> {
        if let Some(paused) = &self.paused {
            let Paused { since, by, why } = paused;
            return Some(format!("paused by {by} since {since}: {why}"));
        }
        if self.circuit.state != "closed" {
            let since = self.circuit.since.as_deref().unwrap_or("unknown");
            return Some(format!(
                "its circuit is {} since {since}",
                self.circuit.state
            ));
        }
        (self.mapping.state != "Enabled").then(|| format!("its mapping is {}", self.mapping.state))
    }
}

impl From<&Circuit> for CircuitState {
    fn from(circuit: &Circuit) -> Self {
        let (state, cause) = match &circuit.state {
            State::Closed => ("closed", None),
            State::Open(open) => ("open", Some(open.cause.clone())),
            State::HalfOpen(_) => ("half-open", None),
        };
        Self {
            state,
            since: circuit.opened_at.map(|at| moment(at.get())),
            cause,
        }
    }
}

/// Reads what lets messages through to a consumer.
pub(crate) async fn read(deployment: &Deployment, consumer: Consumer) -> Result<Traffic, Failure> {
    let (mapping, circuit) = futures_util::future::try_join(
        mapping(deployment, consumer),
        circuit(deployment, consumer),
    )
    .await?;
    Ok(Traffic {
        mapping,
        circuit: CircuitState::from(&circuit),
        paused: circuit.pause.as_ref().map(|pause| Paused {
            since: moment(pause.at.get()),
            by: pause.by.clone(),
            why: pause.why.clone(),
        }),
        resumed: circuit.resumed.as_ref().map(|resumed| Resumed {
            at: moment(resumed.at.get()),
            by: resumed.by.clone(),
        }),
    })
}

async fn mapping(deployment: &Deployment, consumer: Consumer) -> Result<Mapping, Failure> {
    let client = aws_sdk_lambda::Client::new(deployment.config());
    let found = client
        .get_event_source_mapping()
        .uuid(deployment.output(consumer.mapping)?)
        .send()
        .await
        .map_err(|error| Failure::from_sdk("lambda:GetEventSourceMapping", error))?;
    let scaling = found.scaling_config.as_ref();
    Ok(Mapping {
        concurrency: scaling.and_then(|scaling| scaling.maximum_concurrency),
        state: found.state.unwrap_or_else(|| "unknown".to_owned()),
    })
}

async fn circuit(deployment: &Deployment, consumer: Consumer) -> Result<Circuit, Failure> {
    let loaded = circuits(deployment)?.load(consumer.name).await;
    loaded.map_err(Failure::from_port)
}

/// The circuits of a deployment.
pub(crate) fn circuits(deployment: &Deployment) -> Result<DynamoCircuits, Failure> {
    let table = deployment.output("CircuitsTableName")?;
    Ok(DynamoCircuits::new(deployment.dynamodb(), table.to_owned()))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn traffic(mapping: &str, circuit: &'static str) -> Traffic {
        Traffic {
            mapping: Mapping {
                state: mapping.to_owned(),
                concurrency: Some(10),
            },
            circuit: CircuitState {
                state: circuit,
                since: None,
                cause: None,
            },
            paused: None,
            resumed: None,
        }
    }

    #[test]
    fn what_holds_messages_up_is_said_and_by_whom() {
        assert_eq!(traffic("Enabled", "closed").hindrance(), None);
        let check = |traffic: &Traffic, words: &str| {
            let said = traffic.hindrance().unwrap_or_default();
            assert!(said.contains(words), "{said}");
        };
        check(&traffic("Disabled", "closed"), "mapping is Disabled");
        check(&traffic("Disabled", "open"), "circuit is open");
        let mut paused = traffic("Disabled", "open");
        paused.paused = Some(Paused {
            since: "now".to_owned(),
            by: "Ada".to_owned(),
            why: "a new price list".to_owned(),
        });
        check(&paused, "paused by Ada since now: a new price list");
    }
}
