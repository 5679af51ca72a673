//! `waybill failures`.

mod bulk;
mod consumers;
mod difference;
mod drain;
mod edit;
mod editor;
mod export;
mod filter;
mod groups;
mod list;
mod note;
mod patch;
mod replay;
mod replays;
mod report;
mod show;
mod store;
mod summary;

use clap::Subcommand;

use crate::cli::Context;
use crate::failure::{Exit, Failure};

/// `waybill failures …`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List failures, the latest first; those that are open unless --status says otherwise
    List(list::Arguments),
    /// List groups of like failures: how many, since when, what was noted and replayed
    Groups(groups::Arguments),
    /// Show failures: the message, what went wrong, what was done, and the order
    Show(show::Arguments),
    /// Write something down about a failure or a group
    Note(note::Arguments),
    /// Change a message that cannot succeed as it is; the copy waits, the original is never sent
    Edit(edit::Arguments),
    /// Put failures aside; they can be restored until their time is over
    Archive(bulk::Archive),
    /// Take failures out of the archive; they wait again
    Restore(bulk::Restore),
    /// Say that failures are done without a replay
    Resolve(bulk::Resolve),
    /// Write failures to a file or to stdout, as JSON Lines or CSV
    Export(export::Arguments),
    /// Send messages to their consumers again: a dry run unless --yes
    Replay(replay::Arguments),
    /// List replays, or show what became of each message of one
    Replays(replays::Arguments),
    /// Take what waits in dead-letter queues into the failure store now
    Drain(drain::Arguments),
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::List(arguments) => Box::pin(arguments.run(context)).await,
            Self::Groups(arguments) => Box::pin(arguments.run(context)).await,
            Self::Show(arguments) => Box::pin(arguments.run(context)).await,
            Self::Note(arguments) => Box::pin(arguments.run(context)).await,
            Self::Edit(arguments) => Box::pin(arguments.run(context)).await,
            Self::Archive(arguments) => Box::pin(arguments.run(context)).await,
            Self::Restore(arguments) => Box::pin(arguments.run(context)).await,
            Self::Resolve(arguments) => Box::pin(arguments.run(context)).await,
            Self::Export(arguments) => Box::pin(arguments.run(context)).await,
            Self::Replay(arguments) => Box::pin(arguments.run(context)).await,
            Self::Replays(arguments) => Box::pin(arguments.run(context)).await,
            Self::Drain(arguments) => Box::pin(arguments.run(context)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::Cli;

    fn parses(line: &str) -> bool {
        let line = format!("waybill failures {line}");
        Cli::try_parse_from(line.split_whitespace()).is_ok()
    }

    #[test]
    fn what_is_said_often_is_understood() {
        for line in [
            "list",
            "list --group g --consumer payment --class poison --error E --type order.placed --order 7f0d2f5e-3c5b-5a8e-9a39-6f9a2f1c0b11",
            "list --status waiting,archived --since 2h --until 2026-11-21T17:56:15Z --text x",
            "list --replay r --limit 5 --sort first-seen --output json",
            "groups --all",
            "show f-1 f-2 --personal",
            "note f-1 text",
            "note --group g text",
            "edit f-1 --patch [] --yes --why x",
            "edit f-1 --body @file",
            "archive f-1 f-2 --why x --keep 30d",
            "archive --group g --why x",
            "archive --group g --why x --yes",
            "restore --status archived",
            "resolve f-1 --why x",
            "export --format csv --file out.csv --status all",
            "replay f-1",
            "replay --group g --canary 2 --rate 5 --yes --why x --again --no-wait --timeout 60",
            "replay f-1 --to payment --force --yes",
            "replay --resume r-1 --yes --timeout 60",
            "replays",
            "replays show r-1",
            "drain",
            "drain payment-dlq quarantine",
            "drain payment",
            "list --consumer unknown --class unknown --status all",
        ] {
            assert!(parses(line), "{line}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for line in [
            "list --status Waiting",
            "list --class Poison",
            "list --consumer paymnet",
            "list --type payment.chrage",
            "list --order o",
            "list --order=",
            "list --since yesterday",
            "list --limit 0",
            "show",
            "note",
            "edit f-1 --patch [] --body {}",
            "archive f-1",
            "archive f-1 --why x --keep forever",
            "archive f-1 --why x --keep 1h",
            "archive f-1 --why=",
            "resolve f-1 --why=",
            "drain paymnet-dlq",
            "resolve --why x",
            "export --format xml",
            "replay f-1 --rate 0",
            "replay f-1 --to nobody",
            "replay f-1 --resume r-1",
            "replay --resume r-1 --group g",
        ] {
            assert!(!parses(line), "{line}");
        }
    }
}
