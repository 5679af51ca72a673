//! The failure store of a deployment, in one operator's hands.

use aws_adapters::{DynamoFailures, DynamoGroups, DynamoOrders, DynamoPlans, SqsReplayQueues};
use contracts::Timestamp;
use failures::{
    Actor, Change, Failure as Record, FailureId, FailureStore, GroupId, GroupStore, PlanStore,
    Query, Refused,
};
use idempotency::{Clock, SystemClock};

use super::consumers;
use crate::cli::Context;
use crate::deployment::Deployment;
use crate::failure::Failure;
use crate::operator::operator;

/// How often a change is tried over somebody else's.
const CONFLICTS: usize = 10;

/// Reads and changes failures.
pub(super) struct Store {
    deployment: Deployment,
    pub(super) failures: DynamoFailures,
}

/// What came of a change.
pub(super) enum Changed {
    Done,
    Refused(Refused),
    Missing,
}

impl Store {
    pub(super) async fn open(context: &Context) -> Result<Self, Failure> {
        let deployment = context.settings.deployment().await?;
        let table = deployment.output("FailuresTableName")?;
        Ok(Self {
            failures: DynamoFailures::new(deployment.dynamodb(), table),
            deployment,
        })
    }

    pub(super) fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    pub(super) fn groups(&self) -> Result<DynamoGroups, Failure> {
        let table = self.deployment.output("FailureGroupsTableName")?;
        Ok(DynamoGroups::new(self.deployment.dynamodb(), table))
    }

    pub(super) fn plans(&self) -> Result<DynamoPlans, Failure> {
        let table = self.deployment.output("ReplaysTableName")?;
        Ok(DynamoPlans::new(self.deployment.dynamodb(), table))
    }

    pub(super) fn orders(&self) -> Result<DynamoOrders, Failure> {
        let table = self.deployment.output("OrdersTableName")?;
        Ok(DynamoOrders::new(
            self.deployment.dynamodb(),
            table.to_owned(),
        ))
    }

    pub(super) fn queues(&self) -> Result<SqsReplayQueues, Failure> {
        let urls = consumers::queues(&self.deployment)?;
        let client = aws_sdk_sqs::Client::new(self.deployment.config());
        Ok(SqsReplayQueues::new(client, urls))
    }

    pub(super) async fn operator(&self) -> Result<String, Failure> {
        operator(&self.deployment).await
    }

    /// Reads one failure as it is now.
    pub(super) async fn get(&self, id: &FailureId) -> Result<Option<Record>, Failure> {
        self.failures.get(id).await.map_err(Failure::from_port)
    }

    /// Reads named failures; one that is not there is an error.
    pub(super) async fn named(&self, ids: &[FailureId]) -> Result<Vec<Record>, Failure> {
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for id in ids {
            match self.get(id).await? {
                Some(failure) => found.push(failure),
                None => missing.push(id.to_string()),
            }
        }
        match missing.is_empty() {
            true => Ok(found),
            false => Err(Failure::NotInStore(missing)),
        }
    }

    /// Hands over everything that fits, page by page, the latest failure first, until
    /// `each` says that it is enough.
    pub(super) async fn each(
        &self,
        query: &Query,
        mut each: impl FnMut(Record) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let mut from = None;
        loop {
            let page = self.failures.find(query, from.as_deref()).await;
            let page = page.map_err(Failure::from_port)?;
            for failure in page.items {
                if !each(failure)? {
                    return Ok(());
                }
            }
            from = page.next;
            if from.is_none() {
                return Ok(());
            }
        }
    }

    /// Whether the group and the replay that a query names are there. For queries that
    /// found nothing: a mistyped name must not look as if all were well.
    ///
    /// # Errors
    /// [`Failure::NotInStore`] and [`Failure::NoSuchReplay`].
    pub(super) async fn check_named(&self, query: &Query) -> Result<(), Failure> {
        if let Some(group) = &query.group
            && !self.has_group(group).await?
        {
            return Err(Failure::NotInStore(vec![format!("the group {group}")]));
        }
        let Some(replay) = &query.replay else {
            return Ok(());
        };
        // An automatic replay has no plan, only failures that had it.
        let plan = self.plans()?.get_plan(replay).await;
        let is_there = plan.map_err(Failure::from_port)?.is_some()
            || self
                .has_any(&Query {
                    replay: Some(replay.clone()),
                    ..Query::default()
                })
                .await?;
        match is_there {
            true => Ok(()),
            false => Err(Failure::NoSuchReplay(replay.to_string())),
        }
    }

    async fn has_group(&self, group: &GroupId) -> Result<bool, Failure> {
        let known = self.groups()?.get_group(group).await;
        if known.map_err(Failure::from_port)?.is_some() {
            return Ok(true);
        }
        self.has_any(&Query {
            group: Some(group.clone()),
            ..Query::default()
        })
        .await
    }

    async fn has_any(&self, query: &Query) -> Result<bool, Failure> {
        let mut found = false;
        let stop = |_| {
            found = true;
            Ok(false)
        };
        self.each(query, stop).await?;
        Ok(found)
    }

    /// Makes a change to a failure as it is now, over whatever others do meanwhile.
    pub(super) async fn change(
        &self,
        id: &FailureId,
        change: &Change,
        by: &str,
    ) -> Result<Changed, Failure> {
        for _ in 0..CONFLICTS {
            let Some(failure) = self.get(id).await? else {
                return Ok(Changed::Missing);
            };
            let next = match failure.after(change, &actor(by)) {
                Ok(next) => next,
                Err(refused) => return Ok(Changed::Refused(refused)),
            };
            let stored = self.failures.replace(&next).await;
            if stored.map_err(Failure::from_port)? || self.is_stored(&next).await? {
                return Ok(Changed::Done);
            }
        }
        Err(busy(id))
    }

    /// Whether a write was made whose answer was lost.
    async fn is_stored(&self, wanted: &Record) -> Result<bool, Failure> {
        let now = self.get(&wanted.id).await?;
        Ok(now.is_some_and(|now| now == *wanted))
    }
}

/// The operator, now.
pub(super) fn actor(by: &str) -> Actor {
    Actor {
        name: by.to_owned(),
        at: now(),
    }
}

/// The present moment.
pub(super) fn now() -> Timestamp {
    Timestamp::from_epoch_millis(SystemClock.now().get())
}

/// Others change it as fast as we read it.
pub(super) fn busy(id: &FailureId) -> Failure {
    Failure::Busy {
        what: format!("the record of {id}"),
        message: "others change it all the time".to_owned(),
    }
}
