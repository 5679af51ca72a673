//! The rules of an order, its payment, stock and shipment.
//!
//! Everything here is pure: no I/O, no async, no clock, no AWS, no JSON.
//! Values are checked once, where they enter (constructors return an error),
//! and are trusted from then on.

mod ids;
mod knowledge;
mod money;
mod order;
pub mod payment;
pub mod shipment;
mod status;
mod step;
pub mod stock;
mod text;

pub use ids::{CorrelationId, CustomerId, IdempotencyKey, OrderId, Sku};
pub use knowledge::Knowledge;
pub use money::{Currency, Money};
pub use order::{
    Address, Item, MAX_ITEMS, MAX_TOTAL, NewOrder, OrderFault, PaymentMethod, UnitPrice,
    check_items,
};
pub use status::{OrderStatus, UnknownStatus, evolve};
pub use step::{EventKind, ParseStepError, Step};
pub use stock::{ItemQuantity, Quantity};
pub use text::Rejected;
