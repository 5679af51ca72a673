//! Commands: what the saga asks of one worker.

use domain::{Address, Currency, ItemQuantity, Money, OrderId, PaymentMethod, Rejected, Step};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::envelope::{ContractError, Envelope};
use crate::json::{FromObject, object, objects, whole_number};
use crate::upcast::{VERSIONS, Versions};
use crate::wire::{AddressWire, LineWire};

/// A command with its envelope.
#[derive(Debug)]
pub struct CommandMessage {
    /// The envelope. Its `data` has been read into `command`.
    pub envelope: Envelope,
    /// Which step it asks for.
    pub step: Step,
    /// What it asks.
    pub command: Command,
}

/// What is asked of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Capture a payment.
    Charge {
        /// How much.
        money: Money,
        /// By which means.
        method: PaymentMethod,
    },
    /// Give back what was captured.
    Refund,
    /// Hold stock, all lines or none.
    Reserve {
        /// One line for each article.
        items: Vec<ItemQuantity>,
    },
    /// Make available what was held.
    Release,
    /// Hand over to the warehouse.
    Ship {
        /// One line for each article.
        items: Vec<ItemQuantity>,
        /// Where to.
        ship_to: Address,
    },
    /// Call the shipment off.
    CancelShipment,
}

impl CommandMessage {
    /// Reads a command in the newest version or in an older one.
    ///
    /// # Errors
    /// [`ContractError`]: the body will never be readable.
    pub fn parse(body: &str) -> Result<Self, ContractError> {
        Self::parse_any(body, VERSIONS)
    }

    fn parse_any(body: &str, versions: Versions) -> Result<Self, ContractError> {
        let envelope = Envelope::parse(body)?;
        let kind = envelope.kind()?;
        let step: Step = kind.name.parse().map_err(|_| envelope.unknown_type())?;
        let data = versions.upcast(kind, &envelope.data)?;
        let command = Command::read(step, &data, envelope.order)?;
        Ok(Self {
            envelope,
            step,
            command,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChargeV1 {
    order_id: String,
    #[serde(deserialize_with = "whole_number")]
    amount: u64,
    currency: String,
    method: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UndoV1 {
    order_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReserveV1 {
    order_id: String,
    #[serde(deserialize_with = "objects")]
    items: Vec<LineWire>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ShipV1 {
    order_id: String,
    #[serde(deserialize_with = "objects")]
    items: Vec<LineWire>,
    #[serde(deserialize_with = "object")]
    ship_to: AddressWire,
}

impl Command {
    fn read(step: Step, data: &RawValue, order: OrderId) -> Result<Self, ContractError> {
        match step {
            Step::Charge => {
                let data: ChargeV1 = read(data)?;
                same_order(order, &data.order_id)?;
                Self::read_charge(&data)
            }
            Step::Reserve => {
                let data: ReserveV1 = read(data)?;
                same_order(order, &data.order_id)?;
                Ok(Self::Reserve {
                    items: LineWire::read_all(&data.items)?,
                })
            }
            Step::Ship => {
                let data: ShipV1 = read(data)?;
                same_order(order, &data.order_id)?;
                let items = LineWire::read_all(&data.items)?;
                Ok(Self::Ship {
                    items,
                    ship_to: data.ship_to.read()?,
                })
            }
            Step::Refund | Step::Release | Step::CancelShipment => {
                let data: UndoV1 = read(data)?;
                same_order(order, &data.order_id)?;
                Ok(match step {
                    Step::Refund => Self::Refund,
                    Step::Release => Self::Release,
                    _ => Self::CancelShipment,
                })
            }
        }
    }

    fn read_charge(data: &ChargeV1) -> Result<Self, ContractError> {
        if !(1..=domain::MAX_TOTAL).contains(&data.amount) {
            return Err(Rejected("amount must be 1 to 100000000000 minor units").into());
        }
        let money = Money {
            amount: data.amount,
            currency: Currency::new(&data.currency)?,
        };
        Ok(Self::Charge {
            money,
            method: PaymentMethod::new(&data.method)?,
        })
    }
}

fn read<T: DeserializeOwned>(data: &RawValue) -> Result<T, ContractError> {
    let read: Result<FromObject<T>, _> = serde_json::from_str(data.get());
    read.map(|read| read.0)
        .map_err(|error| ContractError::Data(error.into()))
}

fn same_order(order: OrderId, order_id: &str) -> Result<(), ContractError> {
    if order.to_string() == order_id {
        Ok(())
    } else {
        Err(ContractError::Inconsistent(
            "data.orderId must be the subject",
        ))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ORDER: &str = "0b7e7f0e-6a52-5d5c-9a39-0a2c8a1d9f10";

    fn message(name: &str, data: &Value) -> Value {
        json!({
            "specversion": "1.0", "id": format!("{ORDER}/{name}"), "source": "/waybill/order-saga",
            "type": format!("waybill.{name}.v1"), "subject": ORDER,
            "time": "2026-11-21T17:56:15.859Z", "datacontenttype": "application/json",
            "correlationid": "c-1", "tasktoken": "t", "data": data
        })
    }

    #[track_caller]
    fn check_refused(body: &Value, name: &str) {
        let error = CommandMessage::parse(&body.to_string()).unwrap_err();
        assert_eq!(error.name(), name, "{error:?}");
    }

    #[test]
    fn a_charge_is_read_into_domain_types() {
        let data = json!({"orderId": ORDER, "amount": 2500, "currency": "EUR", "method": "pm"});
        let body = message("payment.charge", &data).to_string();
        let message = CommandMessage::parse(&body).unwrap();
        assert_eq!(message.step, Step::Charge);
        assert_eq!(message.envelope.id, format!("{ORDER}/payment.charge"));
        let Command::Charge { money, method } = message.command else {
            panic!("not a charge")
        };
        assert_eq!(
            (money.to_string().as_str(), method.as_str()),
            ("2500 EUR", "pm")
        );
    }

    /// As if an earlier version of the charge had its money in one text.
    const PAST: Versions = Versions(&[("payment.charge", &[split_money])]);

    fn split_money(mut data: Value) -> Value {
        let money = data["money"].as_str().unwrap_or_default().to_owned();
        if let Some((amount, currency)) = money.split_once(' ') {
            data["amount"] = json!(amount.parse::<u64>().unwrap_or_default());
            data["currency"] = json!(currency);
        }
        data
    }

    #[test]
    fn a_command_of_an_older_version_is_read_as_the_newest() {
        let older = json!({"orderId": ORDER, "money": "2500 EUR", "method": "pm"});
        let newest = json!({"orderId": ORDER, "amount": 2500, "currency": "EUR", "method": "pm"});
        let mut second = message("payment.charge", &newest);
        second["type"] = json!("waybill.payment.charge.v2");
        let parse = |body: &Value| CommandMessage::parse_any(&body.to_string(), PAST);
        let first = parse(&message("payment.charge", &older)).unwrap();
        assert_eq!(first.command, parse(&second).unwrap().command);
        assert_eq!(first.envelope.message_type, "waybill.payment.charge.v1");
        assert!(
            first.envelope.data.get().contains("2500 EUR"),
            "as it was sent"
        );

        second["type"] = json!("waybill.payment.charge.v3");
        assert_eq!(parse(&second).unwrap_err().name(), "UnknownVersion");
        let broken = message(
            "payment.charge",
            &json!({"orderId": ORDER, "money": "2500"}),
        );
        assert_eq!(parse(&broken).unwrap_err().name(), "ContractBroken");
    }

    #[test]
    fn a_body_is_readable_for_all_readers_or_for_none() {
        let deep = "[".repeat(1000) + &"]".repeat(1000);
        for unread in [deep.as_str(), "1e999", r#""\ud800""#, r#"{"a":1,"a":2}"#] {
            let in_data = message("payment.refund", &json!({"orderId": ORDER, "x": "UNREAD"}));
            let mut beside = message("payment.refund", &json!({"orderId": ORDER}));
            beside["extension"] = json!("UNREAD");
            for body in [&in_data, &beside] {
                let body = body.to_string().replace("\"UNREAD\"", unread);
                let error = CommandMessage::parse(&body).unwrap_err();
                assert_eq!(error.name(), "NotAnEnvelope", "{unread}");
            }
        }
    }

    #[test]
    fn lines_of_one_article_are_merged() {
        let items = json!([{"sku":"A","quantity":1},{"sku":"A","quantity":2}]);
        let body = message("stock.reserve", &json!({"orderId": ORDER, "items": items}));
        let message = CommandMessage::parse(&body.to_string()).unwrap();
        let Command::Reserve { items } = message.command else {
            panic!("not a reservation")
        };
        assert_eq!((items.len(), items[0].quantity.get()), (1, 3));
    }

    #[test]
    fn a_command_that_breaks_the_contract_is_refused_by_name() {
        let undo = json!({"orderId": ORDER});
        let good = message("payment.refund", &undo);
        assert!(CommandMessage::parse(&good.to_string()).is_ok());

        let mut other_type = good.clone();
        other_type["type"] = json!("waybill.payment.steal.v1");
        other_type["id"] = json!(format!("{ORDER}/payment.steal"));
        check_refused(&other_type, "UnknownType");

        let mut newer = good.clone();
        newer["type"] = json!("waybill.payment.refund.v2");
        check_refused(&newer, "UnknownVersion");

        let mut other_order = good.clone();
        other_order["data"]["orderId"] = json!("7");
        check_refused(&other_order, "EnvelopeInconsistent");

        let mut other_id = good;
        other_id["id"] = json!("x/payment.refund");
        check_refused(&other_id, "EnvelopeInconsistent");

        let free = json!({"orderId": ORDER, "amount": 0, "currency": "EUR", "method": "pm"});
        check_refused(&message("payment.charge", &free), "ContractBroken");
        check_refused(&message("payment.charge", &undo), "ContractBroken");
        check_refused(&json!({"hello": "world"}), "NotAnEnvelope");
    }

    #[test]
    fn a_message_is_an_object_and_not_an_array_of_its_values() {
        let good = message("payment.refund", &json!({"orderId": ORDER}));
        let values: Value = good.as_object().unwrap().values().cloned().collect();
        check_refused(&values, "NotAnEnvelope");
        let body = message("payment.refund", &json!([ORDER]));
        check_refused(&body, "ContractBroken");
        let items = json!([["A", 1]]);
        let body = message("stock.reserve", &json!({"orderId": ORDER, "items": items}));
        check_refused(&body, "ContractBroken");
    }

    #[test]
    fn an_attribute_of_the_wrong_form_is_refused() {
        let good = message("payment.refund", &json!({"orderId": ORDER}));
        for (attribute, wrong) in [
            ("time", json!("yesterday")),
            ("source", json!("")),
            ("sequence", json!(0)),
            ("sequence", json!(1.5)),
        ] {
            let mut body = good.clone();
            body[attribute] = wrong;
            assert!(
                CommandMessage::parse(&body.to_string()).is_err(),
                "{attribute}"
            );
        }
    }

    #[test]
    fn a_whole_number_may_be_written_with_a_fraction_of_zero() {
        let mut data =
            json!({"orderId": ORDER, "amount": 2500.0, "currency": "EUR", "method": "pm"});
        let body = message("payment.charge", &data).to_string();
        assert!(CommandMessage::parse(&body).is_ok());
        data["amount"] = json!(2500.5);
        check_refused(&message("payment.charge", &data), "ContractBroken");
    }

    #[test]
    fn an_unknown_optional_field_does_no_harm() {
        let mut body = message("payment.refund", &json!({"orderId": ORDER, "note": "new"}));
        body["extension"] = json!("x");
        assert!(CommandMessage::parse(&body.to_string()).is_ok());
    }
}
