//! Hand a lease back, by the client it was lent to and nobody else.

use crate::access::Action;
use crate::audit::{Actor, AuditEvent, Outcome, Subject};
use crate::error::{Error, FieldError};
use crate::ids::LeaseId;
use crate::store::EndLease;
use crate::vault::deposit::one_of;
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
        let scope = self.allow(actor, Action::ReturnLease).await?;
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
            self.store
                .run("give back", scope.clone(), DEADLINE, move |tx| {
                    if repeat::find(tx, &held, &actor, again.as_ref(), at)?.is_some() {
                        return Ok(());
                    }
                    let lease = tx.find_lease(&id, at)?.ok_or(Error::NotFound)?;
                    if &lease.client != actor.caller.client() {
                        return Err(Error::NotHolder);
                    }
                    if !lease.is_open {
                        return Err(Error::LeaseEnded);
                    }
                    tx.end_lease(&lease, &EndLease { outcome, records, at })?;
                    let subject =
                        Subject { connection: Some(&lease.connection), label: None, lease: Some(&id) };
                    let how = match outcome {
                        "ok" => Outcome::Done,
                        "auth_failed" => Outcome::DoneWith("auth_failed"),
                        _ => Outcome::DoneWith("failed"),
                    };
                    tx.append_past_quota(&AuditEvent::of(&actor, Action::ReturnLease, subject, how, at)?)?;
                    repeat::keep_lease(tx, &actor, again.as_ref(), &lease, at)
                })
                .await
        })
        .await
    }
}
