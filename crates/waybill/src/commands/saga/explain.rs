//! `waybill saga explain`.

use aws_sdk_sfn::Client as Sfn;
use clap::Args;
use domain::OrderId;
use failures::Status;
use serde::Serialize;

use super::diagnosis::{Cure, diagnose};
use crate::cli::Context;
use crate::deployment::Deployment;
use crate::failure::{Exit, Failure};
use crate::output::{Output, printable, word};
use crate::records::executions::{self, Execution};
use crate::records::order::{Attempt, Reason, StoredOrder};
use crate::records::steps::{self, StepState};
use crate::records::{failures as failed, traffic};

/// `waybill saga explain ID`
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The order's id
    id: OrderId,
}

/// What is known of an order's saga.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Explanation {
    order_id: String,
    status: &'static str,
    /// When it came to need attention.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    reason: Option<Reason>,
    /// What happened, as `noun.verb`, in order.
    events: Vec<Happened>,
    /// The saga's execution; absent where there is none, or none any more.
    saga: Option<Execution>,
    /// The states of the saga that failed.
    faults: Vec<Fault>,
    /// Charge, reservation and shipment, as they are on record.
    steps: Vec<StepState>,
    /// The attempts to finish it that ended.
    attempts: Vec<Attempt>,
    /// Its messages that failed.
    failures: Vec<Failed>,
    /// Consumers that messages do not reach as always.
    hindrances: Vec<Hindrance>,
    #[serde(flatten)]
    cure: Cure,
    /// What to do, in order.
    next: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Happened {
    name: String,
    time: String,
}

#[derive(Debug, Serialize)]
struct Fault {
    what: String,
    error: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Failed {
    id: String,
    status: &'static str,
    consumer: String,
    message: String,
    error_name: String,
    cause: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Hindrance {
    consumer: &'static str,
    what: String,
}

impl Arguments {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let deployment = context.settings.deployment().await?;
        let explanation = Box::pin(explain(&deployment, self.id)).await?;
        let output = context.output;
        output.result(&explanation, |it| text(it, output))?;
        Ok(Exit::Ok)
    }
}

async fn explain(deployment: &Deployment, id: OrderId) -> Result<Explanation, Failure> {
    let dynamodb = deployment.dynamodb();
    let order = StoredOrder::read(&dynamodb, deployment.output("OrdersTableName")?, id).await?;
    let records = deployment.output("IdempotencyTableName")?;
    let steps = steps::read(&dynamodb, records, id).await?;
    let sfn = Sfn::new(deployment.config());
    let arn = executions::arn(deployment.output("OrderSagaArn")?, &id.to_string());
    let saga = executions::describe(&sfn, &arn).await?;
    let history = executions::history(&sfn, &arn).await?.unwrap_or_default();
    let failures: Vec<_> = failed::of_order(deployment, &id.to_string())
        .await?
        .iter()
        .map(failure)
        .collect();
    let hindrances = hindrances(deployment).await?;
    let cure = diagnose(&order, &steps);
    Ok(Explanation {
        next: next(&order, &cure, &failures, &hindrances),
        order_id: id.to_string(),
        status: order.status_name(),
        since: order.needs_attention_since().map(str::to_owned),
        reason: order.reason.clone(),
        events: order.timeline.iter().map(happened).collect(),
        faults: history.into_iter().filter_map(fault).collect(),
        saga,
        steps,
        attempts: order.recoveries,
        failures,
        hindrances,
        cure,
    })
}

fn happened(event: &crate::records::order::StoredEvent) -> Happened {
    Happened {
        name: event.name(),
        time: event.time().to_owned(),
    }
}

fn fault(happening: executions::Happening) -> Option<Fault> {
    let error = happening.error?;
    Some(Fault {
        what: happening.what,
        error,
    })
}

fn failure(failure: &failures::Failure) -> Failed {
    let message_type = failure.message_type.as_deref().unwrap_or("unknown");
    Failed {
        id: failure.id.to_string(),
        status: failure.status.as_str(),
        consumer: failure.consumer.clone(),
        message: crate::records::short_name(message_type),
        error_name: failure.trouble.name.clone(),
        cause: failure.trouble.cause.clone(),
    }
}

/// What the undos would meet with.
async fn hindrances(deployment: &Deployment) -> Result<Vec<Hindrance>, Failure> {
    let mut found = Vec::new();
    for name in steps::ACTIONS.map(steps::consumer_of) {
        let Some(consumer) = traffic::consumer(name) else {
            continue;
        };
        let traffic = traffic::read(deployment, consumer).await?;
        if let Some(what) = traffic.hindrance() {
            found.push(Hindrance {
                consumer: name,
                what,
            });
        }
    }
    Ok(found)
}

/// What to do, with the commands.
fn next(
    order: &StoredOrder,
    cure: &Cure,
    failures: &[Failed],
    hindrances: &[Hindrance],
) -> Vec<String> {
    let id = order.id;
    let mut next = Vec::new();
    match cure {
        Cure::None if order.status.is_some_and(|status| status.is_final()) => {
            next.push("Nothing: the order has ended.".to_owned());
        }
        Cure::None => next.push(format!(
            "Nothing yet: the saga still has it. waybill order trace {id}"
        )),
        Cure::UnderWay { attempt } => next.push(format!(
            "Wait: {} resumed it at {}. waybill saga resume {id} --yes waits for its end, \
             and begins anew where it died.",
            attempt.by, attempt.started_at
        )),
        Cure::Complete => next.push(format!(
            "Everything is done but the order's end. Write it: \
             waybill saga resume {id} --why TEXT --yes. \
             If an undo was asked for before, it wants --undo or --complete"
        )),
        Cure::Undo { .. } => {
            for Hindrance { consumer, what } in hindrances {
                next.push(format!(
                    "{consumer} gets no messages as it is ({what}). Mend that first: waybill queues"
                ));
            }
            next.extend(failures.iter().filter(|it| is_open(it)).map(mend));
            next.push(format!(
                "When the cause is mended: waybill saga resume {id} --why TEXT --yes"
            ));
        }
    }
    next
}

fn is_open(failed: &Failed) -> bool {
    [Status::Waiting, Status::Replaying]
        .iter()
        .any(|status| status.as_str() == failed.status)
}

fn mend(failed: &Failed) -> String {
    let Failed {
        message,
        error_name,
        ..
    } = failed;
    let id = word(&failed.id);
    format!(
        "{message} failed with {error_name}. Look: waybill failures show {id}. \
         After the resume: waybill failures replay {id} --yes (it changes nothing any more, \
         and closes the failure)"
    )
}

fn text(explanation: &Explanation, output: Output) -> String {
    let mut lines = vec![format!("order     {}", explanation.order_id)];
    lines.push(format!("status    {}", output.status(explanation.status)));
    if let Some(since) = &explanation.since {
        lines.push(format!("since     {since}"));
    }
    if let Some(Reason { code, message }) = &explanation.reason {
        lines.push(format!("reason    {code}: {message}"));
    }
    lines.push(format!("saga      {}", saga(explanation)));
    section(&mut lines, "what happened", &explanation.events, |event| {
        format!("{}  {}", event.time, event.name)
    });
    section(&mut lines, "what went wrong", &explanation.faults, |it| {
        format!("{}: {}", it.what, it.error)
    });
    section(&mut lines, "what is on record", &explanation.steps, |it| {
        let stage = it.stage.name();
        format!("{:<16} {stage:<10} {}", it.step.as_str(), it.effect)
    });
    if let Cure::Undo { missing } = &explanation.cure {
        section(&mut lines, "what is not undone", missing, |it| {
            format!("{:<16} {}", it.undo, it.effect)
        });
    }
    section(&mut lines, "attempts", &explanation.attempts, attempt);
    section(&mut lines, "failures", &explanation.failures, |it| {
        let cause = it.cause.join(": ");
        format!(
            "{}  {}  {}  {}: {cause}",
            it.id, it.status, it.message, it.error_name
        )
    });
    section(&mut lines, "what to do", &explanation.next, String::clone);
    let lines: Vec<_> = lines.into_iter().map(|line| keep(&line)).collect();
    lines.join("\n")
}

/// Colours are ours; everything else that drives a terminal is not.
fn keep(line: &str) -> String {
    match line.starts_with("status ") {
        true => line.to_owned(),
        false => printable(line),
    }
}

fn saga(explanation: &Explanation) -> String {
    match &explanation.saga {
        Some(Execution { status, error, .. }) => match error {
            Some(error) => format!("{status} ({error})"),
            None => status.clone(),
        },
        None => "no execution: it never began, or its history has expired".to_owned(),
    }
}

fn attempt(attempt: &Attempt) -> String {
    let Attempt {
        started_at,
        by,
        why,
        mode,
        ..
    } = attempt;
    let outcome = attempt.outcome.as_deref().unwrap_or("unknown");
    format!("{started_at}  {mode} by {by}: {outcome} ({why})")
}

fn section<T>(lines: &mut Vec<String>, title: &str, items: &[T], line: impl Fn(&T) -> String) {
    if items.is_empty() {
        return;
    }
    lines.push(format!("{title}:"));
    lines.extend(items.iter().map(|item| format!("  {}", line(item))));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::order::tests::order;

    fn failed(status: &'static str) -> Failed {
        Failed {
            id: "f-1".to_owned(),
            status,
            consumer: "payment".to_owned(),
            message: "payment.refund".to_owned(),
            error_name: "RecordDamaged".to_owned(),
            cause: Vec::new(),
        }
    }

    #[test]
    fn what_to_do_begins_with_the_causes_and_ends_with_the_resume() {
        let order = order("needs-attention", &[]);
        let hindrance = Hindrance {
            consumer: "payment",
            what: "paused".to_owned(),
        };
        let cure = Cure::Undo {
            missing: Vec::new(),
        };
        let next = next(
            &order,
            &cure,
            &[failed("waiting"), failed("resolved")],
            &[hindrance],
        );
        assert_eq!(next.len(), 3, "{next:?}");
        assert!(next[0].contains("waybill queues"));
        assert!(next[1].contains("waybill failures show f-1"));
        assert!(next[2].contains(&format!("waybill saga resume {}", order.id)));
    }

    #[test]
    fn of_an_order_that_has_ended_nothing_is_asked() {
        let next = next(&order("failed", &[]), &Cure::None, &[], &[]);
        assert_eq!(next, ["Nothing: the order has ended."]);
    }
}
