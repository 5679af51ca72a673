//! `waybill saga`: orders that need attention.

mod diagnosis;
mod explain;
mod list;
mod resume;

use clap::Subcommand;

use crate::cli::Context;
use crate::failure::{Exit, Failure};

/// `waybill saga …`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the orders that need attention, the longest waiting first
    List(list::Arguments),
    /// Say what happened to an order, what is missing, and what to do
    Explain(explain::Arguments),
    /// Undo what is not undone yet, or write the end that is missing
    Resume(resume::Arguments),
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::List(arguments) => Box::pin(arguments.run(context)).await,
            Self::Explain(arguments) => Box::pin(arguments.run(context)).await,
            Self::Resume(arguments) => Box::pin(arguments.run(context)).await,
        }
    }
}
