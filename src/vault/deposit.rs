//! Seal a credential and keep it. Nothing is resolved and nothing is called: a deposit is no oracle.

use crate::access::{About, Action, Scope};
use crate::audit::{Actor, AuditEvent, Outcome, Subject};
use crate::clock::Moment;
use crate::credential::{CredentialKind, Destination, ENVIRONMENTS};
use crate::egress::OdooUrl;
use crate::error::{Error, FieldError};
use crate::ids::{ConnectionId, Revision};
use crate::seal::Binding;
use crate::secret::Secret;
use crate::store::{LendRefused, NewConnection, StoredConnection, Tx};
use crate::vault::freeze::show_frozen;
use crate::vault::leave::note_refusal;
use crate::vault::{DEADLINE, KeyedRequest, Vault, repeat};

/// What is deposited, as it was sent.
pub struct Deposit {
    /// The address; like the next two, absent only of what is not Odoo's.
    pub url: Option<String>,
    /// The database there.
    pub database: Option<String>,
    /// The login there.
    pub username: Option<String>,
    /// What people call it.
    pub label: Option<String>,
    /// `production` (the default), `staging` or `development`.
    pub environment: Option<String>,
    /// A name of a [`CredentialKind`].
    pub kind: String,
    /// The secret.
    pub secret: Secret,
    /// When it ends by itself, RFC 3339.
    pub expires_at: Option<String>,
    /// Whether a check is asked for as well.
    pub check: bool,
}

/// The longest credential of Odoo's, in bytes of UTF-8.
pub const MAX_SECRET_BYTES: usize = 4096;
/// The longest of another kind.
pub const MAX_OTHER_SECRET_BYTES: usize = 16_384;
/// The longest database name and login, in bytes of UTF-8.
pub const MAX_NAME_BYTES: usize = 256;
pub(super) const MAX_LABEL_BYTES: usize = 128;
/// So many bytes of a secret are no part of a label by chance.
const LONGER_THAN_A_WORD: usize = 8;

/// A deposit that broke no rule.
pub(super) struct Checked {
    pub(super) destination: Destination,
    pub(super) environment: &'static str,
    pub(super) kind: CredentialKind,
    expires_at: Option<Moment>,
}

impl Vault {
    /// Seals the credential for its place and keeps it as a new connection of the caller's own.
    pub async fn deposit(
        &self,
        actor: &Actor,
        deposit: Deposit,
        again: Option<KeyedRequest>,
    ) -> Result<StoredConnection, Error> {
        let permit = self.permit(actor, Action::Deposit, Subject::default()).await?;
        let scope = permit.own().clone();
        let at = self.clock.now();
        let checked = self.hold_to_rules(&deposit, scope.org().as_str())?;
        let about = About { kind: checked.kind, environment: checked.environment, state: "active" };
        if let Err(unmet) = permit.judge(scope.user(), about) {
            let (subject, refused) = (Subject::default(), LendRefused::Unmet(unmet));
            return Err(self.record_refused(actor, Action::Deposit, subject, refused).await);
        }
        self.switch.refuse()?;
        let id = ConnectionId::new(at)?;
        let destination = checked.destination;
        let binding = Binding::credential(&scope, &id, Revision::FIRST, checked.kind, &destination);
        let subject = Subject { connection: Some(&id), label: deposit.label.as_deref(), lease: None };
        let event = AuditEvent::of(actor, Action::Deposit, subject, Outcome::Done, at)?;
        let own = Scope::from(scope.clone());
        let kept = self.with_ring(async |held| {
            let sealed = held.keyring.seal(&binding, &deposit.secret);
            let new = NewConnection {
                id: id.clone(),
                scope: scope.clone(),
                label: deposit.label.clone(),
                environment: checked.environment,
                kind: checked.kind,
                destination: destination.clone(),
                sealed: sealed.map_err(|failed| Error::Unavailable(failed.to_string()))?,
                credential_expires_at: checked.expires_at,
                at,
            };
            let (actor, own, again) = (actor.clone(), own.clone(), held.marked(again.as_ref()));
            let (event, untold) = (event.clone(), self.untold.clone());
            let insert = move |tx: &mut Tx| {
                if let Some(mut first) = repeat::find_connection(tx, &held, &actor, again.as_ref(), &own, at)?
                {
                    show_frozen(tx, false, std::slice::from_mut(&mut first))?;
                    return Ok(Ok(first));
                }
                let may_be = match tx.find_frozen()?.is_frozen() {
                    true => Err(LendRefused::Frozen),
                    false => tx.may_be_called(&new.destination)?,
                };
                if let Err(refused) = may_be {
                    let (why, subject) = ((refused.cause(), at), Subject::default());
                    note_refusal(tx, (&actor, &untold), Action::Deposit, subject, why)?;
                    return Ok(Err(refused));
                }
                lies_ahead("credential.expires_at", new.credential_expires_at, at)?;
                if new.kind.is_odoo()
                    && let Some(first) = tx.find_connection_of(&new.scope, &new.destination)?
                {
                    return Err(Error::Duplicate(first));
                }
                tx.insert_connection(&new)?;
                tx.append(&event)?;
                let stored = tx.find_connection(&new.id)?.ok_or(Error::NotFound)?;
                repeat::keep_connection(tx, &actor, again.as_ref(), &stored, at)?;
                Ok::<_, Error>(Ok(stored))
            };
            self.store.run("deposit", Scope::from(scope.clone()), DEADLINE, insert).await
        });
        kept.await?.map_err(|refused| match refused {
            LendRefused::HostNotAllowed => host_not_allowed().into(),
            refused => Error::of_lend(refused, at),
        })
    }

    /// Holds every member against its rules and names each that breaks one.
    pub(super) fn hold_to_rules(&self, deposit: &Deposit, org: &str) -> Result<Checked, Error> {
        let mut wrong = Vec::new();
        let kind = one_of("credential.kind", &deposit.kind, CredentialKind::NAMES, &mut wrong);
        let kind = kind.and_then(CredentialKind::parse);
        let url = deposit.url.as_deref().map(|url| OdooUrl::parse(url, &self.guard, Some(org)));
        let url = url.transpose().map_err(|refused| {
            wrong.push(FieldError::new("url", refused.rule(), refused.to_string()));
        });
        let (database, username) = (&deposit.database, &deposit.username);
        for (field, name) in [("database", database), ("username", username)] {
            if let Some(name) = name {
                check_text(field, name, MAX_NAME_BYTES, &mut wrong);
            }
        }
        if kind.is_some_and(CredentialKind::is_odoo) {
            let needed = [("url", &deposit.url), ("database", database), ("username", username)];
            let absent = needed.iter().filter(|(_, part)| part.is_none());
            wrong.extend(absent.map(|(field, _)| FieldError::new(field, "required", "is required")));
        }
        if deposit.check && kind.is_some_and(|kind| !kind.is_odoo()) {
            wrong.push(FieldError::of_odoo_alone("check", "must be absent"));
        }
        if let Some(label) = &deposit.label {
            check_text("label", label, MAX_LABEL_BYTES, &mut wrong);
        }
        let environment = deposit.environment.as_deref().unwrap_or("production");
        let environment = one_of("environment", environment, ENVIRONMENTS, &mut wrong);
        check_secret(kind, "credential.secret", &deposit.secret, &mut wrong);
        wrong.extend(quoted_in(deposit.label.as_deref(), "label", &deposit.secret));
        let expires_at = moment("credential.expires_at", deposit.expires_at.as_deref(), &mut wrong);
        match (url, environment, kind) {
            (Ok(url), Some(environment), Some(kind)) if wrong.is_empty() => {
                let url = url.map(|url| url.as_str().to_owned());
                let (database, username) = (database.clone(), username.clone());
                let destination = Destination { url, database, username };
                Ok(Checked { destination, environment, kind, expires_at })
            }
            _ => Err(Error::Invalid(wrong)),
        }
    }
}

pub(super) fn moment(field: &str, text: Option<&str>, wrong: &mut Vec<FieldError>) -> Option<Moment> {
    let read = text.map(Moment::parse)?;
    if read.is_none() {
        let rule = "must be RFC 3339, such as 2027-01-31T00:00:00Z";
        wrong.push(FieldError::new(field, "rfc3339", rule));
    }
    read
}

/// Asked only once it is known that the request is no repeat: the first one may have been in time.
pub(super) fn lies_ahead(field: &str, expires_at: Option<Moment>, now: Moment) -> Result<(), FieldError> {
    match expires_at {
        Some(at) if at <= now => Err(FieldError::new(field, "in_future", "must lie ahead")),
        _ => Ok(()),
    }
}

/// Of a destination that the org's own list does not hold.
pub(super) fn host_not_allowed() -> FieldError {
    FieldError::new("url", "host_allowed", "must be a host that the org's owner lets be called")
}

/// What logs in to an Odoo is one line; another kind, or one that is not known yet, may be a file.
pub(super) fn check_secret(
    kind: Option<CredentialKind>,
    field: &str,
    secret: &Secret,
    wrong: &mut Vec<FieldError>,
) {
    let text = secret.expose();
    if kind.is_some_and(CredentialKind::is_odoo) {
        return check_text(field, text, MAX_SECRET_BYTES, wrong);
    }
    let rule = "must not contain control characters but tabs and line ends";
    let is_wrong = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r');
    check_characters(field, text, MAX_OTHER_SECRET_BYTES, (&is_wrong, rule), wrong);
}

/// What people call a connection stays in the trail for good, so it does not hold the secret.
pub(super) fn quoted_in(label: Option<&str>, field: &str, secret: &Secret) -> Option<FieldError> {
    let (label, secret) = (label?, secret.expose());
    let is_quoted = secret.len() >= LONGER_THAN_A_WORD && label.contains(secret);
    let rule = "must not hold the secret, for it is shown and stays in the trail";
    is_quoted.then(|| FieldError::new(field, "no_secret", rule))
}

pub(super) fn check_text(field: &str, text: &str, max_bytes: usize, wrong: &mut Vec<FieldError>) {
    let rule = "must not contain control characters";
    check_characters(field, text, max_bytes, (&char::is_control, rule), wrong);
}

fn check_characters(
    field: &str,
    text: &str,
    max_bytes: usize,
    (is_wrong, rule): (&dyn Fn(char) -> bool, &str),
    wrong: &mut Vec<FieldError>,
) {
    if text.is_empty() {
        wrong.push(FieldError::new(field, "not_empty", "must not be empty"));
    } else if text.len() > max_bytes {
        wrong.push(FieldError::new(field, "max_bytes", format!("must be at most {max_bytes} bytes")));
    } else if text.chars().any(is_wrong) {
        wrong.push(FieldError::new(field, "no_control_characters", rule));
    }
}

pub(super) fn one_of(
    field: &str,
    text: &str,
    choices: &'static [&'static str],
    wrong: &mut Vec<FieldError>,
) -> Option<&'static str> {
    let found = choices.iter().copied().find(|choice| *choice == text);
    if found.is_none() {
        wrong.push(FieldError::new(field, "one_of", format!("must be one of {}", choices.join(", "))));
    }
    found
}
