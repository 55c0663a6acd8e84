//! A time as Odoo shows it: UTC, whole seconds. Odoo keeps microseconds and hides them, so two stamps
//! that are equal here may not be there.

use std::fmt;
use std::time::Duration;

use jiff::SignedDuration;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::clock::Moment;

/// `YYYY-MM-DD HH:MM:SS`, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(DateTime);

impl Stamp {
    /// Takes that form and no other.
    pub fn parse(text: &str) -> Option<Self> {
        let stamp = Self(text.parse().ok()?);
        (stamp.to_string() == text).then_some(stamp)
    }

    /// The second in which `moment` lies; the end of time if it is past that.
    pub fn of(moment: Moment) -> Self {
        let at = jiff::Timestamp::from_microsecond(moment.micros()).unwrap_or(jiff::Timestamp::MAX);
        Self(TimeZone::UTC.to_datetime(at))
    }

    /// So much earlier; the beginning of time if it would be before that.
    pub fn before(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX)))
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.strftime("%Y-%m-%d %H:%M:%S"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_odoos_own_form_is_taken_and_it_comes_back_the_same() {
        for text in ["2026-11-23 17:19:00", "1970-01-01 00:00:00", "9999-12-31 23:59:59"] {
            assert_eq!(Stamp::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "2026-11-23",
            "2026-11-23T17:19:00",
            "2026-11-23 17:19",
            "2026-11-23 17:19:00.5",
            "2026-11-23 17:19:00Z",
            "2026-02-30 00:00:00",
            " 2026-11-23 17:19:00",
            "2026-11-23 25:00:00",
        ] {
            assert_eq!(Stamp::parse(text), None, "{text}");
        }
        let hour = Duration::from_secs(3600);
        assert_eq!(
            Stamp::parse("2026-01-01 00:30:00").unwrap().before(hour).to_string(),
            "2025-12-31 23:30:00"
        );
        let at = Moment::parse("2026-11-23T17:19:00.999999Z").unwrap();
        assert_eq!(Stamp::of(at).to_string(), "2026-11-23 17:19:00");
    }
}
