//! Messages back to the queues of their consumers.

use std::collections::BTreeMap;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::operation::send_message::SendMessageError;
use aws_sdk_sqs::types::MessageAttributeValue;
use failures::{
    FAILURE_ID, FailureId, Letter, REPLAY_ID, ReplayId, ReplayQueues, SendError, Value,
};

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
    ) -> Result<(), SendError> {
        let refused = |why: String| SendError::Refused(sqs(why));
        let unknown = || refused(format!("no queue is known for the consumer {consumer}"));
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
            message = message.message_attributes(name, to_sdk(value)?);
        }
        message.send().await.map_err(send_error)?;
        Ok(())
    }
}

fn to_sdk(value: Value) -> Result<MessageAttributeValue, SendError> {
    let value = attributes::to_sdk(value);
    value.map_err(|error| SendError::Refused(sqs(error)))
}

/// A service that says no has not taken the message. One that is overloaded or broken,
/// or that does not answer, may have.
fn send_error(error: SdkError<SendMessageError>) -> SendError {
    let is_refused = match &error {
        SdkError::ConstructionFailure(_) => true,
        SdkError::ServiceError(answer) => {
            let is_no = (400..500).contains(&answer.raw().status().as_u16());
            is_no && !is_throttled(answer.err())
        }
        _ => false,
    };
    match is_refused {
        true => SendError::Refused(sqs(error)),
        false => SendError::Unknown(sqs(error)),
    }
}

/// SQS says so with a status that also means no.
fn is_throttled(error: &SendMessageError) -> bool {
    error.is_request_throttled()
        || error.is_kms_throttled()
        || error.code().is_some_and(|code| code.contains("Throttl"))
}
