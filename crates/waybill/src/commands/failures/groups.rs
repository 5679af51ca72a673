//! `waybill failures groups`.

use std::collections::BTreeMap;

use clap::Args;
use contracts::Timestamp;
use failures::{
    Group, GroupId, GroupNote, GroupStore, Plan, PlanStore, Status, Summary, Tally, summarize,
};
use serde::Serialize;

use super::filter::OPEN;
use super::store::Store;
use crate::cli::Context;
use crate::failure::{Exit, Failure};
use crate::output::{Column, printable, table};

/// How many of the last replays of a group are told.
const REPLAYS: usize = 3;

/// `waybill failures groups`
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Also groups that have no open failures, and counts of those that are not open
    #[arg(long)]
    all: bool,
    /// Only this consumer's
    #[arg(long, value_name = "CONSUMER")]
    consumer: Option<String>,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Listing {
    groups: Vec<Listed>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    #[serde(flatten)]
    summary: Summary,
    /// How many wait or are being replayed.
    open: usize,
    /// The last note.
    note: Option<String>,
    /// All notes that are kept: who wrote what, and when.
    notes: Vec<GroupNote>,
    /// When people were last told of it.
    told_at: Option<Timestamp>,
    /// The last replays, the latest first.
    replays: Vec<Replayed>,
}

/// What a replay did to a group.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Replayed {
    id: String,
    by: String,
    at: Timestamp,
    finished_at: Option<Timestamp>,
    #[serde(flatten)]
    tally: Tally,
    aborted: bool,
}

impl Arguments {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let store = Store::open(context).await?;
        let query = failures::Query {
            statuses: match self.all {
                true => Status::ALL.to_vec(),
                false => OPEN.to_vec(),
            },
            consumer: self.consumer,
            ..failures::Query::default()
        };
        let mut found = Vec::new();
        let keep = |mut failure: failures::Failure| {
            // Only what is counted is kept: bodies of thousands would be much.
            failure.letter.body = String::new();
            failure.letter.attributes = BTreeMap::new();
            failure.history = Vec::new();
            found.push(failure);
            Ok(true)
        };
        store.each(&query, keep).await?;
        let known = store.groups()?.groups().await;
        let known = known.map_err(Failure::from_port)?;
        let plans = store.plans()?.plans().await.map_err(Failure::from_port)?;
        let listing = Listing {
            groups: listed(summarize(&found), &known, &plans),
        };
        context.output.result(&listing, text)?;
        Ok(Exit::Ok)
    }
}

fn listed(summaries: Vec<Summary>, known: &[Group], plans: &[Plan]) -> Vec<Listed> {
    let known: BTreeMap<&GroupId, &Group> = known.iter().map(|group| (&group.id, group)).collect();
    let with_more = |summary: Summary| {
        let group = known.get(&summary.id);
        let count = |status: &Status| summary.counts.get(status).copied().unwrap_or_default();
        Listed {
            open: OPEN.iter().map(count).sum(),
            note: group.and_then(|group| Some(group.notes.last()?.text.clone())),
            notes: group.map(|group| group.notes.clone()).unwrap_or_default(),
            told_at: group.and_then(|group| group.told_at),
            replays: replays_of(&summary.id, plans),
            summary,
        }
    };
    summaries.into_iter().map(with_more).collect()
}

/// Plans come the latest first.
fn replays_of(group: &GroupId, plans: &[Plan]) -> Vec<Replayed> {
    let of_group = plans.iter().filter_map(|plan| {
        Some(Replayed {
            id: plan.id.to_string(),
            by: plan.by.clone(),
            at: plan.cut_off,
            finished_at: plan.progress.finished_at,
            tally: *plan.progress.groups.get(group)?,
            aborted: plan.progress.aborted.contains(group),
        })
    });
    of_group.take(REPLAYS).collect()
}

fn text(listing: &Listing) -> String {
    if listing.groups.is_empty() {
        return "no groups of failures".to_owned();
    }
    let rows = listing.groups.iter().map(|group| {
        let count = |status| {
            group
                .summary
                .counts
                .get(&status)
                .copied()
                .unwrap_or_default()
        };
        vec![
            Column::text(group.summary.id.as_str()),
            Column::text(&group.summary.class),
            Column::number(count(Status::Waiting).to_string()),
            Column::number(count(Status::Replaying).to_string()),
            Column::number(count(Status::Resolved).to_string()),
            Column::number(group.summary.failed_again.to_string()),
            Column::text(group.summary.first_failed_at.to_string()),
            Column::text(group.summary.last_failed_at.to_string()),
        ]
    });
    let headers = [
        "GROUP",
        "CLASS",
        "WAITING",
        "REPLAYING",
        "RESOLVED",
        "AGAIN",
        "FIRST",
        "LAST",
    ];
    let mut text = table(&headers, rows);
    for group in &listing.groups {
        text.push_str(&more(group));
    }
    text
}

fn more(group: &Listed) -> String {
    let mut lines = vec![group.summary.id.to_string()];
    if !group.summary.cause.is_empty() {
        lines.push(format!("  cause   {}", group.summary.cause));
    }
    for note in &group.notes {
        let GroupNote { at, by, text } = note;
        lines.push(format!("  note    {text} ({by}, {at})"));
    }
    for replay in &group.replays {
        let tally = replay.tally;
        lines.push(format!(
            "  replay  {} at {} by {}: {} processed, {} failed again, {} under way, {} not sent{}",
            replay.id,
            replay.at,
            replay.by,
            tally.processed,
            tally.failed_again,
            tally.under_way,
            tally.due + tally.skipped,
            if replay.aborted { ", given up" } else { "" },
        ));
    }
    let lines: Vec<_> = lines.iter().map(|line| printable(line)).collect();
    format!("\n\n{}", lines.join("\n"))
}
