//! Errors as clients see them: RFC 9457 problem documents.

use contracts::Fault;
use serde::Serialize;

/// Something that keeps a request from being carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The body is not JSON.
    MalformedRequest(String),
    /// There is no `Idempotency-Key`.
    MissingIdempotencyKey,
    /// The key is too long or has control characters.
    InvalidIdempotencyKey(&'static str),
    /// The body is over the limit.
    PayloadTooLarge,
    /// The body is not declared as JSON.
    UnsupportedMediaType,
    /// The order breaks the contract or a rule.
    InvalidOrder(Vec<Fault>),
    /// The key was used for another order.
    IdempotencyKeyReused,
    /// The order names another customer than the caller.
    NotYourOrder,
    /// There is no such order, or it is another customer's.
    OrderNotFound,
    /// The order cannot be stored or read now.
    Unavailable,
}

/// The document. It carries no internal text: what went wrong inside is in the
/// logs, under the correlation id.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    #[serde(rename = "type")]
    problem_type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    correlation_id: &'a str,
    #[serde(skip_serializing_if = "<[Fault]>::is_empty")]
    errors: &'a [Fault],
}

impl Problem {
    /// The stable name: the last part of the document's `type`, and a metric's dimension.
    pub fn name(&self) -> &'static str {
        match self {
            Self::MalformedRequest(_) => "malformed-request",
            Self::MissingIdempotencyKey => "missing-idempotency-key",
            Self::InvalidIdempotencyKey(_) => "invalid-idempotency-key",
            Self::PayloadTooLarge => "payload-too-large",
            Self::UnsupportedMediaType => "unsupported-media-type",
            Self::InvalidOrder(_) => "invalid-order",
            Self::IdempotencyKeyReused => "idempotency-key-reused",
            Self::NotYourOrder => "not-your-order",
            Self::OrderNotFound => "order-not-found",
            Self::Unavailable => "unavailable",
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::MalformedRequest(_)
            | Self::MissingIdempotencyKey
            | Self::InvalidIdempotencyKey(_) => 400,
            Self::NotYourOrder => 403,
            Self::OrderNotFound => 404,
            Self::PayloadTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::InvalidOrder(_) | Self::IdempotencyKeyReused => 422,
            Self::Unavailable => 503,
        }
    }

    fn title(&self) -> &'static str {
        match self {
            Self::MalformedRequest(_) => "The body is not well-formed JSON",
            Self::MissingIdempotencyKey => "The Idempotency-Key header is missing",
            Self::InvalidIdempotencyKey(_) => "The Idempotency-Key header is invalid",
            Self::PayloadTooLarge => "The body is too large",
            Self::UnsupportedMediaType => "The body must be JSON",
            Self::InvalidOrder(_) => "The order is invalid",
            Self::IdempotencyKeyReused => "The idempotency key was used for another order",
            Self::NotYourOrder => "The order names another customer",
            Self::OrderNotFound => "There is no such order",
            Self::Unavailable => "The service is unavailable",
        }
    }

    fn detail(&self) -> &str {
        match self {
            Self::MalformedRequest(detail) => detail,
            Self::MissingIdempotencyKey => {
                "Send a header Idempotency-Key that is unique for this order, and the same on a retry."
            }
            Self::InvalidIdempotencyKey(detail) => detail,
            Self::PayloadTooLarge => "Send at most 65536 bytes.",
            Self::UnsupportedMediaType => "Send the order with Content-Type: application/json.",
            Self::InvalidOrder(_) => {
                "Correct the fields listed in errors, and send the order again."
            }
            Self::IdempotencyKeyReused => {
                "This key belongs to an order with other content. Use a new key for a new order."
            }
            Self::NotYourOrder => "customerId must be the subject of your token.",
            Self::OrderNotFound => "Check the order id.",
            Self::Unavailable => {
                "Try again with the same Idempotency-Key: the order is then accepted once."
            }
        }
    }

    fn errors(&self) -> &[Fault] {
        match self {
            Self::InvalidOrder(faults) => faults,
            _ => &[],
        }
    }

    /// The document as JSON.
    pub fn document(&self, correlation_id: &str) -> String {
        let document = Document {
            problem_type: format!("urn:waybill:problem:{}", self.name()),
            title: self.title(),
            status: self.status(),
            detail: self.detail(),
            correlation_id,
            errors: self.errors(),
        };
        // Text and numbers always serialise.
        serde_json::to_string(&document).unwrap_or_default()
    }
}
