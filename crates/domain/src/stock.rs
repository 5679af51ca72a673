//! Stock is held all lines or none, and never goes below zero.

use std::collections::BTreeMap;

use crate::Sku;
use crate::text::Rejected;

/// How many pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Quantity(u32);

impl Quantity {
    /// Accepts 1 to 10,000.
    pub fn new(pieces: u32) -> Result<Self, Rejected> {
        if (1..=10_000).contains(&pieces) {
            Ok(Self(pieces))
        } else {
            Err(Rejected("must be 1 to 10000"))
        }
    }

    /// The number of pieces.
    pub fn get(self) -> u32 {
        self.0
    }
}

/// Pieces of one article.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemQuantity {
    /// The article.
    pub sku: Sku,
    /// How many.
    pub quantity: Quantity,
}

/// What a reservation came to; recorded as the step's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reservation {
    /// All lines are held.
    Reserved {
        /// What is held, one line for each article.
        items: Vec<ItemQuantity>,
    },
    /// At least one line was short; nothing is held.
    OutOfStock {
        /// The articles that were short.
        skus: Vec<Sku>,
    },
}

/// Merges the lines of one article, sorted by article.
///
/// One DynamoDB transaction may not touch an item twice, and one order of
/// touching items keeps two reservations from waiting for each other.
pub fn merge_lines(
    lines: impl IntoIterator<Item = ItemQuantity>,
) -> Result<Vec<ItemQuantity>, Rejected> {
    let mut pieces: BTreeMap<Sku, u32> = BTreeMap::new();
    for line in lines {
        let sum = pieces.entry(line.sku).or_default();
        *sum = sum.saturating_add(line.quantity.get());
    }
    pieces
        .into_iter()
        .map(|(sku, sum)| {
            Ok(ItemQuantity {
                sku,
                quantity: Quantity::new(sum)?,
            })
        })
        .collect()
}

/// The stock of one article.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StockLevel {
    /// Can be sold.
    pub available: u64,
    /// Held for orders.
    pub reserved: u64,
    /// Gone to customers.
    pub shipped: u64,
}

/// There are fewer pieces than the movement takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not enough pieces")]
pub struct Shortage;

/// A movement of pieces between the three counts; their sum never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Movement {
    /// Available to reserved.
    Reserve,
    /// Reserved to available; undo of [`Movement::Reserve`].
    Release,
    /// Reserved to shipped.
    Ship,
    /// Shipped to reserved; undo of [`Movement::Ship`].
    CancelShipment,
}

impl StockLevel {
    /// Moves pieces, or refuses where the count they are taken from is too small.
    pub fn apply(self, movement: Movement, quantity: Quantity) -> Result<Self, Shortage> {
        let pieces = u64::from(quantity.get());
        let mut next = self;
        let (from, to) = match movement {
            Movement::Reserve => (&mut next.available, &mut next.reserved),
            Movement::Release => (&mut next.reserved, &mut next.available),
            Movement::Ship => (&mut next.reserved, &mut next.shipped),
            Movement::CancelShipment => (&mut next.shipped, &mut next.reserved),
        };
        *from = from.checked_sub(pieces).ok_or(Shortage)?;
        *to += pieces;
        Ok(next)
    }

    /// All pieces there are.
    pub fn total(self) -> u64 {
        self.available + self.reserved + self.shipped
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn movement() -> impl Strategy<Value = Movement> {
        prop_oneof![
            Just(Movement::Reserve),
            Just(Movement::Release),
            Just(Movement::Ship),
            Just(Movement::CancelShipment),
        ]
    }

    proptest! {
        #[test]
        fn no_movement_makes_or_loses_pieces(
            available in 0u64..100,
            moves in prop::collection::vec((movement(), 1u32..40), 0..50),
        ) {
            let mut level = StockLevel { available, ..StockLevel::default() };
            for (movement, pieces) in moves {
                if let Ok(next) = level.apply(movement, Quantity::new(pieces).unwrap()) {
                    level = next;
                }
                prop_assert_eq!(level.total(), available);
            }
        }
    }

    #[test]
    fn an_undone_movement_leaves_the_stock_as_it_was() {
        let quantity = Quantity::new(3).unwrap();
        let start = StockLevel {
            available: 5,
            reserved: 3,
            shipped: 0,
        };
        for (action, undo) in [
            (Movement::Reserve, Movement::Release),
            (Movement::Ship, Movement::CancelShipment),
        ] {
            let after = start.apply(action, quantity).unwrap();
            assert_ne!(after, start);
            assert_eq!(after.apply(undo, quantity), Ok(start));
        }
    }

    #[test]
    fn lines_of_one_article_become_one() {
        let line = |sku: &str, pieces| ItemQuantity {
            sku: Sku::new(sku).unwrap(),
            quantity: Quantity::new(pieces).unwrap(),
        };
        let merged = merge_lines([line("B", 1), line("A", 2), line("B", 3)]).unwrap();
        assert_eq!(merged, vec![line("A", 2), line("B", 4)]);
        assert!(merge_lines([line("A", 10_000), line("A", 1)]).is_err());
    }
}
