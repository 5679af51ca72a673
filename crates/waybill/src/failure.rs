//! What can go wrong, what the caller can do about it, and the exit code that says so.

use std::error::Error as StdError;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::operation::batch_write_item::BatchWriteItemError;
use aws_sdk_dynamodb::operation::get_item::GetItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::query::QueryError;
use aws_sdk_dynamodb::operation::scan::ScanError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_lambda::operation::get_event_source_mapping::GetEventSourceMappingError;
use aws_sdk_lambda::operation::invoke::InvokeError;
use aws_sdk_lambda::operation::update_event_source_mapping::UpdateEventSourceMappingError;
use aws_sdk_sqs::operation::send_message::SendMessageError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use ports::Unavailable;

use crate::problem::Problem;

/// The exit codes, classed by what a script does next. `--help` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// Done.
    Ok = 0,
    /// It cannot work as things are: set-up, permission or a defect.
    Unexpected = 1,
    /// The command line or an input file is wrong. (clap uses the same code.)
    Usage = 2,
    /// The API or a rule refused the request; the same request will be refused again.
    Refused = 3,
    /// There is no such order, article, failure or replay.
    NotFound = 4,
    /// The order ended as failed or needs attention.
    OrderFailed = 5,
    /// Nobody answered, or not now: repeat it with the same key.
    Unavailable = 6,
    /// The order, or the replay, was not at its end when the time was up.
    StillUnderWay = 7,
    /// A message that was replayed failed again.
    FailedAgain = 8,
}

/// The part of `--help` about exit codes.
pub(crate) const EXIT_CODES_HELP: &str = "\
Exit codes:
  0  done
  1  it cannot work as things are: credentials, permissions, stack, or a defect
  2  the command line or an input file is wrong
  3  refused, by the API (4xx) or by a rule; the same request will be refused again
  4  no such order, article, failure or replay
  5  the order ended as failed or needs-attention (with --watch or --wait)
  6  unavailable (unreachable, throttled, 5xx): repeat it, with the same --key
  7  the order, or the replay, was not at its end when --timeout was over
  8  a message that was replayed failed again";

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Input(String),
    #[error("no AWS credentials can be used")]
    NoCredentials(#[source] Option<BoxError>),
    #[error("no AWS region is set")]
    NoRegion,
    #[error("the AWS settings cannot be used: {0}")]
    Settings(String),
    #[error("AWS does not accept these credentials ({code})")]
    CredentialsRejected { code: String },
    #[error("{operation} was denied: {message}")]
    AccessDenied {
        operation: &'static str,
        message: String,
    },
    #[error("there is no stack named {stack} in {region}")]
    NoSuchStack {
        stack: String,
        region: String,
        candidates: Vec<String>,
    },
    #[error("the stack {stack} has no output {output}")]
    OutputMissing { stack: String, output: &'static str },
    #[error("{what} cannot be reached")]
    Unreachable {
        what: String,
        #[source]
        source: BoxError,
    },
    #[error("the API at {url} cannot be reached")]
    ApiUnreachable {
        url: String,
        #[source]
        source: BoxError,
    },
    #[error("{what} cannot answer now: {message}")]
    Busy { what: String, message: String },
    #[error("the API refused the request: {0}")]
    Refused(Box<Problem>),
    #[error("the API cannot answer now: {0}")]
    ApiUnavailable(Box<Problem>),
    #[error("there is no order {0}")]
    NoSuchOrder(String),
    #[error("not in the stock table: {}", .0.join(", "))]
    NoSuchSku(Vec<String>),
    #[error("not in the failure store: {}", .0.join(", "))]
    NotInStore(Vec<String>),
    #[error("there is no replay {0}")]
    NoSuchReplay(String),
    /// A rule of the failure store refuses it.
    #[error("{0}")]
    NotAllowed(String, #[source] Option<BoxError>),
    #[error("{message}")]
    Unexpected {
        message: String,
        #[source]
        source: Option<BoxError>,
    },
    /// The reader of our output went away, as `head` does. Not worth a message.
    #[error("the output was closed")]
    OutputClosed,
}

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

impl Failure {
    /// A failure that nothing better describes.
    pub(crate) fn unexpected(
        message: impl Into<String>,
        source: impl Into<BoxError> + Send,
    ) -> Self {
        Self::Unexpected {
            message: message.into(),
            source: Some(source.into()),
        }
    }

    /// The code to exit with.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Input(_) => Exit::Usage,
            Self::Refused(_) | Self::NotAllowed(..) => Exit::Refused,
            Self::NoSuchOrder(_)
            | Self::NoSuchSku(_)
            | Self::NotInStore(_)
            | Self::NoSuchReplay(_) => Exit::NotFound,
            Self::Unreachable { .. }
            | Self::ApiUnreachable { .. }
            | Self::Busy { .. }
            | Self::ApiUnavailable(_) => Exit::Unavailable,
            Self::OutputClosed => Exit::Ok,
            Self::NoCredentials(_)
            | Self::NoRegion
            | Self::Settings(_)
            | Self::CredentialsRejected { .. }
            | Self::AccessDenied { .. }
            | Self::NoSuchStack { .. }
            | Self::OutputMissing { .. }
            | Self::Unexpected { .. } => Exit::Unexpected,
        }
    }

    /// What to do about it, where that can be said.
    pub(crate) fn advice(&self) -> Option<String> {
        match self {
            Self::NoCredentials(_) => Some(
                "log in (aws sso login), choose a profile (--profile or AWS_PROFILE), \
                 or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                    .to_owned(),
            ),
            Self::NoRegion => {
                Some("give --region, or set AWS_REGION or a region in the profile".to_owned())
            }
            Self::Settings(_) => Some(
                "mend it where it is set: in a variable AWS_…, or in the configuration files"
                    .to_owned(),
            ),
            Self::CredentialsRejected { .. } => Some(
                "they may be expired, mistyped or of another account; \
                 check --profile (AWS_PROFILE) and --endpoint-url (AWS_ENDPOINT_URL)"
                    .to_owned(),
            ),
            Self::AccessDenied { operation, .. } => Some(format!(
                "allow {operation} to this identity, or use another --profile"
            )),
            Self::NoSuchStack { candidates, .. } => Some(stack_advice(candidates)),
            Self::OutputMissing { .. } => Some(
                "is this a Waybill stack, deployed with the current template? \
                 name another with --stack (WAYBILL_STACK)"
                    .to_owned(),
            ),
            Self::Unreachable { .. } => Some(
                "check the network, --region (AWS_REGION) and --endpoint-url (AWS_ENDPOINT_URL)"
                    .to_owned(),
            ),
            Self::ApiUnreachable { .. } => Some(
                "check the network and --endpoint-url (AWS_ENDPOINT_URL), then repeat it; \
                 with the same --key, an order is placed only once"
                    .to_owned(),
            ),
            Self::Busy { .. } => Some("repeat it in a while".to_owned()),
            Self::ApiUnavailable(problem) => Some(unavailable_advice(problem)),
            Self::Refused(problem) => problem.advice(),
            Self::Input(_)
            | Self::NoSuchOrder(_)
            | Self::NoSuchSku(_)
            | Self::NotInStore(_)
            | Self::NoSuchReplay(_)
            | Self::NotAllowed(..)
            | Self::Unexpected { .. }
            | Self::OutputClosed => None,
        }
    }

    /// What the API said, where it said something.
    pub(crate) fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Refused(problem) | Self::ApiUnavailable(problem) => Some(problem),
            _ => None,
        }
    }

    /// Classes an error of an AWS SDK call. `operation` is its name in IAM policies.
    pub(crate) fn from_sdk<E>(operation: &'static str, error: SdkError<E, HttpResponse>) -> Self
    where
        E: StdError + ProvideErrorMetadata + Send + Sync + 'static,
    {
        match &error {
            SdkError::ServiceError(service) => {
                let status = service.raw().status().as_u16();
                from_service(operation, status, service.err().meta())
            }
            SdkError::DispatchFailure(_) if has_credentials_error(&error) => {
                Self::NoCredentials(Some(error.into()))
            }
            SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) => Self::Unreachable {
                what: format!("AWS ({operation})"),
                source: error.into(),
            },
            _ => Self::unexpected(format!("{operation} failed"), error),
        }
    }

    /// Classes an error of an adapter by the call to AWS that it comes from.
    pub(crate) fn from_port(error: Unavailable) -> Self {
        let service = error.service;
        let classed = Err(error.source)
            .or_else(|error| classed::<GetItemError>("dynamodb:GetItem", error))
            .or_else(|error| classed::<PutItemError>("dynamodb:PutItem", error))
            .or_else(|error| classed::<UpdateItemError>("dynamodb:UpdateItem", error))
            .or_else(|error| classed::<QueryError>("dynamodb:Query", error))
            .or_else(|error| classed::<ScanError>("dynamodb:Scan", error))
            .or_else(|error| classed::<TransactWriteItemsError>("dynamodb:PutItem", error))
            .or_else(|error| classed::<BatchWriteItemError>("dynamodb:BatchWriteItem", error))
            .or_else(|error| classed::<SendMessageError>("sqs:SendMessage", error))
            .or_else(|error| classed::<InvokeError>("lambda:InvokeFunction", error))
            .or_else(|error| {
                classed::<GetEventSourceMappingError>("lambda:GetEventSourceMapping", error)
            })
            .or_else(|error| {
                classed::<UpdateEventSourceMappingError>("lambda:UpdateEventSourceMapping", error)
            });
        classed.unwrap_or_else(|error| Self::unexpected(format!("{service} failed"), error))
    }
}

/// The class of an error of one operation, or the error where it is of another.
fn classed<E>(operation: &'static str, error: BoxError) -> Result<Failure, BoxError>
where
    E: StdError + ProvideErrorMetadata + Send + Sync + 'static,
{
    let error = match error.downcast::<SdkError<E, HttpResponse>>() {
        Ok(error) => return Ok(Failure::from_sdk(operation, *error)),
        Err(error) => error,
    };
    // The idempotency store keeps what the service said, without the answer around it.
    let error = error.downcast::<E>()?;
    Ok(from_service(operation, 400, error.meta()))
}

fn from_service(
    operation: &'static str,
    status: u16,
    error: &aws_smithy_types::error::ErrorMetadata,
) -> Failure {
    let code = error.code().unwrap_or("no error code");
    let message = error.message().unwrap_or(code).to_owned();
    match code {
        // The last one is what SNS says.
        "AccessDenied"
        | "AccessDeniedException"
        | "UnauthorizedOperation"
        | "AuthorizationError" => Failure::AccessDenied { operation, message },
        "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch" => Failure::CredentialsRejected {
            code: code.to_owned(),
        },
        "Throttling"
        | "ThrottlingException"
        | "RequestLimitExceeded"
        | "ProvisionedThroughputExceededException"
        | "InternalServerError" => Failure::Busy {
            what: format!("AWS ({operation})"),
            message,
        },
        _ if status >= 500 => Failure::Busy {
            what: format!("AWS ({operation})"),
            message,
        },
        _ => Failure::Unexpected {
            message: format!("{operation} failed: {code}: {message}"),
            source: None,
        },
    }
}

fn unavailable_advice(problem: &Problem) -> String {
    let repeat = "repeat it; with the same --key, an order is placed only once";
    match problem.correlation_id() {
        Some(id) => format!("{repeat}. The deployment's logs tell more under {id}"),
        None => repeat.to_owned(),
    }
}

fn stack_advice(candidates: &[String]) -> String {
    let name_one = "name one with --stack or WAYBILL_STACK, and check --region and --profile";
    if candidates.is_empty() {
        format!("no Waybill stack was found there; {name_one}, or deploy one with sam deploy")
    } else {
        format!(
            "Waybill stacks there: {}; {name_one}",
            candidates.join(", ")
        )
    }
}

/// All errors below this one, outermost first.
pub(crate) fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(error.source(), |error| (*error).source())
}

fn has_credentials_error(error: &(dyn StdError + 'static)) -> bool {
    causes(error).any(|cause| cause.is::<CredentialsError>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_smithy_types::error::ErrorMetadata;

    #[track_caller]
    fn check(status: u16, code: &str, expected: Exit) -> Failure {
        let error = ErrorMetadata::builder().code(code).message("no").build();
        let failure = from_service("dynamodb:Query", status, &error);
        assert_eq!(failure.exit(), expected, "{failure}");
        failure
    }

    #[test]
    fn an_error_of_aws_exits_by_what_the_caller_does_next() {
        check(400, "AccessDeniedException", Exit::Unexpected);
        let denied = check(403, "AuthorizationError", Exit::Unexpected);
        assert!(denied.to_string().contains("was denied"), "{denied}");
        check(403, "InvalidClientTokenId", Exit::Unexpected);
        check(400, "ThrottlingException", Exit::Unavailable);
        check(500, "InternalServerError", Exit::Unavailable);
        check(400, "ValidationException", Exit::Unexpected);
    }

    #[test]
    fn an_error_of_the_service_is_classed_with_and_without_its_answer() {
        let error = ErrorMetadata::builder().code("AccessDeniedException");
        let error = GetItemError::generic(error.build());
        let failure = Failure::from_port(Unavailable::new("DynamoDB", error));
        assert!(
            matches!(failure, Failure::AccessDenied { operation, .. } if operation == "dynamodb:GetItem")
        );
        let failure = Failure::from_port(Unavailable::new("DynamoDB", "a record that is none"));
        assert!(matches!(failure, Failure::Unexpected { .. }));
    }

    #[test]
    fn a_denied_call_names_the_permission_to_grant() {
        let failure = check(400, "AccessDeniedException", Exit::Unexpected);
        assert!(failure.advice().unwrap().contains("dynamodb:Query"));
    }

    #[test]
    fn a_missing_stack_names_the_ones_there_are_and_how_to_choose() {
        let advice = stack_advice(&["shop-dev".to_owned()]);
        assert!(advice.contains("shop-dev") && advice.contains("WAYBILL_STACK"));
        assert!(stack_advice(&[]).contains("sam deploy"));
    }

    #[test]
    fn an_outage_names_what_to_search_the_logs_for() {
        let problem = Problem::read(503, br#"{"title":"Not now","correlationId":"c-1"}"#);
        let failure = Failure::ApiUnavailable(Box::new(problem));
        assert_eq!(failure.exit(), Exit::Unavailable);
        assert!(failure.advice().unwrap().contains("c-1"));
    }

    #[test]
    fn every_exit_code_is_in_the_help() {
        for code in 0..=Exit::FailedAgain as u8 {
            assert!(EXIT_CODES_HELP.contains(&format!("\n  {code}  ")), "{code}");
        }
    }
}
