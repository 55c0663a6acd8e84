//! The trail as it is stored: a chain per org, appended in the transaction of what it records.

use std::collections::BTreeMap;

use diesel::prelude::*;

use crate::audit::{AuditEvent, GENESIS, Hash, link};
use crate::ids::OrgId;
use crate::store::db::Db;
use crate::store::error::StoreError;
use crate::store::schema::audit_events;
use crate::store::tx::Tx;

/// One event, as it was stored.
pub struct StoredEvent {
    /// Its number in the org's chain, from 1.
    pub seq: i64,
    /// Its canonical bytes: a JSON object of texts.
    pub event: String,
    /// The hash of the one before.
    pub prev_hash: Hash,
    /// Its own hash.
    pub hash: Hash,
}

type EventColumns = (i64, String, Vec<u8>, Vec<u8>);

impl Tx<'_> {
    /// Appends `event` to its org's chain, which must be the scope's.
    pub fn append(&mut self, event: &AuditEvent) -> Result<(), StoreError> {
        if event.org() != Some(self.scope.org()) {
            return Err(StoreError::Damaged("audit_events"));
        }
        append(self.db, event)?;
        *self.appended += 1;
        Ok(())
    }

    /// The same for several, in their order.
    pub fn append_all(&mut self, events: &[AuditEvent]) -> Result<(), StoreError> {
        if events.iter().any(|event| event.org() != Some(self.scope.org())) {
            return Err(StoreError::Damaged("audit_events"));
        }
        let mut ends = Ends::default();
        let new: Vec<NewEvent> =
            events.iter().map(|event| ends.follow(self.db, event)).collect::<Result<_, _>>()?;
        *self.appended = self.appended.saturating_add(u32::try_from(new.len()).unwrap_or(u32::MAX));
        insert_all(self.db, new)
    }

    /// The org's events after number `after`, oldest first, at most `limit`.
    pub fn find_events(&mut self, after: i64, limit: i64) -> Result<Vec<StoredEvent>, StoreError> {
        let rows: Vec<EventColumns> = audit_events::table
            .filter(audit_events::org_id.eq(self.scope.org().as_str()))
            .filter(audit_events::seq.gt(after))
            .order(audit_events::seq.asc())
            .limit(limit)
            .select((audit_events::seq, audit_events::event, audit_events::prev_hash, audit_events::hash))
            .load(self.db)?;
        rows.into_iter()
            .map(|(seq, event, prev_hash, hash)| {
                let hash_of =
                    |bytes: Vec<u8>| Hash::from_bytes(&bytes).ok_or(StoreError::Damaged("audit_events"));
                Ok(StoredEvent { seq, event, prev_hash: hash_of(prev_hash)?, hash: hash_of(hash)? })
            })
            .collect()
    }
}

/// Appends `event` at the end of its chain. The transaction holds the chain (on SQLite all of them) from
/// its beginning, so the end that is read is the end that is followed.
pub(super) fn append(db: &mut Db, event: &AuditEvent) -> Result<(), StoreError> {
    let event = Ends::default().follow(db, event)?;
    diesel::insert_into(audit_events::table).values(event).execute(db)?;
    Ok(())
}

/// PostgreSQL takes them in one statement; SQLite is the faster with one it remembers.
fn insert_all(db: &mut Db, new: Vec<NewEvent>) -> Result<(), StoreError> {
    match db {
        Db::Sqlite(db) => {
            for event in new {
                diesel::insert_into(audit_events::table).values(event).execute(db)?;
            }
        }
        #[cfg(feature = "postgres")]
        Db::Postgres(db) => drop(diesel::insert_into(audit_events::table).values(new).execute(db)?),
    }
    Ok(())
}

/// An event with its place in its chain.
#[derive(Insertable)]
#[diesel(table_name = audit_events)]
pub(super) struct NewEvent {
    pub(super) org_id: String,
    pub(super) seq: i64,
    pub(super) event: String,
    pub(super) prev_hash: Vec<u8>,
    pub(super) hash: Vec<u8>,
}

/// The ends of the chains that one transaction appends to: read once, known from then on.
#[derive(Default)]
pub(super) struct Ends(BTreeMap<String, (i64, Hash)>);

impl Ends {
    /// Notes the end that was found of the chain of `org`, if it has one.
    #[cfg(feature = "postgres")]
    pub(super) fn note(&mut self, org: &str, end: Option<(i64, Vec<u8>)>) -> Result<(), StoreError> {
        let end = match end {
            Some((seq, hash)) => (seq, Hash::from_bytes(&hash).ok_or(StoreError::Damaged("audit_events"))?),
            None => (0, GENESIS),
        };
        self.0.insert(org.to_owned(), end);
        Ok(())
    }

    /// The number of the last event of `org`, where its chain was looked at.
    pub(super) fn known(&self, org: &str) -> Option<i64> {
        self.0.get(org).map(|(last, _)| *last)
    }

    /// The number of the last event of `org`.
    pub(super) fn last(&mut self, db: &mut Db, org: &str) -> Result<i64, StoreError> {
        if let Some((last, _)) = self.0.get(org) {
            return Ok(*last);
        }
        let end = find_end(db, org)?;
        self.0.insert(org.to_owned(), end);
        Ok(end.0)
    }

    /// The place of `event` at the end of its chain, which the transaction holds: the next follows it.
    pub(super) fn follow(&mut self, db: &mut Db, event: &AuditEvent) -> Result<NewEvent, StoreError> {
        let org = event.org().map_or("", OrgId::as_str);
        let (last, previous) = match self.0.get(org) {
            Some(end) => *end,
            None => find_end(db, org)?,
        };
        let seq = last.checked_add(1).ok_or(StoreError::Damaged("audit_events"))?;
        let hash = link(event.org(), seq, &previous, event.as_str().as_bytes());
        self.0.insert(org.to_owned(), (seq, hash));
        Ok(NewEvent {
            org_id: org.to_owned(),
            seq,
            event: event.as_str().to_owned(),
            prev_hash: previous.as_bytes().to_vec(),
            hash: hash.as_bytes().to_vec(),
        })
    }
}

fn find_end(db: &mut Db, org: &str) -> Result<(i64, Hash), StoreError> {
    let last: Option<(i64, Vec<u8>)> = audit_events::table
        .filter(audit_events::org_id.eq(org))
        .order(audit_events::seq.desc())
        .select((audit_events::seq, audit_events::hash))
        .first(db)
        .optional()?;
    match last {
        None => Ok((0, GENESIS)),
        Some((seq, hash)) => Ok((seq, Hash::from_bytes(&hash).ok_or(StoreError::Damaged("audit_events"))?)),
    }
}
