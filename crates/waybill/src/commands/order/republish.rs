//! `waybill order republish`.

use aws_sdk_sns::Client as Sns;
use clap::Args;
use domain::OrderId;
use serde::Serialize;

use crate::cli::Context;
use crate::failure::{Exit, Failure};
use crate::output::{note, printable};
use crate::records::order::{StoredEvent, StoredOrder};

/// `waybill order republish ID`
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The order's id
    id: OrderId,
    /// Only the events from this number on
    #[arg(long, default_value_t = 1, value_name = "SEQUENCE", value_parser = clap::value_parser!(u32).range(1..))]
    from: u32,
    /// Do it; without this, only what would be published is said
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Republished {
    order_id: String,
    published: bool,
    events: Vec<Event>,
}

#[derive(Debug, Serialize)]
struct Event {
    sequence: u32,
    id: String,
    name: String,
    time: String,
}

impl Arguments {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let deployment = context.settings.deployment().await?;
        let (orders, bus) = (
            deployment.output("OrdersTableName")?,
            deployment.output("BusTopicArn")?,
        );
        let order = StoredOrder::read(&deployment.dynamodb(), orders, self.id).await?;
        let wanted = order
            .timeline
            .iter()
            .filter(|event| event.sequence >= self.from);
        let wanted: Vec<_> = wanted.collect();
        all_are_events(self.id, &wanted)?;
        if self.yes {
            let sns = Sns::new(deployment.config());
            // One after the other, so that they stay in order as far as the bus keeps it.
            for event in &wanted {
                let published = publish(&sns, bus, event).await;
                published.inspect_err(|_| self.broken_off(event, &wanted))?;
            }
        }
        let republished = Republished {
            order_id: self.id.to_string(),
            published: self.yes,
            events: wanted.into_iter().map(described).collect(),
        };
        context.output.result(&republished, text)?;
        if !self.yes {
            note("nothing was published; repeat it with --yes");
        }
        Ok(Exit::Ok)
    }
}

impl Arguments {
    /// Says what was published before an error ended it.
    fn broken_off(&self, at: &StoredEvent, wanted: &[&StoredEvent]) {
        let (id, sequence) = (self.id, at.sequence);
        if wanted
            .first()
            .is_some_and(|first| first.sequence < sequence)
        {
            note(&format!(
                "the events before {sequence} were published; to go on: \
                 waybill order republish {id} --from {sequence} --yes"
            ));
        }
    }
}

/// Before any of them is published: what is no event would be poison for every consumer.
fn all_are_events(order: OrderId, wanted: &[&StoredEvent]) -> Result<(), Failure> {
    let unreadable = wanted.iter().filter(|event| !event.is_event_of(order));
    let unreadable: Vec<_> = unreadable.map(|event| event.sequence.to_string()).collect();
    match unreadable.is_empty() {
        true => Ok(()),
        false => Err(Failure::NotAllowed(
            format!(
                "the timeline holds no event of this order at {}, so none was published; \
                 --from begins after it, and what is stored there wants mending",
                unreadable.join(", ")
            ),
            None,
        )),
    }
}

async fn publish(sns: &Sns, bus: &str, event: &StoredEvent) -> Result<(), Failure> {
    let published = sns
        .publish()
        .topic_arn(bus)
        .message(event.to_publish().to_string())
        .send()
        .await;
    match published {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::from_sdk("sns:Publish", error)),
    }
}

fn described(event: &StoredEvent) -> Event {
    Event {
        sequence: event.sequence,
        id: event.id().to_owned(),
        name: event.name(),
        time: event.time().to_owned(),
    }
}

fn text(republished: &Republished) -> String {
    let lines = republished.events.iter().map(|event| {
        let Event {
            sequence,
            name,
            time,
            ..
        } = event;
        printable(&format!("{sequence:>3}  {time}  {name}"))
    });
    let mut lines: Vec<_> = lines.collect();
    lines.push(match republished.published {
        true => format!("{} events published", republished.events.len()),
        false => format!("{} events would be published", republished.events.len()),
    });
    lines.join("\n")
}
