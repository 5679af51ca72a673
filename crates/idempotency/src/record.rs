//! The state machine of a record, as pure functions: both stores decide with
//! these, and so can a simulation or a model checker.
//!
//! ```text
//!            begin           complete            begin_undo           complete_undo
//!  (absent) ───────▶ Started ────────▶ Completed ──────────▶ Undoing ─────────────▶ Undone
//!      │                │                                     ▲
//!      └────────────────┴─────────────────────────────────────┘
//!       begin_undo: nothing ever ran, or its lease has ended
//! ```
//!
//! A lease can be renewed by its holder until the claim is given back. Where it has ended, the next `begin` or `begin_undo` takes over and the
//! state stays. From `Undoing` on the operation itself is refused for good. The
//! forms in one step skip `Started` or `Undoing`.
//!
//! A record whose time to live has passed counts as absent, whether or not the
//! store has deleted it yet. Nothing here deletes a record.

use std::time::Duration;

use crate::{Fingerprint, Key, Lease, Millis, OwnerToken, ResultJson, Seconds};

/// One attempt to begin an operation or its undo.
///
/// Make a new one for every attempt: the owner token is what fences attempts
/// off from each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The operation; its undo has the same key.
    pub key: Key,
    /// The payload of this operation, or of this undo.
    pub fingerprint: Fingerprint,
    /// This attempt.
    pub owner: OwnerToken,
    /// The moment of the attempt.
    pub now: Millis,
    /// When another attempt may take over from this one.
    pub lease_until: Millis,
    /// When the record may be forgotten. Later than any possible redelivery or replay.
    pub expires_at: Seconds,
    /// What to do if an earlier attempt vanished.
    pub on_abandoned: OnAbandoned,
}

impl Claim {
    /// A claim by a new owner, for the time of the lease, whose record is kept
    /// for `retention`, and never for less than the lease: a claim that were
    /// forgotten while it is held would protect nothing. Retries what an earlier
    /// attempt abandoned.
    pub fn new(key: Key, fingerprint: Fingerprint, lease: Lease, retention: Duration) -> Self {
        let retained = lease.now().plus(retention).to_seconds();
        Self {
            key,
            fingerprint,
            owner: OwnerToken::random(),
            now: lease.now(),
            lease_until: lease.until(),
            expires_at: retained.max(lease.until().to_seconds_up()),
            on_abandoned: OnAbandoned::Retry,
        }
    }

    /// The same claim with another way to treat abandoned attempts.
    #[must_use]
    pub fn with_on_abandoned(self, on_abandoned: OnAbandoned) -> Self {
        Self {
            on_abandoned,
            ..self
        }
    }

    /// This claim takes over leases that ended no later than this. A lease that
    /// was given back ended at the epoch, so its operation may always be retried.
    pub(crate) fn takes_over_until(&self) -> Millis {
        match self.on_abandoned {
            OnAbandoned::Retry => self.now,
            OnAbandoned::Block => Millis::EPOCH,
        }
    }
}

/// What to do with an attempt whose lease ran out without a word: its effect may
/// or may not have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnAbandoned {
    /// Try again: right where the effect takes an idempotency key of its own.
    #[default]
    Retry,
    /// Leave it to a person.
    Block,
}

/// What is stored under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// How far the operation has come.
    pub state: State,
    /// From this second on the record counts as absent.
    pub expires_at: Seconds,
}

/// How far an operation has come. The owner stays when the work is done, so that
/// a repeated write of the same attempt is recognised as such.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Claimed; the effect may or may not have happened.
    Started {
        /// The operation's payload.
        fingerprint: Fingerprint,
        /// The attempt that holds the claim.
        owner: OwnerToken,
        /// When the claim may be taken over.
        lease_until: Millis,
    },
    /// The effect has happened.
    Completed {
        /// The operation's payload.
        fingerprint: Fingerprint,
        /// The attempt that completed it.
        owner: OwnerToken,
        /// What every duplicate is answered.
        result: ResultJson,
    },
    /// The undo is claimed. The operation will never run again.
    Undoing {
        /// What is known of the operation itself.
        action: ActionOutcome,
        /// The undo's payload.
        fingerprint: Fingerprint,
        /// The attempt that holds the claim.
        owner: OwnerToken,
        /// When the claim may be taken over.
        lease_until: Millis,
    },
    /// Undone, or a tombstone where there was nothing to undo.
    Undone {
        /// What is known of the operation itself.
        action: ActionOutcome,
        /// The undo's payload.
        fingerprint: Fingerprint,
        /// The attempt that completed the undo.
        owner: OwnerToken,
        /// What every duplicate of the undo is answered.
        result: ResultJson,
    },
}

/// What an undo has to undo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActionOutcome {
    /// Nothing: the undo overtook the action.
    NeverRan,
    /// This.
    Completed {
        /// What the action recorded.
        result: ResultJson,
    },
    /// An attempt ended without a word. Undo as if the effect had happened, and
    /// expect to find that it has not.
    Unknown,
}

/// The answer to an attempt to begin an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begin {
    /// Go: the claim is yours.
    Start(Started),
    /// Done before; answer with this.
    AlreadyCompleted {
        /// The stored result.
        result: ResultJson,
        /// From this second on the record counts as absent.
        expires_at: Seconds,
    },
    /// Somebody else is at it; come back.
    InProgress {
        /// When their lease runs out.
        until: Millis,
    },
    /// The key was used for another payload: the sender is in error.
    FingerprintMismatch,
    /// Too late: the undo has begun or is done. Never run the operation now.
    Undone,
    /// An attempt vanished and the claim says [`OnAbandoned::Block`].
    Abandoned,
}

/// The right to run an operation: proves the claim to everything that follows.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Started {
    /// The operation.
    pub key: Key,
    /// The attempt that holds the claim.
    pub owner: OwnerToken,
    /// When the right may pass to another.
    pub lease_until: Millis,
    /// When the record may be forgotten.
    pub expires_at: Seconds,
    /// An earlier attempt may have had the effect.
    pub takeover: bool,
}

/// The answer to an attempt to begin an undo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BeginUndo {
    /// Go: the claim is yours.
    Start(UndoStarted),
    /// Undone before; answer with this.
    AlreadyUndone {
        /// The undo's stored result.
        result: ResultJson,
    },
    /// The action or another undo is running; come back.
    InProgress {
        /// When their lease runs out.
        until: Millis,
    },
    /// The key was used for an undo with another payload: the sender is in error.
    FingerprintMismatch,
    /// An undo vanished and the claim says [`OnAbandoned::Block`].
    Abandoned,
}

/// The right to run an undo: proves the claim to everything that follows.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UndoStarted {
    /// The operation.
    pub key: Key,
    /// The attempt that holds the claim.
    pub owner: OwnerToken,
    /// When the right may pass to another.
    pub lease_until: Millis,
    /// When the record may be forgotten.
    pub expires_at: Seconds,
    /// What there is to undo.
    pub action: ActionOutcome,
}

impl Started {
    /// The right that [`decide_renew`] grants: its lease ends at `until`, and its
    /// record is kept for at least as long.
    #[must_use]
    pub fn renewed(&self, until: Millis) -> Self {
        Self {
            lease_until: until,
            expires_at: self.expires_at.max(until.to_seconds_up()),
            ..self.clone()
        }
    }
}

impl UndoStarted {
    /// The right that [`decide_renew_undo`] grants: its lease ends at `until`, and
    /// its record is kept for at least as long.
    #[must_use]
    pub fn renewed(&self, until: Millis) -> Self {
        Self {
            lease_until: until,
            expires_at: self.expires_at.max(until.to_seconds_up()),
            ..self.clone()
        }
    }
}

/// Another attempt has taken over, or the record is gone: this one must write no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("another attempt has taken over this operation")]
pub struct Superseded;

impl Record {
    /// What [`Begin::Start`] stores.
    pub fn started(claim: &Claim) -> Self {
        let state = State::Started {
            fingerprint: claim.fingerprint.clone(),
            owner: claim.owner,
            lease_until: claim.lease_until,
        };
        Self {
            state,
            expires_at: claim.expires_at,
        }
    }

    /// What [`BeginUndo::Start`] stores.
    pub fn undoing(claim: &Claim, action: ActionOutcome) -> Self {
        let state = State::Undoing {
            action,
            fingerprint: claim.fingerprint.clone(),
            owner: claim.owner,
            lease_until: claim.lease_until,
        };
        Self {
            state,
            expires_at: claim.expires_at,
        }
    }

    fn completed(claim: &Claim, result: &ResultJson) -> Self {
        let state = State::Completed {
            fingerprint: claim.fingerprint.clone(),
            owner: claim.owner,
            result: result.clone(),
        };
        Self {
            state,
            expires_at: claim.expires_at,
        }
    }

    fn undone(claim: &Claim, action: ActionOutcome, result: &ResultJson) -> Self {
        let state = State::Undone {
            action,
            fingerprint: claim.fingerprint.clone(),
            owner: claim.owner,
            result: result.clone(),
        };
        Self {
            state,
            expires_at: claim.expires_at,
        }
    }

    /// Whether the record counts as absent.
    pub fn is_expired(&self, now: Millis) -> bool {
        self.expires_at <= now.to_seconds()
    }

    /// The attempt that wrote the record last.
    pub fn owner(&self) -> OwnerToken {
        match &self.state {
            State::Started { owner, .. }
            | State::Completed { owner, .. }
            | State::Undoing { owner, .. }
            | State::Undone { owner, .. } => *owner,
        }
    }

    fn with_state(&self, state: State) -> Self {
        Self {
            state,
            expires_at: self.expires_at,
        }
    }
}

/// May this claim run the operation? On [`Begin::Start`] the store writes
/// [`Record::started`], in the same step.
pub fn decide_begin(record: Option<&Record>, claim: &Claim) -> Begin {
    let start = |takeover| {
        Begin::Start(Started {
            key: claim.key.clone(),
            owner: claim.owner,
            lease_until: claim.lease_until,
            expires_at: claim.expires_at,
            takeover,
        })
    };
    let Some(record) = unexpired(record, claim) else {
        return start(false);
    };
    match &record.state {
        State::Undoing { .. } | State::Undone { .. } => Begin::Undone,
        State::Started { fingerprint, .. } | State::Completed { fingerprint, .. }
            if *fingerprint != claim.fingerprint =>
        {
            Begin::FingerprintMismatch
        }
        State::Completed { result, .. } => Begin::AlreadyCompleted {
            result: result.clone(),
            expires_at: record.expires_at,
        },
        State::Started {
            owner, lease_until, ..
        } => match holder(*owner, *lease_until, claim) {
            Holder::Nobody => start(true),
            Holder::Other => Begin::InProgress {
                until: *lease_until,
            },
            Holder::Vanished => Begin::Abandoned,
        },
    }
}

/// May this claim run the undo? On [`BeginUndo::Start`] the store writes
/// [`Record::undoing`], in the same step.
pub fn decide_begin_undo(record: Option<&Record>, claim: &Claim) -> BeginUndo {
    let start = |action| {
        BeginUndo::Start(UndoStarted {
            key: claim.key.clone(),
            owner: claim.owner,
            lease_until: claim.lease_until,
            expires_at: claim.expires_at,
            action,
        })
    };
    let Some(record) = unexpired(record, claim) else {
        return start(ActionOutcome::NeverRan);
    };
    match &record.state {
        State::Started { lease_until, .. } if *lease_until > claim.now => BeginUndo::InProgress {
            until: *lease_until,
        },
        State::Started { .. } => start(ActionOutcome::Unknown),
        State::Completed { result, .. } => start(ActionOutcome::Completed {
            result: result.clone(),
        }),
        State::Undoing { fingerprint, .. } | State::Undone { fingerprint, .. }
            if *fingerprint != claim.fingerprint =>
        {
            BeginUndo::FingerprintMismatch
        }
        State::Undone { result, .. } => BeginUndo::AlreadyUndone {
            result: result.clone(),
        },
        State::Undoing {
            action,
            owner,
            lease_until,
            ..
        } => match holder(*owner, *lease_until, claim) {
            Holder::Nobody => start(action.clone()),
            Holder::Other => BeginUndo::InProgress {
                until: *lease_until,
            },
            Holder::Vanished => BeginUndo::Abandoned,
        },
    }
}

/// The record once the operation is done.
///
/// # Errors
/// [`Superseded`] unless this attempt holds the claim, or has completed it before.
pub fn decide_complete(
    record: Option<&Record>,
    started: &Started,
    result: &ResultJson,
) -> Result<Record, Superseded> {
    let record = owned(record, started.owner)?;
    match &record.state {
        State::Started {
            fingerprint, owner, ..
        } => Ok(record.with_state(State::Completed {
            fingerprint: fingerprint.clone(),
            owner: *owner,
            result: result.clone(),
        })),
        State::Completed { .. } => Ok(record.clone()),
        State::Undoing { .. } | State::Undone { .. } => Err(Superseded),
    }
}

/// The record once the operation is given back unfinished: a redelivery need not
/// wait for the lease. It stays a record of an attempt, since the effect may
/// have happened.
///
/// # Errors
/// [`Superseded`] unless this attempt holds the claim, or has completed it.
pub fn decide_release(record: Option<&Record>, started: &Started) -> Result<Record, Superseded> {
    let record = owned(record, started.owner)?;
    match &record.state {
        State::Started {
            fingerprint, owner, ..
        } => Ok(record.with_state(State::Started {
            fingerprint: fingerprint.clone(),
            owner: *owner,
            lease_until: Millis::EPOCH,
        })),
        State::Completed { .. } => Ok(record.clone()),
        State::Undoing { .. } | State::Undone { .. } => Err(Superseded),
    }
}

/// The record once the lease is longer: `renewed` is what [`Started::renewed`]
/// made of the right to renew.
///
/// # Errors
/// [`Superseded`] unless this attempt holds the claim and has not given it back.
pub fn decide_renew(record: Option<&Record>, renewed: &Started) -> Result<Record, Superseded> {
    match &owned(record, renewed.owner)?.state {
        State::Started {
            fingerprint,
            owner,
            lease_until,
        } if *lease_until != Millis::EPOCH => Ok(Record {
            state: State::Started {
                fingerprint: fingerprint.clone(),
                owner: *owner,
                lease_until: renewed.lease_until,
            },
            expires_at: renewed.expires_at,
        }),
        _ => Err(Superseded),
    }
}

/// The record once the lease of the undo is longer: `renewed` is what
/// [`UndoStarted::renewed`] made of the right to renew.
///
/// # Errors
/// [`Superseded`] unless this attempt holds the claim and has not given it back.
pub fn decide_renew_undo(
    record: Option<&Record>,
    renewed: &UndoStarted,
) -> Result<Record, Superseded> {
    match &owned(record, renewed.owner)?.state {
        State::Undoing {
            action,
            fingerprint,
            owner,
            lease_until,
        } if *lease_until != Millis::EPOCH => Ok(Record {
            state: State::Undoing {
                action: action.clone(),
                fingerprint: fingerprint.clone(),
                owner: *owner,
                lease_until: renewed.lease_until,
            },
            expires_at: renewed.expires_at,
        }),
        _ => Err(Superseded),
    }
}

/// The record once the undo is done. Keeps what the action recorded.
///
/// # Errors
/// [`Superseded`] unless this attempt holds the claim, or has completed it before.
pub fn decide_complete_undo(
    record: Option<&Record>,
    started: &UndoStarted,
    result: &ResultJson,
) -> Result<Record, Superseded> {
    let record = owned(record, started.owner)?;
    match &record.state {
        State::Undoing {
            action,
            fingerprint,
            owner,
            ..
        } => Ok(record.with_state(State::Undone {
            action: action.clone(),
            fingerprint: fingerprint.clone(),
            owner: *owner,
            result: result.clone(),
        })),
        State::Undone { .. } => Ok(record.clone()),
        State::Started { .. } | State::Completed { .. } => Err(Superseded),
    }
}

/// The record once the undo is given back unfinished: another undo may go on,
/// the action may not.
///
/// # Errors
/// [`Superseded`] unless this attempt holds the claim, or has completed it.
pub fn decide_release_undo(
    record: Option<&Record>,
    started: &UndoStarted,
) -> Result<Record, Superseded> {
    let record = owned(record, started.owner)?;
    match &record.state {
        State::Undoing {
            action,
            fingerprint,
            owner,
            ..
        } => Ok(record.with_state(State::Undoing {
            action: action.clone(),
            fingerprint: fingerprint.clone(),
            owner: *owner,
            lease_until: Millis::EPOCH,
        })),
        State::Undone { .. } => Ok(record.clone()),
        State::Started { .. } | State::Completed { .. } => Err(Superseded),
    }
}

/// Claim and completion in one step, for an operation whose whole effect is in
/// the same transaction as its record.
///
/// # Errors
/// Why not: never [`Begin::Start`].
pub fn decide_completed_put(
    record: Option<&Record>,
    claim: &Claim,
    result: &ResultJson,
) -> Result<Record, Begin> {
    match decide_begin(record, claim) {
        Begin::Start(_) => Ok(Record::completed(claim, result)),
        refusal => Err(refusal),
    }
}

/// Claim and completion of an undo in one step, where a completed action is to
/// be undone.
///
/// # Errors
/// What the record says instead. [`BeginUndo::Start`] with
/// [`ActionOutcome::NeverRan`] asks for [`decide_tombstone_put`].
pub fn decide_undone_update(
    record: Option<&Record>,
    claim: &Claim,
    result: &ResultJson,
) -> Result<Record, BeginUndo> {
    match unexpired(record, claim).map(|record| &record.state) {
        Some(State::Completed { result: done, .. }) => {
            let action = ActionOutcome::Completed {
                result: done.clone(),
            };
            Ok(Record::undone(claim, action, result))
        }
        _ => Err(decide_begin_undo(record, claim)),
    }
}

/// Claim and completion of an undo in one step, where there is nothing to undo:
/// the tombstone that refuses the action if it still comes.
///
/// # Errors
/// What the record says instead. [`BeginUndo::Start`] with
/// [`ActionOutcome::Completed`] asks for [`decide_undone_update`].
pub fn decide_tombstone_put(
    record: Option<&Record>,
    claim: &Claim,
    result: &ResultJson,
) -> Result<Record, BeginUndo> {
    match unexpired(record, claim) {
        None => Ok(Record::undone(claim, ActionOutcome::NeverRan, result)),
        Some(_) => Err(decide_begin_undo(record, claim)),
    }
}

fn unexpired<'a>(record: Option<&'a Record>, claim: &Claim) -> Option<&'a Record> {
    record.filter(|record| !record.is_expired(claim.now))
}

fn owned(record: Option<&Record>, owner: OwnerToken) -> Result<&Record, Superseded> {
    record
        .filter(|record| record.owner() == owner)
        .ok_or(Superseded)
}

/// Who stands in the way of a claim.
enum Holder {
    Nobody,
    Other,
    Vanished,
}

/// A store's client repeats a write whose answer was lost, and then meets its own
/// claim: that is nobody else's.
fn holder(owner: OwnerToken, lease_until: Millis, claim: &Claim) -> Holder {
    if owner == claim.owner || lease_until <= claim.takes_over_until() {
        Holder::Nobody
    } else if lease_until > claim.now {
        Holder::Other
    } else {
        Holder::Vanished
    }
}

#[cfg(test)]
mod tests;
