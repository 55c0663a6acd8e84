//! Open loans: find and end. A lease is open until it is ended or its time is over; nothing counts
//! down.

use diesel::prelude::*;

use crate::clock::Moment;
use crate::ids::{ClientId, ConnectionId, IdRefused, LeaseId, Revision, RunId};
use crate::store::error::StoreError;
use crate::store::schema::{connections, leases};
use crate::store::tx::Tx;

/// A lease as it is stored.
pub struct StoredLease {
    /// Its id.
    pub id: LeaseId,
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
}

impl StoredLease {
    /// Whether it is still out at `now`.
    pub fn is_open(&self, now: Moment) -> bool {
        self.ended_at.is_none() && now < self.expires_at
    }
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
    connection_id: String,
    client_id: String,
    purpose: String,
    run_id: Option<String>,
    revision: i64,
    fence: i64,
    lent_at: i64,
    expires_at: i64,
    ended_at: Option<i64>,
}

impl Columns {
    fn parse(self) -> Result<StoredLease, IdRefused> {
        Ok(StoredLease {
            id: LeaseId::parse(&self.id)?,
            connection: ConnectionId::parse(&self.connection_id)?,
            client: ClientId::parse(&self.client_id)?,
            purpose: self.purpose,
            run: self.run_id.as_deref().map(RunId::parse).transpose()?,
            revision: Revision::from_number(self.revision),
            fence: self.fence,
            lent_at: Moment::from_micros(self.lent_at),
            expires_at: Moment::from_micros(self.expires_at),
            ended_at: self.ended_at.map(Moment::from_micros),
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
    /// One lease of the scope.
    pub fn find_lease(&mut self, id: &LeaseId) -> Result<Option<StoredLease>, StoreError> {
        let found: Option<Columns> = mine!(self)
            .filter(leases::id.eq(id.as_str()))
            .select(Columns::as_select())
            .first(self.db)
            .optional()?;
        found.map(Columns::parse).transpose().map_err(damaged)
    }

    /// The scope's leases that are out at `now`, after `after` in id order, at most `limit`.
    pub fn find_open_leases(
        &mut self,
        now: Moment,
        after: Option<&LeaseId>,
        limit: i64,
    ) -> Result<Vec<StoredLease>, StoreError> {
        let rows: Vec<Columns> = mine!(self)
            .filter(leases::id.gt(after.map_or("", LeaseId::as_str)))
            .filter(leases::ended_at.is_null())
            .filter(leases::expires_at.gt(now.micros()))
            .order(leases::id.asc())
            .limit(limit)
            .select(Columns::as_select())
            .load(self.db)?;
        rows.into_iter().map(Columns::parse).collect::<Result<_, _>>().map_err(damaged)
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
        let state = match end.outcome {
            "ok" => "active",
            "auth_failed" => "auth_failed",
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

fn damaged(_: IdRefused) -> StoreError {
    StoreError::Damaged("leases")
}
