//! `waybill failures list`.

use clap::{Args, ValueEnum};
use failures::Failure as Record;
use serde::Serialize;

use super::filter::{Filter, OPEN};
use super::store::Store;
use super::summary::Summary;
use crate::cli::Context;
use crate::failure::{Exit, Failure};
use crate::output::{Column, Output, note, table};

/// `waybill failures list`
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    filter: Filter,
    /// At most this many
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// By which time, the latest first
    #[arg(long, value_enum, default_value_t, value_name = "BY")]
    sort: Sort,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Sort {
    /// When it failed last
    #[default]
    Failed,
    /// When the record was made
    Stored,
    /// When a worker first received it
    FirstSeen,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Listing {
    failures: Vec<Summary>,
    /// Whether there are more than are listed.
    truncated: bool,
}

impl Arguments {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let query = self.filter.query(&OPEN)?;
        let store = Store::open(context).await?;
        let limit = self.limit as usize;
        let mut found = Vec::new();
        store
            .each(&query, |failure| Ok(self.keep(&mut found, &failure, limit)))
            .await?;
        if found.is_empty() {
            store.check_named(&query).await?;
        }
        self.sort(&mut found);
        let listing = Listing {
            truncated: found.len() > limit,
            failures: found.into_iter().take(limit).collect(),
        };
        let output = context.output;
        output.result(&listing, |listing| text(listing, output))?;
        if listing.truncated {
            note("there are more: raise --limit, or say more exactly which");
        }
        Ok(Exit::Ok)
    }

    /// The store gives them in the order of their failing; any other order needs all.
    fn keep(&self, found: &mut Vec<Summary>, failure: &Record, limit: usize) -> bool {
        found.push(Summary::of(failure));
        self.sort != Sort::Failed || found.len() <= limit
    }

    fn sort(&self, found: &mut [Summary]) {
        match self.sort {
            Sort::Failed => {}
            Sort::Stored => found.sort_by_key(|row| std::cmp::Reverse(row.stored_at)),
            Sort::FirstSeen => found.sort_by(|one, other| other.first_seen.cmp(&one.first_seen)),
        }
    }
}

fn text(listing: &Listing, output: Output) -> String {
    if listing.failures.is_empty() {
        return "no failures".to_owned();
    }
    let rows = listing.failures.iter().map(|failure| {
        vec![
            Column::text(&failure.id),
            Column::Text(output.status(failure.status)),
            Column::text(&failure.consumer),
            Column::text(format!("{}/{}", failure.class, failure.error)),
            Column::number(failure.failed.to_string()),
            Column::text(failure.failed_at.to_string()),
            Column::text(failure.message_type.as_deref().unwrap_or("-")),
            Column::text(failure.order_id.as_deref().unwrap_or("-")),
            Column::text(&failure.group),
        ]
    });
    let headers = [
        "FAILURE", "STATUS", "CONSUMER", "ERROR", "FAILED", "LAST AT", "TYPE", "ORDER", "GROUP",
    ];
    table(&headers, rows)
}
