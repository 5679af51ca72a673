//! What one execution environment remembers of its calls.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use idempotency::Millis;

/// What a call says about the outside party.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It serves: it did as asked, refused for a reason of business, or failed this one request.
    Healthy,
    /// It serves nobody, or gave no answer in time.
    Unhealthy,
    /// The call says nothing about others: its connection broke on the way.
    Unknown,
}

/// From when on the calls are too bad to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// So many failed attempts, with no success in between, open the circuit. A
    /// message counts as often as it was received, so that failures which other
    /// environments saw count here too.
    pub failures: u32,
    /// The failed attempts must be of at least so many messages: what is wrong
    /// with one message is not wrong with the outside party.
    pub messages: usize,
    /// How long a failed attempt counts.
    pub remembered: Duration,
    /// From so many calls within the window on, the share of failures counts.
    pub calls: u32,
    /// The share of failures, in percent, that opens the circuit.
    pub percent: u32,
    /// The window for the share; whole seconds.
    pub window: Duration,
}

impl Default for Limits {
    /// Five failed attempts of at least two messages in a row within five
    /// minutes, or half of at least twenty calls within a minute.
    fn default() -> Self {
        Self {
            failures: 5,
            messages: 2,
            remembered: Duration::from_secs(300),
            calls: 20,
            percent: 50,
            window: Duration::from_secs(60),
        }
    }
}

/// Why a circuit was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Failed attempts with no success in between.
    InARow {
        /// How many attempts, those in other environments included.
        failures: u32,
        /// Of how many messages.
        messages: usize,
    },
    /// Too large a share of the calls failed.
    Share {
        /// How many failed.
        failed: u32,
        /// Of how many.
        calls: u32,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InARow { failures, messages } => write!(
                formatter,
                "{failures} failed attempts of {messages} messages, and no success in between"
            ),
            Self::Share { failed, calls } => write!(formatter, "{failed} of {calls} calls failed"),
        }
    }
}

/// No more failures than this are told apart; a circuit opens long before.
const MOST_REMEMBERED: usize = 64;

/// Counts calls by what they say of the outside party.
#[derive(Debug, Clone)]
pub struct Counter {
    limits: Limits,
    /// Messages that failed since the last success, the oldest first.
    failing: VecDeque<Failing>,
    /// Calls by the second, the oldest first.
    seconds: VecDeque<Second>,
}

#[derive(Debug, Clone)]
struct Failing {
    message: String,
    attempts: u32,
    at: Millis,
}

#[derive(Debug, Clone, Copy)]
struct Second {
    second: u64,
    calls: u32,
    failed: u32,
}

impl Counter {
    /// A counter that has seen nothing.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            failing: VecDeque::new(),
            seconds: VecDeque::new(),
        }
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.failing.clear();
        self.seconds.clear();
    }

    /// Counts a call for a message on its nth receive, from 1. Gives the cause
    /// where it is one call too many.
    pub fn record(
        &mut self,
        now: Millis,
        message: &str,
        attempt: u32,
        health: Health,
    ) -> Option<Cause> {
        self.forget_before(now);
        match health {
            Health::Unknown => return None,
            Health::Healthy => {
                self.failing.clear();
                self.count(now, 0);
                // Failures may still be the larger share.
            }
            Health::Unhealthy => {
                self.count(now, 1);
                self.remember(now, message, attempt);
            }
        }
        self.in_a_row().or_else(|| self.share())
    }

    fn remember(&mut self, at: Millis, message: &str, attempt: u32) {
        let before = self.failing.iter().position(|it| it.message == message);
        let before = before.and_then(|index| self.failing.remove(index));
        // A fresh copy of a message begins at its first receive again.
        let attempts = before.map_or(0, |it| it.attempts + 1).max(attempt);
        if self.failing.len() == MOST_REMEMBERED {
            self.failing.pop_front();
        }
        self.failing.push_back(Failing {
            message: message.to_owned(),
            attempts,
            at,
        });
    }

    fn count(&mut self, now: Millis, failed: u32) {
        let second = now.get() / 1000;
        match self.seconds.back_mut() {
            // A clock that goes back must not open a second twice.
            Some(last) if last.second >= second => {
                last.calls = last.calls.saturating_add(1);
                last.failed = last.failed.saturating_add(failed);
            }
            _ => self.seconds.push_back(Second {
                second,
                calls: 1,
                failed,
            }),
        }
    }

    fn forget_before(&mut self, now: Millis) {
        let remembered = self.limits.remembered;
        self.failing
            .retain(|failing| now.since(failing.at) <= remembered);
        let oldest = (now.get() / 1000).saturating_sub(self.limits.window.as_secs());
        self.seconds.retain(|counted| counted.second > oldest);
    }

    fn in_a_row(&self) -> Option<Cause> {
        let attempts = self.failing.iter().map(|failing| failing.attempts);
        let failures = attempts.fold(0, u32::saturating_add);
        let messages = self.failing.len();
        let too_many = failures >= self.limits.failures && messages >= self.limits.messages;
        too_many.then_some(Cause::InARow { failures, messages })
    }

    fn share(&self) -> Option<Cause> {
        let calls = self.seconds.iter().map(|counted| counted.calls).sum();
        let failed: u32 = self.seconds.iter().map(|counted| counted.failed).sum();
        let percent = u64::from(failed) * 100;
        let too_many = calls >= self.limits.calls
            && percent >= u64::from(self.limits.percent) * u64::from(calls);
        too_many.then_some(Cause::Share { failed, calls })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: Millis = Millis::new(1_800_000_000_000);

    fn counter() -> Counter {
        Counter::new(Limits::default())
    }

    fn after(seconds: u64) -> Millis {
        START.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn five_failures_of_different_messages_open() {
        let mut counter = counter();
        for message in ["a", "b", "c", "d"] {
            let cause = counter.record(START, message, 1, Health::Unhealthy);
            assert_eq!(cause, None, "{message}");
        }
        let expected = Cause::InARow {
            failures: 5,
            messages: 5,
        };
        let cause = counter.record(START, "e", 1, Health::Unhealthy);
        assert_eq!(cause, Some(expected));
    }

    #[test]
    fn a_success_in_between_begins_the_row_anew() {
        let mut counter = counter();
        for message in ["a", "b", "c", "d"] {
            counter.record(START, message, 1, Health::Unhealthy);
        }
        counter.record(START, "x", 1, Health::Healthy);
        for message in ["a", "b", "c", "d"] {
            let cause = counter.record(START, message, 1, Health::Unhealthy);
            assert_eq!(cause, None, "{message}");
        }
    }

    #[test]
    fn one_message_that_fails_again_and_again_never_opens_by_itself() {
        let mut counter = counter();
        for attempt in 1..=19 {
            let cause = counter.record(after(attempt.into()), "a", attempt, Health::Unhealthy);
            assert_eq!(cause, None, "{attempt}");
        }
    }

    #[test]
    fn two_messages_that_failed_elsewhere_before_open_before_they_are_given_up() {
        let mut counter = counter();
        assert_eq!(counter.record(START, "a", 3, Health::Unhealthy), None);
        let cause = counter.record(START, "b", 3, Health::Unhealthy);
        let expected = Cause::InARow {
            failures: 6,
            messages: 2,
        };
        assert_eq!(cause, Some(expected));
    }

    #[test]
    fn failures_of_long_ago_do_not_count() {
        let mut counter = counter();
        for message in ["a", "b", "c", "d"] {
            counter.record(START, message, 1, Health::Unhealthy);
        }
        assert_eq!(counter.record(after(301), "e", 1, Health::Unhealthy), None);
    }

    #[test]
    fn half_of_twenty_calls_within_a_minute_open() {
        #[track_caller]
        fn check(seconds_between: u64, opens: bool) {
            let mut counter = counter();
            let mut opened = false;
            for call in 0..20 {
                let now = after(call * seconds_between);
                let health = match call % 2 {
                    0 => Health::Healthy,
                    _ => Health::Unhealthy,
                };
                opened |= counter.record(now, &call.to_string(), 1, health).is_some();
            }
            assert_eq!(opened, opens, "every {seconds_between} s");
        }
        check(1, true);
        check(4, false);
    }

    #[test]
    fn a_call_that_says_nothing_is_not_counted() {
        let mut counter = counter();
        for call in 0..100 {
            let cause = counter.record(START, &call.to_string(), 1, Health::Unknown);
            assert_eq!(cause, None);
        }
    }

    proptest! {
        #[test]
        fn what_is_healthy_never_opens(calls in proptest::collection::vec((0u64..5, 1u32..6), 0..200)) {
            let mut counter = counter();
            let mut now = 0;
            for (index, (pause, attempt)) in calls.into_iter().enumerate() {
                now += pause;
                let cause = counter.record(after(now), &index.to_string(), attempt, Health::Healthy);
                prop_assert_eq!(cause, None);
            }
        }

        #[test]
        fn when_nobody_is_served_it_opens_by_the_fifth_message(
            attempts in proptest::collection::vec(1u32..6, 5),
        ) {
            let mut counter = counter();
            let mut opened = false;
            for (index, attempt) in attempts.into_iter().enumerate() {
                let message = index.to_string();
                opened |= counter.record(START, &message, attempt, Health::Unhealthy).is_some();
            }
            prop_assert!(opened);
        }

        #[test]
        fn memory_is_bounded(calls in 0usize..2000) {
            let limits = Limits { failures: u32::MAX, calls: u32::MAX, ..Limits::default() };
            let mut counter = Counter::new(limits);
            for call in 0..calls {
                let now = after(call as u64);
                counter.record(now, &call.to_string(), 1, Health::Unhealthy);
            }
            prop_assert!(counter.failing.len() <= MOST_REMEMBERED);
            prop_assert!(counter.seconds.len() <= 61);
        }
    }
}
