//! `waybill queues`: what waits, and whether it is let through.

mod gauge;
mod pause;
mod show;

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::cli::Context;
use crate::failure::{Exit, Failure};

/// `waybill queues …`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Look again and again, until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// Seconds between two looks
    #[arg(long, default_value_t = 5, requires = "watch", value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Stop a consumer: its messages wait, and use up no receives
    Pause(pause::Pause),
    /// Let a consumer that was paused go on
    Resume(pause::Resume),
}

impl Arguments {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let interval = self.watch.then(|| Duration::from_secs(self.interval));
        match self.command {
            Some(Command::Pause(pause)) => Box::pin(pause.run(context)).await,
            Some(Command::Resume(resume)) => Box::pin(resume.run(context)).await,
            None => Box::pin(show::run(context, interval)).await,
        }
    }
}
