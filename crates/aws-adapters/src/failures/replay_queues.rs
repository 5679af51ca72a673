//! Messages back to the queues of their consumers.

use std::collections::BTreeMap;

use aws_sdk_sqs::Client;
use failures::{FAILURE_ID, FailureId, Letter, REPLAY_ID, ReplayId, ReplayQueues};
use ports::Unavailable;

use super::{attributes, sqs};

/// Sends messages to the queues of consumers.
///
/// A replayed message has the body as it was, the sender's attributes, and the names of
/// its record and of the replay. SQS takes ten attributes, and should the message fail
/// again its failure record needs a place: of the sender's attributes the first seven
/// travel, by name. Waybill's own messages have none.
///
/// Permission: `sqs:SendMessage`.
#[derive(Debug, Clone)]
pub struct SqsReplayQueues {
    client: Client,
    urls: BTreeMap<String, String>,
}

impl SqsReplayQueues {
    /// Sends to these queues: the URL for each consumer by its name, such as `payment`.
    pub fn new(client: Client, urls: BTreeMap<String, String>) -> Self {
        Self { client, urls }
    }
}

impl ReplayQueues for SqsReplayQueues {
    async fn send(
        &self,
        consumer: &str,
        letter: &Letter,
        failure: &FailureId,
        replay: &ReplayId,
    ) -> Result<(), Unavailable> {
        let unknown = || sqs(format!("no queue is known for the consumer {consumer}"));
        let (mut values, dropped) = attributes::that_fit(&letter.attributes);
        if dropped > 0 {
            tracing::warn!(%failure, dropped, "a replayed message has too many attributes");
        }
        values.insert(FAILURE_ID.to_owned(), attributes::string(failure.as_str()));
        values.insert(REPLAY_ID.to_owned(), attributes::string(replay.as_str()));
        let mut message = self
            .client
            .send_message()
            .queue_url(self.urls.get(consumer).ok_or_else(unknown)?)
            .message_body(&letter.body);
        for (name, value) in values {
            message = message.message_attributes(name, attributes::to_sdk(value).map_err(sqs)?);
        }
        message.send().await.map_err(sqs)?;
        Ok(())
    }
}
