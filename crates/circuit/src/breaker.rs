//! The half of the circuit breaker that lives in the worker.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use idempotency::{Clock, Millis};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::counter::{Counter, Health, Limits};
use crate::ports::{Opened, Trips};

/// A call to the outside party, by the message that it was made for.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The message's id: the same on every delivery.
    pub message: &'a str,
    /// Which receive of the message it is, from 1.
    pub attempt: u32,
}

/// Decides whether calls may be made, and learns how they go.
pub trait Breaker: Send + Sync {
    /// Whether a call may be made; if not, how long to stay away. Makes no request.
    fn admit(&self) -> Result<(), Duration>;

    /// Takes note of a call. Makes a request only where the circuit is to be opened.
    fn record(&self, call: Call<'_>, health: Health) -> impl Future<Output = ()> + Send;
}

/// A shared breaker is a breaker.
impl<B: Breaker> Breaker for Arc<B> {
    fn admit(&self) -> Result<(), Duration> {
        (**self).admit()
    }

    async fn record(&self, call: Call<'_>, health: Health) {
        (**self).record(call, health).await;
    }
}

/// For steps whose outside party has no circuit.
#[derive(Debug, Clone, Copy, Default)]
pub struct AlwaysClosed;

impl Breaker for AlwaysClosed {
    fn admit(&self) -> Result<(), Duration> {
        Ok(())
    }

    async fn record(&self, _: Call<'_>, _: Health) {}
}

/// What the calls of one probe showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The outside party serves.
    Healthy,
    /// It does not.
    Unhealthy,
    /// It was not asked, or its answer tells nothing.
    Untested,
}

/// A breaker that can let a single message through to see how it goes.
pub trait Probing: Send + Sync {
    /// From now on calls are admitted, and none of them opens the circuit.
    fn begin_probe(&self);

    /// Ends the probe and says what its calls showed.
    fn end_probe(&self) -> Verdict;
}

/// A shared breaker is a breaker.
impl<B: Probing> Probing for Arc<B> {
    fn begin_probe(&self) {
        (**self).begin_probe();
    }

    fn end_probe(&self) -> Verdict {
        (**self).end_probe()
    }
}

/// A worker must not wait for long to say that a circuit is open.
const LONGEST_WRITE: Duration = Duration::from_secs(2);

/// Counts in the memory of one execution environment.
#[derive(Debug)]
pub struct LocalBreaker<T, C> {
    consumer: String,
    trips: T,
    clock: C,
    hold: Duration,
    memory: Mutex<Memory>,
}

#[derive(Debug)]
struct Memory {
    counter: Counter,
    /// Until when this environment makes no call.
    held_until: Option<Millis>,
    /// What the probe under way has shown so far.
    probe: Option<Verdict>,
}

impl<T: Trips, C: Clock> LocalBreaker<T, C> {
    /// A breaker for the calls of one consumer. Once it has tripped, this
    /// environment makes no call for `hold`: until then the controller has
    /// disabled the mapping.
    pub fn new(consumer: impl Into<String>, trips: T, clock: C, hold: Duration) -> Self {
        Self {
            consumer: consumer.into(),
            trips,
            clock,
            hold,
            memory: Mutex::new(Memory {
                counter: Counter::new(Limits::default()),
                held_until: None,
                probe: None,
            }),
        }
    }

    /// Opens the circuit for everybody. If that cannot be written down, calls
    /// go through: a breaker that fails must not be what stops the orders.
    async fn open(&self, cause: &crate::Cause, now: Millis) {
        let writing = self.trips.open(&self.consumer, cause, now);
        let consumer = self.consumer.as_str();
        match timeout(LONGEST_WRITE, writing).await {
            Ok(Ok(Opened::Now)) => {
                tracing::error!(consumer, %cause, error_name = "CircuitOpened", "the circuit is open");
            }
            Ok(Ok(Opened::Before)) => {
                tracing::info!(consumer, %cause, "the circuit was opened by another environment");
            }
            failed => {
                let error = match failed {
                    Ok(Err(error)) => message_of(&error),
                    _ => "no answer in time".to_owned(),
                };
                tracing::error!(
                    consumer, %cause, error, error_name = "CircuitNotOpened",
                    "the circuit could not be opened; calls go through"
                );
                self.memory().held_until = None;
            }
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error and its causes in one line.
fn message_of(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<String> = chain.map(ToString::to_string).collect();
    texts.join(": ")
}

impl<T: Trips, C: Clock> Breaker for LocalBreaker<T, C> {
    fn admit(&self) -> Result<(), Duration> {
        let now = self.clock.now();
        let mut memory = self.memory();
        match memory.held_until {
            Some(until) if memory.probe.is_none() && now < until => Err(until.since(now)),
            Some(until) if now >= until => {
                memory.held_until = None;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn record(&self, call: Call<'_>, health: Health) {
        let now = self.clock.now();
        let tripped = self.memory().record(now, call, health, self.hold);
        if let Some(cause) = tripped {
            // Boxed, since it is large and rare.
            Box::pin(self.open(&cause, now)).await;
        }
    }
}

impl Memory {
    fn record(
        &mut self,
        now: Millis,
        call: Call<'_>,
        health: Health,
        hold: Duration,
    ) -> Option<crate::Cause> {
        if let Some(verdict) = &mut self.probe {
            match health {
                Health::Healthy => *verdict = Verdict::Healthy,
                Health::Unhealthy => *verdict = Verdict::Unhealthy,
                Health::Unknown => {}
            }
            return None;
        }
        // Calls that were under way when it tripped say nothing new.
        if self.held_until.is_some_and(|until| now < until) {
            return None;
        }
        let cause = self
            .counter
            .record(now, call.message, call.attempt, health)?;
        self.counter.reset();
        self.held_until = Some(now.plus(hold));
        Some(cause)
    }
}

impl<T: Trips, C: Clock> Probing for LocalBreaker<T, C> {
    fn begin_probe(&self) {
        self.memory().probe = Some(Verdict::Untested);
    }

    fn end_probe(&self) -> Verdict {
        let mut memory = self.memory();
        let verdict = memory.probe.take().unwrap_or(Verdict::Untested);
        if verdict == Verdict::Healthy {
            memory.counter.reset();
            memory.held_until = None;
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    use ports::Unavailable;

    /// A circuit that takes one opening, and counts the requests.
    #[derive(Debug, Default)]
    struct Table {
        is_open: Mutex<bool>,
        requests: AtomicU64,
        is_down: bool,
    }

    impl Trips for &Table {
        async fn open(&self, _: &str, _: &crate::Cause, _: Millis) -> Result<Opened, Unavailable> {
            self.requests.fetch_add(1, Ordering::SeqCst);
            if self.is_down {
                return Err(Unavailable::new("DynamoDB", "down"));
            }
            let was_open = std::mem::replace(&mut *self.is_open.lock().unwrap(), true);
            Ok(if was_open {
                Opened::Before
            } else {
                Opened::Now
            })
        }
    }

    #[derive(Debug, Clone, Copy)]
    struct TestClock(tokio::time::Instant);

    impl Clock for TestClock {
        fn now(&self) -> Millis {
            Millis::new(1_800_000_000_000).plus(self.0.elapsed())
        }
    }

    const HOLD: Duration = Duration::from_secs(10);

    fn breaker(table: &Table) -> LocalBreaker<&Table, TestClock> {
        let clock = TestClock(tokio::time::Instant::now());
        LocalBreaker::new("payment", table, clock, HOLD)
    }

    async fn calls(breaker: &impl Breaker, names: &[&str], health: Health) {
        for message in names {
            breaker
                .record(
                    Call {
                        message,
                        attempt: 1,
                    },
                    health,
                )
                .await;
        }
    }

    const FIVE: [&str; 5] = ["a", "b", "c", "d", "e"];

    #[tokio::test(start_paused = true)]
    async fn while_all_goes_well_no_request_is_made() {
        let table = Table::default();
        let breaker = breaker(&table);
        for _ in 0..1000 {
            assert_eq!(breaker.admit(), Ok(()));
            calls(&breaker, &["a"], Health::Healthy).await;
        }
        calls(&breaker, &["a", "b", "c", "d"], Health::Unhealthy).await;
        assert_eq!(table.requests.load(Ordering::SeqCst), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_tripped_environment_writes_once_and_makes_no_call_for_a_while() {
        let table = Table::default();
        let breaker = breaker(&table);
        calls(&breaker, &FIVE, Health::Unhealthy).await;
        // Those that were under way at the time.
        calls(&breaker, &["f", "g", "h", "i", "j"], Health::Unhealthy).await;
        assert_eq!(table.requests.load(Ordering::SeqCst), 1);
        assert_eq!(breaker.admit(), Err(HOLD));
        tokio::time::advance(HOLD).await;
        assert_eq!(breaker.admit(), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn of_two_environments_that_trip_at_once_one_opens_the_circuit_and_both_hold() {
        let table = Table::default();
        let (first, second) = (breaker(&table), breaker(&table));
        tokio::join!(
            calls(&first, &FIVE, Health::Unhealthy),
            calls(&second, &FIVE, Health::Unhealthy)
        );
        assert_eq!(table.requests.load(Ordering::SeqCst), 2);
        assert!(*table.is_open.lock().unwrap());
        assert!(first.admit().is_err() && second.admit().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn calls_go_through_where_the_circuit_cannot_be_opened() {
        let table = Table {
            is_down: true,
            ..Table::default()
        };
        let breaker = breaker(&table);
        calls(&breaker, &FIVE, Health::Unhealthy).await;
        assert_eq!(table.requests.load(Ordering::SeqCst), 1);
        assert_eq!(breaker.admit(), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_passes_a_tripped_environment_and_a_good_one_frees_it() {
        #[track_caller]
        fn check(breaker: &LocalBreaker<&Table, TestClock>, expected: Verdict, is_free: bool) {
            assert_eq!(breaker.end_probe(), expected);
            assert_eq!(breaker.admit().is_ok(), is_free, "{expected:?}");
        }
        let table = Table::default();
        let breaker = breaker(&table);
        calls(&breaker, &FIVE, Health::Unhealthy).await;

        breaker.begin_probe();
        assert_eq!(breaker.admit(), Ok(()));
        check(&breaker, Verdict::Untested, false);

        breaker.begin_probe();
        calls(&breaker, &FIVE, Health::Unhealthy).await;
        check(&breaker, Verdict::Unhealthy, false);
        assert_eq!(table.requests.load(Ordering::SeqCst), 1);

        breaker.begin_probe();
        calls(&breaker, &["a"], Health::Unknown).await;
        check(&breaker, Verdict::Untested, false);

        breaker.begin_probe();
        calls(&breaker, &["a"], Health::Healthy).await;
        check(&breaker, Verdict::Healthy, true);
    }
}
