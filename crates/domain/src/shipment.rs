//! The shipment of an order: what handing over and calling off come to.

use crate::{ItemQuantity, Knowledge};

/// What a hand-over to the warehouse came to; recorded as the step's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shipment {
    /// The warehouse took it on.
    Created {
        /// The warehouse's name for the shipment.
        reference: String,
        /// What goes out, one line for each article.
        items: Vec<ItemQuantity>,
    },
    /// The warehouse refused; nothing goes out.
    Refused {
        /// Stable, for programs.
        code: String,
        /// For the customer.
        message: String,
    },
}

/// What the undo of a hand-over came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cancellation {
    /// The warehouse called the shipment off.
    Cancelled {
        /// The warehouse's name for the shipment.
        reference: String,
    },
    /// Nothing was on its way.
    NothingToCancel,
}

/// What the undo has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelDecision<'a> {
    /// Ask the warehouse to call off whatever it took on under the action's key,
    /// and put these pieces, which the action had counted as shipped, back to reserved.
    AskWarehouse {
        /// Empty where the action was never recorded: then no piece was moved.
        shipped: &'a [ItemQuantity],
    },
    /// Nothing went out; the warehouse need not be asked.
    Nothing,
}

/// Decides what the undo of a hand-over has to do.
pub fn decide_cancel(shipment: &Knowledge<Shipment>) -> CancelDecision<'_> {
    match shipment {
        Knowledge::NeverRan | Knowledge::Recorded(Shipment::Refused { .. }) => {
            CancelDecision::Nothing
        }
        Knowledge::Recorded(Shipment::Created { items, .. }) => {
            CancelDecision::AskWarehouse { shipped: items }
        }
        Knowledge::Unknown => CancelDecision::AskWarehouse { shipped: &[] },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_recorded_pieces_are_put_back() {
        let nothing_moved = CancelDecision::AskWarehouse { shipped: &[] };
        assert_eq!(decide_cancel(&Knowledge::Unknown), nothing_moved);
        let refused = Shipment::Refused {
            code: "x".into(),
            message: "y".into(),
        };
        let refused = Knowledge::Recorded(refused);
        assert_eq!(decide_cancel(&refused), CancelDecision::Nothing);
    }
}
