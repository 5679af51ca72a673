//! Tells people what waits in a dead-letter queue when its alarm rings.
//!
//! One notice says which queue, how many messages, since when, of which
//! requests, and what to do next. Nothing is taken out of the queue.

mod alarm;
mod notice;

use aws_lambda_events::event::sns::SnsEvent;
use idempotency::Clock;
use message_worker::cause_chain;
use ports::{DeadLetters, People, QueueReport, Unavailable};

pub use alarm::{Alarm, UnreadableAlarm};

/// Handles alarms.
#[derive(Debug)]
pub struct DlqAlarm<Q, P, C> {
    queues: Q,
    people: P,
    clock: C,
}

/// An alarm was not passed on. Lambda tries the event again, and then puts it aside.
#[derive(Debug, thiserror::Error)]
#[error("an alarm was not passed on to people")]
pub struct NotPassedOn(#[from] Unavailable);

impl<Q: DeadLetters, P: People, C: Clock> DlqAlarm<Q, P, C> {
    /// Looks into these queues and tells these people.
    pub fn new(queues: Q, people: P, clock: C) -> Self {
        Self {
            queues,
            people,
            clock,
        }
    }

    /// Passes on each alarm of an event.
    ///
    /// # Errors
    /// [`NotPassedOn`] where people could not be told.
    pub async fn handle(&self, event: &SnsEvent) -> Result<(), NotPassedOn> {
        for record in &event.records {
            match Alarm::parse(&record.sns.message) {
                Ok(alarm) if alarm.rings() => self.pass_on(&alarm).await?,
                Ok(alarm) => tracing::info!(alarm = alarm.name(), "the alarm is over"),
                Err(error) => self.pass_on_unread(&error).await?,
            }
        }
        Ok(())
    }

    async fn pass_on(&self, alarm: &Alarm) -> Result<(), Unavailable> {
        let report = self.report(alarm).await;
        tracing::error!(
            alarm = alarm.name(),
            queue = alarm.queue_name(),
            depth = report.as_ref().map(|report| report.depth),
            oldest_sent_at = report.as_ref().and_then(|report| report.oldest_sent_at),
            error_name = "DeadLettersWaiting",
            "an alarm rings"
        );
        self.people
            .tell(&notice::ringing(alarm, report.as_ref(), self.clock.now()))
            .await
    }

    /// A queue that cannot be looked into is no reason to keep the alarm from people.
    async fn report(&self, alarm: &Alarm) -> Option<QueueReport> {
        let looked = self.queues.look_into(alarm.queue_name()?).await;
        looked.unwrap_or_else(|error| {
            let cause = cause_chain(&error).join(": ");
            tracing::error!(
                cause,
                error_name = "QueueUnreadable",
                "the queue cannot be read"
            );
            None
        })
    }

    /// An alarm that cannot be read is still an alarm.
    async fn pass_on_unread(&self, error: &UnreadableAlarm) -> Result<(), Unavailable> {
        let cause = cause_chain(error).join(": ");
        tracing::error!(
            cause,
            error_name = "AlarmUnreadable",
            "an alarm cannot be read"
        );
        self.people.tell(&notice::unread()).await
    }
}
