//! `waybill queues`.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

use aws_adapters::DynamoFailures;
use aws_sdk_cloudwatch::Client as CloudWatch;
use aws_sdk_sqs::Client as Sqs;
use failures::{FailureStore, Query, Status};
use futures_util::future::{try_join_all, try_join4};
use serde::Serialize;

use super::gauge::{self, Depth};
use crate::cli::Context;
use crate::deployment::Deployment;
use crate::failure::{Exit, Failure};
use crate::output::{Column, note, printable, table};
use crate::records::traffic::{self, CONSUMERS, Consumer, Traffic};
use crate::records::{now_millis, span};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Board {
    /// When it was measured, RFC 3339.
    at: String,
    consumers: Vec<Row>,
    /// What waits in quarantine, whichever consumer it failed at.
    quarantine: Depth,
    /// Open failures of consumers that are none of these, such as `unknown`.
    other_failures: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    consumer: &'static str,
    #[serde(flatten)]
    depth: Depth,
    /// The age of the oldest message, in seconds; null where nobody has measured it.
    oldest_age_seconds: Option<u64>,
    /// What waits in the dead-letter queue, to be drained.
    dead_letters: u64,
    /// What the bus could not deliver, to be drained.
    undelivered: u64,
    /// Failures in the store that somebody still has to see to.
    open_failures: u64,
    #[serde(flatten)]
    traffic: Traffic,
}

/// Shows the queues, once or at each interval.
pub(super) async fn run(context: &Context, interval: Option<Duration>) -> Result<Exit, Failure> {
    let deployment = context.settings.deployment().await?;
    let Some(interval) = interval else {
        show(&deployment, context, "").await?;
        return Ok(Exit::Ok);
    };
    // On a terminal each look takes the place of the last one; elsewhere they follow each other.
    let redraw = match std::io::stdout().is_terminal() && !context.output.is_json() {
        true => "\u{1b}[H\u{1b}[2J",
        false => "",
    };
    loop {
        match show(&deployment, context, redraw).await {
            // One that could not be made now may be made the next time.
            Err(failure) if failure.exit() == Exit::Unavailable => note(&failure.to_string()),
            shown => shown?,
        }
        tokio::time::sleep(interval).await;
    }
}

async fn show(deployment: &Deployment, context: &Context, redraw: &str) -> Result<(), Failure> {
    let board = Box::pin(measure(deployment)).await?;
    context.output.bytes(redraw.as_bytes())?;
    context.output.result(&board, text)
}

async fn measure(deployment: &Deployment) -> Result<Board, Failure> {
    let sqs = Sqs::new(deployment.config());
    let quarantine = deployment.output("QuarantineQueueUrl")?;
    // Boxed, because each of them holds a request whole.
    let rows = CONSUMERS.map(|consumer| Box::pin(row(deployment, &sqs, consumer)));
    let (mut consumers, quarantine, ages, mut open) = try_join4(
        try_join_all(rows),
        Box::pin(gauge::depth(&sqs, quarantine)),
        Box::pin(oldest(deployment)),
        Box::pin(open_failures(deployment)),
    )
    .await?;
    for row in &mut consumers {
        row.oldest_age_seconds = ages.get(row.consumer).copied();
        row.open_failures = open.remove(row.consumer).unwrap_or_default();
    }
    Ok(Board {
        at: crate::records::moment(now_millis()),
        consumers,
        quarantine,
        other_failures: open.values().sum(),
    })
}

async fn row(deployment: &Deployment, sqs: &Sqs, consumer: Consumer) -> Result<Row, Failure> {
    let (depth, dead, undelivered, traffic) = try_join4(
        Box::pin(gauge::depth(sqs, deployment.output(consumer.queue)?)),
        Box::pin(gauge::depth(sqs, deployment.output(consumer.dlq)?)),
        Box::pin(gauge::depth(sqs, deployment.output(consumer.delivery_dlq)?)),
        Box::pin(traffic::read(deployment, consumer)),
    )
    .await?;
    Ok(Row {
        consumer: consumer.name,
        depth,
        oldest_age_seconds: None,
        // What the drain has just taken is there still.
        dead_letters: dead.visible + dead.in_flight,
        undelivered: undelivered.visible + undelivered.in_flight,
        open_failures: 0,
        traffic,
    })
}

/// The age of the oldest message by consumer, where it is known.
async fn oldest(deployment: &Deployment) -> Result<BTreeMap<&'static str, u64>, Failure> {
    let mut queues = Vec::new();
    for consumer in CONSUMERS {
        queues.push(gauge::name(deployment.output(consumer.queue)?));
    }
    let cloudwatch = CloudWatch::new(deployment.config());
    let ages = gauge::oldest(&cloudwatch, &queues).await?;
    let by_consumer = CONSUMERS.into_iter().zip(queues);
    Ok(by_consumer
        .filter_map(|(consumer, queue)| Some((consumer.name, *ages.get(queue)?)))
        .collect())
}

/// The open failures by consumer.
async fn open_failures(deployment: &Deployment) -> Result<BTreeMap<String, u64>, Failure> {
    let store = DynamoFailures::new(
        deployment.dynamodb(),
        deployment.output("FailuresTableName")?,
    );
    let query = Query {
        statuses: vec![Status::Waiting, Status::Replaying],
        ..Query::default()
    };
    let mut counts = BTreeMap::new();
    let mut from = None;
    loop {
        let page = store.find(&query, from.as_deref()).await;
        let page = page.map_err(Failure::from_port)?;
        for failure in page.items {
            *counts.entry(failure.consumer).or_default() += 1;
        }
        match page.next {
            Some(next) => from = Some(next),
            None => return Ok(counts),
        }
    }
}

const HEADERS: [&str; 10] = [
    "CONSUMER",
    "VISIBLE",
    "DELAYED",
    "IN FLIGHT",
    "OLDEST",
    "DEAD",
    "UNDELIVERED",
    "FAILURES",
    "MAPPING",
    "CIRCUIT",
];

fn text(board: &Board) -> String {
    let rows = board.consumers.iter().map(columns);
    let mut text = table(&HEADERS, rows);
    let Depth {
        visible, in_flight, ..
    } = board.quarantine;
    text.push_str(&format!("\nquarantine: {}", visible + in_flight));
    if board.other_failures > 0 {
        let others = board.other_failures;
        text.push_str(&format!("\nfailures of no known consumer: {others}"));
    }
    for row in &board.consumers {
        if let Some(hindrance) = row.traffic.hindrance() {
            let line = printable(&format!("{}: {hindrance}", row.consumer));
            text.push_str(&format!("\n{line}"));
        }
    }
    text
}

fn columns(row: &Row) -> Vec<Column> {
    let number = |count: u64| Column::number(count.to_string());
    let mapping = &row.traffic.mapping;
    let mapping = match mapping.concurrency {
        Some(concurrency) => format!("{} ({concurrency})", mapping.state),
        None => mapping.state.clone(),
    };
    let circuit = match &row.traffic.paused {
        Some(_) => format!("{}, paused", row.traffic.circuit.state),
        None => row.traffic.circuit.state.to_owned(),
    };
    vec![
        Column::text(row.consumer),
        number(row.depth.visible),
        number(row.depth.delayed),
        number(row.depth.in_flight),
        Column::number(row.oldest_age_seconds.map_or("-".to_owned(), span)),
        number(row.dead_letters),
        number(row.undelivered),
        number(row.open_failures),
        Column::text(mapping),
        Column::text(circuit),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::traffic::Paused;
    use crate::records::traffic::tests::traffic;

    fn board() -> Board {
        let row = Row {
            consumer: "payment",
            depth: Depth {
                visible: 7,
                delayed: 1,
                in_flight: 2,
            },
            oldest_age_seconds: None,
            dead_letters: 3,
            undelivered: 0,
            open_failures: 4,
            traffic: traffic("Disabled", "closed"),
        };
        Board {
            at: "now".to_owned(),
            consumers: vec![row],
            quarantine: Depth::default(),
            other_failures: 0,
        }
    }

    #[test]
    fn an_age_that_nobody_has_measured_is_not_shown_as_zero() {
        let mut board = board();
        assert!(text(&board).contains(" -  "), "{}", text(&board));
        let json = serde_json::to_value(&board).unwrap();
        assert_eq!(
            json["consumers"][0]["oldestAgeSeconds"],
            serde_json::Value::Null
        );
        board.consumers[0].oldest_age_seconds = Some(600);
        assert!(text(&board).contains("10 min"));
    }

    #[test]
    fn a_consumer_that_gets_no_messages_is_pointed_out_with_the_reason() {
        let mut board = board();
        board.consumers[0].traffic.paused = Some(Paused {
            since: "now".to_owned(),
            by: "Ada".to_owned(),
            why: "new prices\u{1b}[2J".to_owned(),
        });
        let text = text(&board);
        assert!(text.contains("closed, paused"), "{text}");
        assert!(
            text.contains("payment: paused by Ada since now: new prices"),
            "{text}"
        );
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }
}
