//! Reads everything that is on record for an order.

use std::collections::BTreeMap;

use aws_sdk_sfn::Client as Sfn;
use domain::{OrderId, OrderStatus};
use failures::Failure as StoredFailure;

use crate::deployment::Deployment;
use crate::failure::Failure;
use crate::records::audit::{self, Audited};
use crate::records::executions::{self, Happening};
use crate::records::failures::{self as failed, Peek};
use crate::records::order::{Attempt, StoredOrder};
use crate::records::steps::{self, StepState};
use crate::records::traffic::{self, CONSUMERS, Traffic};

/// Everything that is on record for an order.
#[derive(Debug)]
pub(super) struct Found {
    /// Absent where the order is unknown, and only its messages are known.
    pub(super) order: Option<StoredOrder>,
    /// The messages that were on the bus, as the audit trail has them.
    pub(super) audit: Vec<Audited>,
    /// The saga's history; absent where there is none, or none any more.
    pub(super) saga: Option<Vec<Happening>>,
    /// The attempts to finish an order that needed attention, with their histories.
    pub(super) recoveries: Vec<(Attempt, Option<Vec<Happening>>)>,
    pub(super) failures: Vec<StoredFailure>,
    pub(super) steps: Vec<StepState>,
    pub(super) dead_letters: Peek,
    /// Whether people were told of its end, where it has one.
    pub(super) told: Option<bool>,
    /// What lets messages through to each consumer, where that could be read.
    pub(super) traffic: BTreeMap<&'static str, Traffic>,
    pub(super) remarks: Vec<String>,
}

impl Found {
    /// How the order stands.
    pub(super) fn status(&self) -> &'static str {
        self.order
            .as_ref()
            .map_or("unknown", StoredOrder::status_name)
    }

    /// What is known in part.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = self.remarks.clone();
        if self.order.is_none() {
            notes.push("the orders table does not have this order".to_owned());
        }
        if self.saga.is_none() {
            let why = "the saga has no history: it has not begun, or its history has expired \
                       (Step Functions keeps it for 90 days)";
            notes.push(why.to_owned());
        }
        let cut_short = self.dead_letters.cut_short.iter();
        notes.extend(cut_short.map(|queue| format!("{queue} holds more than was looked at")));
        notes
    }

    fn is_known(&self) -> bool {
        self.order.is_some()
            || !self.audit.is_empty()
            || !self.failures.is_empty()
            || !self.dead_letters.found.is_empty()
    }
}

/// Reads it all.
pub(super) async fn gather(deployment: &Deployment, id: OrderId) -> Result<Found, Failure> {
    let dynamodb = deployment.dynamodb();
    let records = deployment.output("IdempotencyTableName")?;
    let order = order(deployment, id).await?;
    let sfn = Sfn::new(deployment.config());
    let saga = executions::arn(deployment.output("OrderSagaArn")?, &id.to_string());
    let (traffic, remarks) = traffic(deployment).await;
    let found = Found {
        audit: audit::read(deployment, id).await?,
        saga: executions::history(&sfn, &saga).await?,
        recoveries: recoveries(deployment, &sfn, order.as_ref()).await?,
        failures: failed::of_order(deployment, &id.to_string()).await?,
        steps: steps::read(&dynamodb, records, id).await?,
        dead_letters: failed::not_drained(deployment, &id.to_string()).await?,
        told: told(deployment, order.as_ref()).await?,
        traffic,
        remarks,
        order,
    };
    match found.is_known() {
        true => Ok(found),
        false => Err(Failure::NoSuchOrder(id.to_string())),
    }
}

async fn order(deployment: &Deployment, id: OrderId) -> Result<Option<StoredOrder>, Failure> {
    let table = deployment.output("OrdersTableName")?;
    match StoredOrder::read(&deployment.dynamodb(), table, id).await {
        Ok(order) => Ok(Some(order)),
        Err(Failure::NoSuchOrder(_)) => Ok(None),
        Err(failure) => Err(failure),
    }
}

async fn recoveries(
    deployment: &Deployment,
    sfn: &Sfn,
    order: Option<&StoredOrder>,
) -> Result<Vec<(Attempt, Option<Vec<Happening>>)>, Failure> {
    let machine = deployment.output("OrderRecoveryArn")?;
    let attempts = order
        .into_iter()
        .flat_map(|order| order.recoveries.iter().chain(&order.recovery));
    let mut found = Vec::new();
    for attempt in attempts {
        let history = executions::history(sfn, &executions::arn(machine, &attempt.name)).await?;
        found.push((attempt.clone(), history));
    }
    Ok(found)
}

/// People are told of the last event of an order that has ended.
async fn told(
    deployment: &Deployment,
    order: Option<&StoredOrder>,
) -> Result<Option<bool>, Failure> {
    let Some(order) = order else {
        return Ok(None);
    };
    if !order.status.is_some_and(OrderStatus::is_final) {
        return Ok(None);
    }
    let id = format!("{}/order.{}", order.id, order.status_name());
    let table = deployment.output("IdempotencyTableName")?;
    steps::told(&deployment.dynamodb(), table, &id)
        .await
        .map(Some)
}

/// A trace is worth having also where this cannot be read.
async fn traffic(deployment: &Deployment) -> (BTreeMap<&'static str, Traffic>, Vec<String>) {
    let (mut known, mut remarks) = (BTreeMap::new(), Vec::new());
    for consumer in CONSUMERS {
        match traffic::read(deployment, consumer).await {
            Ok(traffic) => {
                known.insert(consumer.name, traffic);
            }
            Err(failure) => remarks.push(format!(
                "whether messages reach {} is not known: {failure}",
                consumer.name
            )),
        }
    }
    (known, remarks)
}
