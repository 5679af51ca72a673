//! An outage of a sandbox provider for everybody, and a record of the calls around it.
//!
//! The switch is an item in the sandbox's state table. While the outage lasts
//! nobody is served; for a while after it, calls are slow, as those of a provider
//! that has just come back are. All that time each call is written down, so that
//! anyone can count what the provider had to bear.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use idempotency::{Clock, Millis, SystemClock};
use ports::ProviderError;
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::Simulated;
use super::ledger::Ledger;
use crate::dynamodb::{number, read_number};

/// An item of the sandbox's state table.
pub type Item = HashMap<String, AttributeValue>;

/// The key of the switch of a party: `payment` or `warehouse`.
pub fn outage_key(party: &str) -> String {
    format!("outage/{party}")
}

/// What the keys of the recorded calls of a party begin with.
pub fn attempt_prefix(party: &str) -> String {
    format!("attempt/{party}/")
}

/// An outage, as the switch describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// When nobody is served any more.
    pub from: Millis,
    /// When everybody is served again.
    pub until: Millis,
    /// How long calls are slow and written down.
    pub recorded_until: Millis,
    /// How much longer a call takes after the outage.
    pub slowness: Duration,
}

impl Outage {
    /// The switch's item.
    pub fn to_item(&self, party: &str) -> Item {
        let slowness = u64::try_from(self.slowness.as_millis()).unwrap_or(u64::MAX);
        HashMap::from([
            ("key".to_owned(), AttributeValue::S(outage_key(party))),
            ("from".to_owned(), number(self.from.get())),
            ("until".to_owned(), number(self.until.get())),
            (
                "recordedUntil".to_owned(),
                number(self.recorded_until.get()),
            ),
            ("slowMillis".to_owned(), number(slowness)),
            (
                "expiresAt".to_owned(),
                number(self.recorded_until.to_seconds().get() + KEPT_SECONDS),
            ),
        ])
    }

    /// Reads the switch's item; `None` where it is none.
    pub fn read(item: &Item) -> Option<Self> {
        let moment = |name| read_number(item, name).map(Millis::new);
        Some(Self {
            from: moment("from")?,
            until: moment("until")?,
            recorded_until: moment("recordedUntil")?,
            slowness: Duration::from_millis(read_number(item, "slowMillis")?),
        })
    }

    fn is_on(&self, now: Millis) -> bool {
        self.from <= now && now < self.until
    }

    fn is_recorded(&self, now: Millis) -> bool {
        self.from <= now && now < self.recorded_until
    }
}

/// One call that was made during an outage or shortly after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// When it came in.
    pub started: Millis,
    /// When it was answered.
    pub ended: Millis,
    /// Whether it was served.
    pub served: bool,
}

impl Attempt {
    /// Reads a recorded call; `None` where the item is none.
    pub fn read(item: &Item) -> Option<Self> {
        Some(Self {
            started: Millis::new(read_number(item, "startedAt")?),
            ended: Millis::new(read_number(item, "endedAt")?),
            served: *item.get("served")?.as_bool().ok()?,
        })
    }
}

/// How long the record of an outage is kept after it.
const KEPT_SECONDS: u64 = 24 * 60 * 60;

/// How long an environment goes by what it read. Without it, each call would
/// cost the sandbox one more request.
const FRESH: Duration = Duration::from_secs(1);

/// Says whether a party is served.
#[derive(Debug)]
pub(super) struct Switch {
    client: Client,
    table: String,
    party: &'static str,
    seen: Mutex<Option<(Millis, Option<Outage>)>>,
}

impl Clone for Switch {
    /// What was seen is not worth sharing.
    fn clone(&self) -> Self {
        Self {
            client: self.client.clone(),
            table: self.table.clone(),
            party: self.party,
            seen: Mutex::new(None),
        }
    }
}

/// A call that is being served.
#[derive(Debug)]
pub(super) struct Served<'a> {
    switch: &'a Switch,
    key: &'a str,
    recorded_since: Option<Millis>,
}

impl Switch {
    pub(super) fn new(ledger: &Ledger, party: &'static str) -> Self {
        Self {
            client: ledger.client.clone(),
            table: ledger.state.clone(),
            party,
            seen: Mutex::new(None),
        }
    }

    /// Lets a call in, or not.
    pub(super) async fn call<'a>(&'a self, key: &'a str) -> Result<Served<'a>, ProviderError> {
        let now = SystemClock.now();
        let outage = self.outage(now).await?;
        let served = |recorded_since| Served {
            switch: self,
            key,
            recorded_since,
        };
        match outage {
            Some(outage) if outage.is_on(now) => {
                Box::pin(self.record(key, now, false)).await;
                let down = Simulated("nobody is served");
                Err(ProviderError::Unavailable(Box::new(down)))
            }
            Some(outage) if outage.is_recorded(now) => {
                sleep(outage.slowness).await;
                Ok(served(Some(now)))
            }
            _ => Ok(served(None)),
        }
    }

    async fn outage(&self, now: Millis) -> Result<Option<Outage>, ProviderError> {
        // The others of a batch wait for the first one's look.
        let mut seen = self.seen.lock().await;
        if let Some((at, outage)) = *seen
            && now.since(at) < FRESH
        {
            return Ok(outage);
        }
        let found = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("key", AttributeValue::S(outage_key(self.party)))
            .send();
        // Boxed, since it is large and rare.
        let found = Box::pin(found)
            .await
            .map_err(|error| ProviderError::Unavailable(Box::new(error)))?;
        let outage = found.item.as_ref().and_then(Outage::read);
        *seen = Some((now, outage));
        Ok(outage)
    }

    /// A call that cannot be written down is made all the same.
    async fn record(&self, key: &str, started: Millis, served: bool) {
        let ended = SystemClock.now();
        let id = format!("{}{}/{key}", attempt_prefix(self.party), started.get());
        let sent = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("key", AttributeValue::S(id))
            .item("startedAt", number(started.get()))
            .item("endedAt", number(ended.get()))
            .item("served", AttributeValue::Bool(served))
            .item("expiresAt", number(ended.to_seconds().get() + KEPT_SECONDS))
            .send()
            .await;
        if let Err(error) = sent {
            let cause = message_worker::cause_chain(&error).join(": ");
            tracing::warn!(cause, "a call was not recorded");
        }
    }
}

impl Served<'_> {
    /// Writes the call down, where calls are.
    pub(super) async fn ended(self) {
        if let Some(started) = self.recorded_since {
            Box::pin(self.switch.record(self.key, started, true)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTAGE: Outage = Outage {
        from: Millis::new(1_000),
        until: Millis::new(2_000),
        recorded_until: Millis::new(3_000),
        slowness: Duration::from_millis(50),
    };

    #[test]
    fn a_switch_is_read_as_it_was_written() {
        assert_eq!(Outage::read(&OUTAGE.to_item("payment")), Some(OUTAGE));
        assert_eq!(Outage::read(&Item::new()), None);
    }

    #[test]
    fn an_outage_begins_and_ends_when_it_says_and_is_recorded_a_while_longer() {
        #[track_caller]
        fn check(millis: u64, is_on: bool, is_recorded: bool) {
            let now = Millis::new(millis);
            assert_eq!(
                (OUTAGE.is_on(now), OUTAGE.is_recorded(now)),
                (is_on, is_recorded)
            );
        }
        check(999, false, false);
        check(1_000, true, true);
        check(1_999, true, true);
        check(2_000, false, true);
        check(3_000, false, false);
    }
}
