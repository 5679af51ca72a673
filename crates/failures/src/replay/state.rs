//! What became of an entry, read from its failure record.

use std::collections::BTreeMap;

use crate::change::{FAILED_AGAIN, PROCESSED_ELSEWHERE};
use crate::failure::{Failure, Status};
use crate::group::GroupId;
use crate::plan::{Entry, EntryState, Plan, Tally};

/// Where an entry of a plan stands, by its record as it is now.
pub fn state_of(plan: &Plan, entry: &Entry, failure: Option<&Failure>) -> EntryState {
    let Some(failure) = failure else {
        return EntryState::Skipped("its record is gone".to_owned());
    };
    let replay = failure.replay.as_ref();
    let is_ours = replay.is_some_and(|replay| replay.id == plan.id);
    let was_ours = is_ours || had_it(plan, failure);
    if let Some(error_name) = failure.end_of_replay(FAILED_AGAIN, &plan.id) {
        return EntryState::FailedAgain(error_name.to_owned());
    }
    if let Some(outcome) = failure.end_of_replay(PROCESSED_ELSEWHERE, &plan.id) {
        return EntryState::Processed(outcome.to_owned());
    }
    // The count alone says nothing of a plan that had it: a copy of an earlier replay
    // may have come back late.
    if failure.failed > entry.failed && !was_ours {
        return skipped("it failed again in another replay since the plan was frozen");
    }
    match (failure.status, replay) {
        (Status::Waiting, _) if failure.letter.body_sha256 != entry.body_sha256 => {
            skipped("its body is not the one that was planned")
        }
        (Status::Waiting, _) => EntryState::Due,
        (Status::Replaying, Some(replay)) if is_ours => match replay.sent_at {
            None => EntryState::Claimed,
            Some(_) => EntryState::Sent,
        },
        (Status::Replaying, Some(replay)) if entry.over.as_ref() == Some(&replay.id) => {
            EntryState::Due
        }
        (Status::Replaying, Some(replay)) => {
            EntryState::Skipped(format!("{} has it in replay {}", replay.by, replay.id))
        }
        (Status::Replaying, None) => skipped("another replay has it"),
        (Status::Resolved, _) => {
            let resolution = failure.resolution.as_ref();
            let outcome = resolution.map_or("", |resolution| resolution.outcome.as_str());
            match was_ours {
                true => EntryState::Processed(outcome.to_owned()),
                false => EntryState::Skipped(format!("it is resolved: {outcome}")),
            }
        }
        (Status::Archived, _) => skipped("it is archived"),
        (Status::Edited, _) => skipped("an edited copy took its place"),
    }
}

/// How the entries of each group stand.
pub fn tally(plan: &Plan, states: &[EntryState]) -> BTreeMap<GroupId, Tally> {
    let mut groups: BTreeMap<GroupId, Tally> = BTreeMap::new();
    for (entry, state) in plan.entries.iter().zip(states) {
        let tally = groups.entry(entry.group.clone()).or_default();
        let count = match state {
            EntryState::Due => &mut tally.due,
            EntryState::Claimed | EntryState::Sent => &mut tally.under_way,
            EntryState::Processed(_) => &mut tally.processed,
            EntryState::FailedAgain(_) => &mut tally.failed_again,
            EntryState::Skipped(_) => &mut tally.skipped,
        };
        *count += 1;
    }
    groups
}

/// A later replay hides this one's claim; the history still has it.
fn had_it(plan: &Plan, failure: &Failure) -> bool {
    let of_a_replay = |action: &str| matches!(action, "claimed" | "sent");
    let history = failure.history.iter();
    history
        .filter(|entry| of_a_replay(&entry.action))
        .any(|entry| entry.detail.contains(plan.id.as_str()))
}

fn skipped(why: &str) -> EntryState {
    EntryState::Skipped(why.to_owned())
}
