//! The injections that are under way in this process: so many of an org, to a host and of all, so that a slow Odoo uses
//! up its own places and no others; and how they are ended, which is waited for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, OwnedMutexGuard};

use crate::ids::{ConnectionId, OrgId};

const MOST: usize = 64;
const MOST_OF_ORG: usize = 16;
const MOST_TO_HOST: usize = 8;

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
        let is_full = all.running.len() >= MOST
            || count(&|running| running.org == *org) >= MOST_OF_ORG
            || count(&|running| running.host == host) >= MOST_TO_HOST;
        if is_full {
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
        let mut turns: Vec<Turn> = (0..8).map(|_| injections.begin(&id, &org(1), "slow").unwrap()).collect();
        assert!(injections.begin(&id, &org(1), "slow").is_none());
        assert!(injections.begin(&id, &org(2), "slow").is_none(), "to the host, whoever asks");
        turns.extend((0..8).map(|n| injections.begin(&id, &org(1), &format!("h{n}")).unwrap()));
        assert!(injections.begin(&id, &org(1), "another").is_none(), "of the org");
        turns.extend((0..48).map(|n| injections.begin(&id, &org(2 + n / 16), &format!("g{n}")).unwrap()));
        assert!(injections.begin(&id, &org(9), "another").is_none(), "of all");
        turns.pop();
        assert!(injections.begin(&id, &org(9), "another").is_some());
    }
}
