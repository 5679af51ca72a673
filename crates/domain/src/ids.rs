//! One type for each kind of id, so that they cannot be mixed up.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::text::{Rejected, line, text_type, token};

text_type!(
    /// Who orders. Chosen by the client; with a JWT it must equal the token's subject.
    CustomerId,
    token,
    128,
    "must be 1 to 128 visible ASCII characters without spaces"
);

text_type!(
    /// The client's name for one attempt to order. The same key twice is the same order.
    IdempotencyKey,
    line,
    255,
    "must be 1 to 255 characters without control characters"
);

text_type!(
    /// An article that the stock table knows.
    Sku,
    token,
    64,
    "must be 1 to 64 visible ASCII characters without spaces"
);

text_type!(
    /// Ties all messages, log lines and records of one request together.
    CorrelationId,
    token,
    128,
    "must be 1 to 128 visible ASCII characters without spaces"
);

/// The order's id, a UUID derived from who ordered and under which key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrderId(Uuid);

/// The namespace of order ids. Changing it would give every retried request a second order.
const ORDER_NAMESPACE: Uuid = Uuid::from_u128(0x6f1c_9b52_2b0e_4d5e_9f5a_6c1d_7a10_5e2b);

impl OrderId {
    /// Derives the id (UUIDv5): the same customer and key always give the same order.
    ///
    /// The length of the customer id stands in front, so that no two pairs
    /// of customer and key read as the same name.
    pub fn derive(customer: &CustomerId, key: &IdempotencyKey) -> Self {
        let name = format!("{}:{customer}:{key}", customer.as_str().len());
        Self(Uuid::new_v5(&ORDER_NAMESPACE, name.as_bytes()))
    }
}

impl FromStr for OrderId {
    type Err = Rejected;

    /// Accepts the hyphenated lower-case form that this system writes, and no other:
    /// an id is also a key, and two spellings would be two orders.
    fn from_str(text: &str) -> Result<Self, Rejected> {
        let refused = Rejected("must be an order id: a UUID in lower case with hyphens");
        let id = Uuid::try_parse(text)
            .map(Self)
            .map_err(|_| refused.clone())?;
        if id.to_string() == text {
            Ok(id)
        } else {
            Err(refused)
        }
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(customer: &str, key: &str) -> OrderId {
        OrderId::derive(
            &CustomerId::new(customer).unwrap(),
            &IdempotencyKey::new(key).unwrap(),
        )
    }

    #[test]
    fn the_same_customer_and_key_give_the_same_order() {
        assert_eq!(id("cus_42", "a"), id("cus_42", "a"));
        assert_ne!(id("cus_42", "a"), id("cus_42", "b"));
        assert_ne!(id("cus_42", "a"), id("cus_43", "a"));
    }

    #[test]
    fn a_separator_inside_a_value_does_not_make_two_pairs_equal() {
        assert_ne!(id("a:b", "c"), id("a", "b:c"));
    }

    #[test]
    fn an_order_id_has_one_spelling() {
        let text = id("cus_42", "a").to_string();
        assert_eq!(text.parse::<OrderId>().unwrap().to_string(), text);
        assert!(text.to_uppercase().parse::<OrderId>().is_err());
        assert!(text.replace('-', "").parse::<OrderId>().is_err());
        assert!("".parse::<OrderId>().is_err());
    }
}
