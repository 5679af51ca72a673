//! What passes between the workers and the state machine: its input and the error names it catches.

use domain::{NewOrder, OrderId};
use serde::Serialize;

use crate::envelope::TraceParent;
use crate::wire::{MoneyWire, OrderWire};

/// The provider refused the payment.
pub const PAYMENT_DECLINED: &str = "Waybill.PaymentDeclined";
/// At least one line was short.
pub const OUT_OF_STOCK: &str = "Waybill.OutOfStock";
/// The warehouse refused.
pub const SHIPMENT_REFUSED: &str = "Waybill.ShipmentRefused";
/// The action came after its undo; it was not carried out and never will be.
pub const ALREADY_UNDONE: &str = "Waybill.AlreadyUndone";
/// The action came after its order had ended; it was not carried out, or was taken back.
pub const ORDER_ENDED: &str = "Waybill.OrderEnded";
/// The undo came after its order had been completed; nothing was undone.
pub const ORDER_COMPLETED: &str = "Waybill.OrderCompleted";
/// The command could not be read; it waits in quarantine.
pub const BAD_MESSAGE: &str = "Waybill.BadMessage";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Input<'a> {
    order_id: String,
    correlation_id: &'a str,
    traceparent: Option<&'a str>,
    causation_id: &'a str,
    order: OrderWire,
    total: MoneyWire,
}

/// Writes the input of an execution.
///
/// It is the same for the same event, because Step Functions accepts a second
/// start under the same name only with the same input.
pub fn input(
    id: OrderId,
    order: &NewOrder,
    correlation_id: &str,
    causation_id: &str,
    trace: Option<&TraceParent>,
) -> String {
    let input = Input {
        order_id: id.to_string(),
        correlation_id,
        traceparent: trace.map(TraceParent::as_str),
        causation_id,
        order: order.into(),
        total: order.total().into(),
    };
    // Text keys and whole numbers always serialise.
    serde_json::to_string(&input).unwrap_or_default()
}
