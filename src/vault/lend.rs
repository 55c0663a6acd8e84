//! Lend a credential: ask the store, whose answer is on record before it comes back; then open what
//! was granted, for this request alone.

use std::sync::Arc;
use std::time::Duration;

use crate::access::{Action, Permit, UserScope};
use crate::audit::Actor;
use crate::clock::Moment;
use crate::credential::{CredentialKind, Destination};
use crate::error::{Error, FieldError};
use crate::ids::{ConnectionId, LeaseId, Revision, RunId};
use crate::seal::{Binding, Keyring};
use crate::secret::Secret;
use crate::store::{LendAsk, LendRefused, Proof, SealedCredential};
use crate::vault::deposit::one_of;
use crate::vault::gate::Passage;
use crate::vault::keys::Held;
use crate::vault::{KeyedRequest, LEND_DEADLINE, Vault};

/// A wish to borrow, as it was sent.
pub struct Lend {
    /// `sync` (exclusive), `check` or `other`; `other` alone when it is not Odoo's.
    pub purpose: String,
    /// For how long: 60 to 900 seconds, 300 when absent.
    pub ttl_seconds: Option<u64>,
    /// The run it is for: asking again with it gives the same lease back.
    pub run_id: Option<String>,
}

/// What a loan may be for.
pub const PURPOSES: &[&str] = &["sync", "check", "other"];
const TTL_SECONDS: std::ops::RangeInclusive<u64> = 60..=900;
const DEFAULT_TTL_SECONDS: u64 = 300;

/// A lent credential, opened. Wiped when dropped.
pub struct Loan {
    /// The lease.
    pub lease: LeaseId,
    /// When it ends.
    pub expires_at: Moment,
    /// Its number among this connection's leases; only grows.
    pub fence: i64,
    /// Which connection.
    pub connection: ConnectionId,
    /// Where the secret may be sent.
    pub destination: Destination,
    /// What it is.
    pub kind: CredentialKind,
    /// The credential's revision.
    pub revision: Revision,
    /// When the credential ends by itself.
    pub credential_expires_at: Option<Moment>,
    /// The credential.
    pub secret: Secret,
    /// The models that may be read with it; none when it is not Odoo's.
    pub models: Vec<String>,
    /// To be held until the answer is written.
    pub passage: Passage,
}

impl Vault {
    /// Lends the caller's own connection `id`. The loan is on record when this answers.
    pub async fn lend(
        &self,
        actor: &Actor,
        id: ConnectionId,
        lend: Lend,
        again: Option<KeyedRequest>,
    ) -> Result<Loan, Error> {
        let permit = self.permit_to_lend(actor, &lend.purpose, &id).await?;
        let scope = permit.own().clone();
        let (purpose, ttl, run) = check(&lend)?;
        self.switch.refuse()?;
        let at = self.clock.now();
        let lease = LeaseId::new(at)?;
        let ask = |held: &Held, slot| LendAsk {
            actor: actor.clone(),
            scope: scope.clone(),
            connection: id.clone(),
            purpose,
            run: run.clone(),
            ttl,
            permit: permit.clone(),
            lease: lease.clone(),
            at,
            proof: proof(&held.keyring, &scope, &id),
            missing: held.missing(),
            repeat: held.marked(again.as_ref()),
            slot,
        };
        // What the store has for it is what the request has left. Each waits for itself: a timer around all of them would
        // be set and put away once a lend.
        let until = tokio::time::Instant::now() + LEND_DEADLINE;
        let left = || until.saturating_duration_since(tokio::time::Instant::now());
        let passage = tokio::time::timeout_at(until, self.gates.pass(scope.org(), &id)).await;
        let passage = passage.map_err(|_| Error::Unavailable("deadline".into()))?;
        let granting = async |held: Held| {
            let slot = self.untold.slot(Some(scope.org()));
            let is_quiet = slot.is_none();
            match self.store.lend(ask(&held, slot), left()).await? {
                Ok(row) => Ok((held.keyring, row)),
                Err(LendRefused::UnknownKey(key)) if held.may_learn(&key) => Err(Error::OldRing(key)),
                Err(refused) => {
                    // The lane puts on record what it has a place for.
                    if is_quiet && refused != LendRefused::PastQuota {
                        self.untold.count_denied(actor, permit.action(), refused.cause());
                    }
                    Err(Error::of_lend(refused, at))
                }
            }
        };
        let (keyring, row) = self.with_ring_until(until, granting).await?;

        // The host may have been frozen meanwhile.
        self.switch.refuse()?;
        let credential = row.credential;
        let binding = binding(&scope, &id, &credential);
        // The store proved that it opens; if it does not now, nothing is sent all the same.
        let secret = keyring.open(&binding, &credential.sealed).map_err(|_| Error::DoesNotOpen)?;
        row.receipt.sign();
        Ok(Loan {
            lease: row.lease,
            expires_at: row.expires_at,
            fence: row.fence,
            connection: id,
            destination: credential.destination,
            kind: credential.kind,
            revision: credential.revision,
            credential_expires_at: credential.expires_at,
            secret,
            models: if credential.kind.is_odoo() { self.models.clone() } else { Vec::new() },
            passage,
        })
    }
}

impl Vault {
    /// Leave to borrow for that purpose; for one that there is not, to borrow at all.
    async fn permit_to_lend(&self, actor: &Actor, purpose: &str, id: &ConnectionId) -> Result<Permit, Error> {
        if let Some(action) = Action::of_lend(purpose) {
            return self.permit(actor, action, id.into()).await;
        }
        let any =
            PURPOSES.iter().filter_map(|purpose| actor.caller.permit(Action::of_lend(purpose)?).ok()).next();
        match any {
            Some(permit) => Ok(permit),
            None => self.permit(actor, Action::LendForOther, id.into()).await,
        }
    }
}

fn check(lend: &Lend) -> Result<(&'static str, Duration, Option<RunId>), Error> {
    let mut wrong = Vec::new();
    let purpose = one_of("purpose", &lend.purpose, PURPOSES, &mut wrong);
    let ttl = check_ttl(lend.ttl_seconds, &mut wrong);
    let run = lend.run_id.as_deref().map(RunId::parse).transpose();
    let run = run.map_err(|refused| wrong.push(FieldError::of_id("run_id", refused))).ok().flatten();
    match purpose {
        Some(purpose) if wrong.is_empty() => Ok((purpose, ttl, run)),
        _ => Err(Error::Invalid(wrong)),
    }
}

pub(super) fn check_ttl(seconds: Option<u64>, wrong: &mut Vec<FieldError>) -> Duration {
    let seconds = seconds.unwrap_or(DEFAULT_TTL_SECONDS);
    if !TTL_SECONDS.contains(&seconds) {
        wrong.push(FieldError::new("ttl_seconds", "range", "must be from 60 to 900"));
    }
    Duration::from_secs(seconds)
}

/// Whether a credential of `owner`'s connection `id` opens where it lies.
pub(super) fn proof(keyring: &Arc<Keyring>, owner: &UserScope, id: &ConnectionId) -> Proof {
    let (keyring, owner, id) = (keyring.clone(), owner.clone(), id.clone());
    Box::new(move |credential| keyring.prove(&binding(&owner, &id, credential), &credential.sealed))
}

pub(super) fn binding<'a>(
    owner: &'a UserScope,
    id: &'a ConnectionId,
    lies: &'a SealedCredential,
) -> Binding<'a> {
    Binding::credential(owner, id, lies.revision, lies.kind, &lies.destination)
}
