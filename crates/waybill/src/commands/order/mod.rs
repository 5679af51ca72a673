//! `waybill order`.

mod batch;
mod list;
mod place;
mod republish;
mod show;
mod trace;
mod view;
mod watch;

use clap::Subcommand;

use crate::cli::Context;
use crate::failure::{Exit, Failure};

/// `waybill order …`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Place an order, or many of the same
    Place(place::Arguments),
    /// Show an order: its status, its timeline, and why it failed
    Show(show::Arguments),
    /// List orders by status, the newest first
    List(list::Arguments),
    /// Show every message of an order on one time line, and where it waits
    Trace(trace::Arguments),
    /// Publish the events of an order again, with their sequence numbers
    Republish(republish::Arguments),
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Place(arguments) => Box::pin(arguments.run(context)).await,
            Self::Show(arguments) => Box::pin(arguments.run(context)).await,
            Self::List(arguments) => Box::pin(arguments.run(context)).await,
            Self::Trace(arguments) => Box::pin(arguments.run(context)).await,
            Self::Republish(arguments) => Box::pin(arguments.run(context)).await,
        }
    }
}
