//! The only place that knows the time: instants as whole seconds since 1970 in UTC, and the times of files.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A point in time, to the second; its text form is RFC 3339 in UTC (`2026-11-14T09:12:44Z`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(jiff::Timestamp);

impl Timestamp {
    /// The host's present time. Nothing after the lock may ask for it.
    pub fn now() -> Self {
        #[allow(clippy::disallowed_methods, reason = "this is the module the lint points to")]
        let now = jiff::Timestamp::now();
        Self::from_seconds(now.as_second()).unwrap_or(Self(jiff::Timestamp::UNIX_EPOCH))
    }

    /// The instant so many seconds after 1970-01-01T00:00:00Z, if the calendar reaches that far.
    pub fn from_seconds(seconds: i64) -> Option<Self> {
        jiff::Timestamp::from_second(seconds).ok().map(Self)
    }

    /// An RFC 2822 date with zone, as `Date:` and `Valid-Until:` of a Release file and HTTP headers carry it.
    pub fn parse_rfc2822(text: &str) -> Result<Self, BadTimestamp> {
        let bad = || BadTimestamp(text.to_owned());
        // Debian writes the zone as `UTC`, which RFC 2822 does not list among its zone names.
        let text = text.trim();
        let normal = text.strip_suffix("UTC").map_or_else(|| text.to_owned(), |t| format!("{t}GMT"));
        let zoned = jiff::fmt::rfc2822::parse(&normal).map_err(|_| bad())?;
        Self::from_seconds(zoned.timestamp().as_second()).ok_or_else(bad)
    }

    /// The instant at which its month began, in UTC.
    #[must_use]
    pub fn start_of_month(self) -> Self {
        let first = self.0.to_zoned(jiff::tz::TimeZone::UTC).first_of_month().and_then(|first| first.start_of_day());
        first.map_or(self, |first| Self(first.timestamp()))
    }

    /// Its day in UTC, as `%changelog` of rpm's spec files has it: `Wed Nov 13 2024`.
    pub fn day(self) -> String {
        self.0.strftime("%a %b %d %Y").to_string()
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    pub fn seconds(self) -> i64 {
        self.0.as_second()
    }
}

/// The host's present time as files have it: seconds since 1970, and nanoseconds.
pub fn of_files() -> (i64, i64) {
    #[allow(clippy::disallowed_methods, reason = "this is the module the lint points to")]
    let now = jiff::Timestamp::now();
    (now.as_second(), i64::from(now.subsec_nanosecond()))
}

/// Why a text is no point in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a date and time")]
pub struct BadTimestamp(String);

impl FromStr for Timestamp {
    type Err = BadTimestamp;

    fn from_str(text: &str) -> Result<Self, BadTimestamp> {
        let bad = || BadTimestamp(text.to_owned());
        let instant: jiff::Timestamp = text.parse().map_err(|_| bad())?;
        Self::from_seconds(instant.as_second()).ok_or_else(bad)
    }
}

impl TryFrom<String> for Timestamp {
    type Error = BadTimestamp;

    fn try_from(text: String) -> Result<Self, BadTimestamp> {
        text.parse()
    }
}

impl From<Timestamp> for String {
    fn from(t: Timestamp) -> Self {
        t.to_string()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn release_dates_are_read() {
        let t = Timestamp::parse_rfc2822("Sat, 14 Nov 2026 09:12:44 UTC").unwrap();
        assert_eq!(t.to_string(), "2026-11-14T09:12:44Z");
        assert_eq!("2026-11-14T09:12:44Z".parse::<Timestamp>().unwrap(), t);
        assert!(Timestamp::parse_rfc2822("yesterday").is_err());
    }

    #[test]
    fn months_begin_in_utc() {
        let start = |text: &str| text.parse::<Timestamp>().unwrap().start_of_month().to_string();
        assert_eq!(start("2026-11-14T09:12:44Z"), "2026-11-01T00:00:00Z");
        assert_eq!(start("2024-02-29T23:59:59Z"), "2024-02-01T00:00:00Z");
        assert_eq!(start("2026-12-01T00:00:00Z"), "2026-12-01T00:00:00Z");
    }
}
