//! Every transition, and every refusal.

use super::*;

const NOW: Millis = Millis::new(100_500);
const LEASE_END: Millis = Millis::new(110_000);
const EXPIRY: Seconds = Seconds::new(1_000);
const OLD: OwnerToken = OwnerToken::from_u128(1);
const NEW: OwnerToken = OwnerToken::from_u128(2);

fn claim(owner: OwnerToken) -> Claim {
    Claim {
        key: Key::new("payment#42").unwrap(),
        fingerprint: Fingerprint::of("payload"),
        owner,
        now: NOW,
        lease_until: LEASE_END,
        expires_at: EXPIRY,
        on_abandoned: OnAbandoned::Retry,
    }
}

fn blocking(owner: OwnerToken) -> Claim {
    claim(owner).with_on_abandoned(OnAbandoned::Block)
}

fn other_payload(owner: OwnerToken) -> Claim {
    Claim {
        fingerprint: Fingerprint::of("other payload"),
        ..claim(owner)
    }
}

/// A claim at the first moment at which the lease of the others has run out.
fn later(owner: OwnerToken) -> Claim {
    Claim {
        now: LEASE_END,
        lease_until: Millis::new(120_000),
        ..claim(owner)
    }
}

fn after_expiry(owner: OwnerToken) -> Claim {
    Claim {
        now: Millis::new(1_000_000),
        lease_until: Millis::new(1_010_000),
        expires_at: Seconds::new(2_000),
        ..claim(owner)
    }
}

fn result(value: &str) -> ResultJson {
    ResultJson::encode(&value).unwrap()
}

fn action_result() -> ActionOutcome {
    ActionOutcome::Completed {
        result: result("captured"),
    }
}

fn started() -> Record {
    Record::started(&claim(OLD))
}

fn completed() -> Record {
    Record::completed(&claim(OLD), &result("captured"))
}

fn undoing(action: ActionOutcome) -> Record {
    Record::undoing(&claim(OLD), action)
}

fn undone(action: ActionOutcome) -> Record {
    Record::undone(&claim(OLD), action, &result("refunded"))
}

fn released(record: &Record) -> Record {
    let release = |record| match decide_release(Some(record), &right(OLD)) {
        Ok(released) => Ok(released),
        Err(Superseded) => decide_release_undo(Some(record), &undo_right(OLD)),
    };
    release(record).unwrap()
}

fn right(owner: OwnerToken) -> Started {
    match decide_begin(None, &claim(owner)) {
        Begin::Start(started) => started,
        refusal => panic!("refused: {refusal:?}"),
    }
}

fn undo_right(owner: OwnerToken) -> UndoStarted {
    match decide_begin_undo(None, &claim(owner)) {
        BeginUndo::Start(started) => started,
        refusal => panic!("refused: {refusal:?}"),
    }
}

fn start(claim: &Claim, takeover: bool) -> Begin {
    let Claim {
        key,
        owner,
        lease_until,
        expires_at,
        ..
    } = claim.clone();
    Begin::Start(Started {
        key,
        owner,
        lease_until,
        expires_at,
        takeover,
    })
}

fn start_undo(claim: &Claim, action: ActionOutcome) -> BeginUndo {
    let Claim {
        key,
        owner,
        lease_until,
        expires_at,
        ..
    } = claim.clone();
    BeginUndo::Start(UndoStarted {
        key,
        owner,
        lease_until,
        expires_at,
        action,
    })
}

#[track_caller]
#[expect(
    clippy::needless_pass_by_value,
    reason = "the cases read better without references"
)]
fn check_begin(record: Option<Record>, claim: &Claim, expected: Begin) {
    assert_eq!(decide_begin(record.as_ref(), claim), expected);
}

#[track_caller]
#[expect(
    clippy::needless_pass_by_value,
    reason = "the cases read better without references"
)]
fn check_undo(record: Option<Record>, claim: &Claim, expected: BeginUndo) {
    assert_eq!(decide_begin_undo(record.as_ref(), claim), expected);
}

#[test]
fn a_first_run_starts_and_takes_nothing_over() {
    check_begin(None, &claim(NEW), start(&claim(NEW), false));
}

#[test]
fn a_duplicate_of_a_completed_operation_gets_its_result() {
    let answer = || Begin::AlreadyCompleted {
        expires_at: EXPIRY,
        result: result("captured"),
    };
    check_begin(Some(completed()), &claim(NEW), answer());
    check_begin(Some(completed()), &later(NEW), answer());
    check_begin(Some(completed()), &blocking(NEW), answer());
}

#[test]
fn an_operation_under_an_unexpired_lease_is_in_progress() {
    let last = Claim {
        now: Millis::new(LEASE_END.get() - 1),
        ..claim(NEW)
    };
    check_begin(
        Some(started()),
        &claim(NEW),
        Begin::InProgress { until: LEASE_END },
    );
    check_begin(
        Some(started()),
        &last,
        Begin::InProgress { until: LEASE_END },
    );
    check_begin(
        Some(started()),
        &blocking(NEW),
        Begin::InProgress { until: LEASE_END },
    );
}

#[test]
fn an_abandoned_operation_is_taken_over_or_left_to_a_person() {
    check_begin(Some(started()), &later(NEW), start(&later(NEW), true));
    let blocking = later(NEW).with_on_abandoned(OnAbandoned::Block);
    check_begin(Some(started()), &blocking, Begin::Abandoned);
}

#[test]
fn a_released_operation_is_taken_over_at_once_under_either_policy() {
    let record = released(&started());
    check_begin(Some(record.clone()), &claim(NEW), start(&claim(NEW), true));
    check_begin(Some(record), &blocking(NEW), start(&blocking(NEW), true));
}

#[test]
fn a_repeated_write_of_the_same_attempt_meets_its_own_claim_and_starts() {
    check_begin(Some(started()), &claim(OLD), start(&claim(OLD), true));
    check_undo(
        Some(undoing(action_result())),
        &claim(OLD),
        start_undo(&claim(OLD), action_result()),
    );
}

#[test]
fn another_payload_under_the_same_key_is_refused_even_after_the_lease() {
    let later = Claim {
        now: LEASE_END,
        ..other_payload(NEW)
    };
    for record in [started(), completed(), released(&started())] {
        check_begin(
            Some(record.clone()),
            &other_payload(NEW),
            Begin::FingerprintMismatch,
        );
        check_begin(Some(record), &later, Begin::FingerprintMismatch);
    }
}

#[test]
fn a_late_action_is_refused_from_the_moment_its_undo_begins() {
    for action in [
        ActionOutcome::NeverRan,
        ActionOutcome::Unknown,
        action_result(),
    ] {
        for record in [undoing(action.clone()), undone(action.clone())] {
            for claim in [claim(NEW), later(NEW), other_payload(NEW), blocking(NEW)] {
                check_begin(Some(record.clone()), &claim, Begin::Undone);
            }
        }
        let record = released(&undoing(action));
        check_begin(Some(record), &claim(NEW), Begin::Undone);
    }
}

#[test]
fn an_expired_record_counts_as_absent() {
    let claim = after_expiry(NEW);
    let one_millisecond_before = Claim {
        now: Millis::new(999_999),
        ..after_expiry(NEW)
    };
    for record in [started(), completed(), undone(action_result())] {
        check_begin(Some(record.clone()), &claim, start(&claim, false));
        check_undo(
            Some(record),
            &claim,
            start_undo(&claim, ActionOutcome::NeverRan),
        );
    }
    check_begin(
        Some(undone(action_result())),
        &one_millisecond_before,
        Begin::Undone,
    );
}

#[test]
fn an_undo_that_overtakes_its_action_finds_that_nothing_ran() {
    check_undo(
        None,
        &claim(NEW),
        start_undo(&claim(NEW), ActionOutcome::NeverRan),
    );
}

#[test]
fn an_undo_of_a_completed_action_reads_what_it_recorded() {
    check_undo(
        Some(completed()),
        &claim(NEW),
        start_undo(&claim(NEW), action_result()),
    );
}

#[test]
fn an_undo_has_a_payload_of_its_own() {
    let undo = other_payload(NEW);
    check_undo(Some(completed()), &undo, start_undo(&undo, action_result()));
    for record in [undoing(action_result()), undone(action_result())] {
        check_undo(Some(record), &undo, BeginUndo::FingerprintMismatch);
    }
}

#[test]
fn an_undo_waits_for_a_running_action() {
    check_undo(
        Some(started()),
        &claim(NEW),
        BeginUndo::InProgress { until: LEASE_END },
    );
}

#[test]
fn an_undo_of_an_abandoned_or_released_action_knows_that_it_does_not_know() {
    let unknown = || ActionOutcome::Unknown;
    check_undo(
        Some(started()),
        &later(NEW),
        start_undo(&later(NEW), unknown()),
    );
    check_undo(
        Some(released(&started())),
        &claim(NEW),
        start_undo(&claim(NEW), unknown()),
    );
    let blocking = later(NEW).with_on_abandoned(OnAbandoned::Block);
    check_undo(Some(started()), &blocking, start_undo(&blocking, unknown()));
}

#[test]
fn an_undo_waits_for_another_undo_and_then_takes_over_what_it_knew() {
    for action in [
        ActionOutcome::NeverRan,
        ActionOutcome::Unknown,
        action_result(),
    ] {
        let record = || Some(undoing(action.clone()));
        check_undo(
            record(),
            &claim(NEW),
            BeginUndo::InProgress { until: LEASE_END },
        );
        check_undo(
            record(),
            &later(NEW),
            start_undo(&later(NEW), action.clone()),
        );
        let blocking = later(NEW).with_on_abandoned(OnAbandoned::Block);
        check_undo(record(), &blocking, BeginUndo::Abandoned);
        let released = released(&undoing(action.clone()));
        check_undo(
            Some(released),
            &claim(NEW),
            start_undo(&claim(NEW), action.clone()),
        );
    }
}

#[test]
fn a_duplicate_undo_gets_the_stored_result_of_the_undo() {
    let answer = || BeginUndo::AlreadyUndone {
        result: result("refunded"),
    };
    check_undo(Some(undone(action_result())), &claim(NEW), answer());
    check_undo(Some(undone(ActionOutcome::NeverRan)), &later(NEW), answer());
}

#[test]
fn completing_stores_the_result_and_repeating_it_changes_nothing() {
    let once = decide_complete(Some(&started()), &right(OLD), &result("captured"));
    assert_eq!(once, Ok(completed()));
    let twice = decide_complete(Some(&completed()), &right(OLD), &result("other"));
    assert_eq!(twice, Ok(completed()));
    assert_eq!(
        decide_release(Some(&completed()), &right(OLD)),
        Ok(completed())
    );
}

#[test]
fn completing_an_undo_keeps_what_the_action_recorded() {
    let record = undoing(action_result());
    let once = decide_complete_undo(Some(&record), &undo_right(OLD), &result("refunded"));
    assert_eq!(once, Ok(undone(action_result())));
    let twice = decide_complete_undo(once.ok().as_ref(), &undo_right(OLD), &result("other"));
    assert_eq!(twice, Ok(undone(action_result())));
    let release = decide_release_undo(twice.ok().as_ref(), &undo_right(OLD));
    assert_eq!(release, Ok(undone(action_result())));
}

#[test]
fn nothing_is_written_by_an_attempt_that_does_not_hold_the_claim() {
    let records = [
        started(),
        completed(),
        undoing(action_result()),
        undone(action_result()),
    ];
    for record in [None].into_iter().chain(records.map(Some)) {
        let record = record.as_ref();
        assert_eq!(
            decide_complete(record, &right(NEW), &result("late")),
            Err(Superseded)
        );
        assert_eq!(decide_release(record, &right(NEW)), Err(Superseded));
        assert_eq!(
            decide_complete_undo(record, &undo_right(NEW), &result("late")),
            Err(Superseded)
        );
        assert_eq!(
            decide_release_undo(record, &undo_right(NEW)),
            Err(Superseded)
        );
    }
}

#[test]
fn a_record_is_kept_for_its_retention_and_never_for_less_than_its_lease() {
    let lease = Lease::until_deadline(NOW, Millis::new(110_001)).unwrap();
    let expiry = |seconds| {
        let key = Key::new("payment#42").unwrap();
        Claim::new(
            key,
            Fingerprint::of("payload"),
            lease,
            Duration::from_secs(seconds),
        )
        .expires_at
    };
    assert_eq!(expiry(50), Seconds::new(150));
    assert_eq!(expiry(5), Seconds::new(111));
}

#[test]
fn a_renewed_claim_is_held_and_kept_for_longer() {
    let until = Millis::new(2_000_001);
    let action = decide_renew(Some(&started()), &right(OLD).renewed(until)).unwrap();
    let undo = undoing(action_result());
    let undo = decide_renew_undo(Some(&undo), &undo_right(OLD).renewed(until)).unwrap();
    let claim = Claim {
        lease_until: until,
        expires_at: Seconds::new(2_001),
        ..claim(OLD)
    };
    assert_eq!(action, Record::started(&claim));
    assert_eq!(undo, Record::undoing(&claim, action_result()));
}

#[test]
fn a_renewal_does_not_shorten_the_retention() {
    let renewed = right(OLD).renewed(Millis::new(120_000));
    assert_eq!(renewed.expires_at, EXPIRY);
    assert_eq!(
        undo_right(OLD).renewed(Millis::new(120_000)).expires_at,
        EXPIRY
    );
}

#[test]
fn a_lease_that_ran_out_is_renewed_as_long_as_nobody_took_over() {
    let until = Millis::new(130_000);
    assert!(decide_renew(Some(&started()), &right(OLD).renewed(until)).is_ok());
    let overtaken = Record::started(&later(NEW));
    let late = decide_renew(Some(&overtaken), &right(OLD).renewed(until));
    assert_eq!(late, Err(Superseded));
    let overtaken = Record::undoing(&later(NEW), action_result());
    let late = decide_renew_undo(Some(&overtaken), &undo_right(OLD).renewed(until));
    assert_eq!(late, Err(Superseded));
}

#[test]
fn only_a_claim_that_is_held_is_renewed() {
    let until = Millis::new(130_000);
    let others = [
        completed(),
        undone(action_result()),
        undoing(action_result()),
    ];
    let others = others.into_iter().chain([released(&started())]).map(Some);
    for record in others.chain([None]) {
        let renewed = decide_renew(record.as_ref(), &right(OLD).renewed(until));
        assert_eq!(renewed, Err(Superseded), "{record:?}");
    }
    let others = [completed(), undone(action_result()), started()];
    let others = others
        .into_iter()
        .chain([released(&undoing(action_result()))])
        .map(Some);
    for record in others.chain([None]) {
        let renewed = decide_renew_undo(record.as_ref(), &undo_right(OLD).renewed(until));
        assert_eq!(renewed, Err(Superseded), "{record:?}");
    }
}

#[test]
fn the_right_to_an_action_does_not_serve_for_its_undo_nor_the_reverse() {
    for record in [undoing(action_result()), undone(action_result())] {
        assert!(decide_complete(Some(&record), &right(OLD), &result("late")).is_err());
        assert!(decide_release(Some(&record), &right(OLD)).is_err());
    }
    for record in [started(), completed()] {
        assert!(decide_complete_undo(Some(&record), &undo_right(OLD), &result("late")).is_err());
        assert!(decide_release_undo(Some(&record), &undo_right(OLD)).is_err());
    }
}

#[test]
fn an_operation_in_one_step_completes_once() {
    let put =
        |record: Option<Record>| decide_completed_put(record.as_ref(), &claim(NEW), &result("new"));
    let fresh = Record::completed(&claim(NEW), &result("new"));
    assert_eq!(put(None), Ok(fresh));
    let done = Begin::AlreadyCompleted {
        expires_at: EXPIRY,
        result: result("captured"),
    };
    assert_eq!(put(Some(completed())), Err(done));
    assert_eq!(put(Some(undone(action_result()))), Err(Begin::Undone));
    let busy = Begin::InProgress { until: LEASE_END };
    assert_eq!(put(Some(started())), Err(busy));
}

#[test]
fn an_undo_in_one_step_says_which_of_its_two_forms_fits() {
    let update = |record: Option<Record>| {
        decide_undone_update(record.as_ref(), &claim(NEW), &result("released"))
    };
    let tombstone = |record: Option<Record>| {
        decide_tombstone_put(record.as_ref(), &claim(NEW), &result("released"))
    };
    let undone_with = |action| Record::undone(&claim(NEW), action, &result("released"));

    assert_eq!(update(Some(completed())), Ok(undone_with(action_result())));
    assert_eq!(tombstone(None), Ok(undone_with(ActionOutcome::NeverRan)));
    assert_eq!(
        update(None),
        Err(start_undo(&claim(NEW), ActionOutcome::NeverRan))
    );
    assert_eq!(
        tombstone(Some(completed())),
        Err(start_undo(&claim(NEW), action_result()))
    );

    let done = || {
        Err(BeginUndo::AlreadyUndone {
            result: result("refunded"),
        })
    };
    assert_eq!(update(Some(undone(action_result()))), done());
    assert_eq!(tombstone(Some(undone(action_result()))), done());
}
