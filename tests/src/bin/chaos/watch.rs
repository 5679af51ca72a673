//! The orders by state over time, and what still moves.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, Select};
use failures::{Query, Status};
use futures_util::future::join_all;
use tokio::time::sleep;
use waybill_tests::{CONSUMERS, Environment};

use crate::operations;
use crate::output;
use crate::run::Run;

/// The states of an order, the last ones first: so they lie above each other in the picture.
pub(crate) const STATES: [&str; 7] = [
    "completed",
    "failed",
    "needs-attention",
    "shipped",
    "reserved",
    "paid",
    "accepted",
];

/// How many of these states an order stays in.
pub(crate) const FINAL: usize = 3;

const PAUSE: Duration = Duration::from_millis(900);
const TOLD_EVERY: u64 = 10;

/// How many orders were in each state at a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) at: Duration,
    pub(crate) counts: [u64; STATES.len()],
}

impl Sample {
    pub(crate) fn all(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(crate) fn ended(&self) -> u64 {
        self.counts[..FINAL].iter().sum()
    }
}

/// Looks until the run is over, and tells from time to time.
pub(crate) async fn samples(run: &Arc<Run>, environment: &Environment) -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut told = 0;
    while !run.is_over() {
        let sample = sample(run, environment).await;
        run.move_on(sample.all() - sample.ended());
        samples.push(sample);
        if sample.at.as_secs() / TOLD_EVERY > told {
            told = sample.at.as_secs() / TOLD_EVERY;
            output::progress(run, &sample);
        }
        sleep(PAUSE).await;
    }
    samples
}

async fn sample(run: &Run, environment: &Environment) -> Sample {
    let counts = join_all(STATES.map(|state| count(environment, state))).await;
    Sample {
        at: run.elapsed(),
        counts: counts.try_into().expect("a number for each state"),
    }
}

async fn count(environment: &Environment, state: &str) -> u64 {
    let mut pages = environment
        .dynamodb
        .query()
        .table_name(environment.output("OrdersTableName"))
        .index_name("by-status")
        .key_condition_expression("#status = :state")
        .expression_attribute_names("#status", "status")
        .expression_attribute_values(":state", AttributeValue::S(state.to_owned()))
        .select(Select::Count)
        .into_paginator()
        .send();
    let mut counted = 0;
    while let Some(page) = pages.next().await {
        let page = page.unwrap_or_else(|error| panic!("orders that are {state}: {error:?}"));
        counted += u64::try_from(page.count).expect("a number of orders");
    }
    counted
}

/// The ids in the orders table.
pub(crate) async fn stored_orders(environment: &Environment) -> Vec<String> {
    let mut pages = environment
        .dynamodb
        .scan()
        .table_name(environment.output("OrdersTableName"))
        .projection_expression("orderId")
        .into_paginator()
        .items()
        .send();
    let mut ids = Vec::new();
    while let Some(item) = pages.next().await {
        let item = item.unwrap_or_else(|error| panic!("the orders: {error:?}"));
        ids.push(item["orderId"].as_s().expect("an order's id").clone());
    }
    ids
}

/// What has not come to rest.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Motion {
    pub(crate) moving_orders: u64,
    pub(crate) needing_attention: u64,
    pub(crate) queued: Vec<(String, usize)>,
    pub(crate) dead: Vec<(String, usize)>,
    pub(crate) waiting: usize,
    pub(crate) replaying: usize,
    pub(crate) executions: Vec<(&'static str, usize)>,
    pub(crate) circuits: Vec<&'static str>,
}

impl Motion {
    pub(crate) async fn look(run: &Run, environment: &Environment) -> Self {
        let sample = sample(run, environment).await;
        let mut motion = Self {
            moving_orders: sample.all() - sample.ended(),
            needing_attention: sample.counts[FINAL - 1],
            ..Self::default()
        };
        motion.look_into_queues(environment).await;
        for failure in environment.failures(&open()).await {
            match failure.status {
                Status::Replaying => motion.replaying += 1,
                _ => motion.waiting += 1,
            }
        }
        for machine in ["OrderSagaArn", "OrderRecoveryArn"] {
            let running = operations::running(environment, machine).await.len();
            if running > 0 {
                motion.executions.push((machine, running));
            }
        }
        for consumer in ["payment", "shipping"] {
            if environment.circuit(consumer).await.state != "closed" {
                motion.circuits.push(consumer);
            }
        }
        motion
    }

    async fn look_into_queues(&mut self, environment: &Environment) {
        for consumer in CONSUMERS {
            let held = environment.queued(environment.queue(consumer)).await.len();
            push(&mut self.queued, consumer, held);
            let dead = environment.queued(environment.dlq(consumer)).await.len();
            push(&mut self.dead, consumer, dead);
        }
        let held = environment.queued(environment.quarantine()).await.len();
        push(&mut self.dead, "Quarantine", held);
    }

    /// Whether nothing moves, and nothing waits for a person.
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Motion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            moving_orders,
            needing_attention,
            waiting,
            replaying,
            ..
        } = self;
        let mut parts = vec![
            format!("{moving_orders} orders on their way"),
            format!("{needing_attention} needing attention"),
            format!("{waiting} failures waiting and {replaying} being replayed"),
        ];
        let queues = self.queued.iter();
        parts.extend(queues.map(|(queue, held)| format!("{held} in {queue}")));
        let dead = self.dead.iter();
        parts.extend(dead.map(|(queue, held)| format!("{held} dead in {queue}")));
        let executions = self.executions.iter();
        parts.extend(executions.map(|(machine, count)| format!("{count} of {machine}")));
        let circuits = self.circuits.iter();
        parts.extend(circuits.map(|circuit| format!("the circuit of {circuit}")));
        formatter.write_str(&parts.join(", "))
    }
}

fn push(found: &mut Vec<(String, usize)>, name: &str, count: usize) {
    if count > 0 {
        found.push((name.to_owned(), count));
    }
}

fn open() -> Query {
    Query {
        statuses: vec![Status::Waiting, Status::Replaying],
        ..Query::default()
    }
}
