//! Charges and refunds orders.

use contracts::{Command, CommandMessage, Event, Reason, saga};
use domain::payment::{Charge, Refund, RefundDecision, decide_refund};
use domain::{Knowledge, Step};
use idempotency::{ActionOutcome, Clock, ResultJson};
use ports::{Answer, ChargeRequest, CommitError, OrderChange, PaymentProvider, RefundRequest};
use saga_step::{
    Done, Effects, ORDER_ENDED, StepError, action_id, knowledge, order_change, order_ended, stored,
};

/// The charge and its undo.
#[derive(Debug)]
pub struct Payments<P, C> {
    provider: P,
    clock: C,
}

const SOURCE: &str = "/waybill/payment-worker";

impl<P: PaymentProvider, C: Clock> Payments<P, C> {
    /// Charges and refunds through this provider.
    pub fn new(provider: P, clock: C) -> Self {
        Self { provider, clock }
    }

    /// Gives back whatever the provider captured for this order.
    async fn give_back(&self, message: &CommandMessage) -> Result<Refund, StepError> {
        let order = message.envelope.order;
        let request = RefundRequest {
            key: &format!("{order}/{}", Step::Refund),
            charge_key: &action_id(message),
            order,
        };
        Ok(self.provider.refund(&request).await?)
    }

    fn change(&self, message: &CommandMessage, event: &Event) -> OrderChange {
        order_change(message, event, SOURCE, self.clock.now(), None)
    }
}

impl<P: PaymentProvider, C: Clock> Effects for Payments<P, C> {
    async fn act(&self, message: &CommandMessage) -> Result<Done, StepError> {
        let Command::Charge { money, method } = &message.command else {
            return Err(message.envelope.unknown_type().into());
        };
        let request = ChargeRequest {
            key: &message.envelope.id,
            order: message.envelope.order,
            money: *money,
            method,
        };
        let charge = self.provider.charge(&request).await?;
        let event = match charge.clone() {
            Charge::Captured { money, reference } => Event::PaymentCaptured { money, reference },
            Charge::Declined { code, message } => Event::PaymentDeclined(Reason { code, message }),
        };
        let result = stored(contracts::charge::write(&charge))?;
        Ok(Done {
            result,
            change: Some(self.change(message, &event)),
            asked: true,
        })
    }

    /// The order ended while the provider was asked: nobody would undo this charge later.
    async fn take_back(
        &self,
        message: &CommandMessage,
        _why: &CommitError,
    ) -> Result<Done, StepError> {
        let change = match self.give_back(message).await? {
            Refund::Refunded { money, reference } => {
                let event = Event::PaymentRefunded { money, reference };
                Some(self.change(message, &event))
            }
            Refund::NothingToRefund => None,
        };
        let refused = Charge::Declined {
            code: ORDER_ENDED.to_owned(),
            message: "The order had ended before it was paid.".to_owned(),
        };
        Ok(Done {
            result: stored(contracts::charge::write(&refused))?,
            change,
            asked: true,
        })
    }

    async fn undo(
        &self,
        message: &CommandMessage,
        action: &ActionOutcome,
    ) -> Result<Done, StepError> {
        let known = knowledge(action, read)?;
        let decision = decide_refund(&known);
        let asked = decision == RefundDecision::AskProvider;
        let refund = match decision {
            RefundDecision::Nothing => Refund::NothingToRefund,
            RefundDecision::AskProvider => self.give_back(message).await?,
        };
        match refund {
            Refund::Refunded { money, reference } => {
                let result = stored(contracts::undo::write(true, Some(&reference)))?;
                let event = Event::PaymentRefunded { money, reference };
                Ok(Done {
                    result,
                    change: Some(self.change(message, &event)),
                    asked,
                })
            }
            // The provider must know what it confirmed once: a person has to look.
            Refund::NothingToRefund
                if matches!(known, Knowledge::Recorded(Charge::Captured { .. })) =>
            {
                Err(StepError::Damaged(
                    "the provider does not know what it confirmed".into(),
                ))
            }
            Refund::NothingToRefund => Ok(Done {
                result: stored(contracts::undo::write(false, None))?,
                change: None,
                asked,
            }),
        }
    }

    fn answer(&self, result: &ResultJson) -> Result<Answer, StepError> {
        Ok(match read(result)? {
            Charge::Captured { .. } => Answer::Success(result.as_str().to_owned()),
            Charge::Declined { code, .. } if code == ORDER_ENDED => order_ended(),
            Charge::Declined { message, .. } => Answer::Failure {
                error: saga::PAYMENT_DECLINED,
                cause: message,
            },
        })
    }
}

fn read(result: &ResultJson) -> Result<Charge, StepError> {
    contracts::charge::read(result.as_str()).map_err(|error| StepError::Damaged(Box::new(error)))
}
