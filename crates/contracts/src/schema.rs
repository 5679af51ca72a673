//! The JSON Schemas, one file for each message type and version: they are the contract.

use std::sync::OnceLock;

use sha2::{Digest, Sha256};

/// A schema file.
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    /// The message type that it describes, as `waybill.payment.charge.v1`.
    pub message_type: &'static str,
    /// The file's text.
    pub text: &'static str,
}

macro_rules! schemas {
    ($($message_type:literal),+ $(,)?) => {
        /// All schemas of messages.
        pub const MESSAGES: &[Schema] = &[$(Schema {
            message_type: $message_type,
            text: include_str!(concat!("../schemas/", $message_type, ".json")),
        }),+];
    };
}

schemas!(
    "waybill.payment.charge.v1",
    "waybill.payment.refund.v1",
    "waybill.stock.reserve.v1",
    "waybill.stock.release.v1",
    "waybill.shipment.create.v1",
    "waybill.shipment.cancel.v1",
    "waybill.order.placed.v1",
    "waybill.payment.captured.v1",
    "waybill.payment.declined.v1",
    "waybill.payment.refunded.v1",
    "waybill.stock.reserved.v1",
    "waybill.stock.rejected.v1",
    "waybill.stock.released.v1",
    "waybill.shipment.created.v1",
    "waybill.shipment.cancelled.v1",
    "waybill.order.completed.v1",
    "waybill.order.failed.v1",
    "waybill.order.needs-attention.v1",
);

/// The schema of the body of `POST /orders`.
pub const ORDER_REQUEST: Schema = Schema {
    message_type: "order-request.v1",
    text: include_str!("../schemas/order-request.v1.json"),
};

impl Schema {
    /// The schema of a message type, if there is one.
    pub fn find(message_type: &str) -> Option<&'static Self> {
        MESSAGES
            .iter()
            .find(|schema| schema.message_type == message_type)
    }

    /// The schema's `$id`.
    pub fn id(&self) -> String {
        format!("urn:waybill:schema:{}", self.message_type)
    }

    /// SHA-256 of the file, in hex: says which text of the contract a message was held against.
    ///
    /// Told with each message, so it is computed once.
    pub fn hash(&self) -> String {
        static HASHES: [OnceLock<String>; MESSAGES.len()] =
            [const { OnceLock::new() }; MESSAGES.len()];
        let known = MESSAGES
            .iter()
            .position(|it| it.message_type == self.message_type);
        match known.and_then(|place| HASHES.get(place)) {
            Some(hash) => hash.get_or_init(|| self.compute_hash()).clone(),
            None => self.compute_hash(),
        }
    }

    fn compute_hash(&self) -> String {
        let digest = Sha256::digest(self.text.as_bytes());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
