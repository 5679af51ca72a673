//! Replays transient failures by itself: bounded, and one first to see.
//!
//! The outside party was down, the messages died of it, and now it is well again: no
//! person has to send them back. In each group one message goes first, the *canary*.
//! When a worker has processed it, others follow, a few at a time. If it fails again,
//! the group waits longer. A message is replayed by itself a few times at most; then it
//! waits for a person.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

use contracts::Timestamp;
use idempotency::{Clock, Millis};
use message_worker::cause_chain;
use ports::Unavailable;

use crate::KEYS_ARE_KNOWN;
use crate::change::{Actor, Change};
use crate::claimed;
use crate::drain::MOST_CONFLICTS;
use crate::failure::{Failure, FailureId, ReplayId, Status};
use crate::group::GroupId;
use crate::notify::after;
use crate::ports::{FailureStore, GroupStore, ReplayQueues, SendError};
use crate::query::Query;

/// Who the automatic replay is in a record's history.
const AUTOMATIC: &str = "automatic-replay";

/// The class of what passes by itself.
const TRANSIENT: &str = "transient";

/// The bounds of automatic replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// A message is replayed by itself at most so often.
    pub replays: u32,
    /// How long a message waits before its first replay. Twice as long before each further one.
    pub backoff: Duration,
    /// At most so many messages are sent in one run.
    pub per_run: usize,
    /// How long the success of a canary counts.
    pub proof: Duration,
    /// A replay that no worker has confirmed after so long is not waited for.
    pub in_flight: Duration,
    /// A claim that was not sent after so long belongs to a run that ended.
    pub unsent: Duration,
    /// What has been in the store for longer is for a person.
    pub age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            replays: 3,
            backoff: Duration::from_secs(5 * 60),
            per_run: 25,
            proof: Duration::from_secs(60 * 60),
            in_flight: Duration::from_secs(60 * 60),
            unsent: Duration::from_secs(5 * 60),
            age: KEYS_ARE_KNOWN,
        }
    }
}

/// Says whether a consumer's outside party is well.
pub trait CircuitStates: Send + Sync {
    /// Whether the circuit is closed and nobody has paused the consumer. A consumer
    /// without a circuit counts as closed.
    fn is_closed(&self, consumer: &str) -> impl Future<Output = Result<bool, Unavailable>> + Send;
}

/// What is to be sent now, of the failures of any number of groups. It is in the order
/// of sending.
///
/// `failures` must hold every open failure of a group that it holds one of, and each
/// group's last canary. Whether the consumers are well is for the caller to see to.
pub fn due(failures: &[Failure], now: Timestamp, limits: &Limits) -> Vec<FailureId> {
    let mut groups: BTreeMap<&GroupId, Vec<&Failure>> = BTreeMap::new();
    for failure in failures {
        groups.entry(&failure.group).or_default().push(failure);
    }
    let due = groups
        .values()
        .map(|group| due_of_group(group, now, limits));
    let due: Vec<_> = due.collect();
    // One of each group first, then the second of each: a large group that comes early
    // takes nothing from the others.
    let longest = due.iter().map(Vec::len).max().unwrap_or_default();
    let in_turn = (0..longest).flat_map(|turn| due.iter().filter_map(move |ids| ids.get(turn)));
    in_turn.take(limits.per_run).cloned().collect()
}

fn due_of_group(group: &[&Failure], now: Timestamp, limits: &Limits) -> Vec<FailureId> {
    // What an earlier run claimed and may not have sent. It goes with the rest, and is the
    // canary where one is needed.
    let abandoned = group
        .iter()
        .filter(|it| is_abandoned(it, now, limits) && has_replays_left(it, limits));
    let mut due: Vec<_> = abandoned.map(|failure| failure.id.clone()).collect();
    if group.iter().any(|it| is_in_flight(it, now, limits)) {
        return due;
    }
    let mut ready: Vec<_> = group
        .iter()
        .filter(|it| is_ready(it, now, limits))
        .collect();
    // The same order in every run: two at once want the same canary, and one gets it.
    ready.sort_by_key(|failure| (failure.stored_at, &failure.id));
    let most = if is_proven(group, now, limits) {
        limits.per_run
    } else {
        1
    };
    let ready = ready.into_iter().take(most.saturating_sub(due.len()));
    due.extend(ready.map(|failure| failure.id.clone()));
    due
}

/// Each attempt counts, also one whose message was not sent: what can never be sent is
/// for a person, and keeps nothing behind it.
fn has_replays_left(failure: &Failure, limits: &Limits) -> bool {
    failure.automatic_replays < limits.replays
}

fn is_ready(failure: &Failure, now: Timestamp, limits: &Limits) -> bool {
    let wait = limits
        .backoff
        .saturating_mul(2_u32.saturating_pow(failure.automatic_replays));
    failure.status == Status::Waiting
        && failure.trouble.class == TRANSIENT
        // A person edited it, and decides when it goes.
        && failure.edit_of.is_none()
        && now <= after(failure.stored_at, limits.age)
        && has_replays_left(failure, limits)
        && now >= after(last_tried(failure), wait)
}

/// When it last failed, or was last refused by the queue.
fn last_tried(failure: &Failure) -> Timestamp {
    let replay = failure.replay.as_ref();
    let claimed = replay.filter(|replay| replay.automatic && replay.sent_at.is_none());
    let joined = failure.joined_at();
    claimed.map_or(joined, |replay| replay.claimed_at.max(joined))
}

/// Another's claim is never looked at: it is for whoever made it.
fn automatic_claim(failure: &Failure) -> Option<&crate::Replay> {
    let replay = failure.replay.as_ref();
    replay.filter(|replay| replay.automatic && failure.status == Status::Replaying)
}

fn is_abandoned(failure: &Failure, now: Timestamp, limits: &Limits) -> bool {
    automatic_claim(failure).is_some_and(|claim| {
        claim.sent_at.is_none() && now >= after(claim.claimed_at, limits.unsent)
    })
}

/// What was abandoned is not waited for.
fn is_in_flight(failure: &Failure, now: Timestamp, limits: &Limits) -> bool {
    !is_abandoned(failure, now, limits)
        && automatic_claim(failure).is_some_and(|claim| {
            now < after(claim.sent_at.unwrap_or(claim.claimed_at), limits.in_flight)
        })
}

/// Whether an automatic replay succeeded lately, and none has failed since.
fn is_proven(group: &[&Failure], now: Timestamp, limits: &Limits) -> bool {
    let replayed = || {
        let replayed = group.iter().filter(|failure| {
            let replay = failure.replay.as_ref();
            replay.is_some_and(|replay| replay.automatic)
        });
        replayed.copied()
    };
    let succeeded = replayed().filter(|failure| failure.status == Status::Resolved);
    let succeeded = succeeded.filter_map(|failure| failure.resolution.as_ref());
    let Some(success) = succeeded.map(|resolution| resolution.at).max() else {
        return false;
    };
    let failed = replayed().filter(|failure| failure.status == Status::Waiting);
    let has_failed_since = failed
        .map(Failure::joined_at)
        .any(|failed_at| failed_at >= success);
    !has_failed_since && now < after(success, limits.proof)
}

/// What is open, counted and looked through once.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// How many open failures each consumer has.
    pub open: BTreeMap<String, usize>,
    /// Whether all were seen before the time was over.
    pub complete: bool,
    transient: Vec<Failure>,
}

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ran {
    /// Messages that were sent.
    pub sent: usize,
    /// Messages that were due and are not known to be sent.
    pub not_sent: usize,
}

/// Why a message was not replayed.
#[derive(Debug, thiserror::Error)]
enum NotReplayed {
    #[error(transparent)]
    Store(#[from] Unavailable),
    #[error(transparent)]
    Send(#[from] SendError),
}

impl NotReplayed {
    const fn name(&self) -> &'static str {
        match self {
            Self::Store(_) => "AutomaticReplayFailed",
            Self::Send(_) => "AutomaticReplayNotSent",
        }
    }
}

/// Replays what passes by itself.
#[derive(Debug, Clone)]
pub struct AutomaticReplay<F, G, R, T, C> {
    failures: F,
    groups: G,
    queues: R,
    circuits: T,
    clock: C,
    consumers: BTreeSet<String>,
    limits: Limits,
}

impl<F, G, R, T, C> AutomaticReplay<F, G, R, T, C>
where
    F: FailureStore,
    G: GroupStore,
    R: ReplayQueues,
    T: CircuitStates,
    C: Clock,
{
    /// Replays with these ports, to these consumers and no others.
    pub fn new(
        stores: (F, G),
        queues: R,
        circuits: T,
        clock: C,
        consumers: impl IntoIterator<Item = String>,
        limits: Limits,
    ) -> Self {
        Self {
            failures: stores.0,
            groups: stores.1,
            queues,
            circuits,
            clock,
            consumers: consumers.into_iter().collect(),
            limits,
        }
    }

    /// Looks through all open failures.
    ///
    /// # Errors
    /// Where the store is unavailable.
    pub async fn survey(&self, until: Millis) -> Result<Survey, Unavailable> {
        let query = Query {
            statuses: vec![Status::Waiting, Status::Replaying],
            ..Query::default()
        };
        let mut survey = Survey::default();
        let mut from = None;
        while self.clock.now() < until {
            let page = self.failures.find(&query, from.as_deref()).await?;
            for failure in page.items {
                *survey.open.entry(failure.consumer.clone()).or_default() += 1;
                if failure.trouble.class == TRANSIENT {
                    survey.transient.push(failure.without_body());
                }
            }
            from = page.next;
            if from.is_none() {
                survey.complete = true;
                break;
            }
        }
        Ok(survey)
    }

    /// Sends what is due, and says how many messages that were, and how many were not sent.
    ///
    /// Nothing is sent on half a survey: it might miss what is under way. A message that
    /// could not be sent is logged, and sent by a later run.
    ///
    /// # Errors
    /// Where it could not be told what is due.
    pub async fn run(&self, survey: Survey, until: Millis) -> Result<Ran, Unavailable> {
        let mut ran = Ran::default();
        if !survey.complete {
            return Ok(ran);
        }
        let mut failures = self.of_healthy_consumers(survey.transient).await?;
        self.add_canaries(&mut failures).await?;
        for id in due(&failures, self.now(), &self.limits) {
            if self.clock.now() >= until {
                break;
            }
            match self.replay(&id).await {
                Ok(was_sent) => ran.sent += usize::from(was_sent),
                Err(error) => {
                    ran.not_sent += 1;
                    not_sent(&id, &error);
                }
            }
        }
        Ok(ran)
    }

    async fn of_healthy_consumers(
        &self,
        mut all: Vec<Failure>,
    ) -> Result<Vec<Failure>, Unavailable> {
        all.retain(|failure| self.consumers.contains(&failure.consumer));
        let consumers: BTreeSet<_> = all.iter().map(|it| it.consumer.clone()).collect();
        for consumer in consumers {
            if !self.circuits.is_closed(&consumer).await? {
                all.retain(|failure| failure.consumer != consumer);
            }
        }
        Ok(all)
    }

    /// The canary of a group may be resolved by now, and then no search for what is
    /// open finds it. The group's record names it.
    async fn add_canaries(&self, failures: &mut Vec<Failure>) -> Result<(), Unavailable> {
        let mut groups: Vec<_> = failures.iter().map(|it| it.group.clone()).collect();
        groups.sort();
        groups.dedup();
        for group in groups {
            let Some(canary) = self
                .groups
                .get_group(&group)
                .await?
                .and_then(|it| it.canary)
            else {
                continue;
            };
            if failures.iter().any(|failure| failure.id == canary) {
                continue;
            }
            let canary = self.failures.get(&canary).await?;
            // One that failed again for another reason belongs to another group now.
            failures.extend(
                canary
                    .filter(|it| it.group == group)
                    .map(Failure::without_body),
            );
        }
        Ok(())
    }

    /// Claims a message, and sends it. `false` where another was faster.
    async fn replay(&self, id: &FailureId) -> Result<bool, NotReplayed> {
        let Some(failure) = self.failures.get(id).await? else {
            return Ok(false);
        };
        let now = self.now();
        let Some(claimed) = self.claim(&failure, now) else {
            return Ok(false);
        };
        self.remember_canary(&claimed).await?;
        if !self.failures.replace(&claimed).await? {
            return Ok(false);
        }
        let Some(replay) = claimed.replay.clone() else {
            return Ok(false);
        };
        let sent = self
            .queues
            .send(&replay.destination, &claimed.letter, id, &replay.id)
            .await;
        if let Err(error) = sent {
            self.give_back(claimed, &replay.id, &error).await?;
            return Err(error.into());
        }
        let replay = replay.id;
        self.add(claimed, &Change::Sent { replay }).await?;
        Ok(true)
    }

    /// What was certainly not sent waits again. Where nobody knows, the claim stays, and a
    /// later run takes it up.
    async fn give_back(
        &self,
        claimed: Failure,
        replay: &ReplayId,
        error: &SendError,
    ) -> Result<(), Unavailable> {
        match claimed::unclaim(replay, error) {
            Some(unclaim) => self.add(claimed, &unclaim).await,
            None => Ok(()),
        }
    }

    async fn add(&self, claimed: Failure, change: &Change) -> Result<(), Unavailable> {
        claimed::add(&self.failures, claimed, change, || actor(self.now())).await
    }

    /// A claim for this run, also on what a run before it claimed and did not send.
    fn claim(&self, failure: &Failure, now: Timestamp) -> Option<Failure> {
        let abandoned = is_abandoned(failure, now, &self.limits);
        let abandoned = abandoned && has_replays_left(failure, &self.limits);
        if !abandoned && !is_ready(failure, now, &self.limits) {
            return None;
        }
        // What a run that ended had claimed keeps its id, whatever was counted since: to
        // the worker and to the record it is the same replay.
        let claimed = automatic_claim(failure).map(|replay| replay.id.clone());
        let replay = claimed.unwrap_or_else(|| {
            ReplayId::new(format!("automatic-{}-{}", failure.failed, failure.id))
        });
        let change = Change::Claim {
            replay,
            destination: failure.consumer.clone(),
            automatic: true,
            again: false,
        };
        let claimed = failure.after(&change, &actor(now));
        claimed
            .inspect_err(
                |refused| tracing::info!(failure = %failure.id, %refused, "no automatic replay"),
            )
            .ok()
    }

    /// The last one that was sent stands for its group: if it succeeds, others follow.
    /// This is stored before the claim, so that no success is ever overlooked.
    async fn remember_canary(&self, failure: &Failure) -> Result<(), Unavailable> {
        for _ in 0..MOST_CONFLICTS {
            let Some(mut group) = self.groups.get_group(&failure.group).await? else {
                return Ok(());
            };
            group.version += 1;
            group.canary = Some(failure.id.clone());
            if self.groups.put_group(&group).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_epoch_millis(self.clock.now().get())
    }
}

fn actor(at: Timestamp) -> Actor {
    Actor {
        name: AUTOMATIC.to_owned(),
        at,
    }
}

fn not_sent(failure: &FailureId, error: &NotReplayed) {
    tracing::error!(
        %failure,
        cause = cause_chain(error).join(": "),
        error_name = error.name(),
        "a failure was not replayed; a later run tries again"
    );
}
