//! Orders, each with a customer, a key and an article of its own.

use domain::{CustomerId, IdempotencyKey, OrderId};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Request;

/// A name that no other test uses.
pub fn unique(prefix: &str) -> String {
    format!("{prefix}-{}", &Uuid::new_v4().simple().to_string()[..12])
}

/// An order to place. By default it succeeds: two pieces at 12.50, by a good card, to Berlin.
#[derive(Debug, Clone)]
pub struct Order {
    /// The `Idempotency-Key`.
    pub key: String,
    /// The request's body.
    pub body: Value,
}

impl Order {
    /// An order of one article by a new customer.
    pub fn of(sku: &str) -> Self {
        let body = json!({
            "customerId": unique("customer"),
            "currency": "EUR",
            "items": [{ "sku": sku, "quantity": 2, "unitPrice": 1250 }],
            "payment": { "method": "pm_card_visa" },
            "shipTo": {
                "name": "Ada Example", "line1": "Musterstrasse 1", "city": "Berlin",
                "postalCode": "10115", "country": "DE"
            }
        });
        Self {
            key: unique("key"),
            body,
        }
    }

    /// Pays by another method.
    #[must_use]
    pub fn paid_by(mut self, method: &str) -> Self {
        self.body["payment"]["method"] = json!(method);
        self
    }

    /// Ships to another postal code.
    #[must_use]
    pub fn shipped_to(mut self, postal_code: &str) -> Self {
        self.body["shipTo"]["postalCode"] = json!(postal_code);
        self
    }

    /// Orders so many pieces.
    #[must_use]
    pub fn pieces(mut self, quantity: u64) -> Self {
        self.body["items"][0]["quantity"] = json!(quantity);
        self
    }

    /// Adds a line.
    #[must_use]
    pub fn and(mut self, sku: &str, quantity: u64, unit_price: u64) -> Self {
        let line = json!({ "sku": sku, "quantity": quantity, "unitPrice": unit_price });
        self.body["items"]
            .as_array_mut()
            .expect("items are a list")
            .push(line);
        self
    }

    /// The id that the order will have.
    pub fn id(&self) -> String {
        let customer = CustomerId::new(self.customer()).expect("a customer id");
        let key = IdempotencyKey::new(&self.key).expect("a key");
        OrderId::derive(&customer, &key).to_string()
    }

    /// Who orders.
    pub fn customer(&self) -> &str {
        self.body["customerId"].as_str().unwrap_or_default()
    }

    /// The body of the request.
    pub fn body(&self) -> &Value {
        &self.body
    }

    /// The total, in minor units.
    pub fn total(&self) -> u64 {
        let items = self.body["items"].as_array().cloned().unwrap_or_default();
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        items
            .iter()
            .map(|item| number(&item["quantity"]) * number(&item["unitPrice"]))
            .sum()
    }

    /// The request that places it.
    pub fn request(&self) -> Request {
        Request::post("/orders", self.body.to_string())
            .header("content-type", "application/json")
            .header("idempotency-key", &self.key)
    }
}
