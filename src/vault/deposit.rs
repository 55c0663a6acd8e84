//! Seal a credential and keep it. Nothing is resolved and nothing is called: a deposit is no oracle.

use crate::access::{Action, Scope};
use crate::audit::{Actor, AuditEvent, Outcome, Subject};
use crate::clock::Moment;
use crate::egress::OdooUrl;
use crate::error::{Error, FieldError};
use crate::ids::{ConnectionId, Revision};
use crate::seal::Binding;
use crate::secret::Secret;
use crate::store::{NewConnection, Repeat, StoredConnection, Tx};
use crate::vault::{DEADLINE, Vault, repeat};

/// What is deposited, as it was sent.
pub struct Deposit {
    /// Odoo's address.
    pub url: String,
    /// The database there.
    pub database: String,
    /// The login there.
    pub username: String,
    /// What people call it.
    pub label: Option<String>,
    /// `production` (the default), `staging` or `development`.
    pub environment: Option<String>,
    /// `password` or `api_key`.
    pub kind: String,
    /// The password or API key.
    pub secret: Secret,
    /// When it ends by itself, RFC 3339.
    pub expires_at: Option<String>,
}

/// What a credential may be.
pub const KINDS: &[&str] = &["password", "api_key"];
/// What an Odoo may be to its customer.
pub const ENVIRONMENTS: &[&str] = &["production", "staging", "development"];
/// The longest credential, in bytes of UTF-8.
pub const MAX_SECRET_BYTES: usize = 4096;
/// The longest database name and login, in bytes of UTF-8.
pub const MAX_NAME_BYTES: usize = 256;
pub(super) const MAX_LABEL_BYTES: usize = 128;

/// A deposit that broke no rule.
pub(super) struct Checked {
    pub(super) url: OdooUrl,
    pub(super) environment: &'static str,
    pub(super) kind: &'static str,
    expires_at: Option<Moment>,
}

impl Vault {
    /// Seals the credential for its place and keeps it as a new connection of the caller's own.
    pub async fn deposit(
        &self,
        actor: &Actor,
        deposit: Deposit,
        again: Option<Repeat>,
    ) -> Result<StoredConnection, Error> {
        let scope = self.allow_user(actor, Action::Deposit).await?;
        let at = self.clock.now();
        let checked = self.hold_to_rules(&deposit, scope.org().as_str())?;
        let id = ConnectionId::new(at)?;
        let address = (checked.url.as_str().to_owned(), deposit.database, deposit.username);
        let binding = Binding::credential(
            &scope,
            &id,
            Revision::FIRST,
            checked.kind,
            (&address.0, &address.1, &address.2),
        );
        let subject = Subject { connection: Some(&id), lease: None };
        let event = AuditEvent::of(actor, Action::Deposit, subject, Outcome::Done, at)?;
        let own = Scope::from(scope.clone());
        self.with_ring(async |held| {
            let sealed = held.keyring.seal(&binding, &deposit.secret);
            let new = NewConnection {
                id: id.clone(),
                scope: scope.clone(),
                label: deposit.label.clone(),
                environment: checked.environment,
                kind: checked.kind,
                address: address.clone(),
                sealed: sealed.map_err(|failed| Error::Unavailable(failed.to_string()))?,
                credential_expires_at: checked.expires_at,
                at,
            };
            let (actor, own, again, event) = (actor.clone(), own.clone(), again.clone(), event.clone());
            let insert = move |tx: &mut Tx| {
                if let Some(first) = repeat::find_connection(tx, &held, &actor, again.as_ref(), &own, at)? {
                    return Ok(first);
                }
                lies_ahead("credential.expires_at", new.credential_expires_at, at)?;
                let (url, database, username) = &new.address;
                if let Some(first) = tx.find_connection_at((url, database, username))? {
                    return Err(Error::Duplicate(first));
                }
                tx.insert_connection(&new)?;
                tx.append(&event)?;
                let stored = tx.find_connection(&new.id)?.ok_or(Error::NotFound)?;
                repeat::keep_connection(tx, &actor, again.as_ref(), &stored, at)?;
                Ok(stored)
            };
            self.store.run("deposit", Scope::from(scope.clone()), DEADLINE, insert).await
        })
        .await
    }

    /// Holds every member against its rules and names each that breaks one.
    pub(super) fn hold_to_rules(&self, deposit: &Deposit, org: &str) -> Result<Checked, Error> {
        let mut wrong = Vec::new();
        let url = OdooUrl::parse(&deposit.url, &self.exceptions, Some(org))
            .map_err(|refused| wrong.push(FieldError::new("url", refused.rule(), refused.to_string())))
            .ok();
        check_text("database", &deposit.database, MAX_NAME_BYTES, &mut wrong);
        check_text("username", &deposit.username, MAX_NAME_BYTES, &mut wrong);
        if let Some(label) = &deposit.label {
            check_text("label", label, MAX_LABEL_BYTES, &mut wrong);
        }
        let environment = deposit.environment.as_deref().unwrap_or("production");
        let environment = one_of("environment", environment, ENVIRONMENTS, &mut wrong);
        let kind = one_of("credential.kind", &deposit.kind, KINDS, &mut wrong);
        check_text("credential.secret", deposit.secret.expose(), MAX_SECRET_BYTES, &mut wrong);
        let expires_at = moment("credential.expires_at", deposit.expires_at.as_deref(), &mut wrong);
        match (url, environment, kind) {
            (Some(url), Some(environment), Some(kind)) if wrong.is_empty() => {
                Ok(Checked { url, environment, kind, expires_at })
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

pub(super) fn check_text(field: &str, text: &str, max_bytes: usize, wrong: &mut Vec<FieldError>) {
    if text.is_empty() {
        wrong.push(FieldError::new(field, "not_empty", "must not be empty"));
    } else if text.len() > max_bytes {
        wrong.push(FieldError::new(field, "max_bytes", format!("must be at most {max_bytes} bytes")));
    } else if text.chars().any(char::is_control) {
        wrong.push(FieldError::new(field, "no_control_characters", "must not contain control characters"));
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
