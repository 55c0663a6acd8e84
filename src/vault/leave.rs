//! Leave to act: what the policy grants the caller, held against the connection itself. A refusal is on record
//! before it is answered.

use crate::access::{About, Action, Denied, Permit, Scope, Unmet};
use crate::audit::{Actor, AuditEvent, OperatorActor, Outcome, Subject, Who};
use crate::clock::Moment;
use crate::error::Error;
use crate::ids::ConnectionId;
use crate::store::{StoredConnection, Tx};
use crate::vault::{LEND_DEADLINE, Vault};

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
        action: &str,
        more: &[(&'static str, &str)],
    ) -> Result<(), Error> {
        let outcome = Outcome::Refused("forbidden");
        let event = AuditEvent::of_operator(actor, action, more, outcome, self.clock.now())?;
        Ok(self.store.append_own("deny operator", event, LEND_DEADLINE).await?)
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
        let event = AuditEvent::of(actor, action, subject, Outcome::Refused(cause), self.clock.now())?;
        let scope = actor.caller.own_trail();
        self.store.run("deny", scope, LEND_DEADLINE, move |tx| Ok(tx.append(&event)?)).await
    }
}

/// The connection of the permit's scope, if it is leave to act on it; if it is not, that is on record when the
/// transaction commits.
pub(super) fn find_permitted(
    tx: &mut Tx,
    actor: &Actor,
    permit: &Permit,
    id: &ConnectionId,
    at: Moment,
) -> Result<Result<StoredConnection, Unmet>, Error> {
    let connection = tx.find_connection(id)?.ok_or(Error::NotFound)?;
    let judged = judge(tx, (actor, permit), &connection, connection.about(), at)?;
    Ok(judged.map(|()| connection))
}

/// Whether it is leave to act on `connection` being `about` so; if it is not, that is on record when the
/// transaction commits.
pub(super) fn judge(
    tx: &mut Tx,
    (actor, permit): (&Actor, &Permit),
    connection: &StoredConnection,
    about: About,
    at: Moment,
) -> Result<Result<(), Unmet>, Error> {
    let judged = permit.judge(&connection.user, about);
    if let Err(unmet) = judged {
        let subject = Subject { connection: Some(&connection.id), label: None, lease: None };
        let outcome = Outcome::Refused(unmet.cause());
        tx.append(&AuditEvent::of(actor, permit.action(), subject, outcome, at)?)?;
    }
    Ok(judged)
}
