//! Leases that were granted to somebody who never heard of it: told 503 meanwhile, or gone. Each is noted the moment
//! that is known, and the lane ends it, on record; if this process dies first, it runs out by itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use diesel::prelude::*;
use tokio::sync::Notify;

use crate::access::UserScope;
use crate::audit::{Actor, AuditEvent, Subject};
use crate::clock::Moment;
use crate::ids::{ConnectionId, IdempotencyKey, LeaseId};
use crate::store::db::Db;
use crate::store::error::StoreError;
use crate::store::events::append;
use crate::store::lane::BATCH;
use crate::store::lend::{LendAsk, SealedRow};
use crate::store::schema::{idempotency_keys, leases};
use crate::store::scopes::Scopes;

/// So many are remembered; the oldest beyond that run out by themselves.
const REMEMBERED: usize = 10_000;

/// One such lease.
pub(super) struct Late {
    actor: Actor,
    scope: UserScope,
    connection: ConnectionId,
    lease: LeaseId,
    /// Under which name it may be asked for again, and how often it was: a 503 is not kept.
    key: Option<(IdempotencyKey, u64)>,
    asked: (Moment, Instant),
    expires_at: Moment,
    /// When its time is over anyway.
    until: Instant,
    /// When it is tried next.
    next: Instant,
    /// Whether it was among others that could not be ended together: then it is tried by itself.
    alone: bool,
}

/// A lease, until whoever asked for it has it: dropped before that, and before anybody signed another receipt of it,
/// it is ended.
#[derive(Default)]
pub struct Receipt(Option<(Late, Arc<Unanswered>)>);

impl Receipt {
    /// Of what `ask` is about to be granted. Of one that is given again nothing is to be
    /// signed, once somebody has it.
    pub(super) fn of(ask: LendAsk, asked: Instant, row: &SealedRow, noted: &Arc<Unanswered>) -> Self {
        let (lease, expires_at) = (row.lease.clone(), row.expires_at);
        let until = asked + expires_at.since(ask.at);
        if !noted.expect(&lease, lease == ask.lease, until) {
            return Self::default();
        }
        let LendAsk { actor, scope, connection, repeat, at, .. } = ask;
        let (key, asked) = (repeat.map(|repeat| (repeat.key, row.repeats)), (at, asked));
        let (next, alone) = (asked.1, false);
        let late = Late { actor, scope, connection, lease, key, asked, expires_at, until, next, alone };
        Self(Some((late, noted.clone())))
    }

    /// The loan is with whoever asked for it.
    pub fn sign(mut self) {
        if let Some((late, noted)) = self.0.take() {
            noted.awaited().remove(&late.lease);
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if let Some((late, noted)) = self.0.take()
            && noted.awaited().contains_key(&late.lease)
        {
            noted.note(late);
        }
    }
}

/// All that are to be ended.
#[derive(Default)]
pub(super) struct Unanswered {
    late: Mutex<Vec<Late>>,
    /// The leases that nobody has yet, and when their time is over anyway.
    awaited: Mutex<HashMap<LeaseId, Instant>>,
    noted: Notify,
}

impl Unanswered {
    /// Comes back when one was noted.
    pub(super) async fn noted(&self) {
        self.noted.notified().await;
    }

    /// Whether nobody has the lease yet, which is about to be granted until then.
    fn expect(&self, lease: &LeaseId, is_new: bool, until: Instant) -> bool {
        let mut awaited = self.awaited();
        let is_awaited = is_new || awaited.contains_key(lease);
        if is_awaited {
            awaited.insert(lease.clone(), until);
        }
        is_awaited
    }

    fn note(&self, late: Late) {
        let mut all = self.all();
        if all.len() >= REMEMBERED {
            all.remove(0);
            tracing::warn!("a lease that nobody heard of is left to run out");
        }
        all.push(late);
        drop(all);
        self.noted.notify_one();
    }

    /// Those to be tried together now: no more than a batch.
    pub(super) fn due(&self) -> Vec<Late> {
        let (mut all, now) = (self.all(), Instant::now());
        all.retain(|late| now < late.until);
        self.awaited().retain(|_, until| now < *until);
        let is_due = |late: &Late| late.next <= now;
        if let Some(at) = all.iter().position(|late| late.alone && is_due(late)) {
            return vec![all.remove(at)];
        }
        all.extract_if(.., |late| is_due(late)).take(BATCH).collect()
    }

    /// These were ended: nobody will have them.
    pub(super) fn forget(&self, ended: &[LeaseId]) {
        let mut awaited = self.awaited();
        for lease in ended {
            awaited.remove(lease);
        }
    }

    /// Takes back what could not be ended, for so long.
    pub(super) fn put_back(&self, late: Vec<Late>, pause: Duration, alone: bool) {
        let next = Instant::now() + pause;
        self.all().extend(late.into_iter().map(|late| Late { next, alone: alone || late.alone, ..late }));
    }

    /// How long until the next is to be tried.
    pub(super) fn patience(&self) -> Duration {
        let next = self.all().iter().map(|late| late.next).min();
        next.map_or(Duration::MAX, |next| next.saturating_duration_since(Instant::now()))
    }

    fn awaited(&self) -> MutexGuard<'_, HashMap<LeaseId, Instant>> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> MutexGuard<'_, Vec<Late>> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Late {
    pub(super) fn org(&self) -> &str {
        self.scope.org().as_str()
    }

    pub(super) fn lease(&self) -> &LeaseId {
        &self.lease
    }

    /// Ends it, if it came to be, is open, and was given to nobody since. Whether it was.
    pub(super) fn end(&self, db: &mut Db) -> Result<bool, StoreError> {
        let (asked, since) = self.asked;
        let now = asked.after(since.elapsed());
        let kept = |key: &str| {
            idempotency_keys::table
                .filter(idempotency_keys::org_id.eq(self.org().to_owned()))
                .filter(idempotency_keys::caller_id.eq(self.actor.caller.user().to_string()))
                .filter(idempotency_keys::client_id.eq(self.actor.caller.client().to_string()))
                .filter(idempotency_keys::idempotency_key.eq(key.to_owned()))
                .filter(idempotency_keys::lease_id.eq(self.lease.to_string()))
        };
        if let Some((key, repeats)) = &self.key {
            let since: Option<Option<String>> =
                kept(key.as_str()).select(idempotency_keys::answer).first(db).optional()?;
            let given = (*repeats > 0).then(|| repeats.to_string());
            if since.is_some_and(|since| since != given) {
                return Ok(false);
            }
        }
        let open = leases::table
            .filter(leases::org_id.eq(self.org()))
            .filter(leases::id.eq(self.lease.as_str()))
            .filter(leases::ended_at.is_null())
            .filter(leases::expires_at.eq(self.expires_at.micros()));
        let ended = diesel::update(open)
            .set((leases::ended_at.eq(Some(now.micros())), leases::outcome.eq(Some("unanswered"))))
            .execute(db)?;
        if ended == 0 {
            return Ok(false);
        }
        if let Some((key, _)) = &self.key {
            diesel::delete(kept(key.as_str())).execute(db)?;
        }
        let subject = Subject { connection: Some(&self.connection), label: None, lease: Some(&self.lease) };
        let event = AuditEvent::unanswered(&self.actor, subject, now);
        append(db, &event.map_err(|_| StoreError::Unavailable("no randomness"))?)?;
        Ok(true)
    }
}

impl<'a> FromIterator<&'a Late> for Scopes {
    fn from_iter<I: IntoIterator<Item = &'a Late>>(late: I) -> Self {
        late.into_iter().map(|late| &late.scope).collect()
    }
}
