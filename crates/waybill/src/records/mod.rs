//! What the deployment has on record: for one order, and for the traffic of its consumers.
//!
//! Nothing in here shows a task token, an address or a body.

pub(crate) mod audit;
pub(crate) mod executions;
pub(crate) mod failures;
pub(crate) mod order;
pub(crate) mod steps;
pub(crate) mod traffic;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A moment as the messages write it: RFC 3339 in UTC, with milliseconds.
pub(crate) fn moment(epoch_millis: u64) -> String {
    contracts::Timestamp::from_epoch_millis(epoch_millis).to_string()
}

/// Milliseconds since 1970, where the text is a moment.
pub(crate) fn epoch_millis(moment: &str) -> Option<u64> {
    let moment = OffsetDateTime::parse(moment, &Rfc3339).ok()?;
    u64::try_from(moment.unix_timestamp_nanos() / 1_000_000).ok()
}

/// Now, in milliseconds since 1970.
pub(crate) fn now_millis() -> u64 {
    let now = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
    u64::try_from(now).unwrap_or_default()
}

/// A span for people: `45 s`, `12 min`, `3 h`, `2 d`.
pub(crate) fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// `payment.refund` for `waybill.payment.refund.v1`.
pub(crate) fn short_name(message_type: &str) -> String {
    contracts::MessageType::parse(message_type)
        .map_or_else(|| message_type.to_owned(), |kind| kind.name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_reads_back_from_its_text() {
        let text = moment(1_795_000_000_123);
        assert_eq!(epoch_millis(&text), Some(1_795_000_000_123), "{text}");
        assert_eq!(epoch_millis("yesterday"), None);
    }

    #[test]
    fn a_span_has_the_unit_that_people_would_use() {
        let spans = [119, 120, 7_199, 7_200, 172_800].map(span);
        assert_eq!(spans, ["119 s", "2 min", "119 min", "2 h", "2 d"]);
    }
}
