//! What may be done to a failure, and what two who do it at once come to.

#![allow(
    clippy::unwrap_used,
    reason = "a panic in a test is its failure report"
)]

mod common;

use std::time::Duration;

use common::{NOW, at};
use failures::{
    Change, Failure, FailureId, GroupId, Query, RESOLVED_RETENTION, Refused, ReplayId, Status,
    group_of, normalise, summarize,
};
use proptest::prelude::*;
use testkit::fixtures::{failure, trouble};

/// The worker of the record's own consumer: only its word ends a failure.
fn actor() -> failures::Actor {
    failures::Actor {
        name: "payment".to_owned(),
        ..common::actor()
    }
}

fn replay(id: &str) -> ReplayId {
    ReplayId::new(id)
}

fn claim(id: &str) -> Change {
    Change::Claim {
        replay: replay(id),
        destination: "payment".to_owned(),
        automatic: false,
        again: false,
    }
}

fn claim_again(id: &str) -> Change {
    Change::Claim {
        replay: replay(id),
        destination: "payment".to_owned(),
        automatic: false,
        again: true,
    }
}

fn claim_automatically(id: &str) -> Change {
    Change::Claim {
        replay: replay(id),
        destination: "payment".to_owned(),
        automatic: true,
        again: false,
    }
}

fn sent(id: &str) -> Change {
    Change::Sent { replay: replay(id) }
}

fn unclaim(id: &str) -> Change {
    let why = "the queue refused it".to_owned();
    let replay = replay(id);
    Change::Unclaim { replay, why }
}

fn acknowledge(id: &str) -> Change {
    let outcome = "done".to_owned();
    let replay = replay(id);
    Change::Acknowledge { replay, outcome }
}

fn fail_again(message_id: &str) -> Change {
    fail_again_in("r1", message_id)
}

fn fail_again_in(id: &str, message_id: &str) -> Change {
    Change::FailAgain {
        replay: replay(id),
        trouble: Box::new(trouble(message_id)),
    }
}

fn find_again(message_id: &str) -> Change {
    let message_id = message_id.to_owned();
    Change::FindAgain { message_id }
}

fn resolve() -> Change {
    let why = "refunded by hand".to_owned();
    Change::Resolve { why }
}

fn archive() -> Change {
    Change::Archive {
        why: "a test order".to_owned(),
        keep: Duration::from_secs(3600),
    }
}

fn edit() -> Change {
    Change::Edit {
        copy: FailureId::new("copy"),
        what: "the postal code".to_owned(),
    }
}

fn note() -> Change {
    let text = "asked the provider".to_owned();
    Change::Note { text }
}

/// A record after these changes, each of which must be allowed.
#[track_caller]
fn after(changes: &[Change]) -> Failure {
    let start = failure("f-1");
    let step = |failure: Failure, change: &Change| failure.after(change, &actor()).unwrap();
    changes.iter().fold(start, step)
}

/// Each status as it comes about, with replay `r1` where there is one.
fn all() -> [(Status, Failure); 6] {
    [
        (Status::Waiting, after(&[])),
        (Status::Replaying, after(&[claim("r1")])),
        (Status::Replaying, after(&[claim("r1"), sent("r1")])),
        (Status::Resolved, after(&[claim("r1"), acknowledge("r1")])),
        (Status::Archived, after(&[archive()])),
        (Status::Edited, after(&[edit()])),
    ]
}

#[test]
fn every_change_is_allowed_or_refused_as_the_table_says() {
    #[track_caller]
    fn check(change: &Change, expected: [Option<Status>; 6]) {
        for ((status, failure), expected) in all().into_iter().zip(expected) {
            assert_eq!(failure.status, status);
            let next = failure.after(change, &actor());
            let next = next.ok().map(|next| next.status);
            let sent = failure
                .replay
                .is_some_and(|replay| replay.sent_at.is_some());
            assert_eq!(next, expected, "{change:?} from {status}, sent: {sent}");
        }
    }
    use Status::{Archived, Edited, Replaying, Resolved, Waiting};
    let (waiting, claimed, under_way) = (Some(Waiting), Some(Replaying), Some(Replaying));
    // From: waiting, claimed by r1, sent by r1, resolved, archived, edited.
    check(&claim("r1"), [claimed, claimed, None, None, None, None]);
    check(&claim("r2"), [claimed, None, None, None, None, None]);
    check(
        &claim_again("r2"),
        [claimed, claimed, claimed, None, None, None],
    );
    check(&sent("r1"), [None, under_way, under_way, None, None, None]);
    check(&sent("r2"), [None; 6]);
    check(&unclaim("r1"), [None, waiting, None, None, None, None]);
    check(&unclaim("r2"), [None; 6]);
    check(
        &acknowledge("r1"),
        [None, Some(Resolved), Some(Resolved), None, None, None],
    );
    check(&acknowledge("r2"), [None; 6]);
    check(
        &fail_again("m-2"),
        [waiting, waiting, waiting, waiting, waiting, Some(Edited)],
    );
    check(
        &resolve(),
        [
            Some(Resolved),
            Some(Resolved),
            Some(Resolved),
            None,
            None,
            None,
        ],
    );
    check(&archive(), [Some(Archived), None, None, None, None, None]);
    check(&Change::Restore, [None, None, None, None, waiting, None]);
    check(&edit(), [Some(Edited), None, None, None, None, None]);
    check(
        &note(),
        [
            waiting,
            claimed,
            under_way,
            Some(Resolved),
            Some(Archived),
            Some(Edited),
        ],
    );
}

/// The process that claimed it first may have sent it, and ended before it said so.
#[test]
fn a_claim_that_was_taken_up_is_not_given_back_though_its_message_was_refused() {
    for taken_up in [claim("r1"), claim_again("r1")] {
        let refused = after(&[claim("r1"), taken_up]).after(&unclaim("r1"), &actor());
        assert_eq!(refused, Err(Refused::Sent));
    }
}

#[test]
fn a_refusal_says_who_has_the_message() {
    let taken = after(&[claim("r1")]).after(&claim("r2"), &actor());
    let by = actor().name;
    let expected = Refused::Taken {
        replay: replay("r1"),
        by,
    };
    assert_eq!(taken, Err(expected));
}

#[test]
fn a_replay_that_was_seen_to_fail_may_still_be_acknowledged() {
    let failed = after(&[claim("r1"), sent("r1"), fail_again("m-2")]);
    let done = failed.after(&acknowledge("r1"), &actor()).unwrap();
    assert_eq!(done.status, Status::Resolved);
    // But not the message of a replay before the last.
    let taken_over = failed.after(&claim("r2"), &actor()).unwrap();
    assert!(taken_over.after(&acknowledge("r1"), &actor()).is_err());
}

#[test]
fn a_copy_of_an_earlier_replay_that_fails_late_is_counted_and_takes_nothing_from_the_later_one() {
    let first = after(&[claim("r1"), sent("r1"), fail_again("m-2")]);
    let taken = [claim("r2"), sent("r2")];
    let taken = taken.iter().fold(first, |record, change| {
        record.after(change, &actor()).unwrap()
    });
    let late = taken.after(&fail_again("m-3"), &actor()).unwrap();
    assert_eq!((late.status, late.failed), (Status::Replaying, 3));
    assert_eq!(late.replay, taken.replay);
    assert_eq!(late.dead_letters, ["f-1", "m-2", "m-3"]);
    assert_eq!(late.history.last().unwrap().action, "failed-again");
    // What the later one does still counts.
    let own = late.after(&fail_again_in("r2", "m-4"), &actor()).unwrap();
    assert_eq!((own.status, own.failed), (Status::Waiting, 4));
}

#[test]
fn what_another_consumer_processed_waits_again() {
    let audit = failures::Actor {
        name: "audit".to_owned(),
        ..actor()
    };
    let sent_there = after(&[claim("r1"), sent("r1")]);
    let back = sent_there.after(&acknowledge("r1"), &audit).unwrap();
    assert_eq!((back.status, &back.resolution), (Status::Waiting, &None));
    let story = back.history.last().unwrap();
    assert!(
        story
            .detail
            .contains("processed by audit, which is not its consumer"),
        "{story:?}"
    );
    // A duplicate of it changes nothing.
    assert!(back.after(&acknowledge("r1"), &audit).is_err());
    // Of a failure whose consumer nobody knows, any may be the one.
    let mut unknown = sent_there;
    unknown.consumer = failures::UNKNOWN.to_owned();
    let done = unknown.after(&acknowledge("r1"), &audit).unwrap();
    assert_eq!(done.status, Status::Resolved);
}

#[test]
fn what_failed_again_is_counted_and_waits_in_the_group_of_its_new_trouble() {
    let mut other = trouble("m-2");
    other.name = "ProviderOutcomeUnknown".to_owned();
    let first = after(&[claim("r1"), sent("r1")]);
    let change = Change::FailAgain {
        replay: replay("r1"),
        trouble: Box::new(other.clone()),
    };
    let again = first.after(&change, &actor()).unwrap();
    assert_eq!((again.status, again.failed), (Status::Waiting, 2));
    assert_eq!(again.dead_letters, ["f-1", "m-2"]);
    assert_eq!(again.group, group_of("payment", &other));
    assert_ne!(again.group, first.group);
}

#[test]
fn a_drain_that_repeats_adds_nothing() {
    let failed = after(&[claim("r1"), sent("r1"), fail_again("m-2")]);
    for known in ["f-1", "m-2"] {
        let repeated = failed.after(&fail_again(known), &actor());
        assert_eq!(repeated, Err(Refused::Known), "{known}");
    }
}

#[test]
fn an_original_whose_edited_copy_took_its_place_never_waits_again() {
    let edited = after(&[edit(), fail_again("m-2")]);
    assert_eq!(edited.status, Status::Edited);
    assert_eq!(edited.failed, 2);
    assert!(edited.after(&claim("r1"), &actor()).is_err());
    assert!(edited.after(&claim_again("r1"), &actor()).is_err());
}

#[test]
fn automatic_replays_are_counted_until_a_person_replays() {
    let round =
        |claim: Change, id: &str, message: &str| [claim, sent(id), fail_again_in(id, message)];
    let mut changes = Vec::new();
    for n in 1..=2 {
        let id = format!("r{n}");
        changes.extend(round(claim_automatically(&id), &id, &format!("m-{n}")));
    }
    assert_eq!(after(&changes).automatic_replays, 2);
    changes.extend(round(claim("r3"), "r3", "m-3"));
    assert_eq!(after(&changes).automatic_replays, 0);
}

#[test]
fn what_is_ended_is_forgotten_later_and_what_is_open_never_is() {
    let done = after(&[claim("r1"), acknowledge("r1")]);
    let kept = RESOLVED_RETENTION.as_secs();
    assert_eq!(done.expires_at, Some(NOW / 1000 + kept));
    let end = (NOW / 1000 + kept) * 1000;
    assert!(!done.is_forgotten(at(end - 1)));
    assert!(done.is_forgotten(at(end)));
    for open in [
        after(&[]),
        after(&[claim("r1")]),
        after(&[archive(), Change::Restore]),
    ] {
        assert_eq!(open.expires_at, None);
        assert!(!open.is_forgotten(at(u64::MAX)));
    }
}

#[test]
fn every_change_is_in_the_history_with_who_and_when() {
    let all = after(&[
        claim("r1"),
        unclaim("r1"),
        note(),
        archive(),
        Change::Restore,
        edit(),
    ]);
    let actions: Vec<_> = all.history.iter().map(|e| e.action.as_str()).collect();
    let expected = [
        "stored",
        "claimed",
        "given-back",
        "noted",
        "archived",
        "restored",
        "edited",
    ];
    assert_eq!(actions, expected);
    assert!(
        all.history
            .iter()
            .skip(1)
            .all(|e| e.by == actor().name && e.at == at(NOW))
    );
    assert_eq!(all.version, 7);
}

#[test]
fn a_record_stays_small_enough_for_its_table_however_much_is_done_to_it() {
    let mut largest = failure("f-1");
    let long = "é".repeat(100_000);
    for n in 0..500 {
        let text = long.clone();
        largest = largest.after(&Change::Note { text }, &actor()).unwrap();
        let message = fail_again(&format!("{n:036}"));
        largest = largest.after(&message, &actor()).unwrap();
    }
    let own = serde_json::to_string(&largest).unwrap().len();
    // An item has 400 KB, and a message in a dead-letter queue up to 320 KiB.
    assert!(own < 400_000 - 320 * 1024, "{own} bytes beside the message");
    assert_eq!(largest.history[0].action, "stored");
    assert_eq!(largest.failed, 501);
}

#[test]
fn like_causes_are_one_group_and_unlike_ones_are_not() {
    #[track_caller]
    fn check(one: &str, other: &str, alike: bool) {
        assert_eq!(normalise(one) == normalise(other), alike, "{one} / {other}");
    }
    let alike = [
        (
            "order 6f1c0a3e-0000-4000-8000-000000000001 is unknown",
            "order 77 is unknown",
        ),
        ("no field \"ship to\" in it", "no field \"id\" in it"),
        ("it took 1.52 s more", "it took 9 s more"),
        ("cannot reach http://host.a/x", "cannot reach https://b/y"),
        (
            "mail to ada@example.org failed",
            "mail to bob@example.com failed",
        ),
        ("at 2026-01-01T00:00:00Z", "at 2026-05-04T12:00:01.5Z"),
        ("unknown type `a b c`", "unknown type `d`"),
        ("the value   'x'\nis wrong", "the value 'y z' is wrong"),
    ];
    for (one, other) in alike {
        check(one, other, true);
    }
    let unlike = [
        ("connection refused", "connection reset"),
        ("can't connect", "can't read"),
        ("the user's name isn't there", "the user's mail isn't there"),
        ("no field \"id\"", "too many fields \"id\""),
        ("ConditionalCheckFailedException", "ThrottlingException"),
    ];
    for (one, other) in unlike {
        check(one, other, false);
    }
}

#[test]
fn a_group_is_of_one_consumer_and_one_error() {
    let trouble = trouble("m");
    let mut renamed = trouble.clone();
    renamed.name = "StoreUnavailable".to_owned();
    let group = group_of("payment", &trouble);
    assert!(group.as_str().starts_with("payment.ProviderUnavailable."));
    assert_ne!(group, group_of("shipping", &trouble));
    assert_ne!(group, group_of("payment", &renamed));
    // The id goes into keys, URLs and shells.
    renamed.name = "a b/$(c)\n".repeat(100);
    let id = group_of("pay ment'", &renamed);
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    assert!(
        id.as_str().chars().all(plain) && id.as_str().len() < 100,
        "{id}"
    );
}

#[test]
fn groups_are_counted_by_status_and_the_latest_comes_first() {
    let mut early = failure("f-1");
    early.trouble.failed_at = at(NOW - 1000);
    let again = after(&[claim("r1"), sent("r1"), fail_again("m-2"), claim("r2")]);
    let mut other = failure("f-3");
    other.group = GroupId::new("payment.Other.1");
    other.trouble.failed_at = at(NOW + 1000);
    let groups = summarize([&early, &again, &other]);
    assert_eq!(groups.len(), 2);
    assert_eq!(groups[0].id, other.group);
    let group = &groups[1];
    assert_eq!(group.counts[&Status::Waiting], 1);
    assert_eq!(group.counts[&Status::Replaying], 1);
    assert_eq!(group.failed_again, 1);
    assert_eq!(group.first_failed_at, at(NOW - 1000));
    assert_eq!(group.last_failed_at, at(NOW));
}

#[test]
fn a_query_means_failures_that_fit_all_of_it() {
    #[track_caller]
    fn check(query: &Query, fits: bool) {
        let failure = after(&[claim("r1"), note()]);
        assert_eq!(query.matches(&failure), fits, "{query:?}");
    }
    let some = |text: &str| Some(text.to_owned());
    check(&Query::default(), true);
    for (id, fits) in [("f-1", true), ("f-2", false)] {
        let ids = vec![FailureId::new("x"), FailureId::new(id)];
        check(
            &Query {
                ids,
                ..Query::default()
            },
            fits,
        );
    }
    for (status, fits) in [(Status::Replaying, true), (Status::Waiting, false)] {
        let statuses = vec![Status::Archived, status];
        check(
            &Query {
                statuses,
                ..Query::default()
            },
            fits,
        );
    }
    for (id, fits) in [("r1", true), ("r2", false)] {
        let replay = Some(replay(id));
        check(
            &Query {
                replay,
                ..Query::default()
            },
            fits,
        );
    }
    for (consumer, class, fits) in [
        ("payment", "transient", true),
        ("payment", "poison", false),
        ("stock", "transient", false),
    ] {
        let (consumer, class) = (some(consumer), some(class));
        check(
            &Query {
                consumer,
                class,
                ..Query::default()
            },
            fits,
        );
    }
    for (since, until, fits) in [
        (NOW, NOW + 1, true),
        (NOW - 1, NOW, false),
        (NOW + 1, NOW + 2, false),
    ] {
        let (since, until) = (Some(at(since)), Some(at(until)));
        check(
            &Query {
                since,
                until,
                ..Query::default()
            },
            fits,
        );
    }
    for (text, fits) in [
        ("CONNECTION refused", true),
        ("asked the Provider", true),
        ("PM_CARD_visa", true),
        ("secret-token", false),
        ("nowhere", false),
    ] {
        let text = some(text);
        check(
            &Query {
                text,
                ..Query::default()
            },
            fits,
        );
    }
}

fn any_change() -> impl Strategy<Value = Change> {
    let ids = || prop_oneof!["r1", "r2", "r3"];
    prop_oneof![
        (ids(), any::<bool>(), any::<bool>()).prop_map(|(id, automatic, again)| Change::Claim {
            replay: replay(&id),
            destination: "payment".to_owned(),
            automatic,
            again,
        }),
        ids().prop_map(|id| sent(&id)),
        ids().prop_map(|id| unclaim(&id)),
        ids().prop_map(|id| acknowledge(&id)),
        (ids(), "m-[0-9]").prop_map(|(id, message)| fail_again_in(&id, &message)),
        "m-[0-9]".prop_map(|id| find_again(&id)),
        Just(resolve()),
        Just(archive()),
        Just(Change::Restore),
        Just(edit()),
        Just(note()),
    ]
}

proptest! {
    /// Two who read the same version: only one of their claims is stored, and whoever
    /// reads again is refused as long as the other has it.
    #[test]
    fn two_replays_never_both_have_a_message(changes in prop::collection::vec(any_change(), 0..20)) {
        let mut stored = failure("f-1");
        for change in &changes {
            if let Ok(next) = stored.after(change, &actor()) {
                stored = next;
            }
        }
        if let Ok(won) = stored.after(&claim("one"), &actor()) {
            let lost = stored.after(&claim("two"), &actor()).unwrap();
            // The store takes the first, and no second one of the same version.
            prop_assert_eq!(won.version, lost.version);
            prop_assert!(won.after(&claim("two"), &actor()).is_err());
            let on_its_way = won.after(&sent("one"), &actor()).unwrap();
            prop_assert!(on_its_way.after(&claim("one"), &actor()).is_err());
        }
    }

    #[test]
    fn every_sequence_of_changes_leaves_a_sound_record(changes in prop::collection::vec(any_change(), 0..40)) {
        let mut stored = failure("f-1");
        for change in &changes {
            let Ok(next) = stored.after(change, &actor()) else { continue };
            prop_assert_eq!(next.version, stored.version + 1);
            prop_assert!(next.failed >= stored.failed);
            prop_assert_eq!(&next.letter, &stored.letter);
            prop_assert_eq!(next.status.is_open(), next.expires_at.is_none());
            prop_assert_eq!(next.status == Status::Resolved, next.resolution.is_some());
            prop_assert_eq!(next.status == Status::Edited, next.edited_as.is_some());
            prop_assert!(next.status != Status::Replaying || next.replay.is_some());
            prop_assert!(next.dead_letters.len() >= usize::try_from(next.failed).unwrap());
            if stored.status == Status::Edited {
                prop_assert_eq!(next.status, Status::Edited);
            }
            stored = next;
        }
        let json = serde_json::to_string(&stored).unwrap();
        prop_assert_eq!(serde_json::from_str::<Failure>(&json).unwrap(), stored);
    }

    #[test]
    fn a_normalised_cause_stays_as_it_is(cause in "[a-z0-9 '\"`…@:/.]{0,80}") {
        let once = normalise(&cause);
        prop_assert_eq!(normalise(&once), once);
    }
}
