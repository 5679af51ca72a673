//! What a replay would send, and the plan that freezes it.

use std::collections::{BTreeMap, BTreeSet};

use contracts::Timestamp;
use ports::Unavailable;

use crate::failure::{Failure, FailureId, ReplayId, Status};
use crate::group::GroupId;
use crate::plan::{Entry, Plan, Progress, Tally};
use crate::ports::FailureStore;
use crate::query::Query;

/// What is to be replayed.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// Which failures. Without statuses, the open ones; named ids whatever they are.
    pub query: Query,
    /// The consumer that gets them, where it is not their own.
    pub destination: Option<String>,
    /// Also those that another replay sent and no worker confirmed. They may run twice;
    /// their effect is still one.
    pub again: bool,
    /// What was stored before this time is not sent: outside parties may have forgotten
    /// its key, and would take it for something new.
    pub oldest: Option<Timestamp>,
    /// Also what is older than that, and also to a consumer that does not read messages
    /// of their type.
    pub force: bool,
}

/// A message that would be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What the plan would keep of it.
    pub entry: Entry,
    /// The consumer that gets it.
    pub destination: String,
}

/// A message that fits the query and would not be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    /// Which failure.
    pub failure: FailureId,
    /// Its group.
    pub group: GroupId,
    /// Why not.
    pub why: String,
}

/// What a look at the store found. The one that failed first comes first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// What would be sent.
    pub chosen: Vec<Choice>,
    /// What would not be sent.
    pub skipped: Vec<Skip>,
}

/// How a plan is carried out.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How many of each group are sent first. None means that all are sent at once.
    pub canaries: usize,
    /// At most so many messages a second; at least one.
    pub rate: u32,
    /// Why, in the operator's words.
    pub why: String,
}

/// Looks what would be sent, page by page; of each message only what a plan needs is kept.
///
/// `reads` says whether a consumer reads messages of a type.
///
/// # Errors
/// [`Unavailable`]: the store could not be read to its end.
pub async fn select(
    store: &impl FailureStore,
    wish: &Wish,
    reads: impl Fn(&str, Option<&str>) -> bool,
) -> Result<Selection, Unavailable> {
    let mut query = wish.query.clone();
    if query.ids.is_empty() && query.statuses.is_empty() {
        query.statuses = vec![Status::Waiting, Status::Replaying];
    }
    let mut found = Selection::default();
    // What changes between two pages may be on both.
    let mut seen = BTreeSet::new();
    let mut from = None;
    loop {
        let page = store.find(&query, from.as_deref()).await?;
        for failure in &page.items {
            if seen.insert(failure.id.clone()) {
                found.add(failure, wish, &reads);
            }
        }
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    found.in_order_of_failure(seen.len());
    Ok(found)
}

impl Selection {
    fn add(&mut self, failure: &Failure, wish: &Wish, reads: &impl Fn(&str, Option<&str>) -> bool) {
        let destination = wish.destination.as_ref().unwrap_or(&failure.consumer);
        match choose(failure, wish, destination, reads) {
            Ok(entry) => self.chosen.push(Choice {
                entry,
                destination: destination.clone(),
            }),
            Err(why) => self.skipped.push(Skip {
                failure: failure.id.clone(),
                group: failure.group.clone(),
                why,
            }),
        }
    }

    /// A store gives the latest first.
    fn in_order_of_failure(&mut self, seen: usize) {
        debug_assert_eq!(seen, self.chosen.len() + self.skipped.len());
        self.chosen.reverse();
        self.skipped.reverse();
    }
}

fn choose(
    failure: &Failure,
    wish: &Wish,
    destination: &str,
    reads: &impl Fn(&str, Option<&str>) -> bool,
) -> Result<Entry, String> {
    let mut entry = Entry {
        failure: failure.id.clone(),
        group: failure.group.clone(),
        body_sha256: failure.letter.body_sha256.clone(),
        failed: failure.failed,
        over: None,
    };
    match (failure.status, &failure.replay) {
        (Status::Waiting, _) => {}
        (Status::Replaying, Some(replay)) if wish.again => entry.over = Some(replay.id.clone()),
        (Status::Replaying, Some(replay)) => {
            return Err(format!(
                "{} has it in replay {} and no worker has confirmed it; --again takes it over",
                replay.by, replay.id
            ));
        }
        (status, _) => return Err(format!("it is {status}")),
    }
    if !wish.force && wish.oldest.is_some_and(|oldest| failure.stored_at < oldest) {
        return Err(format!(
            "it is here since {}: the outside party may have forgotten its key. See what it knows \
             of it first; --force sends it all the same",
            failure.stored_at
        ));
    }
    let is_its_own = destination == failure.consumer;
    let message_type = failure.message_type.as_deref();
    if destination == "unknown" {
        return Err("nothing says which consumer it was for; name one with --to".to_owned());
    }
    if !is_its_own && !wish.force && !reads(destination, message_type) {
        let message_type = message_type.unwrap_or("no type");
        return Err(format!(
            "{destination} does not read messages of {message_type}; --force sends it all the same"
        ));
    }
    Ok(entry)
}

/// Freezes what was found into a plan. It is not stored yet.
pub fn freeze(
    selection: &Selection,
    wish: &Wish,
    settings: Settings,
    id: ReplayId,
    by: &str,
    now: Timestamp,
) -> Plan {
    let entries: Vec<Entry> = selection
        .chosen
        .iter()
        .map(|choice| choice.entry.clone())
        .collect();
    let mut groups: BTreeMap<GroupId, Tally> = BTreeMap::new();
    for entry in &entries {
        groups.entry(entry.group.clone()).or_default().due += 1;
    }
    Plan {
        id,
        version: 1,
        by: by.to_owned(),
        cut_off: now,
        query: wish.query.clone(),
        destination: wish.destination.clone(),
        canaries: settings.canaries,
        rate: settings.rate.max(1),
        why: settings.why,
        progress: Progress {
            planned: entries.len(),
            aborted: Vec::new(),
            finished_at: None,
            groups,
            runner: None,
        },
        entries,
    }
}
