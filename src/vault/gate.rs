//! A loan that is on its way out holds its connection's gate open, and its org's; a forget or a replace answers only
//! when it could close the one, a freeze the other. So no loan of what is gone or frozen is answered after that.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use tokio::sync::{OwnedRwLockReadGuard, RwLock};

use crate::ids::{ConnectionId, OrgId};

/// Enough that two orgs or connections seldom share a gate; sharing costs a wait, never an error.
const GATES: u64 = 64;

/// Held by a loan until its answer has been written.
pub struct Passage {
    _org: OwnedRwLockReadGuard<()>,
    _connection: OwnedRwLockReadGuard<()>,
}

#[derive(Clone)]
pub(super) struct Gates {
    orgs: Row,
    connections: Row,
}

impl Gates {
    pub(super) fn new() -> Self {
        Self { orgs: Row::new(), connections: Row::new() }
    }

    /// Waits while a gate of this connection or of its org is being closed, then passes.
    pub(super) async fn pass(&self, org: &OrgId, id: &ConnectionId) -> Passage {
        let org = self.orgs.gate(org.as_str()).read_owned().await;
        Passage { _org: org, _connection: self.connections.gate(id.as_str()).read_owned().await }
    }

    /// Waits until every loan of this connection that is on its way has been answered.
    pub(super) async fn close_behind(&self, id: &ConnectionId) {
        drop(self.connections.gate(id.as_str()).write_owned().await);
    }

    /// Waits until every loan of this org that is on its way has been answered.
    pub(super) async fn close_behind_org(&self, org: &OrgId) {
        drop(self.orgs.gate(org.as_str()).write_owned().await);
    }
}

#[derive(Clone)]
struct Row {
    gates: Vec<Arc<RwLock<()>>>,
    hashing: RandomState,
}

impl Row {
    fn new() -> Self {
        Self { gates: (0..GATES).map(|_| Arc::default()).collect(), hashing: RandomState::new() }
    }

    fn gate(&self, of: &str) -> Arc<RwLock<()>> {
        let mut hasher = self.hashing.build_hasher();
        hasher.write(of.as_bytes());
        let index = usize::try_from(hasher.finish() % GATES).unwrap_or(0);
        // The index is below the number of gates.
        self.gates.get(index).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;
    use crate::clock::Moment;

    /// Attack on P8.
    #[test]
    fn a_forget_waits_for_the_loan_on_its_way_and_the_next_loan_for_the_forget() {
        let gates = Gates::new();
        let id = ConnectionId::new(Moment::from_micros(0)).unwrap();
        waits_and_is_waited_for(&gates, &id, pin!(gates.close_behind(&id)));
    }

    /// Attack on P4 and P8.
    #[test]
    fn a_freeze_waits_for_its_orgs_loans_on_their_way() {
        let gates = Gates::new();
        let id = ConnectionId::new(Moment::from_micros(0)).unwrap();
        waits_and_is_waited_for(&gates, &id, pin!(gates.close_behind_org(&acme())));
    }

    fn acme() -> OrgId {
        OrgId::parse("acme").unwrap()
    }

    fn waits_and_is_waited_for(
        gates: &Gates,
        id: &ConnectionId,
        mut change: std::pin::Pin<&mut impl Future<Output = ()>>,
    ) {
        let (acme, mut context) = (acme(), Context::from_waker(Waker::noop()));
        let mut pass = pin!(gates.pass(&acme, id));
        let std::task::Poll::Ready(passage) = pass.as_mut().poll(&mut context) else {
            panic!("nothing holds the gate")
        };
        assert!(change.as_mut().poll(&mut context).is_pending());
        let mut later = pin!(gates.pass(&acme, id));
        assert!(later.as_mut().poll(&mut context).is_pending());

        drop(passage);
        assert!(change.as_mut().poll(&mut context).is_ready());
        assert!(later.as_mut().poll(&mut context).is_ready());
    }
}
