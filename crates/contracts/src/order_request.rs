//! The body of `POST /orders`: every fault is found, each with its place.

use domain::{
    Address, Currency, CustomerId, Item, NewOrder, PaymentMethod, Quantity, Rejected, Sku,
    UnitPrice,
};
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::json::{parse_strict, whole};
use crate::wire::OrderWire;

/// The largest request, in bytes, that the API reads.
pub const MAX_ORDER_BYTES: usize = 64 * 1024;

/// One fault of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where, as a JSON pointer (RFC 6901) into the request.
    pub pointer: String,
    /// What is wrong and what is wanted.
    pub detail: String,
}

/// Why a request is not an order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It is not JSON, or names a key twice.
    #[error("the body is not well-formed JSON: {0}")]
    Malformed(String),
    /// It is JSON and breaks the contract or the business rules; all faults are listed.
    #[error("the order has {} fault(s)", .0.len())]
    Invalid(Vec<Fault>),
}

/// Reads an order from a request's body.
///
/// # Errors
/// [`RequestError`], which lists every fault and not only the first.
pub fn parse_order(body: &[u8]) -> Result<NewOrder, RequestError> {
    let value = parse_strict(body).map_err(|error| RequestError::Malformed(error.to_string()))?;
    let mut faults = Faults::default();
    match (read_order(&value, &mut faults), faults.0.is_empty()) {
        (Some(order), true) => Ok(order),
        _ => Err(RequestError::Invalid(faults.0)),
    }
}

/// Writes an order in its one canonical form, which [`parse_order`] reads.
pub fn write_order(order: &NewOrder) -> String {
    // These shapes have text keys and finite numbers only, which always serialise.
    serde_json::to_string(&OrderWire::from(order)).unwrap_or_default()
}

/// A fingerprint of the content: equal for equal orders, however the JSON was laid out.
pub fn fingerprint(order: &NewOrder) -> String {
    let digest = Sha256::digest(write_order(order).as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The most faults that are listed.
const MOST_FAULTS: usize = 100;

#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    /// Notes a fault. Nobody reads more than a hundred, and an answer must not be
    /// many times larger than its request.
    fn add(&mut self, pointer: &str, detail: impl Into<String>) {
        if self.0.len() == MOST_FAULTS {
            return;
        }
        self.0.push(Fault {
            pointer: pointer.to_owned(),
            detail: detail.into(),
        });
    }

    /// Keeps a checked value, or notes its fault.
    fn check<T>(&mut self, pointer: &str, checked: Result<T, Rejected>) -> Option<T> {
        checked
            .map_err(|rejected| self.add(pointer, rejected.0))
            .ok()
    }
}

/// An object of the request, with the keys that it may have.
struct Object<'a> {
    pointer: String,
    map: &'a Map<String, Value>,
}

impl<'a> Object<'a> {
    fn read(value: &'a Value, pointer: &str, known: &[&str], faults: &mut Faults) -> Option<Self> {
        let Value::Object(map) = value else {
            faults.add(pointer, "must be an object");
            return None;
        };
        for key in map.keys().filter(|key| !known.contains(&key.as_str())) {
            let known = known.join(", ");
            faults.add(
                &child(pointer, key),
                format!("is not a known field; known are: {known}"),
            );
        }
        Some(Self {
            pointer: pointer.to_owned(),
            map,
        })
    }

    fn required(&self, key: &str, faults: &mut Faults) -> Option<(&'a Value, String)> {
        let pointer = child(&self.pointer, key);
        let value = self.map.get(key);
        if value.is_none() {
            faults.add(&pointer, "is required");
        }
        value.map(|value| (value, pointer))
    }

    fn text<T>(
        &self,
        key: &str,
        faults: &mut Faults,
        check: impl Fn(&str) -> Result<T, Rejected>,
    ) -> Option<T> {
        let (value, pointer) = self.required(key, faults)?;
        read_text(value, &pointer, faults, check)
    }

    fn optional_text<T>(
        &self,
        key: &str,
        faults: &mut Faults,
        check: impl Fn(&str) -> Result<T, Rejected>,
    ) -> Option<T> {
        let value = self.map.get(key)?;
        read_text(value, &child(&self.pointer, key), faults, check)
    }

    fn integer<T>(
        &self,
        key: &str,
        faults: &mut Faults,
        check: impl Fn(u64) -> Result<T, Rejected>,
    ) -> Option<T> {
        let (value, pointer) = self.required(key, faults)?;
        match value.as_number().and_then(whole) {
            Some(number) => faults.check(&pointer, check(number)),
            None => {
                faults.add(&pointer, "must be a whole number, not negative");
                None
            }
        }
    }

    fn object(&self, key: &str, known: &[&str], faults: &mut Faults) -> Option<Object<'a>> {
        let (value, pointer) = self.required(key, faults)?;
        Object::read(value, &pointer, known, faults)
    }
}

fn read_text<T>(
    value: &Value,
    pointer: &str,
    faults: &mut Faults,
    check: impl Fn(&str) -> Result<T, Rejected>,
) -> Option<T> {
    match value {
        Value::String(text) => faults.check(pointer, check(text)),
        _ => {
            faults.add(pointer, "must be a string");
            None
        }
    }
}

/// Appends a key to a JSON pointer, escaped as RFC 6901 says.
fn child(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

fn read_order(value: &Value, faults: &mut Faults) -> Option<NewOrder> {
    const FIELDS: &[&str] = &["customerId", "currency", "items", "payment", "shipTo"];
    let order = Object::read(value, "", FIELDS, faults)?;
    let customer = order.text("customerId", faults, CustomerId::new);
    let currency = order.text("currency", faults, Currency::new);
    let items = order
        .required("items", faults)
        .and_then(|(value, at)| read_items(value, &at, faults));
    let method = order
        .object("payment", &["method"], faults)
        .and_then(|payment| payment.text("method", faults, PaymentMethod::new));
    let ship_to = read_address(&order, faults);
    // A rule about all lines does not wait for the other fields to be right.
    if let Some(Err(fault)) = items.as_deref().map(domain::check_items) {
        faults.add("/items", fault.to_string());
        return None;
    }
    NewOrder::new(customer?, currency?, items?, method?, ship_to?).ok()
}

fn read_items(value: &Value, pointer: &str, faults: &mut Faults) -> Option<Vec<Item>> {
    let Value::Array(values) = value else {
        faults.add(pointer, "must be an array");
        return None;
    };
    let items: Vec<_> = values
        .iter()
        .enumerate()
        .map(|(index, value)| read_item(value, &child(pointer, &index.to_string()), faults))
        .collect();
    items.into_iter().collect()
}

fn read_item(value: &Value, pointer: &str, faults: &mut Faults) -> Option<Item> {
    let item = Object::read(value, pointer, &["sku", "quantity", "unitPrice"], faults)?;
    let sku = item.text("sku", faults, Sku::new);
    let quantity = item.integer("quantity", faults, |pieces| {
        Quantity::new(u32::try_from(pieces).unwrap_or(u32::MAX))
    });
    let unit_price = item.integer("unitPrice", faults, UnitPrice::new);
    Some(Item {
        sku: sku?,
        quantity: quantity?,
        unit_price: unit_price?,
    })
}

fn read_address(order: &Object<'_>, faults: &mut Faults) -> Option<Address> {
    const FIELDS: &[&str] = &["name", "line1", "line2", "city", "postalCode", "country"];
    let address = order.object("shipTo", FIELDS, faults)?;
    let name = address.text("name", faults, Address::check_name);
    let line1 = address.text("line1", faults, Address::check_line);
    let line2 = address.optional_text("line2", faults, Address::check_line);
    let city = address.text("city", faults, Address::check_line);
    let postal_code = address.text("postalCode", faults, Address::check_postal_code);
    let country = address.text("country", faults, Address::check_country);
    Address::new(
        &name?,
        &line1?,
        line2.as_deref(),
        &city?,
        &postal_code?,
        &country?,
    )
    .ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn valid() -> Value {
        json!({
            "customerId": "cus_42", "currency": "EUR",
            "items": [{ "sku": "MUG-RED", "quantity": 2, "unitPrice": 1250 }],
            "payment": { "method": "pm_card_visa" },
            "shipTo": { "name": "Ada", "line1": "Street 1", "city": "Berlin",
                        "postalCode": "10115", "country": "DE" }
        })
    }

    fn pointers(body: &Value) -> Vec<String> {
        match parse_order(body.to_string().as_bytes()) {
            Err(RequestError::Invalid(faults)) => faults.into_iter().map(|f| f.pointer).collect(),
            other => panic!("expected faults, got {other:?}"),
        }
    }

    #[test]
    fn a_valid_request_is_an_order_with_its_total() {
        let order = parse_order(valid().to_string().as_bytes()).unwrap();
        assert_eq!(order.total().to_string(), "2500 EUR");
    }

    #[test]
    fn what_was_written_reads_back_as_the_same_order() {
        let order = parse_order(valid().to_string().as_bytes()).unwrap();
        assert_eq!(parse_order(write_order(&order).as_bytes()).unwrap(), order);
    }

    #[test]
    fn every_fault_is_listed_with_its_place() {
        let body = json!({
            "customerId": 7, "currency": "euro",
            "items": [{ "sku": "", "quantity": 0, "unitPrice": -1 }, { "sku": "A" }],
            "payment": {}, "shipTo": { "name": "Ada", "city": "\u{0}" }, "a/b~c": 1
        });
        assert_eq!(
            pointers(&body),
            [
                "/a~1b~0c",
                "/customerId",
                "/currency",
                "/items/0/sku",
                "/items/0/quantity",
                "/items/0/unitPrice",
                "/items/1/quantity",
                "/items/1/unitPrice",
                "/payment/method",
                "/shipTo/line1",
                "/shipTo/city",
                "/shipTo/postalCode",
                "/shipTo/country",
            ]
        );
    }

    #[test]
    fn the_list_of_faults_is_bounded() {
        let mut body = valid();
        for number in 0..1000 {
            body[format!("x{number}")] = json!(1);
        }
        assert_eq!(pointers(&body).len(), MOST_FAULTS);
        let mut body = valid();
        body["items"] = json!(vec![json!({}); 1000]);
        assert_eq!(pointers(&body).len(), MOST_FAULTS);
    }

    #[test]
    fn a_rule_about_the_whole_is_reported_beside_other_faults() {
        let mut body = valid();
        body["items"] = json!([]);
        body["currency"] = json!("eu");
        assert_eq!(pointers(&body), ["/currency", "/items"]);
    }

    #[test]
    fn the_layout_of_the_json_does_not_change_the_fingerprint() {
        let compact = parse_order(valid().to_string().as_bytes()).unwrap();
        let pretty = serde_json::to_vec_pretty(&valid()).unwrap();
        assert_eq!(
            fingerprint(&parse_order(&pretty).unwrap()),
            fingerprint(&compact)
        );
        let mut other = valid();
        other["items"][0]["quantity"] = json!(3);
        let other = parse_order(other.to_string().as_bytes()).unwrap();
        assert_ne!(fingerprint(&other), fingerprint(&compact));
    }

    #[test]
    fn a_whole_number_may_be_written_with_a_fraction_of_zero() {
        let mut body = valid();
        body["items"][0]["quantity"] = json!(2.0);
        assert!(parse_order(body.to_string().as_bytes()).is_ok());
        body["items"][0]["quantity"] = json!(2.5);
        assert_eq!(pointers(&body), ["/items/0/quantity"]);
    }

    #[test]
    fn what_is_not_json_is_malformed() {
        for body in ["", "{", "nul", "{\"a\":1,\"a\":1}"] {
            let result = parse_order(body.as_bytes());
            assert!(matches!(result, Err(RequestError::Malformed(_))), "{body}");
        }
        assert_eq!(pointers(&json!([])), [""]);
    }
}
