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

/// What a change of an order brought.
#[derive(Debug, Default)]
pub struct Outbox {
    /// The events that it added, oldest first, as far as the timeline can be read.
    pub events: Vec<Outgoing>,
    /// Where the timeline cannot be read further. Events behind that place wait
    /// for it, also those that later changes add.
    pub unreadable: Option<Unreadable>,
}

/// The first place of a timeline that cannot be read.
#[derive(Debug)]
pub struct Unreadable {
    /// The key of the order's item.
    pub order_id: String,
    /// The sequence number of the event there.
    pub from: usize,
    /// Whether this change brought it, and not an earlier one.
    pub is_new: bool,
    /// What is wrong with it.
    pub error: UnreadableOutbox,
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

/// The events that a change of an order brought.
///
/// A change that added none, or a removal, brings none.
pub fn outgoing(change: &StreamRecord) -> Outbox {
    let mut outbox = Outbox::default();
    let unreadable = |from, is_new, error| Unreadable {
        order_id: order_id(&change.keys),
        from,
        is_new,
        error,
    };
    let (before, after) = match timelines(change) {
        Ok((before, after)) => (before.len(), after),
        Err(error) => {
            outbox.unreadable = Some(unreadable(1, true, error));
            return outbox;
        }
    };
    for (index, entry) in after.iter().enumerate() {
        match read(entry) {
            Ok(event) if index >= before => outbox.events.push(number(event, index + 1)),
            Ok(_) => {}
            Err(error) => {
                outbox.unreadable = Some(unreadable(index + 1, index >= before, error));
                break;
            }
        }
    }
    outbox
}

fn order_id(keys: &Item) -> String {
    match keys.get("orderId") {
        Some(AttributeValue::S(id)) => id.clone(),
        _ => String::new(),
    }
}

/// The timeline before and after.
fn timelines(
    change: &StreamRecord,
) -> Result<(&[AttributeValue], &[AttributeValue]), UnreadableOutbox> {
    if change.new_image.is_empty() {
        return Ok((&[], &[]));
    }
    let (before, after) = (timeline(&change.old_image)?, timeline(&change.new_image)?);
    if after.len() < before.len() {
        return Err(UnreadableOutbox::Timeline);
    }
    Ok((before, after))
}

fn timeline(image: &Item) -> Result<&[AttributeValue], UnreadableOutbox> {
    match image.get("timeline") {
        None => Ok(&[]),
        Some(AttributeValue::L(entries)) => Ok(entries),
        Some(_) => Err(UnreadableOutbox::Timeline),
    }
}

fn read(entry: &AttributeValue) -> Result<Envelope, UnreadableOutbox> {
    let AttributeValue::S(text) = entry else {
        return Err(UnreadableOutbox::Timeline);
    };
    Ok(Envelope::parse(text)?)
}

fn number(mut event: Envelope, place: usize) -> Outgoing {
    event.sequence = u32::try_from(place).ok();
    Outgoing {
        order_id: event.order.to_string(),
        body: event.to_json(),
    }
}
