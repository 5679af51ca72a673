//! The failure store, and the queues it is filled from and emptied to.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use contracts::Timestamp;
use failures::{
    DeadLetter, DeadLetterQueues, Failure, FailureId, FailureStore, Group, GroupId, GroupStore,
    Letter, Page, Plan, PlanStore, Query, ReplayId, ReplayQueues, SendError,
};
use idempotency::Clock;
use ports::Unavailable;

use crate::clock::VirtualClock;
use crate::faults::Operation;
use crate::world::{State, World};

/// As the adapter's: nobody else sees a message for as long.
const VISIBILITY: Duration = Duration::from_secs(60);

/// As SQS gives out.
const BATCH: usize = 10;

/// Small, so that tests see more than one page.
const PAGE: usize = 10;

/// What the failure store holds, and what its queues hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Kept {
    failures: BTreeMap<FailureId, Failure>,
    groups: BTreeMap<GroupId, Group>,
    plans: BTreeMap<ReplayId, Plan>,
    queues: BTreeMap<String, Vec<Waiting>>,
    receipts: u64,
    replayed: Vec<Replayed>,
    refused: BTreeSet<FailureId>,
}

/// A dead letter in its queue.
#[derive(Debug, Clone, PartialEq)]
struct Waiting {
    letter: DeadLetter,
    /// In milliseconds since 1970.
    visible_at: u64,
}

/// A message that was sent once more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// To whose queue.
    pub consumer: String,
    /// The message.
    pub letter: Letter,
    /// The record it is from.
    pub failure: FailureId,
    /// By which replay.
    pub replay: ReplayId,
}

impl World {
    /// Puts a message into a dead-letter queue, which is the one that it names.
    pub fn put_dead_letter(&self, letter: DeadLetter) {
        let mut state = self.state();
        let queue = state.kept.queues.entry(letter.queue.clone()).or_default();
        queue.push(Waiting {
            letter,
            visible_at: 0,
        });
    }

    /// What is in a dead-letter queue, also what is hidden for a while.
    pub fn dead_letters(&self, queue: &str) -> Vec<DeadLetter> {
        let state = self.state();
        let waiting = state.kept.queues.get(queue).into_iter().flatten();
        waiting.map(|waiting| waiting.letter.clone()).collect()
    }

    /// Everything in the failure store, by id.
    pub fn failures(&self) -> Vec<Failure> {
        self.state().kept.failures.values().cloned().collect()
    }

    /// Whether a message of this body is in the failure store.
    pub fn keeps_letter(&self, body: &str) -> bool {
        let state = self.state();
        let mut kept = state.kept.failures.values();
        kept.any(|failure| failure.letter.body == body)
    }

    /// The record of one failure.
    pub fn failure(&self, id: &FailureId) -> Option<Failure> {
        self.state().kept.failures.get(id).cloned()
    }

    /// From now on the consumers' queues refuse the message of this failure.
    pub fn refuse_replay(&self, id: &FailureId) {
        self.state().kept.refused.insert(id.clone());
    }

    /// From now on they take it.
    pub fn accept_replay(&self, id: &FailureId) {
        self.state().kept.refused.remove(id);
    }

    /// The messages that were sent once more, in order.
    pub fn replayed(&self) -> Vec<Replayed> {
        self.state().kept.replayed.clone()
    }
}

fn timestamp(clock: VirtualClock) -> Timestamp {
    Timestamp::from_epoch_millis(clock.now().get())
}

impl FailureStore for World {
    async fn get(&self, id: &FailureId) -> Result<Option<Failure>, Unavailable> {
        let clock = self.clock();
        self.call(Operation::GetFailure, |state| {
            let found = state.kept.failures.get(id);
            let known = found.filter(|failure| !failure.is_forgotten(timestamp(clock)));
            Ok(known.cloned())
        })
        .await
    }

    async fn create(&self, failure: &Failure) -> Result<bool, Unavailable> {
        let clock = self.clock();
        self.call(Operation::CreateFailure, |state| {
            Ok(state.create(failure, timestamp(clock)))
        })
        .await
    }

    async fn replace(&self, next: &Failure) -> Result<bool, Unavailable> {
        self.call(Operation::ReplaceFailure, |state| Ok(state.replace(next)))
            .await
    }

    async fn replace_and_create(&self, next: &Failure, new: &Failure) -> Result<bool, Unavailable> {
        let clock = self.clock();
        self.call(Operation::ReplaceAndCreateFailure, |state| {
            let mut after = state.clone();
            let done = after.replace(next) && after.create(new, timestamp(clock));
            if done {
                *state = after;
            }
            Ok(done)
        })
        .await
    }

    async fn find(&self, query: &Query, from: Option<&str>) -> Result<Page<Failure>, Unavailable> {
        let clock = self.clock();
        self.call(Operation::FindFailures, |state| {
            let now = timestamp(clock);
            let all = state.kept.failures.values();
            let fits = |failure: &&Failure| !failure.is_forgotten(now) && query.matches(failure);
            let mut found: Vec<_> = all.filter(fits).map(|f| (place(f), f)).collect();
            found.sort_by(|one, other| other.0.cmp(&one.0));
            found.retain(|(place, _)| from.is_none_or(|from| place.as_str() < from));
            let last = found.get(PAGE - 1).filter(|_| found.len() > PAGE);
            let next = last.map(|(place, _)| place.clone());
            let items = found.into_iter().take(PAGE);
            let items = items.map(|(_, failure)| failure.clone()).collect();
            Ok(Page { items, next })
        })
        .await
    }
}

/// Sorts as time does.
fn place(failure: &Failure) -> String {
    format!("{} {}", failure.trouble.failed_at, failure.id)
}

impl State {
    fn create(&mut self, failure: &Failure, now: Timestamp) -> bool {
        let known = self.kept.failures.get(&failure.id);
        if known.is_some_and(|known| !known.is_forgotten(now)) {
            return false;
        }
        let id = failure.id.clone();
        self.kept.failures.insert(id, failure.clone());
        true
    }

    fn replace(&mut self, next: &Failure) -> bool {
        match self.kept.failures.get_mut(&next.id) {
            Some(stored) if stored.version + 1 == next.version => {
                stored.clone_from(next);
                true
            }
            _ => false,
        }
    }
}

impl GroupStore for World {
    async fn get_group(&self, id: &GroupId) -> Result<Option<Group>, Unavailable> {
        self.call(Operation::GetGroup, |state| {
            Ok(state.kept.groups.get(id).cloned())
        })
        .await
    }

    async fn put_group(&self, next: &Group) -> Result<bool, Unavailable> {
        self.call(Operation::PutGroup, |state| {
            let stored = state.kept.groups.get(&next.id);
            let before = stored.map_or(0, |group| group.version);
            let fits = before + 1 == next.version;
            if fits {
                state.kept.groups.insert(next.id.clone(), next.clone());
            }
            Ok(fits)
        })
        .await
    }

    async fn groups(&self) -> Result<Vec<Group>, Unavailable> {
        self.call(Operation::ListGroups, |state| {
            Ok(state.kept.groups.values().cloned().collect())
        })
        .await
    }
}

impl PlanStore for World {
    async fn create_plan(&self, plan: &Plan) -> Result<(), Unavailable> {
        self.call(Operation::CreatePlan, |state| {
            let stored = state.kept.plans.entry(plan.id.clone());
            match *stored.or_insert_with(|| plan.clone()) == *plan {
                true => Ok(()),
                false => Err(Unavailable::new("testkit", "there is another plan")),
            }
        })
        .await
    }

    async fn get_plan(&self, id: &ReplayId) -> Result<Option<Plan>, Unavailable> {
        self.call(Operation::GetPlan, |state| {
            Ok(state.kept.plans.get(id).cloned())
        })
        .await
    }

    async fn put_progress(&self, next: &Plan) -> Result<bool, Unavailable> {
        self.call(Operation::PutProgress, |state| {
            let stored = state.kept.plans.get_mut(&next.id);
            let Some(stored) = stored.filter(|plan| plan.version + 1 == next.version) else {
                return Ok(false);
            };
            let entries = std::mem::take(&mut stored.entries);
            stored.clone_from(next);
            stored.entries = entries;
            Ok(true)
        })
        .await
    }

    async fn plans(&self) -> Result<Vec<Plan>, Unavailable> {
        self.call(Operation::ListPlans, |state| {
            let mut plans: Vec<_> = state.kept.plans.values().cloned().collect();
            for plan in &mut plans {
                plan.entries.clear();
            }
            plans.sort_by_key(|plan| std::cmp::Reverse(plan.cut_off));
            Ok(plans)
        })
        .await
    }
}

impl DeadLetterQueues for World {
    async fn receive(&self, queue: &str) -> Result<Vec<DeadLetter>, Unavailable> {
        // Counted from the call, however slow the answer is.
        let now = self.clock().now();
        let until = now.plus(VISIBILITY);
        self.call(Operation::ReceiveDeadLetters, |state| {
            let kept = &mut state.kept;
            let waiting = kept.queues.get_mut(queue).into_iter().flatten();
            let visible = waiting.filter(|waiting| waiting.visible_at <= now.get());
            let mut received = Vec::new();
            for waiting in visible.take(BATCH) {
                kept.receipts += 1;
                waiting.visible_at = until.get();
                waiting.letter.receives += 1;
                waiting.letter.receipt_handle = format!("receipt-{}", kept.receipts);
                received.push(waiting.letter.clone());
            }
            Ok(received)
        })
        .await
    }

    /// A handle of an earlier receive deletes nothing, as on SQS it may not.
    async fn delete(&self, letter: &DeadLetter) -> Result<(), Unavailable> {
        self.call(Operation::DeleteDeadLetter, |state| {
            if let Some(queue) = state.kept.queues.get_mut(&letter.queue) {
                queue.retain(|waiting| waiting.letter.receipt_handle != letter.receipt_handle);
            }
            Ok(())
        })
        .await
    }
}

impl ReplayQueues for World {
    async fn send(
        &self,
        consumer: &str,
        letter: &Letter,
        failure: &FailureId,
        replay: &ReplayId,
    ) -> Result<(), SendError> {
        let sent = self.call(Operation::SendReplay, |state| {
            if state.kept.refused.contains(failure) {
                return Ok(false);
            }
            state.kept.replayed.push(Replayed {
                consumer: consumer.to_owned(),
                letter: letter.clone(),
                failure: failure.clone(),
                replay: replay.clone(),
            });
            Ok(true)
        });
        match sent.await.map_err(SendError::Unknown)? {
            true => Ok(()),
            false => {
                let refused = Unavailable::new("testkit", "the queue refuses this message");
                Err(SendError::Refused(refused))
            }
        }
    }
}
