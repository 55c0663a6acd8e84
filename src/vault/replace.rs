//! Replace a connection's credential. When this answers, nothing is left of the old one, and no loan of
//! it is answered later.

use std::sync::Arc;

use crate::access::Action;
use crate::audit::{Actor, AuditEvent, Outcome, Subject};
use crate::error::Error;
use crate::ids::ConnectionId;
use crate::seal::Binding;
use crate::secret::Secret;
use crate::store::{LendRefused, NewCredential, StoredConnection, Tx};
use crate::vault::deposit::{check_secret, lies_ahead, moment, quoted_in};
use crate::vault::freeze::show_frozen;
use crate::vault::leave::{find_permitted, note_refusal};
use crate::vault::lend::proof;
use crate::vault::{DEADLINE, KeyedRequest, Vault, repeat};

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
        again: Option<KeyedRequest>,
    ) -> Result<StoredConnection, Error> {
        let permit = self.permit(actor, Action::Replace, (&id).into()).await?;
        let scope = permit.scope();
        let mut wrong = Vec::new();
        check_secret(None, "secret", &new.secret, &mut wrong);
        let expires_at = moment("expires_at", new.expires_at.as_deref(), &mut wrong);
        if !wrong.is_empty() {
            return Err(Error::Invalid(wrong));
        }
        let at = self.clock.now();
        let secret = Arc::new(new.secret);
        let here = self.switch.is_frozen();
        let replaced = self.with_ring(async |held| {
            let (actor, covered, id) = (actor.clone(), scope.clone(), id.clone());
            let (again, secret, permit) = (held.marked(again.as_ref()), secret.clone(), permit.clone());
            let (untold, after) = (self.untold.clone(), self.burial(&id).bury());
            let replace = move |tx: &mut Tx| {
                let first = repeat::find_connection(tx, &held, &actor, again.as_ref(), &covered, at)?;
                if let Some(mut first) = first {
                    show_frozen(tx, here, std::slice::from_mut(&mut first))?;
                    return Ok(Ok(first));
                }
                lies_ahead("expires_at", expires_at, at)?;
                let mut connection = match find_permitted(tx, (&actor, &permit, &untold), &id, at)? {
                    Ok(connection) => connection,
                    Err(refused) => return Ok(Err(refused)),
                };
                let owner = covered.of_user(&connection.user).ok_or(Error::NotFound)?;
                let subject = Subject { connection: Some(&id), label: None, lease: None };
                let old = match tx.find_sealed(&owner, &id, &proof(&held.keyring, &owner, &id))? {
                    Ok(old) => old,
                    Err(LendRefused::UnknownKey(key)) if held.may_learn(&key) => {
                        return Err(Error::OldRing(key));
                    }
                    Err(refused) => {
                        let why = (refused.cause(), at);
                        note_refusal(tx, (&actor, &untold), Action::Replace, subject, why)?;
                        return Ok(Err(refused));
                    }
                };
                let mut wrong = Vec::new();
                check_secret(Some(old.kind), "secret", &secret, &mut wrong);
                wrong.extend(quoted_in(connection.label.as_deref(), "secret", &secret));
                if !wrong.is_empty() {
                    return Err(Error::Invalid(wrong));
                }
                let revision = old.revision.next();
                let binding = Binding::credential(&owner, &id, revision, old.kind, &old.destination);
                let sealed = held.keyring.seal(&binding, &secret);
                let sealed = sealed.map_err(|failed| Error::Unavailable(failed.to_string()))?;
                connection.revision = old.revision;
                tx.replace_credential(&connection, &NewCredential { sealed, revision, expires_at, at })?;
                tx.append(&AuditEvent::of(&actor, Action::Replace, subject, Outcome::Done, at)?)?;
                // Judged as it was: the new credential has another state.
                let mut connection = tx.find_connection(&id)?.ok_or(Error::NotFound)?;
                repeat::keep_connection(tx, &actor, again.as_ref(), &connection, at)?;
                show_frozen(tx, here, std::slice::from_mut(&mut connection))?;
                Ok::<_, Error>(Ok::<_, LendRefused>(connection))
            };
            let is_done: fn(&_) -> bool = Result::is_ok;
            let after = (is_done, after);
            let replaced = self.store.run_then("replace", scope.clone(), DEADLINE, replace, after).await?;
            replaced.map_err(|refused| Error::of_lend(refused, at))
        });
        replaced.await
    }
}
