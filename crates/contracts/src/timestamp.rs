//! The one format of time on the wire.

use std::fmt;

use time::OffsetDateTime;

/// A moment, written as RFC 3339 in UTC with milliseconds: `2026-11-21T17:56:15.859Z`.
///
/// The width is fixed, so that the text sorts as the time does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    epoch_millis: u64,
}

impl Timestamp {
    /// A moment by its milliseconds since 1970.
    pub fn from_epoch_millis(epoch_millis: u64) -> Self {
        Self { epoch_millis }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_with_milliseconds_in_utc() {
        let moment = Timestamp::from_epoch_millis(1_795_283_775_859);
        assert_eq!(moment.to_string(), "2026-11-21T17:56:15.859Z");
        assert_eq!(
            Timestamp::from_epoch_millis(0).to_string(),
            "1970-01-01T00:00:00.000Z"
        );
    }
}
