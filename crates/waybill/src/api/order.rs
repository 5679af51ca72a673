//! The API's answers.

use serde::{Deserialize, Serialize};

/// An order as the API shows it. Names and addresses are not among its fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Order {
    pub(crate) order_id: String,
    pub(crate) status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) correlation_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) total: Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) links: Option<Links>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timeline: Option<Vec<TimelineEntry>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<Reason>,
}

/// An amount in minor units.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Money {
    pub(crate) amount: u64,
    pub(crate) currency: String,
}

/// Where the order is found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Links {
    #[serde(rename = "self")]
    pub(crate) itself: String,
}

/// Something that happened to an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TimelineEntry {
    #[serde(rename = "type")]
    pub(crate) event_type: String,
    pub(crate) time: String,
    /// The event's number within its order, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sequence: Option<u64>,
}

/// Why an order failed or needs attention.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reason {
    pub(crate) code: String,
    pub(crate) message: String,
}

/// The answer to an order that was placed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Placed {
    pub(crate) order: Order,
    /// Whether the same key had placed it before.
    pub(crate) replayed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_order_shows_has_no_room_for_personal_data() {
        let body = r#"{"orderId":"o","status":"failed","correlationId":"c",
            "total":{"amount":2500,"currency":"EUR"},"links":{"self":"/orders/o"},
            "timeline":[{"type":"waybill.order.placed.v1","time":"t","data":{"shipTo":{"name":"Ada"}}}],
            "reason":{"code":"out-of-stock","message":"no MUG-RED"},"shipTo":{"name":"Ada"}}"#;
        let order: Order = serde_json::from_str(body).unwrap();
        let shown = serde_json::to_string(&order).unwrap();
        assert!(!shown.contains("Ada"), "{shown}");
        assert_eq!(order.reason.unwrap().code, "out-of-stock");
    }
}
