//! Tells people of groups, once for each, not once for each message.
//!
//! A group is *news* when a failure joined it since people were last told. They are
//! told of news at once where they were never told of the group, or where nothing of
//! what they were told of is open any more; otherwise when the last notice is an hour
//! old. So a group that keeps failing is one notice an hour, and one that comes back
//! after it was dealt with is a notice at once.
//!
//! Whoever tells takes the group for a short while first, so that two do not tell at
//! once. If it ends in between, the next one tells; people may then be told twice, but
//! never not at all.

use std::fmt::Write;
use std::time::Duration;

use contracts::Timestamp;
use idempotency::{Clock, Millis};
use ports::{Notice, People, Unavailable};

use crate::drain::MOST_CONFLICTS;
use crate::failure::{Failure, Status};
use crate::group::Group;
use crate::ports::{FailureStore, GroupStore};
use crate::query::Query;

/// People are reminded of a group that goes on failing after so long.
const REMINDER: Duration = Duration::from_secs(60 * 60);

/// Longer than a notice takes to send.
const TELLING: Duration = Duration::from_secs(30);

/// Beyond so many the exact number tells nobody more.
const MOST_COUNTED: usize = 1_000;

/// The most failures that one notice names.
const EXAMPLES: usize = 5;

/// Some groups were not told of; they are due still.
#[derive(Debug, thiserror::Error)]
#[error("people were not told of {groups} group(s) of failures")]
pub struct NotTold {
    /// How many.
    pub groups: usize,
    /// The first of the reasons.
    #[source]
    pub source: Unavailable,
}

/// Tells people what failed.
#[derive(Debug, Clone)]
pub struct Notices<F, G, P, C> {
    failures: F,
    groups: G,
    people: P,
    clock: C,
    stack: String,
}

impl<F: FailureStore, G: GroupStore, P: People, C: Clock> Notices<F, G, P, C> {
    /// Tells these people; `stack` is the name that the commands in a notice carry.
    pub fn new(failures: F, groups: G, people: P, clock: C, stack: impl Into<String>) -> Self {
        Self {
            failures,
            groups,
            people,
            clock,
            stack: stack.into(),
        }
    }

    /// Tells of every group that is due, and says of how many. What there is no time
    /// for stays due.
    ///
    /// # Errors
    /// [`NotTold`] where some could not be told of; the others were.
    pub async fn tell_due(&self, until: Millis) -> Result<usize, NotTold> {
        let not_told = |groups, source| NotTold { groups, source };
        let groups = self.groups.groups().await.map_err(|it| not_told(0, it))?;
        let (mut told, mut failed, mut reason) = (0, 0, None);
        for group in groups.iter().filter(|group| is_news(group)) {
            if self.clock.now() >= until {
                break;
            }
            match self.tell_if_due(group).await {
                Ok(was_due) => told += usize::from(was_due),
                Err(error) => {
                    failed += 1;
                    reason.get_or_insert(error);
                }
            }
        }
        match reason {
            None => Ok(told),
            Some(reason) => Err(not_told(failed, reason)),
        }
    }

    async fn tell_if_due(&self, group: &Group) -> Result<bool, Unavailable> {
        let now = self.now();
        if group.telling_until.is_some_and(|until| now < until) {
            return Ok(false);
        }
        let open = self.open_failures(group).await?;
        if !is_due(group, &open, now) {
            return Ok(false);
        }
        let taken = Group {
            version: group.version + 1,
            telling_until: Some(after(now, TELLING)),
            ..group.clone()
        };
        if !self.groups.put_group(&taken).await? {
            // Another tells, or a failure joined: the next look sees.
            return Ok(false);
        }
        let notice = notice(group, &open, &self.stack);
        self.people.tell(&notice).await?;
        self.write_down(&taken, now).await?;
        Ok(true)
    }

    async fn write_down(&self, told: &Group, at: Timestamp) -> Result<(), Unavailable> {
        let mut current = told.clone();
        for _ in 0..MOST_CONFLICTS {
            let next = Group {
                version: current.version + 1,
                told_at: Some(at),
                // What joined meanwhile was not told of.
                told_of: Some(told.last_failure_at),
                telling_until: None,
                ..current
            };
            if self.groups.put_group(&next).await? {
                return Ok(());
            }
            match self.groups.get_group(&told.id).await? {
                Some(group) => current = group,
                None => return Ok(()),
            }
        }
        // They are told again when the time for telling is over: better than not.
        Ok(())
    }

    /// The open failures of a group without their bodies, the latest first.
    async fn open_failures(&self, group: &Group) -> Result<Vec<Failure>, Unavailable> {
        let query = Query {
            statuses: vec![Status::Waiting, Status::Replaying],
            group: Some(group.id.clone()),
            ..Query::default()
        };
        let mut found = Vec::new();
        let mut from = None;
        loop {
            let page = self.failures.find(&query, from.as_deref()).await?;
            found.extend(page.items.into_iter().map(Failure::without_body));
            from = page.next;
            if from.is_none() || found.len() >= MOST_COUNTED {
                found.truncate(MOST_COUNTED);
                return Ok(found);
            }
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_epoch_millis(self.clock.now().get())
    }
}

impl Failure {
    /// To hold many at a time.
    pub(crate) fn without_body(mut self) -> Self {
        self.letter.body = String::new();
        self
    }
}

/// Whether a failure joined since people were told.
fn is_news(group: &Group) -> bool {
    group
        .told_of
        .is_none_or(|told| told < group.last_failure_at)
}

/// Whether people are told now; `open` are the open failures of the group.
fn is_due(group: &Group, open: &[Failure], now: Timestamp) -> bool {
    if !is_news(group) {
        return false;
    }
    let Some(told_at) = group.told_at else {
        return true;
    };
    // A failure that was replayed and failed again is the one they were told of.
    let is_old_news = open.iter().any(|failure| failure.stored_at <= told_at);
    !is_old_news || now >= after(told_at, REMINDER)
}

pub(crate) fn after(at: Timestamp, time: Duration) -> Timestamp {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_epoch_millis(at.epoch_millis().saturating_add(millis))
}

/// What people read of a group.
fn notice(group: &Group, open: &[Failure], stack: &str) -> Notice {
    let is_new = |failure: &&Failure| group.told_of.is_none_or(|told| failure.joined_at() > told);
    let new = open.iter().filter(is_new).count();
    let mut text = format!(
        "Messages of {} failed with {} ({}).\n",
        group.consumer,
        group.error_name,
        class(open)
    );
    if !group.cause.is_empty() {
        line(&mut text, &format!("Cause: {}", group.cause));
    }
    for (label, count) in counts(open, new) {
        line(&mut text, &format!("  {label:<28}{count}"));
    }
    examples(&mut text, open);
    line(&mut text, "\nWhat to do next:");
    line(&mut text, &next_steps(group, open, stack));
    Notice {
        subject: format!(
            "{} message(s) of {} failed: {}",
            number(new),
            group.consumer,
            group.error_name
        ),
        text,
        kind: "dead-letters",
    }
}

fn counts(open: &[Failure], new: usize) -> Vec<(&'static str, String)> {
    let again = open.iter().filter(|failure| failure.failed > 1).count();
    let times = || open.iter().map(|failure| failure.trouble.failed_at);
    let mut counts = vec![
        ("new since the last notice", number(new)),
        ("open in all", number(open.len())),
        ("failed again after a replay", number(again)),
    ];
    if let (Some(first), Some(last)) = (times().min(), times().max()) {
        counts.push(("first failed", first.to_string()));
        counts.push(("last failed", last.to_string()));
    }
    counts
}

/// Counting ended there.
fn number(count: usize) -> String {
    if count >= MOST_COUNTED {
        format!("{MOST_COUNTED} or more")
    } else {
        count.to_string()
    }
}

fn class(open: &[Failure]) -> &str {
    open.first()
        .map_or("none of them is open any more", |failure| {
            failure.trouble.class.as_str()
        })
}

fn examples(text: &mut String, open: &[Failure]) {
    if open.is_empty() {
        return;
    }
    line(text, "\nExamples (failure, order, correlation id):");
    for failure in open.iter().take(EXAMPLES) {
        let or_unknown = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".into());
        line(
            text,
            &format!(
                "  {}  {}  {}",
                failure.id,
                or_unknown(&failure.order_id),
                or_unknown(&failure.correlation_id)
            ),
        );
    }
}

fn next_steps(group: &Group, open: &[Failure], stack: &str) -> String {
    let waybill = format!("waybill --stack {stack} failures");
    let id = &group.id;
    let example = open
        .first()
        .map_or_else(|| "ID".to_owned(), |failure| failure.id.to_string());
    let cause = match class(open) {
        "transient" => {
            "Unless automatic replay is off, these are sent again by themselves a few times.\n  \
             Look at them if they fail again."
        }
        "poison" => "The deployed version cannot read these. Deploy one that can, or edit them.",
        crate::UNKNOWN => {
            "Nothing says why. Search the logs of the consumer for the correlation ids."
        }
        _ => "Correct the cause first.",
    };
    format!(
        "  {cause}\n  \
         {waybill} list --group {id}\n  \
         {waybill} show {example}\n  \
         {waybill} replay --group {id}          (shows what would be sent; --yes sends it)\n  \
         {waybill} note --group {id} \"TEXT\"\n  \
         A repeated message has no second effect, and an action whose undo came first is refused."
    )
}

/// Writing to a string cannot fail.
fn line(text: &mut String, line: &str) {
    let _always_ok = writeln!(text, "{line}");
}
