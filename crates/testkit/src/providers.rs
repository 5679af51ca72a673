//! The outside parties, which behave by what the order says, as the sandbox does.

use std::collections::{BTreeMap, BTreeSet};

use domain::payment::{Charge, Refund};
use domain::shipment::{Cancellation, Shipment};
use domain::{Money, OrderId};
use ports::{
    CancelRequest, ChargeRequest, PaymentProvider, ProviderError, RefundRequest, ShipRequest,
    Warehouse,
};

use crate::faults::Operation;
use crate::world::World;

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EffectKind {
    /// Money was taken.
    Capture,
    /// Money was given back.
    Refund,
    /// Goods went out.
    Shipment,
    /// Goods were called back.
    ShipmentCancelled,
}

/// One thing that really happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// To which order.
    pub order: OrderId,
    /// Under which idempotency key.
    pub key: String,
    /// What.
    pub kind: EffectKind,
    /// How much, where money moved.
    pub money: Option<Money>,
}

/// Effects, once for each key, keys that were called off, and attempts that
/// failed on purpose.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Ledger {
    effects: Vec<Effect>,
    barred: BTreeSet<String>,
    attempts: BTreeMap<String, u64>,
}

impl Ledger {
    /// Writes an effect, and says whether it is new.
    fn write(&mut self, effect: Effect) -> bool {
        let is_new = self.find(effect.order, &effect.key).is_none();
        if is_new {
            self.effects.push(effect);
        }
        is_new
    }

    fn find(&self, order: OrderId, key: &str) -> Option<&Effect> {
        let mut effects = self.effects.iter();
        effects.find(|effect| effect.order == order && effect.key == key)
    }

    fn count_attempt(&mut self, key: &str) -> u64 {
        let attempts = self.attempts.entry(key.to_owned()).or_default();
        *attempts += 1;
        *attempts
    }

    fn charge(&mut self, request: &ChargeRequest<'_>) -> Result<Charge, ProviderError> {
        match request.method.as_str() {
            "pm_card_chargeDeclined" => return Ok(declined("card-declined")),
            "pm_card_chargeDeclinedInsufficientFunds" => return Ok(declined("insufficient-funds")),
            "sandbox_unavailable" => return Err(failed()),
            method => {
                let failures = method.strip_prefix("sandbox_flaky_");
                if let Some(failures) = failures.and_then(|count| count.parse().ok())
                    && self.count_attempt(request.key) <= failures
                {
                    return Err(failed());
                }
            }
        }
        if self.barred.contains(request.key) {
            return Ok(declined("called-off"));
        }
        let is_new = self.write(Effect {
            order: request.order,
            key: request.key.to_owned(),
            kind: EffectKind::Capture,
            money: Some(request.money),
        });
        if is_new && request.method.as_str() == "sandbox_ambiguous" {
            return Err(ProviderError::OutcomeUnknown(
                "its answer is lost once".into(),
            ));
        }
        Ok(Charge::Captured {
            money: request.money,
            reference: format!("ch_{}", request.order),
        })
    }

    fn refund(&mut self, request: &RefundRequest<'_>) -> Refund {
        let captured = self.find(request.order, request.charge_key);
        let Some(money) = captured.and_then(|capture| capture.money) else {
            // A charge that comes later captures nothing. One that captured
            // before is only told again, as every repetition is.
            self.barred.insert(request.charge_key.to_owned());
            return Refund::NothingToRefund;
        };
        self.write(Effect {
            order: request.order,
            key: request.key.to_owned(),
            kind: EffectKind::Refund,
            money: Some(money),
        });
        Refund::Refunded {
            money,
            reference: format!("re_{}", request.order),
        }
    }

    fn ship(&mut self, request: &ShipRequest<'_>) -> Result<Shipment, ProviderError> {
        match request.ship_to.postal_code() {
            "00000" => {
                return Ok(Shipment::Refused {
                    code: "address-not-served".to_owned(),
                    message: "The warehouse does not ship to this address.".to_owned(),
                });
            }
            "00001" => return Err(failed()),
            _ => {}
        }
        if self.barred.contains(request.key) {
            return Ok(Shipment::Refused {
                code: "called-off".to_owned(),
                message: "The shipment was called off.".to_owned(),
            });
        }
        self.write(Effect {
            order: request.order,
            key: request.key.to_owned(),
            kind: EffectKind::Shipment,
            money: None,
        });
        Ok(Shipment::Created {
            reference: format!("sh_{}", request.order),
            items: request.items.to_vec(),
        })
    }

    fn cancel(&mut self, request: &CancelRequest<'_>) -> Cancellation {
        self.barred.insert(request.ship_key.to_owned());
        if self.find(request.order, request.ship_key).is_none() {
            return Cancellation::NothingToCancel;
        }
        self.write(Effect {
            order: request.order,
            key: request.key.to_owned(),
            kind: EffectKind::ShipmentCancelled,
            money: None,
        });
        Cancellation::Cancelled {
            reference: format!("sh_{}", request.order),
        }
    }
}

fn declined(code: &str) -> Charge {
    Charge::Declined {
        code: code.to_owned(),
        message: "The card was declined.".to_owned(),
    }
}

fn failed() -> ProviderError {
    ProviderError::Failed("the order asks for it".into())
}

impl World {
    /// What really happened at the outside parties, in order.
    pub fn ledger(&self) -> Vec<Effect> {
        self.state().ledger.effects.clone()
    }

    /// What really happened at the outside parties, from the effect of this number on.
    pub fn effects_from(&self, number: usize) -> Vec<Effect> {
        let state = self.state();
        let effects = state.ledger.effects.get(number..);
        effects.unwrap_or_default().to_vec()
    }

    /// Makes the outside parties lose all that they know.
    pub fn forget_effects(&self) {
        self.state().ledger = Ledger::default();
    }

    /// The kinds of what really happened to an order, in order.
    pub fn effects(&self, order: OrderId) -> Vec<EffectKind> {
        let ledger = self.ledger();
        let own = ledger.iter().filter(|effect| effect.order == order);
        own.map(|effect| effect.kind).collect()
    }
}

impl PaymentProvider for World {
    async fn charge(&self, request: &ChargeRequest<'_>) -> Result<Charge, ProviderError> {
        self.call(Operation::Charge, |state| state.ledger.charge(request))
            .await
    }

    async fn refund(&self, request: &RefundRequest<'_>) -> Result<Refund, ProviderError> {
        self.call(Operation::Refund, |state| Ok(state.ledger.refund(request)))
            .await
    }
}

impl Warehouse for World {
    async fn ship(&self, request: &ShipRequest<'_>) -> Result<Shipment, ProviderError> {
        self.call(Operation::Ship, |state| state.ledger.ship(request))
            .await
    }

    async fn cancel(&self, request: &CancelRequest<'_>) -> Result<Cancellation, ProviderError> {
        self.call(Operation::Cancel, |state| Ok(state.ledger.cancel(request)))
            .await
    }
}
