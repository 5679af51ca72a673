//! Money is integer minor units with a currency; there are no fractions and no floats.

use std::fmt;

use crate::text::Rejected;

/// An ISO 4217 code: three upper-case letters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency([u8; 3]);

impl Currency {
    /// Checks the form of the code. Whether a provider accepts it is the provider's to say.
    pub fn new(code: &str) -> Result<Self, Rejected> {
        let refused = Rejected("must be an ISO 4217 code: three upper-case letters, as in EUR");
        let bytes: [u8; 3] = code.as_bytes().try_into().map_err(|_| refused.clone())?;
        if bytes.iter().all(u8::is_ascii_uppercase) {
            Ok(Self(bytes))
        } else {
            Err(refused)
        }
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        // The constructor accepts ASCII only.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// An amount in minor units (cents), never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    /// Minor units.
    pub amount: u64,
    /// The currency of the amount.
    pub currency: Currency,
}

/// A sum left the range of the type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Overflow;

/// Adds `quantity` times `unit_price` minor units to an amount.
pub(crate) fn add_line(amount: u64, unit_price: u64, quantity: u32) -> Result<u64, Overflow> {
    let line = unit_price.checked_mul(u64::from(quantity));
    line.and_then(|line| amount.checked_add(line))
        .ok_or(Overflow)
}

impl fmt::Display for Money {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.amount, self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_three_upper_case_letters_are_a_currency() {
        assert_eq!(Currency::new("EUR").unwrap().as_str(), "EUR");
        for wrong in ["eur", "EURO", "", "E1R", "ÄÖ"] {
            assert!(Currency::new(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_sum_that_leaves_the_range_is_an_error_and_not_a_small_number() {
        assert_eq!(add_line(0, 1250, 2), Ok(2500));
        assert_eq!(add_line(0, u64::MAX, 2), Err(Overflow));
        assert_eq!(add_line(0, u64::MAX, 1), Ok(u64::MAX));
        assert_eq!(add_line(u64::MAX, 1, 1), Err(Overflow));
    }
}
