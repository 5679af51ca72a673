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
