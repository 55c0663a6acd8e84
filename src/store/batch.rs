//! What the lends of one transaction find and write. On PostgreSQL it is read ahead and written at the end,
//! a statement for all of them, since each costs a way there and back; on SQLite none does, and each lend
//! reads for itself. What was read ahead stays true: the transaction holds the orgs' chains.

use std::collections::{BTreeMap, BTreeSet};

use diesel::prelude::*;

use crate::audit::AuditEvent;
use crate::ids::RunId;
use crate::store::db::Db;
use crate::store::error::StoreError;
use crate::store::events::{Ends, NewEvent};
use crate::store::lend::{LendAsk, OpenLease, SealedRow};
use crate::store::schema::{audit_events, leases};
use crate::store::sealed::{SealedColumns, find_sealed_columns};

/// What one ask finds.
pub(super) struct Found {
    /// The sealed credential, with its key's state.
    pub(super) sealed: Option<(SealedColumns, Option<String>)>,
    /// The exclusive lease that it meets, where that was read ahead.
    pub(super) held: Option<Option<OpenLease>>,
}

#[derive(Insertable)]
#[diesel(table_name = leases)]
struct NewLease {
    id: String,
    org_id: String,
    user_id: String,
    connection_id: String,
    client_id: String,
    purpose: &'static str,
    run_id: Option<String>,
    revision: i64,
    fence: i64,
    lent_at: i64,
    expires_at: i64,
}

/// The lends of one transaction.
#[derive(Default)]
pub(super) struct Batch {
    /// By the ask's place; `None` where nothing is read ahead.
    ahead: Option<BTreeMap<usize, Found>>,
    /// The last fences that are known.
    fences: BTreeMap<String, i64>,
    /// The connections of whose exclusive leases something was changed since.
    changed: BTreeSet<String>,
    ends: Ends,
    leases: Vec<NewLease>,
    events: Vec<NewEvent>,
}

impl Batch {
    /// A batch of `asks`, with what they will want to know where that is cheaper at once.
    pub(super) fn of(db: &mut Db, asks: &[&LendAsk]) -> Result<Self, StoreError> {
        match db {
            Db::Sqlite(_) => {
                let _ = asks;
                Ok(Self::default())
            }
            #[cfg(feature = "postgres")]
            Db::Postgres(db) => Self::read_ahead(db, asks),
        }
    }

    #[cfg(feature = "postgres")]
    fn read_ahead(db: &mut diesel::PgConnection, asks: &[&LendAsk]) -> Result<Self, StoreError> {
        use crate::store::arrays::{FindEnds, FindLent};

        type Row = (i64, SealedColumns, Option<String>, Option<i64>, Option<OpenLease>);
        let mut wanted = FindLent::default();
        for ask in asks {
            wanted.org.push(ask.scope.org().to_string());
            wanted.owner.push(ask.scope.user().to_string());
            wanted.id.push(ask.connection.to_string());
            wanted.exclusive.push(ask.is_exclusive());
            wanted.at.push(ask.at.micros());
        }
        let mut orgs = wanted.org.clone();
        let rows: Vec<Row> = wanted.load(db)?;
        let (mut ahead, mut fences) = (BTreeMap::new(), BTreeMap::new());
        for (number, sealed, key, fence, held) in rows {
            let at = usize::try_from(number - 1).map_err(|_| StoreError::Damaged("connections"))?;
            let ask = asks.get(at).ok_or(StoreError::Damaged("connections"))?;
            fences.insert(ask.connection.to_string(), fence.unwrap_or(0));
            ahead.insert(at, Found { sealed: Some((sealed, key)), held: Some(held) });
        }
        orgs.sort_unstable();
        orgs.dedup();
        let ends = Ends::of(&orgs, FindEnds { org: orgs.clone() }.load(db)?)?;
        Ok(Self { ahead: Some(ahead), fences, ends, ..Self::default() })
    }

    /// What the ask in place `at` finds.
    pub(super) fn find(&mut self, db: &mut Db, at: usize, ask: &LendAsk) -> Result<Found, StoreError> {
        let Some(ahead) = &mut self.ahead else {
            let sealed = find_sealed_columns(db, &ask.scope, &ask.connection)?;
            return Ok(Found { sealed, held: None });
        };
        let mut found = ahead.remove(&at).unwrap_or(Found { sealed: None, held: None });
        if self.changed.contains(ask.connection.as_str()) {
            found.held = None;
        }
        Ok(found)
    }

    /// The number of the connection's last lease.
    pub(super) fn last_fence(&mut self, db: &mut Db, ask: &LendAsk) -> Result<i64, StoreError> {
        if let Some(last) = self.fences.get(ask.connection.as_str()) {
            return Ok(*last);
        }
        // Not max(): behind row-level security PostgreSQL would look at every lease there ever was.
        let last: Option<i64> = leases::table
            .filter(leases::org_id.eq(ask.scope.org().as_str()))
            .filter(leases::connection_id.eq(ask.connection.as_str()))
            .select(leases::fence)
            .order(leases::fence.desc())
            .first(db)
            .optional()?;
        Ok(last.unwrap_or(0))
    }

    /// A new lease, to be written with the others.
    pub(super) fn insert(&mut self, ask: &LendAsk, granted: &SealedRow) {
        self.fences.insert(ask.connection.to_string(), granted.fence);
        if ask.is_exclusive() {
            self.changed.insert(ask.connection.to_string());
        }
        self.leases.push(NewLease {
            id: granted.lease.to_string(),
            org_id: ask.scope.org().to_string(),
            user_id: ask.scope.user().to_string(),
            connection_id: ask.connection.to_string(),
            client_id: ask.actor.caller.client().to_string(),
            purpose: ask.purpose,
            run_id: ask.run.as_ref().map(RunId::to_string),
            revision: granted.credential.revision.number(),
            fence: granted.fence,
            lent_at: ask.at.micros(),
            expires_at: granted.expires_at.micros(),
        });
    }

    /// Notes that the exclusive lease of the ask's connection is being changed.
    pub(super) fn change(&mut self, ask: &LendAsk) {
        self.changed.insert(ask.connection.to_string());
    }

    /// An event at the end of its chain, to be written with the others.
    pub(super) fn append(&mut self, db: &mut Db, event: &AuditEvent) -> Result<(), StoreError> {
        self.events.push(self.ends.follow(db, event)?);
        Ok(())
    }

    /// Writes what was not written yet: before it is committed, or looked for in the database.
    pub(super) fn write(&mut self, db: &mut Db) -> Result<(), StoreError> {
        let (leases, events) = (std::mem::take(&mut self.leases), std::mem::take(&mut self.events));
        match db {
            Db::Sqlite(db) => {
                for lease in leases {
                    diesel::insert_into(leases::table).values(lease).execute(db)?;
                }
                for event in events {
                    diesel::insert_into(audit_events::table).values(event).execute(db)?;
                }
            }
            #[cfg(feature = "postgres")]
            Db::Postgres(db) => write_arrays(db, leases, events)?,
        }
        Ok(())
    }
}

#[cfg(feature = "postgres")]
fn write_arrays(
    db: &mut diesel::PgConnection,
    leases: Vec<NewLease>,
    events: Vec<NewEvent>,
) -> Result<(), StoreError> {
    use crate::store::arrays::{InsertEvents, InsertLeases};

    let (mut rows, many) = (InsertLeases::default(), leases.len());
    for lease in leases {
        rows.id.push(lease.id);
        rows.org.push(lease.org_id);
        rows.owner.push(lease.user_id);
        rows.connection.push(lease.connection_id);
        rows.client.push(lease.client_id);
        rows.purpose.push(lease.purpose);
        rows.run.push(lease.run_id);
        rows.revision.push(lease.revision);
        rows.fence.push(lease.fence);
        rows.lent_at.push(lease.lent_at);
        rows.expires_at.push(lease.expires_at);
    }
    if many > 0 {
        rows.execute(db)?;
    }
    let (mut rows, many) = (InsertEvents::default(), events.len());
    for event in events {
        rows.org.push(event.org_id);
        rows.seq.push(event.seq);
        rows.event.push(event.event);
        rows.prev_hash.push(event.prev_hash);
        rows.hash.push(event.hash);
    }
    if many > 0 {
        rows.execute(db)?;
    }
    Ok(())
}
