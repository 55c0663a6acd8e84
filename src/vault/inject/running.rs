//! The injections that are under way in this process: so many to a host and of all, and of those so many of one org,
//! the last of them for who has none; so that a slow Odoo uses up its own places, and an org its part of a host that
//! it shares. And how they are ended, which is waited for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedMutexGuard};

use crate::clock::Clock;
use crate::ids::{ConnectionId, OrgId};
use crate::vault::inject::injected::Rest;

const IN_ALL: Places = Places { most: 64, of_org: 16, reserve: 16 };
const TO_HOST: Places = Places { most: 8, of_org: 3, reserve: 2 };

/// So many at once, so many of one org, and of all the last for orgs that have none there.
struct Places {
    most: usize,
    of_org: usize,
    reserve: usize,
}

impl Places {
    /// Whether there is one for an org that has `own` of the `taken`.
    fn have_room(&self, taken: usize, own: usize) -> bool {
        let open = if own == 0 { self.most } else { self.most - self.reserve };
        taken < open && own < self.of_org
    }
}

#[derive(Clone)]
pub(in crate::vault) struct Injections {
    all: Arc<Mutex<All>>,
    clock: Clock,
}

#[derive(Default)]
struct All {
    last: u64,
    running: BTreeMap<u64, Arc<Running>>,
}

struct Running {
    connection: ConnectionId,
    org: OrgId,
    host: String,
    stop: Notify,
    ended: Arc<tokio::sync::Mutex<()>>,
    /// What is still to be taken of its answer.
    rest: Mutex<Option<Rest>>,
}

/// Held while an injection is under way.
pub(super) struct Turn {
    place: Arc<Place>,
    _until: OwnedMutexGuard<()>,
}

/// One of those that there are; held until the answer was taken, which is after the end.
pub(super) struct Place {
    number: u64,
    running: Arc<Running>,
    of: Injections,
}

impl Turn {
    /// Ends when the injection is to end.
    pub(super) async fn stopped(&self) {
        self.place.running.stop.notified().await;
    }

    pub(super) fn place(&self) -> Arc<Place> {
        self.place.clone()
    }
}

impl Place {
    /// What is still to be taken.
    pub(super) fn rest(&self) -> MutexGuard<'_, Option<Rest>> {
        self.running.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.of.clock
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.of.all().running.remove(&self.number);
    }
}

impl Injections {
    pub(in crate::vault) fn new(clock: Clock) -> Self {
        Self { all: Arc::default(), clock }
    }

    /// `None` where as many are under way as may be, or on their way to who takes them.
    pub(super) fn begin(&self, connection: &ConnectionId, org: &OrgId, host: &str) -> Option<Turn> {
        let mut all = self.all();
        if all.is_full(org, host) {
            all.cut_off(&self.clock);
        }
        if all.is_full(org, host) {
            return None;
        }
        let running = Arc::new(Running {
            connection: connection.clone(),
            org: org.clone(),
            host: host.to_owned(),
            stop: Notify::new(),
            ended: Arc::default(),
            rest: Mutex::default(),
        });
        let until = running.ended.clone().try_lock_owned().ok()?;
        all.last += 1;
        let number = all.last;
        all.running.insert(number, running.clone());
        Some(Turn { place: Arc::new(Place { number, running, of: self.clone() }), _until: until })
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Cuts off who takes an answer too slowly: somebody waits for what they hold.
    pub(super) fn cut_off(&self) {
        self.all().cut_off(&self.clock);
    }

    /// Ends those of a connection, and waits until they have.
    pub(in crate::vault) async fn stop(&self, id: &ConnectionId) {
        self.stop_where(|running| running.connection == *id).await;
    }

    /// The same for those of an org.
    pub(in crate::vault) async fn stop_of(&self, org: &OrgId) {
        self.stop_where(|running| running.org == *org).await;
    }

    /// The same for all.
    pub(in crate::vault) async fn stop_all(&self) {
        self.stop_where(|_| true).await;
    }

    async fn stop_where(&self, stops: impl Fn(&Running) -> bool) {
        let stopped: Vec<Arc<Running>> = {
            let all = self.all();
            all.running.values().filter(|running| stops(running)).cloned().collect()
        };
        for running in &stopped {
            running.stop.notify_one();
            // And what was not taken yet of an answer.
            *running.rest.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        for running in stopped {
            drop(running.ended.lock().await);
        }
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl All {
    fn is_full(&self, org: &OrgId, host: &str) -> bool {
        let count = |of: &dyn Fn(&Running) -> bool| self.running.values().filter(|it| of(it)).count();
        let own = count(&|running| running.org == *org);
        let there = count(&|running| running.host == host);
        let own_there = count(&|running| running.org == *org && running.host == host);
        !IN_ALL.have_room(self.running.len(), own) || !TO_HOST.have_room(there, own_there)
    }

    /// Who takes their answer too slowly takes no more of it, and nobody's place.
    fn cut_off(&mut self, clock: &Clock) {
        let now = clock.elapsed();
        self.running.retain(|_, running| {
            let mut rest = running.rest.lock().unwrap_or_else(PoisonError::into_inner);
            let is_over = rest.as_ref().is_some_and(|rest| rest.is_over(now));
            if is_over {
                *rest = None;
            }
            !is_over
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Moment;
    use crate::vault::inject::Room;
    use crate::vault::inject::end::Found;
    use crate::vault::inject::injected::Injected;
    use std::time::Duration;

    /// Attack on P4.
    #[test]
    fn a_slow_host_uses_up_its_own_places_alone() {
        let injections = Injections::new(Clock::held(Moment::from_micros(0)));
        let id = ConnectionId::new(Moment::from_micros(0)).unwrap();
        let org = |n: usize| OrgId::parse(&format!("o{n}")).unwrap();
        let begin = |n: usize, host: &str| injections.begin(&id, &org(n), host);
        let mut turns: Vec<Turn> = (0..3).map(|_| begin(1, "slow").unwrap()).collect();
        assert!(begin(1, "slow").is_none(), "of the org to the host");
        turns.extend((0..3).map(|_| begin(2, "slow").unwrap()));
        assert!(
            begin(3, "slow").is_some_and(|_| begin(3, "slow").is_none()),
            "the last are for who has none"
        );
        turns.extend([3, 4].map(|n| begin(n, "slow").unwrap()));
        assert!(begin(5, "slow").is_none(), "to the host, whoever asks");
        turns.extend((0..13).map(|n| begin(1, &format!("h{n}")).unwrap()));
        assert!(begin(1, "another").is_none(), "of the org");
        turns.extend((0..27).map(|n| begin(6 + n / 14, &format!("g{n}")).unwrap()));
        assert_eq!(turns.len(), 48);
        assert!(begin(6, "another").is_none(), "the last are for who has none");
        turns.extend(
            (0..16).map(|n| begin(10 + n, "another").or_else(|| begin(10 + n, &format!("i{n}"))).unwrap()),
        );
        assert!(begin(30, "last").is_none(), "of all");
        turns.pop();
        assert!(begin(30, "last").is_some());
    }

    /// Attack on P4.
    #[test]
    fn who_takes_an_answer_too_slowly_takes_no_place_and_no_more_of_it() {
        let clock = Clock::held(Moment::from_micros(0));
        let injections = Injections::new(clock.clone());
        let (id, acme) = (ConnectionId::new(Moment::from_micros(0)).unwrap(), OrgId::parse("acme").unwrap());
        let begin = || injections.begin(&id, &acme, "h");
        let share = Room::new(injections.clone()).share(&acme);
        let found = |bytes: usize| Found { body: vec![b'x'; bytes].into(), room: share.clone() };
        let told: Vec<Injected> =
            (0..3).map(|_| Injected::new(begin().unwrap().place(), found(40 * 1024))).collect();
        assert!(begin().is_none(), "told, and not taken yet");
        clock.advance(Duration::from_secs(59));
        assert_eq!(told[0].slice().unwrap().unwrap().len(), 16 * 1024);
        clock.advance(Duration::from_secs(2));
        assert!(begin().is_some());
        assert!(told[1..].iter().all(|told| told.slice().unwrap().is_err()));
        let rest: usize = (0..2).map(|_| told[0].slice().unwrap().unwrap().len()).sum();
        assert_eq!((rest, told[0].slice().is_none()), (24 * 1024, true));
        drop(told);
        assert!(injections.all().running.is_empty());
        // By a byte a minute neither.
        let told = Injected::new(begin().unwrap().place(), found(1024 * 1024));
        let taken = (0..).take_while(|_| {
            clock.advance(Duration::from_secs(50));
            told.slice().unwrap().is_ok()
        });
        assert_eq!(taken.count(), 6);
    }
}
