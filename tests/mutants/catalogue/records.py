"""The records of operations: fencing, leases, tombstones, fingerprints."""

from mutant import PROTOCOL, Mutant

RECORD = "crates/idempotency/src/record.rs"
CACHE = "crates/idempotency/src/cache.rs"
INTERLEAVINGS = "idempotency/interleavings"
UNIT = "idempotency/lib"
ONE_EFFECT = "6. the same message n times is one effect"

MUTANTS = [
    Mutant(
        name="completion-by-anybody-over-anything",
        file=RECORD,
        find="""    started: &Started,
    result: &ResultJson,
) -> Result<Record, Superseded> {
    let record = owned(record, started.owner)?;
    match &record.state {
        State::Started {
            fingerprint, owner, ..
        } => Ok(""",
        replace="""    started: &Started,
    result: &ResultJson,
) -> Result<Record, Superseded> {
    let _ = started;
    let record = record.ok_or(Superseded)?;
    match &record.state {
        State::Started {
            fingerprint, owner, ..
        }
        | State::Undoing {
            fingerprint, owner, ..
        }
        | State::Undone {
            fingerprint, owner, ..
        } => Ok(""",
        breaks="an action is completed though its claim was lost, even to its undo",
        promise="1. completed, or failed and fully undone",
        by=PROTOCOL,
    ),
    Mutant(
        name="completion-without-owner",
        file=RECORD,
        find="""    started: &Started,
    result: &ResultJson,
) -> Result<Record, Superseded> {
    let record = owned(record, started.owner)?;""",
        replace="""    started: &Started,
    result: &ResultJson,
) -> Result<Record, Superseded> {
    let _ = started;
    let record = record.ok_or(Superseded)?;""",
        breaks="a completion looks at the record's state, not at its owner",
        promise=ONE_EFFECT,
        by=(*PROTOCOL, INTERLEAVINGS),
    ),
    Mutant(
        name="undo-completion-without-owner",
        file=RECORD,
        find="""    started: &UndoStarted,
    result: &ResultJson,
) -> Result<Record, Superseded> {
    let record = owned(record, started.owner)?;""",
        replace="""    started: &UndoStarted,
    result: &ResultJson,
) -> Result<Record, Superseded> {
    let _ = started;
    let record = record.ok_or(Superseded)?;""",
        breaks="the completion of an undo looks at the record's state, not at its owner",
        promise=ONE_EFFECT,
        by=(*PROTOCOL, INTERLEAVINGS),
    ),
    Mutant(
        name="release-without-owner",
        file=RECORD,
        find="""Result<Record, Superseded> {
    let record = owned(record, started.owner)?;
    match &record.state {
        State::Started {
            fingerprint, owner, ..
        } => Ok(record.with_state(State::Started {""",
        replace="""Result<Record, Superseded> {
    let _ = started;
    let record = record.ok_or(Superseded)?;
    match &record.state {
        State::Started {
            fingerprint, owner, ..
        } => Ok(record.with_state(State::Started {""",
        breaks="whoever lost a claim gives back the claim of its successor",
        promise=ONE_EFFECT,
        by=(*PROTOCOL, INTERLEAVINGS),
    ),
    Mutant(
        name="takeover-of-a-live-claim",
        file=RECORD,
        find="if owner == claim.owner || lease_until <= claim.takes_over_until() {",
        replace="if owner == claim.owner || lease_until != Millis::EPOCH || claim.now > Millis::EPOCH {",
        breaks="a second delivery takes over a claim whose lease has not ended",
        promise=ONE_EFFECT,
        by=(*PROTOCOL, INTERLEAVINGS),
    ),
    Mutant(
        name="undo-overtakes-a-running-action",
        file=RECORD,
        find="State::Started { lease_until, .. } if *lease_until > claim.now =>",
        replace="State::Started { lease_until, .. } if *lease_until == Millis::new(1) =>",
        breaks="an undo does not wait for the lease of its action",
        promise="2. captured and not completed means refunded",
        by=PROTOCOL,
    ),
    Mutant(
        name="unknown-outcome-taken-for-none",
        file=RECORD,
        find="State::Started { .. } => start(ActionOutcome::Unknown),",
        replace="State::Started { .. } => start(ActionOutcome::NeverRan),",
        breaks="the undo of an action that vanished assumes that it never ran",
        promise="2. captured and not completed means refunded",
        by=PROTOCOL,
    ),
    Mutant(
        name="tombstone-ignored",
        file=RECORD,
        find="State::Undoing { .. } | State::Undone { .. } => Begin::Undone,",
        replace="State::Undoing { .. } => Begin::Undone,\n        State::Undone { .. } => start(false),",
        breaks="an action that comes after its undo runs",
        promise="1. failed and fully undone",
        by=PROTOCOL,
    ),
    Mutant(
        name="undo-under-way-ignored",
        file=RECORD,
        find="State::Undoing { .. } | State::Undone { .. } => Begin::Undone,",
        replace="State::Undone { .. } => Begin::Undone,\n        State::Undoing { .. } => start(true),",
        breaks="an action that comes while its undo runs takes the record over",
        promise="1. failed and fully undone",
        by=PROTOCOL,
    ),
    Mutant(
        name="tombstone-over-a-reservation",
        file=RECORD,
        find="""        Some(_) => Err(decide_begin_undo(record, claim)),
    }
}

fn unexpired""",
        replace="""        Some(_) => Ok(Record::undone(claim, ActionOutcome::NeverRan, result)),
    }
}

fn unexpired""",
        breaks="a tombstone covers a reservation that came in the meantime",
        promise="3. what is reserved is shipped or released",
        by=PROTOCOL,
    ),
    Mutant(
        name="reservation-over-a-tombstone",
        file=RECORD,
        find="        Begin::Start(_) => Ok(Record::completed(claim, result)),",
        replace="        Begin::Start(_) | Begin::Undone => Ok(Record::completed(claim, result)),",
        breaks="a reservation that comes after its release is made",
        promise="3. what is reserved is shipped or released",
        by=PROTOCOL,
    ),
    Mutant(
        name="done-before-is-done-again",
        file=RECORD,
        find="""        State::Completed { result, .. } => Begin::AlreadyCompleted {
            result: result.clone(),
            expires_at: record.expires_at,
        },""",
        replace="        State::Completed { .. } => start(true),",
        breaks="a duplicate is not answered from the record but carried out",
        promise=ONE_EFFECT,
        by=PROTOCOL,
    ),
    Mutant(
        name="reservation-made-twice",
        file=RECORD,
        find="        Begin::Start(_) => Ok(Record::completed(claim, result)),",
        replace="        Begin::Start(_) | Begin::AlreadyCompleted { .. } => Ok(Record::completed(claim, result)),",
        breaks="a duplicate of a reservation takes the pieces again",
        promise="3. what is reserved is shipped or released, once",
        by=PROTOCOL,
    ),
    Mutant(
        name="payload-not-compared",
        file=RECORD,
        find="""        State::Started { fingerprint, .. } | State::Completed { fingerprint, .. }
            if *fingerprint != claim.fingerprint =>""",
        replace="""        State::Started { fingerprint, .. } | State::Completed { fingerprint, .. }
            if fingerprint.as_str().is_empty() =>""",
        breaks="a key that was used for another payload is answered as if it were the same",
        promise=ONE_EFFECT,
        by=(UNIT, INTERLEAVINGS),
    ),
    Mutant(
        name="undo-payload-not-compared",
        file=RECORD,
        find="""        State::Undoing { fingerprint, .. } | State::Undone { fingerprint, .. }
            if *fingerprint != claim.fingerprint =>""",
        replace="""        State::Undoing { fingerprint, .. } | State::Undone { fingerprint, .. }
            if fingerprint.as_str().is_empty() =>""",
        breaks="an undo with another payload is answered as if it were the same",
        promise=ONE_EFFECT,
        by=(UNIT, INTERLEAVINGS),
    ),
    Mutant(
        name="record-never-expires",
        file=RECORD,
        find="        self.expires_at <= now.to_seconds()",
        replace="        self.expires_at.get() == now.get()",
        breaks="a record whose time is over still counts",
        promise="a key can be used again after its retention",
        by=(UNIT, INTERLEAVINGS),
    ),
    Mutant(
        name="record-expires-under-its-lease",
        file=RECORD,
        find="expires_at: retained.max(lease.until().to_seconds_up()),",
        replace="expires_at: retained,",
        breaks="with a short retention a claim is forgotten while it is held",
        promise=ONE_EFFECT,
        by=(UNIT, "idempotency/front"),
    ),
    Mutant(
        name="given-back-claim-renewed",
        file=RECORD,
        find="""        State::Started {
            fingerprint,
            owner,
            lease_until,
        } if *lease_until != Millis::EPOCH => Ok(Record {""",
        replace="""        State::Started {
            fingerprint,
            owner,
            lease_until: _,
        } => Ok(Record {""",
        breaks="a claim that was given back is held again by a renewal that comes late",
        promise=ONE_EFFECT,
        by=(UNIT, INTERLEAVINGS),
    ),
    Mutant(
        name="cache-remembers-what-was-undone",
        file=CACHE,
        find="if !matches!(entries.get(&key), Some(Entry::Undone)) {",
        replace="if entries.get(&key).is_none_or(|_| true) {",
        breaks="a completion that is reported late brings an undone operation back into the cache",
        promise=ONE_EFFECT,
        by=(UNIT,),
    ),
    Mutant(
        name="cache-outlives-its-record",
        file=CACHE,
        find="if operation.expires_at > now.to_seconds() && *stale_from > now =>",
        replace="if *stale_from > now =>",
        breaks="the cache answers from a record that has expired",
        promise="a key can be used again after its retention",
        by=(UNIT,),
    ),
    Mutant(
        name="blocked-claim-given-back",
        file="crates/idempotency/src/front.rs",
        find="self.options.on_abandoned == OnAbandoned::Retry",
        replace="self.options.on_abandoned == OnAbandoned::Retry || self.options.result_limit > 0",
        breaks="work that must not be repeated without a person is given back when it fails",
        promise=ONE_EFFECT,
        by=("idempotency/front",),
    ),
    Mutant(
        name="result-without-limit",
        file="crates/idempotency/src/result.rs",
        find="        if text.len() > limit {",
        replace="        if text.len() > limit && limit == usize::MAX {",
        breaks="a result is stored whatever its size",
        promise="a record fits into its item",
        by=(UNIT, "idempotency/front"),
    ),
]
