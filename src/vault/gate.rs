//! A loan that is on its way out holds its connection's gate open; a forget or a replace answers only
//! when it could close it. So no loan of what is gone is answered after that.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use tokio::sync::{OwnedRwLockReadGuard, RwLock};

use crate::ids::ConnectionId;

/// Enough that two connections seldom share a gate; sharing costs a wait, never an error.
const GATES: u64 = 64;

/// Held by a loan until its answer has been written.
pub struct Passage {
    _open: OwnedRwLockReadGuard<()>,
}

pub(super) struct Gates {
    gates: Vec<Arc<RwLock<()>>>,
    hashing: RandomState,
}

impl Gates {
    pub(super) fn new() -> Self {
        Self { gates: (0..GATES).map(|_| Arc::default()).collect(), hashing: RandomState::new() }
    }

    /// Waits while the gate of this connection is being closed, then passes.
    pub(super) async fn pass(&self, id: &ConnectionId) -> Passage {
        Passage { _open: self.gate(id).read_owned().await }
    }

    /// Waits until every loan of this connection that is on its way has been answered.
    pub(super) async fn close_behind(&self, id: &ConnectionId) {
        drop(self.gate(id).write_owned().await);
    }

    fn gate(&self, id: &ConnectionId) -> Arc<RwLock<()>> {
        let mut hasher = self.hashing.build_hasher();
        hasher.write(id.as_str().as_bytes());
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
        let mut context = Context::from_waker(Waker::noop());

        let mut pass = pin!(gates.pass(&id));
        let std::task::Poll::Ready(passage) = pass.as_mut().poll(&mut context) else {
            panic!("nothing holds the gate")
        };
        let mut forget = pin!(gates.close_behind(&id));
        assert!(forget.as_mut().poll(&mut context).is_pending());
        let mut later = pin!(gates.pass(&id));
        assert!(later.as_mut().poll(&mut context).is_pending());

        drop(passage);
        assert!(forget.as_mut().poll(&mut context).is_ready());
        assert!(later.as_mut().poll(&mut context).is_ready());
    }
}
