//! A row is opened, and all of it held to the rules of a deposit. What breaks one is named by field and rule.

use crate::access::{Scope, UserScope};
use crate::clock::Moment;
use crate::credential::{CredentialKind, Destination};
use crate::egress::OdooUrl;
use crate::error::{Error, FieldError};
use crate::ids::{ConnectionId, IdRefused, SourceId, UserId};
use crate::import::MAX_VALUE;
use crate::seal::FernetKeys;
use crate::secret::Secret;
use crate::store::Imported;
use crate::vault::Vault;
use crate::vault::deposit::Deposit;
use crate::vault::import::Import;

/// A row that broke no rule, opened.
pub(super) struct Opened {
    pub(super) id: SourceId,
    /// What it will be, and whose.
    pub(super) connection: ConnectionId,
    pub(super) owner: UserScope,
    pub(super) environment: &'static str,
    pub(super) kind: CredentialKind,
    pub(super) destination: Destination,
    pub(super) secret: Secret,
}

impl Opened {
    /// Whether what came in under its id was this; of what was forgotten nothing tells.
    pub(super) fn is(&self, known: &Imported) -> bool {
        known.there.as_ref().is_none_or(|there| {
            there.user == self.owner.user().as_str() && there.destination.parts() == self.destination.parts()
        })
    }
}

const TOKEN: &str = "encrypted_password";

impl Vault {
    /// The same of a row that is not opened.
    pub(super) fn is_still(&self, import: &Import, known: &Imported, values: &[Option<Vec<u8>>; 5]) -> bool {
        let Some(there) = &known.there else { return true };
        let [user, url, database, username, _] =
            values.each_ref().map(|value| value.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok()));
        let (to, named, as_whom) = there.destination.parts();
        let is_url = |url: &str| {
            let parsed = OdooUrl::parse(url, &self.guard, Some(import.scope.org().as_str()));
            url == to || parsed.is_ok_and(|url| url.as_str() == to)
        };
        user == Some(there.user.as_str())
            && url.is_some_and(is_url)
            && database == Some(named)
            && username == Some(as_whom)
    }

    /// Opens the token of a row and holds everything to its rules; of what is wrong all is told at once.
    pub(super) fn open_row(
        &self,
        import: &Import,
        id: &SourceId,
        [user, url, database, username, token]: [Option<Vec<u8>>; 5],
        at: Moment,
    ) -> Result<Result<Opened, Vec<FieldError>>, Error> {
        let mut wrong = Vec::new();
        let mut take =
            |field, bytes: Option<Vec<u8>>| text(field, bytes.as_deref()).map_err(|e| wrong.push(e)).ok();
        let (user, url) = (take("user_id", user), take("url", url));
        let (database, username) = (take("database", database), take("username", username));
        let owner = user.and_then(|user| owner(&import.scope, &user).map_err(|e| wrong.push(e)).ok());
        let secret = open(&import.keys, token.as_deref()).map_err(|e| wrong.push(e)).ok();
        // These were said; the rules would only add that nothing is there.
        let said: Vec<String> = wrong.iter().map(|e| e.field.clone()).collect();
        let deposit = Deposit {
            url,
            database,
            username,
            label: None,
            environment: None,
            kind: import.kind.as_str().to_owned(),
            secret: secret.unwrap_or_else(|| Secret::new(String::new())),
            expires_at: None,
            check: false,
        };
        let checked = match self.hold_to_rules(&deposit, import.scope.org().as_str()) {
            Ok(checked) => Some(checked),
            Err(Error::Invalid(more)) => {
                let more = more.into_iter().map(in_the_sources_words);
                wrong.extend(more.filter(|e| !said.contains(&e.field)));
                None
            }
            Err(error) => return Err(error),
        };
        match (checked, owner) {
            (Some(checked), Some(owner)) if wrong.is_empty() => Ok(Ok(Opened {
                id: id.clone(),
                connection: ConnectionId::new(at)?,
                owner,
                environment: checked.environment,
                kind: checked.kind,
                destination: checked.destination,
                secret: deposit.secret,
            })),
            _ => Ok(Err(wrong)),
        }
    }
}

fn owner(scope: &Scope, user: &str) -> Result<UserScope, FieldError> {
    let user = UserId::parse(user).map_err(|refused: IdRefused| FieldError::of_id("user_id", refused))?;
    scope.of_user(&user).ok_or_else(|| FieldError::new("user_id", "scope", "must be one of the org's users"))
}

fn open(keys: &FernetKeys, token: Option<&[u8]>) -> Result<Secret, FieldError> {
    keys.open(there(TOKEN, token)?)
        .map_err(|refused| FieldError::new(TOKEN, refused.rule(), refused.to_string()))
}

pub(super) fn text(field: &str, bytes: Option<&[u8]>) -> Result<String, FieldError> {
    let text = std::str::from_utf8(there(field, bytes)?);
    let text = text.map_err(|_| FieldError::new(field, "utf8", "must be text in UTF-8"))?;
    Ok(text.to_owned())
}

fn there<'a>(field: &str, bytes: Option<&'a [u8]>) -> Result<&'a [u8], FieldError> {
    let bytes = bytes.ok_or_else(|| FieldError::new(field, "required", "is required"))?;
    match bytes.len() > MAX_VALUE {
        true => Err(FieldError::new(field, "max_bytes", format!("must be at most {MAX_VALUE} bytes"))),
        false => Ok(bytes),
    }
}

/// The rules are a deposit's; the fields are named as the source names them.
fn in_the_sources_words(mut wrong: FieldError) -> FieldError {
    if wrong.field == "credential.secret" {
        wrong.field = TOKEN.into();
    }
    wrong
}
