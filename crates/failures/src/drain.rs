//! Moves dead letters out of their queues into the store.
//!
//! For each message, in this order: it is *stored*, its group *learns* of it (so that
//! people will be told), and only then it is *deleted* from its queue. Whoever ends in
//! between leaves a message that comes again, and the next drain finds what is done.

use std::collections::BTreeMap;

use contracts::Timestamp;
use futures_util::future::join_all;
use idempotency::{Clock, Millis};
use message_worker::cause_chain;
use ports::Unavailable;
use serde::Serialize;

use crate::change::{Actor, Change, FAILED_AGAIN, Refused};
use crate::failure::{Failure, FailureId, ReplayId};
use crate::group::{Group, GroupId, normalise};
use crate::ports::{DeadLetter, DeadLetterQueues, FailureStore, GroupStore};
use crate::source::DrainedQueue;

/// Who the drain is in a record's history.
pub const DRAIN: &str = "drain";

/// Others may change a record or a group at the same time, but hardly so often.
pub(crate) const MOST_CONFLICTS: usize = 20;

/// After so many batches of which nothing could be moved, a queue is left for later.
const MOST_FUTILE_BATCHES: usize = 3;

/// What became of the messages of one queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Drained {
    /// New records.
    pub stored: usize,
    /// Messages that an earlier drain had stored.
    pub known: usize,
    /// Replayed messages that failed again: their records wait once more.
    pub failed_again: usize,
    /// Messages that are in the store now and no longer in the queue.
    pub deleted: usize,
    /// Messages that were received and stay in the queue, because a step failed.
    pub left: usize,
    /// Whether the queue gave out nothing more. If not, time ran out or steps failed.
    pub emptied: bool,
    /// Whether the queue could not be read.
    pub unreadable: bool,
}

impl Drained {
    /// Whether anything failed.
    pub fn has_failed(&self) -> bool {
        self.left > 0 || self.unreadable
    }

    fn count(&mut self, how: How) {
        match how {
            How::Stored => self.stored += 1,
            How::Known => self.known += 1,
            How::FailedAgain => self.failed_again += 1,
        }
    }
}

/// Why a message stays in its queue.
#[derive(Debug, thiserror::Error)]
enum NotKept {
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error("others kept changing the {0}")]
    Contended(&'static str),
}

/// How a message came to be in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Stored,
    Known,
    FailedAgain,
}

/// A message that is in the store.
#[derive(Debug)]
struct Kept {
    how: How,
    record: Failure,
}

impl Kept {
    /// Whether this drain put it there.
    fn is_news(&self) -> bool {
        self.how != How::Known
    }
}

/// Drains queues.
#[derive(Debug, Clone)]
pub struct Drain<Q, F, G, C> {
    queues: Q,
    failures: F,
    groups: G,
    clock: C,
}

impl<Q: DeadLetterQueues, F: FailureStore, G: GroupStore, C: Clock> Drain<Q, F, G, C> {
    /// Drains with these ports.
    pub fn new(queues: Q, failures: F, groups: G, clock: C) -> Self {
        Self {
            queues,
            failures,
            groups,
            clock,
        }
    }

    /// Drains a queue until it gives out nothing more, or the time is over.
    ///
    /// Never fails as a whole: what could not be moved is counted, logged with the
    /// error's name, and in the queue still.
    pub async fn drain(&self, queue: &DrainedQueue, until: Millis) -> Drained {
        let mut drained = Drained::default();
        let mut futile = 0;
        while self.clock.now() < until && futile < MOST_FUTILE_BATCHES {
            let letters = match self.queues.receive(&queue.address).await {
                Ok(letters) => letters,
                Err(error) => {
                    unreadable(queue, &error);
                    drained.unreadable = true;
                    return drained;
                }
            };
            if letters.is_empty() {
                drained.emptied = true;
                return drained;
            }
            let before = drained.deleted;
            self.take(queue, &letters, &mut drained).await;
            futile = if drained.deleted == before {
                futile + 1
            } else {
                0
            };
        }
        drained
    }

    /// Takes the messages of one receive through the three steps, side by side.
    async fn take(&self, queue: &DrainedQueue, letters: &[DeadLetter], drained: &mut Drained) {
        let kept = join_all(letters.iter().map(|letter| self.keep(queue, letter))).await;
        let mut groups: BTreeMap<GroupId, Vec<(&DeadLetter, Kept)>> = BTreeMap::new();
        for (letter, kept) in letters.iter().zip(kept) {
            match kept {
                Ok(kept) => {
                    drained.count(kept.how);
                    let group = kept.record.group.clone();
                    groups.entry(group).or_default().push((letter, kept));
                }
                Err(error) => drained.left += left(letter, "FailureNotStored", &error),
            }
        }
        let all = groups.values().map(|members| self.finish(members));
        for finished in join_all(all).await {
            drained.deleted += finished.deleted;
            drained.left += finished.left;
        }
    }

    /// Lets a group know of its messages, and deletes them from the queue.
    async fn finish(&self, members: &[(&DeadLetter, Kept)]) -> Drained {
        let mut drained = Drained::default();
        if let Err(error) = self.join(members).await {
            for (letter, _) in members {
                drained.left += left(letter, "GroupNotStored", &error);
            }
            return drained;
        }
        let deletions = members.iter().map(|(letter, _)| self.queues.delete(letter));
        for ((letter, _), deleted) in members.iter().zip(join_all(deletions).await) {
            match deleted {
                Ok(()) => drained.deleted += 1,
                Err(error) => {
                    drained.left += left(letter, "DeadLetterNotDeleted", &error.into());
                }
            }
        }
        drained
    }

    /// Puts a message into the store, unless it is there.
    async fn keep(&self, queue: &DrainedQueue, letter: &DeadLetter) -> Result<Kept, NotKept> {
        match &letter.replayed {
            Some((id, replay)) => self.fail_again(queue, letter, id, replay).await,
            None => {
                let story = format!("found in {}", letter.queue);
                self.store(queue, letter, story).await
            }
        }
    }

    async fn store(
        &self,
        queue: &DrainedQueue,
        letter: &DeadLetter,
        story: String,
    ) -> Result<Kept, NotKept> {
        let now = self.now();
        let mut record = queue.failure(letter, now);
        record.record(&actor(now), "stored", story);
        if let Some(kept) = self.create_or_join(&record, letter).await? {
            return Ok(kept);
        }
        // Another message has the id that this one says it had.
        record.id = FailureId::new(&letter.message_id);
        let kept = self.create_or_join(&record, letter).await?;
        kept.ok_or(NotKept::Contended("failure"))
    }

    /// Creates a record, or adds the dead letter to the record of this id if it is of the
    /// same message. `None` if it is of another one.
    async fn create_or_join(
        &self,
        new: &Failure,
        letter: &DeadLetter,
    ) -> Result<Option<Kept>, NotKept> {
        let found = Change::FindAgain {
            message_id: letter.message_id.clone(),
        };
        for _ in 0..MOST_CONFLICTS {
            if self.failures.create(new).await? {
                let (how, record) = (How::Stored, new.clone());
                return Ok(Some(Kept { how, record }));
            }
            let Some(known) = self.failures.get(&new.id).await? else {
                continue;
            };
            if known.letter.body_sha256 != new.letter.body_sha256 {
                return Ok(None);
            }
            let how = How::Known;
            // Refused is what is in the record: a drain ended before it deleted the
            // message, or there is one beside this one.
            let Ok(record) = known.after(&found, &actor(self.now())) else {
                return Ok(Some(Kept { how, record: known }));
            };
            if self.failures.replace(&record).await? {
                return Ok(Some(Kept { how, record }));
            }
        }
        Err(NotKept::Contended("failure"))
    }

    /// Adds a dead letter to the record that it is a replay of.
    async fn fail_again(
        &self,
        queue: &DrainedQueue,
        letter: &DeadLetter,
        id: &FailureId,
        replay: &ReplayId,
    ) -> Result<Kept, NotKept> {
        let in_words = format!("found in {}; replay {replay} of failure {id}", letter.queue);
        for _ in 0..MOST_CONFLICTS {
            let Some(record) = self.failures.get(id).await? else {
                let story = format!("{in_words}, of which there is no record any more");
                return self.store(queue, letter, story).await;
            };
            // Whoever claims to be another's replay must be the same message.
            if record.letter.body_sha256 != letter.letter.body_sha256 {
                let story = format!("{in_words}, whose body is another one");
                return self.store(queue, letter, story).await;
            }
            let now = self.now();
            let change = Change::FailAgain {
                replay: replay.clone(),
                trouble: Box::new(queue.trouble(letter, now)),
            };
            match record.after(&change, &actor(now)) {
                Ok(next) => {
                    if self.failures.replace(&next).await? {
                        let (how, record) = (How::FailedAgain, next);
                        return Ok(Kept { how, record });
                    }
                }
                Err(Refused::Known) => {
                    let how = How::Known;
                    return Ok(Kept { how, record });
                }
                Err(refused) => {
                    let story = format!("{in_words}, to which it could not be added: {refused}");
                    return self.store(queue, letter, story).await;
                }
            }
        }
        Err(NotKept::Contended("failure"))
    }

    /// Lets a group know when a failure last joined it.
    async fn join(&self, members: &[(&DeadLetter, Kept)]) -> Result<(), NotKept> {
        let Some((_, first)) = members.first() else {
            return Ok(());
        };
        let has_news = members.iter().any(|(_, kept)| kept.is_news());
        let joined = members.iter().map(|(_, kept)| kept.record.joined_at());
        let joined = joined.max().unwrap_or_else(|| self.now());
        for _ in 0..MOST_CONFLICTS {
            let next = match self.groups.get_group(&first.record.group).await? {
                None => new_group(&first.record, joined),
                // It learned of what is known here when that was stored, or later.
                Some(group) if !has_news && group.last_failure_at >= joined => return Ok(()),
                Some(group) => joined_by(group, joined),
            };
            if self.groups.put_group(&next).await? {
                return Ok(());
            }
        }
        Err(NotKept::Contended("group"))
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_epoch_millis(self.clock.now().get())
    }
}

fn new_group(failure: &Failure, joined: Timestamp) -> Group {
    Group {
        id: failure.group.clone(),
        version: 1,
        consumer: failure.consumer.clone(),
        error_name: failure.trouble.name.clone(),
        cause: normalise(&failure.trouble.cause.join(": ")),
        last_failure_at: joined,
        told_at: None,
        told_of: None,
        telling_until: None,
        canary: None,
        notes: Vec::new(),
    }
}

/// The time moves on with each batch that joins, so that a notice which was being
/// written meanwhile does not count as one about it.
fn joined_by(group: Group, joined: Timestamp) -> Group {
    let later = Timestamp::from_epoch_millis(group.last_failure_at.epoch_millis() + 1);
    Group {
        version: group.version + 1,
        last_failure_at: joined.max(later),
        ..group
    }
}

impl Failure {
    /// When it last joined its group: when it was stored, or when it last failed again.
    pub(crate) fn joined_at(&self) -> Timestamp {
        let again = self
            .history
            .iter()
            .rev()
            .find(|entry| entry.action == FAILED_AGAIN);
        again.map_or(self.stored_at, |entry| entry.at)
    }
}

fn actor(at: Timestamp) -> Actor {
    Actor {
        name: DRAIN.to_owned(),
        at,
    }
}

/// Logs why a message stays where it is; gives the one to be counted.
fn left(letter: &DeadLetter, error_name: &'static str, error: &NotKept) -> usize {
    tracing::error!(
        queue = letter.queue,
        message_id = letter.message_id,
        cause = cause_chain(error).join(": "),
        error_name,
        "a dead letter stays in its queue"
    );
    1
}

fn unreadable(queue: &DrainedQueue, error: &Unavailable) {
    tracing::error!(
        queue = queue.name,
        cause = cause_chain(error).join(": "),
        error_name = "QueueUnreadable",
        "a queue cannot be drained"
    );
}
