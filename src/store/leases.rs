//! Open loans: find and end. A lease is open until it is ended or its time is over; nothing counts
//! down.

use diesel::prelude::*;

use crate::clock::Moment;
use crate::ids::{ClientId, ConnectionId, IdRefused, LeaseId, OrgId, Revision, RunId, UserId};
use crate::store::db::Db;
use crate::store::error::StoreError;
use crate::store::schema::{connections, leases};
use crate::store::tx::Tx;

/// A lease as it is stored.
pub struct StoredLease {
    /// Its id.
    pub id: LeaseId,
    /// Whose connection.
    pub user: UserId,
    /// What was lent.
    pub connection: ConnectionId,
    /// To whom.
    pub client: ClientId,
    /// What for.
    pub purpose: String,
    /// For which run.
    pub run: Option<RunId>,
    /// Which revision of the credential.
    pub revision: Revision,
    /// Its number among this connection's leases.
    pub fence: i64,
    /// Since when.
    pub lent_at: Moment,
    /// Until when.
    pub expires_at: Moment,
    /// When it was ended before its time.
    pub ended_at: Option<Moment>,
    /// How it was ended: `ok`, `failed`, `auth_failed`, `forgotten`, `frozen` or `unanswered`.
    pub outcome: Option<String>,
    /// Whether it was out when it was looked at.
    pub is_open: bool,
}

/// How a lease ends.
pub struct EndLease {
    /// `ok`, `failed` or `auth_failed`.
    pub outcome: &'static str,
    /// How many records were read with it.
    pub records: Option<i64>,
    /// Now.
    pub at: Moment,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = leases)]
struct Columns {
    id: String,
    user_id: String,
    connection_id: String,
    client_id: String,
    purpose: String,
    run_id: Option<String>,
    revision: i64,
    fence: i64,
    lent_at: i64,
    expires_at: i64,
    ended_at: Option<i64>,
    outcome: Option<String>,
}

impl Columns {
    fn parse(self, now: Moment) -> Result<StoredLease, IdRefused> {
        Ok(StoredLease {
            id: LeaseId::parse(&self.id)?,
            user: UserId::parse(&self.user_id)?,
            connection: ConnectionId::parse(&self.connection_id)?,
            client: ClientId::parse(&self.client_id)?,
            purpose: self.purpose,
            run: self.run_id.as_deref().map(RunId::parse).transpose()?,
            revision: Revision::from_number(self.revision),
            fence: self.fence,
            lent_at: Moment::from_micros(self.lent_at),
            expires_at: Moment::from_micros(self.expires_at),
            ended_at: self.ended_at.map(Moment::from_micros),
            outcome: self.outcome,
            is_open: self.ended_at.is_none() && now.micros() < self.expires_at,
        })
    }
}

/// The rows of `leases` that the scope may touch, as a boxed query.
macro_rules! mine {
    ($tx:expr) => {{
        let query = leases::table.filter(leases::org_id.eq($tx.scope.org().as_str().to_owned())).into_boxed();
        match $tx.scope.user() {
            Some(user) => query.filter(leases::user_id.eq(user.as_str().to_owned())),
            None => query,
        }
    }};
}

impl Tx<'_> {
    /// One lease of the scope, as it is at `now`.
    pub fn find_lease(&mut self, id: &LeaseId, now: Moment) -> Result<Option<StoredLease>, StoreError> {
        let found: Option<Columns> = mine!(self)
            .filter(leases::id.eq(id.as_str()))
            .select(Columns::as_select())
            .first(self.db)
            .optional()?;
        found.map(|row| row.parse(now)).transpose().map_err(damaged)
    }

    /// Whether `lease`, an exclusive one, was followed by another: then it is over, whatever the clock of
    /// this machine says.
    pub fn is_succeeded(&mut self, lease: &StoredLease) -> Result<bool, StoreError> {
        let Self { db, scope, .. } = self;
        Ok(lease.purpose == "sync" && is_succeeded(db, scope.org(), &lease.connection, lease.fence)?)
    }

    /// The scope's leases that are out at `now`, after `after` in id order, at most `limit`.
    pub fn find_open_leases(
        &mut self,
        now: Moment,
        after: Option<&LeaseId>,
        limit: i64,
    ) -> Result<Vec<StoredLease>, StoreError> {
        // No index is in this order: PostgreSQL would take the key's, through every lease there ever was.
        let id = leases::id.concat("");
        let rows: Vec<Columns> = mine!(self)
            .filter(id.gt(after.map_or("", LeaseId::as_str)))
            .filter(leases::ended_at.is_null())
            .filter(leases::expires_at.gt(now.micros()))
            .order(id.asc())
            .limit(limit)
            .select(Columns::as_select())
            .load(self.db)?;
        rows.into_iter().map(|row| row.parse(now)).collect::<Result<_, _>>().map_err(damaged)
    }

    /// Lets `lease`, found in this transaction, last until its `expires_at`.
    pub fn extend_lease(&mut self, lease: &StoredLease) -> Result<(), StoreError> {
        diesel::update(
            leases::table
                .filter(leases::org_id.eq(self.scope.org().as_str()))
                .filter(leases::id.eq(lease.id.as_str())),
        )
        .set(leases::expires_at.eq(lease.expires_at.micros()))
        .execute(self.db)?;
        Ok(())
    }

    /// Ends `lease`, found in this transaction. What the loan showed of its credential goes to the
    /// connection, if it still has that revision.
    pub fn end_lease(&mut self, lease: &StoredLease, end: &EndLease) -> Result<(), StoreError> {
        diesel::update(
            leases::table
                .filter(leases::org_id.eq(self.scope.org().as_str()))
                .filter(leases::id.eq(lease.id.as_str())),
        )
        .set((
            leases::ended_at.eq(Some(end.at.micros())),
            leases::outcome.eq(Some(end.outcome)),
            leases::records.eq(end.records),
        ))
        .execute(self.db)?;
        // Whoever borrowed for something else may have logged in nowhere.
        let state = match (end.outcome, lease.purpose.as_str()) {
            ("ok", "check") => "active",
            ("auth_failed", _) => "auth_failed",
            _ => return Ok(()),
        };
        diesel::update(
            connections::table
                .filter(connections::org_id.eq(self.scope.org().as_str()))
                .filter(connections::id.eq(lease.connection.as_str()))
                .filter(connections::revision.eq(lease.revision.number()))
                .filter(connections::state.ne(state)),
        )
        .set((connections::state.eq(state), connections::updated_at.eq(end.at.micros())))
        .execute(self.db)?;
        Ok(())
    }
}

pub(super) fn is_succeeded(
    db: &mut Db,
    org: &OrgId,
    connection: &ConnectionId,
    fence: i64,
) -> Result<bool, StoreError> {
    let later: i64 = leases::table
        .filter(leases::org_id.eq(org.as_str()))
        .filter(leases::connection_id.eq(connection.as_str()))
        .filter(leases::purpose.eq("sync"))
        .filter(leases::fence.gt(fence))
        .count()
        .get_result(db)?;
    Ok(later > 0)
}

fn damaged(_: IdRefused) -> StoreError {
    StoreError::Damaged("leases")
}
