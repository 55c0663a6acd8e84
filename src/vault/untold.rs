//! What is counted instead of put on record one by one, so that nobody can fill a trail: tokens that do not verify, an
//! org's denials past the first of a minute, calls past its quota. However many there are, so much is remembered and
//! no more; nothing of a token that did not verify is.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::IpNet;

use crate::access::Action;
use crate::audit::{Actor, Counted, Outcome, Slot, Slots};
use crate::clock::{Clock, Moment};
use crate::ids::{ClientId, OrgId, UserId};
use crate::metrics;
use crate::store::Once;
use crate::vault::reserve::Reserve;

/// How many kinds of bad tokens, and how many orgs past their quota, are told apart.
const MOST_OF_VAULT: usize = 256;
/// How many kinds of denials of one org are told apart, and of how many orgs.
const MOST_OF_ORG: usize = 32;
const MOST_ORGS: usize = 1024;
const MINUTE: Duration = Duration::from_secs(60);

const FAIL: &str = "authentication.fail";
const QUOTA: &str = "event.quota";
const OTHERS: &str = "denial.others";

/// What is alike, and so counted together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Alike {
    Failed {
        block: Option<IpNet>,
        reason: &'static str,
    },
    PastQuota(OrgId),
    /// With the cause; `None` is a read of the trail, which was done.
    Asked {
        user: Option<UserId>,
        client: ClientId,
        act: Act,
        reason: Option<&'static str>,
    },
    /// Whatever is too much to be told apart.
    Others(&'static str),
}

/// The action as the trail calls it, and the purpose of a lend.
type Act = (&'static str, Option<&'static str>);

/// In whose chain it is told (`None`: the vault's own), and what.
type Key = (Option<OrgId>, Alike);

#[derive(Clone, Copy, Debug)]
struct Count {
    count: u64,
    since: Moment,
    until: Moment,
}

/// What waits to be told.
#[derive(Default)]
pub(super) struct Counts {
    of: BTreeMap<Key, Count>,
    /// How many are told apart, by chain and kind.
    apart: BTreeMap<(Option<OrgId>, &'static str), usize>,
}

impl Counts {
    fn add(&mut self, key: Key, count: Count) {
        let key = self.place(key);
        let known = self.of.entry(key).or_insert(Count { count: 0, ..count });
        known.count = known.count.saturating_add(count.count);
        known.since = known.since.min(count.since);
        known.until = known.until.max(count.until);
    }

    /// The key, or the one of all others where there are too many.
    fn place(&mut self, key: Key) -> Key {
        if self.of.contains_key(&key) {
            return key;
        }
        let (trail, alike) = key;
        let (kind, most) = match &alike {
            Alike::Failed { .. } => (FAIL, MOST_OF_VAULT),
            Alike::PastQuota(_) => (QUOTA, MOST_OF_VAULT),
            Alike::Asked { .. } => (OTHERS, MOST_OF_ORG),
            Alike::Others(_) => return (trail, alike),
        };
        let place = (trail, kind);
        let places = self.apart.len();
        match self.apart.get_mut(&place) {
            Some(apart) if *apart >= most => return (place.0, Alike::Others(kind)),
            Some(apart) => *apart += 1,
            None if place.0.is_some() && places >= MOST_ORGS => return (None, Alike::Others(kind)),
            None => _ = self.apart.insert(place.clone(), 1),
        }
        (place.0, alike)
    }

    /// By chain.
    pub(super) fn by_trail(self) -> BTreeMap<Option<OrgId>, Self> {
        let mut trails: BTreeMap<Option<OrgId>, Self> = BTreeMap::new();
        for (key, count) in self.of {
            trails.entry(key.0.clone()).or_default().of.insert(key, count);
        }
        trails
    }

    /// Each, with the chain that it is to be told in.
    pub(super) fn told(&self) -> impl Iterator<Item = (Option<&OrgId>, Counted<'_>)> {
        self.of.iter().map(|((trail, alike), count)| (trail.as_ref(), counted(trail.as_ref(), alike, *count)))
    }
}

fn counted<'a>(
    trail: Option<&'a OrgId>,
    alike: &'a Alike,
    Count { count, since, until }: Count,
) -> Counted<'a> {
    let (action, outcome) = match alike {
        Alike::Failed { reason, .. } => (FAIL, Outcome::Refused(reason)),
        Alike::PastQuota(_) => (QUOTA, Outcome::Refused("event-quota")),
        Alike::Asked { act, reason, .. } => (act.0, reason.map_or(Outcome::Done, Outcome::Refused)),
        Alike::Others(kind) => (*kind, Outcome::Refused("others")),
    };
    let mut counted = Counted {
        action,
        outcome,
        purpose: None,
        org: trail,
        user: None,
        client: None,
        block: None,
        count,
        since,
        until,
    };
    match alike {
        Alike::Failed { block, .. } => counted.block = *block,
        Alike::PastQuota(org) => counted.org = Some(org),
        Alike::Asked { user, client, act, .. } => {
            (counted.user, counted.client, counted.purpose) = (user.as_ref(), Some(client), act.1);
        }
        Alike::Others(_) => {}
    }
    counted
}

#[derive(Default)]
struct Minute {
    /// Which, since the clock's beginning.
    number: u64,
    counts: Counts,
    /// Which minute the counts are of, at the latest.
    counts_of: u64,
    /// What was told by a try that nobody knows the end of, by chain, and in which minute.
    unsure: BTreeMap<Option<OrgId>, (u64, Once)>,
}

/// What is counted in this process.
pub struct Untold {
    clock: Clock,
    reserve: Reserve,
    slots: Arc<Slots>,
    minute: Mutex<Minute>,
}

impl Untold {
    /// Nothing yet.
    pub fn new(clock: Clock, reserve: Reserve) -> Self {
        Self { slots: Slots::new(clock.clone()), clock, reserve, minute: Mutex::default() }
    }

    /// How much room there is for what need not be told.
    pub fn reserve(&self) -> &Reserve {
        &self.reserve
    }

    /// A token or an assertion did not verify, by the stable name of why.
    pub fn count_failed(&self, address: Option<IpAddr>, reason: &'static str) {
        metrics::counted("authentication");
        self.count((None, Alike::Failed { block: address.and_then(block), reason }));
    }

    /// A call of the org's was refused since its trail takes no more.
    pub fn count_past_quota(&self, org: &OrgId) {
        metrics::counted("quota");
        self.count((None, Alike::PastQuota(org.clone())));
    }

    pub(super) fn count_denied(&self, actor: &Actor, action: Action, reason: &'static str) {
        metrics::counted("denial");
        let (user, client) = (Some(actor.caller.user().clone()), actor.caller.client().clone());
        let (act, reason) = ((action.recorded(), action.purpose()), Some(reason));
        let denied = Alike::Asked { user, client, act, reason };
        self.count((Some(actor.caller.org().clone()), denied));
    }

    /// The trail was read, and that could not be told by itself.
    pub(super) fn count_reading(&self, actor: &Actor, action: &'static str) {
        metrics::counted("reading");
        let (user, client) = (Some(actor.caller.user().clone()), actor.caller.client().clone());
        let read = Alike::Asked { user, client, act: (action, None), reason: None };
        self.count((Some(actor.caller.org().clone()), read));
    }

    /// A denial of somebody who acts for no org.
    pub(super) fn count_denied_client(&self, client: &ClientId, action: &'static str, reason: &'static str) {
        metrics::counted("denial");
        let (client, act) = (client.clone(), (action, None));
        self.count((None, Alike::Asked { user: None, client, act, reason: Some(reason) }));
    }

    /// A place for a denial of the org's (or of who acts for none), if it is to be put on record by itself.
    pub(super) fn slot(&self, org: Option<&OrgId>) -> Option<Slot> {
        if self.reserve.is_below() { None } else { self.slots.take(org) }
    }

    /// What was counted in the minutes before this one; with `all`, in this one too.
    pub(super) fn take(&self, all: bool) -> Counts {
        let mut minute = self.minute();
        match all || minute.counts_of < minute.number {
            true => std::mem::take(&mut minute.counts),
            false => Counts::default(),
        }
    }

    /// What was told and may be there or not, of the minutes before this one; with `all`, of this one too.
    pub(super) fn take_unsure(&self, all: bool) -> BTreeMap<Option<OrgId>, Once> {
        let mut minute = self.minute();
        let number = minute.number;
        let (due, kept) =
            std::mem::take(&mut minute.unsure).into_iter().partition(|(_, (of, _))| all || *of < number);
        minute.unsure = kept;
        let due: BTreeMap<Option<OrgId>, (u64, Once)> = due;
        due.into_iter().map(|(trail, (_, once))| (trail, once)).collect()
    }

    /// Whether something of that chain may be there or not.
    pub(super) fn is_unsure(&self, trail: Option<&OrgId>) -> bool {
        self.minute().unsure.contains_key(&trail.cloned())
    }

    /// It may be there or not: to be told again, as it is.
    pub(super) fn keep_unsure(&self, trail: Option<OrgId>, once: Once) {
        let mut minute = self.minute();
        let number = minute.number;
        minute.unsure.insert(trail, (number, once));
    }

    /// It could not be told: another time.
    pub(super) fn put_back(&self, counts: Counts) {
        let mut minute = self.minute();
        minute.counts_of = minute.number;
        counts.of.into_iter().for_each(|(key, count)| minute.counts.add(key, count));
    }

    fn count(&self, key: Key) {
        let now = self.clock.now();
        let mut minute = self.minute();
        if minute.counts.of.is_empty() {
            minute.counts_of = minute.number;
        }
        minute.counts.add(key, Count { count: 1, since: now, until: now });
    }

    /// The minute that it is.
    fn minute(&self) -> MutexGuard<'_, Minute> {
        let number = self.clock.elapsed().as_secs() / MINUTE.as_secs();
        // A poisoned minute holds only whole counts.
        let mut minute = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        if minute.number < number {
            minute.number = number;
        }
        minute
    }
}

/// As one network is given out: an IPv4 /24, an IPv6 /48.
fn block(address: IpAddr) -> Option<IpNet> {
    let address = address.to_canonical();
    IpNet::new(address, if address.is_ipv4() { 24 } else { 48 }).ok().map(|net| net.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(keys: impl Iterator<Item = Key>) -> Counts {
        let (mut counts, now) = (Counts::default(), Moment::from_micros(0));
        keys.for_each(|key| counts.add(key, Count { count: 1, since: now, until: now }));
        counts
    }

    /// Attack on P10.
    #[test]
    fn however_many_there_are_no_more_than_so_much_is_remembered() {
        let failed = |n: u32| {
            let block = block(std::net::Ipv4Addr::from(n << 8).into());
            (None, Alike::Failed { block, reason: "token-invalid" })
        };
        let counts_failed = counts((0..100_000).map(failed));
        assert_eq!(counts_failed.of.len(), MOST_OF_VAULT + 1);
        assert_eq!(counts_failed.told().map(|(_, counted)| counted.count).sum::<u64>(), 100_000);

        let denied = |n: u32| {
            let org = OrgId::parse(&format!("org{}", n % 5000)).unwrap();
            let client = ClientId::parse(&format!("svc{n}")).unwrap();
            (
                Some(org),
                Alike::Asked { user: None, client, act: ("lease.list", None), reason: Some("forbidden") },
            )
        };
        let counts_denied = counts((0..300_000).map(denied));
        assert!(counts_denied.of.len() <= MOST_ORGS * (MOST_OF_ORG + 1) + 1, "{}", counts_denied.of.len());
        assert_eq!(counts_denied.told().map(|(_, counted)| counted.count).sum::<u64>(), 300_000);
    }

    #[test]
    fn an_address_counts_as_its_block() {
        for (address, expected) in [
            ("192.0.2.77", "192.0.2.0/24"),
            ("::ffff:192.0.2.77", "192.0.2.0/24"),
            ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ] {
            assert_eq!(block(address.parse().unwrap()).unwrap().to_string(), expected);
        }
    }
}
