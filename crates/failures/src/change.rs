//! What may be done to a failure, and what it is then.

use std::time::Duration;

use contracts::Timestamp;

use crate::failure::{
    Failure, FailureId, HistoryEntry, Replay, ReplayId, Resolution, Status, Trouble,
};
use crate::group::group_of;
use crate::source::UNKNOWN;

/// How long a resolved or edited record is kept.
pub const RESOLVED_RETENTION: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The record has at most so many entries of history; the oldest but the first go.
///
/// This and the limits below are there because a record must fit into one item of 400 KB
/// with its message, which has up to 320 KiB.
const LONGEST_HISTORY: usize = 100;

/// So many bytes of text has an entry of history at most.
const LONGEST_DETAIL: usize = 400;

/// So many bytes has a note or an outcome at most.
const LONGEST_TEXT: usize = 2000;

/// In the history: a replay came back to a dead-letter queue.
pub(crate) const FAILED_AGAIN: &str = "failed-again";

/// In the history: a consumer processed it that is not its own.
pub(crate) const PROCESSED_ELSEWHERE: &str = "processed-elsewhere";

/// A drain repeats what it did a moment ago, not what it did a hundred failures ago.
const MOST_DEAD_LETTERS: usize = 100;

/// Who does it, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// An operator's identity, a consumer's name, or `drain`.
    pub name: String,
    /// Now.
    pub at: Timestamp,
}

/// What is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A replay takes it. Its message is sent only after this is stored.
    Claim {
        /// Which replay.
        replay: ReplayId,
        /// The consumer to whose queue it goes.
        destination: String,
        /// Whether the system does it by itself.
        automatic: bool,
        /// Also where an earlier replay was sent and not confirmed. It may then run
        /// twice; its effect is still one.
        again: bool,
    },
    /// The queue has confirmed the message of this replay.
    Sent {
        /// Which replay.
        replay: ReplayId,
    },
    /// A claim whose message was certainly not sent is given back. Not one that was taken
    /// up: that the queue refused this message says nothing of an earlier one.
    Unclaim {
        /// Which replay.
        replay: ReplayId,
        /// Why.
        why: String,
    },
    /// A worker processed the message of this replay. It ends the failure only where the
    /// worker is that of the failure's own consumer: what another did with a copy does
    /// not mend what failed, so then it waits again.
    Acknowledge {
        /// Which replay.
        replay: ReplayId,
        /// What became of it.
        outcome: String,
    },
    /// The message of a replay came back to a dead-letter queue. Where another replay has
    /// the record by now it is counted, and that replay keeps it.
    FailAgain {
        /// Which replay failed.
        replay: ReplayId,
        /// What went wrong.
        trouble: Box<Trouble>,
    },
    /// The same failure lies in a dead-letter queue once more: its worker ended after it
    /// had moved the message and before the queue heard of it.
    FindAgain {
        /// The id of the dead letter.
        message_id: String,
    },
    /// A person says that it is done.
    Resolve {
        /// What was done about it.
        why: String,
    },
    /// A person puts it aside; it is forgotten after this time.
    Archive {
        /// Why.
        why: String,
        /// How long it can be restored.
        keep: Duration,
    },
    /// It waits again.
    Restore,
    /// An edited copy takes its place.
    Edit {
        /// The copy.
        copy: FailureId,
        /// What was changed, in short.
        what: String,
    },
    /// A person writes something down.
    Note {
        /// The text.
        text: String,
    },
}

/// Why it may not be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It does not stand where this could be done.
    #[error("{action} is not possible: it is {status}")]
    Status {
        /// What was to be done.
        action: &'static str,
        /// Where it stands.
        status: Status,
    },
    /// Another replay has it.
    #[error("it is being replayed by {by} (replay {replay})")]
    Taken {
        /// Which replay has it.
        replay: ReplayId,
        /// Whose.
        by: String,
    },
    /// This dead letter is in the record already.
    #[error("this dead letter is in the record already")]
    Known,
    /// Its message may be under way.
    #[error("its message was sent, or may have been")]
    Sent,
}

impl Failure {
    /// The record after a change, in its next version.
    ///
    /// # Errors
    /// [`Refused`] says why the change may not be made to the record as it stands.
    pub fn after(&self, change: &Change, actor: &Actor) -> Result<Self, Refused> {
        let mut next = self.clone();
        next.version += 1;
        match change {
            Change::Claim {
                replay,
                destination,
                automatic,
                again,
            } => {
                self.may_be_claimed(replay, *again)?;
                next.status = Status::Replaying;
                next.automatic_replays = match automatic {
                    true => self.automatic_replays + 1,
                    false => 0,
                };
                next.replay = Some(Replay {
                    id: replay.clone(),
                    by: actor.name.clone(),
                    automatic: *automatic,
                    claimed_at: actor.at,
                    sent_at: None,
                    may_be_sent: self.status == Status::Replaying,
                    destination: destination.clone(),
                });
                next.record(
                    actor,
                    "claimed",
                    format!("replay {replay} to {destination}"),
                );
            }
            Change::Sent { replay } => {
                let current = next.replay_in_progress("confirming", replay)?;
                current.sent_at = Some(actor.at);
                next.record(actor, "sent", format!("replay {replay}"));
            }
            Change::Unclaim { replay, why } => {
                let claim = next.replay_in_progress("giving it back", replay)?;
                if claim.may_be_sent || claim.sent_at.is_some() {
                    return Err(Refused::Sent);
                }
                next.status = Status::Waiting;
                next.record(actor, "given-back", why.clone());
            }
            Change::Acknowledge { replay, outcome } => {
                self.may_be_acknowledged(replay)?;
                next.acknowledge(replay, outcome, actor)?;
            }
            Change::FailAgain { replay, trouble } => next.fail_again(replay, trouble, actor)?,
            Change::FindAgain { message_id } => {
                next.add_dead_letter(message_id)?;
                next.record(actor, "found-again", format!("as {message_id}"));
            }
            Change::Resolve { why } => {
                self.must_be("resolving", &[Status::Waiting, Status::Replaying])?;
                next.resolve("resolved-by-hand", why, actor);
            }
            Change::Archive { why, keep } => {
                self.must_be("archiving", &[Status::Waiting])?;
                next.end(Status::Archived, actor, *keep);
                next.record(actor, "archived", why.clone());
            }
            Change::Restore => {
                self.must_be("restoring", &[Status::Archived])?;
                next.wait();
                next.record(actor, "restored", String::new());
            }
            Change::Edit { copy, what } => {
                self.must_be("editing", &[Status::Waiting])?;
                next.end(Status::Edited, actor, RESOLVED_RETENTION);
                next.edited_as = Some(copy.clone());
                next.record(actor, "edited", format!("as {copy}: {what}"));
            }
            Change::Note { text } => {
                next.note = Some(cut(text.clone(), LONGEST_TEXT));
                next.record(actor, "noted", text.clone());
            }
        }
        Ok(next)
    }

    /// Adds to the history.
    pub(crate) fn record(&mut self, actor: &Actor, action: &str, detail: String) {
        if self.history.len() >= LONGEST_HISTORY {
            self.history.remove(1);
        }
        self.history.push(HistoryEntry {
            at: actor.at,
            by: actor.name.clone(),
            action: action.to_owned(),
            detail: cut(detail, LONGEST_DETAIL),
        });
    }

    /// The same plan may claim again what it claimed and did not send: it was interrupted.
    fn may_be_claimed(&self, by: &ReplayId, again: bool) -> Result<(), Refused> {
        match (self.status, &self.replay) {
            (Status::Waiting, _) => Ok(()),
            (Status::Replaying, Some(replay))
                if again || (replay.id == *by && replay.sent_at.is_none()) =>
            {
                Ok(())
            }
            (Status::Replaying, Some(replay)) => Err(Refused::Taken {
                replay: replay.id.clone(),
                by: replay.by.clone(),
            }),
            (status, _) => Err(Refused::Status {
                action: "a replay",
                status,
            }),
        }
    }

    fn replay_in_progress(
        &mut self,
        action: &'static str,
        id: &ReplayId,
    ) -> Result<&mut Replay, Refused> {
        let status = self.status;
        match &mut self.replay {
            Some(replay) if status == Status::Replaying => {
                if replay.id == *id {
                    return Ok(replay);
                }
                Err(Refused::Taken {
                    replay: replay.id.clone(),
                    by: replay.by.clone(),
                })
            }
            _ => Err(Refused::Status { action, status }),
        }
    }

    /// A worker may be heard after the same replay was seen to fail: the queue gave the
    /// message out twice, and one of the two was processed.
    fn may_be_acknowledged(&self, by: &ReplayId) -> Result<(), Refused> {
        self.must_be("resolving", &[Status::Replaying, Status::Waiting])?;
        match &self.replay {
            Some(replay) if replay.id == *by => Ok(()),
            Some(replay) if self.status == Status::Replaying => Err(Refused::Taken {
                replay: replay.id.clone(),
                by: replay.by.clone(),
            }),
            _ => Err(Refused::Status {
                action: "resolving",
                status: self.status,
            }),
        }
    }

    /// The end, if the consumer that failed has processed it now.
    fn acknowledge(
        &mut self,
        replay: &ReplayId,
        outcome: &str,
        actor: &Actor,
    ) -> Result<(), Refused> {
        if self.consumer == actor.name || self.consumer == UNKNOWN {
            self.resolve("resolved", outcome, actor);
            return Ok(());
        }
        // Where it waits already, this is a duplicate.
        self.must_be("resolving", &[Status::Replaying])?;
        self.wait();
        let story = format!("processed by {}, which is not its consumer", actor.name);
        self.record(
            actor,
            PROCESSED_ELSEWHERE,
            of_replay(replay, &format!("{story}: {outcome}")),
        );
        Ok(())
    }

    /// There is a message now that failed, so it waits. Not where an edited copy took its
    /// place: one of the two is enough. And not where another replay is under way: it
    /// may succeed, and what waits could be sent beside it.
    fn fail_again(
        &mut self,
        replay: &ReplayId,
        trouble: &Trouble,
        actor: &Actor,
    ) -> Result<(), Refused> {
        self.add_dead_letter(&trouble.message_id)?;
        self.failed += 1;
        self.record(actor, FAILED_AGAIN, of_replay(replay, &trouble.name));
        if self.is_replayed_by_another(replay) {
            return Ok(());
        }
        self.group = group_of(&self.consumer, trouble);
        self.trouble = trouble.clone();
        if self.status != Status::Edited {
            self.wait();
        }
        Ok(())
    }

    fn is_replayed_by_another(&self, than: &ReplayId) -> bool {
        let current = self.replay.as_ref();
        self.status == Status::Replaying && current.is_some_and(|current| current.id != *than)
    }

    fn add_dead_letter(&mut self, message_id: &str) -> Result<(), Refused> {
        if self.dead_letters.iter().any(|known| known == message_id) {
            return Err(Refused::Known);
        }
        if self.dead_letters.len() >= MOST_DEAD_LETTERS {
            self.dead_letters.remove(0);
        }
        self.dead_letters.push(message_id.to_owned());
        Ok(())
    }

    /// What the history says that a replay came to, by the name of the action.
    pub(crate) fn end_of_replay(&self, action: &str, replay: &ReplayId) -> Option<&str> {
        let beginning = of_replay(replay, "");
        let entries = self.history.iter().rev();
        let mut ends = entries.filter(|entry| entry.action == action);
        ends.find_map(|entry| entry.detail.strip_prefix(&beginning))
    }

    fn wait(&mut self) {
        self.status = Status::Waiting;
        self.resolution = None;
        self.expires_at = None;
    }

    fn end(&mut self, status: Status, actor: &Actor, keep: Duration) {
        self.status = status;
        let now = actor.at.epoch_millis() / 1000;
        self.expires_at = Some(now.saturating_add(keep.as_secs()));
    }

    fn resolve(&mut self, action: &str, outcome: &str, actor: &Actor) {
        self.end(Status::Resolved, actor, RESOLVED_RETENTION);
        self.resolution = Some(Resolution {
            at: actor.at,
            by: actor.name.clone(),
            outcome: cut(outcome.to_owned(), LONGEST_TEXT),
        });
        self.record(actor, action, outcome.to_owned());
    }

    fn must_be(&self, action: &'static str, allowed: &[Status]) -> Result<(), Refused> {
        match allowed.contains(&self.status) {
            true => Ok(()),
            false => Err(Refused::Status {
                action,
                status: self.status,
            }),
        }
    }
}

/// So that [`Failure::end_of_replay`] finds it.
fn of_replay(replay: &ReplayId, detail: &str) -> String {
    format!("replay {replay}: {detail}")
}

/// The beginning of a text.
fn cut(mut text: String, longest: usize) -> String {
    if text.len() > longest {
        text.truncate(text.floor_char_boundary(longest - '…'.len_utf8()));
        text.push('…');
    }
    text
}
