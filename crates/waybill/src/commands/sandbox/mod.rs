//! `waybill sandbox`.

mod outage;

use clap::Subcommand;

use crate::cli::Context;
use crate::failure::{Exit, Failure};

/// `waybill sandbox …`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Have a sandbox provider serve nobody for a while
    Outage(outage::Arguments),
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Outage(arguments) => Box::pin(arguments.run(context)).await,
        }
    }
}
