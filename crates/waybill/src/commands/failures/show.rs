//! `waybill failures show`.

use clap::Args;
use domain::OrderId;
use failures::FailureId;
use ports::OrderReader;
use serde::Serialize;

use super::filter::failure_id;
use super::store::{Store, now};
use super::summary::{Detail, Order, OrderEvent, Summary};
use crate::cli::Context;
use crate::failure::{Exit, Failure};
use crate::output::{Output, printable, printable_lines};

/// `waybill failures show ID…`
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The failures' ids
    #[arg(required = true, value_name = "ID", value_parser = failure_id)]
    ids: Vec<FailureId>,
    /// Show personal data in the message too, and a body that is no JSON object; a task token is
    /// never shown
    #[arg(long)]
    personal: bool,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Listing {
    failures: Vec<Detail>,
}

impl Arguments {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let store = Store::open(context).await?;
        let (mut failures, mut missing) = (Vec::new(), Vec::new());
        for id in &self.ids {
            match store.get(id).await? {
                Some(failure) => {
                    let mut detail = Detail::of(&failure, self.personal);
                    detail.order = order(&store, detail.summary.order_id.as_deref()).await?;
                    failures.push(detail);
                }
                None => missing.push(id.to_string()),
            }
        }
        let listing = Listing { failures };
        if !listing.failures.is_empty() || context.output.is_json() {
            context
                .output
                .result(&listing, |listing| text(listing, context.output))?;
        }
        match missing.is_empty() {
            true => Ok(Exit::Ok),
            false => Err(Failure::NotInStore(missing)),
        }
    }
}

/// The order as it is now. A message may name one that never was.
async fn order(store: &Store, id: Option<&str>) -> Result<Option<Order>, Failure> {
    let Some(id) = id.and_then(|id| id.parse::<OrderId>().ok()) else {
        return Ok(None);
    };
    let found = store.orders()?.find(id).await.map_err(Failure::from_port)?;
    Ok(found.map(|order| Order {
        status: order.status.as_str().to_owned(),
        timeline: order
            .timeline
            .into_iter()
            .map(|entry| OrderEvent {
                event_type: entry.event_type,
                time: entry.time,
            })
            .collect(),
    }))
}

fn text(listing: &Listing, output: Output) -> String {
    let shown = listing.failures.iter().map(|detail| one(detail, output));
    shown.collect::<Vec<_>>().join("\n\n")
}

fn one(detail: &Detail, output: Output) -> String {
    let mut lines = Lines::default();
    let summary = &detail.summary;
    lines.field("failure", &summary.id);
    lines.raw("status", &output.status(summary.status));
    lines.field("since", &since(summary, detail));
    lines.field("group", &summary.group);
    lines.field("consumer", &summary.consumer);
    lines.field("error", &format!("{}/{}", summary.class, summary.error));
    for cause in &detail.cause {
        lines.field("  because", cause);
    }
    lines.field(
        "failed",
        &format!("{} times, last at {}", summary.failed, summary.failed_at),
    );
    lines.field("attempts", &format!("{} the last time", detail.attempts));
    lines.maybe("first seen", summary.first_seen.as_deref());
    lines.field("found in", &detail.found_in);
    lines.maybe("came from", detail.source_queue.as_deref());
    lines.maybe("in the logs", detail.source_message_id.as_deref());
    lines.maybe("type", summary.message_type.as_deref());
    lines.maybe("message id", detail.event_id.as_deref());
    lines.maybe("correlation", detail.correlation_id.as_deref());
    lines.maybe("schema", detail.schema.as_deref());
    lines.maybe("edit of", detail.edit_of.as_deref());
    lines.maybe("edited as", detail.edited_as.as_deref());
    lines.maybe("note", summary.note.as_deref());
    if let Some(resolution) = &detail.resolution {
        let how = format!(
            "{} by {}: {}",
            resolution.at, resolution.by, resolution.outcome
        );
        lines.field("resolved", &how);
    }
    if let Some(at) = detail.expires_at {
        lines.field("forgotten", &at.to_string());
    }
    for (name, value) in &detail.attributes {
        lines.field("attribute", &format!("{name}: {value}"));
    }
    lines.block("body", &pretty(&detail.body));
    lines.block("history", &history(detail));
    if let Some(order) = &detail.order {
        let events = order
            .timeline
            .iter()
            .map(|event| format!("{}  {}", event.time, event.event_type));
        let events = events.collect::<Vec<_>>().join("\n");
        let id = summary.order_id.as_deref().unwrap_or_default();
        lines.block(&format!("order {id} is {}", order.status), &events);
    }
    lines.0.join("\n")
}

/// Where it stands, and for how long.
fn since(summary: &Summary, detail: &Detail) -> String {
    match (&summary.replay, summary.status) {
        (Some(replay), "replaying") => {
            let seconds = now()
                .epoch_millis()
                .saturating_sub(replay.claimed_at.epoch_millis())
                / 1000;
            let sent = replay
                .sent_at
                .map_or("not confirmed as sent".to_owned(), |at| {
                    format!("sent {at}")
                });
            format!(
                "{} ({seconds} s): replay {} to {} by {}, {sent}; no worker has confirmed it yet",
                replay.claimed_at, replay.id, replay.destination, replay.by
            )
        }
        _ => {
            let last = detail.history.last();
            last.map_or_else(
                || summary.stored_at.to_string(),
                |entry| entry.at.to_string(),
            )
        }
    }
}

fn history(detail: &Detail) -> String {
    let entries = detail.history.iter().map(|entry| {
        let text = format!(
            "{}  {:<16} {}  {}",
            entry.at, entry.action, entry.by, entry.detail
        );
        text.trim_end().to_owned()
    });
    entries.collect::<Vec<_>>().join("\n")
}

/// Indented where it is JSON.
pub(super) fn pretty(body: &str) -> String {
    match serde_json::from_str::<serde_json::Value>(body) {
        Ok(message) => format!("{message:#}"),
        Err(_) => body.to_owned(),
    }
}

#[derive(Default)]
struct Lines(Vec<String>);

impl Lines {
    fn field(&mut self, name: &str, value: &str) {
        self.raw(name, &printable(value));
    }

    fn maybe(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.field(name, value);
        }
    }

    /// A value that is safe to print already.
    fn raw(&mut self, name: &str, value: &str) {
        self.0.push(format!("{name:<12} {value}"));
    }

    fn block(&mut self, name: &str, text: &str) {
        self.0.push(printable(name));
        let lines = printable_lines(text);
        self.0.extend(lines.lines().map(|line| format!("  {line}")));
    }
}
