//! Answers to the saga through Step Functions' callbacks.

use aws_sdk_sfn::Client;
use aws_sdk_sfn::error::SdkError;
use aws_sdk_sfn::operation::send_task_success::{SendTaskSuccess, SendTaskSuccessInput};
use contracts::TaskToken;
use ports::{Answer, Answered, TaskAnswers, Unavailable};

use crate::calls::Call;
use crate::clients::Clients;
use crate::environment::EnvironmentError;

/// Answers tasks of Step Functions.
#[derive(Debug, Clone)]
pub struct StepFunctionsTasks {
    client: Client,
    success: Call<SendTaskSuccess>,
}

impl StepFunctionsTasks {
    /// Answers through these clients.
    ///
    /// # Errors
    /// [`EnvironmentError`] where region and endpoint make no address.
    pub fn new(clients: &Clients) -> Result<Self, EnvironmentError> {
        Ok(Self {
            client: clients.step_functions(),
            success: clients.task_success()?,
        })
    }

    async fn succeed(&self, token: &TaskToken, output: &str) -> Result<Answered, Unavailable> {
        let input = SendTaskSuccessInput::builder()
            .task_token(token.expose())
            .output(output)
            .build()
            .map_err(|error| Unavailable::new("Step Functions", error))?;
        settle(self.success.send(input).await, |error| {
            error.is_task_timed_out() || error.is_task_does_not_exist() || error.is_invalid_token()
        })
    }

    async fn fail(
        &self,
        token: &TaskToken,
        error: &str,
        cause: &str,
    ) -> Result<Answered, Unavailable> {
        let sent = self.client.send_task_failure().task_token(token.expose());
        settle(sent.error(error).cause(cause).send().await, |error| {
            error.is_task_timed_out() || error.is_task_does_not_exist() || error.is_invalid_token()
        })
    }
}

impl TaskAnswers for StepFunctionsTasks {
    async fn answer(&self, token: &TaskToken, answer: &Answer) -> Result<Answered, Unavailable> {
        match answer {
            Answer::Success(output) => self.succeed(token, output).await,
            // Boxed, since it is large and rare.
            Answer::Failure { error, cause } => Box::pin(self.fail(token, error, cause)).await,
        }
    }
}

/// Tells an answer that comes too late from a service that does not answer.
fn settle<T, E, R>(
    sent: Result<T, SdkError<E, R>>,
    is_stale: impl Fn(&E) -> bool,
) -> Result<Answered, Unavailable>
where
    E: std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    match sent {
        Ok(_) => Ok(Answered::Delivered),
        Err(error) if error.as_service_error().is_some_and(is_stale) => Ok(Answered::Stale),
        Err(error) => Err(Unavailable::new("Step Functions", error)),
    }
}
