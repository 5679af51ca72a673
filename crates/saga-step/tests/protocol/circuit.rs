//! The circuit breaker around a step: what counts, and what a message pays for it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use circuit::{Breaker, Call, Health};
use contracts::CommandMessage;
use domain::Step;
use message_worker::{Class, Classify, Handler, RecordContext};
use payment_worker::Payments;
use saga_step::{ClaimedSteps, PROVIDER_TIME_LIMIT, StepError, StepHandler};
use serde_json::{Value, json};
use testkit::{Fault, INVOCATION, Operation, VirtualClock, World, fixtures};
use tokio::time::Instant;

use crate::bench::{Bench, Pair, Progress};

/// Notes what it is told, and is open when the test wants it to be.
#[derive(Debug, Clone, Default)]
struct Noting {
    heard: Arc<Mutex<Vec<(String, u32, Health)>>>,
    is_open: Arc<Mutex<bool>>,
    opens_by_itself: bool,
}

const WAIT: Duration = Duration::from_secs(10);

impl Noting {
    fn open(&self) {
        *self.is_open.lock().unwrap() = true;
    }

    fn heard(&self) -> Vec<Health> {
        let heard = self.heard.lock().unwrap();
        heard.iter().map(|(_, _, health)| *health).collect()
    }
}

impl Breaker for Noting {
    fn admit(&self) -> Result<(), Duration> {
        match *self.is_open.lock().unwrap() {
            true => Err(WAIT),
            false => Ok(()),
        }
    }

    async fn record(&self, call: Call<'_>, health: Health) {
        let heard = (call.message.to_owned(), call.attempt, health);
        self.heard.lock().unwrap().push(heard);
        if self.opens_by_itself && health == Health::Unhealthy {
            self.open();
        }
    }
}

fn handler(
    world: &World,
    breaker: &Noting,
) -> impl Handler<Message = CommandMessage, Error = StepError> + use<> {
    let effects = Payments::new(world.clone(), world.clock());
    let steps: ClaimedSteps<World, Payments<World, VirtualClock>, VirtualClock> =
        ClaimedSteps::new(world.clone(), effects, world.clock());
    let steps = steps.guarded_by(breaker.clone());
    StepHandler::new(Step::Charge, steps, world.clone())
}

async fn deliver(world: &World, breaker: &Noting, body: &Value) -> Result<(), StepError> {
    let message = CommandMessage::parse(&body.to_string())?;
    let context = RecordContext::new("message-1", 3, Instant::now() + INVOCATION);
    let handled = handler(world, breaker).handle(message, &context).await;
    handled.map(|_| ())
}

fn charge(method: &str) -> Value {
    let mut body = fixtures::command(fixtures::order_id(1), Step::Charge, "token");
    body["data"]["method"] = json!(method);
    body
}

#[tokio::test(start_paused = true)]
async fn nothing_is_claimed_and_nobody_called_while_the_circuit_is_open() {
    let (world, breaker) = (World::new(), Noting::default());
    breaker.open();
    let error = deliver(&world, &breaker, &charge("pm_card_visa")).await;
    let error = error.unwrap_err();
    assert_eq!(error.name(), "CircuitOpen");
    let fresh = Class::Deferred {
        delay: Some(WAIT),
        fresh: true,
    };
    assert_eq!(error.class(), fresh);
    assert_eq!(world.calls(), []);
    assert_eq!(breaker.heard(), []);
}

#[tokio::test(start_paused = true)]
async fn each_call_is_told_by_what_it_says_of_the_outside_party() {
    async fn check(method: &str, fault: Option<Fault>, expected: &[Health]) {
        let (world, breaker) = (World::new(), Noting::default());
        if let Some(fault) = fault {
            world.fail(Operation::Charge, 0, fault);
        }
        let _ = deliver(&world, &breaker, &charge(method)).await;
        assert_eq!(breaker.heard(), expected, "{method} {fault:?}");
    }
    check("pm_card_visa", None, &[Health::Healthy]).await;
    check("pm_card_chargeDeclined", None, &[Health::Healthy]).await;
    // It answered, though this request failed.
    check("sandbox_unavailable", None, &[Health::Healthy]).await;
    check("sandbox_ambiguous", None, &[Health::Unknown]).await;
    let refused = Some(Fault::ErrorBefore);
    check("pm_card_visa", refused, &[Health::Unhealthy]).await;
    let silent = Some(Fault::SilenceAfter);
    check("pm_card_visa", silent, &[Health::Unhealthy]).await;
}

#[tokio::test(start_paused = true)]
async fn troubles_of_our_own_and_steps_without_a_call_tell_nothing() {
    let (world, breaker) = (World::new(), Noting::default());
    world.fail(Operation::Begin, 0, Fault::ErrorBefore);
    let error = deliver(&world, &breaker, &charge("pm_card_visa")).await;
    assert_eq!(error.unwrap_err().name(), "StoreUnavailable");
    assert_eq!(breaker.heard(), []);

    // A refusal was stored, so there is nothing to give back.
    let declined = charge("pm_card_chargeDeclined");
    deliver(&world, &breaker, &declined).await.unwrap();
    let refund = fixtures::command(fixtures::order_id(1), Step::Refund, "undo");
    deliver(&world, &breaker, &refund).await.unwrap();
    assert_eq!(breaker.heard(), [Health::Healthy]);
}

#[tokio::test(start_paused = true)]
async fn the_failure_that_opens_the_circuit_costs_its_message_nothing() {
    let world = World::new();
    let breaker = Noting {
        opens_by_itself: true,
        ..Noting::default()
    };
    world.fail(Operation::Charge, 0, Fault::ErrorBefore);
    let error = deliver(&world, &breaker, &charge("pm_card_visa")).await;
    assert_eq!(error.unwrap_err().name(), "CircuitOpen");
    let heard = breaker.heard.lock().unwrap().clone();
    let id = format!("{}/payment.charge", fixtures::order_id(1));
    assert_eq!(heard, [(id, 3, Health::Unhealthy)]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_timed_out_keeps_its_claim_though_the_circuit_opened() {
    let world = World::new();
    let breaker = Noting {
        opens_by_itself: true,
        ..Noting::default()
    };
    world.fail(Operation::Charge, 0, Fault::SilenceAfter);
    let began = Instant::now();
    let error = deliver(&world, &breaker, &charge("pm_card_visa")).await;
    let error = error.unwrap_err();
    assert_eq!(error.name(), "ProviderTimedOut");
    assert_eq!(error.class(), Class::Ambiguous);
    assert_eq!(began.elapsed(), PROVIDER_TIME_LIMIT);
    assert!(!world.calls().contains(&Operation::Release));
}

#[tokio::test(start_paused = true)]
async fn a_step_without_a_breaker_goes_on_as_ever() {
    let bench = Bench::new(Pair::Payment);
    bench.drive(&[bench.action("token")]).await;
    bench.check(Progress::Done);
}
