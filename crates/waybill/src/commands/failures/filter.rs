//! Which failures a command means.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use contracts::Timestamp;
use contracts::schema::MESSAGES;
use domain::OrderId;
use failures::{FailureId, GroupId, Query, ReplayId, Status, UNKNOWN};
use message_worker::Class;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::consumers;
use super::store::now;
use crate::failure::Failure;

/// Flags that choose failures. All that are given must fit.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Which failures")]
pub(super) struct Filter {
    /// Only this group
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// Only this consumer's; `unknown` where nothing says whose they are
    #[arg(long, value_name = "CONSUMER", value_parser = consumer_parser())]
    consumer: Option<String>,
    /// Only this error class
    #[arg(long, value_name = "CLASS", value_parser = class_parser())]
    class: Option<String>,
    /// Only this error name
    #[arg(long, value_name = "NAME")]
    error: Option<String>,
    /// Only this message type, such as payment.charge or waybill.payment.charge.v1
    #[arg(long = "type", value_name = "TYPE", value_parser = message_type)]
    message_type: Option<String>,
    /// Only this order
    #[arg(long, value_name = "ORDER", value_parser = order_id)]
    order: Option<String>,
    /// Only in this status, or several, with commas between
    #[arg(long, value_name = "STATUS", value_delimiter = ',', value_parser = status_parser())]
    status: Vec<String>,
    /// Failed at this time or later: 2026-11-21T17:56:15Z, or 90s, 15m, 2h, 3d ago
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Failed before this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
    /// With this text in the id, the names, the causes, the notes or the body, in any case
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// Only what this replay had
    #[arg(long, value_name = "REPLAY")]
    replay: Option<String>,
}

impl Filter {
    /// Whether no flag is given at all.
    pub(super) fn is_empty(&self) -> bool {
        let texts = [
            &self.group,
            &self.consumer,
            &self.class,
            &self.error,
            &self.message_type,
            &self.order,
            &self.text,
            &self.replay,
        ];
        texts.iter().all(|text| text.is_none())
            && self.status.is_empty()
            && self.since.is_none()
            && self.until.is_none()
    }

    /// The query, with these statuses unless flags name others.
    pub(super) fn query(&self, statuses: &[Status]) -> Result<Query, Failure> {
        if let (Some(since), Some(until)) = (self.since, self.until)
            && since >= until
        {
            return Err(Failure::Input(format!(
                "--since {since} is not before --until {until}"
            )));
        }
        Ok(Query {
            ids: Vec::new(),
            statuses: match self.status.is_empty() {
                true => statuses.to_vec(),
                false => self.statuses(),
            },
            group: self.group.clone().map(GroupId::new),
            consumer: self.consumer.clone(),
            class: self.class.clone(),
            error_name: self.error.clone(),
            message_type: self.message_type.clone(),
            order_id: self.order.clone(),
            replay: self.replay.clone().map(ReplayId::new),
            since: self.since,
            until: self.until,
            text: self.text.clone(),
        })
    }

    fn statuses(&self) -> Vec<Status> {
        let is_named = |status: &Status| {
            self.status.iter().any(|name| match name.as_str() {
                "all" => true,
                "open" => status.is_open(),
                name => name == status.as_str(),
            })
        };
        Status::ALL.into_iter().filter(is_named).collect()
    }
}

/// The statuses that are listed unless others are asked for.
pub(super) const OPEN: [Status; 2] = [Status::Waiting, Status::Replaying];

/// An id as it was typed.
pub(super) fn failure_id(text: &str) -> Result<FailureId, String> {
    match text.trim() {
        "" => Err("must not be empty".to_owned()),
        id => Ok(FailureId::new(id)),
    }
}

fn status_parser() -> impl TypedValueParser<Value = String> {
    let names = Status::ALL.map(Status::as_str);
    PossibleValuesParser::new(names.into_iter().chain(["open", "all"]))
}

fn class_parser() -> impl TypedValueParser<Value = String> {
    let deferred = Class::Deferred {
        delay: None,
        fresh: false,
    };
    let classes = [
        Class::Transient,
        Class::Ambiguous,
        Class::Business,
        Class::Poison,
        deferred,
    ];
    let names = classes.map(Class::as_str);
    PossibleValuesParser::new(names.into_iter().chain([UNKNOWN]))
}

fn consumer_parser() -> impl TypedValueParser<Value = String> {
    PossibleValuesParser::new(consumers::names().into_iter().chain([UNKNOWN]))
}

/// A type of a contract, in full, or without what all of them have around it.
fn message_type(text: &str) -> Result<String, String> {
    let is_meant = |name: &str| {
        let short = name
            .strip_prefix("waybill.")
            .and_then(|name| name.strip_suffix(".v1"));
        name == text || short == Some(text)
    };
    let mut names = MESSAGES.iter().map(|schema| schema.message_type);
    match names.clone().find(|name| is_meant(name)) {
        Some(name) => Ok(name.to_owned()),
        None => {
            let first = names.next().unwrap_or_default();
            let all = names.fold(first.to_owned(), |all, name| format!("{all}, {name}"));
            Err(format!(
                "no contract is of this type (--text finds messages of others); there are: {all}"
            ))
        }
    }
}

fn order_id(text: &str) -> Result<String, String> {
    let id: Result<OrderId, _> = text.parse();
    id.map(|id| id.to_string())
        .map_err(|wrong| wrong.to_string())
}

/// A moment, or a time before now.
fn moment(text: &str) -> Result<Timestamp, String> {
    if let Some(ago) = duration(text) {
        let before = now().epoch_millis().saturating_sub(ago * 1000);
        return Ok(Timestamp::from_epoch_millis(before));
    }
    let wrong = || format!("{text:?} is neither a time like 2026-11-21T17:56:15Z nor like 2h");
    let text = match text.len() {
        10 => format!("{text}T00:00:00Z"),
        _ => text.to_owned(),
    };
    let moment = OffsetDateTime::parse(&text, &Rfc3339).map_err(|_| wrong())?;
    let millis = moment.unix_timestamp_nanos() / 1_000_000;
    let millis = u64::try_from(millis).map_err(|_| wrong())?;
    Ok(Timestamp::from_epoch_millis(millis))
}

/// A length of time in seconds, such as `90s`, `15m`, `2h`, `3d` or `1w`.
pub(super) fn duration(text: &str) -> Option<u64> {
    let unit = text.chars().last()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        'w' => 7 * 24 * 60 * 60,
        _ => return None,
    };
    let number: u32 = text.strip_suffix(unit)?.parse().ok()?;
    Some(u64::from(number) * seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn reads(text: &str, expected: &str) {
        assert_eq!(moment(text).unwrap().to_string(), expected);
    }

    #[test]
    fn a_time_is_a_moment_or_so_long_ago() {
        reads("2026-11-21T17:56:15Z", "2026-11-21T17:56:15.000Z");
        reads("2026-11-21T17:56:15.859Z", "2026-11-21T17:56:15.859Z");
        reads("2026-11-21T18:56:15+01:00", "2026-11-21T17:56:15.000Z");
        reads("2026-11-21", "2026-11-21T00:00:00.000Z");
        let two_hours_ago = now().epoch_millis() - moment("2h").unwrap().epoch_millis();
        assert!(
            (7_199_000..7_201_000).contains(&two_hours_ago),
            "{two_hours_ago}"
        );
        for wrong in [
            "",
            "h",
            "2",
            "yesterday",
            "2x",
            "-2h",
            "1960-01-01",
            "2026-13-01",
        ] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
        assert_eq!((duration("90s"), duration("1w")), (Some(90), Some(604_800)));
    }

    #[test]
    fn only_the_open_ones_are_meant_unless_others_are_named() {
        let mut filter = Filter::default();
        assert_eq!(filter.query(&OPEN).unwrap().statuses, OPEN);
        filter.status = vec!["archived".to_owned(), "open".to_owned()];
        let named = filter.query(&OPEN).unwrap().statuses;
        assert_eq!(
            named,
            [Status::Waiting, Status::Replaying, Status::Archived]
        );
        filter.status = vec!["all".to_owned()];
        assert_eq!(filter.query(&OPEN).unwrap().statuses, Status::ALL);
    }

    #[test]
    fn a_type_is_one_of_the_contracts() {
        for text in ["payment.charge", "waybill.payment.charge.v1"] {
            assert_eq!(message_type(text).unwrap(), "waybill.payment.charge.v1");
        }
        for schema in MESSAGES {
            assert_eq!(
                message_type(schema.message_type).unwrap(),
                schema.message_type
            );
        }
        for wrong in ["", "payment", "payment.charge.v1", "payment.chrage"] {
            let error = message_type(wrong).unwrap_err();
            assert!(error.contains("waybill.payment.charge.v1, "), "{error}");
        }
    }

    #[test]
    fn an_order_is_an_order_id() {
        let id = "7f0d2f5e-3c5b-5a8e-9a39-6f9a2f1c0b11";
        assert_eq!(order_id(id).unwrap(), id);
        for wrong in ["", " ", "o-1", "7F0D2F5E-3C5B-5A8E-9A39-6F9A2F1C0B11"] {
            assert!(order_id(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_span_that_is_empty_is_a_mistake() {
        let filter = Filter {
            since: moment("1h").ok(),
            until: moment("2h").ok(),
            ..Filter::default()
        };
        assert!(matches!(filter.query(&OPEN), Err(Failure::Input(_))));
    }
}
