//! The functions that AWS calls with events of other services.

use std::time::Duration;

use aws_lambda_events::event::dynamodb::Event;
use circuit::{Circuit, CircuitStore, Saved};
use circuit_control::Invocation;
use contracts::Envelope;
use dlq_alarm::{DlqAlarm, Request, StoredCircuits};
use failures::{AutomaticReplay, Drain, DrainedQueue, Limits, Notices};
use idempotency::Clock;
use outbox_relay::{Failures, Relay};
use ports::Unavailable;
use serde_json::Value;
use testkit::World;

use super::{Target, Verdict, check_refusal, in_runtime};
use crate::corpus::seeds;

/// `outbox-relay`: the stream of the table of orders.
pub(super) const STREAM: Target = Target {
    name: "stream",
    seeds: || seeds("stream", &["events/outbox-relay"]),
    check: check_stream,
};

/// `dlq-alarm`: alarms, the schedule, and what a person sends.
pub(super) const ALARM: Target = Target {
    name: "alarm",
    seeds: || seeds("alarm", &["events/dlq-alarm"]),
    check: check_alarm,
};

/// `circuit-control`: the stream of the circuits' table, and the schedule.
pub(super) const CIRCUIT: Target = Target {
    name: "circuit",
    seeds: || seeds("circuit", &["events/circuit-control"]),
    // What is in a record does not count, since the controller reads the table. What is
    // no event at all fails the invocation, and the next look makes up for it.
    check: |input| match serde_json::from_slice::<Invocation>(input) {
        Ok(_) => Verdict::Accepted,
        Err(_) => Verdict::Refused,
    },
};

/// All of the batch is published, or the first that is not is named, or people hear
/// whose events are held, and why, without what is in them.
fn check_stream(input: &[u8]) -> Verdict {
    let Ok(event) = serde_json::from_slice::<Event>(input) else {
        return Verdict::Refused;
    };
    in_runtime(async {
        let world = World::new();
        let (bus, held) = (world.clone(), world.clone());
        let relay = Relay::new(bus, held, world.clock(), Failures::BySequence);
        let response = relay.relay(&event).await.unwrap();
        for body in world.published() {
            let event = Envelope::parse(&body).unwrap();
            assert!(event.sequence.is_some_and(|number| number > 0), "{body}");
        }
        for order in world.held() {
            check_refusal(&order.cause);
        }
        match response.batch_item_failures.as_slice() {
            [] => Verdict::Accepted,
            [first] => {
                let named = first.item_identifier.clone().unwrap_or_default();
                let is_there = |record: &aws_lambda_events::event::dynamodb::EventRecord| {
                    record.change.sequence_number.clone().unwrap_or_default() == named
                };
                assert!(
                    event.records.iter().any(is_there),
                    "{named} is not in the batch"
                );
                Verdict::Refused
            }
            more => panic!("{more:?}"),
        }
    })
}

/// Circuits that nobody has opened.
struct Closed;

impl CircuitStore for Closed {
    async fn load(&self, consumer: &str) -> Result<Circuit, Unavailable> {
        Ok(Circuit::new(consumer))
    }

    async fn save(&self, _circuit: &Circuit) -> Result<Saved, Unavailable> {
        Ok(Saved::Conflict)
    }
}

/// The largest message that SNS takes.
const LARGEST_NOTICE: usize = 256 * 1024;

/// An alarm is never silence: people hear of each that does not say that it is over, or
/// its queue was drained.
fn check_alarm(input: &[u8]) -> Verdict {
    let Ok(event) = serde_json::from_slice::<Value>(input) else {
        return Verdict::Refused;
    };
    let request = match Request::parse(event) {
        Ok(request) => request,
        Err(error) => {
            check_refusal(&message_worker::cause_chain(&error).join(": "));
            return Verdict::Refused;
        }
    };
    in_runtime(async {
        let world = World::new();
        let answer = match handle(&world, &request).await {
            Ok(answer) => answer,
            Err(error) => {
                check_refusal(&message_worker::cause_chain(&error).join(": "));
                return Verdict::Refused;
            }
        };
        let notices = world.notices();
        for notice in &notices {
            assert!(!notice.subject.is_empty() && !notice.text.is_empty());
            assert!(
                notice.text.len() <= LARGEST_NOTICE,
                "{} bytes",
                notice.text.len()
            );
        }
        if let Request::Alarms(event) = &request {
            let loud = event
                .records
                .iter()
                .filter(|record| !is_over(&record.sns.message));
            let queues = usize::from(!answer.queues.is_empty());
            assert!(
                loud.count() == 0 || notices.len() + queues > 0,
                "an alarm was lost: {event:?}"
            );
        }
        Verdict::Accepted
    })
}

/// Whether a message says itself that there is nothing to do.
fn is_over(message: &str) -> bool {
    let alarm: Value = serde_json::from_str(message).unwrap_or_default();
    alarm["NewStateValue"]
        .as_str()
        .is_some_and(|state| state != "ALARM")
}

async fn handle(
    world: &World,
    request: &Request,
) -> Result<dlq_alarm::Answer, dlq_alarm::Incomplete> {
    let (own, clock, consumers) = (|| world.clone(), world.clock(), vec!["payment".to_owned()]);
    let queues = ["waybill-payment-dlq", "waybill-quarantine"];
    let function = DlqAlarm {
        queues: queues
            .iter()
            .filter_map(|name| DrainedQueue::from_name(name))
            .collect(),
        drain: Drain::new(own(), own(), own(), clock),
        notices: Notices::new(own(), own(), own(), clock, "waybill"),
        automatic: Some(AutomaticReplay::new(
            (own(), own()),
            own(),
            StoredCircuits(Closed),
            clock,
            consumers.clone(),
            Limits::default(),
        )),
        looks: own(),
        people: own(),
        clock,
        consumers,
    };
    let until = clock.now().plus(Duration::from_secs(60));
    function.handle(request, until).await
}
