//! Hand a lease back, by the client it was lent to and nobody else.

use crate::access::Action;
use crate::audit::{Actor, AuditEvent, Outcome, Subject};
use crate::error::{Error, FieldError};
use crate::ids::LeaseId;
use crate::store::{EndLease, LendRefused, Tx};
use crate::vault::deposit::one_of;
use crate::vault::leave::note_refusal;
use crate::vault::{DEADLINE, KeyedRequest, Vault, repeat};

/// How the loan went, as it was sent.
pub struct GiveBack {
    /// `ok`, `failed` or `auth_failed`.
    pub outcome: String,
    /// How many records were read.
    pub records: Option<u64>,
}

/// How a loan may have gone.
pub const OUTCOMES: &[&str] = &["ok", "failed", "auth_failed"];

impl Vault {
    /// Ends the lease. Its connection shows `auth_failed` when Odoo refused the credential.
    pub async fn give_back(
        &self,
        actor: &Actor,
        id: LeaseId,
        given: GiveBack,
        again: Option<KeyedRequest>,
    ) -> Result<(), Error> {
        let scope = self.allow_on(actor, Action::ReturnLease, (&id).into()).await?;
        let mut wrong = Vec::new();
        let outcome = one_of("outcome", &given.outcome, OUTCOMES, &mut wrong);
        let records = given.records.map(i64::try_from).transpose();
        let records = records
            .map_err(|_| wrong.push(FieldError::new("records", "range", "must be a count of records")))
            .ok()
            .flatten();
        let Some(outcome) = outcome.filter(|_| wrong.is_empty()) else { return Err(Error::Invalid(wrong)) };

        let at = self.clock.now();
        self.with_ring(async |held| {
            let (actor, id, again) = (actor.clone(), id.clone(), held.marked(again.as_ref()));
            let untold = self.untold.clone();
            let give_back = move |tx: &mut Tx| {
                if repeat::find(tx, &held, &actor, again.as_ref(), at)?.is_some() {
                    return Ok(Ok(()));
                }
                let lease = tx.find_lease(&id, at)?;
                let connection = lease.as_ref().map(|lease| lease.connection.clone());
                let subject = Subject { connection: connection.as_ref(), label: None, lease: Some(&id) };
                let lease = match lease {
                    None => Err(LendRefused::NotFound),
                    Some(lease) if &lease.client != actor.caller.client() => Err(LendRefused::NotHolder),
                    Some(lease) if !lease.is_open => Err(LendRefused::LeaseEnded),
                    Some(lease) => Ok(lease),
                };
                let lease = match lease {
                    Ok(lease) => lease,
                    Err(refused) => {
                        let why = (refused.cause(), at);
                        note_refusal(tx, (&actor, &untold), Action::ReturnLease, subject, why)?;
                        return Ok(Err(refused));
                    }
                };
                tx.end_lease(&lease, &EndLease { outcome, records, at })?;
                let how = match outcome {
                    "ok" => Outcome::Done,
                    "auth_failed" => Outcome::DoneWith("auth_failed"),
                    _ => Outcome::DoneWith("failed"),
                };
                tx.append_past_quota(&AuditEvent::of(&actor, Action::ReturnLease, subject, how, at)?)?;
                repeat::keep_lease(tx, &actor, again.as_ref(), &lease, at)?;
                Ok::<_, Error>(Ok(()))
            };
            let given_back = self.store.run("give back", scope.clone(), DEADLINE, give_back).await?;
            given_back.map_err(|refused| Error::of_lend(refused, at))
        })
        .await
    }
}
