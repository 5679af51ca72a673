//! The queues that are drained, and what is told of a message that lies in one.

use contracts::{Timestamp, peek};

use crate::failure::{Failure, FailureId, Status, Trouble, Value};
use crate::group::group_of;
use crate::ports::DeadLetter;

/// The class of what no worker explained.
pub const UNKNOWN: &str = "unknown";

/// The queue's own redrive policy moved the message: its worker ended, or ran out of
/// time, at each receive.
pub const RECEIVES_EXHAUSTED: &str = "ReceivesExhausted";

/// The bus could not hand the message to the consumer's queue.
pub const DELIVERY_FAILED: &str = "DeliveryFailed";

/// Nothing says why the message is where it is.
pub const UNEXPLAINED: &str = "Unexplained";

/// The attributes in which SNS says why it could not deliver.
const DELIVERY_ERROR: [&str; 2] = ["ErrorCode", "ErrorMessage"];

/// Beside them, and of no use later.
const DELIVERY_REQUEST: &str = "RequestID";

/// No id and no name of ours is longer. They are keys of indexes, where a stranger's
/// text must not make a record impossible to store.
const LONGEST_NAME: usize = 200;

/// No id of a message is longer.
const LONGEST_ID: usize = 100;

/// A queue that is drained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainedQueue {
    /// Its full name.
    pub name: String,
    /// What the port for queues finds it by: its name or its URL.
    pub address: String,
    /// The consumer whose messages it gets; `None` where it gets those of all.
    pub consumer: Option<String>,
    /// Whether it gets what the bus could not deliver.
    pub undelivered: bool,
}

impl DrainedQueue {
    /// The queue of a URL, whose last part is its name. `None` as in [`Self::from_name`].
    pub fn from_url(url: &str) -> Option<Self> {
        let name = url.rsplit('/').next().unwrap_or(url);
        let address = url.to_owned();
        Some(Self {
            address,
            ..Self::from_name(name)?
        })
    }

    /// What the end of a name says of its queue: `…-payment-dlq` and
    /// `…-payment-delivery-dlq` belong to a consumer, `…-quarantine` to none. `None` for
    /// any other name.
    pub fn from_name(name: &str) -> Option<Self> {
        let queue = |consumer, undelivered| Self {
            name: name.to_owned(),
            address: name.to_owned(),
            consumer,
            undelivered,
        };
        if name.ends_with("-quarantine") {
            return Some(queue(None, false));
        }
        let of = name.strip_suffix("-dlq")?;
        let (of, undelivered) = match of.strip_suffix("-delivery") {
            Some(of) => (of, true),
            None => (of, false),
        };
        let consumer = of.rsplit('-').next().filter(|it| !it.is_empty())?;
        Some(queue(Some(consumer.to_owned()), undelivered))
    }

    /// Whether a person who writes `name` means this queue: its full name, or the name
    /// without the stack's in front, such as `payment-dlq`.
    pub fn is_meant_by(&self, name: &str) -> bool {
        let in_front = self.name.strip_suffix(name);
        !name.is_empty() && in_front.is_some_and(|rest| rest.is_empty() || rest.ends_with('-'))
    }

    /// The record of a message that is found here for the first time.
    pub(crate) fn failure(&self, letter: &DeadLetter, now: Timestamp) -> Failure {
        let trouble = self.trouble(letter, now);
        let consumer = self.consumer(letter);
        let told = peek(&letter.letter.body);
        let record = letter.record.as_ref();
        let correlation = record.and_then(|record| record.correlation_id.clone());
        Failure {
            id: id_of(letter),
            version: 1,
            status: Status::Waiting,
            group: group_of(&consumer, &trouble),
            consumer,
            letter: self.letter(letter),
            message_type: told.message_type.clone().and_then(presentable),
            event_id: told.id.clone().and_then(presentable),
            order_id: told.subject.clone().and_then(presentable),
            correlation_id: correlation
                .and_then(presentable)
                .or_else(|| told.correlation().map(|id| id.to_string())),
            schema: record.and_then(|record| record.schema.clone()),
            schema_hash: record.and_then(|record| record.schema_hash.clone()),
            first_seen: record.and_then(|record| record.first_seen.clone()),
            trouble,
            stored_at: now,
            failed: 1,
            automatic_replays: 0,
            dead_letters: vec![letter.message_id.clone()],
            replay: None,
            resolution: None,
            edit_of: None,
            edited_as: None,
            note: None,
            history: Vec::new(),
            expires_at: None,
        }
    }

    /// What went wrong with a message, as far as it can be told.
    pub(crate) fn trouble(&self, letter: &DeadLetter, now: Timestamp) -> Trouble {
        let unknown = |name: &str, cause| Trouble {
            class: UNKNOWN.to_owned(),
            name: name.to_owned(),
            cause,
            attempts: 0,
            // What SQS itself moves keeps the time of its first sending, which says nothing.
            failed_at: now,
            found_in: letter.queue.clone(),
            message_id: letter.message_id.clone(),
            source_queue: None,
            source_message_id: None,
        };
        match &letter.record {
            Some(record) => Trouble {
                class: record.error_class.clone(),
                // A body that was refused before belongs to the error that refused it.
                name: record.group_name().to_owned(),
                cause: record.cause.clone(),
                attempts: record.attempts,
                // A clock that is ahead must not put it before all that is to come.
                failed_at: moment(&record.failed_at)
                    .unwrap_or(Timestamp::from_epoch_millis(letter.sent_at))
                    .min(now),
                source_queue: record.source_queue.clone().and_then(presentable),
                source_message_id: presentable(record.message_id.clone()),
                ..unknown(UNKNOWN, Vec::new())
            },
            None if self.undelivered => unknown(DELIVERY_FAILED, delivery_error(letter)),
            None if letter.redriven => Trouble {
                // The drain's own receive is counted as well.
                attempts: letter.receives.saturating_sub(1),
                ..unknown(RECEIVES_EXHAUSTED, Vec::new())
            },
            None => unknown(UNEXPLAINED, Vec::new()),
        }
    }

    /// The queue knows its consumer better than a message may say.
    fn consumer(&self, letter: &DeadLetter) -> String {
        let said = letter.record.as_ref().map(|record| record.consumer.clone());
        let own = self.consumer.clone();
        own.or(said.and_then(presentable))
            .unwrap_or_else(|| UNKNOWN.to_owned())
    }

    /// The message as its sender sent it.
    fn letter(&self, letter: &DeadLetter) -> crate::Letter {
        let mut own = letter.letter.clone();
        if self.undelivered {
            own.attributes.remove(DELIVERY_REQUEST);
            for name in DELIVERY_ERROR {
                own.attributes.remove(name);
            }
        }
        own
    }
}

/// A worker that ends between its move and its answer to the queue moves the message
/// twice. Both have the id that it had before.
fn id_of(letter: &DeadLetter) -> FailureId {
    let source = letter.record.as_ref().map(|record| &record.message_id);
    let source = source.filter(|id| is_plausible(id));
    FailureId::new(source.unwrap_or(&letter.message_id))
}

/// SQS's own ids are of this kind.
fn is_plausible(id: &str) -> bool {
    !id.is_empty() && id.len() <= LONGEST_ID && !id.contains(char::is_control)
}

fn delivery_error(letter: &DeadLetter) -> Vec<String> {
    let text = |name: &&str| match letter.letter.attributes.get(*name) {
        Some(Value::Text { value, .. }) => Some(value.clone()),
        _ => None,
    };
    DELIVERY_ERROR.iter().filter_map(text).collect()
}

fn presentable(text: String) -> Option<String> {
    let fits = !text.is_empty() && text.len() <= LONGEST_NAME && !text.contains(char::is_control);
    fits.then_some(text)
}

/// A worker writes milliseconds without zeros at their end.
fn moment(text: &str) -> Option<Timestamp> {
    let time = text.strip_suffix('Z')?;
    let (seconds, fraction) = time.split_once('.').unwrap_or((time, ""));
    format!("{seconds}.{fraction:0<3.3}Z").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_queue_says_whose_it_is() {
        #[track_caller]
        fn check(name: &str, expected: Option<(Option<&str>, bool)>) {
            let queue = DrainedQueue::from_name(name);
            let told = queue
                .as_ref()
                .map(|queue| (queue.consumer.as_deref(), queue.undelivered));
            assert_eq!(told, expected, "{name}");
        }
        check("waybill-dev-payment-dlq", Some((Some("payment"), false)));
        check(
            "waybill-dev-payment-delivery-dlq",
            Some((Some("payment"), true)),
        );
        check("waybill-dev-quarantine", Some((None, false)));
        check("waybill-dev-payment", None);
        check("waybill-dev-relay-failures", None);
        check("-dlq", None);
    }

    #[test]
    fn a_queue_is_meant_by_its_name_with_or_without_the_stack() {
        let queue = DrainedQueue::from_name("waybill-dev-payment-dlq").unwrap();
        assert!(queue.is_meant_by("payment-dlq"));
        assert!(queue.is_meant_by("waybill-dev-payment-dlq"));
        for other in [
            "",
            "ayment-dlq",
            "payment",
            "stock-dlq",
            "other-payment-dlq",
        ] {
            assert!(!queue.is_meant_by(other), "{other}");
        }
        let delivery = DrainedQueue::from_name("waybill-dev-payment-delivery-dlq").unwrap();
        assert!(!delivery.is_meant_by("payment-dlq"));
    }

    #[test]
    fn the_times_that_workers_write_are_read_whatever_their_precision() {
        for (written, expected) in [
            ("2026-11-21T17:56:15Z", "2026-11-21T17:56:15.000Z"),
            ("2026-11-21T17:56:15.8Z", "2026-11-21T17:56:15.800Z"),
            ("2026-11-21T17:56:15.85912Z", "2026-11-21T17:56:15.859Z"),
        ] {
            assert_eq!(moment(written).unwrap().to_string(), expected);
        }
        for wrong in ["", "Z", "yesterday", "2026-11-21T17:56:15+01:00"] {
            assert_eq!(moment(wrong), None, "{wrong}");
        }
    }
}
