//! Executions of the state machines: how they stand, and which states they went through.
//!
//! The data of a history is never asked for: it holds task tokens and addresses.

use aws_sdk_sfn::Client;
use aws_sdk_sfn::primitives::DateTime;
use aws_sdk_sfn::types::{ExecutionStatus, HistoryEvent};
use serde::Serialize;

use super::moment;
use crate::failure::Failure;

/// An execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Execution {
    /// `RUNNING`, `SUCCEEDED`, `FAILED`, `TIMED_OUT` or `ABORTED`.
    pub(crate) status: String,
    pub(crate) started_at: Option<String>,
    pub(crate) stopped_at: Option<String>,
    /// The name of the error that it ended with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

impl Execution {
    /// Whether it is still under way.
    pub(crate) fn runs(&self) -> bool {
        self.status == ExecutionStatus::Running.as_str()
    }
}

/// Something that happened in an execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Happening {
    pub(crate) at: Option<u64>,
    pub(crate) what: String,
    /// The error's name, where it is an error.
    pub(crate) error: Option<String>,
}

/// The ARN of an execution of a machine.
pub(crate) fn arn(machine: &str, name: &str) -> String {
    let prefix = machine.replacen(":stateMachine:", ":execution:", 1);
    format!("{prefix}:{name}")
}

/// Reads an execution; `None` where there is none, or none any more.
pub(crate) async fn describe(client: &Client, arn: &str) -> Result<Option<Execution>, Failure> {
    match client.describe_execution().execution_arn(arn).send().await {
        Ok(found) => Ok(Some(Execution {
            status: found.status.as_str().to_owned(),
            started_at: millis(&found.start_date).map(moment),
            stopped_at: found.stop_date.as_ref().and_then(millis).map(moment),
            error: found.error,
        })),
        Err(error)
            if error
                .as_service_error()
                .is_some_and(|error| error.is_execution_does_not_exist()) =>
        {
            Ok(None)
        }
        Err(error) => Err(Failure::from_sdk("states:DescribeExecution", error)),
    }
}

/// What happened in an execution, in order; `None` where there is none, or none any more.
pub(crate) async fn history(client: &Client, arn: &str) -> Result<Option<Vec<Happening>>, Failure> {
    let mut pages = client
        .get_execution_history()
        .execution_arn(arn)
        .include_execution_data(false)
        .into_paginator()
        .items()
        .send();
    let mut teller = Teller::default();
    let mut happenings = Vec::new();
    while let Some(event) = pages.next().await {
        match event {
            Ok(event) => happenings.extend(teller.tell(&event)),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|error| error.is_execution_does_not_exist()) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(Failure::from_sdk("states:GetExecutionHistory", error)),
        }
    }
    Ok(Some(happenings))
}

fn millis(at: &DateTime) -> Option<u64> {
    u64::try_from(at.to_millis().ok()?).ok()
}

/// Tells the events of one execution. A task's events do not name its state, but they
/// come after it was entered, and these machines do one thing at a time.
#[derive(Debug, Default)]
struct Teller {
    state: String,
}

impl Teller {
    fn tell(&mut self, event: &HistoryEvent) -> Option<Happening> {
        let (what, error) = self.words(event)?;
        Some(Happening {
            at: millis(&event.timestamp),
            what,
            error,
        })
    }

    fn words(&mut self, event: &HistoryEvent) -> Option<(String, Option<String>)> {
        if let Some(entered) = event.state_entered_event_details() {
            self.state = entered.name().to_owned();
            return Some((format!("{} begins", self.state), None));
        }
        let failed = |error: Option<&str>| Some(error.unwrap_or("unknown").to_owned());
        let state = &self.state;
        match event.r#type.as_str() {
            "ExecutionStarted" => Some(("it begins".to_owned(), None)),
            "ExecutionSucceeded" => Some(("it ends well".to_owned(), None)),
            "ExecutionAborted" => Some(("it was stopped".to_owned(), failed(Some("Aborted")))),
            "ExecutionTimedOut" => Some((
                "it ran out of time".to_owned(),
                failed(Some("States.Timeout")),
            )),
            "ExecutionFailed" => {
                let details = event.execution_failed_event_details();
                let error = details.and_then(|details| details.error());
                Some(("it ends".to_owned(), failed(error)))
            }
            "TaskTimedOut" => Some((format!("{state} fails"), failed(Some("States.Timeout")))),
            "TaskFailed" => {
                let details = event.task_failed_event_details();
                let error = details.and_then(|details| details.error());
                Some((format!("{state} fails"), failed(error)))
            }
            "TaskSucceeded" => Some((format!("{state} is answered"), None)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_sfn::types::{HistoryEventType, StateEnteredEventDetails, TaskFailedEventDetails};

    fn event(kind: HistoryEventType) -> aws_sdk_sfn::types::builders::HistoryEventBuilder {
        HistoryEvent::builder()
            .timestamp(DateTime::from_millis(1_000))
            .r#type(kind)
            .id(1)
    }

    #[test]
    fn a_failure_is_told_by_its_state_and_name_and_never_by_its_cause() {
        let entered = StateEnteredEventDetails::builder()
            .name("Charge")
            .input("SECRET");
        let failed = TaskFailedEventDetails::builder()
            .resource_type("sns")
            .resource("publish")
            .error("Waybill.PaymentDeclined")
            .cause("SECRET");
        let events = [
            event(HistoryEventType::TaskStateEntered)
                .state_entered_event_details(entered.build().unwrap()),
            event(HistoryEventType::TaskScheduled),
            event(HistoryEventType::TaskFailed).task_failed_event_details(failed.build().unwrap()),
        ];
        let mut teller = Teller::default();
        let told: Vec<_> = events
            .into_iter()
            .filter_map(|event| teller.tell(&event.build().unwrap()))
            .collect();
        let words: Vec<_> = told.iter().map(|it| it.what.as_str()).collect();
        assert_eq!(words, ["Charge begins", "Charge fails"]);
        assert_eq!(told[1].error.as_deref(), Some("Waybill.PaymentDeclined"));
        assert!(!format!("{told:?}").contains("SECRET"));
    }

    #[test]
    fn an_execution_is_named_below_its_machine() {
        let machine = "arn:aws:states:eu-west-1:123456789012:stateMachine:order-saga";
        assert_eq!(
            arn(machine, "o-1"),
            "arn:aws:states:eu-west-1:123456789012:execution:order-saga:o-1"
        );
    }
}
