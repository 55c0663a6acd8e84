//! How a read begins: that it does is durable before the secret is opened.

use crate::access::{Action, UserScope};
use crate::audit::{Actor, AuditEvent, Outcome, Subject};
use crate::error::{Error, FieldError};
use crate::odoo::ReadQuery;
use crate::secret::Secret;
use crate::store::{LendRefused, StoredConnection, Tx};
use crate::vault::inject::{Ready, narrowed};
use crate::vault::leave::{find_permitted, note_refusal};
use crate::vault::lend::{binding, proof};
use crate::vault::{LEND_DEADLINE, Vault};

/// What has begun, as it was when that went on record.
pub(super) struct Begun {
    pub(super) scope: UserScope,
    /// With the address and the revision that the secret is sealed for.
    pub(super) connection: StoredConnection,
    pub(super) query: ReadQuery,
    /// The part of the policy that its org lets be read.
    pub(super) readable: Option<String>,
}

impl Vault {
    /// The secret, opened; that it is used is on record then.
    pub(super) async fn open_to_inject(
        &self,
        actor: &Actor,
        ready: &Ready,
    ) -> Result<(Begun, Secret), Error> {
        let at = self.clock.now();
        let model = ready.query.fields().model().name().to_owned();
        let method = ready.query.method().as_str();
        let begun = self.with_ring(async |held| {
            let (actor, owner, id) = (actor.clone(), ready.scope.clone(), ready.found.id.clone());
            let (permit, untold, keyring) = (ready.permit.clone(), self.untold.clone(), held.keyring.clone());
            let (model, all, ask) = (model.clone(), self.readable.clone(), ready.ask.clone());
            let (query, looked_at) = (ready.query.clone(), ready.readable.clone());
            let begin = move |tx: &mut Tx| {
                let connection = match find_permitted(tx, (&actor, &permit, &untold), &id, at)? {
                    Ok(connection) => connection,
                    Err(refused) => return Ok(Err(refused)),
                };
                let found = match tx.find_frozen()?.is_frozen() {
                    true => Err(LendRefused::Frozen),
                    false => tx.find_sealed(&owner, &id, &proof(&keyring, &owner, &id))?,
                };
                let found = match found {
                    Ok(found) => tx.may_be_called(&found.destination)?.map(|()| found),
                    Err(refused) => Err(refused),
                };
                let found = found.and_then(|credential| match () {
                    () if !credential.kind.is_odoo() => Err(LendRefused::NotOdoo),
                    () if connection.is_leaked => Err(LendRefused::Leaked),
                    () if credential.auth_failed => Err(LendRefused::AuthFailed),
                    () => Ok(credential),
                });
                if let Err(LendRefused::UnknownKey(key)) = &found
                    && held.may_learn(key)
                {
                    return Err(Error::OldRing(key.clone()));
                }
                // What may be read may be less than it was a moment ago.
                let readable = tx.find_injection()?.readable;
                let query = match readable == looked_at {
                    true => query,
                    false => narrowed(&all, readable.as_deref(), &ask)?,
                };
                let subject = Subject { connection: Some(&id), label: None, lease: None };
                match &found {
                    Ok(_) => {
                        let more = [("model", model.as_str()), ("method", method)];
                        tx.append(&AuditEvent::of_with(
                            &actor,
                            Action::Inject,
                            (subject, &more),
                            Outcome::Done,
                            at,
                        )?)?;
                    }
                    Err(refused) => {
                        let why = (refused.cause(), at);
                        note_refusal(tx, (&actor, &untold), Action::Inject, subject, why)?;
                    }
                }
                Ok::<_, Error>(found.map(|credential| (keyring, connection, credential, (query, readable))))
            };
            let begun = self.store.run("begin inject", ready.scope.clone().into(), LEND_DEADLINE, begin);
            begun.await?.map_err(|refused| match refused {
                LendRefused::NotOdoo => {
                    Error::NotOdoo(FieldError::of_odoo_alone("id", "must be of a password or API key"))
                }
                refused => Error::of_lend(refused, at),
            })
        });
        let late = |_| Error::Unavailable("deadline".into());
        let (keyring, connection, credential, (query, readable)) =
            tokio::time::timeout(LEND_DEADLINE, begun).await.map_err(late)??;
        // The host may have been frozen meanwhile.
        self.switch.refuse()?;
        let binding = binding(&ready.scope, &connection.id, &credential);
        let secret = keyring.open(&binding, &credential.sealed).map_err(|_| Error::DoesNotOpen)?;
        // Where it is sent is what it was sealed for.
        let (destination, revision) = (credential.destination, credential.revision);
        let connection = StoredConnection { destination, revision, ..connection };
        Ok((Begun { scope: ready.scope.clone(), connection, query, readable }, secret))
    }
}
