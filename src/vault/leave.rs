//! Leave to act: what the policy grants the caller, held against the connection itself. A refusal is on record
//! before it is answered; past the first of a minute it is counted.

use crate::access::{About, Action, Denied, Permit, Principal, Scope, Unmet, Use};
use crate::audit::{Actor, AuditEvent, OperatorActor, Outcome, Subject, Who};
use crate::clock::Moment;
use crate::error::Error;
use crate::ids::ConnectionId;
use crate::store::{StoreError, StoredConnection, Tx};
use crate::vault::{LEND_DEADLINE, Untold, Vault};

impl Vault {
    /// The scope that `action` has for the actor, whatever the rows are.
    pub(super) async fn allow(&self, actor: &Actor, action: Action) -> Result<Scope, Error> {
        match actor.caller.scope(action) {
            Ok(scope) => Ok(scope),
            Err(denied) => Err(self.record_denial(actor, denied).await),
        }
    }

    /// What the actor may do with `action`; each connection is still to be judged by it.
    pub(super) async fn permit(&self, actor: &Actor, action: Action) -> Result<Permit, Error> {
        match actor.caller.permit(action) {
            Ok(permit) => Ok(permit),
            Err(denied) => Err(self.record_denial(actor, denied).await),
        }
    }

    /// The operator, if the policy grants them `action`; whoever else is refused, in their own trail.
    pub async fn allow_operator<'a>(&self, who: &'a Who, action: Action) -> Result<&'a OperatorActor, Error> {
        match who {
            Who::Caller(actor) => Err(self.record_denial(actor, Denied(action)).await),
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
        if !self.untold.may_tell(None) {
            self.untold.count_denied_operator(actor, action);
            return Ok(());
        }
        let outcome = Outcome::Refused("forbidden");
        let event = AuditEvent::of_operator(actor, action, more, outcome, self.clock.now())?;
        self.store.append_own("deny operator", event, LEND_DEADLINE).await?;
        self.untold.note_told(None);
        Ok(())
    }

    async fn record_denial(&self, actor: &Actor, Denied(action): Denied) -> Error {
        let recorded = self.record_refusal(actor, action, Subject::default(), "forbidden").await;
        recorded.err().unwrap_or(Error::Denied(action))
    }

    /// A condition that was not met, found outside of a transaction that could record it.
    pub(super) async fn record_unmet(
        &self,
        actor: &Actor,
        action: Action,
        connection: Option<&ConnectionId>,
        unmet: Unmet,
    ) -> Error {
        let subject = Subject { connection, label: None, lease: None };
        let recorded = self.record_refusal(actor, action, subject, unmet.cause()).await;
        recorded.err().unwrap_or(Error::Unmet(unmet))
    }

    async fn record_refusal(
        &self,
        actor: &Actor,
        action: Action,
        subject: Subject<'_>,
        cause: &'static str,
    ) -> Result<(), Error> {
        self.charge_read(&Principal::Caller(actor.caller.clone()), action)?;
        let org = actor.caller.org();
        if !self.untold.may_tell(Some(org)) {
            self.untold.count_denied(actor, action, cause);
            return Ok(());
        }
        let at = self.clock.now();
        let event = AuditEvent::of(actor, action, subject, Outcome::Refused(cause), at)?;
        let scope = actor.caller.own_trail();
        let record = move |tx: &mut Tx| match tx.has_quota(at)? {
            true => tx.append(&event).map(|()| true),
            false => Ok::<_, StoreError>(false),
        };
        match self.store.run("deny", scope, LEND_DEADLINE, record).await? {
            true => self.untold.note_told(Some(org)),
            false => self.untold.count_denied(actor, action, cause),
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
    let org = actor.caller.org();
    if untold.may_tell(Some(org)) && tx.has_quota(at)? {
        tx.append(&AuditEvent::of(actor, action, subject, Outcome::Refused(cause), at)?)?;
        untold.note_told(Some(org));
    } else {
        untold.count_denied(actor, action, cause);
    }
    Ok(())
}

/// The connection of the permit's scope, if it is leave to act on it; if it is not, that is on record when the
/// transaction commits.
pub(super) fn find_permitted(
    tx: &mut Tx,
    by: (&Actor, &Permit, &Untold),
    id: &ConnectionId,
    at: Moment,
) -> Result<Result<StoredConnection, Unmet>, Error> {
    let connection = tx.find_connection(id)?.ok_or(Error::NotFound)?;
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
) -> Result<Result<(), Unmet>, Error> {
    let judged = permit.judge(&connection.user, about);
    if let Err(unmet) = judged {
        let subject = Subject { connection: Some(&connection.id), label: None, lease: None };
        note_refusal(tx, (actor, untold), permit.action(), subject, (unmet.cause(), at))?;
    }
    Ok(judged)
}
