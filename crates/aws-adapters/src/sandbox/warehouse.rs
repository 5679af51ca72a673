//! A warehouse that behaves by the postal code.

use domain::shipment::{Cancellation, Shipment};
use ports::{CancelRequest, ProviderError, ShipRequest, Warehouse};

use super::Simulated;
use super::ledger::{Effect, Ledger, Written};
use super::outage::Switch;

/// Ships and cancels in the ledger.
///
/// | postal code | behaviour |
/// |---|---|
/// | `00000` | refused |
/// | `00001` | always fails transiently |
/// | anything else | ships |
///
/// During an outage (see [`outage_key`](super::outage_key)) nobody is served.
#[derive(Debug, Clone)]
pub struct SandboxWarehouse {
    ledger: Ledger,
    switch: Switch,
}

impl SandboxWarehouse {
    /// A warehouse with this ledger.
    pub fn new(ledger: Ledger) -> Self {
        let switch = Switch::new(&ledger, "warehouse");
        Self { ledger, switch }
    }
}

impl Warehouse for SandboxWarehouse {
    async fn ship(&self, request: &ShipRequest<'_>) -> Result<Shipment, ProviderError> {
        let call = self.switch.call(request.key).await?;
        let shipped = self.ship_once(request).await;
        call.ended().await;
        shipped
    }

    async fn cancel(&self, request: &CancelRequest<'_>) -> Result<Cancellation, ProviderError> {
        let call = self.switch.call(request.key).await?;
        let cancelled = self.cancel_once(request).await;
        call.ended().await;
        cancelled
    }
}

impl SandboxWarehouse {
    async fn ship_once(&self, request: &ShipRequest<'_>) -> Result<Shipment, ProviderError> {
        match request.ship_to.postal_code() {
            "00000" => Ok(Shipment::Refused {
                code: "address-not-served".to_owned(),
                message: "The warehouse does not ship to this address.".to_owned(),
            }),
            "00001" => {
                // What one order asks for says nothing about others.
                let failed = Simulated("it never ships there");
                Err(ProviderError::Failed(Box::new(failed)))
            }
            _ => {
                let reference = format!("sh_{}", request.order);
                let effect = Effect {
                    kind: "shipment",
                    money: None,
                    reference,
                };
                let written = self
                    .ledger
                    .write(request.order, request.key, &effect)
                    .await?;
                // A shipment that was called off does not become one by asking again.
                if matches!(
                    written,
                    Written::Barred | Written::Before { called_off: true }
                ) {
                    return Ok(Shipment::Refused {
                        code: "called-off".to_owned(),
                        message: "The shipment was called off.".to_owned(),
                    });
                }
                let items = request.items.to_vec();
                Ok(Shipment::Created {
                    reference: effect.reference,
                    items,
                })
            }
        }
    }

    async fn cancel_once(
        &self,
        request: &CancelRequest<'_>,
    ) -> Result<Cancellation, ProviderError> {
        let shipped = self
            .ledger
            .find_or_bar(request.order, request.ship_key)
            .await?;
        let Some((_, reference)) = shipped else {
            return Ok(Cancellation::NothingToCancel);
        };
        let effect = Effect {
            kind: "shipment-cancelled",
            money: None,
            reference,
        };
        self.ledger
            .write_undo(request.order, request.key, &effect, request.ship_key)
            .await?;
        Ok(Cancellation::Cancelled {
            reference: effect.reference,
        })
    }
}
