//! The failure store's adapters against the emulator.

#![allow(
    clippy::unwrap_used,
    reason = "a panic in a test is its failure report"
)]

mod emulator;

use std::collections::{BTreeMap, BTreeSet};

use aws_adapters::{
    DynamoFailures, DynamoGroups, DynamoPlans, SqsDeadLetterQueues, SqsReplayQueues,
};
use aws_lambda_events::event::sqs::SqsMessage;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::{Message, MessageAttributeValue};
use contracts::Timestamp;
use failures::{
    Actor, Change, DeadLetter, DeadLetterQueues, Entry, FAILURE_ID, Failure, FailureId,
    FailureStore, Group, GroupId, GroupNote, GroupStore, Letter, Plan, PlanStore, Query, REPLAY_ID,
    ReplayId, ReplayQueues, Status, Value,
};
use message_worker::sqs::{QueueUrls, SqsQueue};
use message_worker::{Delivery, Description, FailureRecord, Queue};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::json;
use testkit::fixtures::{self, failure};
use testkit::{VirtualClock, World};

use emulator::{Emulator, with_emulator};

const NOW: u64 = VirtualClock::START.get();

fn at(epoch_millis: u64) -> Timestamp {
    Timestamp::from_epoch_millis(epoch_millis)
}

fn actor() -> Actor {
    Actor {
        name: "ada".to_owned(),
        at: at(NOW),
    }
}

fn note(failure: &Failure, text: &str) -> Failure {
    let text = text.to_owned();
    failure.after(&Change::Note { text }, &actor()).unwrap()
}

async fn store(emulator: &Emulator) -> (DynamoFailures, String) {
    let indexes = [
        ("by-status", ["status", "failedAt"]),
        ("by-group", ["group", "failedAt"]),
        ("by-order", ["orderId", "failedAt"]),
    ];
    let table = emulator.table("failures", &["id"], &indexes).await;
    let store = DynamoFailures::new(emulator.dynamodb.clone(), table.clone());
    (store, table)
}

async fn plans(emulator: &Emulator) -> DynamoPlans {
    let indexes = [("by-cut-off", ["kind", "cutOff"])];
    let table = emulator.table("replays", &["id", "#part"], &indexes).await;
    DynamoPlans::new(emulator.dynamodb.clone(), table)
}

/// All pages, and how many there were.
async fn all(store: &impl FailureStore, query: &Query) -> (Vec<Failure>, usize) {
    let (mut found, mut pages, mut from) = (Vec::new(), 0, None);
    loop {
        let page = store.find(query, from.as_deref()).await.unwrap();
        pages += 1;
        found.extend(page.items);
        match page.next {
            None => return (found, pages),
            next => from = next,
        }
    }
}

/// What a store must answer, in memory and on DynamoDB.
async fn check_store(store: &impl FailureStore) {
    let first = failure("f-1");
    assert_eq!(store.get(&first.id).await.unwrap(), None);
    assert!(store.create(&first).await.unwrap());
    assert_eq!(store.get(&first.id).await.unwrap(), Some(first.clone()));
    assert!(!store.create(&note(&first, "x")).await.unwrap());

    // Two read the same version, and one of them writes it.
    let (one, other) = (note(&first, "one"), note(&first, "other"));
    assert!(store.replace(&one).await.unwrap());
    assert!(!store.replace(&other).await.unwrap());
    assert_eq!(store.get(&first.id).await.unwrap(), Some(one.clone()));
    assert!(!store.replace(&note(&failure("f-9"), "x")).await.unwrap());
    assert_eq!(store.get(&FailureId::new("f-9")).await.unwrap(), None);

    // Both or none.
    let edited = note(&one, "edited");
    let taken = failure("f-0");
    assert!(store.create(&taken).await.unwrap());
    assert!(!store.replace_and_create(&edited, &taken).await.unwrap());
    assert!(
        !store
            .replace_and_create(&other, &failure("f-2"))
            .await
            .unwrap()
    );
    assert_eq!(store.get(&FailureId::new("f-2")).await.unwrap(), None);
    assert_eq!(store.get(&first.id).await.unwrap(), Some(one));
    assert!(
        store
            .replace_and_create(&edited, &failure("f-2"))
            .await
            .unwrap()
    );
    assert_eq!(store.get(&first.id).await.unwrap(), Some(edited));
    assert!(store.get(&FailureId::new("f-2")).await.unwrap().is_some());

    // What has expired is absent, whether it is deleted yet or not.
    let mut over = failure("f-3");
    over.expires_at = Some(1_000);
    assert!(store.create(&over).await.unwrap());
    assert_eq!(store.get(&over.id).await.unwrap(), None);
    let (found, _) = all(store, &Query::default()).await;
    assert_eq!(found.len(), 3);
    assert!(store.create(&failure("f-3")).await.unwrap());
}

#[tokio::test]
async fn the_store_answers_as_the_one_in_memory() {
    check_store(&World::new()).await;
    with_emulator(|emulator| async move {
        let (store, _) = store(&emulator).await;
        check_store(&store).await;
    })
    .await;
}

#[tokio::test]
async fn each_operation_on_one_failure_costs_one_request() {
    with_emulator(|emulator| async move {
        let (store, _) = store(&emulator).await;
        let first = failure("f-1");
        store.create(&first).await.unwrap();
        assert_eq!(emulator.wire.requests(), 1);
        store.get(&first.id).await.unwrap();
        assert_eq!(emulator.wire.requests(), 1);
        store.replace(&note(&first, "x")).await.unwrap();
        assert_eq!(emulator.wire.requests(), 1);
    })
    .await;
}

/// The SDK repeats the request, whose condition then fails on what the first one wrote.
#[tokio::test]
async fn a_write_whose_answer_was_lost_is_there_when_it_is_looked_for() {
    with_emulator(|emulator| async move {
        let (store, _) = store(&emulator).await;
        let first = failure("f-1");
        emulator.wire.lose_next_answer();
        assert!(!store.create(&first).await.unwrap());
        assert_eq!(store.get(&first.id).await.unwrap(), Some(first.clone()));
        let next = note(&first, "x");
        emulator.wire.lose_next_answer();
        assert!(!store.replace(&next).await.unwrap());
        assert_eq!(store.get(&first.id).await.unwrap(), Some(next.clone()));
        // A transaction has a token, so that the second one is known to be the first.
        let last = note(&next, "y");
        emulator.wire.lose_next_answer();
        let copied = store.replace_and_create(&last, &failure("f-2")).await;
        let stored = store.get(&first.id).await.unwrap();
        assert_eq!(stored, Some(last), "{copied:?}");
    })
    .await;
}

#[tokio::test]
async fn the_largest_message_fits_with_the_longest_record() {
    with_emulator(|emulator| async move {
        let (store, _) = store(&emulator).await;
        let mut largest = failure("f-1");
        let attributes = std::mem::take(&mut largest.letter.attributes);
        // The failure record travels with the message, so that both are within the limit.
        let cause = 16 * 1024;
        let body = "b".repeat(aws_adapters::DEAD_LETTER_BYTES - cause);
        largest.letter = Letter::new(body, attributes);
        largest.trouble.cause = vec!["c".repeat(cause)];
        let long = "é".repeat(10_000);
        for n in 0..200 {
            largest = note(&largest, &long);
            let trouble = Box::new(fixtures::trouble(&format!("{n:036}")));
            let replay = failures::ReplayId::new("r".repeat(100));
            let change = Change::FailAgain { replay, trouble };
            largest = largest.after(&change, &actor()).unwrap();
            largest.trouble.cause = vec!["c".repeat(cause)];
        }
        assert!(store.create(&largest).await.unwrap());
        assert_eq!(store.get(&largest.id).await.unwrap(), Some(largest));
    })
    .await;
}

#[tokio::test]
async fn a_binary_attribute_is_stored_as_bytes_and_comes_back_as_it_was() {
    with_emulator(|emulator| async move {
        let (store, table) = store(&emulator).await;
        let mut first = failure("f-1");
        let value = Value::Binary {
            data_type: "Binary.png".to_owned(),
            value: (0..=255).collect(),
        };
        first.letter.attributes.insert("picture".to_owned(), value);
        store.create(&first).await.unwrap();
        assert_eq!(store.get(&first.id).await.unwrap(), Some(first));
        let items = emulator.dynamodb.scan().table_name(table).send().await;
        let items = items.unwrap().items.unwrap();
        let attributes = items[0]["letter"].as_m().unwrap()["attributes"].as_m();
        let binary = attributes.unwrap()["picture"].as_m().unwrap()["binary"].as_m();
        assert_eq!(binary.unwrap()["value"].as_b().unwrap().as_ref().len(), 256);
        assert_eq!(items[0]["failedAt"], AttributeValue::S(at(NOW).to_string()));
    })
    .await;
}

#[tokio::test]
async fn a_body_that_claims_an_impossible_order_is_stored_all_the_same() {
    with_emulator(|emulator| async move {
        let (store, _) = store(&emulator).await;
        for (id, order) in [("f-1", String::new()), ("f-2", "x".repeat(5_000))] {
            let mut odd = failure(id);
            odd.order_id = Some(order);
            assert!(store.create(&odd).await.unwrap());
            let stored = store.get(&odd.id).await.unwrap().unwrap();
            assert_eq!((stored.order_id, stored.letter), (None, odd.letter));
        }
    })
    .await;
}

/// Failures of every kind, so many that each status has more than one page.
async fn fill(store: &impl FailureStore, world: &World) {
    for n in 0..450_u64 {
        let mut one = failure(&format!("f-{n:03}"));
        let kind = usize::try_from(n).unwrap();
        one.status = Status::ALL[if n < 260 { 0 } else { kind % 5 }];
        one.group = GroupId::new(format!("group-{}", n % 3));
        one.order_id = (n % 7 != 0).then(|| format!("order-{}", n % 11));
        // Some at the same moment, and not in the order of their ids.
        one.trouble.failed_at = at(NOW + (n * 37 % 450) / 2 * 1000);
        assert!(store.create(&one).await.unwrap());
        assert!(world.create(&one).await.unwrap());
    }
}

fn queries() -> impl Strategy<Value = Query> {
    let option = |choices: &'static [&'static str]| {
        proptest::option::of(proptest::sample::select(choices).prop_map(str::to_owned))
    };
    let time = || proptest::option::of((0..240_u64).prop_map(|n| at(NOW + n * 1000)));
    let statuses = proptest::collection::vec(proptest::sample::select(&Status::ALL[..]), 0..4);
    let ids = proptest::collection::vec((0..500_u64).prop_map(|n| format!("f-{n:03}")), 1..60);
    (
        statuses,
        option(&["group-0", "group-1", "none"]),
        option(&["order-1", "order-2", "none"]),
        time(),
        time(),
        proptest::option::weighted(0.2, ids),
    )
        .prop_map(|(statuses, group, order_id, since, until, ids)| Query {
            statuses,
            group: group.map(GroupId::new),
            order_id,
            since,
            until,
            ids: ids
                .unwrap_or_default()
                .into_iter()
                .map(FailureId::new)
                .collect(),
            ..Query::default()
        })
}

#[tokio::test]
async fn every_query_finds_what_the_one_in_memory_finds_each_once_and_the_latest_first() {
    with_emulator(|emulator| async move {
        let ((store, _), world) = (store(&emulator).await, World::new());
        fill(&store, &world).await;
        let ids = |found: &[Failure]| {
            let ids = found.iter().map(|failure| failure.id.clone());
            ids.collect::<BTreeSet<_>>()
        };
        let mut runner = TestRunner::deterministic();
        let mut wanted = vec![Query::default()];
        for _ in 0..60 {
            wanted.push(queries().new_tree(&mut runner).unwrap().current());
        }
        for query in wanted {
            let (found, _) = all(&store, &query).await;
            let (expected, _) = all(&world, &query).await;
            assert_eq!(ids(&found), ids(&expected), "{query:?}");
            assert_eq!(found.len(), expected.len(), "{query:?}");
            if query.ids.is_empty() {
                let times: Vec<_> = found.iter().map(|f| f.trouble.failed_at).collect();
                assert!(times.is_sorted_by(|one, next| one >= next), "{query:?}");
            }
        }
        let (everything, pages) = all(&store, &Query::default()).await;
        assert_eq!((everything.len(), pages > 2), (450, true));
    })
    .await;
}

#[tokio::test]
async fn a_cursor_of_another_query_is_refused() {
    with_emulator(|emulator| async move {
        let (store, _) = store(&emulator).await;
        let one = Query {
            statuses: vec![Status::Waiting],
            ..Query::default()
        };
        for cursor in ["", "x", "[\"End\",\"End\"]"] {
            let refused = store.find(&one, Some(cursor)).await;
            assert!(refused.is_err(), "{cursor}");
        }
    })
    .await;
}

async fn check_groups(store: &impl GroupStore) {
    let group = |version: u64, name: &str| -> Group {
        serde_json::from_value(json!({
            "id": name, "version": version, "consumer": "payment", "errorName": "Throttled",
            "cause": "…", "lastFailureAt": at(NOW),
        }))
        .unwrap()
    };
    assert_eq!(store.get_group(&GroupId::new("a")).await.unwrap(), None);
    assert!(store.put_group(&group(1, "a")).await.unwrap());
    assert!(!store.put_group(&group(1, "a")).await.unwrap());
    let note = GroupNote {
        at: at(NOW),
        by: "ada".to_owned(),
        text: "asked".to_owned(),
    };
    let next = group(1, "a").noted(note);
    assert!(store.put_group(&next).await.unwrap());
    assert!(!store.put_group(&group(2, "a")).await.unwrap());
    assert!(!store.put_group(&group(2, "b")).await.unwrap());
    assert!(store.put_group(&group(1, "c")).await.unwrap());
    let stored = store.get_group(&next.id).await.unwrap();
    assert_eq!(stored, Some(next.clone()));
    let mut groups = store.groups().await.unwrap();
    groups.sort_by(|one, other| one.id.cmp(&other.id));
    assert_eq!(groups, [next, group(1, "c")]);
}

#[tokio::test]
async fn groups_are_kept_as_in_memory() {
    check_groups(&World::new()).await;
    with_emulator(|emulator| async move {
        let table = emulator.table("groups", &["id"], &[]).await;
        check_groups(&DynamoGroups::new(emulator.dynamodb.clone(), table)).await;
    })
    .await;
}

fn plan(id: &str, cut_off: Timestamp, entries: usize) -> Plan {
    let mut plan: Plan = serde_json::from_value(json!({
        "id": id, "version": 1, "by": "ada", "cutOff": cut_off, "canaries": 1, "rate": 10,
        "query": { "consumer": "payment" }, "progress": { "planned": entries },
    }))
    .unwrap();
    let entry = |n: usize| -> Entry {
        serde_json::from_value(json!({
            "failure": format!("{n:036}"), "group": "g".repeat(90),
            "bodySha256": "ab".repeat(32), "failed": 1,
        }))
        .unwrap()
    };
    plan.entries = (0..entries).map(entry).collect();
    plan
}

/// A moment of today: plans are forgotten by the clock of the operating system.
fn today(millis: u64) -> Timestamp {
    let now = idempotency::Clock::now(&idempotency::SystemClock);
    at(now.get() + millis)
}

async fn check_plans(store: &impl PlanStore) {
    let (now, then) = (today(1), today(2));
    let long = plan("long", now, 2_500);
    assert_eq!(store.get_plan(&long.id).await.unwrap(), None);
    store.create_plan(&long).await.unwrap();
    assert_eq!(store.get_plan(&long.id).await.unwrap(), Some(long.clone()));
    // Repeated because its answer was lost, it is the same plan.
    store.create_plan(&long).await.unwrap();
    let other = Plan {
        by: "bob".to_owned(),
        ..long.clone()
    };
    assert!(store.create_plan(&other).await.is_err());

    let mut next = long.clone();
    next.version = 2;
    next.progress.finished_at = Some(now);
    let without_entries = Plan {
        entries: Vec::new(),
        ..next.clone()
    };
    assert!(store.put_progress(&without_entries).await.unwrap());
    assert!(!store.put_progress(&next).await.unwrap());
    assert_eq!(store.get_plan(&long.id).await.unwrap(), Some(next));
    let unknown = Plan {
        version: 2,
        ..plan("unknown", now, 0)
    };
    assert!(!store.put_progress(&unknown).await.unwrap());

    let later = plan("later", then, 1);
    store.create_plan(&later).await.unwrap();
    let plans = store.plans().await.unwrap();
    let ids: Vec<_> = plans.iter().map(|plan| plan.id.as_str()).collect();
    assert_eq!(ids, ["later", "long"]);
    assert!(plans.iter().all(|plan| plan.entries.is_empty()));
}

#[tokio::test]
async fn plans_are_kept_whole_as_in_memory() {
    check_plans(&World::new()).await;
    with_emulator(|emulator| async move {
        check_plans(&plans(&emulator).await).await;
    })
    .await;
}

#[tokio::test]
async fn a_plan_is_forgotten_after_its_retention() {
    with_emulator(|emulator| async move {
        let store = plans(&emulator).await;
        let old = plan("old", at(1_000_000), 1);
        store.create_plan(&old).await.unwrap();
        assert_eq!(store.get_plan(&old.id).await.unwrap(), None);
        assert_eq!(store.plans().await.unwrap(), []);
    })
    .await;
}

/// A consumer's queue with its dead letters, as in the template.
struct Queues {
    emulator: Emulator,
    own: String,
    dead: String,
    letters: SqsDeadLetterQueues,
    replays: SqsReplayQueues,
}

impl Queues {
    async fn new(emulator: Emulator) -> Self {
        let dead = emulator.queue("dlq", None).await;
        let own = emulator.queue("own", Some(&dead)).await;
        let urls = BTreeMap::from([("payment".to_owned(), own.clone())]);
        Self {
            letters: SqsDeadLetterQueues::new(emulator.sqs.clone()),
            replays: SqsReplayQueues::new(emulator.sqs.clone(), urls),
            emulator,
            own,
            dead,
        }
    }

    async fn send(&self, url: &str, body: &str, attributes: &[(&str, MessageAttributeValue)]) {
        let mut message = self.emulator.sqs.send_message().queue_url(url);
        for (name, value) in attributes {
            message = message.message_attributes(*name, value.clone());
        }
        message.message_body(body).send().await.unwrap();
    }

    /// The next message of the consumer's queue, as its worker gets it.
    async fn next(&self) -> (Message, Delivery) {
        let received = self
            .emulator
            .sqs
            .receive_message()
            .queue_url(&self.own)
            .message_attribute_names("All")
            .visibility_timeout(0)
            .send()
            .await
            .unwrap();
        let message = received.messages.unwrap().remove(0);
        let attributes: BTreeMap<_, _> = message.message_attributes.iter().flatten().collect();
        let attributes: BTreeMap<_, _> = attributes
            .into_iter()
            .map(|(name, value)| {
                let text = value.string_value();
                let text = json!({ "stringValue": text, "dataType": value.data_type() });
                (name, text)
            })
            .collect();
        let record: SqsMessage = serde_json::from_value(json!({
            "messageId": message.message_id, "receiptHandle": message.receipt_handle,
            "body": message.body, "messageAttributes": attributes,
        }))
        .unwrap();
        (message, Delivery::parse(0, record).unwrap())
    }

    /// Gives a message up, as the worker does.
    async fn give_up(&self, delivery: &Delivery) -> FailureRecord {
        let urls = QueueUrls {
            own: self.own.clone(),
            dead_letter: self.dead.clone(),
            quarantine: self.dead.clone(),
        };
        let queue = SqsQueue::new(self.emulator.sqs.clone(), urls);
        let queue = queue.with_size_limit(aws_adapters::DEAD_LETTER_BYTES);
        let record = FailureRecord::new(
            "payment",
            delivery,
            &Description::default(),
            &message_worker::Failure::transient("Throttled").caused_by("too fast"),
            std::time::SystemTime::now(),
        );
        queue.dead_letter(delivery, &record).await.unwrap();
        record
    }

    async fn dead_letters(&self) -> Vec<DeadLetter> {
        self.letters.receive(&self.dead).await.unwrap()
    }
}

fn text(value: &str) -> MessageAttributeValue {
    let attribute = MessageAttributeValue::builder().data_type("String");
    attribute.string_value(value).build().unwrap()
}

fn value(text: &str) -> Value {
    Value::Text {
        data_type: "String".to_owned(),
        value: text.to_owned(),
    }
}

#[tokio::test]
async fn a_dead_letter_comes_with_what_its_worker_said_and_without_what_is_not_its_own() {
    with_emulator(|emulator| async move {
        let queues = Queues::new(emulator).await;
        queues
            .send(&queues.own, "body", &[("own", text("x"))])
            .await;
        let (_, delivery) = queues.next().await;
        let record = queues.give_up(&delivery).await;
        let letters = queues.dead_letters().await;
        let [letter] = &letters[..] else {
            panic!("{letters:?}");
        };
        let own = BTreeMap::from([("own".to_owned(), value("x"))]);
        assert_eq!(letter.letter, Letter::new("body", own));
        assert_eq!(letter.letter.body_sha256, record.body_sha256);
        assert_eq!(letter.record.as_ref(), Some(&record));
        assert_eq!((letter.redriven, &letter.replayed), (false, &None));
        assert_eq!(letter.receives, 1);
        assert!(letter.sent_at > 1_577_836_800_000, "{letter:?}");
        assert!(queues.dead.ends_with(&format!("/{}", letter.queue)));

        // Hidden, and then deleted, by the name of the queue.
        assert_eq!(queues.dead_letters().await, []);
        SqsDeadLetterQueues::new(queues.emulator.sqs.clone())
            .delete(letter)
            .await
            .unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_message_that_its_queue_gave_up_says_that_the_queue_did() {
    with_emulator(|emulator| async move {
        let queues = Queues::new(emulator).await;
        let picture = MessageAttributeValue::builder()
            .data_type("Binary.png")
            .binary_value(Blob::new([0, 255]));
        let picture = picture.build().unwrap();
        queues
            .send(&queues.own, "body", &[("picture", picture)])
            .await;
        queues.next().await;
        // The second receive is one too many, and finds nothing.
        let request = queues.emulator.sqs.receive_message();
        let none = request.queue_url(&queues.own).send().await.unwrap();
        assert_eq!(none.messages(), []);
        let name = queues.dead.rsplit('/').next().unwrap();
        let letters = queues.letters.receive(name).await.unwrap();
        assert_eq!(letters.len(), 1);
        assert!(letters[0].redriven);
        assert_eq!(letters[0].record, None);
        let picture = Value::Binary {
            data_type: "Binary.png".to_owned(),
            value: vec![0, 255],
        };
        assert_eq!(letters[0].letter.attributes["picture"], picture);
    })
    .await;
}

#[tokio::test]
async fn what_is_in_a_dead_letter_queue_for_no_known_reason_is_received_as_it_is() {
    with_emulator(|emulator| async move {
        let queues = Queues::new(emulator).await;
        for attributes in [&[][..], &[("failureId", text("f-1"))]] {
            queues.send(&queues.dead, "junk", attributes).await;
        }
        let letters = queues.dead_letters().await;
        assert_eq!(letters.len(), 2);
        for letter in letters {
            assert_eq!(letter.letter, Letter::new("junk", BTreeMap::new()));
            assert_eq!((letter.record, letter.replayed), (None, None));
            assert!(!letter.redriven);
        }
    })
    .await;
}

#[tokio::test]
async fn a_replayed_message_names_its_record_also_when_it_fails_again() {
    with_emulator(|emulator| async move {
        let queues = Queues::new(emulator).await;
        let (failure, replay) = (FailureId::new("f-1"), ReplayId::new("r1"));
        for count in [0, 7, 9] {
            let own = (0..count).map(|n| (format!("own{n}"), value("x")));
            let letter = Letter::new("body", own.collect());
            let sent = queues.replays.send("payment", &letter, &failure, &replay);
            sent.await.unwrap();
            let (message, delivery) = queues.next().await;
            assert_eq!(delivery.body(), "body");
            assert_eq!(delivery.attribute(FAILURE_ID), Some("f-1"));
            assert_eq!(delivery.attribute(REPLAY_ID), Some("r1"));
            assert_eq!(delivery.attributes().len(), count.min(7) + 2);
            let deletion = queues.emulator.sqs.delete_message();
            let deletion = deletion.queue_url(&queues.own);
            let handle = message.receipt_handle.unwrap();
            deletion.receipt_handle(handle).send().await.unwrap();

            let record = queues.give_up(&delivery).await;
            let letters = queues.dead_letters().await;
            assert_eq!(letters.len(), 1, "{count} of its own");
            let names = Some((failure.clone(), replay.clone()));
            assert_eq!(letters[0].replayed, names);
            assert_eq!(letters[0].record.as_ref(), Some(&record));
            assert_eq!(letters[0].letter.attributes.len(), count.min(7));
            queues.letters.delete(&letters[0]).await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn a_queue_that_is_not_there_and_a_consumer_that_is_not_known_are_errors() {
    with_emulator(|emulator| async move {
        let queues = Queues::new(emulator).await;
        let letter = Letter::new("body", BTreeMap::new());
        let (failure, replay) = (FailureId::new("f-1"), ReplayId::new("r1"));
        let sent = queues.replays.send("nobody", &letter, &failure, &replay);
        assert!(sent.await.is_err());
        assert!(queues.letters.receive("no-such-queue").await.is_err());
    })
    .await;
}
