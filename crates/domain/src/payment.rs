//! The payment of an order: what a charge and its undo come to.
//!
//! An action and its undo stand side by side. The undo reads what the action
//! recorded, never what the message claims.

use crate::{Knowledge, Money};

/// What a charge came to; recorded as the step's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Charge {
    /// The customer paid.
    Captured {
        /// What was captured.
        money: Money,
        /// The provider's name for the capture.
        reference: String,
    },
    /// The provider refused; nothing was taken.
    Declined {
        /// Stable, for programs.
        code: String,
        /// For the customer.
        message: String,
    },
}

/// What the undo of a charge came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refund {
    /// The customer got the money back.
    Refunded {
        /// What was given back.
        money: Money,
        /// The provider's name for the refund.
        reference: String,
    },
    /// Nothing had been captured.
    NothingToRefund,
}

/// What the undo has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefundDecision {
    /// Ask the provider to give back whatever was captured under the charge's key.
    AskProvider,
    /// Nothing was captured; the provider need not be asked.
    Nothing,
}

/// Decides what the undo of a charge has to do.
pub fn decide_refund(charge: &Knowledge<Charge>) -> RefundDecision {
    match charge {
        Knowledge::NeverRan | Knowledge::Recorded(Charge::Declined { .. }) => {
            RefundDecision::Nothing
        }
        Knowledge::Recorded(Charge::Captured { .. }) | Knowledge::Unknown => {
            RefundDecision::AskProvider
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_with_an_unknown_outcome_is_refunded_by_asking_the_provider() {
        assert_eq!(
            decide_refund(&Knowledge::Unknown),
            RefundDecision::AskProvider
        );
    }

    #[test]
    fn a_declined_charge_leaves_nothing_to_refund() {
        let declined = Charge::Declined {
            code: "x".into(),
            message: "y".into(),
        };
        let decision = decide_refund(&Knowledge::Recorded(declined));
        assert_eq!(decision, RefundDecision::Nothing);
        assert_eq!(decide_refund(&Knowledge::NeverRan), RefundDecision::Nothing);
    }
}
