//! How often a login is tried at a customer's Odoo, which does not throttle them: so this vault does. With a replace
//! before each, a check would tell a guesser whether a password is right. What Odoo refused is counted in the
//! database, for each login over all orgs and of each; how much of that is one org's, and its checks, each vault counts for itself.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::access::Action;
use crate::audit::Actor;
use crate::clock::{Clock, Moment};
use crate::error::Error;
use crate::ids::OrgId;
use crate::odoo::Login;
use crate::store::{LoginClaim, LoginEnd, LoginKey, Store, StoredConnection, host};
use crate::vault::{DEADLINE, Vault};

/// So many refused logins of one org in a quarter of an hour.
const REFUSED_OF_ORG: (usize, Duration) = (20, Duration::from_secs(15 * 60));
/// So many checks of one host for one org in a minute.
const CHECKS_OF_HOST: (usize, Duration) = (10, Duration::from_secs(60));

/// See above.
#[derive(Clone)]
pub(super) struct Logins {
    store: Store,
    clock: Clock,
    refused: Arc<Lately>,
    checks: Arc<Lately>,
}

/// Leave to try a login once; what came of it is to be told by [`Logins::settle`].
#[must_use = "what came of it is to be told"]
pub(super) struct Claim {
    org: OrgId,
    claimed: LoginClaim,
}

impl Vault {
    /// Leave to try the login of `connection`; that there were too many refusals for it is on record.
    pub(super) async fn claim_login(
        &self,
        actor: &Actor,
        action: Action,
        connection: &StoredConnection,
    ) -> Result<Claim, Error> {
        match self.logins.claim(connection).await {
            Err(refused @ Error::TooManyRefusals { .. }) => {
                let subject = (&connection.id).into();
                let recorded = self.record_refusal(actor, action, subject, "too-many-refusals").await;
                Err(recorded.err().unwrap_or(refused))
            }
            claimed => claimed,
        }
    }
}

impl Logins {
    pub(super) fn new(store: Store, clock: Clock) -> Self {
        let counted = |(most, within)| Arc::new(Lately { most, within, all: Mutex::default() });
        Self { store, clock, refused: counted(REFUSED_OF_ORG), checks: counted(CHECKS_OF_HOST) }
    }

    /// Counts a check of the host at `url` for `org`, unless there were too many of late.
    pub(super) fn begin_check(&self, org: &OrgId, url: &str) -> Result<(), Error> {
        let now = self.clock.now();
        // An org's name holds no control character.
        let key = format!("{org}\0{}", host(url));
        match self.checks.held(&key, now) {
            Some(until) => Err(Error::TooManyChecks { until, now }),
            None => {
                self.checks.note(&key, now);
                Ok(())
            }
        }
    }

    /// Leave to try the login of `connection`, with its credential as it was found.
    async fn claim(&self, connection: &StoredConnection) -> Result<Claim, Error> {
        let (now, org) = (self.clock.now(), &connection.org);
        if let Some(until) = self.refused.held(org.as_str(), now) {
            return Err(Error::TooManyRefusals { until, now });
        }
        let key = LoginKey::of(org, connection.destination.parts());
        match self.store.claim_login(key, connection.was_taken, now, DEADLINE).await? {
            Ok(claimed) => Ok(Claim { org: org.clone(), claimed }),
            Err(until) => Err(Error::TooManyRefusals { until, now }),
        }
    }

    /// Tells what came of it. A refusal that can't be counted is told to the log: it was Odoo's answer all the same.
    pub(super) async fn settle(&self, claim: Claim, login: Login) {
        let now = self.clock.now();
        let end = match login {
            Login::Taken => LoginEnd::Taken,
            Login::Unknown => LoginEnd::Unknown,
            // What judges before Odoo does would tell a guesser as much.
            Login::Refused | Login::TurnedAway => {
                self.refused.note(claim.org.as_str(), now);
                LoginEnd::Refused
            }
        };
        let mut settled = self.store.settle_login(claim.claimed.clone(), end, now, DEADLINE).await;
        if settled.is_err() && end == LoginEnd::Refused {
            settled = self.store.settle_login(claim.claimed, end, now, DEADLINE).await;
        }
        if let Err(error) = settled {
            tracing::warn!(%error, "what came of a login was not counted");
        }
    }
}

/// Counts what happened of late, by what it was about. No more is kept than counts.
struct Lately {
    most: usize,
    within: Duration,
    all: Mutex<BTreeMap<String, VecDeque<Moment>>>,
}

impl Lately {
    /// Until when there is no room for one more, if there is none.
    fn held(&self, key: &str, now: Moment) -> Option<Moment> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = all.get(key)?.iter().filter(|at| at.after(self.within) > now);
        let count = lately.clone().count();
        // The one that has to go before there is room again.
        lately.clone().nth(count.checked_sub(self.most)?).map(|at| at.after(self.within))
    }

    /// One more.
    fn note(&self, key: &str, now: Moment) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, happened| happened.back().is_some_and(|last| last.after(self.within) > now));
        let happened = all.entry(key.to_owned()).or_default();
        happened.push_back(now);
        while happened.len() > self.most {
            happened.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_in_a_time_and_no_more() {
        let within = Duration::from_secs(60);
        let lately = Lately { most: 3, within, all: Mutex::default() };
        let begun = Moment::from_micros(0);
        for n in 0..3 {
            assert_eq!(lately.held("a", begun), None, "{n}");
            lately.note("a", begun.after(Duration::from_secs(n)));
        }
        assert_eq!(lately.held("a", begun.after(Duration::from_secs(3))), Some(begun.after(within)));
        assert_eq!(lately.held("b", begun), None);
        let over = begun.after(within);
        assert_eq!(lately.held("a", over), None, "the first is over");
        lately.note("a", over);
        assert_eq!(lately.held("a", over), Some(over.after(Duration::from_secs(1))));
        lately.note("b", over.after(within));
        assert_eq!(lately.all.lock().unwrap().len(), 1, "what is over is not kept");
    }
}
