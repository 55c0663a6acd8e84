//! The way of lends: a list of asks, one transaction, an answer each, and for each answer its record,
//! durable before anybody hears it. Never sees an opened secret.

use std::time::Duration;

use diesel::dsl::max;
use diesel::prelude::*;

use crate::access::{Action, UserScope};
use crate::audit::{Actor, AuditEvent, Outcome, Subject};
use crate::clock::Moment;
use crate::ids::{ClientId, ConnectionId, KeyId, LeaseId, Revision, RunId};
use crate::seal::{OpenRefused, Sealed};
use crate::store::db::Db;
use crate::store::error::StoreError;
use crate::store::events::append;
use crate::store::schema::{connections, keys, leases};

/// One wish to borrow.
pub struct LendAsk {
    /// Who asks, for the trail.
    pub actor: Actor,
    /// Whose connection it must be.
    pub scope: UserScope,
    /// Which.
    pub connection: ConnectionId,
    /// `sync`, `check` or `other`; a `sync` lease is exclusive.
    pub purpose: &'static str,
    /// The run it is for.
    pub run: Option<RunId>,
    /// For how long.
    pub ttl: Duration,
    /// The kinds of credential that may be lent to this caller.
    pub kinds: Vec<String>,
    /// The id of the lease, if it is granted anew.
    pub lease: LeaseId,
    /// Now.
    pub at: Moment,
    /// Whether the sealed credential opens where it lies. Tells yes or why not, never what is in it.
    pub proof: Proof,
}

/// See [`LendAsk::proof`].
pub type Proof = Box<dyn Fn(&SealedRow) -> Result<(), OpenRefused> + Send>;

/// What was granted: a sealed credential, and where it may be sent.
pub struct SealedRow {
    /// The lease.
    pub lease: LeaseId,
    /// Its number among this connection's leases; only grows.
    pub fence: i64,
    /// When it ends.
    pub expires_at: Moment,
    /// `password` or `api_key`.
    pub kind: String,
    /// Url, database, username.
    pub address: (String, String, String),
    /// The credential's revision.
    pub revision: Revision,
    /// The sealed credential.
    pub sealed: Sealed,
}

/// Somebody else holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// At the latest until then.
    pub until: Moment,
}

/// Why nothing was granted. Each is on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LendRefused {
    /// The scope has no such connection.
    NotFound,
    /// Another run holds its exclusive lease.
    Held(Held),
    /// The caller may not borrow this kind of credential.
    KindNotAllowed,
    /// Its row names a key that is not held, or that there is no record of.
    UnknownKey(KeyId),
    /// Its row names a key that opens nothing any more.
    RetiredKey(KeyId),
    /// It was not sealed for the place where it lies.
    DoesNotOpen,
}

impl LendRefused {
    /// The stable name of the cause, for the trail.
    pub fn cause(&self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::Held(_) => "lease-held",
            Self::KindNotAllowed => "kind-not-allowed",
            Self::UnknownKey(_) => "key-not-held",
            Self::RetiredKey(_) => "key-retired",
            Self::DoesNotOpen => "does-not-open",
        }
    }
}

/// What became of an ask.
pub type Granted = Result<SealedRow, LendRefused>;

/// Grants or refuses `ask` and puts that on record, in the open transaction.
pub(super) fn answer(db: &mut Db, ask: &LendAsk) -> Result<Granted, StoreError> {
    let answer = grant(db, ask)?;
    append(db, &ask.record(&answer)?)?;
    Ok(answer)
}

impl LendAsk {
    fn record(&self, answer: &Result<SealedRow, LendRefused>) -> Result<AuditEvent, StoreError> {
        let (lease, outcome) = match answer {
            Ok(row) => (Some(&row.lease), Outcome::Done),
            Err(refused) => (None, Outcome::Refused(refused.cause())),
        };
        let subject = Subject { connection: Some(&self.connection), lease };
        AuditEvent::of(&self.actor, Action::Lend, subject, outcome, self.at)
            .map_err(|_| StoreError::Unavailable("no randomness"))
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = connections)]
struct SealedColumns {
    kind: String,
    url: String,
    database: String,
    username: String,
    sealed: String,
    key_id: String,
    revision: i64,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = leases)]
struct OpenLease {
    id: String,
    client_id: String,
    run_id: Option<String>,
    fence: i64,
    expires_at: i64,
}

fn grant(db: &mut Db, ask: &LendAsk) -> Result<Result<SealedRow, LendRefused>, StoreError> {
    let found: Option<SealedColumns> = connections::table
        .filter(connections::org_id.eq(ask.scope.org().as_str()))
        .filter(connections::user_id.eq(ask.scope.user().as_str()))
        .filter(connections::id.eq(ask.connection.as_str()))
        .select(SealedColumns::as_select())
        .first(db)
        .optional()?;
    let Some(row) = found else { return Ok(Err(LendRefused::NotFound)) };

    let key_id = KeyId::parse(&row.key_id).map_err(|_| StoreError::Damaged("connections"))?;
    let key: Option<String> = keys::table.find(key_id.as_str()).select(keys::state).first(db).optional()?;
    match key.as_deref() {
        None => return Ok(Err(LendRefused::UnknownKey(key_id))),
        Some("retired") => return Ok(Err(LendRefused::RetiredKey(key_id))),
        Some(_) => {}
    }
    if !ask.kinds.contains(&row.kind) {
        return Ok(Err(LendRefused::KindNotAllowed));
    }

    let mut granted = SealedRow {
        lease: ask.lease.clone(),
        fence: 0,
        expires_at: ask.at.after(ask.ttl),
        kind: row.kind,
        address: (row.url, row.database, row.username),
        revision: Revision::from_number(row.revision),
        sealed: Sealed { token: row.sealed, key_id },
    };
    match (ask.proof)(&granted) {
        Ok(()) => {}
        Err(OpenRefused::UnknownKey) => return Ok(Err(LendRefused::UnknownKey(granted.sealed.key_id))),
        Err(OpenRefused::DoesNotOpen) => return Ok(Err(LendRefused::DoesNotOpen)),
    }
    match held(db, ask)? {
        Some(open) if is_own(&open, ask.actor.caller.client(), ask.run.as_ref()) => {
            extend(db, ask, &open, &mut granted)?;
        }
        Some(open) => {
            return Ok(Err(LendRefused::Held(Held { until: Moment::from_micros(open.expires_at) })));
        }
        None => insert(db, ask, &mut granted)?,
    }
    Ok(Ok(granted))
}

/// The open exclusive lease that a `sync` ask meets. The transaction holds its org's chain, so none
/// can appear between this look and the insert.
fn held(db: &mut Db, ask: &LendAsk) -> Result<Option<OpenLease>, StoreError> {
    if ask.purpose != "sync" {
        return Ok(None);
    }
    Ok(leases::table
        .filter(leases::org_id.eq(ask.scope.org().as_str()))
        .filter(leases::connection_id.eq(ask.connection.as_str()))
        .filter(leases::purpose.eq("sync"))
        .filter(leases::ended_at.is_null())
        .filter(leases::expires_at.gt(ask.at.micros()))
        .select(OpenLease::as_select())
        .first(db)
        .optional()?)
}

fn is_own(open: &OpenLease, client: &ClientId, run: Option<&RunId>) -> bool {
    open.client_id == client.as_str() && run.is_some() && open.run_id.as_deref() == run.map(RunId::as_str)
}

/// A run that comes back gets its own lease again, with at least the time it asks for.
fn extend(db: &mut Db, ask: &LendAsk, open: &OpenLease, granted: &mut SealedRow) -> Result<(), StoreError> {
    granted.lease = LeaseId::parse(&open.id).map_err(|_| StoreError::Damaged("leases"))?;
    granted.fence = open.fence;
    granted.expires_at = granted.expires_at.max(Moment::from_micros(open.expires_at));
    diesel::update(
        leases::table
            .filter(leases::org_id.eq(ask.scope.org().as_str()))
            .filter(leases::id.eq(granted.lease.as_str())),
    )
    .set((leases::expires_at.eq(granted.expires_at.micros()), leases::revision.eq(granted.revision.number())))
    .execute(db)?;
    Ok(())
}

fn insert(db: &mut Db, ask: &LendAsk, granted: &mut SealedRow) -> Result<(), StoreError> {
    let last: Option<i64> = leases::table
        .filter(leases::connection_id.eq(ask.connection.as_str()))
        .select(max(leases::fence))
        .first(db)?;
    granted.fence = last.unwrap_or(0) + 1;
    diesel::insert_into(leases::table)
        .values((
            leases::id.eq(granted.lease.as_str()),
            leases::org_id.eq(ask.scope.org().as_str()),
            leases::user_id.eq(ask.scope.user().as_str()),
            leases::connection_id.eq(ask.connection.as_str()),
            leases::client_id.eq(ask.actor.caller.client().as_str()),
            leases::purpose.eq(ask.purpose),
            leases::run_id.eq(ask.run.as_ref().map(RunId::as_str)),
            leases::revision.eq(granted.revision.number()),
            leases::fence.eq(granted.fence),
            leases::lent_at.eq(ask.at.micros()),
            leases::expires_at.eq(granted.expires_at.micros()),
        ))
        .execute(db)?;
    Ok(())
}
