//! The circuits' table against the emulator.

#![allow(
    clippy::unwrap_used,
    reason = "a panic in a test is its failure report"
)]

#[allow(dead_code, reason = "shared with other tests, which use more of it")]
mod emulator;

use std::time::Duration;

use aws_adapters::{DynamoCircuits, DynamoTrips};
use circuit::{
    Cause, Circuit, CircuitStore, HalfOpen, Observation, Opened, Pause, Resumed, Saved, Settings,
    State, Trips,
};
use idempotency::Millis;
use testkit::VirtualClock;

use emulator::{Emulator, with_emulator};

const NOW: Millis = VirtualClock::START;
const PROBE_INTERVAL: Duration = Duration::from_secs(30);
const CAUSE: Cause = Cause::InARow {
    failures: 5,
    messages: 5,
};

async fn table(emulator: &Emulator) -> (DynamoCircuits, DynamoTrips) {
    let table = emulator.table("circuits", &["id"], &[]).await;
    let circuits = DynamoCircuits::new(emulator.dynamodb.clone(), table.clone());
    let trips = DynamoTrips::new(emulator.dynamodb.clone(), table, PROBE_INTERVAL);
    (circuits, trips)
}

fn pause() -> Pause {
    Pause {
        at: NOW,
        by: "ada".to_owned(),
        why: "maintenance".to_owned(),
    }
}

async fn stored(circuits: &DynamoCircuits, circuit: &Circuit) -> Circuit {
    assert_eq!(circuits.save(circuit).await.unwrap(), Saved::Yes);
    circuits.load(&circuit.consumer).await.unwrap()
}

#[tokio::test]
async fn of_two_environments_that_trip_at_once_one_opens_the_circuit() {
    with_emulator(async |emulator| {
        let (circuits, trips) = table(&emulator).await;
        let open = || trips.open("payment", &CAUSE, NOW);
        let (first, second) = tokio::join!(open(), open());
        let mut opened = [first.unwrap(), second.unwrap()];
        opened.sort_by_key(|opened| *opened == Opened::Before);
        assert_eq!(opened, [Opened::Now, Opened::Before]);
        assert_eq!(circuits.load("payment").await.unwrap().version, 1);
    })
    .await;
}

#[tokio::test]
async fn a_worker_opens_a_circuit_in_one_write_as_the_rules_say() {
    with_emulator(async |emulator| {
        let (circuits, trips) = table(&emulator).await;
        let settings = Settings::new(PROBE_INTERVAL, PROBE_INTERVAL);
        let half = State::HalfOpen(HalfOpen {
            concurrency: 4,
            raise_at: NOW,
        });
        for state in [State::Closed, half] {
            let before = Circuit {
                opened_at: (state != State::Closed).then_some(NOW),
                told_at: Some(NOW),
                pause: Some(pause()),
                version: circuits.load("payment").await.unwrap().version,
                state,
                ..Circuit::new("payment")
            };
            let before = stored(&circuits, &before).await;
            let later = NOW.plus(Duration::from_secs(7));
            let cause = CAUSE.to_string();
            let tripped = Observation::Tripped(&cause);
            let expected = before.after(&tripped, later, &settings).unwrap();

            emulator.wire.requests();
            assert_eq!(
                trips.open("payment", &CAUSE, later).await.unwrap(),
                Opened::Now
            );
            assert_eq!(emulator.wire.requests(), 1);

            let after = circuits.load("payment").await.unwrap();
            let expected = Circuit {
                version: before.version + 1,
                ..expected
            };
            assert_eq!(after, expected);
        }
    })
    .await;
}

#[tokio::test]
async fn a_circuit_that_somebody_changed_in_the_meantime_is_not_overwritten() {
    with_emulator(async |emulator| {
        let (circuits, trips) = table(&emulator).await;
        let seen = circuits.load("payment").await.unwrap();
        assert_eq!(seen, Circuit::new("payment"));
        trips.open("payment", &CAUSE, NOW).await.unwrap();
        assert_eq!(circuits.save(&seen).await.unwrap(), Saved::Conflict);
        let seen = circuits.load("payment").await.unwrap();
        circuits.pause("payment", &pause()).await.unwrap();
        assert_eq!(circuits.save(&seen).await.unwrap(), Saved::Conflict);
        assert_eq!(circuits.load("payment").await.unwrap().pause, Some(pause()));
    })
    .await;
}

#[tokio::test]
async fn a_consumer_is_paused_and_resumed_once() {
    with_emulator(async |emulator| {
        let (circuits, _) = table(&emulator).await;
        let resumed = Resumed {
            at: NOW,
            by: "grace".to_owned(),
        };
        assert!(!circuits.resume("audit", &resumed).await.unwrap());
        circuits.pause("audit", &pause()).await.unwrap();
        let paused = circuits.load("audit").await.unwrap();
        assert_eq!(paused.pause, Some(pause()));
        assert_eq!(paused.state, State::Closed);
        assert!(circuits.resume("audit", &resumed).await.unwrap());
        assert!(!circuits.resume("audit", &resumed).await.unwrap());
        let after = circuits.load("audit").await.unwrap();
        assert_eq!((after.pause, after.resumed), (None, Some(resumed)));
    })
    .await;
}

#[cfg(feature = "lambda")]
mod probes {
    use std::collections::HashMap;

    use aws_adapters::{ProbeLine, SqsProbes};
    use aws_sdk_sqs::types::MessageAttributeValue;
    use circuit::{ProbeMessages, Taken};

    use super::emulator::{Emulator, with_emulator};

    async fn probes(emulator: &Emulator) -> (SqsProbes, String) {
        let queue_url = emulator.queue("probed", None).await;
        let line = ProbeLine {
            queue_url: queue_url.clone(),
            queue_arn: "arn:aws:sqs:us-east-1:000000000000:probed".to_owned(),
            function: "nobody".to_owned(),
        };
        let lines = HashMap::from([("payment".to_owned(), line)]);
        // No function is called here.
        let config = aws_sdk_lambda::Config::builder()
            .behavior_version(aws_sdk_lambda::config::BehaviorVersion::latest())
            .build();
        let lambda = aws_sdk_lambda::Client::from_conf(config);
        (
            SqsProbes::new(emulator.sqs.clone(), lambda, lines),
            queue_url,
        )
    }

    #[tokio::test]
    async fn a_message_and_its_copy_are_the_same_but_for_the_receives() {
        with_emulator(async |emulator| {
            let (probes, queue_url) = probes(&emulator).await;
            assert_eq!(probes.take("payment").await.unwrap(), Taken::Nothing);
            let id = MessageAttributeValue::builder()
                .data_type("String")
                .string_value("f-1");
            let sent = emulator.sqs.send_message().queue_url(queue_url);
            let sent = sent.message_attributes("failureId", id.build().unwrap());
            sent.message_body("{}").send().await.unwrap();

            let Taken::Message(first) = probes.take("payment").await.unwrap() else {
                panic!("nothing was received");
            };
            assert_eq!(probes.take("payment").await.unwrap(), Taken::Waiting);
            probes.copy("payment", &first).await.unwrap();
            probes.delete("payment", &first).await.unwrap();

            let Taken::Message(second) = probes.take("payment").await.unwrap() else {
                panic!("the copy was not received");
            };
            assert_ne!(first.message_id, second.message_id);
            assert_eq!(first.body, second.body);
            assert_eq!(first.message_attributes, second.message_attributes);
            assert_eq!(
                first.message_attributes["failureId"]
                    .string_value
                    .as_deref(),
                Some("f-1")
            );
            assert_eq!(first.attributes["ApproximateReceiveCount"], "1");
            probes.delete("payment", &second).await.unwrap();
            assert_eq!(probes.take("payment").await.unwrap(), Taken::Nothing);
        })
        .await;
    }
}
