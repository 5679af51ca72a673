//! Moves dead letters into the failure store, tells people, and replays what passes by itself.
//!
//! It runs when the alarm of a dead-letter queue rings, on a schedule (an alarm rings
//! only when its state changes), and when a person asks. The alarms of queues that it
//! does not drain become one notice each: which queue, how many messages, since when,
//! of which requests, and what to do next.

mod alarm;
mod circuits;
mod notice;
mod request;

use std::time::Duration;

use aws_adapters::count;
use aws_lambda_events::event::sns::SnsEvent;
use failures::{
    AutomaticReplay, CircuitStates, DeadLetterQueues, Drain, Drained, DrainedQueue, FailureStore,
    GroupStore, NotTold, Notices, Ran, ReplayQueues,
};
use futures_util::{StreamExt, stream};
use idempotency::{Clock, Millis};
use message_worker::cause_chain;
use ports::{DeadLetters, People, QueueReport, Unavailable};

pub use alarm::{Alarm, UnreadableAlarm};
pub use circuits::StoredCircuits;
pub use request::{Answer, DrainRequest, InvalidRequest, Request};

/// Queues that are drained at a time. Each handles ten messages at once; one that is
/// empty takes a second to say so.
const QUEUES_AT_ONCE: usize = 7;

/// Telling people goes on for so long after draining has to stop.
const TELLING: Duration = Duration::from_secs(10);

/// What the function works with.
#[derive(Debug)]
pub struct DlqAlarm<Q, F, G, P, L, R, T, C> {
    /// The queues that are drained.
    pub queues: Vec<DrainedQueue>,
    /// Drains them.
    pub drain: Drain<Q, F, G, C>,
    /// Tells people of what was drained.
    pub notices: Notices<F, G, P, C>,
    /// Replays what passes by itself; `None` where that is switched off.
    pub automatic: Option<AutomaticReplay<F, G, R, T, C>>,
    /// Looks into the other queues.
    pub looks: L,
    /// Hear of alarms.
    pub people: P,
    /// The time.
    pub clock: C,
    /// Those whose open failures are counted.
    pub consumers: Vec<String>,
}

/// Not all was done. What was not is done by the next run.
#[derive(Debug, thiserror::Error)]
pub enum Incomplete {
    /// The request cannot be carried out.
    #[error("the request cannot be carried out")]
    Request(#[from] InvalidRequest),
    /// An alarm was not passed on to people.
    #[error("an alarm was not passed on to people")]
    NotPassedOn(#[source] Unavailable),
    /// The messages are in the store, and people do not know.
    #[error("people were not told of what was drained")]
    NotTold(#[from] NotTold),
    /// It could not be told which failures are due.
    #[error("no failure was replayed by itself")]
    NotReplayed(#[source] Unavailable),
}

impl<Q, F, G, P, L, R, T, C> DlqAlarm<Q, F, G, P, L, R, T, C>
where
    Q: DeadLetterQueues,
    F: FailureStore,
    G: GroupStore,
    P: People,
    L: DeadLetters,
    R: ReplayQueues,
    T: CircuitStates,
    C: Clock,
{
    /// Does what is asked, as far as it comes by `until`. About twenty seconds are
    /// wanted after that, for the steps that are under way and for telling people.
    ///
    /// # Errors
    /// [`Incomplete`]. Lambda tries the event again, and then puts it aside.
    pub async fn handle(&self, request: &Request, until: Millis) -> Result<Answer, Incomplete> {
        match request {
            Request::Drain(request) => self.drain_all(request, until).await,
            Request::Alarms(event) => self.hear(event, until).await,
        }
    }

    async fn drain_all(&self, wanted: &DrainRequest, until: Millis) -> Result<Answer, Incomplete> {
        let queues = wanted.select(&self.queues)?;
        let drained = stream::iter(queues)
            .map(|queue| async { (queue.name.clone(), self.drain_one(queue, until).await) })
            .buffer_unordered(QUEUES_AT_ONCE);
        let mut answer = Answer {
            queues: drained.collect().await,
            ..Answer::default()
        };
        let told = self.notices.tell_due(until.plus(TELLING)).await;
        // Whether people can be told does not keep the messages waiting.
        let replayed = match (&self.automatic, wanted.automatic_replay) {
            (Some(automatic), true) => self.replay(automatic, until).await,
            _ => Ok(0),
        };
        answer.told = told?;
        answer.automatic_replays = replayed.map_err(Incomplete::NotReplayed)?;
        Ok(answer)
    }

    async fn drain_one(&self, queue: &DrainedQueue, until: Millis) -> Drained {
        let drained = self.drain.drain(queue, until).await;
        let dimensions = [("queue", queue.name.as_str())];
        for (metric, times) in [
            ("FailuresStored", drained.stored),
            ("FailuresFailedAgain", drained.failed_again),
        ] {
            if times > 0 {
                count(&dimensions, metric, times);
            }
        }
        if drained.has_failed() {
            // Without a dimension: one alarm watches all queues.
            count(&[], "DrainFailed", 1);
        }
        if drained != emptied() {
            tracing::info!(
                queue = queue.name,
                stored = drained.stored,
                known = drained.known,
                failed_again = drained.failed_again,
                deleted = drained.deleted,
                left = drained.left,
                emptied = drained.emptied,
                "drained"
            );
        }
        drained
    }

    async fn replay(
        &self,
        automatic: &AutomaticReplay<F, G, R, T, C>,
        until: Millis,
    ) -> Result<usize, Unavailable> {
        let survey = automatic.survey(until).await?;
        if survey.complete {
            for consumer in &self.consumers {
                let open = survey.open.get(consumer).copied().unwrap_or_default();
                count(&[("consumer", consumer)], "FailuresOpen", open);
            }
        }
        let Ran { sent, not_sent } = automatic.run(survey, until).await?;
        if not_sent > 0 {
            count(&[], "AutomaticReplaysNotSent", not_sent);
        }
        if sent > 0 {
            count(&[], "AutomaticReplays", sent);
            tracing::info!(sent, "failures were replayed by themselves");
        }
        Ok(sent)
    }

    async fn hear(&self, event: &SnsEvent, until: Millis) -> Result<Answer, Incomplete> {
        let mut answer = Answer::default();
        for record in &event.records {
            match Alarm::parse(&record.sns.message) {
                Ok(alarm) if alarm.rings() => self.answer(&alarm, until, &mut answer).await?,
                Ok(alarm) => tracing::info!(alarm = alarm.name(), "the alarm is over"),
                Err(error) => self.pass_on_unread(&error).await?,
            }
        }
        Ok(answer)
    }

    /// Drains the alarm's queue. Where that is not possible, people hear of the alarm itself.
    async fn answer(
        &self,
        alarm: &Alarm,
        until: Millis,
        answer: &mut Answer,
    ) -> Result<(), Incomplete> {
        let is_meant = |queue: &&DrainedQueue| Some(queue.name.as_str()) == alarm.queue_name();
        let Some(queue) = self.queues.iter().find(is_meant) else {
            return self.pass_on(alarm).await;
        };
        let drained = self.drain_one(queue, until).await;
        let has_failed = drained.has_failed();
        answer.queues.insert(queue.name.clone(), drained);
        let told = self.notices.tell_due(until.plus(TELLING)).await;
        if has_failed {
            self.pass_on(alarm).await?;
        }
        answer.told += told?;
        Ok(())
    }

    async fn pass_on(&self, alarm: &Alarm) -> Result<(), Incomplete> {
        let report = self.report(alarm).await;
        tracing::error!(
            alarm = alarm.name(),
            queue = alarm.queue_name(),
            depth = report.as_ref().map(|report| report.depth),
            oldest_sent_at = report.as_ref().and_then(|report| report.oldest_sent_at),
            error_name = "DeadLettersWaiting",
            "an alarm rings"
        );
        let notice = notice::ringing(alarm, report.as_ref(), self.clock.now());
        let told = self.people.tell(&notice).await;
        told.map_err(Incomplete::NotPassedOn)
    }

    /// A queue that cannot be looked into is no reason to keep the alarm from people.
    async fn report(&self, alarm: &Alarm) -> Option<QueueReport> {
        let looked = self.looks.look_into(alarm.queue_name()?).await;
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
    async fn pass_on_unread(&self, error: &UnreadableAlarm) -> Result<(), Incomplete> {
        let cause = cause_chain(error).join(": ");
        tracing::error!(
            cause,
            error_name = "AlarmUnreadable",
            "an alarm cannot be read"
        );
        let told = self.people.tell(&notice::unread()).await;
        told.map_err(Incomplete::NotPassedOn)
    }
}

/// A queue in which there was nothing.
fn emptied() -> Drained {
    Drained {
        emptied: true,
        ..Drained::default()
    }
}
