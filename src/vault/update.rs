//! Change what people call a connection, how often it is synced, and which environment it is. Where its
//! credential may be sent never changes: another address is another deposit.

use crate::access::{About, Action, Permit};
use crate::audit::{Actor, AuditEvent, Outcome, Subject};
use crate::clock::Moment;
use crate::credential::ENVIRONMENTS;
use crate::error::{Error, FieldError};
use crate::ids::ConnectionId;
use crate::store::{LendRefused, StoredConnection, Tx};
use crate::vault::deposit::{MAX_LABEL_BYTES, check_text, one_of};
use crate::vault::freeze::show_frozen;
use crate::vault::leave::{find_permitted, judge};
use crate::vault::{DEADLINE, Untold, Vault};

/// What is to change, as it was sent; what is not named stays.
pub struct Update {
    /// What people call it, or nothing any more.
    pub label: Option<Option<String>>,
    /// 60 to 604800, or nothing any more.
    pub sync_interval_seconds: Option<Option<i64>>,
    /// `production`, `staging` or `development`.
    pub environment: Option<String>,
}

const SYNC_INTERVAL_SECONDS: std::ops::RangeInclusive<i64> = 60..=604_800;

impl Vault {
    /// Changes the connection. Its environment is for those to change who may do that too.
    pub async fn update(
        &self,
        actor: &Actor,
        id: ConnectionId,
        update: Update,
    ) -> Result<StoredConnection, Error> {
        let permit = self.permit(actor, Action::UpdateConnection, (&id).into()).await?;
        let (mut scope, mut moving) = (permit.scope(), None);
        if update.environment.is_some() {
            let permit = self.permit(actor, Action::ChangeEnvironment, (&id).into()).await?;
            scope = scope.narrower(permit.scope());
            moving = Some(permit);
        }
        let environment = check(&update)?;
        let at = self.clock.now();
        let label = update.label.as_ref().and_then(Option::as_deref);
        let subject = Subject { connection: Some(&id), label, lease: None };
        let mut events = Vec::new();
        if update.label.is_some() || update.sync_interval_seconds.is_some() {
            let every = update.sync_interval_seconds;
            let every = every.map(|every| every.map_or_else(|| "none".to_owned(), |it| it.to_string()));
            let every = every.as_deref().map(|every| ("sync_interval_seconds", every));
            let unnamed = matches!(update.label, Some(None)).then_some(("label", "none"));
            let more: Vec<_> = every.into_iter().chain(unnamed).collect();
            let told = (subject, more.as_slice());
            events.push(AuditEvent::of_with(actor, Action::UpdateConnection, told, Outcome::Done, at)?);
        }
        if let Some(now) = environment {
            let outcome = Outcome::DoneWith(now);
            events.push(AuditEvent::of(actor, Action::ChangeEnvironment, subject, outcome, at)?);
        }
        let here = self.switch.is_frozen();
        let (actor, untold) = (actor.clone(), self.untold.clone());
        let updated = self
            .store
            .run("update", scope, DEADLINE, move |tx| {
                let mut connection = match find_permitted(tx, (&actor, &permit, &untold), &id, at)? {
                    Ok(connection) => connection,
                    Err(refused) => return Ok(Err(refused)),
                };
                if let (Some(permit), Some(environment)) = (&moving, environment)
                    && let Err(refused) =
                        judge_move(tx, (&actor, permit, &untold), &connection, environment, at)?
                {
                    return Ok(Err(refused));
                }
                if let Some(label) = update.label {
                    connection.label = label;
                }
                if let Some(interval) = update.sync_interval_seconds {
                    if interval.is_some() && !connection.kind.is_odoo() {
                        let wrong = FieldError::of_odoo_alone("sync_interval_seconds", "must be null");
                        return Err(Error::NotOdoo(wrong));
                    }
                    connection.sync_interval_seconds = interval;
                }
                if let Some(environment) = environment {
                    connection.environment = environment.to_owned();
                }
                connection.updated_at = at;
                tx.update_connection(&connection)?;
                tx.append_all(&events)?;
                show_frozen(tx, here, std::slice::from_mut(&mut connection))?;
                Ok::<_, Error>(Ok(connection))
            })
            .await?;
        updated.map_err(|refused| Error::of_lend(refused, at))
    }
}

/// From where it is to where it goes: both have to be what the policy allows.
fn judge_move(
    tx: &mut Tx,
    by: (&Actor, &Permit, &Untold),
    connection: &StoredConnection,
    environment: &str,
    at: Moment,
) -> Result<Result<(), LendRefused>, Error> {
    let (here, there) = (connection.about(), About { environment, ..connection.about() });
    match judge(tx, by, connection, here, at)? {
        Ok(()) => judge(tx, by, connection, there, at),
        refused => Ok(refused),
    }
}

fn check(update: &Update) -> Result<Option<&'static str>, Error> {
    let mut wrong = Vec::new();
    if let Some(Some(label)) = &update.label {
        check_text("label", label, MAX_LABEL_BYTES, &mut wrong);
    }
    if let Some(Some(seconds)) = update.sync_interval_seconds
        && !SYNC_INTERVAL_SECONDS.contains(&seconds)
    {
        wrong.push(FieldError::new("sync_interval_seconds", "range", "must be from 60 to 604800"));
    }
    let environment = update.environment.as_deref();
    let environment = environment.and_then(|text| one_of("environment", text, ENVIRONMENTS, &mut wrong));
    if update.label.is_none() && update.sync_interval_seconds.is_none() && update.environment.is_none() {
        wrong.push(FieldError::new(
            "body",
            "not_empty",
            "must name label, sync_interval_seconds or environment",
        ));
    }
    if wrong.is_empty() { Ok(environment) } else { Err(Error::Invalid(wrong)) }
}
