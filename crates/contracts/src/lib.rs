//! What travels on the wire.
//!
//! Here the data of messages becomes domain types and domain types become JSON;
//! an envelope keeps its data as raw JSON until it is read. Messages are CloudEvents 1.0 in structured JSON
//! mode ([`Envelope`]); each type and version has a JSON Schema ([`schema`]).

mod command;
mod envelope;
mod event;
mod json;
mod order_request;
mod results;
pub mod saga;
pub mod schema;
mod timestamp;
mod upcast;
mod wire;

pub use command::{Command, CommandMessage};
pub use envelope::{ContractError, Envelope, JsonFault, MessageType, TaskToken, TraceParent, peek};
pub use event::{Event, EventMessage, Lineage, Reason, StoredEvent};
pub use json::{DuplicateKeys, parse_strict};
pub use order_request::{
    Fault, MAX_ORDER_BYTES, RequestError, fingerprint, parse_order, write_order,
};
pub use results::{charge, reservation, shipment, undo};
pub use timestamp::{NotATimestamp, Timestamp};
pub use upcast::newest_version;
