//! Let a lease last longer. Everything that was true when it was lent has to be true now.

use std::sync::Arc;

use crate::access::{Action, Denied, Permit};
use crate::audit::{Actor, AuditEvent, Outcome, Subject};
use crate::error::Error;
use crate::ids::LeaseId;
use crate::seal::Keyring;
use crate::store::{LendRefused, StoreError, StoredLease, Tx};
use crate::vault::leave::note_refusal;
use crate::vault::lend::{check_ttl, proof};
use crate::vault::{KeyedRequest, LEND_DEADLINE, Vault, repeat};

/// For how long from now, as it was sent.
pub struct Renew {
    /// 60 to 900 seconds, 300 when absent.
    pub ttl_seconds: Option<u64>,
}

impl Vault {
    /// Lets the lease end no earlier than the time asked for from now; never earlier than it would have.
    /// Its holder alone can, while it is open and its credential is the one that was lent.
    pub async fn renew(
        &self,
        actor: &Actor,
        id: LeaseId,
        renew: Renew,
        again: Option<KeyedRequest>,
    ) -> Result<StoredLease, Error> {
        let permit = self.permit(actor, Action::RenewLease, (&id).into()).await?;
        let scope = permit.own().clone();
        let mut wrong = Vec::new();
        let ttl = check_ttl(renew.ttl_seconds, &mut wrong);
        if !wrong.is_empty() {
            return Err(Error::Invalid(wrong));
        }
        self.switch.refuse()?;
        let at = self.clock.now();
        self.with_ring(async |held| {
            let (actor, permit, id, again) =
                (actor.clone(), permit.clone(), id.clone(), held.marked(again.as_ref()));
            let untold = self.untold.clone();
            let renew = move |tx: &mut Tx| {
                let came_before = repeat::find(tx, &held, &actor, again.as_ref(), at)?.is_some();
                let lease = tx.find_lease(&id, at)?;
                let connection = lease.as_ref().map(|lease| lease.connection.clone());
                let answer = match lease {
                    _ if tx.find_frozen()?.is_frozen() => Err(LendRefused::Frozen),
                    None => Err(LendRefused::NotFound),
                    Some(lease) => hold_against(tx, &actor, &permit, &held.keyring, lease)?,
                };
                if let Err(LendRefused::UnknownKey(key)) = &answer
                    && held.may_learn(key)
                {
                    return Err(Error::OldRing(key.clone()));
                }
                let subject = Subject { connection: connection.as_ref(), label: None, lease: Some(&id) };
                let mut lease = match answer {
                    Ok(lease) => lease,
                    Err(refused) => {
                        let why = (refused.cause(), at);
                        note_refusal(tx, (&actor, &untold), Action::RenewLease, subject, why)?;
                        return Ok(Err(refused));
                    }
                };
                tx.append(&AuditEvent::of(&actor, Action::RenewLease, subject, Outcome::Done, at)?)?;
                if !came_before {
                    lease.expires_at = lease.expires_at.max(at.after(ttl));
                    tx.extend_lease(&lease)?;
                    repeat::keep_lease(tx, &actor, again.as_ref(), &lease, at)?;
                }
                Ok::<_, Error>(Ok(lease))
            };
            let renewed = self.store.run("renew", scope.clone().into(), LEND_DEADLINE, renew).await?;
            renewed.map_err(|refused| Error::of_lend(refused, at))
        })
        .await
    }
}

/// The lease, if it might be lent as it is today.
fn hold_against(
    tx: &mut Tx,
    actor: &Actor,
    permit: &Permit,
    keyring: &Arc<Keyring>,
    lease: StoredLease,
) -> Result<Result<StoredLease, LendRefused>, StoreError> {
    let owner = permit.own();
    if &lease.client != actor.caller.client() {
        return Ok(Err(LendRefused::NotHolder));
    }
    if !lease.is_open || tx.is_succeeded(&lease)? {
        return Ok(Err(LendRefused::LeaseEnded));
    }
    let opens = proof(keyring, owner, &lease.connection);
    let credential = match tx.find_sealed(owner, &lease.connection, &opens)? {
        Ok(credential) => credential,
        Err(refused) => return Ok(Err(refused)),
    };
    // Leave to renew, and still to borrow for what it was lent for.
    let lent_for = Action::of_lend(&lease.purpose).ok_or(StoreError::Damaged("leases"))?;
    let lend = match actor.caller.permit(lent_for) {
        Ok(lend) => lend,
        Err(Denied(action)) => return Ok(Err(LendRefused::Denied(action))),
    };
    for permit in [permit, &lend] {
        if let Err(unmet) = permit.judge(owner.user(), credential.about()) {
            return Ok(Err(LendRefused::Unmet(unmet)));
        }
    }
    if credential.revision != lease.revision {
        return Ok(Err(LendRefused::CredentialReplaced));
    }
    if lease.purpose == "sync" && credential.auth_failed {
        return Ok(Err(LendRefused::AuthFailed));
    }
    if let Err(refused) = tx.may_be_called(&credential.destination)? {
        return Ok(Err(refused));
    }
    if credential.kind.is_odoo()
        && let Err(refused) = tx.may_be_lent(&credential)?
    {
        return Ok(Err(refused));
    }
    Ok(Ok(lease))
}
