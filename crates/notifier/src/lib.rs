//! Tells people how an order ended: once, or twice where it ended between telling
//! people and noting that it had.

use std::time::Duration;

use contracts::{ContractError, EventMessage, Reason};
use domain::EventKind;
use idempotency::{Clock, Idempotency, InvalidKey, Key, Outcome, RunError, Store, StoreError};
use message_worker::{Delivery, Description, Failure, Handler, RecordContext};
use ports::{Notice, People, Unavailable, describe};

/// Handles `order.completed`, `order.failed` and `order.needs-attention`.
#[derive(Debug)]
pub struct Notifier<S, P, C> {
    once: Idempotency<S, C>,
    people: P,
    clock: C,
}

impl<S: Store, P: People, C: Clock + Clone> Notifier<S, P, C> {
    /// Tells these people, and remembers in this store whom it told what.
    pub fn new(store: S, people: P, clock: C) -> Self {
        Self {
            once: Idempotency::new(store).with_clock(clock.clone()),
            people,
            clock,
        }
    }
}

/// How an order ended.
#[derive(Debug)]
pub struct Ending {
    event_id: String,
    /// What the event said, unlike the notice's wording, stays the same over releases.
    data: String,
    notice: Notice,
}

impl Ending {
    fn parse(body: &str) -> Result<Self, ContractError> {
        let message = EventMessage::parse(body)?;
        let reason = message.outcome()?;
        let envelope = &message.envelope;
        let notice = notice(
            message.kind,
            &envelope.order.to_string(),
            envelope.correlation.as_str(),
            reason.as_ref(),
        );
        Ok(Self {
            data: message.envelope.data.get().to_owned(),
            event_id: message.envelope.id,
            notice,
        })
    }
}

fn notice(kind: EventKind, order: &str, correlation: &str, reason: Option<&Reason>) -> Notice {
    let (kind, ending, advice) = match kind {
        EventKind::OrderCompleted => ("order-completed", "is completed", ""),
        EventKind::OrderNeedsAttention => (
            "order-needs-attention",
            "needs attention",
            "\nSomething could not be undone. A person must look before anything is repeated.",
        ),
        _ => (
            "order-failed",
            "failed",
            "\nEverything that had been done for it was undone.",
        ),
    };
    let why = reason.map(|reason| format!("\nReason: {} ({})", reason.message, reason.code));
    Notice {
        subject: format!("Order {order} {ending}"),
        text: format!(
            "Order {order} {ending}.{}{advice}\nCorrelation id: {correlation}\n\
             What happened: waybill order show {order}\n",
            why.unwrap_or_default()
        ),
        kind,
    }
}

impl<S: Store, P: People, C: Clock + Clone> Handler for Notifier<S, P, C> {
    type Message = Ending;
    type Output = &'static str;
    type Error = Failure;

    fn decode(&self, delivery: &Delivery) -> Result<Ending, Failure> {
        Ending::parse(delivery.body())
            .map_err(|error| Failure::poison(error.name()).caused_by(error))
    }

    async fn handle(
        &self,
        ending: Ending,
        context: &RecordContext,
    ) -> Result<&'static str, Failure> {
        let key = Key::prefixed("notify", &ending.event_id)
            .map_err(|error: InvalidKey| Failure::poison("InvalidKey").caused_by(error))?;
        let deadline = self.clock.now().plus(context.remaining());
        let notice = &ending.notice;
        let told = self
            .once
            .run(key, &ending.data, deadline, |_claim| {
                self.people.tell(notice)
            })
            .await;
        match told {
            Ok(Outcome::Ran(())) => Ok("people were told"),
            Ok(Outcome::Replayed(())) => {
                tracing::info!(event_id = ending.event_id, "people were told before");
                Ok("people had been told before")
            }
            Err(error) => Err(self.classify(error)),
        }
    }

    fn describe(&self, delivery: &Delivery) -> Description {
        describe(delivery.body())
    }
}

impl<S: Store, P: People, C: Clock + Clone> Notifier<S, P, C> {
    fn classify(&self, error: RunError<Unavailable>) -> Failure {
        match error {
            RunError::Work(error) => Failure::transient("PeopleUnavailable").caused_by(error),
            RunError::InProgress { until } => {
                let wait = until.get().saturating_sub(self.clock.now().get());
                Failure::deferred("ClaimHeld", Some(Duration::from_millis(wait.max(1000))))
            }
            RunError::FingerprintMismatch => Failure::poison("PayloadChanged"),
            RunError::Store(StoreError::Unavailable(error)) => {
                Failure::transient("StoreUnavailable").caused_by(error)
            }
            other => Failure::transient("NotifierFailed").caused_by(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_says_what_happened_why_and_what_to_do() {
        let reason = Reason {
            code: "out-of-stock".into(),
            message: "no mugs".into(),
        };
        let notice = notice(EventKind::OrderFailed, "o-1", "c-1", Some(&reason));
        assert_eq!(notice.kind, "order-failed");
        for part in [
            "o-1",
            "no mugs",
            "out-of-stock",
            "c-1",
            "waybill order show o-1",
        ] {
            assert!(
                notice.text.contains(part),
                "{part} is not in {}",
                notice.text
            );
        }
    }
}
