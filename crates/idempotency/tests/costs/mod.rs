//! What each case costs, as the documentation of the DynamoDB store states it.
//!
//! The records here are smaller than a kilobyte unless the test says otherwise.

use std::convert::Infallible;
use std::future::Future;
use std::num::NonZeroUsize;
use std::time::Duration;

use idempotency::{
    Clock, DynamoDbStore, Idempotency, Key, ManualClock, Millis, OnAbandoned, Outcome, Renew,
    RunError, Started, Store, SystemClock, Wait,
};

use crate::emulator::{Cost, Table, Wire, with_table};
use crate::{claim, result, start, start_undo};

const SECOND: Duration = Duration::from_secs(1);

/// One kind of operation, run over the table by a process whose clock can be turned.
struct Bench {
    runner: Idempotency<DynamoDbStore, ManualClock>,
    clock: ManualClock,
    wire: Wire,
}

#[derive(Debug, thiserror::Error)]
#[error("the mail server is down")]
struct MailServerDown;

type Ran = Result<Outcome<String>, RunError<MailServerDown>>;

impl Bench {
    fn new(table: &Table) -> Self {
        let clock = ManualClock::at(Millis::new(1_000_000));
        Self {
            runner: Idempotency::new(table.store.clone()).with_clock(clock.clone()),
            clock,
            wire: table.wire.clone(),
        }
    }

    fn deadline(&self) -> Millis {
        self.clock.now().plus(10 * SECOND)
    }

    async fn run(&self, payload: &str) -> Ran {
        self.answer(payload, Ok("sent".to_owned())).await
    }

    async fn answer(&self, payload: &str, answer: Result<String, MailServerDown>) -> Ran {
        self.runner
            .run(key(), &payload, self.deadline(), |_| async { answer })
            .await
    }

    async fn undo(&self) -> Ran {
        let undo = |_| async { Ok("recalled".to_owned()) };
        self.runner
            .undo(key(), &"undo", self.deadline(), undo)
            .await
    }

    /// An attempt that claims the operation and is never heard of again.
    async fn vanish(&self) {
        let lost = |_: Started| std::future::pending::<Result<(), Infallible>>();
        let lost = self.runner.run(key(), &"hello", self.deadline(), lost);
        assert!(tokio::time::timeout(SECOND, lost).await.is_err());
    }

    #[track_caller]
    fn check(&self, case: &str, requests: usize, write_units: usize) {
        let stated = Cost {
            requests,
            write_units,
        };
        assert_eq!(self.wire.cost(), stated, "{case}");
    }
}

fn key() -> Key {
    Key::prefixed("mail", "42").unwrap()
}

async fn on_a_table<F>(test: impl FnOnce(Table, Bench) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    with_table(|table| {
        let bench = Bench::new(&table);
        test(table, bench)
    })
    .await;
}

#[tokio::test]
async fn a_first_run_costs_two_writes_and_a_duplicate_one() {
    on_a_table(|_, bench| async move {
        assert!(matches!(bench.run("hello").await, Ok(Outcome::Ran(_))));
        bench.check("first run", 2, 2);
        assert!(matches!(bench.run("hello").await, Ok(Outcome::Replayed(_))));
        bench.check("duplicate", 1, 1);
        let mismatch = bench.run("good bye").await;
        assert!(matches!(mismatch, Err(RunError::FingerprintMismatch)));
        bench.check("mismatch", 1, 1);
    })
    .await;
}

#[tokio::test]
async fn a_conflict_costs_one_write_and_a_takeover_as_much_as_a_first_run() {
    on_a_table(|_, bench| async move {
        bench.vanish().await;
        bench.check("claim", 1, 1);
        let conflict = bench.run("hello").await;
        assert!(matches!(conflict, Err(RunError::InProgress { .. })));
        bench.check("conflict", 1, 1);
        bench.clock.advance(10 * SECOND);
        let careful = bench.runner.clone().with_on_abandoned(OnAbandoned::Block);
        let work = |_| async { Ok::<_, MailServerDown>("sent".to_owned()) };
        let blocked = careful.run(key(), &"hello", bench.deadline(), work).await;
        assert!(matches!(blocked, Err(RunError::Abandoned)));
        bench.check("left to a person", 1, 1);
        assert!(matches!(bench.run("hello").await, Ok(Outcome::Ran(_))));
        bench.check("takeover", 2, 2);
    })
    .await;
}

#[tokio::test]
async fn work_that_fails_costs_two_writes() {
    on_a_table(|_, bench| async move {
        let failed = bench.answer("hello", Err(MailServerDown)).await;
        assert!(matches!(failed, Err(RunError::Work(_))));
        bench.check("failed work", 2, 2);
    })
    .await;
}

#[tokio::test]
async fn an_expired_record_costs_nothing_more() {
    on_a_table(|_, bench| async move {
        bench.run("hello").await.unwrap();
        bench
            .clock
            .advance(Idempotency::<DynamoDbStore>::DEFAULT_RETENTION);
        bench.wire.cost();
        assert!(matches!(bench.run("hello").await, Ok(Outcome::Ran(_))));
        bench.check("first run after expiry", 2, 2);
    })
    .await;
}

#[tokio::test]
async fn each_renewal_costs_one_write() {
    on_a_table(|table, bench| async move {
        let started = start(&table.store, &claim("k")).await;
        let undo = start_undo(&table.store, &claim("other")).await;
        bench.wire.cost();
        table
            .store
            .renew(&started, Millis::new(115_000))
            .await
            .unwrap();
        bench.check("renewal", 1, 1);
        table
            .store
            .renew_undo(&undo, Millis::new(115_000))
            .await
            .unwrap();
        bench.check("renewal of an undo", 1, 1);
    })
    .await;
}

#[tokio::test]
async fn each_look_of_a_wait_costs_one_write() {
    on_a_table(|table, bench| async move {
        let short = Duration::from_millis(40);
        let wait = Wait::at_most(10 * short).with_pauses(short, short);
        let patient = Idempotency::new(table.store.clone()).with_wait(wait);
        let deadline = SystemClock.now().plus(60 * SECOND);
        let lost = |_: Started| std::future::pending::<Result<(), Infallible>>();
        let lost = patient.run(key(), &"hello", deadline, lost);
        assert!(tokio::time::timeout(SECOND, lost).await.is_err());
        bench.wire.cost();
        let work = |_| async { Ok::<_, Infallible>(()) };
        let waited = patient.run(key(), &"hello", deadline, work).await;
        assert!(matches!(waited, Err(RunError::InProgress { .. })));
        let Cost {
            requests,
            write_units,
        } = bench.wire.cost();
        // Each pause is 20 ms at least, and a slow machine only makes it longer.
        assert!((2..=20).contains(&requests), "{requests} looks");
        assert_eq!(requests, write_units);
    })
    .await;
}

#[tokio::test]
async fn an_undo_costs_as_much_as_the_operation() {
    on_a_table(|_, bench| async move {
        bench.run("hello").await.unwrap();
        bench.wire.cost();
        assert!(matches!(bench.undo().await, Ok(Outcome::Ran(_))));
        bench.check("undo", 2, 2);
        assert!(matches!(bench.undo().await, Ok(Outcome::Replayed(_))));
        bench.check("duplicate of the undo", 1, 1);
        assert!(matches!(bench.run("hello").await, Err(RunError::Undone)));
        bench.check("late operation", 1, 1);
        bench
            .clock
            .advance(Idempotency::<DynamoDbStore>::DEFAULT_RETENTION);
        assert!(matches!(bench.undo().await, Ok(Outcome::Ran(_))));
        bench.check("undo of an expired record", 3, 3);
    })
    .await;
}

#[tokio::test]
async fn an_undo_of_nothing_costs_no_more() {
    on_a_table(|_, bench| async move {
        assert!(matches!(bench.undo().await, Ok(Outcome::Ran(_))));
        bench.check("tombstone", 2, 2);
    })
    .await;
}

#[tokio::test]
async fn a_duplicate_in_the_cache_costs_nothing() {
    on_a_table(|_, bench| async move {
        let runner = bench.runner.clone();
        let capacity = NonZeroUsize::MIN;
        let bench = Bench {
            runner: runner.with_local_cache(capacity, 10 * SECOND),
            ..bench
        };
        bench.run("hello").await.unwrap();
        bench.wire.cost();
        assert!(matches!(bench.run("hello").await, Ok(Outcome::Replayed(_))));
        bench.check("duplicate in the cache", 0, 0);
    })
    .await;
}

#[tokio::test]
async fn each_kilobyte_of_the_record_costs_a_unit_also_for_a_duplicate() {
    on_a_table(|_, bench| async move {
        let long = "x".repeat(2_500);
        bench.answer("hello", Ok(long)).await.unwrap();
        bench.check("first run", 2, 1 + 3);
        assert!(matches!(bench.run("hello").await, Ok(Outcome::Replayed(_))));
        bench.check("duplicate", 1, 3);
    })
    .await;
}

#[tokio::test]
async fn a_part_of_a_transaction_costs_two_units_and_no_request() {
    on_a_table(|table, bench| async move {
        let business_item = 2;
        let started = start(&table.store, &claim("k")).await;
        let completion = table.store.completion(&started, &result("done")).unwrap();
        bench.wire.cost();
        table.write(completion, "business").await.unwrap();
        bench.check("completion", 1, business_item + 2);
        let put = table
            .store
            .completed_put(&claim("j"), &result("done"))
            .unwrap();
        table.write(put, "more business").await.unwrap();
        bench.check("claim and completion", 1, business_item + 2);
    })
    .await;
}

#[tokio::test]
async fn a_look_at_a_record_costs_no_write() {
    on_a_table(|table, bench| async move {
        table.store.get(&key()).await.unwrap();
        bench.check("look", 1, 0);
    })
    .await;
}
