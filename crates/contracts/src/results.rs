//! How a step's result is written into its idempotency record, and read by the undo.

use domain::payment::Charge;
use domain::shipment::Shipment;
use domain::stock::Reservation;
use domain::{Rejected, Sku};
use serde::{Deserialize, Serialize};

use crate::envelope::JsonFault;
use crate::wire::{LineWire, MoneyWire};

/// A stored result could not be read: the record is damaged or newer than this code.
#[derive(Debug, thiserror::Error)]
#[error("the stored result cannot be read")]
pub struct UnreadableResult(#[source] Box<dyn std::error::Error + Send + Sync>);

impl From<serde_json::Error> for UnreadableResult {
    fn from(error: serde_json::Error) -> Self {
        // A stored result holds no secrets, but the error goes to the logs all the same.
        Self(Box::new(JsonFault::from(error)))
    }
}

impl From<Rejected> for UnreadableResult {
    fn from(error: Rejected) -> Self {
        Self(Box::new(error))
    }
}

/// Plain shapes always serialise.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// The result of a charge.
pub mod charge {
    use super::*;

    #[derive(Serialize, Deserialize)]
    #[serde(tag = "outcome", rename_all = "lowercase")]
    enum Wire {
        Captured { money: MoneyWire, reference: String },
        Declined { code: String, message: String },
    }

    /// Writes a result.
    pub fn write(charge: &Charge) -> String {
        json(&match charge.clone() {
            Charge::Captured { money, reference } => Wire::Captured {
                money: money.into(),
                reference,
            },
            Charge::Declined { code, message } => Wire::Declined { code, message },
        })
    }

    /// Reads a result.
    pub fn read(text: &str) -> Result<Charge, UnreadableResult> {
        Ok(match serde_json::from_str(text)? {
            Wire::Captured { money, reference } => Charge::Captured {
                money: money.read()?,
                reference,
            },
            Wire::Declined { code, message } => Charge::Declined { code, message },
        })
    }
}

/// The result of a reservation.
pub mod reservation {
    use super::*;

    #[derive(Serialize, Deserialize)]
    #[serde(tag = "outcome", rename_all = "kebab-case")]
    enum Wire {
        Reserved { items: Vec<LineWire> },
        OutOfStock { skus: Vec<String> },
    }

    /// Writes a result.
    pub fn write(reservation: &Reservation) -> String {
        json(&match reservation {
            Reservation::Reserved { items } => Wire::Reserved {
                items: LineWire::write_all(items),
            },
            Reservation::OutOfStock { skus } => Wire::OutOfStock {
                skus: skus.iter().map(ToString::to_string).collect(),
            },
        })
    }

    /// Reads a result.
    pub fn read(text: &str) -> Result<Reservation, UnreadableResult> {
        Ok(match serde_json::from_str(text)? {
            Wire::Reserved { items } => Reservation::Reserved {
                items: LineWire::read_all(&items)?,
            },
            Wire::OutOfStock { skus } => {
                let skus = skus
                    .iter()
                    .map(|sku| Sku::new(sku))
                    .collect::<Result<_, _>>()?;
                Reservation::OutOfStock { skus }
            }
        })
    }
}

/// The result of a hand-over to the warehouse.
pub mod shipment {
    use super::*;

    #[derive(Serialize, Deserialize)]
    #[serde(tag = "outcome", rename_all = "lowercase")]
    enum Wire {
        Created {
            reference: String,
            items: Vec<LineWire>,
        },
        Refused {
            code: String,
            message: String,
        },
    }

    /// Writes a result.
    pub fn write(shipment: &Shipment) -> String {
        json(&match shipment.clone() {
            Shipment::Created { reference, items } => Wire::Created {
                reference,
                items: LineWire::write_all(&items),
            },
            Shipment::Refused { code, message } => Wire::Refused { code, message },
        })
    }

    /// Reads a result.
    pub fn read(text: &str) -> Result<Shipment, UnreadableResult> {
        Ok(match serde_json::from_str(text)? {
            Wire::Created { reference, items } => Shipment::Created {
                reference,
                items: LineWire::read_all(&items)?,
            },
            Wire::Refused { code, message } => Shipment::Refused { code, message },
        })
    }
}

/// The result of an undo.
pub mod undo {
    use super::*;

    #[derive(Serialize)]
    struct Wire<'a> {
        undone: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        reference: Option<&'a str>,
    }

    /// Writes a result: whether there was anything to undo, and the outside party's reference.
    pub fn write(undone: bool, reference: Option<&str>) -> String {
        json(&Wire { undone, reference })
    }
}

#[cfg(test)]
mod tests {
    use domain::{Currency, ItemQuantity, Money, Quantity};

    use super::*;

    #[test]
    fn every_result_reads_back_as_it_was_written() {
        let money = Money {
            amount: 7,
            currency: Currency::new("EUR").unwrap(),
        };
        let text = || "x".to_owned();
        for result in [
            Charge::Captured {
                money,
                reference: text(),
            },
            Charge::Declined {
                code: text(),
                message: text(),
            },
        ] {
            assert_eq!(charge::read(&charge::write(&result)).unwrap(), result);
        }
        let sku = Sku::new("A").unwrap();
        let items = vec![ItemQuantity {
            sku: sku.clone(),
            quantity: Quantity::new(2).unwrap(),
        }];
        for result in [
            Reservation::Reserved {
                items: items.clone(),
            },
            Reservation::OutOfStock { skus: vec![sku] },
        ] {
            assert_eq!(
                reservation::read(&reservation::write(&result)).unwrap(),
                result
            );
        }
        for result in [
            Shipment::Created {
                reference: text(),
                items,
            },
            Shipment::Refused {
                code: text(),
                message: text(),
            },
        ] {
            assert_eq!(shipment::read(&shipment::write(&result)).unwrap(), result);
        }
    }
}
