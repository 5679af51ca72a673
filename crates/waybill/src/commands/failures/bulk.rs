//! `waybill failures archive`, `restore` and `resolve`.

use std::time::Duration;

use clap::Args;
use failures::{Change, FailureId, Status};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::filter::{Filter, duration, failure_id};
use super::report::Report;
use super::store::Store;
use crate::cli::Context;
use crate::failure::{Exit, Failure};
use crate::output::note;

/// How many records are changed at once.
const CONCURRENCY: usize = 8;

/// So many ids are read before any of them is changed: a page that changes while it is
/// read loses its place.
const AT_ONCE: usize = 500;

/// `waybill failures archive`
#[derive(Debug, Args)]
pub(crate) struct Archive {
    #[command(flatten)]
    which: Which,
    /// Why
    #[arg(long, value_name = "TEXT")]
    why: String,
    /// How long they can be restored; then they are forgotten
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
    #[arg(long, value_name = "TEXT")]
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
}

impl Archive {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let change = Change::Archive {
            why: self.why,
            keep: self.keep,
        };
        let report = self.which.change(context, Status::Waiting, &change).await?;
        report.print("archived", context.output)
    }
}

impl Restore {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let report = self
            .which
            .change(context, Status::Archived, &Change::Restore)
            .await?;
        report.print("restored", context.output)
    }
}

impl Resolve {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let store = Store::open(context).await?;
        let by = store.operator().await?;
        for failure in store.named(&self.ids).await? {
            if failure.status == Status::Replaying {
                note(&format!(
                    "{} is being replayed: a worker may still process it",
                    failure.id
                ));
            }
        }
        let change = Change::Resolve { why: self.why };
        let report = change_all(&store, &self.ids, &change, &by).await?;
        report.print("resolved", context.output)
    }
}

impl Which {
    async fn change(
        &self,
        context: &Context,
        from: Status,
        change: &Change,
    ) -> Result<Report, Failure> {
        match (self.ids.is_empty(), self.filter.is_empty()) {
            (true, true) => {
                let message = "say which: give ids, or flags such as --group";
                return Err(Failure::Input(message.to_owned()));
            }
            (false, false) => {
                let message = "give ids or flags that choose failures, not both";
                return Err(Failure::Input(message.to_owned()));
            }
            _ => {}
        }
        let query = self.filter.query(&[from])?;
        let store = Store::open(context).await?;
        let by = store.operator().await?;
        if !self.ids.is_empty() {
            return change_all(&store, &self.ids, change, &by).await;
        }
        let mut report = Report::default();
        let mut seen = std::collections::HashSet::new();
        loop {
            let mut ids = Vec::new();
            let gather = |failure: failures::Failure| {
                if failure.status == from && seen.insert(failure.id.clone()) {
                    ids.push(failure.id);
                }
                Ok(ids.len() < AT_ONCE)
            };
            store.each(&query, gather).await?;
            if ids.is_empty() {
                return Ok(report);
            }
            change_some(&store, &ids, change, &by, &mut report).await?;
        }
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
    while let Some((id, changed)) = changes.try_next().await? {
        report.add(id.as_str(), &changed);
    }
    Ok(())
}

fn keep(text: &str) -> Result<Duration, String> {
    match duration(text) {
        Some(seconds) if seconds > 0 => Ok(Duration::from_secs(seconds)),
        _ => Err("must be a time such as 90d or 12h".to_owned()),
    }
}
