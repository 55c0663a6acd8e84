//! Leave to act: what the policy grants the caller, held against the connection itself. A refusal is on record
//! before it is answered; past the first of a minute it is counted.

use crate::access::{About, Action, Denied, Permit, Principal, Scope, Use};
use crate::audit::{Actor, AuditEvent, OperatorActor, Outcome, Subject, Who};
use crate::clock::Moment;
use crate::error::Error;
use crate::ids::ConnectionId;
use crate::store::{LendRefused, StoreError, StoredConnection, Tx};
use crate::vault::{LEND_DEADLINE, Untold, Vault};

impl Vault {
    /// The scope that `action` has for the actor, whatever the rows are.
    pub(super) async fn allow(&self, actor: &Actor, action: Action) -> Result<Scope, Error> {
        self.allow_on(actor, action, Subject::default()).await
    }

    /// The same where it is known what it is about.
    pub(super) async fn allow_on(
        &self,
        actor: &Actor,
        action: Action,
        subject: Subject<'_>,
    ) -> Result<Scope, Error> {
        match actor.caller.scope(action) {
            Ok(scope) => Ok(scope),
            Err(denied) => Err(self.record_denial(actor, denied, subject).await),
        }
    }

    /// What the actor may do with `action`; each connection is still to be judged by it.
    pub(super) async fn permit(
        &self,
        actor: &Actor,
        action: Action,
        subject: Subject<'_>,
    ) -> Result<Permit, Error> {
        match actor.caller.permit(action) {
            Ok(permit) => Ok(permit),
            Err(denied) => Err(self.record_denial(actor, denied, subject).await),
        }
    }

    /// The operator, if the policy grants them `action`; whoever else is refused, in their own trail.
    pub async fn allow_operator<'a>(&self, who: &'a Who, action: Action) -> Result<&'a OperatorActor, Error> {
        match who {
            Who::Caller(actor) => Err(self.record_denial(actor, Denied(action), Subject::default()).await),
            Who::Operator(actor) => match actor.operator.may(action) {
                Ok(()) => Ok(actor),
                Err(Denied(action)) => {
                    self.charge_read(&Principal::Operator(actor.operator.clone()), action)?;
                    let refused = self.record_of_operator(actor, action.as_str(), &[]).await;
                    Err(refused.err().unwrap_or(Error::Denied(action)))
                }
            },
        }
    }

    /// An operator's call of what only a tenant's caller may: on record, in the vault's own trail.
    pub async fn record_operators_call(&self, actor: &OperatorActor, call: &str) -> Result<(), Error> {
        self.record_of_operator(actor, "tenant.call", &[("call", call)]).await
    }

    async fn record_of_operator(
        &self,
        actor: &OperatorActor,
        action: &'static str,
        more: &[(&'static str, &str)],
    ) -> Result<(), Error> {
        let Some(slot) = self.untold.slot(None) else {
            self.untold.count_denied_client(actor.operator.client(), action, "forbidden");
            return Ok(());
        };
        let outcome = Outcome::Refused("forbidden");
        let event = AuditEvent::of_operator(actor, action, more, outcome, self.clock.now())?;
        slot.fill();
        Ok(self.store.append_own("deny operator", event, LEND_DEADLINE).await?)
    }

    async fn record_denial(&self, actor: &Actor, Denied(action): Denied, subject: Subject<'_>) -> Error {
        self.record_refused(actor, action, subject, LendRefused::Denied(action)).await
    }

    /// A refusal found outside of a transaction that could record it.
    pub(super) async fn record_refused(
        &self,
        actor: &Actor,
        action: Action,
        subject: Subject<'_>,
        refused: LendRefused,
    ) -> Error {
        let recorded = self.record_refusal(actor, action, subject, refused.cause()).await;
        recorded.err().unwrap_or_else(|| Error::of_lend(refused, self.clock.now()))
    }

    /// What was found; that it was not there is on record.
    pub(super) async fn found<T>(
        &self,
        actor: &Actor,
        action: Action,
        subject: Subject<'_>,
        found: Result<T, Error>,
    ) -> Result<T, Error> {
        match found {
            Err(Error::NotFound) => {
                Err(self.record_refused(actor, action, subject, LendRefused::NotFound).await)
            }
            found => found,
        }
    }

    /// That it was refused for that is on record, or counted, when this answers.
    pub(super) async fn record_refusal(
        &self,
        actor: &Actor,
        action: Action,
        subject: Subject<'_>,
        cause: &'static str,
    ) -> Result<(), Error> {
        self.charge_read(&Principal::Caller(actor.caller.clone()), action)?;
        let org = actor.caller.org();
        let Some(slot) = self.untold.slot(Some(org)) else {
            self.untold.count_denied(actor, action, cause);
            return Ok(());
        };
        let at = self.clock.now();
        let event = AuditEvent::of(actor, action, subject, Outcome::Refused(cause), at)?;
        let scope = actor.caller.own_trail();
        let record = move |tx: &mut Tx| match tx.has_quota(at)? {
            true => {
                slot.fill();
                tx.append(&event).map(|()| true)
            }
            false => Ok::<_, StoreError>(false),
        };
        if !self.store.run("deny", scope, LEND_DEADLINE, record).await? {
            self.untold.count_denied(actor, action, cause);
        }
        Ok(())
    }

    /// A read that is denied is put on record, so it counts as a write too: nobody is denied faster than they may
    /// write.
    fn charge_read(&self, who: &Principal, action: Action) -> Result<(), Error> {
        if action.is_read() {
            self.limits.spend(who, Use::Write).map_err(Error::Spent)?;
        }
        Ok(())
    }
}

/// A refusal found in a transaction: on record when that commits, or counted.
pub(super) fn note_refusal(
    tx: &mut Tx,
    (actor, untold): (&Actor, &Untold),
    action: Action,
    subject: Subject,
    (cause, at): (&'static str, Moment),
) -> Result<(), Error> {
    match untold.slot(Some(actor.caller.org())) {
        Some(slot) if tx.has_quota(at)? => {
            slot.fill();
            tx.append(&AuditEvent::of(actor, action, subject, Outcome::Refused(cause), at)?)?;
        }
        _ => untold.count_denied(actor, action, cause),
    }
    Ok(())
}

/// The connection of the permit's scope, if it is there and it is leave to act on it; if not, that is on record when
/// the transaction commits.
pub(super) fn find_permitted(
    tx: &mut Tx,
    by: (&Actor, &Permit, &Untold),
    id: &ConnectionId,
    at: Moment,
) -> Result<Result<StoredConnection, LendRefused>, Error> {
    let Some(connection) = tx.find_connection(id)? else {
        let ((actor, permit, untold), refused) = (by, LendRefused::NotFound);
        note_refusal(tx, (actor, untold), permit.action(), id.into(), (refused.cause(), at))?;
        return Ok(Err(refused));
    };
    let judged = judge(tx, by, &connection, connection.about(), at)?;
    Ok(judged.map(|()| connection))
}

/// Whether it is leave to act on `connection` being `about` so; if it is not, that is on record when the
/// transaction commits.
pub(super) fn judge(
    tx: &mut Tx,
    (actor, permit, untold): (&Actor, &Permit, &Untold),
    connection: &StoredConnection,
    about: About,
    at: Moment,
) -> Result<Result<(), LendRefused>, Error> {
    let judged = permit.judge(&connection.user, about).map_err(LendRefused::Unmet);
    if let Err(refused) = &judged {
        let (subject, why) = ((&connection.id).into(), (refused.cause(), at));
        note_refusal(tx, (actor, untold), permit.action(), subject, why)?;
    }
    Ok(judged)
}
