//! `waybill failures replays`.

use clap::{Args, Subcommand};
use contracts::Timestamp;
use failures::replay::state_of;
use failures::{EntryState, Plan, PlanStore, ReplayId};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use super::store::{Store, now};
use crate::cli::Context;
use crate::failure::{Exit, Failure};
use crate::output::{Column, table};

/// How many records are read at once.
const CONCURRENCY: usize = 16;

/// `waybill failures replays [show REPLAY]`
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// At most this many
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: usize,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what became of each message of a replay
    Show {
        /// The replay's id
        #[arg(value_name = "REPLAY")]
        id: String,
    },
}

/// How many messages stand where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Counts {
    pub(super) planned: usize,
    pub(super) due: usize,
    pub(super) under_way: usize,
    pub(super) processed: usize,
    pub(super) failed_again: usize,
    pub(super) skipped: usize,
}

impl Counts {
    /// Whether each message is where it stays.
    fn is_settled(&self) -> bool {
        self.processed + self.failed_again + self.skipped == self.planned
    }
}

/// One message of a replay.
#[derive(Debug, Serialize)]
pub(super) struct EntryRow {
    id: String,
    group: String,
    /// `due`, `claimed`, `sent`, `processed`, `failed-again` or `skipped`.
    state: &'static str,
    /// The outcome, the error or the reason.
    detail: String,
}

#[derive(Debug, Serialize)]
struct Listing {
    replays: Vec<Row>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    id: String,
    by: String,
    why: String,
    cut_off: Timestamp,
    finished_at: Option<Timestamp>,
    /// Whether a process is at it.
    running: bool,
    destination: Option<String>,
    #[serde(flatten)]
    counts: Counts,
    aborted: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    row: Row,
    messages: Vec<EntryRow>,
}

impl Arguments {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let store = Store::open(context).await?;
        match self.command {
            Some(Command::Show { id }) => show(&store, &ReplayId::new(id), context).await,
            None => list(&store, self.limit, context).await,
        }
    }
}

async fn list(store: &Store, limit: usize, context: &Context) -> Result<Exit, Failure> {
    let plans = store.plans()?.plans().await.map_err(Failure::from_port)?;
    let mut rows = Vec::new();
    for plan in plans.iter().take(limit) {
        rows.push(row(plan, counts_now(store, plan).await?));
    }
    let listing = Listing { replays: rows };
    context
        .output
        .result(&listing, |listing| rows_text(&listing.replays))?;
    Ok(Exit::Ok)
}

async fn show(store: &Store, id: &ReplayId, context: &Context) -> Result<Exit, Failure> {
    let plan = store
        .plans()?
        .get_plan(id)
        .await
        .map_err(Failure::from_port)?;
    let plan = plan.ok_or_else(|| Failure::NoSuchReplay(id.to_string()))?;
    let states = states(store, &plan).await?;
    let shown = Shown {
        row: row(&plan, counts(&states)),
        messages: entry_rows(&plan, &states),
    };
    context.output.result(&shown, shown_text)?;
    Ok(Exit::Ok)
}

/// What the records say now, unless the plan says where all of its messages ended.
async fn counts_now(store: &Store, plan: &Plan) -> Result<Counts, Failure> {
    let recorded = recorded(plan);
    if plan.progress.finished_at.is_some() && recorded.is_settled() {
        return Ok(recorded);
    }
    // A plan that is listed comes without its entries.
    let plan = store.plans()?.get_plan(&plan.id).await;
    match plan.map_err(Failure::from_port)? {
        Some(plan) => Ok(counts(&states(store, &plan).await?)),
        None => Ok(recorded),
    }
}

/// What became of each message, as its record says.
async fn states(store: &Store, plan: &Plan) -> Result<Vec<EntryState>, Failure> {
    stream::iter(&plan.entries)
        .map(|entry| async move {
            let failure = store.get(&entry.failure).await?;
            Ok(state_of(plan, entry, failure.as_ref()))
        })
        .buffered(CONCURRENCY)
        .try_collect()
        .await
}

/// What the plan says of itself: as it was when its process last wrote it down.
fn recorded(plan: &Plan) -> Counts {
    let mut counts = Counts {
        planned: plan.progress.planned,
        ..Counts::default()
    };
    for tally in plan.progress.groups.values() {
        counts.due += tally.due;
        counts.under_way += tally.under_way;
        counts.processed += tally.processed;
        counts.failed_again += tally.failed_again;
        counts.skipped += tally.skipped;
    }
    counts
}

/// What the records say.
pub(super) fn counts(states: &[EntryState]) -> Counts {
    let mut counts = Counts {
        planned: states.len(),
        ..Counts::default()
    };
    for state in states {
        *match state {
            EntryState::Due => &mut counts.due,
            EntryState::Claimed | EntryState::Sent => &mut counts.under_way,
            EntryState::Processed(_) => &mut counts.processed,
            EntryState::FailedAgain(_) => &mut counts.failed_again,
            EntryState::Skipped(_) => &mut counts.skipped,
        } += 1;
    }
    counts
}

fn row(plan: &Plan, counts: Counts) -> Row {
    let runner = plan.progress.runner.as_ref();
    Row {
        id: plan.id.to_string(),
        by: plan.by.clone(),
        why: plan.why.clone(),
        cut_off: plan.cut_off,
        finished_at: plan.progress.finished_at,
        running: runner.is_some_and(|runner| runner.until > now()),
        destination: plan.destination.clone(),
        counts,
        aborted: plan
            .progress
            .aborted
            .iter()
            .map(ToString::to_string)
            .collect(),
    }
}

pub(super) fn entry_rows(plan: &Plan, states: &[EntryState]) -> Vec<EntryRow> {
    let entries = plan.entries.iter().zip(states);
    entries
        .map(|(entry, state)| {
            let (state, detail) = named(state);
            EntryRow {
                id: entry.failure.to_string(),
                group: entry.group.to_string(),
                state,
                detail: detail.to_owned(),
            }
        })
        .collect()
}

fn named(state: &EntryState) -> (&'static str, &str) {
    match state {
        EntryState::Due => ("due", ""),
        EntryState::Claimed => ("claimed", "whether it was sent is unknown"),
        EntryState::Sent => ("sent", "no worker has confirmed it yet"),
        EntryState::Processed(outcome) => ("processed", outcome),
        EntryState::FailedAgain(name) => ("failed-again", name),
        EntryState::Skipped(why) => ("skipped", why),
    }
}

fn rows_text(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "no replays".to_owned();
    }
    let line = |row: &Row| {
        let state = match (row.finished_at, row.running) {
            (Some(_), _) => "finished",
            (None, true) => "running",
            (None, false) => "interrupted",
        };
        let counts = row.counts;
        vec![
            Column::text(&row.id),
            Column::text(state),
            Column::text(row.cut_off.to_string()),
            Column::number(counts.planned.to_string()),
            Column::number(counts.processed.to_string()),
            Column::number(counts.failed_again.to_string()),
            Column::number(counts.under_way.to_string()),
            Column::number((counts.due + counts.skipped).to_string()),
            Column::text(&row.by),
            Column::text(&row.why),
        ]
    };
    let headers = [
        "REPLAY",
        "STATE",
        "CUT-OFF",
        "PLANNED",
        "PROCESSED",
        "AGAIN",
        "UNDER WAY",
        "NOT SENT",
        "BY",
        "WHY",
    ];
    table(&headers, rows.iter().map(line))
}

fn shown_text(shown: &Shown) -> String {
    let rows = shown.messages.iter().map(|message| {
        vec![
            Column::text(&message.id),
            Column::text(message.state),
            Column::text(&message.detail),
            Column::text(&message.group),
        ]
    });
    format!(
        "{}\n\n{}",
        rows_text(std::slice::from_ref(&shown.row)),
        table(&["FAILURE", "STATE", "DETAIL", "GROUP"], rows)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_settled_only_when_each_message_has_ended() {
        let settled = Counts {
            planned: 3,
            processed: 1,
            failed_again: 1,
            skipped: 1,
            ..Counts::default()
        };
        assert!(settled.is_settled());
        let under_way = Counts {
            processed: 0,
            under_way: 1,
            ..settled
        };
        let due = Counts {
            skipped: 0,
            due: 1,
            ..settled
        };
        // Nobody has counted yet.
        let uncounted = Counts {
            planned: 3,
            ..Counts::default()
        };
        for counts in [under_way, due, uncounted] {
            assert!(!counts.is_settled(), "{counts:?}");
        }
    }
}
