//! From a stream record to the events that it brings.

use aws_lambda_events::event::dynamodb::StreamRecord;
use contracts::{ContractError, Envelope};
use serde_dynamo::{AttributeValue, Item};

/// An event on its way to the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The order that it belongs to.
    pub order_id: String,
    /// The message, with its sequence number.
    pub body: String,
}

/// A record's timeline is not what this system writes.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableOutbox {
    /// It is not a list of texts, or has become shorter.
    #[error("the timeline is not a growing list of texts")]
    Timeline,
    /// An entry is not an event.
    #[error("an entry of the timeline is not an event")]
    Entry(#[from] ContractError),
}

/// The events that a change of an order brought, oldest first.
///
/// A change that added none, or a removal, brings none.
///
/// # Errors
/// [`UnreadableOutbox`] where the item was not written by this system.
pub fn outgoing(change: &StreamRecord) -> Result<Vec<Outgoing>, UnreadableOutbox> {
    let before = timeline(&change.old_image)?.len();
    let after = timeline(&change.new_image)?;
    let removed = change.new_image.is_empty();
    if after.len() < before && !removed {
        return Err(UnreadableOutbox::Timeline);
    }
    after
        .iter()
        .enumerate()
        .skip(before)
        .map(|(index, entry)| read(index, entry))
        .collect()
}

fn timeline(image: &Item) -> Result<&[AttributeValue], UnreadableOutbox> {
    match image.get("timeline") {
        None => Ok(&[]),
        Some(AttributeValue::L(entries)) => Ok(entries),
        Some(_) => Err(UnreadableOutbox::Timeline),
    }
}

fn read(index: usize, entry: &AttributeValue) -> Result<Outgoing, UnreadableOutbox> {
    let AttributeValue::S(text) = entry else {
        return Err(UnreadableOutbox::Timeline);
    };
    let mut event = Envelope::parse(text)?;
    event.sequence = u32::try_from(index + 1).ok();
    Ok(Outgoing {
        order_id: event.order.to_string(),
        body: event.to_json(),
    })
}
