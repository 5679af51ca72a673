//! The one format of time on the wire.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::{Date, Month, OffsetDateTime, Time};

/// A moment, written as RFC 3339 in UTC with milliseconds: `2026-11-21T17:56:15.859Z`.
///
/// The width is fixed, so that the text sorts as the time does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    epoch_millis: u64,
}

/// 9999-12-31T23:59:59.999Z: a later year has more digits than the form allows.
const LAST_MILLIS: u64 = 253_402_300_799_999;

impl Timestamp {
    /// A moment by its milliseconds since 1970; the last one that can be written where
    /// they are more.
    pub fn from_epoch_millis(epoch_millis: u64) -> Self {
        Self {
            epoch_millis: epoch_millis.min(LAST_MILLIS),
        }
    }

    /// Milliseconds since 1970.
    pub fn epoch_millis(self) -> u64 {
        self.epoch_millis
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = i128::from(self.epoch_millis) * 1_000_000;
        let moment = OffsetDateTime::from_unix_timestamp_nanos(nanos).map_err(|_| fmt::Error)?;
        write!(
            formatter,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            moment.year(),
            u8::from(moment.month()),
            moment.day(),
            moment.hour(),
            moment.minute(),
            moment.second(),
            moment.millisecond(),
        )
    }
}

/// A text is not a moment as this system writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a time such as 2026-11-21T17:56:15.859Z")]
pub struct NotATimestamp;

impl FromStr for Timestamp {
    type Err = NotATimestamp;

    /// Reads the form that [`Timestamp`] is written in, and no other.
    fn from_str(text: &str) -> Result<Self, NotATimestamp> {
        let moment = read(text).ok_or(NotATimestamp)?;
        let millis = moment.unix_timestamp_nanos() / 1_000_000;
        let epoch_millis = u64::try_from(millis).map_err(|_| NotATimestamp)?;
        Ok(Self { epoch_millis })
    }
}

fn read(text: &str) -> Option<OffsetDateTime> {
    if !has_rfc3339_form(text) || text.len() != "2026-11-21T17:56:15.859Z".len() {
        return None;
    }
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u16>().ok();
    let small = |from: usize, to: usize| u8::try_from(number(from, to)?).ok();
    let month = Month::try_from(small(5, 7)?).ok()?;
    let date = Date::from_calendar_date(i32::from(number(0, 4)?), month, small(8, 10)?).ok()?;
    let time = Time::from_hms_milli(
        small(11, 13)?,
        small(14, 16)?,
        small(17, 19)?,
        number(20, 23)?,
    );
    Some(date.with_time(time.ok()?).assume_utc())
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Whether a text has the form of an RFC 3339 moment: digits, separators and zone in their places.
///
/// Times become parts of keys, so that a text of any other form or length must not get in.
pub(crate) fn has_rfc3339_form(text: &str) -> bool {
    let zeros = |letter: char| if letter.is_ascii_digit() { '0' } else { letter };
    let shape: String = text.chars().map(zeros).collect();
    let Some(rest) = shape.strip_prefix("0000-00-00T00:00:00") else {
        return false;
    };
    let zone = match rest.strip_prefix('.') {
        Some(fraction) => {
            let zone = fraction.trim_start_matches('0');
            if !(1..=9).contains(&(fraction.len() - zone.len())) {
                return false;
            }
            zone
        }
        None => rest,
    };
    matches!(zone, "Z" | "+00:00" | "-00:00")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_the_form_of_rfc_3339() {
        for right in [
            "2026-11-21T17:56:15Z",
            "2026-11-21T17:56:15.859Z",
            "2026-11-21T17:56:15.123456789+01:00",
        ] {
            assert!(has_rfc3339_form(right), "{right}");
        }
        for wrong in [
            "",
            "now",
            "2026-11-21",
            "2026-11-21T17:56:15",
            "2026-11-21T17:56:15.Z",
            "2026-11-21T17:56:15.0123456789Z",
            "2026-11-21T17:56:15Z and more",
        ] {
            assert!(!has_rfc3339_form(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_moment_is_written_with_milliseconds_in_utc() {
        let moment = Timestamp::from_epoch_millis(1_795_283_775_859);
        assert_eq!(moment.to_string(), "2026-11-21T17:56:15.859Z");
        assert_eq!(
            Timestamp::from_epoch_millis(0).to_string(),
            "1970-01-01T00:00:00.000Z"
        );
    }

    #[test]
    fn a_moment_beyond_all_that_can_be_written_is_the_last_that_can() {
        for millis in [LAST_MILLIS, LAST_MILLIS + 1, u64::MAX] {
            let last = Timestamp::from_epoch_millis(millis).to_string();
            assert_eq!(last, "9999-12-31T23:59:59.999Z");
            assert_eq!(last.parse(), Ok(Timestamp::from_epoch_millis(LAST_MILLIS)));
        }
    }

    #[test]
    fn what_is_written_is_read_again_and_nothing_else() {
        let moment = Timestamp::from_epoch_millis(1_795_284_000_123);
        assert_eq!(moment.to_string().parse(), Ok(moment));
        for other in [
            "",
            "2026-11-21T17:56:15Z",
            "2026-13-21T17:56:15.859Z",
            "2026-02-30T17:56:15.859Z",
            "2026-11-21T17:56:15.859+00:00",
            "1969-12-31T23:59:59.999Z",
        ] {
            assert_eq!(other.parse::<Timestamp>(), Err(NotATimestamp), "{other}");
        }
    }
}
