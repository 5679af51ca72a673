//! The audit trail: one item for each message, written once.

use aws_sdk_dynamodb::Client;
use ports::{AuditEntry, AuditTrail, Unavailable};

use super::{number, text};

/// Appends to one table.
#[derive(Debug, Clone)]
pub struct DynamoAudit {
    client: Client,
    table: String,
}

impl DynamoAudit {
    /// Appends to this table.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }
}

impl AuditTrail for DynamoAudit {
    async fn append(&self, entry: &AuditEntry) -> Result<(), Unavailable> {
        // The key sorts by time and is the same for every delivery of a message.
        let key = format!("{}#{}#{}", entry.time, entry.message_id, entry.message_type);
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("orderId", text(&entry.order_id))
            .item("entry", text(key))
            .item("id", text(&entry.message_id))
            .item("type", text(&entry.message_type))
            .item("time", text(&entry.time))
            .item("source", text(&entry.source))
            .item("correlationId", text(&entry.correlation_id))
            .item("body", text(&entry.body))
            .item("recordedAt", text(&entry.recorded_at))
            .item("expiresAt", number(entry.expires_at));
        let put = match &entry.causation_id {
            Some(causation) => put.item("causationId", text(causation)),
            None => put,
        };
        let put = match entry.sequence {
            Some(sequence) => put.item("sequence", number(sequence)),
            None => put,
        };
        match put
            .condition_expression("attribute_not_exists(orderId)")
            .send()
            .await
        {
            Ok(_) => Ok(()),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|e| e.is_conditional_check_failed_exception()) =>
            {
                Ok(())
            }
            Err(error) => Err(Unavailable::new("DynamoDB", error)),
        }
    }
}
