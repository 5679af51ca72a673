//! `waybill order trace`: every message of an order, on one time line.

mod gather;
mod line;
mod waiting;

use clap::Args;
use domain::OrderId;
use serde::Serialize;

use crate::cli::Context;
use crate::failure::{Exit, Failure};
use crate::output::{Output, note, printable};
use crate::records::failures::DeadLetter;
use crate::records::steps::StepState;
use line::Line;
use waiting::Waiting;

/// `waybill order trace ID`
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The order's id
    id: OrderId,
}

/// What is known of an order, from everywhere.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Trace {
    order_id: String,
    status: &'static str,
    /// What happened, the earliest first.
    lines: Vec<Line>,
    /// Charge, reservation and shipment, as they are on record now.
    steps: Vec<StepState>,
    /// Its messages that wait to be drained into the failure store.
    dead_letters: Vec<DeadLetter>,
    /// Its messages that are not answered or not processed, and where they must be.
    waiting: Vec<Waiting>,
    /// What could not be looked at, or is known in part.
    notes: Vec<String>,
}

impl Arguments {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let deployment = context.settings.deployment().await?;
        let found = Box::pin(gather::gather(&deployment, self.id)).await?;
        let trace = Trace {
            order_id: self.id.to_string(),
            status: found.status(),
            lines: line::lines(&found),
            waiting: waiting::waiting(&found),
            notes: found.notes(),
            steps: found.steps,
            dead_letters: found.dead_letters.found,
        };
        let output = context.output;
        output.result(&trace, |trace| text(trace, output))?;
        if !output.is_json() {
            for text in &trace.notes {
                note(text);
            }
        }
        Ok(Exit::Ok)
    }
}

fn text(trace: &Trace, output: Output) -> String {
    let mut lines = vec![
        format!("order   {}", trace.order_id),
        format!("status  {}", output.status(trace.status)),
        line::table(&trace.lines),
    ];
    lines.push("steps now:".to_owned());
    lines.extend(trace.steps.iter().map(|it| {
        let (step, stage) = (it.step.as_str(), it.stage.name());
        printable(&format!("  {step:<16} {stage:<10} {}", it.effect))
    }));
    if !trace.waiting.is_empty() {
        lines.push("waiting:".to_owned());
        let waiting = trace.waiting.iter();
        lines.extend(waiting.map(|it| printable(&format!("  {it}"))));
    }
    lines.join("\n")
}
