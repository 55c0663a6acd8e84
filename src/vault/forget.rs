//! Forget a connection: the × beside it. When this answers, nothing reaches the row any more, its
//! loans have ended, and none is answered later.

use crate::access::Action;
use crate::audit::{Actor, AuditEvent, Outcome, Subject};
use crate::error::Error;
use crate::ids::ConnectionId;
use crate::store::{LendRefused, Store, Tx};
use crate::vault::check::Checks;
use crate::vault::gate::Gates;
use crate::vault::inject::Injections;
use crate::vault::leave::find_permitted;
use crate::vault::{DEADLINE, Vault};

impl Vault {
    /// Removes the connection with its ciphertext and ends its open leases.
    pub async fn forget(&self, actor: &Actor, id: ConnectionId) -> Result<(), Error> {
        let permit = self.permit(actor, Action::Forget, (&id).into()).await?;
        let scope = permit.scope();
        let at = self.clock.now();
        let (gone, actor, untold) = (id.clone(), actor.clone(), self.untold.clone());
        let forget = move |tx: &mut Tx| {
            let connection = match find_permitted(tx, (&actor, &permit, &untold), &gone, at)? {
                Ok(connection) => connection,
                Err(refused) => return Ok(Err(refused)),
            };
            if !tx.end_connection(&gone, at)? {
                return Err(Error::NotFound);
            }
            // The trail keeps what people called it.
            let label = connection.label.as_deref();
            let subject = Subject { connection: Some(&gone), label, lease: None };
            tx.append_past_quota(&AuditEvent::of(&actor, Action::Forget, subject, Outcome::Done, at)?)?;
            Ok::<_, Error>(Ok(()))
        };
        let after = self.burial(&id).bury();
        let done = self.store.run_then("forget", scope, DEADLINE, forget, (Result::is_ok, after)).await;
        if matches!(done, Ok(Err(LendRefused::NotFound)) | Err(Error::NotFound)) {
            // It may be gone by a call that was told 503: no loan of it is answered after this either.
            self.gates.close_behind(&id).await;
        }
        done?.map_err(|refused| Error::of_lend(refused, at))
    }

    /// What is left to do once the credential of `id` is gone.
    pub(super) fn burial(&self, id: &ConnectionId) -> Burial {
        let (store, checks, gates) = (self.store.clone(), self.checks.clone(), self.gates.clone());
        Burial { store, checks, injections: self.injections.clone(), gates, id: id.clone() }
    }
}

/// What is done also where nobody waits for it any more.
pub(super) struct Burial {
    store: Store,
    checks: Checks,
    injections: Injections,
    gates: Gates,
    id: ConnectionId,
}

impl Burial {
    /// Ends a check and the injections of a credential that is gone now, waits until every loan of it has been
    /// answered, and takes its ciphertext out of the log too.
    pub(super) async fn bury(self) {
        self.checks.stop(&self.id).await;
        self.injections.stop(&self.id).await;
        self.gates.close_behind(&self.id).await;
        // The row is gone either way; what stays in the log until the next checkpoint is sealed.
        if let Err(error) = self.store.scrub(DEADLINE).await {
            tracing::warn!(%error, "deleted bytes stay in the write-ahead log until the next checkpoint");
        }
    }
}
