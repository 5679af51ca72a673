//! Carries a plan out.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use contracts::Timestamp;
use futures_util::{StreamExt, TryStreamExt, stream};
use idempotency::Clock;
use ports::Unavailable;
use tokio::time::{Instant, sleep, sleep_until};

use super::state::{state_of, tally};
use crate::change::{Actor, Change};
use crate::claimed;
use crate::drain::MOST_CONFLICTS;
use crate::failure::{Failure, ReplayId};
use crate::group::GroupId;
use crate::plan::{Entry, EntryState, Plan, Runner};
use crate::ports::{FailureStore, PlanStore, ReplayQueues, SendError};

/// How long a plan belongs to a process that gives no sign of life. It gives one after
/// a third of this time.
const LEASE: Duration = Duration::from_secs(12);

/// How often what is under way is looked at: often at first, then less.
const FIRST_LOOK: Duration = Duration::from_millis(200);
const LATEST_LOOK: Duration = Duration::from_secs(2);

/// How often dead letters are drained while a worker is waited for: a message that
/// failed again is seen only then.
const DRAIN_EVERY: Duration = Duration::from_secs(5);

/// How many records are read at once.
const READS_AT_ONCE: usize = 16;

/// How often a message is tried that the store or the queue could not take.
const TRIES: u32 = 3;

/// Carries plans out, in one operator's name.
#[derive(Debug)]
pub struct Replayer<'a, S, P, Q, C, D> {
    /// The failures.
    pub store: &'a S,
    /// The plans.
    pub plans: &'a P,
    /// Where messages are sent to.
    pub queues: &'a Q,
    /// What time it is.
    pub clock: &'a C,
    /// Brings dead letters into the store while a worker is waited for.
    pub drains: &'a D,
}

/// One run of a plan.
#[derive(Debug, Clone)]
pub struct Run {
    /// Names this process, at random.
    pub id: String,
    /// Who runs it.
    pub by: String,
    /// Whether to wait, at the end, until a worker has dealt with each message. Canaries
    /// are waited for in any case.
    pub wait: bool,
    /// When to stop waiting.
    pub deadline: Option<Instant>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// All that was to be sent was sent, and dealt with unless nobody waited.
    Complete,
    /// The time was up. The plan can be resumed.
    StillUnderWay,
    /// The operator stopped it. The plan can be resumed.
    Stopped,
}

/// What happens during a run.
#[derive(Debug)]
pub enum Event<'a> {
    /// A message was sent.
    Sent(&'a Entry),
    /// A message is not sent.
    Skipped(&'a Entry, &'a str),
    /// A worker processed a message.
    Processed(&'a Entry, &'a str),
    /// A message failed again.
    FailedAgain(&'a Entry, &'a str),
    /// The canaries of a group were processed; the rest of it follows.
    Cleared(&'a GroupId),
    /// A canary of a group failed again; the rest of it is not sent.
    Aborted(&'a GroupId),
    /// So many messages are waited for.
    Waiting(usize),
    /// A call did not succeed and is tried again.
    Trouble(&'a Unavailable),
}

/// Sees what happens, and may stop it.
pub trait Watcher: Send + Sync {
    /// Something happened.
    fn saw(&self, event: &Event<'_>);

    /// Whether to stop. Asked between two messages, never in the middle of one.
    fn stop(&self) -> bool {
        false
    }
}

/// Brings dead letters into the store.
pub trait Drains: Send + Sync {
    /// Drains what is there now.
    fn drain(&self) -> impl Future<Output = Result<(), Unavailable>> + Send;
}

/// Leaves it to the schedule.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoDrain;

impl Drains for NoDrain {
    async fn drain(&self) -> Result<(), Unavailable> {
        Ok(())
    }
}

/// Why a plan is not carried out to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// There is no such plan.
    #[error("there is no replay {0}")]
    NoSuchPlan(ReplayId),
    /// Another process carries it out.
    #[error("{by} is carrying it out; it is free at {until} unless that goes on")]
    Running {
        /// Who.
        by: String,
        /// When another may go on with it.
        until: Timestamp,
    },
    /// Another process took it over, as this one gave no sign of life.
    #[error("another process has taken the plan over")]
    TakenOver,
    /// The store or a queue did not do as told. The plan can be resumed.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl<S, P, Q, C, D> Replayer<'_, S, P, Q, C, D>
where
    S: FailureStore,
    P: PlanStore,
    Q: ReplayQueues,
    C: Clock,
    D: Drains,
{
    /// Carries a stored plan out, from where it stands. Gives how it ended and what
    /// became of each entry.
    ///
    /// # Errors
    /// [`ReplayError`]. What was sent stays sent, and the plan can be resumed.
    pub async fn run(
        &self,
        plan: &ReplayId,
        run: &Run,
        watcher: &impl Watcher,
    ) -> Result<(Finish, Plan, Vec<EntryState>), ReplayError> {
        let found = self.plans.get_plan(plan).await?;
        let found = found.ok_or_else(|| ReplayError::NoSuchPlan(plan.clone()))?;
        let mut process = Process::begin(self, found, run, watcher).await?;
        let finish = process.carry_out().await;
        // The next run need not wait for the lease; should this fail, it waits.
        let given_back = process
            .give_back(matches!(finish, Ok(Finish::Complete)))
            .await;
        let finish = finish?;
        given_back?;
        Ok((finish, process.plan, process.states))
    }
}

/// One process at its plan.
struct Process<'a, 'b, S, P, Q, C, D, W> {
    replayer: &'a Replayer<'b, S, P, Q, C, D>,
    plan: Plan,
    run: &'a Run,
    watcher: &'a W,
    states: Vec<EntryState>,
    /// Whether the states are read and not only assumed.
    looked: bool,
    groups: BTreeMap<GroupId, Vec<usize>>,
    cleared: Vec<GroupId>,
    /// How often each entry could not be dealt with.
    tries: Vec<u32>,
    /// Different messages that failed in a row: then it is not the message.
    failing: u32,
    /// Why the last message that could not be dealt with was given up.
    given_up: Option<Unavailable>,
    next_send: Instant,
    next_drain: Instant,
    look: Duration,
}

/// What is to be done next.
enum Next {
    Send(usize),
    /// Canaries are under way.
    Wait,
    Done,
}

impl<'a, 'b, S, P, Q, C, D, W> Process<'a, 'b, S, P, Q, C, D, W>
where
    S: FailureStore,
    P: PlanStore,
    Q: ReplayQueues,
    C: Clock,
    D: Drains,
    W: Watcher,
{
    /// Takes the plan, and reads where its entries stand.
    async fn begin(
        replayer: &'a Replayer<'b, S, P, Q, C, D>,
        plan: Plan,
        run: &'a Run,
        watcher: &'a W,
    ) -> Result<Self, ReplayError> {
        let mut groups: BTreeMap<GroupId, Vec<usize>> = BTreeMap::new();
        for (index, entry) in plan.entries.iter().enumerate() {
            groups.entry(entry.group.clone()).or_default().push(index);
        }
        let now = Instant::now();
        let mut process = Self {
            states: vec![EntryState::Due; plan.entries.len()],
            looked: false,
            tries: vec![0; plan.entries.len()],
            replayer,
            plan,
            run,
            watcher,
            groups,
            cleared: Vec::new(),
            failing: 0,
            given_up: None,
            next_send: now,
            next_drain: now,
            look: FIRST_LOOK,
        };
        process.take().await?;
        process.refresh(|_| true).await?;
        process.looked = true;
        Ok(process)
    }

    async fn carry_out(&mut self) -> Result<Finish, ReplayError> {
        loop {
            if self.watcher.stop() {
                return Ok(Finish::Stopped);
            }
            match self.next().await? {
                Next::Send(index) => self.deal_with(index).await?,
                Next::Wait if self.time_is_up() => return Ok(Finish::StillUnderWay),
                Next::Wait => self.wait().await?,
                Next::Done => break,
            }
        }
        self.must_have_dealt_with_all()?;
        self.wait_for_the_rest().await
    }

    async fn wait_for_the_rest(&mut self) -> Result<Finish, ReplayError> {
        while self.run.wait && self.under_way() > 0 {
            if self.watcher.stop() {
                return Ok(Finish::Stopped);
            }
            if self.time_is_up() {
                return Ok(Finish::StillUnderWay);
            }
            self.wait().await?;
        }
        Ok(Finish::Complete)
    }

    /// What the groups need, the first that needs something first.
    async fn next(&mut self) -> Result<Next, ReplayError> {
        let mut waits = false;
        let groups: Vec<GroupId> = self.groups.keys().cloned().collect();
        for group in groups {
            match self.next_of(&group).await? {
                Next::Done => {}
                Next::Wait => waits = true,
                send @ Next::Send(_) => return Ok(send),
            }
        }
        Ok(if waits { Next::Wait } else { Next::Done })
    }

    async fn next_of(&mut self, group: &GroupId) -> Result<Next, ReplayError> {
        if self.plan.progress.aborted.contains(group) {
            return Ok(Next::Done);
        }
        let entries = &self.groups[group];
        let count = |wanted: fn(&EntryState) -> bool| {
            let states = entries.iter().map(|&index| &self.states[index]);
            states.filter(|state| wanted(state)).count()
        };
        let processed = count(|state| matches!(state, EntryState::Processed(_)));
        let failed = count(|state| matches!(state, EntryState::FailedAgain(_)));
        let under_way = count(|state| matches!(state, EntryState::Sent));
        let due = entries.iter().copied().find(|&index| self.is_due(index));
        let Some(due) = due else {
            return Ok(Next::Done);
        };
        if processed >= self.plan.canaries {
            self.clear(group);
            return Ok(Next::Send(due));
        }
        if failed > 0 {
            self.abort(group).await?;
            return Ok(Next::Done);
        }
        match processed + under_way < self.plan.canaries {
            true => Ok(Next::Send(due)),
            false => Ok(Next::Wait),
        }
    }

    fn is_due(&self, index: usize) -> bool {
        let state = &self.states[index];
        matches!(state, EntryState::Due | EntryState::Claimed) && self.tries[index] < TRIES
    }

    fn clear(&mut self, group: &GroupId) {
        if self.plan.canaries > 0 && !self.cleared.contains(group) {
            self.cleared.push(group.clone());
            self.watcher.saw(&Event::Cleared(group));
        }
    }

    async fn abort(&mut self, group: &GroupId) -> Result<(), ReplayError> {
        self.plan.progress.aborted.push(group.clone());
        self.watcher.saw(&Event::Aborted(group));
        self.put_progress().await
    }

    /// Sends one message, and takes note where that cannot be done now.
    async fn deal_with(&mut self, index: usize) -> Result<(), ReplayError> {
        sleep_until(self.next_send).await;
        self.keep_lease().await?;
        match self.send(index).await {
            Ok(state) => {
                self.failing = 0;
                self.note(index, state);
                Ok(())
            }
            Err(error) => {
                self.watcher.saw(&Event::Trouble(&error));
                self.tries[index] += 1;
                sleep(FIRST_LOOK * self.tries[index]).await;
                if self.tries[index] < TRIES {
                    return Ok(());
                }
                self.failing += 1;
                if self.failing >= TRIES {
                    return Err(error.into());
                }
                self.given_up = Some(error);
                Ok(())
            }
        }
    }

    /// Claims the record, sends the message, and writes down that it was sent.
    async fn send(&mut self, index: usize) -> Result<EntryState, Unavailable> {
        let claimed = match self.claim(index).await? {
            Ok(claimed) => claimed,
            Err(state) => return Ok(state),
        };
        let pause = Duration::from_secs(1) / self.plan.rate.max(1);
        self.next_send = Instant::now() + pause;
        let destination = self.destination(&claimed).to_owned();
        let (queues, plan) = (self.replayer.queues, &self.plan.id);
        let sent = queues
            .send(&destination, &claimed.letter, &claimed.id, plan)
            .await;
        if let Err(error) = sent {
            return Err(self.not_sent(index, claimed, error).await);
        }
        self.watcher.saw(&Event::Sent(&self.plan.entries[index]));
        // It is sent whether or not this is written down: till then the record says that
        // it may have been.
        if let Err(error) = self.confirm(claimed).await {
            self.watcher.saw(&Event::Trouble(&error));
        }
        Ok(EntryState::Sent)
    }

    /// The record once it is claimed, or why it is not.
    async fn claim(&self, index: usize) -> Result<Result<Failure, EntryState>, Unavailable> {
        let entry = &self.plan.entries[index];
        let store = self.replayer.store;
        for _ in 0..MOST_CONFLICTS {
            let failure = store.get(&entry.failure).await?;
            let state = state_of(&self.plan, entry, failure.as_ref());
            let failure = match (state, failure) {
                (EntryState::Due | EntryState::Claimed, Some(failure)) => failure,
                (state, _) => return Ok(Err(state)),
            };
            let claim = Change::Claim {
                replay: self.plan.id.clone(),
                destination: self.destination(&failure).to_owned(),
                automatic: false,
                again: entry.over.is_some(),
            };
            let claimed = match failure.after(&claim, &self.actor()) {
                Ok(claimed) => claimed,
                Err(refused) => return Ok(Err(EntryState::Skipped(refused.to_string()))),
            };
            if store.replace(&claimed).await? {
                return Ok(Ok(claimed));
            }
        }
        Ok(Err(EntryState::Skipped(
            "others change it all the time".to_owned(),
        )))
    }

    /// What was certainly not sent waits again, and is not tried again in this run. Where
    /// nobody knows, the claim stays: this plan may send it once more, and no other.
    async fn not_sent(&mut self, index: usize, claimed: Failure, error: SendError) -> Unavailable {
        if let Some(unclaim) = claimed::unclaim(&self.plan.id, &error) {
            self.tries[index] = TRIES - 1;
            if let Err(error) = self.add(claimed, &unclaim).await {
                self.watcher.saw(&Event::Trouble(&error));
            }
        }
        error.into_inner()
    }

    async fn confirm(&self, claimed: Failure) -> Result<(), Unavailable> {
        let sent = Change::Sent {
            replay: self.plan.id.clone(),
        };
        self.add(claimed, &sent).await
    }

    async fn add(&self, claimed: Failure, change: &Change) -> Result<(), Unavailable> {
        claimed::add(self.replayer.store, claimed, change, || self.actor()).await
    }

    fn destination<'c>(&'c self, failure: &'c Failure) -> &'c str {
        let planned = self.plan.destination.as_ref();
        planned.unwrap_or(&failure.consumer)
    }

    /// Waits a little, and looks again at what is under way.
    async fn wait(&mut self) -> Result<(), ReplayError> {
        self.watcher.saw(&Event::Waiting(self.under_way()));
        sleep(self.look).await;
        self.look = (self.look * 3 / 2).min(LATEST_LOOK);
        self.keep_lease().await?;
        if Instant::now() >= self.next_drain {
            if let Err(error) = self.replayer.drains.drain().await {
                self.watcher.saw(&Event::Trouble(&error));
            }
            self.next_drain = Instant::now() + DRAIN_EVERY;
        }
        let looked = self
            .refresh(|state| matches!(state, EntryState::Sent))
            .await;
        match looked {
            Ok(moved) => {
                self.failing = 0;
                if moved {
                    self.look = FIRST_LOOK;
                }
                Ok(())
            }
            Err(error) => {
                self.watcher.saw(&Event::Trouble(&error));
                self.failing += 1;
                match self.failing >= TRIES {
                    true => Err(error.into()),
                    false => Ok(()),
                }
            }
        }
    }

    /// Reads where entries stand now. Whether any of them moved.
    async fn refresh(&mut self, wanted: impl Fn(&EntryState) -> bool) -> Result<bool, Unavailable> {
        let indices: Vec<usize> = (0..self.states.len())
            .filter(|&index| wanted(&self.states[index]))
            .collect();
        let (store, plan) = (self.replayer.store, &self.plan);
        let looks = stream::iter(indices).map(|index| async move {
            let entry = &plan.entries[index];
            let failure = store.get(&entry.failure).await?;
            Ok::<_, Unavailable>((index, state_of(plan, entry, failure.as_ref())))
        });
        let looked: Vec<_> = looks.buffer_unordered(READS_AT_ONCE).try_collect().await?;
        let mut moved = false;
        for (index, state) in looked {
            moved |= self.note(index, state);
        }
        Ok(moved)
    }

    /// Keeps where an entry stands, and says so where it is news.
    fn note(&mut self, index: usize, state: EntryState) -> bool {
        // It was sent, though that could not be written down.
        if state == EntryState::Claimed && self.states[index] == EntryState::Sent {
            return false;
        }
        if self.states[index] == state {
            return false;
        }
        let entry = &self.plan.entries[index];
        match &state {
            EntryState::Processed(outcome) => self.watcher.saw(&Event::Processed(entry, outcome)),
            EntryState::FailedAgain(name) => self.watcher.saw(&Event::FailedAgain(entry, name)),
            EntryState::Skipped(why) => self.watcher.saw(&Event::Skipped(entry, why)),
            EntryState::Due | EntryState::Claimed | EntryState::Sent => {}
        }
        self.states[index] = state;
        true
    }

    fn under_way(&self) -> usize {
        let states = self.states.iter();
        states
            .filter(|state| matches!(state, EntryState::Sent))
            .count()
    }

    fn time_is_up(&self) -> bool {
        self.run
            .deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
    }

    fn actor(&self) -> Actor {
        Actor {
            name: self.run.by.clone(),
            at: self.now(),
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_epoch_millis(self.replayer.clock.now().get())
    }

    /// A message that neither store nor queue took is not forgotten: the run fails, and
    /// the plan can be resumed.
    fn must_have_dealt_with_all(&mut self) -> Result<(), ReplayError> {
        match self.given_up.take() {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }

    /// Takes the plan for this process. Another that has it and lives goes before.
    async fn take(&mut self) -> Result<(), ReplayError> {
        loop {
            let now = self.now();
            if let Some(runner) = &self.plan.progress.runner
                && runner.run != self.run.id
                && runner.until > now
            {
                return Err(ReplayError::Running {
                    by: runner.by.clone(),
                    until: runner.until,
                });
            }
            if self.put(Some(self.lease())).await? {
                return Ok(());
            }
            let id = &self.plan.id;
            let plan = self.replayer.plans.get_plan(id).await?;
            self.plan = plan.ok_or_else(|| ReplayError::NoSuchPlan(id.clone()))?;
        }
    }

    fn lease(&self) -> Runner {
        let lease = u64::try_from(LEASE.as_millis()).unwrap_or(u64::MAX);
        let until = self.now().epoch_millis().saturating_add(lease);
        Runner {
            run: self.run.id.clone(),
            by: self.run.by.clone(),
            until: Timestamp::from_epoch_millis(until),
        }
    }

    /// Nothing is sent on a lease that may be over.
    async fn keep_lease(&mut self) -> Result<(), ReplayError> {
        let until = self.plan.progress.runner.as_ref();
        let until = until.map_or(0, |runner| runner.until.epoch_millis());
        let left = until.saturating_sub(self.now().epoch_millis());
        match u128::from(left) > LEASE.as_millis() * 2 / 3 {
            true => Ok(()),
            false => self.put_progress().await,
        }
    }

    async fn put_progress(&mut self) -> Result<(), ReplayError> {
        match self.put(Some(self.lease())).await? {
            true => Ok(()),
            false => Err(ReplayError::TakenOver),
        }
    }

    async fn give_back(&mut self, complete: bool) -> Result<(), ReplayError> {
        if complete && self.plan.progress.finished_at.is_none() {
            self.plan.progress.finished_at = Some(self.now());
        }
        match self.put(None).await? {
            true => Ok(()),
            false => Err(ReplayError::TakenOver),
        }
    }

    /// Stores the progress over the version that this process knows. A write whose
    /// answer was lost is found to be its own.
    async fn put(&mut self, runner: Option<Runner>) -> Result<bool, Unavailable> {
        let mut next = self.plan.clone();
        next.version += 1;
        next.progress.runner = runner;
        if self.looked {
            next.progress.groups = tally(&self.plan, &self.states);
        }
        let plans = self.replayer.plans;
        let mut stored = plans.put_progress(&next).await?;
        if !stored {
            let now = plans.get_plan(&next.id).await?;
            stored =
                now.is_some_and(|now| now.version == next.version && now.progress == next.progress);
        }
        if stored {
            self.plan = next;
        }
        Ok(stored)
    }
}
