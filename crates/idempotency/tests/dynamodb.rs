//! The DynamoDB store against the emulator: what it answers, in how many requests.

#![allow(
    clippy::unwrap_used,
    reason = "a panic in a test is its failure report"
)]

mod costs;
mod emulator;
mod steps;

use std::collections::HashMap;

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use idempotency::{
    ActionOutcome, Begin, BeginUndo, Claim, DynamoDbStore, Fingerprint, Key, MemoryStore, Millis,
    OnAbandoned, OwnerToken, Renew, ResultJson, Seconds, Started, State, Store, StoreError,
    UndoStarted,
};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use emulator::{Table, Wire, client, with_table, with_table_keyed_by};
use steps::{Answer, Call, Players, send, send_in_memory, step};

const NOW: Millis = Millis::new(100_000);
const LEASE_END: Millis = Millis::new(110_000);

fn claim(key: &str) -> Claim {
    Claim {
        key: Key::new(key).unwrap(),
        fingerprint: Fingerprint::of("payload"),
        owner: OwnerToken::random(),
        now: NOW,
        lease_until: LEASE_END,
        expires_at: Seconds::new(1_000),
        on_abandoned: OnAbandoned::Retry,
    }
}

/// A claim once the lease of the others has run out.
fn later(key: &str) -> Claim {
    Claim {
        now: LEASE_END,
        lease_until: Millis::new(120_000),
        ..claim(key)
    }
}

fn after_expiry(key: &str) -> Claim {
    Claim {
        now: Millis::new(1_000_000),
        lease_until: Millis::new(1_010_000),
        expires_at: Seconds::new(2_000),
        ..claim(key)
    }
}

fn other_payload(key: &str) -> Claim {
    Claim {
        fingerprint: Fingerprint::of("other payload"),
        ..claim(key)
    }
}

fn result(value: &str) -> ResultJson {
    ResultJson::encode(&value).unwrap()
}

fn captured() -> ActionOutcome {
    ActionOutcome::Completed {
        result: result("captured"),
    }
}

async fn start(store: &impl Store, claim: &Claim) -> Started {
    match store.begin(claim).await.unwrap() {
        Begin::Start(started) => started,
        refusal => panic!("refused: {refusal:?}"),
    }
}

async fn start_undo(store: &impl Store, claim: &Claim) -> UndoStarted {
    match store.begin_undo(claim).await.unwrap() {
        BeginUndo::Start(started) => started,
        refusal => panic!("refused: {refusal:?}"),
    }
}

#[tokio::test]
async fn first_run_duplicate_conflict_and_takeover_cost_one_request_each() {
    with_table(|Table { store, wire, .. }| async move {
        let first = start(&store, &claim("k")).await;
        assert_eq!((first.takeover, wire.requests()), (false, 1), "first run");

        let conflict = store.begin(&claim("k")).await.unwrap();
        assert_eq!(conflict, Begin::InProgress { until: LEASE_END });
        assert_eq!(wire.requests(), 1, "conflict");

        let mismatch = store.begin(&other_payload("k")).await.unwrap();
        assert_eq!((mismatch, wire.requests()), (Begin::FingerprintMismatch, 1));

        let blocked = later("k").with_on_abandoned(OnAbandoned::Block);
        let blocked = store.begin(&blocked).await.unwrap();
        assert_eq!((blocked, wire.requests()), (Begin::Abandoned, 1));

        let second = start(&store, &later("k")).await;
        assert_eq!((second.takeover, wire.requests()), (true, 1), "takeover");

        store.complete(&second, &result("captured")).await.unwrap();
        assert_eq!(wire.requests(), 1, "completion");

        let duplicate = store.begin(&later("k")).await.unwrap();
        assert_eq!(
            duplicate,
            Begin::AlreadyCompleted {
                expires_at: Seconds::new(1_000),
                result: result("captured")
            }
        );
        assert_eq!(wire.requests(), 1, "duplicate");

        let renewed = start(&store, &after_expiry("k")).await;
        assert_eq!(
            (renewed.takeover, wire.requests()),
            (false, 1),
            "after expiry"
        );
    })
    .await;
}

#[tokio::test]
async fn a_released_operation_is_taken_over_at_once() {
    with_table(|Table { store, wire, .. }| async move {
        let first = start(&store, &claim("k")).await;
        wire.requests();
        store.release(&first).await.unwrap();
        assert_eq!(wire.requests(), 1, "release");
        let second = start(&store, &claim("k").with_on_abandoned(OnAbandoned::Block)).await;
        assert_eq!((second.takeover, wire.requests()), (true, 1), "takeover");
    })
    .await;
}

#[tokio::test]
async fn each_step_of_an_undo_costs_one_request() {
    with_table(|Table { store, wire, .. }| async move {
        let action = start(&store, &claim("k")).await;
        store.complete(&action, &result("captured")).await.unwrap();
        wire.requests();

        let undo = start_undo(&store, &other_payload("k")).await;
        assert_eq!((undo.action.clone(), wire.requests()), (captured(), 1));

        let conflict = store.begin_undo(&other_payload("k")).await.unwrap();
        assert_eq!(conflict, BeginUndo::InProgress { until: LEASE_END });
        assert_eq!(wire.requests(), 1);

        let mismatch = store.begin_undo(&claim("k")).await.unwrap();
        assert_eq!(
            (mismatch, wire.requests()),
            (BeginUndo::FingerprintMismatch, 1)
        );

        let late_action = store.begin(&claim("k")).await.unwrap();
        assert_eq!((late_action, wire.requests()), (Begin::Undone, 1));

        store.release_undo(&undo).await.unwrap();
        assert_eq!(wire.requests(), 1);
        let undo = start_undo(&store, &other_payload("k")).await;
        assert_eq!((undo.action.clone(), wire.requests()), (captured(), 1));

        store
            .complete_undo(&undo, &result("refunded"))
            .await
            .unwrap();
        assert_eq!(wire.requests(), 1);
        let duplicate = store.begin_undo(&other_payload("k")).await.unwrap();
        assert_eq!(
            duplicate,
            BeginUndo::AlreadyUndone {
                result: result("refunded")
            }
        );
        assert_eq!(wire.requests(), 1);

        let record = store.get(&undo.key).await.unwrap().unwrap();
        assert!(matches!(record.state, State::Undone { action, .. } if action == captured()));
    })
    .await;
}

#[tokio::test]
async fn an_undo_that_overtakes_its_action_leaves_a_tombstone() {
    with_table(|Table { store, wire, .. }| async move {
        let undo = start_undo(&store, &claim("k")).await;
        assert_eq!(
            (undo.action.clone(), wire.requests()),
            (ActionOutcome::NeverRan, 1)
        );
        store
            .complete_undo(&undo, &result("nothing"))
            .await
            .unwrap();
        assert_eq!(store.begin(&claim("k")).await.unwrap(), Begin::Undone);
    })
    .await;
}

#[tokio::test]
async fn an_undo_knows_that_an_abandoned_action_may_have_happened() {
    with_table(|Table { store, .. }| async move {
        start(&store, &claim("k")).await;
        let waiting = store.begin_undo(&claim("k")).await.unwrap();
        assert_eq!(waiting, BeginUndo::InProgress { until: LEASE_END });
        assert_eq!(
            start_undo(&store, &later("k")).await.action,
            ActionOutcome::Unknown
        );
    })
    .await;
}

#[tokio::test]
async fn an_undo_forgets_an_expired_record_for_a_second_request() {
    with_table(|Table { store, wire, .. }| async move {
        let action = start(&store, &claim("k")).await;
        store.complete(&action, &result("captured")).await.unwrap();
        wire.requests();
        let undo = start_undo(&store, &after_expiry("k")).await;
        assert_eq!((undo.action, wire.requests()), (ActionOutcome::NeverRan, 2));
    })
    .await;
}

#[tokio::test]
async fn an_overtaken_attempt_can_neither_complete_nor_release() {
    with_table(|Table { store, .. }| async move {
        let slow = start(&store, &claim("k")).await;
        let fast = start(&store, &later("k")).await;
        let late = store.complete(&slow, &result("late")).await;
        assert!(matches!(late, Err(StoreError::Superseded(_))), "{late:?}");
        let late = store.release(&slow).await;
        assert!(matches!(late, Err(StoreError::Superseded(_))), "{late:?}");
        store.complete(&fast, &result("captured")).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn of_many_concurrent_attempts_one_starts() {
    with_table(|Table { store, .. }| async move {
        let attempts: Vec<_> = (0..16)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move { store.begin(&claim("k")).await.unwrap() })
            })
            .collect();
        let mut starts = 0;
        for attempt in attempts {
            starts += usize::from(matches!(attempt.await.unwrap(), Begin::Start(_)));
        }
        assert_eq!(starts, 1);
    })
    .await;
}

#[tokio::test]
async fn a_lost_answer_is_no_conflict_with_oneself() {
    with_table(|Table { store, wire, .. }| async move {
        wire.lose_next_answer();
        let action = start(&store, &claim("k")).await;
        assert_eq!((action.takeover, wire.requests()), (true, 2), "begin");

        wire.lose_next_answer();
        store.complete(&action, &result("captured")).await.unwrap();
        assert_eq!(wire.requests(), 2, "complete");

        wire.lose_next_answer();
        let undo = start_undo(&store, &claim("k")).await;
        assert_eq!(
            (undo.action.clone(), wire.requests()),
            (captured(), 2),
            "begin_undo"
        );

        wire.lose_next_answer();
        store
            .complete_undo(&undo, &result("refunded"))
            .await
            .unwrap();
        assert_eq!(wire.requests(), 2, "complete_undo");
    })
    .await;
}

#[tokio::test]
async fn the_partition_key_may_have_another_name() {
    with_table_keyed_by(["pk"], |Table { store, .. }| async move {
        let store = store.with_key_attribute("pk");
        let action = start(&store, &claim("k")).await;
        store.complete(&action, &result("captured")).await.unwrap();
        let undo = start_undo(&store, &claim("k")).await;
        assert_eq!(undo.action, captured());
        assert!(store.get(&undo.key).await.unwrap().is_some());
    })
    .await;
}

#[tokio::test]
async fn records_live_in_one_partition_of_a_composite_key_under_chosen_names() {
    with_table_keyed_by(["pk", "sk"], |table| async move {
        let partition = |value: &str| {
            let store = table.store.clone().with_partition("pk", value);
            store.with_key_attribute("sk").with_expiry_attribute("ttl")
        };
        let (store, neighbour) = (partition("idempotency#mails"), partition("idempotency#sms"));

        let action = start(&store, &claim("k")).await;
        let other = start(&neighbour, &claim("k")).await;
        assert!(!other.takeover, "the partitions are one");
        let conflict = store.begin(&claim("k")).await.unwrap();
        assert_eq!(conflict, Begin::InProgress { until: LEASE_END });
        let action = store.renew(&action, LEASE_END).await.unwrap();
        store.complete(&action, &result("captured")).await.unwrap();
        let undo = start_undo(&store, &claim("k")).await;
        assert_eq!(undo.action, captured());
        store.complete_undo(&undo, &result("undone")).await.unwrap();

        let request = table.client.get_item().table_name(&table.name);
        let request = request
            .key("pk", key("idempotency#mails"))
            .key("sk", key("k"));
        let answer = request.send().await.unwrap();
        let item = answer.item().unwrap();
        assert_eq!(item["ttl"], AttributeValue::N("1000".to_owned()));
        assert!(!item.contains_key("expiresAt") && !item.contains_key("id"));
        let again = start(&store, &after_expiry("k")).await;
        assert!(!again.takeover, "the expired record counts");
    })
    .await;
}

#[tokio::test]
async fn a_part_of_a_transaction_finds_its_record_under_chosen_names() {
    with_table_keyed_by(["pk", "sk"], |table| async move {
        let store = table.store.with_partition("pk", "idempotency#mails");
        let store = store.with_key_attribute("sk").with_expiry_attribute("ttl");
        let table = Table { store, ..table };
        let put = |claim: &Claim| {
            table
                .store
                .completed_put(claim, &result("reserved"))
                .unwrap()
        };
        table.transact(vec![put(&claim("k"))]).await.unwrap();

        let again = claim("k");
        let found = table.transact(vec![put(&again)]).await.unwrap_err();
        let answer = table
            .store
            .interpret_begin_failure(found.as_ref(), &again)
            .unwrap();
        assert!(
            matches!(answer, Begin::AlreadyCompleted { .. }),
            "{answer:?}"
        );

        let undo = claim("k");
        let update = table
            .store
            .undone_update(&undo, &result("released"))
            .unwrap();
        table.transact(vec![update]).await.unwrap();
        let tombstone = table
            .store
            .tombstone_put(&undo, &result("nothing"))
            .unwrap();
        let found = table.transact(vec![tombstone]).await.unwrap_err();
        let answer = table
            .store
            .interpret_undo_failure(found.as_ref(), &undo)
            .unwrap();
        assert!(
            matches!(answer, BeginUndo::AlreadyUndone { .. }),
            "{answer:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_claim_is_renewed_by_its_holder_until_it_is_given_back() {
    with_table(|Table { store, wire, .. }| async move {
        let first = start(&store, &claim("k")).await;
        wire.requests();
        wire.lose_next_answer();
        let first = store.renew(&first, Millis::new(115_000)).await.unwrap();
        assert_eq!(wire.requests(), 2, "a lost answer is no loss of the claim");
        let conflict = store.begin(&later("k")).await.unwrap();
        let until = Millis::new(115_000);
        assert_eq!(conflict, Begin::InProgress { until });

        let far = Millis::new(5_000_000);
        let first = store.renew(&first, far).await.unwrap();
        let record = store.get(&first.key).await.unwrap().unwrap();
        assert_eq!(
            record.expires_at,
            Seconds::new(5_000),
            "kept as long as held"
        );

        store.release(&first).await.unwrap();
        let late = store.renew(&first, far).await;
        assert!(matches!(late, Err(StoreError::Superseded(_))), "{late:?}");
    })
    .await;
}

#[tokio::test]
async fn a_record_that_is_not_one_is_reported_and_left_alone() {
    with_table(
        |Table {
             client,
             name,
             store,
             ..
         }| async move {
            let strange = AttributeValue::S("k".to_owned());
            let put = client
                .put_item()
                .table_name(name)
                .item("id", strange)
                .item("expiresAt", AttributeValue::N("5000".to_owned()));
            put.send().await.unwrap();
            let answer = store.begin(&claim("k")).await;
            assert!(matches!(answer, Err(StoreError::Invalid(_))), "{answer:?}");
            let answer = store.begin_undo(&claim("k")).await;
            assert!(matches!(answer, Err(StoreError::Invalid(_))), "{answer:?}");
        },
    )
    .await;
}

#[tokio::test]
async fn a_refused_connection_is_unavailable() {
    let nobody_listens = client("http://127.0.0.1:1", Wire::default());
    let store = DynamoDbStore::new(nobody_listens, "table");
    let answer = store.begin(&claim("k")).await;
    assert!(
        matches!(answer, Err(StoreError::Unavailable(_))),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_missing_table_is_unavailable_until_it_is_there() {
    with_table(|Table { client, .. }| async move {
        let answer = DynamoDbStore::new(client, "no-such-table")
            .begin(&claim("k"))
            .await;
        assert!(
            matches!(answer, Err(StoreError::Unavailable(_))),
            "{answer:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_completion_and_the_business_data_are_written_together_or_not_at_all() {
    with_table(|table| async move {
        let slow = start(&table.store, &claim("k")).await;
        let fast = start(&table.store, &later("k")).await;
        let completion = |started| {
            table
                .store
                .completion(started, &result("captured"))
                .unwrap()
        };
        table.wire.requests();

        let late = table.write(completion(&slow), "late business").await;
        assert!(late.is_err(), "an overtaken attempt committed");
        assert!(!table.has("late business").await);

        table.write(completion(&fast), "business").await.unwrap();
        assert!(table.has("business").await);
        assert_eq!(
            table.wire.requests(),
            4,
            "two transactions and two looks at the table"
        );

        let undo = start_undo(&table.store, &claim("k")).await;
        assert_eq!(undo.action, captured());
        let undo_completion = table
            .store
            .undo_completion(&undo, &result("refunded"))
            .unwrap();
        table.write(undo_completion, "refund").await.unwrap();
        let duplicate = table.store.begin_undo(&claim("k")).await.unwrap();
        assert_eq!(
            duplicate,
            BeginUndo::AlreadyUndone {
                result: result("refunded")
            }
        );
    })
    .await;
}

#[tokio::test]
async fn an_operation_within_one_transaction_needs_no_claim() {
    with_table(|table| async move {
        let put = |claim: &Claim| {
            table
                .store
                .completed_put(claim, &result("reserved"))
                .unwrap()
        };
        table.wire.requests();
        table.write(put(&claim("k")), "reservation").await.unwrap();
        assert_eq!(table.wire.requests(), 1, "first run");

        let again = claim("k");
        let found = table
            .write(put(&again), "second reservation")
            .await
            .unwrap_err();
        let answer = table
            .store
            .interpret_begin_failure(found.as_ref(), &again)
            .unwrap();
        assert_eq!(
            answer,
            Begin::AlreadyCompleted {
                expires_at: Seconds::new(1_000),
                result: result("reserved")
            }
        );
        assert_eq!(table.wire.requests(), 1, "duplicate");
        assert!(!table.has("second reservation").await);
    })
    .await;
}

#[tokio::test]
async fn an_undo_within_one_transaction_needs_no_claim() {
    with_table(|table| async move {
        let put = table
            .store
            .completed_put(&claim("k"), &result("reserved"))
            .unwrap();
        table.write(put, "reservation").await.unwrap();

        let undo = claim("k");
        let tombstone = table
            .store
            .tombstone_put(&undo, &result("released"))
            .unwrap();
        let found = table.write(tombstone, "nothing").await.unwrap_err();
        let answer = table
            .store
            .interpret_undo_failure(found.as_ref(), &undo)
            .unwrap();
        let reserved = ActionOutcome::Completed {
            result: result("reserved"),
        };
        assert!(matches!(answer, BeginUndo::Start(undo) if undo.action == reserved));

        let update = || {
            table
                .store
                .undone_update(&undo, &result("released"))
                .unwrap()
        };
        table.write(update(), "release").await.unwrap();
        let record = table.store.get(&undo.key).await.unwrap().unwrap();
        assert!(matches!(record.state, State::Undone { action, .. } if action == reserved));

        let found = table.write(update(), "second release").await.unwrap_err();
        let answer = table
            .store
            .interpret_undo_failure(found.as_ref(), &undo)
            .unwrap();
        assert_eq!(
            answer,
            BeginUndo::AlreadyUndone {
                result: result("released")
            }
        );
    })
    .await;
}

#[tokio::test]
async fn an_undo_within_one_transaction_takes_an_expired_record_for_none() {
    with_table(|table| async move {
        let put = table
            .store
            .completed_put(&claim("k"), &result("reserved"))
            .unwrap();
        table.write(put, "reservation").await.unwrap();

        let undo = after_expiry("k");
        let update = table
            .store
            .undone_update(&undo, &result("released"))
            .unwrap();
        let found = table.write(update, "release").await.unwrap_err();
        let answer = table
            .store
            .interpret_undo_failure(found.as_ref(), &undo)
            .unwrap();
        assert!(matches!(answer, BeginUndo::Start(undo) if undo.action == ActionOutcome::NeverRan));
        let tombstone = table
            .store
            .tombstone_put(&undo, &result("nothing"))
            .unwrap();
        table.write(tombstone, "tombstone").await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_tombstone_within_one_transaction_refuses_the_late_action() {
    with_table(|table| async move {
        let undo = claim("k");
        let update = table
            .store
            .undone_update(&undo, &result("released"))
            .unwrap();
        let found = table.write(update, "release").await.unwrap_err();
        let answer = table
            .store
            .interpret_undo_failure(found.as_ref(), &undo)
            .unwrap();
        assert!(matches!(answer, BeginUndo::Start(undo) if undo.action == ActionOutcome::NeverRan));

        let tombstone = table
            .store
            .tombstone_put(&undo, &result("nothing"))
            .unwrap();
        table.write(tombstone, "tombstone").await.unwrap();

        let late = claim("k");
        let put = table
            .store
            .completed_put(&late, &result("reserved"))
            .unwrap();
        let found = table.write(put, "late reservation").await.unwrap_err();
        let answer = table
            .store
            .interpret_begin_failure(found.as_ref(), &late)
            .unwrap();
        assert_eq!(answer, Begin::Undone);
    })
    .await;
}

/// The conditions that DynamoDB evaluates and the pure functions are two forms of
/// one rule: random steps must bring both to the same answers and records.
#[tokio::test]
async fn random_steps_end_as_in_memory() {
    const STORIES: usize = 80;
    const STEPS: usize = 40;
    const KEEP_SECONDS: u64 = 20;
    with_table(|table| async move {
        let memory = MemoryStore::default();
        let stories = proptest::collection::vec(step(), STEPS);
        let mut runner = TestRunner::deterministic();
        for story in 0..STORIES {
            let key = Key::new(format!("story {story}")).unwrap();
            let mut players = Players::new(key.clone(), KEEP_SECONDS);
            let steps = stories.new_tree(&mut runner).unwrap().current();
            for (number, step) in steps.iter().enumerate() {
                let Some(call) = players.call(step) else {
                    continue;
                };
                let expected = send_in_memory(&memory, &call).await;
                let answer = table.play(&call).await;
                assert_eq!(answer, expected, "step {number} of {steps:#?}");
                let record = table.store.get(&key).await.unwrap();
                assert_eq!(
                    record,
                    memory.get(&key).await.unwrap(),
                    "step {number} of {steps:#?}"
                );
                players.learn(&answer);
            }
        }
    })
    .await;
}

type Item = HashMap<String, AttributeValue>;

impl Table {
    /// One transaction with a business item, which is there if and only if it succeeded.
    /// Fails with the record that stood in the way.
    async fn write(&self, record: TransactWriteItem, business: &str) -> Result<(), Option<Item>> {
        let put = Put::builder()
            .table_name(&self.name)
            .item("id", key(business))
            .build()
            .unwrap();
        let business = TransactWriteItem::builder().put(put).build();
        self.transact(vec![record, business]).await
    }

    async fn transact(&self, items: Vec<TransactWriteItem>) -> Result<(), Option<Item>> {
        let request = self
            .client
            .transact_write_items()
            .set_transact_items(Some(items));
        match request
            .send()
            .await
            .map_err(|error| error.into_service_error())
        {
            Ok(_) => Ok(()),
            Err(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                let reason = &cancelled.cancellation_reasons()[0];
                assert_eq!(reason.code(), Some("ConditionalCheckFailed"));
                Err(reason.item().cloned())
            }
            Err(error) => panic!("the transaction failed: {error:?}"),
        }
    }

    async fn has(&self, id: &str) -> bool {
        let request = self
            .client
            .get_item()
            .table_name(&self.name)
            .key("id", key(id));
        request.send().await.unwrap().item().is_some()
    }

    async fn play(&self, call: &Call) -> Answer {
        let (part, claim) = match call {
            Call::CompletedPut(claim, result) => (self.store.completed_put(claim, result), claim),
            Call::UndoneUpdate(claim, result) => (self.store.undone_update(claim, result), claim),
            Call::TombstonePut(claim, result) => (self.store.tombstone_put(claim, result), claim),
            call => return send(&self.store, call).await,
        };
        let Err(found) = self.transact(vec![part.unwrap()]).await else {
            return Answer::Settled;
        };
        if matches!(call, Call::CompletedPut(..)) {
            let answer = self.store.interpret_begin_failure(found.as_ref(), claim);
            return Answer::RefusedPut(answer.unwrap());
        }
        let answer = self.store.interpret_undo_failure(found.as_ref(), claim);
        Answer::RefusedUndo(answer.unwrap())
    }
}

fn key(id: &str) -> AttributeValue {
    AttributeValue::S(id.to_owned())
}
