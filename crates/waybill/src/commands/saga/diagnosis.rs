//! What an order that needs attention lacks, and what would finish it.

use domain::{OrderStatus, Step};
use serde::Serialize;

use crate::records::order::{Attempt, StoredOrder};
use crate::records::steps::{Stage, Stands, StepState, undo_of};

/// What would finish an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "cure")]
pub(crate) enum Cure {
    /// It does not need attention.
    None,
    /// An attempt has it already.
    UnderWay {
        /// Which.
        attempt: Attempt,
    },
    /// It is paid, reserved and shipped, and nothing was undone: its end is missing.
    Complete,
    /// What stands, or may stand, is to be undone.
    Undo {
        /// The undos that have something to do, or may have.
        missing: Vec<Missing>,
    },
}

/// An undo that is not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Missing {
    /// `payment.refund`, `stock.release` or `shipment.cancel`.
    pub(crate) undo: &'static str,
    /// What its action did.
    pub(crate) effect: String,
}

/// Finds what is missing.
pub(crate) fn diagnose(order: &StoredOrder, steps: &[StepState]) -> Cure {
    if order.status != Some(OrderStatus::NeedsAttention) {
        return Cure::None;
    }
    if let Some(attempt) = &order.recovery {
        let attempt = attempt.clone();
        return Cure::UnderWay { attempt };
    }
    if has_everything(steps) {
        return Cure::Complete;
    }
    Cure::Undo {
        missing: missing(steps),
    }
}

/// Whether an undo of the order was asked for, by an attempt or by a command on the bus.
/// It may still be in a queue: whether the order is to be completed, a person says.
pub(crate) fn undo_was_asked(order: &StoredOrder, sent: &[String]) -> bool {
    let mut attempts = order.recoveries.iter().chain(&order.recovery);
    let is_undo = |name: &String| name.parse::<Step>().is_ok_and(Step::is_undo);
    attempts.any(|attempt| attempt.mode == "undo") || sent.iter().any(is_undo)
}

/// The undos that are not done, in the order in which they are tried.
pub(crate) fn missing(steps: &[StepState]) -> Vec<Missing> {
    let standing = steps.iter().rev().filter(|step| step.stands != Stands::No);
    standing
        .map(|step| Missing {
            undo: undo_of(step.step).as_str(),
            effect: step.effect.clone(),
        })
        .collect()
}

fn has_everything(steps: &[StepState]) -> bool {
    let stands = |step: &StepState| step.stage == Stage::Completed && step.stands == Stands::Yes;
    let has = |action: Step| steps.iter().any(|step| step.step == action && stands(step));
    [Step::Charge, Step::Reserve, Step::Ship]
        .into_iter()
        .all(has)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::order::tests::order;
    use crate::records::steps::tests::{CAPTURED, RESERVED, SHIPPED, absent, completed, undone};

    #[track_caller]
    fn check(steps: &[StepState], expected: &[&str]) {
        match diagnose(&order("needs-attention", &[]), steps) {
            Cure::Undo { missing } => {
                let undos: Vec<_> = missing.iter().map(|missing| missing.undo).collect();
                assert_eq!(undos, expected);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_stands_is_undone_in_reverse() {
        let (charge, reserve) = (
            completed(Step::Charge, CAPTURED),
            completed(Step::Reserve, RESERVED),
        );
        check(
            &[charge.clone(), reserve.clone(), absent(Step::Ship)],
            &["stock.release", "payment.refund"],
        );
        let released = undone(Step::Reserve, RESERVED);
        check(
            &[charge.clone(), released, undone(Step::Ship, SHIPPED)],
            &["payment.refund"],
        );
        let unreadable = completed(Step::Ship, "{}");
        check(
            &[charge, reserve, unreadable],
            &["shipment.cancel", "stock.release", "payment.refund"],
        );
    }

    #[test]
    fn an_order_of_which_everything_is_undone_lacks_its_end_alone() {
        check(&[undone(Step::Charge, CAPTURED)], &[]);
    }

    #[test]
    fn an_order_that_shipped_is_completed_and_not_undone() {
        let steps = [
            completed(Step::Charge, CAPTURED),
            completed(Step::Reserve, RESERVED),
            completed(Step::Ship, SHIPPED),
        ];
        let order = order("needs-attention", &[]);
        assert_eq!(diagnose(&order, &steps), Cure::Complete);
    }

    #[test]
    fn an_undo_was_asked_for_by_an_attempt_or_by_a_command() {
        let sent = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        let untouched = order("needs-attention", &[]);
        let actions = sent(&["payment.charge", "shipment.create", "order.placed"]);
        assert!(!undo_was_asked(&untouched, &actions));
        for undo in ["payment.refund", "stock.release", "shipment.cancel"] {
            assert!(undo_was_asked(&untouched, &sent(&[undo])), "{undo}");
        }
        for mode in ["undo", "complete"] {
            let attempt = Attempt {
                mode: mode.to_owned(),
                ..Attempt::default()
            };
            let mut order = order("needs-attention", &[]);
            order.recoveries = vec![attempt.clone()];
            assert_eq!(undo_was_asked(&order, &[]), mode == "undo");
            order.recoveries.clear();
            order.recovery = Some(attempt);
            assert_eq!(undo_was_asked(&order, &[]), mode == "undo");
        }
    }

    #[test]
    fn an_order_that_needs_no_attention_is_left_alone() {
        for status in OrderStatus::ALL {
            let cure = diagnose(&order(status.as_str(), &[]), &[]);
            assert_eq!(
                cure == Cure::None,
                status != OrderStatus::NeedsAttention,
                "{status}"
            );
        }
    }

    #[test]
    fn an_order_that_somebody_is_at_is_left_to_them() {
        let mut order = order("needs-attention", &[]);
        let attempt = Attempt {
            by: "Ada".to_owned(),
            ..Attempt::default()
        };
        order.recovery = Some(attempt.clone());
        assert_eq!(diagnose(&order, &[]), Cure::UnderWay { attempt });
    }
}
