//! A payment provider that behaves by the payment method.

use domain::payment::{Charge, Refund};
use ports::{ChargeRequest, PaymentProvider, ProviderError, RefundRequest};

use super::Simulated;
use super::ledger::{Effect, Ledger, Written};
use super::outage::Switch;

/// Charges and refunds in the ledger.
///
/// | method | behaviour |
/// |---|---|
/// | `pm_card_chargeDeclined…` | declined |
/// | `sandbox_flaky_<n>` | fails transiently n times for an order, then succeeds |
/// | `sandbox_unavailable` | always fails transiently |
/// | `sandbox_ambiguous` | charges, then its answer is lost, once |
/// | anything else, as `pm_card_visa` | succeeds |
///
/// During an outage (see [`outage_key`](super::outage_key)) nobody is served.
#[derive(Debug, Clone)]
pub struct SandboxPayments {
    ledger: Ledger,
    switch: Switch,
}

/// How a payment method makes the sandbox behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behaviour {
    Succeed,
    Decline {
        code: &'static str,
        message: &'static str,
    },
    FailFirst(u64),
    NeverAnswer,
    LoseFirstAnswer,
}

impl Behaviour {
    fn of(method: &str) -> Self {
        let decline = |code, message| Self::Decline { code, message };
        match method {
            "pm_card_chargeDeclined" => decline("card-declined", "The card was declined."),
            "pm_card_chargeDeclinedInsufficientFunds" => {
                decline("insufficient-funds", "The card has insufficient funds.")
            }
            "sandbox_unavailable" => Self::NeverAnswer,
            "sandbox_ambiguous" => Self::LoseFirstAnswer,
            other => other
                .strip_prefix("sandbox_flaky_")
                .and_then(|count| count.parse().ok())
                .map_or(Self::Succeed, Self::FailFirst),
        }
    }
}

impl SandboxPayments {
    /// A provider with this ledger.
    pub fn new(ledger: Ledger) -> Self {
        let switch = Switch::new(&ledger, "payment");
        Self { ledger, switch }
    }

    async fn capture(
        &self,
        request: &ChargeRequest<'_>,
    ) -> Result<(Charge, Written), ProviderError> {
        let effect = Effect {
            kind: "capture",
            money: Some(request.money),
            reference: format!("ch_{}", request.order),
        };
        let written = self
            .ledger
            .write(request.order, request.key, &effect)
            .await?;
        Ok((
            Charge::Captured {
                money: request.money,
                reference: effect.reference,
            },
            written,
        ))
    }
}

/// A charge that its refund came before.
fn barred() -> Charge {
    Charge::Declined {
        code: "called-off".to_owned(),
        message: "The payment was called off.".to_owned(),
    }
}

impl PaymentProvider for SandboxPayments {
    async fn charge(&self, request: &ChargeRequest<'_>) -> Result<Charge, ProviderError> {
        let call = self.switch.call(request.key).await?;
        let charged = self.charge_once(request).await;
        call.ended().await;
        charged
    }

    async fn refund(&self, request: &RefundRequest<'_>) -> Result<Refund, ProviderError> {
        let call = self.switch.call(request.key).await?;
        let refunded = self.refund_once(request).await;
        call.ended().await;
        refunded
    }
}

impl SandboxPayments {
    async fn charge_once(&self, request: &ChargeRequest<'_>) -> Result<Charge, ProviderError> {
        let behaviour = Behaviour::of(request.method.as_str());
        match behaviour {
            Behaviour::Decline { code, message } => {
                return Ok(Charge::Declined {
                    code: code.to_owned(),
                    message: message.to_owned(),
                });
            }
            Behaviour::NeverAnswer => return failed("it never succeeds"),
            Behaviour::FailFirst(failures) => {
                if Box::pin(self.ledger.count_attempt(request.key)).await? <= failures {
                    return failed("it fails the first times");
                }
            }
            Behaviour::Succeed | Behaviour::LoseFirstAnswer => {}
        }
        let (charge, written) = self.capture(request).await?;
        match written {
            Written::Barred => Ok(barred()),
            Written::Now if behaviour == Behaviour::LoseFirstAnswer => {
                let lost = Simulated("it charges and its answer is lost");
                Err(ProviderError::OutcomeUnknown(Box::new(lost)))
            }
            // Also where it was refunded since: the charge is told again as it was.
            Written::Now | Written::Before { .. } => Ok(charge),
        }
    }

    async fn refund_once(&self, request: &RefundRequest<'_>) -> Result<Refund, ProviderError> {
        let captured = self
            .ledger
            .find_or_bar(request.order, request.charge_key)
            .await?;
        let Some((Some(money), _)) = captured else {
            return Ok(Refund::NothingToRefund);
        };
        let reference = format!("re_{}", request.order);
        let effect = Effect {
            kind: "refund",
            money: Some(money),
            reference,
        };
        self.ledger
            .write_undo(request.order, request.key, &effect, request.charge_key)
            .await?;
        Ok(Refund::Refunded {
            money,
            reference: effect.reference,
        })
    }
}

/// What one order asks for says nothing about others: it must not open the circuit.
fn failed<T>(why: &'static str) -> Result<T, ProviderError> {
    Err(ProviderError::Failed(Box::new(Simulated(why))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payment_method_chooses_the_behaviour() {
        assert_eq!(Behaviour::of("pm_card_visa"), Behaviour::Succeed);
        assert_eq!(Behaviour::of("sandbox_flaky_3"), Behaviour::FailFirst(3));
        assert_eq!(Behaviour::of("sandbox_flaky_x"), Behaviour::Succeed);
        assert_eq!(
            Behaviour::of("sandbox_ambiguous"),
            Behaviour::LoseFirstAnswer
        );
        assert_eq!(Behaviour::of("sandbox_unavailable"), Behaviour::NeverAnswer);
        let declined = Behaviour::of("pm_card_chargeDeclinedInsufficientFunds");
        assert!(matches!(
            declined,
            Behaviour::Decline {
                code: "insufficient-funds",
                ..
            }
        ));
    }
}
