//! The failure store on DynamoDB, and the queues that it is filled from and emptied to.

mod attributes;
mod dead_letters;
mod groups;
mod pages;
mod plans;
mod replay_queues;
mod store;

use std::error::Error;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use ports::Unavailable;
use serde::de::DeserializeOwned;
use serde_dynamo::aws_sdk_dynamodb_1::from_item;

use crate::dynamodb::Item;

pub use dead_letters::SqsDeadLetterQueues;
pub use groups::DynamoGroups;
pub use plans::DynamoPlans;
pub use replay_queues::SqsReplayQueues;
pub use store::DynamoFailures;

fn dynamodb(error: impl Into<Box<dyn Error + Send + Sync>>) -> Unavailable {
    Unavailable::new("DynamoDB", error)
}

fn sqs(error: impl Into<Box<dyn Error + Send + Sync>>) -> Unavailable {
    Unavailable::new("SQS", error)
}

/// Reads an item, and says which one where that cannot be done.
fn read_item<T: DeserializeOwned>(what: &'static str, item: Item) -> Result<T, Unavailable> {
    let id = item.get("id").and_then(|id| id.as_s().ok()).cloned();
    from_item(item).map_err(|source| {
        let id = id.unwrap_or_default();
        dynamodb(Unreadable { what, id, source })
    })
}

/// An item that this system has not written.
#[derive(Debug, thiserror::Error)]
#[error("the record of the {what} {id:?} cannot be read")]
struct Unreadable {
    what: &'static str,
    id: String,
    source: serde_dynamo::Error,
}

/// Whether a conditional put took place; a condition that failed is an answer, no error.
fn was_written<T>(answer: Result<T, SdkError<PutItemError>>) -> Result<bool, Unavailable> {
    match answer {
        Ok(_) => Ok(true),
        Err(error)
            if error
                .as_service_error()
                .is_some_and(PutItemError::is_conditional_check_failed_exception) =>
        {
            Ok(false)
        }
        Err(error) => Err(dynamodb(error)),
    }
}
