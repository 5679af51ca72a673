//! `waybill failures archive`, `restore` and `resolve`.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use clap::Args;
use failures::{Change, FailureId, Query, Status};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use super::filter::{Filter, duration, failure_id};
use super::report::Report;
use super::store::Store;
use crate::cli::Context;
use crate::failure::{Exit, Failure};
use crate::output::{Column, note, printable, table};

/// How many records are changed at once.
const CONCURRENCY: usize = 8;

/// So many ids are read before any of them is changed: a page that changes while it is
/// read loses its place.
const AT_ONCE: usize = 500;

/// What is put aside for less could be gone before anybody misses it.
const LEAST_KEEP: Duration = Duration::from_secs(24 * 60 * 60);

/// `waybill failures archive`
#[derive(Debug, Args)]
pub(crate) struct Archive {
    #[command(flatten)]
    which: Which,
    /// Why
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    why: String,
    /// How long they can be restored, at least 1d; then they are forgotten
    #[arg(long, default_value = "90d", value_name = "TIME", value_parser = keep)]
    keep: Duration,
}

/// `waybill failures restore`
#[derive(Debug, Args)]
pub(crate) struct Restore {
    #[command(flatten)]
    which: Which,
}

/// `waybill failures resolve`
#[derive(Debug, Args)]
pub(crate) struct Resolve {
    /// The failures' ids
    #[arg(required = true, value_name = "ID", value_parser = failure_id)]
    ids: Vec<FailureId>,
    /// What was done about them
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    why: String,
}

/// Named failures, or all that fit.
#[derive(Debug, Args)]
struct Which {
    /// The failures' ids; or choose by flags
    #[arg(value_name = "ID", value_parser = failure_id)]
    ids: Vec<FailureId>,
    #[command(flatten)]
    filter: Filter,
    /// Do it; without it, flags only say how many of which groups are meant. Named ids need no --yes
    #[arg(long)]
    yes: bool,
}

/// What would be changed.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct DryRun {
    dry_run: bool,
    groups: Vec<GroupRow>,
    messages: usize,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct GroupRow {
    group: String,
    messages: usize,
}

impl Archive {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let change = Change::Archive {
            why: self.why,
            keep: self.keep,
        };
        self.which
            .change(context, Status::Waiting, &change, "archived")
            .await
    }
}

impl Restore {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        self.which
            .change(context, Status::Archived, &Change::Restore, "restored")
            .await
    }
}

impl Resolve {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let store = Store::open(context).await?;
        let by = store.operator().await?;
        for failure in store.named(&self.ids).await? {
            if failure.status == Status::Replaying {
                note(&printable(&format!(
                    "{} is being replayed: a worker may still process it",
                    failure.id
                )));
            }
        }
        let change = Change::Resolve { why: self.why };
        let report = change_all(&store, &self.ids, &change, &by).await?;
        report.print("resolved", context.output)
    }
}

impl Which {
    /// Changes those that are named, or those of the status `from` that fit.
    async fn change(
        &self,
        context: &Context,
        from: Status,
        change: &Change,
        done: &str,
    ) -> Result<Exit, Failure> {
        let query = self.query(from)?;
        let store = Store::open(context).await?;
        if !self.ids.is_empty() {
            let by = store.operator().await?;
            let report = change_all(&store, &self.ids, change, &by).await?;
            return report.print(done, context.output);
        }
        if !self.yes {
            return dry_run(&store, &query, done, context).await;
        }
        let report = change_found(&store, &query, from, change).await?;
        if report.is_empty() {
            store.check_named(&query).await?;
        }
        report.print(done, context.output)
    }

    /// Only failures of the status `from` can be changed, so no others are looked for.
    fn query(&self, from: Status) -> Result<Query, Failure> {
        let wrong = |message: &str| Err(Failure::Input(message.to_owned()));
        match (self.ids.is_empty(), self.filter.is_empty()) {
            (true, true) => return wrong("say which: give ids, or flags such as --group"),
            (false, false) => return wrong("give ids or flags that choose failures, not both"),
            _ => {}
        }
        let query = self.filter.query(&[from])?;
        if !query.statuses.contains(&from) {
            return wrong(&format!(
                "only those that are {from} can be chosen: leave out --status, or say --status {from}",
                from = from.as_str()
            ));
        }
        Ok(Query {
            statuses: vec![from],
            ..query
        })
    }
}

/// Says how many of which groups fit, and changes nothing.
async fn dry_run(
    store: &Store,
    query: &Query,
    done: &str,
    context: &Context,
) -> Result<Exit, Failure> {
    let mut groups = BTreeMap::new();
    let count = |failure: failures::Failure| {
        *groups.entry(failure.group.to_string()).or_default() += 1;
        Ok(true)
    };
    store.each(query, count).await?;
    if groups.is_empty() {
        store.check_named(query).await?;
    }
    let dry_run = DryRun::of(groups);
    context.output.result(&dry_run, DryRun::text)?;
    note(&format!(
        "nothing was {done}: this was a dry run. --yes does it"
    ));
    Ok(Exit::Ok)
}

impl DryRun {
    fn of(groups: BTreeMap<String, usize>) -> Self {
        Self {
            dry_run: true,
            messages: groups.values().sum(),
            groups: groups
                .into_iter()
                .map(|(group, messages)| GroupRow { group, messages })
                .collect(),
        }
    }

    fn text(&self) -> String {
        if self.groups.is_empty() {
            return "no failures".to_owned();
        }
        let rows = self.groups.iter().map(|row| {
            vec![
                Column::text(&row.group),
                Column::number(row.messages.to_string()),
            ]
        });
        table(&["GROUP", "MESSAGES"], rows)
    }
}

async fn change_found(
    store: &Store,
    query: &Query,
    from: Status,
    change: &Change,
) -> Result<Report, Failure> {
    let by = store.operator().await?;
    let mut report = Report::default();
    let mut seen = HashSet::new();
    loop {
        let mut ids = Vec::new();
        let gather = |failure: failures::Failure| {
            if failure.status == from && seen.insert(failure.id.clone()) {
                ids.push(failure.id);
            }
            Ok(ids.len() < AT_ONCE)
        };
        store.each(query, gather).await?;
        if ids.is_empty() {
            return Ok(report);
        }
        change_some(store, &ids, change, &by, &mut report).await?;
    }
}

async fn change_all(
    store: &Store,
    ids: &[FailureId],
    change: &Change,
    by: &str,
) -> Result<Report, Failure> {
    let mut report = Report::default();
    change_some(store, ids, change, by, &mut report).await?;
    Ok(report)
}

async fn change_some(
    store: &Store,
    ids: &[FailureId],
    change: &Change,
    by: &str,
    report: &mut Report,
) -> Result<(), Failure> {
    let mut changes = stream::iter(ids)
        .map(|id| async move { Ok::<_, Failure>((id, store.change(id, change, by).await?)) })
        .buffered(CONCURRENCY);
    loop {
        match changes.try_next().await {
            Ok(Some((id, changed))) => report.add(id.as_str(), &changed),
            Ok(None) => return Ok(()),
            Err(failure) => {
                report.broken_off();
                return Err(failure);
            }
        }
    }
}

fn keep(text: &str) -> Result<Duration, String> {
    let time = duration(text).map(Duration::from_secs);
    time.filter(|time| *time >= LEAST_KEEP)
        .ok_or_else(|| "must be a time such as 90d or 36h, and at least 1d".to_owned())
}

/// The history must say something to whoever reads it.
fn reason(text: &str) -> Result<String, String> {
    match text.contains(is_visible) {
        true => Ok(text.to_owned()),
        false => Err("must have visible text".to_owned()),
    }
}

fn is_visible(character: char) -> bool {
    let has_no_width = matches!(
        character,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    );
    !(character.is_whitespace() || character.is_control() || has_no_width)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        which: Which,
    }

    fn query(line: &str) -> Result<Query, Failure> {
        let line = Line::try_parse_from(format!("archive {line}").split_whitespace());
        line.unwrap().which.query(Status::Waiting)
    }

    #[test]
    fn only_what_is_in_the_right_status_is_chosen() {
        for line in [
            "--error E",
            "--status all",
            "--status waiting,resolved",
            "--status open",
        ] {
            assert_eq!(query(line).unwrap().statuses, [Status::Waiting], "{line}");
        }
        for line in [
            "--status resolved",
            "--status archived,edited --error E",
            "",
            "f-1 --error E",
        ] {
            assert!(matches!(query(line), Err(Failure::Input(_))), "{line}");
        }
    }

    #[test]
    fn a_dry_run_counts_messages_by_group() {
        let groups = BTreeMap::from([("a".to_owned(), 2), ("b".to_owned(), 1)]);
        let dry_run = DryRun::of(groups);
        assert_eq!(
            serde_json::to_value(&dry_run).unwrap(),
            serde_json::json!({
                "dryRun": true,
                "groups": [{"group": "a", "messages": 2}, {"group": "b", "messages": 1}],
                "messages": 3,
            })
        );
    }

    #[test]
    fn a_reason_can_be_read() {
        for text in ["", "  ", "\t\n", "\u{200b}", "\u{feff}\u{a0}", "\u{1b}"] {
            assert!(reason(text).is_err(), "{text:?}");
        }
        assert_eq!(reason("by the sender").unwrap(), "by the sender");
    }

    #[test]
    fn what_is_archived_is_kept_for_a_day_at_least() {
        for text in ["0d", "1s", "23h", "86399s", "forever", "-1d"] {
            assert!(keep(text).is_err(), "{text}");
        }
        assert_eq!(keep("24h").unwrap(), LEAST_KEEP);
    }
}
