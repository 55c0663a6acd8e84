//! How often Odoo refused a login that was checked. Odoo does not throttle such logins, so this vault does:
//! with a replace before each, a check would tell a guesser whether a password is right. Each vault counts
//! for itself, and from its start.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Moment;

/// What counts: refusals of the last quarter of an hour.
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// So many for one login of one database, and for all of an org together.
const MOST_OF_LOGIN: usize = 5;
const MOST_OF_ORG: usize = 20;

/// Refused logins, by whose they were. No more are kept than were refused lately.
#[derive(Default)]
pub(super) struct Refusals(Mutex<BTreeMap<String, VecDeque<Moment>>>);

impl Refusals {
    /// Until when no login of `of` is to be tried for `org`, if there were too many.
    pub(super) fn hold(&self, org: &str, of: (&str, &str, &str), now: Moment) -> Option<Moment> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys(org, of)
            .into_iter()
            .filter_map(|(key, most)| {
                let refused = all.get(&key)?;
                let lately = refused.iter().filter(|at| at.after(WINDOW) > now);
                let count = lately.clone().count();
                // The one that has to go before there is room again.
                lately.clone().nth(count.checked_sub(most)?).map(|at| at.after(WINDOW))
            })
            .max()
    }

    /// One more.
    pub(super) fn note(&self, org: &str, of: (&str, &str, &str), now: Moment) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, refused| refused.back().is_some_and(|last| last.after(WINDOW) > now));
        for (key, most) in keys(org, of) {
            let refused = all.entry(key).or_default();
            refused.push_back(now);
            while refused.len() > most {
                refused.pop_front();
            }
        }
    }
}

/// No part holds a control character, so none reads as two.
fn keys(org: &str, (url, database, username): (&str, &str, &str)) -> [(String, usize); 2] {
    [(format!("{org}\0{url}\0{database}\0{username}"), MOST_OF_LOGIN), (org.to_owned(), MOST_OF_ORG)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(user: &str) -> (&str, &str, &str) {
        ("https://a.example", "db", user)
    }

    #[test]
    fn guesses_are_few_for_a_login_and_for_an_org() {
        let (refusals, begun) = (Refusals::default(), Moment::from_micros(0));
        for n in 0..5 {
            assert_eq!(refusals.hold("o", of("bot"), begun), None, "{n}");
            refusals.note("o", of("bot"), begun);
        }
        assert_eq!(refusals.hold("o", of("bot"), begun), Some(begun.after(WINDOW)));
        assert_eq!(refusals.hold("o", of("other"), begun), None);
        assert_eq!(refusals.hold("another", of("bot"), begun), None);
        let later = begun.after(Duration::from_secs(60));
        for n in 0..15 {
            let user = format!("u{n}");
            assert_eq!(refusals.hold("o", of(&user), later), None, "{n}");
            refusals.note("o", of(&user), later);
        }
        assert_eq!(refusals.hold("o", of("fresh"), later), Some(begun.after(WINDOW)));
        let over = begun.after(WINDOW);
        assert_eq!(refusals.hold("o", of("fresh"), over), None, "the first five are over");
        refusals.note("o", of("x"), later.after(WINDOW));
        assert_eq!(refusals.0.lock().unwrap().len(), 2, "what is over is not kept");
    }
}
