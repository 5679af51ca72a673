//! Wiring of the drain of dead letters.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_adapters::{
    Clients, DynamoCircuits, DynamoFailures, DynamoGroups, Environment, SnsPeople,
    SqsDeadLetterQueues, SqsDeadLetters, SqsReplayQueues, init_logs,
};
use dlq_alarm::{DlqAlarm, Request, StoredCircuits};
use failures::{AutomaticReplay, Drain, DrainedQueue, Limits, Notices};
use idempotency::{Millis, SystemClock};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;

/// What is left for telling people, and for the step that is under way.
const RESERVE: Duration = Duration::from_secs(20);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let environment = Environment;
    init_logs(environment);
    let clients = Clients::from_environment(environment)?;
    let dynamodb = clients.dynamodb();
    let failures = DynamoFailures::new(dynamodb.clone(), environment.text("FAILURES_TABLE")?);
    let groups = DynamoGroups::new(dynamodb.clone(), environment.text("FAILURE_GROUPS_TABLE")?);
    let circuits = DynamoCircuits::new(dynamodb, environment.text("CIRCUITS_TABLE")?);
    let people = SnsPeople::new(clients.sns(), environment.text("NOTIFICATIONS_TOPIC_ARN")?);
    let queues = consumer_queues(&environment.text("CONSUMER_QUEUE_URLS")?);
    let consumers: Vec<_> = queues.keys().cloned().collect();
    let backoff: u64 = environment.number("AUTOMATIC_REPLAY_MINUTES")?;
    let automatic = (backoff > 0).then(|| {
        let limits = Limits {
            backoff: Duration::from_secs(backoff * 60),
            ..Limits::default()
        };
        AutomaticReplay::new(
            (failures.clone(), groups.clone()),
            SqsReplayQueues::new(clients.sqs(), queues),
            StoredCircuits(circuits),
            SystemClock,
            consumers.clone(),
            limits,
        )
    });
    let stack = environment.text("STACK_NAME")?;
    let handler = &DlqAlarm {
        queues: drained_queues(&environment.text("DRAINED_QUEUE_URLS")?)?,
        drain: Drain::new(
            SqsDeadLetterQueues::new(clients.sqs()),
            failures.clone(),
            groups.clone(),
            SystemClock,
        ),
        notices: Notices::new(failures, groups, people.clone(), SystemClock, stack),
        automatic,
        looks: SqsDeadLetters::new(clients.sqs()),
        people,
        clock: SystemClock,
        consumers,
    };

    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| async move {
        let until = millis(event.context.deadline() - RESERVE);
        let request = Request::parse(event.payload)?;
        handler.handle(&request, until).await.map_err(Error::from)
    }))
    .await
}

fn drained_queues(urls: &str) -> Result<Vec<DrainedQueue>, Error> {
    let queue = |url: &str| {
        DrainedQueue::from_url(url)
            .ok_or_else(|| Error::from(format!("DRAINED_QUEUE_URLS: {url} is no such queue")))
    };
    urls.split(',').map(queue).collect()
}

/// The queues of the consumers by the consumers' names, which end the queues' names.
fn consumer_queues(urls: &str) -> BTreeMap<String, String> {
    let queue = |url: &str| {
        let consumer = url.rsplit(['-', '/']).next().unwrap_or(url);
        (consumer.to_owned(), url.to_owned())
    };
    urls.split(',').map(queue).collect()
}

fn millis(at: SystemTime) -> Millis {
    Millis::EPOCH.plus(at.duration_since(UNIX_EPOCH).unwrap_or_default())
}
