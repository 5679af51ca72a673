//! `waybill saga resume`.
//!
//! The work is done by a state machine, so that it goes on without this command. Its
//! execution is named after the order and the number of the attempt: two people who
//! resume an order at once start one execution, and both wait for it.

use std::time::Duration;

use aws_sdk_sfn::Client as Sfn;
use clap::Args;
use domain::{OrderId, OrderStatus};
use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;

use super::diagnosis::{Cure, Missing, diagnose, missing, undo_was_asked};
use crate::cli::Context;
use crate::deployment::Deployment;
use crate::failure::{Exit, Failure};
use crate::operator::operator;
use crate::output::{Output, Spinner, note, printable};
use crate::records::audit;
use crate::records::executions::{self, Execution};
use crate::records::order::{Reason, StoredOrder};
use crate::records::steps::{self, StepState};

/// `waybill saga resume ID`
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The order's id
    id: OrderId,
    /// Do it; without this, only what would be done is said
    #[arg(long)]
    yes: bool,
    /// Why, for the order's history
    #[arg(long, default_value = "", value_name = "TEXT")]
    why: String,
    /// Undo the order although it shipped and could be completed
    #[arg(long)]
    undo: bool,
    /// Complete the order although an undo of it was asked for before
    #[arg(long, conflicts_with = "undo")]
    complete: bool,
    /// Do not wait for the end of the attempt
    #[arg(long)]
    no_wait: bool,
    /// Stop waiting after so many seconds; the attempt goes on
    #[arg(long, value_name = "SECONDS", conflicts_with = "no_wait")]
    timeout: Option<u64>,
}

/// How an order is finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    Undo,
    Complete,
}

impl Mode {
    fn as_str(self) -> &'static str {
        match self {
            Self::Undo => "undo",
            Self::Complete => "complete",
        }
    }
}

/// What is printed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Resumed {
    order_id: String,
    mode: Mode,
    /// The undos that had something to do, or may have had, when it was looked at.
    missing: Vec<Missing>,
    /// Whether anything was done.
    done: bool,
    /// Whether this call began the attempt; if not, somebody else's was joined.
    #[serde(skip_serializing_if = "Option::is_none")]
    began: Option<bool>,
    /// The name of the attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<String>,
    /// How the order stands now.
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
}

impl Resumed {
    /// An attempt that somebody else began does what they chose.
    fn joined(&mut self, order: &StoredOrder, steps: &[StepState]) {
        let mut attempts = order.recovery.iter().chain(order.recoveries.iter().rev());
        let joined = attempts.find(|it| Some(&it.name) == self.attempt.as_ref());
        let mode = match joined.map(|it| it.mode.as_str()) {
            Some("undo") => Mode::Undo,
            Some("complete") => Mode::Complete,
            _ => return,
        };
        if self.mode != mode {
            self.mode = mode;
            self.missing = match mode {
                Mode::Undo => missing(steps),
                Mode::Complete => Vec::new(),
            };
        }
    }
}

impl Arguments {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let deployment = context.settings.deployment().await?;
        let resume = Resume::find(&deployment, self.id)?;
        let (order, steps) = resume.look().await?;
        let mode = self.mode(&diagnose(&order, &steps), &order, &steps)?;
        if mode == Mode::Complete {
            let audited = audit::read(&deployment, self.id).await?;
            let sent: Vec<_> = audited.into_iter().map(|message| message.name).collect();
            self.may_complete(undo_was_asked(&order, &sent))?;
        }
        let mut resumed = Resumed {
            order_id: self.id.to_string(),
            mode,
            missing: match mode {
                Mode::Undo => missing(&steps),
                Mode::Complete => Vec::new(),
            },
            done: false,
            began: None,
            attempt: None,
            status: order.status_name(),
            reason: order.reason.clone(),
        };
        let exit = if self.yes {
            let by = operator(&deployment).await?;
            let input = input(&order, mode, &by, &self.why);
            let attempt = resume.begin(order, &input).await?;
            resumed.done = true;
            resumed.began = Some(attempt.began);
            resumed.attempt = Some(attempt.name.clone());
            let followed = self.follow(&resume, &attempt, &mut resumed).await;
            followed.inspect_err(|_| goes_on(self.id, &attempt))?
        } else {
            Exit::Ok
        };
        let output = context.output;
        output.result(&resumed, |it| text(it, output))?;
        if !self.yes {
            note("nothing was done; repeat it with --yes");
        }
        Ok(exit)
    }

    fn mode(&self, cure: &Cure, order: &StoredOrder, steps: &[StepState]) -> Result<Mode, Failure> {
        match cure {
            Cure::None => {
                let (id, status) = (self.id, order.status_name());
                let message = format!("order {id} is {status}: there is nothing to resume");
                Err(Failure::NotAllowed(message, None))
            }
            Cure::Complete if !self.undo => Ok(Mode::Complete),
            Cure::Undo { .. } if self.complete => {
                let message = format!("order {} lacks more than its end", self.id);
                Err(Failure::NotAllowed(message, None))
            }
            Cure::Complete | Cure::Undo { .. } => Ok(Mode::Undo),
            // It is joined, or taken over where it died.
            Cure::UnderWay { .. } => {
                let waiting = StoredOrder {
                    recovery: None,
                    ..order.clone()
                };
                self.mode(&diagnose(&waiting, steps), &waiting, steps)
            }
        }
    }

    /// An undo that was asked for may be what a person has decided, and may still be
    /// in a queue: the order is then completed only where a person says so.
    fn may_complete(&self, undo_was_asked: bool) -> Result<(), Failure> {
        if self.complete || !undo_was_asked {
            return Ok(());
        }
        let message = format!(
            "order {} has everything but its end, and an undo of it was asked for before: \
             say --undo or --complete",
            self.id
        );
        Err(Failure::NotAllowed(message, None))
    }

    /// Sees to an attempt that is under way.
    async fn follow(
        &self,
        resume: &Resume<'_>,
        attempt: &Begun,
        resumed: &mut Resumed,
    ) -> Result<Exit, Failure> {
        if !attempt.began {
            let (now, steps) = resume.look().await?;
            resumed.joined(&now, &steps);
        }
        self.wait(resume, attempt, resumed).await
    }

    /// Waits for the end of the attempt, and says how the order stands then.
    async fn wait(
        &self,
        resume: &Resume<'_>,
        attempt: &Begun,
        resumed: &mut Resumed,
    ) -> Result<Exit, Failure> {
        if self.no_wait {
            return Ok(Exit::Ok);
        }
        let deadline = self.timeout.and_then(|seconds| {
            // A time limit beyond what the clock can hold is no limit.
            Instant::now().checked_add(Duration::from_secs(seconds))
        });
        let spinner = Spinner::new(&format!("attempt {}", attempt.name));
        let ended = resume.ended(attempt, deadline).await;
        spinner.finish();
        let ended = ended?;
        let (order, _) = resume.look().await?;
        resumed.status = order.status_name();
        resumed.reason = order.reason.clone();
        Ok(match (ended, order.status) {
            (_, Some(OrderStatus::Failed | OrderStatus::Completed)) => Exit::Ok,
            (true, _) => Exit::OrderFailed,
            (false, _) => Exit::StillUnderWay,
        })
    }
}

/// An attempt needs nobody who looks on.
fn goes_on(id: OrderId, attempt: &Begun) {
    note(&format!(
        "the attempt {} is under way all the same; to wait for its end: \
         waybill saga resume {id} --yes",
        attempt.name
    ));
}

/// An attempt that was begun, by this call or by another.
#[derive(Debug)]
struct Begun {
    name: String,
    began: bool,
}

/// What resuming needs.
struct Resume<'a> {
    machine: &'a str,
    orders: &'a str,
    records: &'a str,
    dynamodb: aws_sdk_dynamodb::Client,
    sfn: Sfn,
    id: OrderId,
}

/// What became of the wish to start an execution of a name.
enum Start {
    /// This call started it.
    Started,
    /// One of this name is under way.
    Runs,
    /// One of this name has ended.
    Ended,
}

impl<'a> Resume<'a> {
    fn find(deployment: &'a Deployment, id: OrderId) -> Result<Self, Failure> {
        Ok(Self {
            machine: deployment.output("OrderRecoveryArn")?,
            orders: deployment.output("OrdersTableName")?,
            records: deployment.output("IdempotencyTableName")?,
            dynamodb: deployment.dynamodb(),
            sfn: Sfn::new(deployment.config()),
            id,
        })
    }

    async fn look(&self) -> Result<(StoredOrder, Vec<StepState>), Failure> {
        let order = StoredOrder::read(&self.dynamodb, self.orders, self.id).await?;
        let steps = steps::read(&self.dynamodb, self.records, self.id).await?;
        Ok((order, steps))
    }

    /// Starts the next attempt, or finds the one that somebody else started.
    ///
    /// Each attempt that ends is written into the order, so that the next has the next
    /// number. One that died has written nothing: its number is passed over.
    async fn begin(&self, order: StoredOrder, input: &str) -> Result<Begun, Failure> {
        let attempts = order.recoveries.len();
        let mut number = attempts + 1;
        loop {
            let name = format!("{}-{number}", self.id);
            match self.start(&name, input).await? {
                Start::Started => return Ok(Begun { name, began: true }),
                Start::Runs => return Ok(Begun { name, began: false }),
                Start::Ended => {
                    let (now, _) = self.look().await?;
                    let is_over = now.status != Some(OrderStatus::NeedsAttention);
                    if is_over || now.recoveries.len() > attempts {
                        return Ok(Begun { name, began: false });
                    }
                    number += 1;
                }
            }
        }
    }

    async fn start(&self, name: &str, input: &str) -> Result<Start, Failure> {
        let started = self
            .sfn
            .start_execution()
            .state_machine_arn(self.machine)
            .name(name)
            .input(input)
            .send()
            .await;
        match started {
            Ok(_) => Ok(Start::Started),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|error| error.is_execution_already_exists()) =>
            {
                match self.execution(name).await? {
                    Some(execution) if !execution.runs() => Ok(Start::Ended),
                    // Its name is taken, so it is there: it is too new to be described.
                    _ => Ok(Start::Runs),
                }
            }
            Err(error) => Err(Failure::from_sdk("states:StartExecution", error)),
        }
    }

    async fn execution(&self, name: &str) -> Result<Option<Execution>, Failure> {
        executions::describe(&self.sfn, &executions::arn(self.machine, name)).await
    }

    /// Whether the attempt ended before the deadline.
    async fn ended(&self, attempt: &Begun, deadline: Option<Instant>) -> Result<bool, Failure> {
        let mut pause = Duration::from_millis(300);
        let mut unseen = 0;
        loop {
            match self.execution(&attempt.name).await? {
                Some(execution) if !execution.runs() => return Ok(true),
                Some(_) => unseen = 0,
                None => unseen += 1,
            }
            if unseen > UNSEEN_LIMIT {
                return Ok(true);
            }
            if deadline.is_some_and(|deadline| Instant::now() + pause > deadline) {
                return Ok(false);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(Duration::from_secs(3));
        }
    }
}

/// So often may an execution that was begun be unknown: it is too new to be described.
const UNSEEN_LIMIT: u32 = 5;

/// The input of an attempt.
fn input(order: &StoredOrder, mode: Mode, by: &str, why: &str) -> String {
    let id = order.id;
    let unknown = Reason {
        code: "unknown".to_owned(),
        message: "The order needed attention.".to_owned(),
    };
    json!({
        "orderId": id.to_string(),
        "correlationId": order.correlation,
        "traceparent": order.trace,
        "causationId": format!("{id}/order.needs-attention"),
        "reason": order.reason.as_ref().unwrap_or(&unknown),
        "mode": mode.as_str(),
        "by": by,
        "why": why,
    })
    .to_string()
}

fn text(resumed: &Resumed, output: Output) -> String {
    let mut lines = Vec::new();
    let tense = match (resumed.done, resumed.status) {
        (false, _) => "would be ",
        (true, "failed" | "completed") => "",
        // It is under way, or it did not come to its end.
        (true, _) => "was to be ",
    };
    match resumed.mode {
        Mode::Complete => lines.push(format!(
            "{}: everything is done but its end; it {tense}completed",
            resumed.order_id
        )),
        Mode::Undo if resumed.missing.is_empty() => lines.push(format!(
            "{}: nothing stands any more; late actions {tense}barred, and its end {tense}written",
            resumed.order_id
        )),
        Mode::Undo => {
            lines.push(format!("{}: {tense}undone:", resumed.order_id));
            let undo = |it: &Missing| format!("  {:<16} {}", it.undo, it.effect);
            lines.extend(resumed.missing.iter().map(undo));
        }
    }
    if let (Some(attempt), Some(began)) = (&resumed.attempt, resumed.began) {
        let whose = if began {
            "begun"
        } else {
            "joined: somebody else began it"
        };
        lines.push(format!("attempt   {attempt} ({whose})"));
    }
    let mut lines: Vec<_> = lines.iter().map(|line| printable(line)).collect();
    lines.push(format!("status    {}", output.status(resumed.status)));
    if let Some(Reason { code, message }) = &resumed.reason {
        lines.push(printable(&format!("reason    {code}: {message}")));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::order::Attempt;
    use crate::records::order::tests::order;
    use crate::records::steps::tests::{CAPTURED, RESERVED, SHIPPED, completed};
    use domain::Step;

    fn arguments(undo: bool) -> Arguments {
        Arguments {
            id: "0b7e7f0e-6a52-5d5c-9a39-0a2c8a1d9f10".parse().unwrap(),
            yes: true,
            why: String::new(),
            undo,
            complete: false,
            no_wait: false,
            timeout: None,
        }
    }

    fn shipped() -> [StepState; 3] {
        [
            completed(Step::Charge, CAPTURED),
            completed(Step::Reserve, RESERVED),
            completed(Step::Ship, SHIPPED),
        ]
    }

    #[test]
    fn an_order_that_shipped_is_undone_only_where_a_person_says_so() {
        let (order, steps) = (order("needs-attention", &[]), shipped());
        let cure = diagnose(&order, &steps);
        let mode = |undo| arguments(undo).mode(&cure, &order, &steps).unwrap();
        assert_eq!((mode(false), mode(true)), (Mode::Complete, Mode::Undo));
    }

    #[test]
    fn an_attempt_that_is_under_way_is_joined_in_its_way() {
        let mut order = order("needs-attention", &[]);
        order.recovery = Some(Attempt::default());
        let steps = shipped();
        let cure = diagnose(&order, &steps);
        let mode = arguments(false).mode(&cure, &order, &steps).unwrap();
        assert_eq!(mode, Mode::Complete);
    }

    #[test]
    fn an_order_whose_undo_was_asked_for_is_completed_only_where_a_person_says_so() {
        let mut arguments = arguments(false);
        assert!(arguments.may_complete(false).is_ok());
        let refused = arguments.may_complete(true).unwrap_err();
        assert_eq!(refused.exit(), Exit::Refused);
        arguments.complete = true;
        assert!(arguments.may_complete(true).is_ok());
    }

    #[test]
    fn an_order_that_lacks_more_than_its_end_is_not_completed() {
        let mut arguments = arguments(false);
        arguments.complete = true;
        let order = order("needs-attention", &[]);
        let refused = arguments.mode(&diagnose(&order, &[]), &order, &[]);
        assert_eq!(refused.unwrap_err().exit(), Exit::Refused);
    }

    #[test]
    fn an_attempt_that_was_joined_is_reported_as_what_it_is() {
        let mut order = order("needs-attention", &[]);
        let mut resumed = Resumed {
            order_id: order.id.to_string(),
            mode: Mode::Complete,
            missing: Vec::new(),
            done: true,
            began: Some(false),
            attempt: Some("o-1".to_owned()),
            status: "needs-attention",
            reason: None,
        };
        order.recovery = Some(Attempt {
            name: "o-1".to_owned(),
            mode: "undo".to_owned(),
            ..Attempt::default()
        });
        resumed.joined(&order, &shipped());
        assert_eq!((resumed.mode, resumed.missing.len()), (Mode::Undo, 3));
    }

    #[test]
    fn an_order_that_needs_no_attention_is_refused() {
        let order = order("completed", &[]);
        let refused = arguments(false).mode(&Cure::None, &order, &[]).unwrap_err();
        assert_eq!(refused.exit(), Exit::Refused);
    }

    #[test]
    fn the_input_says_who_why_and_what_the_order_needed_attention_for() {
        let mut order = order("needs-attention", &[]);
        order.reason = Some(Reason {
            code: "refund-failed".to_owned(),
            message: "no answer".to_owned(),
        });
        let input = input(&order, Mode::Undo, "Ada", "mended");
        let input: serde_json::Value = serde_json::from_str(&input).unwrap();
        assert_eq!(input["by"], "Ada");
        assert_eq!(input["why"], "mended");
        assert_eq!(input["mode"], "undo");
        assert_eq!(input["reason"]["code"], "refund-failed");
        assert_eq!(input["traceparent"], serde_json::Value::Null);
    }
}
