//! An order as a customer places it.

use std::fmt;

use crate::money::add_line;
use crate::text::{Rejected, line, text_type, token};
use crate::{Currency, CustomerId, ItemQuantity, Money, Quantity, Sku};

/// The most lines an order has. A reservation must fit one DynamoDB transaction
/// of 100 actions beside the order and the idempotency record.
pub const MAX_ITEMS: usize = 50;

/// The largest total, in minor units.
pub const MAX_TOTAL: u64 = 100_000_000_000;

text_type!(
    /// The payment provider's token for a means of payment. Never a card number.
    PaymentMethod,
    token,
    128,
    "must be 1 to 128 visible ASCII characters without spaces"
);

/// The price of one piece, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnitPrice(u64);

impl UnitPrice {
    /// Accepts 0 (a gift) to 1,000,000,000.
    pub fn new(minor_units: u64) -> Result<Self, Rejected> {
        if minor_units <= 1_000_000_000 {
            Ok(Self(minor_units))
        } else {
            Err(Rejected("must be 0 to 1000000000 minor units"))
        }
    }

    /// Minor units.
    pub fn minor_units(self) -> u64 {
        self.0
    }
}

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What is ordered.
    pub sku: Sku,
    /// How many.
    pub quantity: Quantity,
    /// The price of one.
    pub unit_price: UnitPrice,
}

/// Where the goods go. Personal data: it is never logged, and `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    name: String,
    line1: String,
    line2: Option<String>,
    city: String,
    postal_code: String,
    country: String,
}

impl Address {
    /// Checks the recipient's name: 1 to 200 characters.
    pub fn check_name(value: &str) -> Result<String, Rejected> {
        line(
            value,
            200,
            "must be 1 to 200 characters without control characters",
        )
    }

    /// Checks a line of the street address or the city: 1 to 200 characters.
    pub fn check_line(value: &str) -> Result<String, Rejected> {
        line(
            value,
            200,
            "must be 1 to 200 characters without control characters",
        )
    }

    /// Checks a postal code: 1 to 20 characters.
    pub fn check_postal_code(value: &str) -> Result<String, Rejected> {
        line(
            value,
            20,
            "must be 1 to 20 characters without control characters",
        )
    }

    /// Checks a country: ISO 3166-1 alpha-2, two upper-case letters.
    pub fn check_country(value: &str) -> Result<String, Rejected> {
        if value.len() == 2 && value.bytes().all(|byte| byte.is_ascii_uppercase()) {
            Ok(value.to_owned())
        } else {
            Err(Rejected(
                "must be an ISO 3166-1 code: two upper-case letters, as in DE",
            ))
        }
    }

    /// Checks all parts; the first fault is reported.
    pub fn new(
        name: &str,
        line1: &str,
        line2: Option<&str>,
        city: &str,
        postal_code: &str,
        country: &str,
    ) -> Result<Self, Rejected> {
        Ok(Self {
            name: Self::check_name(name)?,
            line1: Self::check_line(line1)?,
            line2: line2.map(Self::check_line).transpose()?,
            city: Self::check_line(city)?,
            postal_code: Self::check_postal_code(postal_code)?,
            country: Self::check_country(country)?,
        })
    }

    /// The recipient.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Street and number.
    pub fn line1(&self) -> &str {
        &self.line1
    }

    /// What did not fit the first line.
    pub fn line2(&self) -> Option<&str> {
        self.line2.as_deref()
    }

    /// The city.
    pub fn city(&self) -> &str {
        &self.city
    }

    /// The postal code.
    pub fn postal_code(&self) -> &str {
        &self.postal_code
    }

    /// The country, ISO 3166-1 alpha-2.
    pub fn country(&self) -> &str {
        &self.country
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Address({}, hidden)", self.country)
    }
}

/// An order that keeps all the rules, before it has an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOrder {
    customer: CustomerId,
    currency: Currency,
    items: Vec<Item>,
    payment_method: PaymentMethod,
    ship_to: Address,
    total: Money,
}

/// A rule about the order as a whole that was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OrderFault {
    /// There is no line.
    #[error("must have at least one item")]
    NoItems,
    /// There are more than [`MAX_ITEMS`] lines.
    #[error("must have at most 50 items")]
    TooManyItems,
    /// There is nothing to pay: a payment of nothing cannot be charged.
    #[error("the order's total must be at least 1 minor unit")]
    NothingToPay,
    /// The total is over [`MAX_TOTAL`].
    #[error("the order's total must be at most 100000000000 minor units")]
    TotalTooLarge,
    /// All lines of one article together ask for more than a line may.
    #[error("the quantities of one sku must add up to at most 10000")]
    TooManyOfOneSku,
}

impl NewOrder {
    /// Puts checked parts together and checks the rules about the whole.
    pub fn new(
        customer: CustomerId,
        currency: Currency,
        items: Vec<Item>,
        payment_method: PaymentMethod,
        ship_to: Address,
    ) -> Result<Self, OrderFault> {
        let amount = check_items(&items)?;
        let total = Money { amount, currency };
        Ok(Self {
            customer,
            currency,
            items,
            payment_method,
            ship_to,
            total,
        })
    }

    /// Who ordered.
    pub fn customer(&self) -> &CustomerId {
        &self.customer
    }

    /// The currency of all prices.
    pub fn currency(&self) -> Currency {
        self.currency
    }

    /// The lines, as placed.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// How it is paid.
    pub fn payment_method(&self) -> &PaymentMethod {
        &self.payment_method
    }

    /// Where it goes.
    pub fn ship_to(&self) -> &Address {
        &self.ship_to
    }

    /// What it costs.
    pub fn total(&self) -> Money {
        self.total
    }
}

/// Checks the rules about all lines together, and gives the total in minor units.
pub fn check_items(items: &[Item]) -> Result<u64, OrderFault> {
    if items.is_empty() {
        return Err(OrderFault::NoItems);
    }
    if items.len() > MAX_ITEMS {
        return Err(OrderFault::TooManyItems);
    }
    let lines = items.iter().map(|item| ItemQuantity {
        sku: item.sku.clone(),
        quantity: item.quantity,
    });
    crate::stock::merge_lines(lines).map_err(|_| OrderFault::TooManyOfOneSku)?;
    let total = items
        .iter()
        .try_fold(0, |sum, item| {
            add_line(sum, item.unit_price.minor_units(), item.quantity.get())
        })
        .map_err(|_| OrderFault::TotalTooLarge)?;
    match total {
        0 => Err(OrderFault::NothingToPay),
        amount if amount > MAX_TOTAL => Err(OrderFault::TotalTooLarge),
        _ => Ok(total),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(sku: &str, quantity: u32, price: u64) -> Item {
        Item {
            sku: Sku::new(sku).unwrap(),
            quantity: Quantity::new(quantity).unwrap(),
            unit_price: UnitPrice::new(price).unwrap(),
        }
    }

    #[track_caller]
    fn check(items: &[Item], expected: Result<u64, OrderFault>) {
        assert_eq!(check_items(items), expected);
    }

    #[test]
    fn a_total_is_the_sum_of_its_lines() {
        check(&[item("A", 2, 1250), item("B", 1, 0)], Ok(2500));
    }

    #[test]
    fn an_order_without_lines_or_without_a_price_is_refused() {
        check(&[], Err(OrderFault::NoItems));
        check(&[item("A", 2, 0)], Err(OrderFault::NothingToPay));
    }

    #[test]
    fn an_order_beyond_the_limits_is_refused() {
        let many: Vec<_> = (0..51).map(|n| item(&format!("S{n}"), 1, 1)).collect();
        check(&many, Err(OrderFault::TooManyItems));
        check(&many[..50], Ok(50));
        check(
            &[item("A", 10_000, 1_000_000_000)],
            Err(OrderFault::TotalTooLarge),
        );
        check(
            &[item("A", 10_000, 1), item("A", 1, 1)],
            Err(OrderFault::TooManyOfOneSku),
        );
    }

    #[test]
    fn an_address_does_not_show_itself_in_logs() {
        let address = Address::new("Ada", "Street 1", None, "Berlin", "10115", "DE").unwrap();
        assert_eq!(format!("{address:?}"), "Address(DE, hidden)");
    }
}
