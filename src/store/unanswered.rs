//! Leases that were granted to somebody who never heard of it: told 503 meanwhile, or gone. Each is noted the moment
//! that is known, and the lane ends it, on record; if this process dies first, it runs out by itself.

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
use crate::store::lend::LendAsk;
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
    /// Under which name it may be asked for again: a 503 is not kept.
    key: Option<IdempotencyKey>,
    asked: (Moment, Instant),
    expires_at: Moment,
    /// When its time is over anyway.
    until: Instant,
    /// When it is tried next.
    next: Instant,
    /// Whether it was among others that could not be ended together: then it is tried by itself.
    alone: bool,
}

/// A new lease, until whoever asked for it has it: dropped before that, it is ended.
#[derive(Default)]
pub struct Receipt(Option<(Late, Arc<Unanswered>)>);

impl Receipt {
    /// Of the lease that `ask` is about to be granted until `expires_at`.
    pub(super) fn of(ask: LendAsk, asked: Instant, expires_at: Moment, noted: &Arc<Unanswered>) -> Self {
        let LendAsk { actor, scope, connection, lease, repeat, at, ttl, .. } = ask;
        let (key, asked) = (repeat.map(|repeat| repeat.key), (at, asked));
        let (until, next, alone) = (asked.1 + ttl, asked.1, false);
        let late = Late { actor, scope, connection, lease, key, asked, expires_at, until, next, alone };
        Self(Some((late, noted.clone())))
    }

    /// The loan is with whoever asked for it.
    pub fn sign(mut self) {
        self.0 = None;
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if let Some((late, noted)) = self.0.take() {
            noted.note(late);
        }
    }
}

/// All that are to be ended.
#[derive(Default)]
pub(super) struct Unanswered {
    late: Mutex<Vec<Late>>,
    noted: Notify,
}

impl Unanswered {
    /// Comes back when one was noted.
    pub(super) async fn noted(&self) {
        self.noted.notified().await;
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

    /// Those to be tried together now.
    pub(super) fn due(&self) -> Vec<Late> {
        let (mut all, now) = (self.all(), Instant::now());
        all.retain(|late| now < late.until);
        let is_due = |late: &Late| late.next <= now;
        if let Some(at) = all.iter().position(|late| late.alone && is_due(late)) {
            return vec![all.remove(at)];
        }
        all.extract_if(.., |late| is_due(late)).collect()
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

    fn all(&self) -> MutexGuard<'_, Vec<Late>> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Late {
    pub(super) fn org(&self) -> &str {
        self.scope.org().as_str()
    }

    /// Ends it, if it came to be, is open, and was given to nobody since.
    pub(super) fn end(&self, db: &mut Db) -> Result<(), StoreError> {
        let (asked, since) = self.asked;
        let now = asked.after(since.elapsed());
        let open = leases::table
            .filter(leases::org_id.eq(self.org()))
            .filter(leases::id.eq(self.lease.as_str()))
            .filter(leases::ended_at.is_null())
            .filter(leases::expires_at.eq(self.expires_at.micros()));
        let ended = diesel::update(open)
            .set((leases::ended_at.eq(Some(now.micros())), leases::outcome.eq(Some("unanswered"))))
            .execute(db)?;
        if ended == 0 {
            return Ok(());
        }
        if let Some(key) = &self.key {
            let kept = idempotency_keys::table
                .filter(idempotency_keys::org_id.eq(self.org()))
                .filter(idempotency_keys::caller_id.eq(self.actor.caller.user().as_str()))
                .filter(idempotency_keys::client_id.eq(self.actor.caller.client().as_str()))
                .filter(idempotency_keys::idempotency_key.eq(key.as_str()))
                .filter(idempotency_keys::lease_id.eq(self.lease.as_str()));
            diesel::delete(kept).execute(db)?;
        }
        let subject = Subject { connection: Some(&self.connection), label: None, lease: Some(&self.lease) };
        let event = AuditEvent::unanswered(&self.actor, subject, now);
        append(db, &event.map_err(|_| StoreError::Unavailable("no randomness"))?)
    }
}

impl<'a> FromIterator<&'a Late> for Scopes {
    fn from_iter<I: IntoIterator<Item = &'a Late>>(late: I) -> Self {
        late.into_iter().map(|late| &late.scope).collect()
    }
}
