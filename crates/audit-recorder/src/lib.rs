//! Records every message on the bus: the message history of an order.
//!
//! Task tokens are capabilities and addresses are personal data; neither gets
//! into the record.

use std::time::Duration;

use contracts::schema::Schema;
use contracts::{ContractError, Envelope, Timestamp};
use idempotency::Clock;
use message_worker::{Delivery, Description, Failure, Handler, RecordContext};
use ports::{AuditEntry, AuditTrail, describe};
use serde_json::{Value, json};

/// Handles every message.
#[derive(Debug)]
pub struct AuditRecorder<T, C> {
    trail: T,
    clock: C,
    retention: Duration,
}

impl<T: AuditTrail, C: Clock> AuditRecorder<T, C> {
    /// Records to this trail; entries are kept for `retention`.
    pub fn new(trail: T, clock: C, retention: Duration) -> Self {
        Self {
            trail,
            clock,
            retention,
        }
    }

    fn entry(&self, message: Envelope) -> AuditEntry {
        let now = self.clock.now();
        AuditEntry {
            body: clean(&message),
            order_id: message.order.to_string(),
            message_id: message.id,
            message_type: message.message_type,
            time: message.time,
            source: message.source,
            correlation_id: message.correlation.to_string(),
            causation_id: message.causation,
            sequence: message.sequence,
            expires_at: now.plus(self.retention).to_seconds().get(),
            recorded_at: Timestamp::from_epoch_millis(now.get()).to_string(),
        }
    }
}

impl<T: AuditTrail, C: Clock> Handler for AuditRecorder<T, C> {
    type Message = Envelope;
    type Output = &'static str;
    type Error = Failure;

    fn decode(&self, delivery: &Delivery) -> Result<Envelope, Failure> {
        let poison = |error: ContractError| Failure::poison(error.name()).caused_by(error);
        let message = Envelope::parse(delivery.body()).map_err(poison)?;
        match Schema::find(&message.message_type) {
            Some(_) => Ok(message),
            None => Err(poison(message.unknown_type())),
        }
    }

    async fn handle(
        &self,
        message: Envelope,
        _context: &RecordContext,
    ) -> Result<&'static str, Failure> {
        let appended = self.trail.append(&self.entry(message)).await;
        appended.map_err(|error| Failure::transient("AuditUnavailable").caused_by(error))?;
        Ok("recorded")
    }

    fn describe(&self, delivery: &Delivery) -> Description {
        describe(delivery.body())
    }
}

/// The message without its token, and without where the goods go but for the country.
fn clean(message: &Envelope) -> String {
    // The envelope was parsed from JSON, so that its data is JSON.
    let mut data: Value = serde_json::from_str(message.data.get()).unwrap_or_default();
    if let Some(address) = data.get_mut("shipTo") {
        *address = json!({ "country": address.get("country"), "redacted": true });
    }
    json!({
        "specversion": "1.0",
        "id": message.id,
        "source": message.source,
        "type": message.message_type,
        "subject": message.order.to_string(),
        "time": message.time,
        "datacontenttype": "application/json",
        "correlationid": message.correlation.as_str(),
        "causationid": message.causation,
        "traceparent": message.trace.as_ref().map(|trace| trace.as_str()),
        "sequence": message.sequence,
        "data": data,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_the_wrong_shape_is_removed_too() {
        let order = "0b7e7f0e-6a52-5d5c-9a39-0a2c8a1d9f10";
        let body = json!({
            "specversion": "1.0", "id": format!("{order}/shipment.create"), "source": "/x",
            "type": "waybill.shipment.create.v1", "subject": order,
            "time": "2026-11-21T17:56:15.859Z", "datacontenttype": "application/json",
            "correlationid": "c", "data": { "orderId": order, "shipTo": "Ada, Street 1" }
        });
        let cleaned = clean(&Envelope::parse(&body.to_string()).unwrap());
        assert!(!cleaned.contains("Ada"), "{cleaned}");
    }

    #[test]
    fn a_record_holds_neither_token_nor_address() {
        let order = "0b7e7f0e-6a52-5d5c-9a39-0a2c8a1d9f10";
        let body = json!({
            "specversion": "1.0", "id": format!("{order}/shipment.create"), "source": "/x",
            "type": "waybill.shipment.create.v1", "subject": order, "time": "2026-11-21T17:56:15.859Z",
            "datacontenttype": "application/json", "correlationid": "c", "tasktoken": "SECRET",
            "data": { "orderId": order, "items": [{ "sku": "A", "quantity": 1 }],
                      "shipTo": { "name": "Ada", "line1": "Street", "country": "DE" } }
        });
        let cleaned = clean(&Envelope::parse(&body.to_string()).unwrap());
        for secret in ["SECRET", "tasktoken", "Ada", "Street"] {
            assert!(!cleaned.contains(secret), "{secret} is in {cleaned}");
        }
        let cleaned: Value = serde_json::from_str(&cleaned).unwrap();
        assert_eq!(cleaned["data"]["shipTo"]["country"], "DE");
        assert_eq!(cleaned["data"]["items"][0]["sku"], "A");
    }
}
