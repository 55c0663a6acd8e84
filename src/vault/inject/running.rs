//! The injections that are under way in this process: so many to a host and of all, and of those so many of one org,
//! the last of them for who has none; so that a slow Odoo uses up its own places, and an org its part of a host that
//! it shares. And how they are ended, which is waited for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, OwnedMutexGuard};

use crate::ids::{ConnectionId, OrgId};

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

#[derive(Clone, Default)]
pub(in crate::vault) struct Injections(Arc<Mutex<All>>);

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
}

/// Held while an injection is under way.
pub(super) struct Turn {
    number: u64,
    running: Arc<Running>,
    all: Arc<Mutex<All>>,
    _until: OwnedMutexGuard<()>,
}

impl Turn {
    /// Ends when the injection is to end.
    pub(super) async fn stopped(&self) {
        self.running.stop.notified().await;
    }
}

impl Injections {
    /// `None` where as many are under way as may be.
    pub(super) fn begin(&self, connection: &ConnectionId, org: &OrgId, host: &str) -> Option<Turn> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |of: &dyn Fn(&Running) -> bool| all.running.values().filter(|it| of(it)).count();
        let own = count(&|running| running.org == *org);
        let there = count(&|running| running.host == host);
        let own_there = count(&|running| running.org == *org && running.host == host);
        if !IN_ALL.have_room(all.running.len(), own) || !TO_HOST.have_room(there, own_there) {
            return None;
        }
        let running = Arc::new(Running {
            connection: connection.clone(),
            org: org.clone(),
            host: host.to_owned(),
            stop: Notify::new(),
            ended: Arc::default(),
        });
        let until = running.ended.clone().try_lock_owned().ok()?;
        all.last += 1;
        let number = all.last;
        all.running.insert(number, running.clone());
        Some(Turn { number, running, all: self.0.clone(), _until: until })
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
            let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.running.values().filter(|running| stops(running)).cloned().collect()
        };
        stopped.iter().for_each(|running| running.stop.notify_one());
        for running in stopped {
            drop(running.ended.lock().await);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).running.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Moment;

    /// Attack on P4.
    #[test]
    fn a_slow_host_uses_up_its_own_places_alone() {
        let injections = Injections::default();
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
}
