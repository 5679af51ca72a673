//! Held orders on an SQS queue that an alarm looks at.

use ports::{HeldOrder, HeldOrders, Unavailable};
use serde_json::json;

use crate::clients::Clients;

/// Reports to one queue.
#[derive(Debug, Clone)]
pub struct SqsHeldOrders {
    clients: Clients,
    queue_url: String,
}

impl SqsHeldOrders {
    /// Reports to this queue. The client is made with the first report: hardly a
    /// process makes one.
    pub fn new(clients: Clients, queue_url: String) -> Self {
        Self { clients, queue_url }
    }
}

impl HeldOrders for SqsHeldOrders {
    async fn report(&self, order: &HeldOrder) -> Result<(), Unavailable> {
        let body = json!({
            "orderId": order.order_id,
            "fromSequence": order.from,
            "errorName": "OrderHeld",
            "cause": order.cause,
        });
        self.clients
            .sqs()
            .send_message()
            .queue_url(&self.queue_url)
            .message_body(body.to_string())
            .send()
            .await
            .map_err(|error| Unavailable::new("SQS", error))?;
        Ok(())
    }
}
