//! Starts the saga of a placed order, once.
//!
//! The execution is named after the order, so that a second start of the same
//! order is impossible, however often the event is delivered.

use contracts::{ContractError, EventMessage, saga};
use domain::{NewOrder, OrderId};
use message_worker::{Delivery, Description, Failure, Handler, RecordContext};
use ports::{SagaStart, Sagas, describe};

/// Handles `order.placed`.
#[derive(Debug)]
pub struct SagaStarter<S> {
    sagas: S,
}

impl<S: Sagas> SagaStarter<S> {
    /// Starts sagas through this port.
    pub fn new(sagas: S) -> Self {
        Self { sagas }
    }
}

/// A placed order and the input of its saga.
#[derive(Debug)]
pub struct PlacedOrder {
    id: OrderId,
    input: String,
}

impl PlacedOrder {
    fn parse(body: &str) -> Result<Self, ContractError> {
        let message = EventMessage::parse(body)?;
        let order: NewOrder = message.placed_order()?;
        let envelope = message.envelope;
        let correlation = envelope.correlation.as_str();
        let trace = envelope.trace.as_ref();
        let input = saga::input(envelope.order, &order, correlation, &envelope.id, trace);
        Ok(Self {
            id: envelope.order,
            input,
        })
    }
}

impl<S: Sagas> Handler for SagaStarter<S> {
    type Message = PlacedOrder;
    type Output = &'static str;
    type Error = Failure;

    fn decode(&self, delivery: &Delivery) -> Result<PlacedOrder, Failure> {
        PlacedOrder::parse(delivery.body())
            .map_err(|error| Failure::poison(error.name()).caused_by(error))
    }

    async fn handle(
        &self,
        placed: PlacedOrder,
        _context: &RecordContext,
    ) -> Result<&'static str, Failure> {
        let started = self.sagas.start(placed.id, &placed.input).await;
        let start =
            started.map_err(|error| Failure::transient("SagaUnavailable").caused_by(error))?;
        tracing::info!(order_id = %placed.id, ?start, "saga");
        Ok(match start {
            SagaStart::Started => "the saga was started",
            SagaStart::AlreadyExists => "the saga had been started before",
        })
    }

    fn describe(&self, delivery: &Delivery) -> Description {
        describe(delivery.body())
    }
}
