//! `waybill sandbox outage`.

use std::time::Duration;

use aws_adapters::sandbox::{Outage, outage_key};
use aws_sdk_dynamodb::types::AttributeValue;
use clap::{Args, ValueEnum};
use contracts::Timestamp;
use idempotency::{Clock, Millis, SystemClock};
use serde::Serialize;

use crate::cli::Context;
use crate::failure::{Exit, Failure};

/// `waybill sandbox outage PARTY --for 60s`, or `--end`
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Who serves nobody
    #[arg(value_enum)]
    party: Party,
    /// For how long, such as 90s or 5m
    #[arg(long = "for", value_name = "TIME", value_parser = duration, required_unless_present = "end")]
    length: Option<Duration>,
    /// How much longer each call takes for five minutes afterwards, such as 300ms
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "0s", conflicts_with = "end")]
    slow: Duration,
    /// End the outage now
    #[arg(long, conflicts_with = "length")]
    end: bool,
}

/// The sandbox providers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Party {
    /// The payment provider
    Payment,
    /// The warehouse
    Warehouse,
}

impl Party {
    fn as_str(self) -> &'static str {
        match self {
            Self::Payment => "payment",
            Self::Warehouse => "warehouse",
        }
    }
}

#[derive(Debug, Serialize)]
struct Said {
    party: Party,
    /// When it serves again; absent where the outage was ended.
    until: Option<String>,
}

/// Each call is written down for so long after an outage.
const RECORDED_AFTERWARDS: Duration = Duration::from_secs(300);

impl Arguments {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let deployment = context.settings.deployment().await?;
        let table = deployment.output("SandboxStateTableName")?;
        let client = deployment.dynamodb();
        let until = match self.length {
            Some(length) => Some(begin(&client, table, &self, length).await?),
            None => end(&client, table, self.party).await.map(|()| None)?,
        };
        let until = until.map(|until| Timestamp::from_epoch_millis(until.get()).to_string());
        let said = Said {
            party: self.party,
            until,
        };
        context.output.result(&said, text)?;
        Ok(Exit::Ok)
    }
}

async fn begin(
    client: &aws_sdk_dynamodb::Client,
    table: &str,
    arguments: &Arguments,
    length: Duration,
) -> Result<Millis, Failure> {
    let now = SystemClock.now();
    let until = now.plus(length);
    let outage = Outage {
        from: now,
        until,
        recorded_until: until.plus(RECORDED_AFTERWARDS),
        slowness: arguments.slow,
    };
    client
        .put_item()
        .table_name(table)
        .set_item(Some(outage.to_item(arguments.party.as_str())))
        .send()
        .await
        .map_err(|error| Failure::from_sdk("dynamodb:PutItem", error))?;
    Ok(until)
}

async fn end(client: &aws_sdk_dynamodb::Client, table: &str, party: Party) -> Result<(), Failure> {
    client
        .delete_item()
        .table_name(table)
        .key("key", AttributeValue::S(outage_key(party.as_str())))
        .send()
        .await
        .map_err(|error| Failure::from_sdk("dynamodb:DeleteItem", error))?;
    Ok(())
}

fn text(said: &Said) -> String {
    let party = said.party.as_str();
    match &said.until {
        Some(until) => format!("{party} serves nobody until {until}"),
        None => format!("{party} serves everybody"),
    }
}

/// The longest outage that can be asked for: the messages of a queue live for four days.
const LONGEST: Duration = Duration::from_secs(4 * 24 * 60 * 60);

/// `300ms`, `90s`, `5m` or `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let wrong = || format!("{text} is no time; write it as 300ms, 90s, 5m or 1h");
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let unit_millis = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        _ => return Err(wrong()),
    };
    let duration = Duration::from_millis(number.saturating_mul(unit_millis));
    if duration > LONGEST {
        return Err("an outage lasts four days at most".to_owned());
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        #[track_caller]
        fn check(text: &str, millis: Option<u64>) {
            assert_eq!(
                duration(text).ok(),
                millis.map(Duration::from_millis),
                "{text}"
            );
        }
        check("300ms", Some(300));
        check("90s", Some(90_000));
        check("5m", Some(300_000));
        check("1h", Some(3_600_000));
        check("90", None);
        check("s", None);
        check("-1s", None);
        check("5d", None);
        check("99999999999999999999s", None);
        check("97h", None);
        check("ü", None);
    }
}
