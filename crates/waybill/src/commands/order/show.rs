//! `waybill order show`.

use clap::Args;
use domain::OrderId;

use super::{view, watch};
use crate::api::order::Order;
use crate::api::{Api, ApiArgs};
use crate::cli::Context;
use crate::failure::{Exit, Failure};
use crate::output::{Output, Spinner};

/// `waybill order show ID`
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The order's id
    id: OrderId,
    /// Follow the order until it is in a final state
    #[arg(long)]
    watch: bool,
    /// Stop watching after this many seconds
    #[arg(long, requires = "watch", value_name = "SECONDS")]
    timeout: Option<u64>,
    #[command(flatten)]
    api: ApiArgs,
}

impl Arguments {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let api = self.api.connect(&context.settings).await?;
        if self.watch {
            let order = self.watch(&api, context.output).await?;
            return Ok(watch::exit_of(&order));
        }
        let order = api.order(&self.id.to_string()).await?;
        context
            .output
            .result(&order, |order| view::whole(order, context.output))?;
        Ok(Exit::Ok)
    }

    /// Prints events as they come; as JSON, only the last state, so that there is one document.
    async fn watch(&self, api: &Api, output: Output) -> Result<Order, Failure> {
        let spinner = Spinner::new("looking");
        let mut printed = None;
        let seen = |order: &Order| {
            spinner.say(&order.status);
            if output.is_json() {
                return Ok(());
            }
            spinner.suspend(|| print_news(order, &mut printed, output))
        };
        let deadline = watch::deadline(self.timeout);
        let order = watch::until_final(api, &self.id.to_string(), deadline, seen).await;
        spinner.finish();
        let order = order?;
        output.result(&order, |order| view::end(order, output))?;
        Ok(order)
    }
}

/// Prints what is new since the last time. `printed` counts the events, once the head is out.
fn print_news(order: &Order, printed: &mut Option<usize>, output: Output) -> Result<(), Failure> {
    if printed.is_none() {
        output.line(&view::head(order))?;
    }
    let from = printed.unwrap_or_default();
    for line in view::events(order, from) {
        output.line(&line)?;
    }
    *printed = Some(order.timeline.as_ref().map_or(from, Vec::len));
    Ok(())
}
