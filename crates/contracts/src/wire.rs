//! JSON shapes that several messages share, and their way to and from domain types.

use domain::{
    Address, Currency, CustomerId, Item, ItemQuantity, Money, NewOrder, PaymentMethod, Quantity,
    Rejected, Sku, UnitPrice,
};
use serde::{Deserialize, Serialize};

use crate::json::{object, objects, whole_number};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LineWire {
    pub(crate) sku: String,
    #[serde(deserialize_with = "whole_number")]
    pub(crate) quantity: u32,
}

impl LineWire {
    pub(crate) fn read_all(lines: &[Self]) -> Result<Vec<ItemQuantity>, Rejected> {
        if lines.is_empty() || lines.len() > domain::MAX_ITEMS {
            return Err(Rejected("items must be 1 to 50 lines"));
        }
        let lines = lines
            .iter()
            .map(|line| {
                Ok(ItemQuantity {
                    sku: Sku::new(&line.sku)?,
                    quantity: Quantity::new(line.quantity)?,
                })
            })
            .collect::<Result<Vec<_>, Rejected>>()?;
        domain::stock::merge_lines(lines)
    }

    pub(crate) fn write_all(lines: &[ItemQuantity]) -> Vec<Self> {
        lines
            .iter()
            .map(|line| Self {
                sku: line.sku.to_string(),
                quantity: line.quantity.get(),
            })
            .collect()
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MoneyWire {
    #[serde(deserialize_with = "whole_number")]
    pub(crate) amount: u64,
    pub(crate) currency: String,
}

impl MoneyWire {
    pub(crate) fn read(&self) -> Result<Money, Rejected> {
        Ok(Money {
            amount: self.amount,
            currency: Currency::new(&self.currency)?,
        })
    }
}

impl From<Money> for MoneyWire {
    fn from(money: Money) -> Self {
        Self {
            amount: money.amount,
            currency: money.currency.to_string(),
        }
    }
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AddressWire {
    pub(crate) name: String,
    pub(crate) line1: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) line2: Option<String>,
    pub(crate) city: String,
    pub(crate) postal_code: String,
    pub(crate) country: String,
}

impl AddressWire {
    pub(crate) fn read(&self) -> Result<Address, Rejected> {
        Address::new(
            &self.name,
            &self.line1,
            self.line2.as_deref(),
            &self.city,
            &self.postal_code,
            &self.country,
        )
    }
}

impl From<&Address> for AddressWire {
    fn from(address: &Address) -> Self {
        Self {
            name: address.name().to_owned(),
            line1: address.line1().to_owned(),
            line2: address.line2().map(str::to_owned),
            city: address.city().to_owned(),
            postal_code: address.postal_code().to_owned(),
            country: address.country().to_owned(),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PricedLineWire {
    pub(crate) sku: String,
    #[serde(deserialize_with = "whole_number")]
    pub(crate) quantity: u32,
    #[serde(deserialize_with = "whole_number")]
    pub(crate) unit_price: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PaymentWire {
    pub(crate) method: String,
}

/// The order as the customer placed it: the request, the stored order and a part of the saga's input.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OrderWire {
    pub(crate) customer_id: String,
    pub(crate) currency: String,
    #[serde(deserialize_with = "objects")]
    pub(crate) items: Vec<PricedLineWire>,
    #[serde(deserialize_with = "object")]
    pub(crate) payment: PaymentWire,
    #[serde(deserialize_with = "object")]
    pub(crate) ship_to: AddressWire,
}

impl OrderWire {
    pub(crate) fn read(&self) -> Result<NewOrder, Rejected> {
        let items = self
            .items
            .iter()
            .map(|item| {
                Ok(Item {
                    sku: Sku::new(&item.sku)?,
                    quantity: Quantity::new(item.quantity)?,
                    unit_price: UnitPrice::new(item.unit_price)?,
                })
            })
            .collect::<Result<Vec<_>, Rejected>>()?;
        NewOrder::new(
            CustomerId::new(&self.customer_id)?,
            Currency::new(&self.currency)?,
            items,
            PaymentMethod::new(&self.payment.method)?,
            self.ship_to.read()?,
        )
        .map_err(|_| Rejected("the order breaks a rule about the order as a whole"))
    }
}

impl From<&NewOrder> for OrderWire {
    fn from(order: &NewOrder) -> Self {
        Self {
            customer_id: order.customer().to_string(),
            currency: order.currency().to_string(),
            items: order
                .items()
                .iter()
                .map(|item| PricedLineWire {
                    sku: item.sku.to_string(),
                    quantity: item.quantity.get(),
                    unit_price: item.unit_price.minor_units(),
                })
                .collect(),
            payment: PaymentWire {
                method: order.payment_method().to_string(),
            },
            ship_to: order.ship_to().into(),
        }
    }
}
