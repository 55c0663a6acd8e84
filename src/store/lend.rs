//! One lend: an ask is granted or refused, and either is put on record in the same transaction, durable
//! before anybody hears it. Never sees an opened secret.

use std::time::Duration;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;

use crate::access::{Action, Permit, Unmet, UserScope};
use crate::audit::{Actor, AuditEvent, Outcome, Slot, Subject};
use crate::clock::Moment;
use crate::ids::{ClientId, ConnectionId, KeyId, LeaseId, RunId};
use crate::store::batch::{Batch, Found};
use crate::store::db::{Db, first_row};
use crate::store::error::StoreError;
use crate::store::leases::is_succeeded;
use crate::store::repeats::{self, Earlier, First, Kept, Repeat};
use crate::store::schema::leases;
use crate::store::sealed::{Proof, SealedCredential, judge};
use crate::store::unanswered::Receipt;

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
    /// What may be lent to this caller.
    pub permit: Permit,
    /// The id of the lease, if it is granted anew.
    pub lease: LeaseId,
    /// Now.
    pub at: Moment,
    /// Whether the sealed credential opens where it lies.
    pub proof: Proof,
    /// Keys that were looked for and not found. An ask that meets another unknown one is not answered yet,
    /// and not on record: it comes again with a fresher ring.
    pub missing: Vec<KeyId>,
    /// Under which name it may come again.
    pub repeat: Option<Repeat>,
    /// Where a refusal is put on record; without one it is answered alone, and counted by whoever asks. What is granted
    /// is always on record.
    pub slot: Option<Slot>,
}

/// What was granted.
pub struct SealedRow {
    /// The lease.
    pub lease: LeaseId,
    /// Its number among this connection's leases; only grows.
    pub fence: i64,
    /// When it ends.
    pub expires_at: Moment,
    /// How often it was asked for again by its Idempotency-Key.
    pub repeats: u64,
    /// The sealed credential, and where it may be sent.
    pub credential: SealedCredential,
    /// To be signed by whoever passes the lease on. One that nobody ever signed for is ended.
    pub receipt: Receipt,
}

/// Somebody else holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// At the latest until then.
    pub until: Moment,
}

/// Why nothing was granted. Each is on record, but for those without [`LendAsk::slot`] and what is past the quota.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LendRefused {
    /// The scope has no such connection.
    NotFound,
    /// Another run holds its exclusive lease.
    Held(Held),
    /// No grant of the caller's has its conditions met.
    Unmet(Unmet),
    /// No role of the caller's grants what it takes any more.
    Denied(Action),
    /// The purpose takes a credential of Odoo's.
    NotOdoo,
    /// Odoo refused the credential, and it is the same still.
    AuthFailed,
    /// Its row names a key that is not held, or that there is no record of.
    UnknownKey(KeyId),
    /// Its row names a key that opens nothing any more.
    RetiredKey(KeyId),
    /// It was not sealed for the place where it lies.
    DoesNotOpen,
    /// The lease was ended or its time is over.
    LeaseEnded,
    /// The lease was lent to another client.
    NotHolder,
    /// The credential was replaced since it was lent.
    CredentialReplaced,
    /// The caller used the Idempotency-Key for another request.
    KeyReused,
    /// The org, or the whole vault, is frozen.
    Frozen,
    /// As many are open as may be, of the org or of the connection.
    TooMany(Held),
    /// Its org does not let its host be called.
    HostNotAllowed,
    /// Its org has it used by injection alone.
    InjectionOnly,
    /// Its user can do more than read, and so it is used by injection alone.
    MayWrite,
    /// An answer of its Odoo held it.
    Leaked,
    /// The org's trail takes no more events of the day.
    PastQuota,
}

impl LendRefused {
    /// The stable name of the cause, for the trail.
    pub fn cause(&self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::Held(_) => "lease-held",
            Self::Unmet(unmet) => unmet.cause(),
            Self::Denied(_) => "forbidden",
            Self::NotOdoo => "not-odoo",
            Self::AuthFailed => "auth-failed",
            Self::UnknownKey(_) => "key-not-held",
            Self::RetiredKey(_) => "key-retired",
            Self::DoesNotOpen => "does-not-open",
            Self::LeaseEnded => "lease-ended",
            Self::NotHolder => "not-holder",
            Self::CredentialReplaced => "credential-replaced",
            Self::KeyReused => "idempotency-key-reused",
            Self::Frozen => "frozen",
            Self::TooMany(_) => "too-many-leases",
            Self::HostNotAllowed => "host-not-allowed",
            Self::InjectionOnly => "injection-only",
            Self::MayWrite => "may-write",
            Self::Leaked => "credential-leaked",
            Self::PastQuota => "event-quota",
        }
    }
}

/// What became of an ask.
pub type Granted = Result<SealedRow, LendRefused>;

/// Grants or refuses `ask`, the one in place `at` of `batch`, and puts that on record with the batch.
pub(super) fn answer(
    db: &mut Db,
    batch: &mut Batch,
    at: usize,
    ask: &LendAsk,
) -> Result<Granted, StoreError> {
    if batch.is_past_quota(db, ask)? {
        return Ok(Err(LendRefused::PastQuota));
    }
    let answer = grant(db, batch, at, ask)?;
    if let Err(LendRefused::UnknownKey(key)) = &answer
        && !ask.missing.contains(key)
    {
        return Ok(answer);
    }
    match (&answer, &ask.slot) {
        (Err(_), None) => return Ok(answer),
        (Err(_), Some(slot)) => slot.fill(),
        (Ok(_), _) => {}
    }
    batch.append(db, &ask.record(&answer)?)?;
    Ok(answer)
}

impl LendAsk {
    /// Whether nobody else may hold the connection meanwhile.
    pub(super) fn is_exclusive(&self) -> bool {
        self.purpose == "sync"
    }

    fn record(&self, answer: &Result<SealedRow, LendRefused>) -> Result<AuditEvent, StoreError> {
        let (lease, outcome) = match answer {
            Ok(row) => (Some(&row.lease), Outcome::Done),
            Err(refused) => (None, Outcome::Refused(refused.cause())),
        };
        let subject = Subject { connection: Some(&self.connection), label: None, lease };
        // What was known of the user whose credential is out, for who reads of it later.
        let lent = answer.iter().map(|row| &row.credential).filter(|credential| credential.kind.is_odoo());
        let more: Vec<_> = lent.map(|credential| ("rights", credential.rights.as_str())).collect();
        AuditEvent::of_with(&self.actor, self.permit.action(), (subject, &more), outcome, self.at)
            .map_err(|_| StoreError::Unavailable("no randomness"))
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = leases)]
pub(super) struct OpenLease {
    id: String,
    client_id: String,
    run_id: Option<String>,
    revision: i64,
    fence: i64,
    expires_at: i64,
}

fn grant(db: &mut Db, batch: &mut Batch, at: usize, ask: &LendAsk) -> Result<Granted, StoreError> {
    if batch.is_frozen(db, ask)? {
        return Ok(Err(LendRefused::Frozen));
    }
    let earlier = match &ask.repeat {
        Some(repeat) => repeats::find(db, &ask.actor.caller, repeat, ask.at)?,
        None => None,
    };
    match &earlier {
        Some(Earlier::UnknownKey(key)) if !ask.missing.contains(key) => {
            return Ok(Err(LendRefused::UnknownKey(key.clone())));
        }
        Some(Earlier::Other | Earlier::Blank(_) | Earlier::UnknownKey(_)) => {
            return Ok(Err(LendRefused::KeyReused));
        }
        Some(Earlier::Same(_)) | None => {}
    }
    let Found { sealed, held } = batch.find(db, at, ask)?;
    let credential = match judge(sealed, &ask.proof)? {
        Ok(credential) => credential,
        Err(refused) => return Ok(Err(refused)),
    };
    if let Err(unmet) = ask.permit.judge(ask.scope.user(), credential.about()) {
        return Ok(Err(LendRefused::Unmet(unmet)));
    }
    if ask.purpose != "other" && !credential.kind.is_odoo() {
        return Ok(Err(LendRefused::NotOdoo));
    }
    if ask.is_exclusive() && credential.auth_failed {
        return Ok(Err(LendRefused::AuthFailed));
    }
    if let Err(refused) = batch.judge(db, ask, &credential)? {
        return Ok(Err(refused));
    }
    let (lease, expires_at, receipt) = (ask.lease.clone(), ask.at.after(ask.ttl), Receipt::default());
    let mut granted = SealedRow { lease, fence: 0, expires_at, repeats: 0, credential, receipt };
    if let (Some(repeat), Some(Earlier::Same(kept))) = (&ask.repeat, &earlier) {
        batch.write(db)?;
        return again(db, ask, (repeat, kept), granted);
    }
    let held = match held {
        Some(held) => held,
        None if ask.is_exclusive() => {
            batch.write(db)?;
            find_held(db, ask)?
        }
        None => None,
    };
    match held {
        Some(open) if is_own(&open, ask.actor.caller.client(), ask.run.as_ref()) => {
            batch.write(db)?;
            extend(db, ask, &open, &mut granted)?;
            batch.change(ask);
        }
        Some(open) => {
            return Ok(Err(LendRefused::Held(Held { until: Moment::from_micros(open.expires_at) })));
        }
        None => {
            if let Some(until) = batch.is_full(db, ask)? {
                return Ok(Err(LendRefused::TooMany(Held { until })));
            }
            let last = batch.last_fence(db, ask)?;
            granted.fence = last.checked_add(1).ok_or(StoreError::Damaged("leases"))?;
            batch.insert(ask, &granted);
        }
    }
    if let Some(repeat) = &ask.repeat {
        let (connection, user, lease) = (Some(&ask.connection), ask.scope.user(), Some(&granted.lease));
        let first = First { connection, user, lease, answer: None, at: ask.at };
        repeats::keep(db, &ask.actor.caller, repeat, &first)?;
    }
    Ok(Ok(granted))
}

/// A lend that comes again gets the lease that it got, if that is still open and lent what is there now.
fn again(
    db: &mut Db,
    ask: &LendAsk,
    (repeat, kept): (&Repeat, &Kept),
    mut granted: SealedRow,
) -> Result<Result<SealedRow, LendRefused>, StoreError> {
    let lease = kept.lease.clone().ok_or(StoreError::Damaged("idempotency_keys"))?;
    let found: Option<OpenLease> = leases::table
        .filter(leases::org_id.eq(ask.scope.org().as_str()))
        .filter(leases::user_id.eq(ask.scope.user().as_str()))
        .filter(leases::id.eq(lease.as_str()))
        .filter(leases::ended_at.is_null())
        .filter(leases::expires_at.gt(ask.at.micros()))
        .select(OpenLease::as_select())
        .first(db)
        .optional()?;
    let Some(open) = found else { return Ok(Err(LendRefused::LeaseEnded)) };
    if ask.is_exclusive() && is_succeeded(db, ask.scope.org(), &ask.connection, open.fence)? {
        return Ok(Err(LendRefused::LeaseEnded));
    }
    if open.revision != granted.credential.revision.number() {
        return Ok(Err(LendRefused::CredentialReplaced));
    }
    granted.lease = lease;
    granted.fence = open.fence;
    granted.expires_at = Moment::from_micros(open.expires_at);
    granted.repeats = repeats::count(db, &ask.actor.caller, repeat, kept)?;
    Ok(Ok(granted))
}

/// The open exclusive lease that a `sync` ask meets. The transaction holds its org's chain, so none
/// can appear between this look and the insert.
fn find_held(db: &mut Db, ask: &LendAsk) -> Result<Option<OpenLease>, StoreError> {
    Ok(first_row!(
        db,
        OpenLease,
        leases::table
            .filter(leases::org_id.eq(ask.scope.org().as_str()))
            .filter(leases::connection_id.eq(ask.connection.as_str()))
            // Written out, as an index of these alone has it.
            .filter(sql::<Bool>("purpose = 'sync'"))
            .filter(leases::ended_at.is_null())
            .filter(leases::expires_at.gt(ask.at.micros()))
            // Clocks of two machines may differ: the later one holds.
            .order(leases::fence.desc())
            .select(OpenLease::as_select())
    )?)
}

fn is_own(open: &OpenLease, client: &ClientId, run: Option<&RunId>) -> bool {
    open.client_id == client.as_str() && run.is_some() && open.run_id.as_deref() == run.map(RunId::as_str)
}

/// A run that comes back gets its own lease again, with at least the time it asks for. It always ends later than
/// before: by that is known that it was given to somebody since.
fn extend(db: &mut Db, ask: &LendAsk, open: &OpenLease, granted: &mut SealedRow) -> Result<(), StoreError> {
    granted.lease = LeaseId::parse(&open.id).map_err(|_| StoreError::Damaged("leases"))?;
    granted.fence = open.fence;
    granted.expires_at = granted.expires_at.max(Moment::from_micros(open.expires_at.saturating_add(1)));
    diesel::update(
        leases::table
            .filter(leases::org_id.eq(ask.scope.org().as_str()))
            .filter(leases::id.eq(granted.lease.as_str())),
    )
    .set((
        leases::expires_at.eq(granted.expires_at.micros()),
        leases::revision.eq(granted.credential.revision.number()),
    ))
    .execute(db)?;
    Ok(())
}
