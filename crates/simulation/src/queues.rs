//! SQS: standard queues, which promise little.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::event::sqs::{SqsEvent, SqsMessage};
use fastrand::Rng;
use idempotency::Millis;
use message_worker::Attribute;

/// One message in one queue.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// Stays the same when the queue's own policy moves it.
    pub(crate) id: String,
    pub(crate) body: Arc<str>,
    pub(crate) attributes: BTreeMap<String, Attribute>,
    pub(crate) sent_at: Millis,
    pub(crate) visible_at: Millis,
    pub(crate) receives: u32,
    pub(crate) first_received_at: Option<Millis>,
    /// Names the last receive of it.
    pub(crate) handle: String,
    /// Whether the queue's own policy moved it here.
    pub(crate) redriven: bool,
}

/// All queues, by name.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    queues: BTreeMap<String, Vec<Message>>,
    sent: u64,
    received: u64,
    /// Of which body a message is, also when it is gone.
    bodies: BTreeMap<String, Arc<str>>,
}

impl Queues {
    /// Puts a message into a queue and gives its id.
    pub(crate) fn send(
        &mut self,
        queue: &str,
        body: Arc<str>,
        attributes: BTreeMap<String, Attribute>,
        now: Millis,
        delay: Duration,
    ) -> String {
        self.sent += 1;
        let id = format!("message-{}", self.sent);
        self.bodies.insert(id.clone(), Arc::clone(&body));
        let message = Message {
            id: id.clone(),
            body,
            attributes,
            sent_at: now,
            visible_at: now.plus(delay),
            receives: 0,
            first_received_at: None,
            handle: String::new(),
            redriven: false,
        };
        self.put(queue, message);
        id
    }

    fn put(&mut self, queue: &str, message: Message) {
        self.queues
            .entry(queue.to_owned())
            .or_default()
            .push(message);
    }

    /// Gives out visible messages, in any order, and hides them.
    pub(crate) fn receive(
        &mut self,
        queue: &str,
        most: usize,
        now: Millis,
        hidden_for: impl Fn(&mut Rng) -> Duration,
        random: &mut Rng,
    ) -> Vec<Message> {
        let messages = self.queues.entry(queue.to_owned()).or_default();
        let mut visible: Vec<_> = (0..messages.len())
            .filter(|index| messages[*index].visible_at <= now)
            .collect();
        random.shuffle(&mut visible);
        let mut given = Vec::new();
        for index in visible.into_iter().take(most) {
            let message = &mut messages[index];
            self.received += 1;
            message.handle = format!("receipt-{}", self.received);
            message.receives += 1;
            message.first_received_at.get_or_insert(now);
            message.visible_at = now.plus(hidden_for(random));
            given.push(message.clone());
        }
        given
    }

    /// What the queue's own policy does on the next receive: what was received so often
    /// goes to the dead letters. Gives the ids.
    pub(crate) fn redrive(
        &mut self,
        queue: &str,
        to: &str,
        after: u32,
        now: Millis,
    ) -> Vec<String> {
        let messages = self.queues.entry(queue.to_owned()).or_default();
        let too_often = |it: &mut Message| it.receives >= after && it.visible_at <= now;
        let moved: Vec<_> = messages.extract_if(.., too_often).collect();
        let ids = moved.iter().map(|message| message.id.clone()).collect();
        for message in moved {
            let redriven = Message {
                redriven: true,
                receives: 0,
                first_received_at: None,
                visible_at: now,
                ..message
            };
            self.put(to, redriven);
        }
        ids
    }

    /// Deletes a message by the handle of a receive. One that was given out again since
    /// may stay.
    pub(crate) fn delete(&mut self, queue: &str, message: &Message, random: &mut Rng) {
        if let Some(messages) = self.queues.get_mut(queue) {
            messages.retain(|known| {
                known.id != message.id || (known.handle != message.handle && random.bool())
            });
        }
    }

    /// Deletes a message by the handle of its last receive.
    pub(crate) fn delete_by_handle(&mut self, queue: &str, handle: &str) {
        if let Some(messages) = self.queues.get_mut(queue) {
            messages.retain(|known| known.handle != handle);
        }
    }

    /// `false` where the handle is stale.
    pub(crate) fn hide(&mut self, queue: &str, handle: &str, until: Millis) -> bool {
        let messages = self.queues.get_mut(queue).into_iter().flatten();
        let mut messages = messages.filter(|message| message.handle == handle);
        let found = messages.next();
        found.map(|message| message.visible_at = until).is_some()
    }

    /// When the next message of a queue is visible.
    pub(crate) fn next_visible(&self, queue: &str) -> Option<Millis> {
        let messages = self.queues.get(queue).into_iter().flatten();
        messages.map(|message| message.visible_at).min()
    }

    /// Whether a message of this body is in one of the queues.
    pub(crate) fn hold(&self, queues: &[&str], body: &str) -> bool {
        let mut messages = queues
            .iter()
            .filter_map(|queue| self.queues.get(*queue))
            .flatten();
        messages.any(|message| *message.body == *body)
    }

    /// How many messages each queue holds that holds any.
    pub(crate) fn depths(&self) -> BTreeMap<&str, usize> {
        let queues = self
            .queues
            .iter()
            .filter(|(_, messages)| !messages.is_empty());
        queues
            .map(|(name, messages)| (name.as_str(), messages.len()))
            .collect()
    }

    /// The body of a message that there is or was.
    pub(crate) fn body(&self, id: &str) -> Option<Arc<str>> {
        self.bodies.get(id).cloned()
    }

    /// The ids of all messages whose body has this in it.
    pub(crate) fn ids_about(&self, text: &str) -> BTreeSet<String> {
        let bodies = self.bodies.iter().filter(|(_, body)| body.contains(text));
        bodies.map(|(id, _)| id.clone()).collect()
    }
}

/// The event that Lambda makes of a batch.
pub(crate) fn event(queue: &str, messages: &[Message]) -> SqsEvent {
    let mut event = SqsEvent::default();
    event.records = messages
        .iter()
        .map(|message| record(queue, message))
        .collect();
    event
}

fn record(queue: &str, message: &Message) -> SqsMessage {
    let mut record = SqsMessage::default();
    record.message_id = Some(message.id.clone());
    record.receipt_handle = Some(message.handle.clone());
    record.body = Some(message.body.to_string());
    record.event_source_arn = Some(format!("arn:aws:sqs:eu-central-1:000000000000:{queue}"));
    let mut put = |name: &str, value| record.attributes.insert(name.to_owned(), value);
    put("ApproximateReceiveCount", message.receives.to_string());
    put("SentTimestamp", message.sent_at.get().to_string());
    if let Some(at) = message.first_received_at {
        put("ApproximateFirstReceiveTimestamp", at.get().to_string());
    }
    let attributes = message.attributes.iter();
    record.message_attributes = attributes
        .map(|(name, value)| (name.clone(), value.into()))
        .collect();
    record
}
