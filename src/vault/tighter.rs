//! Whether an org's settings let less be called, lent and read than before, and nothing more. Such a change is on record
//! also when the day's events are used up: nobody keeps an owner from it by using them up.

use std::collections::BTreeSet;

use crate::error::Error;
use crate::odoo::Narrowed;
use crate::store::Injection;
use crate::vault::settings::OrgSettings;

impl OrgSettings {
    /// Nothing more than `before`, and something less.
    pub(super) fn is_tighter_than(&self, before: &Self) -> Result<bool, Error> {
        Ok(self.is_within(before)? && !before.is_within(self)?)
    }

    fn is_within(&self, other: &Self) -> Result<bool, Error> {
        let (own, others) = (&self.injection, &other.injection);
        Ok((own.only || !others.only)
            && (others.lend_to_writers || !own.lend_to_writers)
            && are_within(hosts(self), hosts(other))
            && are_within(fields(own)?, fields(others)?))
    }
}

/// Where there is no list, all is let.
fn are_within<T: Ord>(own: Option<BTreeSet<T>>, others: Option<BTreeSet<T>>) -> bool {
    match (own, others) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(own), Some(others)) => own.is_subset(&others),
    }
}

fn hosts(settings: &OrgSettings) -> Option<BTreeSet<&String>> {
    settings.allowed_hosts.as_ref().map(|hosts| hosts.iter().collect())
}

fn fields(injection: &Injection) -> Result<Option<BTreeSet<(String, String)>>, Error> {
    let Some(part) = &injection.readable else { return Ok(None) };
    let part: Narrowed = serde_json::from_str(part).map_err(|_| Error::Damaged("org_settings"))?;
    let fields = part.iter().flat_map(|(model, fields)| fields.iter().map(|it| (model.clone(), it.clone())));
    Ok(Some(fields.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(hosts: Option<&[&str]>, only: bool, lend_to_writers: bool, readable: Option<&str>) -> OrgSettings {
        OrgSettings {
            frozen_at: None,
            retention_days: 365,
            next_retention: None,
            allowed_hosts: hosts.map(|hosts| hosts.iter().copied().map(str::to_owned).collect()),
            injection: Injection { only, lend_to_writers, readable: readable.map(str::to_owned) },
        }
    }

    /// Attack on P4: what is on record past the quota comes to an end.
    #[test]
    fn only_what_takes_away_and_gives_nothing_is_tighter() {
        let all = of(None, false, true, None);
        let some =
            of(Some(&["a.example", "b.example"]), false, true, Some(r#"{"m": ["a", "b"], "n": ["c"]}"#));
        for (now, before, wanted) in [
            (&some, &all, true),
            (&all, &some, false),
            (&some, &some, false),
            (&of(None, true, true, None), &all, true),
            (&of(None, false, false, None), &all, true),
            (&of(None, true, true, None), &of(None, false, false, None), false),
            (&of(Some(&["a.example"]), true, false, Some(r#"{"m": ["b"]}"#)), &some, true),
            (
                &of(Some(&["b.example", "a.example"]), false, true, Some(r#"{"n": ["c"], "m": ["b", "a"]}"#)),
                &some,
                false,
            ),
            (&of(Some(&["c.example"]), false, true, Some(r#"{"m": ["a"]}"#)), &some, false),
            (&of(Some(&["a.example"]), false, true, Some(r#"{"n": ["a"]}"#)), &some, false),
        ] {
            assert_eq!(now.is_tighter_than(before).unwrap(), wanted, "{now:?} {before:?}");
        }
    }
}
