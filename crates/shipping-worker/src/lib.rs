//! Hands orders over to the warehouse and calls shipments off.
//!
//! The pieces move from reserved to shipped in the transaction that records the
//! shipment, and back in the one that records its cancellation.

use contracts::{Command, CommandMessage, Event, saga};
use domain::shipment::{CancelDecision, Cancellation, Shipment, decide_cancel};
use domain::stock::Movement;
use domain::{ItemQuantity, Knowledge, Step};
use idempotency::{ActionOutcome, Clock, ResultJson};
use ports::{Answer, CancelRequest, CommitError, OrderChange, ShipRequest, Warehouse};
use saga_step::{
    Done, Effects, ORDER_ENDED, StepError, action_id, knowledge, order_change, order_ended, stored,
};

/// The hand-over and its undo.
#[derive(Debug)]
pub struct Shipments<W, C> {
    warehouse: W,
    clock: C,
}

const SOURCE: &str = "/waybill/shipping-worker";

impl<W: Warehouse, C: Clock> Shipments<W, C> {
    /// Ships and cancels through this warehouse.
    pub fn new(warehouse: W, clock: C) -> Self {
        Self { warehouse, clock }
    }

    fn change(
        &self,
        message: &CommandMessage,
        event: &Event,
        movement: Movement,
        items: &[ItemQuantity],
    ) -> OrderChange {
        let stock = Some((movement, items));
        order_change(message, event, SOURCE, self.clock.now(), stock)
    }

    /// Calls off whatever the warehouse took on for this order.
    async fn call_off(&self, message: &CommandMessage) -> Result<Cancellation, StepError> {
        let order = message.envelope.order;
        let request = CancelRequest {
            key: &format!("{order}/{}", Step::CancelShipment),
            ship_key: &action_id(message),
            order,
        };
        Ok(self.warehouse.cancel(&request).await?)
    }
}

impl<W: Warehouse, C: Clock> Effects for Shipments<W, C> {
    async fn act(&self, message: &CommandMessage) -> Result<Done, StepError> {
        let Command::Ship { items, ship_to } = &message.command else {
            return Err(message.envelope.unknown_type().into());
        };
        let key = &message.envelope.id;
        let request = ShipRequest {
            key,
            order: message.envelope.order,
            items,
            ship_to,
        };
        let shipment = self.warehouse.ship(&request).await?;
        let change = match &shipment {
            Shipment::Created { reference, items } => {
                let (reference, lines) = (reference.clone(), items.clone());
                let event = Event::ShipmentCreated {
                    reference,
                    items: lines,
                };
                Some(self.change(message, &event, Movement::Ship, items))
            }
            Shipment::Refused { .. } => None,
        };
        Ok(Done {
            result: stored(contracts::shipment::write(&shipment))?,
            change,
            asked: true,
        })
    }

    /// The warehouse took on an order that has ended, or pieces that nobody reserved.
    async fn take_back(
        &self,
        message: &CommandMessage,
        why: &CommitError,
    ) -> Result<Done, StepError> {
        self.call_off(message).await?;
        let (code, message) = match why {
            CommitError::OrderEnded => (ORDER_ENDED, "The order had ended before it was shipped."),
            _ => ("not-reserved", "The pieces are not reserved."),
        };
        let refused = Shipment::Refused {
            code: code.to_owned(),
            message: message.to_owned(),
        };
        Ok(Done {
            result: stored(contracts::shipment::write(&refused))?,
            change: None,
            asked: true,
        })
    }

    async fn undo(
        &self,
        message: &CommandMessage,
        action: &ActionOutcome,
    ) -> Result<Done, StepError> {
        let known = knowledge(action, read)?;
        let decision = decide_cancel(&known);
        let asked = matches!(decision, CancelDecision::AskWarehouse { .. });
        let (cancellation, shipped) = match decision {
            CancelDecision::Nothing => (Cancellation::NothingToCancel, &[][..]),
            CancelDecision::AskWarehouse { shipped } => (self.call_off(message).await?, shipped),
        };
        match cancellation {
            Cancellation::Cancelled { reference } => {
                let result = stored(contracts::undo::write(true, Some(&reference)))?;
                let event = Event::ShipmentCancelled { reference };
                let change = self.change(message, &event, Movement::CancelShipment, shipped);
                Ok(Done {
                    result,
                    change: Some(change),
                    asked,
                })
            }
            // The warehouse must know what it confirmed once: a person has to look.
            Cancellation::NothingToCancel
                if matches!(known, Knowledge::Recorded(Shipment::Created { .. })) =>
            {
                Err(StepError::Damaged(
                    "the warehouse does not know what it confirmed".into(),
                ))
            }
            Cancellation::NothingToCancel => Ok(Done {
                result: stored(contracts::undo::write(false, None))?,
                change: None,
                asked,
            }),
        }
    }

    fn answer(&self, result: &ResultJson) -> Result<Answer, StepError> {
        Ok(match read(result)? {
            Shipment::Created { .. } => Answer::Success(result.as_str().to_owned()),
            Shipment::Refused { code, .. } if code == ORDER_ENDED => order_ended(),
            Shipment::Refused { message, .. } => Answer::Failure {
                error: saga::SHIPMENT_REFUSED,
                cause: message,
            },
        })
    }
}

fn read(result: &ResultJson) -> Result<Shipment, StepError> {
    contracts::shipment::read(result.as_str()).map_err(|error| StepError::Damaged(Box::new(error)))
}
