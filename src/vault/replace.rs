//! Replace a connection's credential. When this answers, nothing is left of the old one, and no loan of
//! it is answered later.

use crate::access::Action;
use crate::audit::{Actor, AuditEvent, Outcome, Subject};
use crate::error::Error;
use crate::ids::ConnectionId;
use crate::seal::Binding;
use crate::secret::Secret;
use crate::store::{LendRefused, NewCredential, Repeat, StoredConnection, Tx};
use crate::vault::deposit::{check_secret, lies_ahead, moment};
use crate::vault::lend::proof;
use crate::vault::{DEADLINE, Vault, repeat};

/// The new credential, as it was sent. Its kind stays: for another, forget and deposit.
pub struct Replace {
    /// The new secret.
    pub secret: Secret,
    /// When it ends by itself, RFC 3339.
    pub expires_at: Option<String>,
}

impl Vault {
    /// Seals the credential as the next revision, for the connection's own user, in the place of the one
    /// that is there. That one has to open where it lies first: a row that somebody redirected gets no
    /// new secret.
    pub async fn replace(
        &self,
        actor: &Actor,
        id: ConnectionId,
        new: Replace,
        again: Option<Repeat>,
    ) -> Result<StoredConnection, Error> {
        let scope = self.allow(actor, Action::Replace).await?;
        let mut wrong = Vec::new();
        check_secret(None, "secret", &new.secret, &mut wrong);
        let expires_at = moment("expires_at", new.expires_at.as_deref(), &mut wrong);
        if !wrong.is_empty() {
            return Err(Error::Invalid(wrong));
        }
        let at = self.clock.now();
        let (keyring, actor, covered, of) = (self.keyring.clone(), actor.clone(), scope.clone(), id.clone());
        let replace = move |tx: &mut Tx| {
            if let Some(first) = repeat::find_connection(tx, &actor, again.as_ref(), &covered, at)? {
                return Ok(Ok(first));
            }
            lies_ahead("expires_at", expires_at, at)?;
            let mut connection = tx.find_connection(&id)?.ok_or(Error::NotFound)?;
            let owner = covered.of_user(&connection.user).ok_or(Error::NotFound)?;
            let record = |outcome| {
                let subject = Subject { connection: Some(&id), lease: None };
                AuditEvent::of(&actor, Action::Replace, subject, outcome, at)
            };
            let old = match tx.find_sealed(&owner, &id, &proof(&keyring, &owner, &id))? {
                Ok(old) => old,
                Err(refused) => {
                    tx.append(&record(Outcome::Refused(refused.cause()))?)?;
                    return Ok(Err(refused));
                }
            };
            let mut wrong = Vec::new();
            check_secret(Some(old.kind), "secret", &new.secret, &mut wrong);
            if !wrong.is_empty() {
                return Err(Error::Invalid(wrong));
            }
            let revision = old.revision.next();
            let binding = Binding::credential(&owner, &id, revision, old.kind, &old.destination);
            let sealed = keyring.seal(&binding, &new.secret);
            let sealed = sealed.map_err(|failed| Error::Unavailable(failed.to_string()))?;
            connection.revision = old.revision;
            tx.replace_credential(&connection, &NewCredential { sealed, revision, expires_at, at })?;
            tx.append(&record(Outcome::Done)?)?;
            let connection = tx.find_connection(&id)?.ok_or(Error::NotFound)?;
            repeat::keep_connection(tx, &actor, again.as_ref(), &connection, at)?;
            Ok::<_, Error>(Ok::<_, LendRefused>(connection))
        };
        let replaced = self.store.run("replace", scope, DEADLINE, replace).await?;
        let replaced = replaced.map_err(|refused| Error::of_lend(refused, at))?;
        self.bury(&of).await;
        Ok(replaced)
    }
}
