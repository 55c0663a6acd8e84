//! Time as Odoo keeps and shows it: microseconds since 1970, UTC, of which people see whole seconds.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// One second.
pub const SECOND: i64 = 1_000_000;

/// What the server's clock says at the start: after all that was generated. 2025-11-01 12:00:00.
pub const START: i64 = 1_761_998_400 * SECOND;

/// `YYYY-MM-DD HH:MM:SS`.
pub fn shown(micros: i64) -> String {
    let at = Timestamp::from_second(micros.div_euclid(SECOND)).unwrap_or_default();
    let at = at.to_zoned(TimeZone::UTC).datetime();
    let (date, time) = (at.date(), at.time());
    let (hour, minute, second) = (time.hour(), time.minute(), time.second());
    format!("{date} {hour:02}:{minute:02}:{second:02}")
}

/// The whole second that a text names, in microseconds: a date, or that and a time, or that and a
/// fraction, which counts for nothing. `None` for any other text.
pub fn second(text: &str) -> Option<i64> {
    const SHAPE: &str = "0000-00-00 00:00:00.000000";
    let digits: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    if ![10, 19, 26].contains(&text.len()) || !SHAPE.starts_with(&digits) {
        return None;
    }
    let at = match text.get(..19) {
        Some(whole) => whole.parse::<DateTime>().ok()?,
        None => text.parse::<Date>().ok()?.into(),
    };
    Some(at.to_zoned(TimeZone::UTC).ok()?.timestamp().as_microsecond())
}

/// So many days after the books begin: `YYYY-MM-DD`.
pub fn date(day: i64) -> String {
    let start = jiff::civil::date(2025, 1, 1);
    start.saturating_add(jiff::Span::new().days(day.clamp(0, 10_000))).to_string()
}

/// The moment at which something was written on that day, in microseconds.
pub fn moment(day: i64, n: i64, micros: i64) -> i64 {
    const DAY_0: i64 = 1_735_689_600;
    let seconds = (8 + n % 10) * 3_600 + (n % 60) * 60 + (n * 7) % 60;
    (DAY_0 + day * 86_400 + seconds) * SECOND + micros
}
