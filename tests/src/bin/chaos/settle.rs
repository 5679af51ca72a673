//! After the faults: operators see to what is left, until nothing moves any more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::sleep;
use waybill_tests::Environment;

use crate::operations;
use crate::output;
use crate::run::Run;
use crate::watch::Motion;

/// A message of a function that was killed comes back after three minutes, and its saga
/// may wait for an undo for five.
const LIMIT: Duration = Duration::from_secs(600);
const PAUSE: Duration = Duration::from_secs(2);
const TOLD_EVERY: Duration = Duration::from_secs(20);
/// An order is tried so often before a look by a developer is due.
const ATTEMPTS: usize = 4;

/// What the operators did.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// What did not come to rest, if anything.
    pub(crate) left: Option<Motion>,
    /// The orders that needed attention, and what became of each.
    pub(crate) resumed: BTreeMap<String, String>,
    attempts: BTreeMap<String, usize>,
}

/// Works until nothing moves; gives up when it takes too long.
pub(crate) async fn settle(run: &Arc<Run>, environment: &Environment) -> Work {
    let mut work = Work::default();
    let limit = run.elapsed() + LIMIT;
    let mut tell = run.elapsed() + TOLD_EVERY;
    loop {
        let motion = Motion::look(run, environment).await;
        if motion.is_none() {
            return work;
        }
        if run.elapsed() > tell {
            tell += TOLD_EVERY;
            output::line(&format!("         still: {motion}"));
        }
        if run.elapsed() > limit {
            work.left = Some(motion);
            return work;
        }
        work.see_to(environment, &motion).await;
        sleep(PAUSE).await;
    }
}

impl Work {
    async fn see_to(&mut self, environment: &Environment, motion: &Motion) {
        if !motion.dead.is_empty() {
            output::unless_done("drain", &operations::drain(environment).await);
        }
        if motion.waiting > 0 {
            // What fails again waits again, and is sent again.
            operations::replay(environment, &operations::REPLAY).await;
        } else if motion.replaying > 0 && motion.queued.is_empty() {
            // Nobody will confirm what was claimed by a replay that was killed.
            let stale = [
                "failures",
                "replay",
                "--status",
                "replaying",
                "--again",
                "--yes",
            ];
            operations::replay(environment, &stale).await;
        }
        if motion.needing_attention > 0 {
            self.resume(environment).await;
        }
    }

    /// Several at a time: a resumed order waits for its undos.
    async fn resume(&mut self, environment: &Environment) {
        let orders = operations::needing_attention(environment).await;
        let attempts = &self.attempts;
        let due = orders
            .into_iter()
            .filter(|order| attempts.get(order).copied().unwrap_or_default() < ATTEMPTS);
        let resumed: Vec<_> = stream::iter(due)
            .map(async |order| {
                let became = operations::resume(environment, &order).await;
                (order, became)
            })
            .buffer_unordered(4)
            .collect()
            .await;
        for (order, became) in resumed {
            *self.attempts.entry(order.clone()).or_default() += 1;
            self.resumed
                .insert(order, became.unwrap_or_else(|error| error));
        }
    }
}
