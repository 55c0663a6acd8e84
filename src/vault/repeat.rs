//! A request that comes again under the same Idempotency-Key gets the first one's result and changes
//! nothing. What is kept for it is written in the transaction of the change itself, so there is no
//! moment at which one is durable and the other is not.

use crate::access::{Caller, Scope};
use crate::audit::Actor;
use crate::clock::Moment;
use crate::error::Error;
use crate::ids::{IdempotencyKey, KeyId};
use crate::seal::Said;
use crate::store::{Earlier, First, Kept, Repeat, StoredConnection, StoredLease, Tx};
use crate::vault::keys::Held;

/// A request that came under an Idempotency-Key. Holds what it said, its secret too: wiped with the request.
pub struct KeyedRequest {
    key: IdempotencyKey,
    said: Said,
}

impl KeyedRequest {
    /// The request of `caller` that they named `key`: method, path and body, by which it is recognized.
    pub fn of(caller: &Caller, key: IdempotencyKey, (method, path, body): (&str, &str, &[u8])) -> Self {
        let who = [caller.org().as_str(), caller.user().as_str(), caller.client().as_str(), key.as_str()];
        let [org, user, client, name] = who.map(str::as_bytes);
        let said = Said::of(&[org, user, client, name, method.as_bytes(), path.as_bytes(), body]);
        Self { key, said }
    }
}

impl Held {
    /// How the store knows `request` again: by its marks under this ring's keys.
    pub(super) fn marked(&self, request: Option<&KeyedRequest>) -> Option<Repeat> {
        let KeyedRequest { key, said } = request?;
        Some(Repeat { key: key.clone(), marks: self.keyring.marks(said) })
    }
}

/// What is kept of the first answer, if this request came before.
pub(super) fn find(
    tx: &mut Tx,
    held: &Held,
    actor: &Actor,
    repeat: Option<&Repeat>,
    at: Moment,
) -> Result<Option<Kept>, Error> {
    let Some(repeat) = repeat else { return Ok(None) };
    match tx.find_earlier(&actor.caller, repeat, at)? {
        None => Ok(None),
        Some(Earlier::Same(kept)) => Ok(Some(kept)),
        Some(Earlier::UnknownKey(key)) => Err(unknown(held, key)),
        // A key of a deposit or a replace was none of a lease.
        Some(Earlier::Other | Earlier::Blank(_)) => Err(Error::KeyReused),
    }
}

/// The connection as a deposit or a replace answered it first, if this request came before and `scope`
/// still reaches it. Not found when it was forgotten since.
pub(super) fn find_connection(
    tx: &mut Tx,
    held: &Held,
    actor: &Actor,
    repeat: Option<&Repeat>,
    scope: &Scope,
    at: Moment,
) -> Result<Option<StoredConnection>, Error> {
    let Some(repeat) = repeat else { return Ok(None) };
    let (kept, is_blank) = match tx.find_earlier(&actor.caller, repeat, at)? {
        None => return Ok(None),
        Some(Earlier::Other) => return Err(Error::KeyReused),
        Some(Earlier::UnknownKey(key)) => return Err(unknown(held, key)),
        Some(Earlier::Same(kept)) => (kept, false),
        Some(Earlier::Blank(kept)) => (kept, true),
    };
    let answer = kept.answer.ok_or(Error::NotFound)?;
    let first: StoredConnection =
        serde_json::from_str(&answer).map_err(|_| Error::Damaged("idempotency_keys"))?;
    scope.of_user(&first.user).ok_or(Error::NotFound)?;
    if is_blank { Err(Error::CredentialReplaced) } else { Ok(Some(first)) }
}

/// What came before can't be told apart without its key, which a fresher ring may have; or it is gone for good.
fn unknown(held: &Held, key: KeyId) -> Error {
    if held.may_learn(&key) { Error::OldRing(key) } else { Error::KeyReused }
}

/// Keeps the connection as it is now: what a repeat is answered.
pub(super) fn keep_connection(
    tx: &mut Tx,
    actor: &Actor,
    repeat: Option<&Repeat>,
    stored: &StoredConnection,
    at: Moment,
) -> Result<(), Error> {
    let Some(repeat) = repeat else { return Ok(()) };
    let answer = serde_json::to_string(stored).map_err(|_| Error::Damaged("connections"))?;
    let first =
        First { connection: Some(&stored.id), user: &stored.user, lease: None, answer: Some(answer), at };
    Ok(tx.keep(&actor.caller, repeat, &first)?)
}

/// Keeps the org's settings as they were answered: of no connection.
pub(super) fn keep_settings(
    tx: &mut Tx,
    actor: &Actor,
    repeat: Option<&Repeat>,
    answer: String,
    at: Moment,
) -> Result<(), Error> {
    let Some(repeat) = repeat else { return Ok(()) };
    let first = First { connection: None, user: actor.caller.user(), lease: None, answer: Some(answer), at };
    Ok(tx.keep(&actor.caller, repeat, &first)?)
}

/// Keeps that something was done to the lease.
pub(super) fn keep_lease(
    tx: &mut Tx,
    actor: &Actor,
    repeat: Option<&Repeat>,
    lease: &StoredLease,
    at: Moment,
) -> Result<(), Error> {
    let Some(repeat) = repeat else { return Ok(()) };
    let first = First {
        connection: Some(&lease.connection),
        user: &lease.user,
        lease: Some(&lease.id),
        answer: None,
        at,
    };
    Ok(tx.keep(&actor.caller, repeat, &first)?)
}
