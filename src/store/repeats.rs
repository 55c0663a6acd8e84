//! What a caller's Idempotency-Key was used for: written with the change that it named, found by the
//! request that comes again, blanked when the credential is gone. Nothing in it is secret.

use std::time::Duration;

use diesel::prelude::*;

use crate::access::Caller;
use crate::clock::Moment;
use crate::ids::{ConnectionId, IdempotencyKey, KeyId, LeaseId, OrgId, UserId};
use crate::seal::Mark;
use crate::store::db::Db;
use crate::store::error::StoreError;
use crate::store::schema::idempotency_keys;
use crate::store::tx::Tx;
use crate::store::upkeep::Upkeep;

/// How long a key is kept.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// How many old ones a request drops, which keeps one; and a transaction of a start.
const DROPPED_BY_ONE: i64 = 100;
const DROPPED_AT_ONCE: i64 = 1000;

/// A request that may come again: the name that its client gave it, and what tells it from others.
pub struct Repeat {
    /// The client's name for it.
    pub key: IdempotencyKey,
    /// Its marks under the keys held, the one that seals first.
    pub marks: Vec<Mark>,
}

/// What a key was used for before.
pub enum Earlier {
    /// For this same request.
    Same(Kept),
    /// For another.
    Other,
    /// For what can't be told without this key, which was not held when the request was marked.
    UnknownKey(KeyId),
    /// For a deposit or a replace of a credential that is gone; this same or another.
    Blank(Kept),
}

/// What is kept of the first answer.
pub struct Kept {
    /// The lease that it was about.
    pub lease: Option<LeaseId>,
    /// The answer itself, without any secret.
    pub answer: Option<String>,
}

/// What a change was about, and what a repeat of it is to be answered.
pub struct First<'a> {
    /// The connection, if it was about one.
    pub connection: Option<&'a ConnectionId>,
    /// Whose it is.
    pub user: &'a UserId,
    /// The lease.
    pub lease: Option<&'a LeaseId>,
    /// The answer, without any secret.
    pub answer: Option<String>,
    /// Now.
    pub at: Moment,
}

impl Tx<'_> {
    /// What `caller` used the key for within the last 24 hours.
    pub fn find_earlier(
        &mut self,
        caller: &Caller,
        repeat: &Repeat,
        at: Moment,
    ) -> Result<Option<Earlier>, StoreError> {
        find(self.db, caller, repeat, at)
    }

    /// Keeps what `caller` used the key for, and drops some of what they used others for more than 24 hours
    /// ago.
    pub fn keep(&mut self, caller: &Caller, repeat: &Repeat, first: &First) -> Result<(), StoreError> {
        keep(self.db, caller, repeat, first)
    }
}

type KeptColumns = (String, Vec<u8>, Option<String>, Option<String>);

pub(super) fn find(
    db: &mut Db,
    caller: &Caller,
    repeat: &Repeat,
    at: Moment,
) -> Result<Option<Earlier>, StoreError> {
    let found: Option<KeptColumns> = idempotency_keys::table
        .filter(idempotency_keys::org_id.eq(caller.org().as_str()))
        .filter(idempotency_keys::caller_id.eq(caller.user().as_str()))
        .filter(idempotency_keys::client_id.eq(caller.client().as_str()))
        .filter(idempotency_keys::idempotency_key.eq(repeat.key.as_str()))
        .filter(idempotency_keys::kept_until.gt(at.micros()))
        .select((
            idempotency_keys::key_id,
            idempotency_keys::mark,
            idempotency_keys::lease_id,
            idempotency_keys::answer,
        ))
        .first(db)
        .optional()?;
    let Some((key_id, kept, lease, answer)) = found else { return Ok(None) };
    let is_blank = kept.is_empty();
    if !is_blank && !repeat.marks.iter().any(|mark| mark.is(&key_id, &kept)) {
        let key = KeyId::parse(&key_id).map_err(|_| StoreError::Damaged("idempotency_keys"))?;
        let is_held = repeat.marks.iter().any(|mark| *mark.key_id() == key);
        return Ok(Some(if is_held { Earlier::Other } else { Earlier::UnknownKey(key) }));
    }
    let lease = lease.map(|lease| LeaseId::parse(&lease)).transpose();
    let lease = lease.map_err(|_| StoreError::Damaged("idempotency_keys"))?;
    let kept = Kept { lease, answer };
    Ok(Some(if is_blank { Earlier::Blank(kept) } else { Earlier::Same(kept) }))
}

pub(super) fn keep(db: &mut Db, caller: &Caller, repeat: &Repeat, first: &First) -> Result<(), StoreError> {
    let org = caller.org().as_str();
    let mark = repeat.marks.first().ok_or(StoreError::Unavailable("no key marks the request"))?;
    drop_own(db, caller, &repeat.key, first.at)?;
    diesel::insert_into(idempotency_keys::table)
        .values((
            idempotency_keys::org_id.eq(org),
            idempotency_keys::caller_id.eq(caller.user().as_str()),
            idempotency_keys::client_id.eq(caller.client().as_str()),
            idempotency_keys::idempotency_key.eq(repeat.key.as_str()),
            idempotency_keys::key_id.eq(mark.key_id().as_str()),
            idempotency_keys::mark.eq(mark.to_bytes()),
            idempotency_keys::user_id.eq(first.user.as_str()),
            idempotency_keys::connection_id.eq(first.connection.map_or("", ConnectionId::as_str)),
            idempotency_keys::lease_id.eq(first.lease.map(LeaseId::as_str)),
            idempotency_keys::answer.eq(first.answer.as_deref()),
            idempotency_keys::kept_until.eq(first.at.after(KEPT).micros()),
        ))
        .execute(db)?;
    Ok(())
}

/// Counts that the lend that was kept came again, in the place of an answer, which no lend keeps. Answers how often.
pub(super) fn count(db: &mut Db, caller: &Caller, repeat: &Repeat, kept: &Kept) -> Result<u64, StoreError> {
    let before = kept.answer.as_deref().map_or(Ok(0), str::parse::<u64>);
    let before = before.map_err(|_| StoreError::Damaged("idempotency_keys"))?;
    let repeats = before.saturating_add(1);
    let own = idempotency_keys::table
        .filter(idempotency_keys::org_id.eq(caller.org().as_str()))
        .filter(idempotency_keys::caller_id.eq(caller.user().as_str()))
        .filter(idempotency_keys::client_id.eq(caller.client().as_str()))
        .filter(idempotency_keys::idempotency_key.eq(repeat.key.as_str()));
    diesel::update(own).set(idempotency_keys::answer.eq(Some(repeats.to_string()))).execute(db)?;
    Ok(repeats)
}

/// Drops the oldest of what `caller` has no right to any more, and `key` if it is among that.
fn drop_own(db: &mut Db, caller: &Caller, key: &IdempotencyKey, at: Moment) -> Result<(), StoreError> {
    let own = idempotency_keys::table
        .filter(idempotency_keys::org_id.eq(caller.org().as_str()))
        .filter(idempotency_keys::caller_id.eq(caller.user().as_str()))
        .filter(idempotency_keys::kept_until.le(at.micros()));
    let until = idempotency_keys::kept_until;
    let oldest: Vec<i64> = own.order(until.asc()).limit(DROPPED_BY_ONE).select(until).load(db)?;
    let Some(last) = oldest.last() else { return Ok(()) };
    let same = idempotency_keys::client_id.eq(caller.client().as_str());
    let same = same.and(idempotency_keys::idempotency_key.eq(key.as_str()));
    diesel::delete(own.filter(until.le(*last).or(same))).execute(db)?;
    Ok(())
}

impl Upkeep<'_> {
    /// Drops the oldest keys of anybody that are not to be kept any more. Whether there may be others.
    pub fn drop_old_keys(&mut self, at: Moment) -> Result<bool, StoreError> {
        let old = idempotency_keys::table.filter(idempotency_keys::kept_until.le(at.micros()));
        let until = idempotency_keys::kept_until;
        let oldest: Vec<i64> = old.order(until.asc()).limit(DROPPED_AT_ONCE).select(until).load(self.db)?;
        let Some(last) = oldest.last() else { return Ok(false) };
        diesel::delete(old.filter(until.le(*last))).execute(self.db)?;
        Ok(true)
    }
}

/// Leaves nothing of a forgotten connection but that the keys were used.
pub(super) fn blank(db: &mut Db, org: &OrgId, connection: &ConnectionId) -> Result<(), StoreError> {
    blank_marks(db, org, connection)?;
    let about = idempotency_keys::table
        .filter(idempotency_keys::org_id.eq(org.as_str()))
        .filter(idempotency_keys::connection_id.eq(connection.as_str()));
    diesel::update(about).set(idempotency_keys::answer.eq(None::<String>)).execute(db)?;
    Ok(())
}

/// Leaves nothing to compare a password with that was the connection's. What marks its leases' requests
/// was made of no secret.
pub(super) fn blank_marks(db: &mut Db, org: &OrgId, connection: &ConnectionId) -> Result<(), StoreError> {
    let held_secrets = idempotency_keys::table
        .filter(idempotency_keys::org_id.eq(org.as_str()))
        .filter(idempotency_keys::connection_id.eq(connection.as_str()))
        .filter(idempotency_keys::lease_id.is_null());
    diesel::update(held_secrets).set(idempotency_keys::mark.eq(Vec::new())).execute(db)?;
    Ok(())
}
