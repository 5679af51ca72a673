//! `waybill stock`.

mod levels;
mod seed;
mod show;

use clap::Subcommand;

use crate::cli::Context;
use crate::failure::{Exit, Failure};

/// `waybill stock …`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Set how much of each article is available; reservations stay
    Seed(seed::Arguments),
    /// Show how much of each article is available, reserved and shipped
    Show(show::Arguments),
}

/// How many requests to the table are under way at once.
const CONCURRENCY: usize = 16;

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Seed(arguments) => Box::pin(arguments.run(context)).await,
            Self::Show(arguments) => Box::pin(arguments.run(context)).await,
        }
    }
}
