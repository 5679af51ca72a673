//! Dead letters of every kind on their way into the failure store, and what passes by itself.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_adapters::SqsDeadLetterQueues;
use aws_sdk_sqs::types::{MessageAttributeValue, QueueAttributeName};
use contracts::Timestamp;
use failures::{
    Actor, Change, DeadLetter, DeadLetterQueues, Drain, Drained, DrainedQueue, Failure, FailureId,
    FailureStore, Group, GroupId, GroupStore, Page, Query, ReplayId, ReplayQueues, Status,
};
use futures_util::{StreamExt, stream};
use idempotency::{Clock, SystemClock};
use ports::Unavailable;
use serde_json::{Value, json};
use tokio::sync::Notify;
use uuid::Uuid;
use waybill_tests::{Environment, QUICKLY, SLOWLY, Tap, messages, unique, wait_until};

/// A name of nobody else's error: letters only, as numbers do not make a group.
fn own_error() -> String {
    let letters = Uuid::new_v4().simple().to_string();
    let letters = letters.bytes().map(|byte| char::from(b'a' + byte % 16));
    format!("Trouble{}", letters.collect::<String>())
}

/// What a worker writes beside a message that it gave up on. Without an id: so the record
/// is named after the message in the queue, which these tests look for as well.
fn record(error: &str, class: &str, consumer: &str) -> String {
    json!({
        "errorClass": class, "errorName": error, "consumer": consumer, "attempts": 5,
        "cause": ["the test says so"], "bodySha256": "", "messageId": "",
        "failedAt": now().to_string(), "correlationId": "test",
    })
    .to_string()
}

fn now() -> Timestamp {
    Timestamp::from_epoch_millis(SystemClock.now().get())
}

fn charge(order: &str) -> String {
    let data = messages::charge(100, "pm_card_visa");
    messages::command(order, "payment.charge", data).to_string()
}

/// Sends a message with text attributes; gives the id it has in the queue.
async fn send(
    environment: &Environment,
    queue_url: &str,
    body: &str,
    attributes: &[(&str, &str)],
) -> FailureId {
    let mut message = environment
        .sqs
        .send_message()
        .queue_url(queue_url)
        .message_body(body);
    for (name, value) in attributes {
        let value = MessageAttributeValue::builder()
            .data_type("String")
            .string_value(*value)
            .build()
            .unwrap();
        message = message.message_attributes(*name, value);
    }
    let sent = message.send().await.unwrap();
    FailureId::new(sent.message_id.unwrap())
}

async fn in_store(environment: &Environment, id: &FailureId, limit: Duration) -> Failure {
    wait_until(&format!("{id} is in the store"), limit, async || {
        let found = environment.failure(id).await;
        found.ok_or_else(|| "it is not there".to_owned())
    })
    .await
}

/// The message is in the store, and no longer in its queue.
async fn moved(environment: &Environment, queue_url: &str, id: &FailureId) -> Failure {
    let failure = in_store(environment, id, QUICKLY).await;
    wait_until(&format!("{id} left {queue_url}"), QUICKLY, async || {
        let left = environment.queued(queue_url).await;
        match left.iter().any(|message| message.id == id.as_str()) {
            false => Ok(()),
            true => Err("it is there still".to_owned()),
        }
    })
    .await;
    failure
}

#[track_caller]
fn check(failure: &Failure, class: &str, name: &str, consumer: &str) {
    let trouble = &failure.trouble;
    assert_eq!(
        (
            trouble.class.as_str(),
            trouble.name.as_str(),
            failure.consumer.as_str()
        ),
        (class, name, consumer),
        "{failure:?}"
    );
    assert_eq!((failure.status, failure.failed), (Status::Waiting, 1));
}

#[tokio::test]
async fn dead_letters_of_every_kind_come_into_the_store_and_out_of_their_queues() {
    let environment = Environment::connect().await;
    let order = Uuid::new_v4().to_string();
    let body = charge(&order);
    let error = own_error();
    let record = record(&error, "transient", "payment");
    let payment = environment.dlq("Payment");
    let explained = send(&environment, payment, &body, &[("failure", &record)]).await;
    let bare = send(&environment, payment, &body, &[]).await;
    let delivery = environment.output("StockDeliveryDlqUrl");
    let code = [("ErrorCode", "AccessDenied"), ("ErrorMessage", "no")];
    let undelivered = send(&environment, delivery, &body, &code).await;
    let junk = format!("junk about {order} \u{feff}{{");
    let quarantine = environment.quarantine();
    let stranger = send(&environment, quarantine, &junk, &[("failure", "junk")]).await;

    let failure = moved(&environment, payment, &explained).await;
    check(&failure, "transient", &error, "payment");
    assert_eq!(failure.letter.body, body, "the body is unchanged");
    assert_eq!(failure.order_id.as_deref(), Some(order.as_str()));
    let failure = moved(&environment, payment, &bare).await;
    check(&failure, "unknown", "Unexplained", "payment");
    let failure = moved(&environment, delivery, &undelivered).await;
    check(&failure, "unknown", "DeliveryFailed", "stock");
    assert_eq!(failure.trouble.cause, ["AccessDenied", "no"]);
    let failure = moved(&environment, quarantine, &stranger).await;
    check(&failure, "unknown", "Unexplained", "unknown");
    assert_eq!(failure.letter.body, junk);
    environment.forget_failures(&order).await;
}

#[tokio::test]
async fn people_hear_once_of_a_group_whatever_drained_its_messages() {
    let environment = Environment::connect().await;
    let mut people = Tap::on_notifications(&environment).await;
    let (order, error) = (Uuid::new_v4().to_string(), own_error());
    let record = record(&error, "business", "shipping");
    let dlq = environment.dlq("Shipping");
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(send(&environment, dlq, &charge(&order), &[("failure", &record)]).await);
    }
    let mut group = None;
    for id in &ids {
        let failure = moved(&environment, dlq, id).await;
        assert_eq!(*group.get_or_insert(failure.group.clone()), failure.group);
    }
    let group = group.unwrap();
    environment.told_of(&group).await;
    // Further drains find nothing to tell.
    environment
        .drain(&json!({ "drain": ["shipping-dlq"] }))
        .await;
    let about = |tap: &Tap<'_>| {
        let all = tap.notices().into_iter();
        all.filter(|notice| notice.text.contains(group.as_str()))
            .collect::<Vec<_>>()
    };
    people
        .until("people hear of the group", QUICKLY, |tap| {
            !about(tap).is_empty()
        })
        .await;
    let notices = about(&people);
    assert_eq!(notices.len(), 1, "{notices:?}");
    let command = format!("failures replay --group {group}");
    for part in [error.as_str(), "message(s) of shipping failed", &command] {
        let notice = format!("{}\n{}", notices[0].subject, notices[0].text);
        assert!(notice.contains(part), "{part} is not in {notice}");
    }
    people.close().await;
    environment.forget_failures(&order).await;
}

#[tokio::test]
async fn the_schedule_drains_a_queue_whose_alarm_says_nothing() {
    let environment = Environment::connect().await;
    // No other test needs this alarm.
    let alarm = format!("{}-notify-delivery-dlq", environment.stack());
    set_alarm_actions(&environment, "DisableAlarmActions", &alarm).await;
    let order = Uuid::new_v4().to_string();
    let queue = environment.output("NotifyDeliveryDlqUrl");
    let id = send(&environment, queue, &charge(&order), &[]).await;
    let failure = in_store(&environment, &id, SLOWLY).await;
    check(&failure, "unknown", "DeliveryFailed", "notify");
    set_alarm_actions(&environment, "EnableAlarmActions", &alarm).await;
    environment.forget_failures(&order).await;
}

async fn set_alarm_actions(environment: &Environment, action: &str, alarm: &str) {
    let parameters = [
        ("Action", action),
        ("Version", "2010-08-01"),
        ("AlarmNames.member.1", alarm),
    ];
    let answer = environment.query_call("monitoring", &parameters).await;
    assert_eq!(answer.status, 200, "{action}: {}", answer.text());
}

#[tokio::test]
async fn a_replay_that_fails_again_is_counted_in_its_record_which_waits_once_more() {
    let environment = Environment::connect().await;
    let order = Uuid::new_v4().to_string();
    let data = messages::charge(100, "sandbox_unavailable");
    let body = messages::command(&order, "payment.charge", data).to_string();
    environment.put(environment.queue("Payment"), &body).await;
    let first = environment.stored(&order).await;
    check(&first, "transient", "ProviderFailed", "payment");
    replay(&environment, &first).await;

    let what = format!("{} has failed again", first.id);
    let again = wait_until(&what, QUICKLY, async || {
        match environment.failure(&first.id).await {
            Some(failure) if failure.failed == 2 => Ok(failure),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert_eq!(
        (again.status, &again.group),
        (Status::Waiting, &first.group)
    );
    assert_eq!(again.trouble.attempts, 5);
    assert_eq!(again.dead_letters.len(), 2, "{:?}", again.dead_letters);
    assert_eq!(environment.failures_about(&order).await.len(), 1);
    let actions: Vec<_> = again.history.iter().map(|it| it.action.as_str()).collect();
    assert_eq!(actions, ["stored", "claimed", "sent", "failed-again"]);
    environment.forget_failures(&order).await;
}

/// Sends a failure to its consumer once more, as an operator's replay does.
async fn replay(environment: &Environment, failure: &Failure) {
    let store = environment.failure_store();
    let replay = ReplayId::new(unique("replay"));
    let claim = Change::Claim {
        replay: replay.clone(),
        destination: failure.consumer.clone(),
        automatic: false,
        again: false,
    };
    let claimed = failure.after(&claim, &somebody()).unwrap();
    assert!(store.replace(&claimed).await.unwrap());
    let urls = [(
        "payment".to_owned(),
        environment.queue("Payment").to_owned(),
    )];
    let queues = aws_adapters::SqsReplayQueues::new(environment.sqs.clone(), urls.into());
    queues
        .send("payment", &claimed.letter, &failure.id, &replay)
        .await
        .unwrap();
    let sent = claimed
        .after(&Change::Sent { replay }, &somebody())
        .unwrap();
    assert!(store.replace(&sent).await.unwrap());
}

fn somebody() -> Actor {
    Actor {
        name: "a test".to_owned(),
        at: now(),
    }
}

#[tokio::test]
async fn what_is_transient_is_replayed_by_itself_one_first_and_then_the_rest() {
    const COUNT: usize = 6;
    let environment = Environment::connect().await;
    let error = own_error();
    let record = record(&error, "transient", "audit");
    let dlq = environment.dlq("Audit");
    let mut ids = Vec::new();
    let mut orders = Vec::new();
    for _ in 0..COUNT {
        let order = Uuid::new_v4().to_string();
        let event = messages::event(&order, "order.completed", 1, messages::nothing_more());
        let event = event.to_string();
        ids.push(send(&environment, dlq, &event, &[("failure", &record)]).await);
        orders.push(order);
    }
    for id in &ids {
        let failure = moved(&environment, dlq, id).await;
        assert_eq!(failure.status, Status::Waiting, "its backoff is not over");
        age(&environment, failure).await;
    }
    let what = format!("the {COUNT} failures with {error} replay themselves");
    let resolved = wait_until(&what, SLOWLY, async || {
        environment.replay_automatically().await;
        let all = failures_of(&environment, &ids).await;
        match all.iter().all(|it| it.status == Status::Resolved) {
            true => Ok(all),
            false => Err(format!("{all:?}")),
        }
    })
    .await;
    check_canary(&resolved);
    for order in &orders {
        assert_eq!(environment.audit(order).await.len(), 1, "one effect");
        environment.forget_failures(order).await;
    }
}

/// Makes a failure one of an hour ago, so that its backoff is over.
async fn age(environment: &Environment, failure: Failure) {
    let hour_ago = Timestamp::from_epoch_millis(now().epoch_millis() - 60 * 60 * 1000);
    let mut aged = failure;
    aged.version += 1;
    aged.stored_at = hour_ago;
    assert!(environment.failure_store().replace(&aged).await.unwrap());
}

async fn failures_of(environment: &Environment, ids: &[FailureId]) -> Vec<Failure> {
    let mut all = Vec::new();
    for id in ids {
        all.push(environment.failure(id).await.unwrap());
    }
    all
}

/// The first was processed before any other was claimed, and each was claimed once.
#[track_caller]
fn check_canary(resolved: &[Failure]) {
    let mut times: Vec<_> = resolved
        .iter()
        .map(|failure| {
            let replay = failure.replay.as_ref().unwrap();
            assert!(replay.automatic, "{failure:?}");
            assert_eq!(failure.automatic_replays, 1, "{failure:?}");
            let claims = failure.history.iter().filter(|it| it.action == "claimed");
            assert_eq!(claims.count(), 1, "{failure:?}");
            (replay.claimed_at, failure.resolution.as_ref().unwrap().at)
        })
        .collect();
    times.sort();
    let (_, canary_processed) = times[0];
    for (claimed, _) in &times[1..] {
        assert!(*claimed >= canary_processed, "{times:?}");
    }
}

// The drain itself, on real queues and tables, killed at every call.

/// Where a drain dies.
#[derive(Debug, Clone, Copy)]
enum Death {
    Before,
    After,
}

/// Counts the calls of all ports, and lets the one of a number never return.
#[derive(Debug, Clone)]
struct Mortal<T> {
    inner: T,
    calls: Arc<AtomicUsize>,
    dies_at: Option<(usize, Death)>,
    died: Arc<Notify>,
    received: Arc<Mutex<Vec<DeadLetter>>>,
}

/// How a drain went.
struct Attempt {
    /// `None` where it died.
    drained: Option<Drained>,
    /// How many calls of ports it made.
    calls: usize,
    received: Vec<DeadLetter>,
}

impl<T> Mortal<T> {
    async fn call<R>(&self, effect: impl Future<Output = R>) -> R {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        match self.dies_at {
            Some((at, Death::Before)) if at == number => self.die().await,
            Some((at, Death::After)) if at == number => {
                effect.await;
                self.die().await
            }
            _ => effect.await,
        }
    }

    async fn die<R>(&self) -> R {
        self.died.notify_one();
        std::future::pending().await
    }

    fn with<U>(&self, inner: U) -> Mortal<U> {
        Mortal {
            inner,
            calls: Arc::clone(&self.calls),
            dies_at: self.dies_at,
            died: Arc::clone(&self.died),
            received: Arc::clone(&self.received),
        }
    }
}

impl<T: DeadLetterQueues> DeadLetterQueues for Mortal<T> {
    async fn receive(&self, queue: &str) -> Result<Vec<DeadLetter>, Unavailable> {
        let receive = async {
            let letters = self.inner.receive(queue).await?;
            self.received.lock().unwrap().extend(letters.clone());
            Ok(letters)
        };
        self.call(receive).await
    }

    async fn delete(&self, letter: &DeadLetter) -> Result<(), Unavailable> {
        self.call(self.inner.delete(letter)).await
    }
}

impl<T: FailureStore> FailureStore for Mortal<T> {
    async fn get(&self, id: &FailureId) -> Result<Option<Failure>, Unavailable> {
        self.call(self.inner.get(id)).await
    }

    async fn create(&self, failure: &Failure) -> Result<bool, Unavailable> {
        self.call(self.inner.create(failure)).await
    }

    async fn replace(&self, next: &Failure) -> Result<bool, Unavailable> {
        self.call(self.inner.replace(next)).await
    }

    async fn replace_and_create(&self, next: &Failure, new: &Failure) -> Result<bool, Unavailable> {
        self.call(self.inner.replace_and_create(next, new)).await
    }

    async fn find(&self, query: &Query, from: Option<&str>) -> Result<Page<Failure>, Unavailable> {
        self.call(self.inner.find(query, from)).await
    }
}

impl<T: GroupStore> GroupStore for Mortal<T> {
    async fn get_group(&self, id: &GroupId) -> Result<Option<Group>, Unavailable> {
        self.call(self.inner.get_group(id)).await
    }

    async fn put_group(&self, next: &Group) -> Result<bool, Unavailable> {
        self.call(self.inner.put_group(next)).await
    }

    async fn groups(&self) -> Result<Vec<Group>, Unavailable> {
        self.call(self.inner.groups()).await
    }
}

/// A dead-letter queue of one's own, with messages of two groups and a redriven one.
struct Bench {
    url: String,
    queue: DrainedQueue,
    source_url: String,
    order: String,
    ids: Vec<FailureId>,
}

/// Two of each of two groups, and the one that the queue's own policy moved.
const MESSAGES: usize = 5;

impl Bench {
    async fn set_up(environment: &Environment) -> Self {
        let name = format!("{}-payment-dlq", unique("bench"));
        let url = create_queue(environment, &name, &[]).await;
        let arn = format!(
            "arn:aws:sqs:{}:{}:{name}",
            environment.region(),
            environment.account()
        );
        let redrive = json!({ "deadLetterTargetArn": arn, "maxReceiveCount": 1 }).to_string();
        let source = format!("{}-payment", unique("bench"));
        let attributes = [(QueueAttributeName::RedrivePolicy, redrive.as_str())];
        let source_url = create_queue(environment, &source, &attributes).await;
        let order = Uuid::new_v4().to_string();
        let mut ids = Vec::new();
        for error in [own_error(), own_error()] {
            let record = record(&error, "business", "payment");
            for _ in 0..2 {
                ids.push(send(environment, &url, &charge(&order), &[("failure", &record)]).await);
            }
        }
        ids.push(redriven(environment, &source_url, &url, &charge(&order)).await);
        let queue = DrainedQueue::from_url(&url).unwrap();
        Self {
            url,
            queue,
            source_url,
            order,
            ids,
        }
    }

    /// Drains until done or dead.
    async fn drain(&self, environment: &Environment, dies_at: Option<(usize, Death)>) -> Attempt {
        let queues = Mortal {
            inner: SqsDeadLetterQueues::new(environment.sqs.clone()),
            calls: Arc::default(),
            dies_at,
            died: Arc::default(),
            received: Arc::default(),
        };
        let life = queues.with(());
        let failures = queues.with(environment.failure_store());
        let groups = queues.with(environment.group_store());
        let drain = Drain::new(queues, failures, groups, SystemClock);
        let until = SystemClock.now().plus(QUICKLY);
        let drained = tokio::select! {
            drained = drain.drain(&self.queue, until) => Some(drained),
            () = life.died.notified() => None,
        };
        Attempt {
            drained,
            calls: life.calls.load(Ordering::SeqCst),
            received: life.received.lock().unwrap().clone(),
        }
    }

    /// What a dead drain had received would stay hidden for a minute.
    async fn show_again(&self, environment: &Environment, received: &[DeadLetter]) {
        for letter in received {
            let change = environment.sqs.change_message_visibility();
            let change = change.queue_url(&self.url).visibility_timeout(0);
            // One that was deleted is not there to be shown.
            let _gone = change.receipt_handle(&letter.receipt_handle).send().await;
        }
    }

    /// Every message is in the store once, its group knows, and the queue is empty.
    async fn check(&self, environment: &Environment, at: &str) {
        assert!(environment.queued(&self.url).await.is_empty(), "{at}");
        let stored = environment.failures_about(&self.order).await;
        assert_eq!(stored.len(), MESSAGES, "{at}: {stored:?}");
        for id in &self.ids {
            let failure = environment.failure(id).await;
            let failure = failure.unwrap_or_else(|| panic!("{at}: {id} is lost"));
            assert_eq!((failure.failed, failure.version), (1, 1), "{at}");
            let group = environment.group(&failure.group).await;
            let knows = group.is_some_and(|group| group.last_failure_at >= failure.stored_at);
            assert!(knows, "{at}: the group of {id} does not know");
        }
    }

    async fn tear_down(self, environment: &Environment) {
        environment.forget_failures(&self.order).await;
        for url in [self.url, self.source_url] {
            let deleted = environment.sqs.delete_queue().queue_url(url).send().await;
            deleted.unwrap();
        }
    }
}

async fn create_queue(
    environment: &Environment,
    name: &str,
    attributes: &[(QueueAttributeName, &str)],
) -> String {
    let mut create = environment.sqs.create_queue().queue_name(name);
    for (name, value) in attributes {
        create = create.attributes(name.clone(), *value);
    }
    create.send().await.unwrap().queue_url.unwrap()
}

/// A message that the queue's own policy moved, after a receive that nobody finished.
async fn redriven(environment: &Environment, source: &str, dlq: &str, body: &str) -> FailureId {
    let id = send(environment, source, body, &[]).await;
    wait_until("SQS moves a message by itself", QUICKLY, async || {
        let received = environment
            .sqs
            .receive_message()
            .queue_url(source)
            .visibility_timeout(0)
            .send();
        received.await.unwrap();
        let there = environment.queued(dlq).await;
        match there.iter().any(|message| message.id == id.as_str()) {
            true => Ok(()),
            false => Err("it is not there".to_owned()),
        }
    })
    .await;
    id
}

#[tokio::test]
async fn a_drain_that_is_killed_at_any_call_loses_nothing_and_stores_nothing_twice() {
    let environment = Environment::connect().await;
    let bench = Bench::set_up(&environment).await;
    let Attempt { drained, calls, .. } = bench.drain(&environment, None).await;
    let drained = drained.unwrap();
    assert_eq!((drained.stored, drained.deleted), (MESSAGES, MESSAGES));
    let redriven = environment.failure(&bench.ids[MESSAGES - 1]).await.unwrap();
    check(&redriven, "unknown", "ReceivesExhausted", "payment");
    bench.check(&environment, "unharmed").await;
    bench.tear_down(&environment).await;

    assert!(calls > 10, "{calls} calls");
    let deaths = (0..calls).flat_map(|call| [(call, Death::Before), (call, Death::After)]);
    stream::iter(deaths)
        .for_each_concurrent(4, |death| killed_at(&environment, death))
        .await;
}

async fn killed_at(environment: &Environment, death: (usize, Death)) {
    let at = format!("{death:?}");
    let bench = Bench::set_up(environment).await;
    let dead = bench.drain(environment, Some(death)).await;
    let lived = dead.drained;
    assert!(lived.is_none(), "{at}: it lived: {lived:?}");
    let queued = environment.queued(&bench.url).await;
    for id in &bench.ids {
        let is_queued = queued.iter().any(|message| message.id == id.as_str());
        let is_stored = environment.failure(id).await.is_some();
        assert!(is_queued || is_stored, "{at}: {id} is lost");
    }
    bench.show_again(environment, &dead.received).await;
    let next = bench.drain(environment, None).await.drained;
    assert!(next.is_some_and(|drained| !drained.has_failed()), "{at}");
    bench.check(environment, &at).await;
    bench.tear_down(environment).await;
}

#[tokio::test]
async fn a_person_drains_by_name_and_is_told_what_was_done() {
    let environment = Environment::connect().await;
    let answer = environment
        .drain(&json!({ "drain": ["saga-dlq", "quarantine"] }))
        .await;
    let queues = answer["queues"].as_object().unwrap();
    let names: Vec<_> = queues.keys().cloned().collect();
    let stack = environment.stack();
    assert_eq!(
        names,
        [format!("{stack}-quarantine"), format!("{stack}-saga-dlq")]
    );
    for drained in queues.values() {
        assert_eq!(drained["left"], Value::from(0), "{answer}");
        assert_eq!(drained["unreadable"], Value::from(false), "{answer}");
    }
}
