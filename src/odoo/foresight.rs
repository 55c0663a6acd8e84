//! What is not wrong yet and will be: a clock that goes another way, a credential or a key of the user that ends
//! soon. A check warns of it.

use std::num::NonZeroU32;
use std::time::Duration;

use jiff::fmt::rfc2822::DateTimeParser;

use crate::clock::Moment;
use crate::odoo::client::Odoo;
use crate::odoo::fault::OdooError;
use crate::odoo::query::{Domain, Order, ReadQuery};
use crate::odoo::readable::CheckOnly;
use crate::odoo::record::Cell;

/// A clock is off by more than this: far beyond what an answer takes.
const SKEW: Duration = Duration::from_secs(2 * 60);
/// What ends within this ends soon.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// The first version whose API keys end.
const KEYS_END: u8 = 18;
/// More keys than a bot has.
const MOST_KEYS: NonZeroU32 = NonZeroU32::MIN.saturating_add(199);

/// Whether an answer of now says another time (`Date`, RFC 9110 section 5.6.7).
pub(super) fn is_skewed(date: Option<&str>, now: Moment) -> bool {
    let said = date.and_then(|date| DateTimeParser::new().parse_timestamp(date).ok());
    said.is_some_and(|said| {
        let said = Moment::from_micros(said.as_microsecond());
        said.since(now).max(now.since(said)) > SKEW
    })
}

/// Whether that is ahead, and soon.
pub(super) fn ends_soon(ends: Moment, now: Moment) -> bool {
    ends > now && ends <= now.after(SOON)
}

/// Whether a key of the user that is good for this API ends soon. Which of them was sent, Odoo tells nobody.
pub(super) async fn key_ends_soon(odoo: &Odoo, checks: &CheckOnly, now: Moment) -> Result<bool, OdooError> {
    if odoo.version().major() < KEYS_END {
        return Ok(false);
    }
    let model = checks.model("res.users.apikeys").map_err(|_| OdooError::QueryRefused)?;
    let fields = model.fields(&["user_id", "scope", "expiration_date"]);
    let fields = fields.map_err(|_| OdooError::QueryRefused)?;
    let domain = Domain::all(fields.model());
    let order = Order::IdAscending;
    let query = ReadQuery::SearchRead { domain, fields, order, offset: 0, limit: MOST_KEYS, archived: false };
    // An administrator is shown those of others too.
    let ends = odoo.fetch(&query).await?.into_iter().filter_map(|key| match key.cells.as_slice() {
        [Cell::Ref { id, .. }, scope, Cell::Text(ends)] if *id == odoo.uid() && is_for_rpc(scope) => {
            // UTC, in whole seconds.
            Moment::parse(&format!("{}Z", ends.as_str()))
        }
        _ => None,
    });
    Ok(ends.into_iter().any(|ends| ends_soon(ends, now)))
}

fn is_for_rpc(scope: &Cell) -> bool {
    match scope {
        Cell::Empty => true,
        Cell::Text(scope) => scope.as_str() == "rpc",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_held_against_now() {
        let now = Moment::parse("2026-11-24T12:00:00Z").unwrap();
        for (date, is_skewed_then) in [
            (Some("Tue, 24 Nov 2026 12:00:00 GMT"), false),
            (Some("Tue, 24 Nov 2026 12:02:00 GMT"), false),
            (Some("Tue, 24 Nov 2026 12:02:01 GMT"), true),
            (Some("Tue, 24 Nov 2026 11:57:59 GMT"), true),
            (Some("Mon, 01 Jan 1900 00:00:00 GMT"), true),
            (Some("yesterday"), false),
            (Some("Fri, 31 Dec 99999 00:00:00 GMT"), false),
            (None, false),
        ] {
            assert_eq!(is_skewed(date, now), is_skewed_then, "{date:?}");
        }
    }
}
