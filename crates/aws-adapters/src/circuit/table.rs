//! The circuits' table.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use circuit::{
    Cause, Circuit, CircuitStore, HalfOpen, Open, Opened, Pause, Resumed, Saved, State, Trips,
};
use idempotency::Millis;
use ports::Unavailable;

use crate::dynamodb::{Item, number, read_number, read_text, text};

/// Opens circuits. A worker needs no more than `dynamodb:UpdateItem` for it.
#[derive(Debug, Clone)]
pub struct DynamoTrips {
    client: Client,
    table: String,
    probe_interval: Duration,
}

impl DynamoTrips {
    /// Opens circuits in this table; the first probe is due after the interval.
    pub fn new(client: Client, table: String, probe_interval: Duration) -> Self {
        Self {
            client,
            table,
            probe_interval,
        }
    }
}

/// As [`circuit::Observation::Tripped`] does, in one write and without a look.
/// The attribute `wake` has the stream call the controller.
const OPEN: &str = "SET #state = :open, openedAt = if_not_exists(openedAt, :now), cause = :cause, \
                    failedProbes = :zero, untestedProbes = :zero, nextProbeAt = :probe, wake = :wake \
                    REMOVE probeUntil, concurrency, raiseAt ADD version :one";

impl Trips for DynamoTrips {
    async fn open(
        &self,
        consumer: &str,
        cause: &Cause,
        now: Millis,
    ) -> Result<Opened, Unavailable> {
        let sent = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("id", text(consumer))
            .update_expression(OPEN)
            .condition_expression("attribute_not_exists(#state) OR #state <> :open")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":open", text("open"))
            .expression_attribute_values(":now", number(now.get()))
            .expression_attribute_values(":cause", text(cause.to_string()))
            .expression_attribute_values(":zero", number(0_u64))
            .expression_attribute_values(":probe", number(now.plus(self.probe_interval).get()))
            .expression_attribute_values(":wake", text(WAKE))
            .expression_attribute_values(":one", number(1_u64))
            .send()
            .await;
        match sent {
            Ok(_) => {
                crate::metrics::count(&[("consumer", consumer)], "CircuitOpened", 1);
                Ok(Opened::Now)
            }
            Err(error) if is_refused(&error) => Ok(Opened::Before),
            Err(error) => Err(Unavailable::new("DynamoDB", error)),
        }
    }
}

/// Keeps circuits in a table.
#[derive(Debug, Clone)]
pub struct DynamoCircuits {
    client: Client,
    table: String,
}

/// The value of `wake`; the stream's filter in the template asks for it.
const WAKE: &str = "1";

impl DynamoCircuits {
    /// Keeps them in this table.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// Writes down that a consumer is to process nothing. One that is paused
    /// already gets the new reason. The controller then disables its mapping.
    ///
    /// # Errors
    /// [`Unavailable`] where DynamoDB does not take it.
    pub async fn pause(&self, consumer: &str, pause: &Pause) -> Result<(), Unavailable> {
        let set = "SET pausedAt = :at, pausedBy = :by, pausedWhy = :why, wake = :wake \
                   ADD version :one";
        self.client
            .update_item()
            .table_name(&self.table)
            .key("id", text(consumer))
            .update_expression(set)
            .expression_attribute_values(":at", number(pause.at.get()))
            .expression_attribute_values(":by", text(&pause.by))
            .expression_attribute_values(":why", text(&pause.why))
            .expression_attribute_values(":wake", text(WAKE))
            .expression_attribute_values(":one", number(1_u64))
            .send()
            .await
            .map_err(|error| Unavailable::new("DynamoDB", error))?;
        Ok(())
    }

    /// Ends a pause, writes down who ended it, and says whether there was one. The
    /// controller then makes the mapping as the circuit wants it.
    ///
    /// # Errors
    /// [`Unavailable`] where DynamoDB does not take it.
    pub async fn resume(&self, consumer: &str, resumed: &Resumed) -> Result<bool, Unavailable> {
        let sent = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("id", text(consumer))
            .update_expression(
                "SET wake = :wake, resumedAt = :at, resumedBy = :by \
                 REMOVE pausedAt, pausedBy, pausedWhy ADD version :one",
            )
            .condition_expression("attribute_exists(pausedAt)")
            .expression_attribute_values(":at", number(resumed.at.get()))
            .expression_attribute_values(":by", text(&resumed.by))
            .expression_attribute_values(":wake", text(WAKE))
            .expression_attribute_values(":one", number(1_u64))
            .send()
            .await;
        match sent {
            Ok(_) => Ok(true),
            Err(error) if is_refused(&error) => Ok(false),
            Err(error) => Err(Unavailable::new("DynamoDB", error)),
        }
    }
}

impl CircuitStore for DynamoCircuits {
    async fn load(&self, consumer: &str) -> Result<Circuit, Unavailable> {
        let found = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("id", text(consumer))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| Unavailable::new("DynamoDB", error))?;
        let item = found.item.unwrap_or_default();
        Ok(read(consumer, &item))
    }

    async fn save(&self, circuit: &Circuit) -> Result<Saved, Unavailable> {
        let sent = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(to_item(circuit)))
            .condition_expression(
                "version = :known OR (:known = :zero AND attribute_not_exists(id))",
            )
            .expression_attribute_values(":known", number(circuit.version))
            .expression_attribute_values(":zero", number(0_u64))
            .send()
            .await;
        match sent {
            Ok(_) => Ok(Saved::Yes),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|error| error.is_conditional_check_failed_exception()) =>
            {
                Ok(Saved::Conflict)
            }
            Err(error) => Err(Unavailable::new("DynamoDB", error)),
        }
    }
}

fn is_refused<R>(error: &SdkError<UpdateItemError, R>) -> bool {
    error
        .as_service_error()
        .is_some_and(UpdateItemError::is_conditional_check_failed_exception)
}

fn to_item(circuit: &Circuit) -> Item {
    let mut item = Item::new();
    let mut put = |name: &str, value: Option<AttributeValue>| {
        item.extend(value.map(|value| (name.to_owned(), value)));
    };
    let moment = |moment: Option<Millis>| moment.map(|moment| number(moment.get()));
    put("id", Some(text(&circuit.consumer)));
    put("version", Some(number(circuit.version + 1)));
    put("openedAt", moment(circuit.opened_at));
    put("toldAt", moment(circuit.told_at));
    put("tellingUntil", moment(circuit.telling_until));
    let state = match &circuit.state {
        State::Closed => "closed",
        State::Open(open) => {
            put("cause", Some(text(&open.cause)));
            put("failedProbes", Some(number(open.failed_probes)));
            put("untestedProbes", Some(number(open.untested_probes)));
            put("nextProbeAt", moment(Some(open.next_probe_at)));
            put("probeUntil", moment(open.probe_until));
            "open"
        }
        State::HalfOpen(half) => {
            put("concurrency", Some(number(half.concurrency)));
            put("raiseAt", moment(Some(half.raise_at)));
            "half-open"
        }
    };
    put("state", Some(text(state)));
    if let Some(pause) = &circuit.pause {
        put("pausedAt", moment(Some(pause.at)));
        put("pausedBy", Some(text(&pause.by)));
        put("pausedWhy", Some(text(&pause.why)));
    }
    if let Some(resumed) = &circuit.resumed {
        put("resumedAt", moment(Some(resumed.at)));
        put("resumedBy", Some(text(&resumed.by)));
    }
    item
}

/// A circuit whose state cannot be read is closed: it must never be what stops the orders.
fn read(consumer: &str, item: &Item) -> Circuit {
    let moment = |name| read_number(item, name).map(Millis::new);
    let count = |name| {
        let number = read_number(item, name).unwrap_or_default();
        u32::try_from(number).unwrap_or(u32::MAX)
    };
    let state = match read_text(item, "state").as_str() {
        "open" => State::Open(Open {
            cause: read_text(item, "cause"),
            failed_probes: count("failedProbes"),
            untested_probes: count("untestedProbes"),
            next_probe_at: moment("nextProbeAt").unwrap_or(Millis::EPOCH),
            probe_until: moment("probeUntil"),
        }),
        "half-open" => State::HalfOpen(HalfOpen {
            concurrency: count("concurrency").max(circuit::Settings::LEAST_CONCURRENCY),
            raise_at: moment("raiseAt").unwrap_or(Millis::EPOCH),
        }),
        _ => State::Closed,
    };
    let pause = moment("pausedAt").map(|at| Pause {
        at,
        by: read_text(item, "pausedBy"),
        why: read_text(item, "pausedWhy"),
    });
    let resumed = moment("resumedAt").map(|at| Resumed {
        at,
        by: read_text(item, "resumedBy"),
    });
    Circuit {
        consumer: consumer.to_owned(),
        version: read_number(item, "version").unwrap_or_default(),
        state,
        opened_at: moment("openedAt"),
        told_at: moment("toldAt"),
        telling_until: moment("tellingUntil"),
        pause,
        resumed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis::new(1_800_000_000_000);

    #[track_caller]
    fn check(state: State) {
        let circuit = Circuit {
            version: 7,
            state,
            opened_at: Some(NOW),
            told_at: Some(NOW),
            telling_until: Some(NOW),
            pause: Some(Pause {
                at: NOW,
                by: "ada".to_owned(),
                why: "maintenance".to_owned(),
            }),
            resumed: Some(Resumed {
                at: NOW,
                by: "ada".to_owned(),
            }),
            ..Circuit::new("payment")
        };
        let stored = Circuit {
            version: 8,
            ..circuit.clone()
        };
        assert_eq!(read("payment", &to_item(&circuit)), stored);
    }

    #[test]
    fn a_circuit_is_read_as_it_was_stored_with_its_version_counted_up() {
        check(State::Closed);
        check(State::Open(Open {
            cause: "5 failed attempts".to_owned(),
            failed_probes: 2,
            untested_probes: 1,
            next_probe_at: NOW,
            probe_until: Some(NOW),
        }));
        check(State::HalfOpen(HalfOpen {
            concurrency: 4,
            raise_at: NOW,
        }));
    }

    #[test]
    fn what_is_not_there_is_closed_and_was_never_written() {
        assert_eq!(read("payment", &Item::new()), Circuit::new("payment"));
    }
}
