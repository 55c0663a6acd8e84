//! The logs that stand over all chains, each with its sealed key, and what witnesses have taken of them.

use diesel::prelude::*;

use crate::clock::Moment;
use crate::ids::{KeyId, LogId};
use crate::seal::Sealed;
use crate::store::db::{Access, Db};
use crate::store::error::StoreError;
use crate::store::keys::{left, must_seal};
use crate::store::schema::{audit_logs, audit_witnesses};
use crate::store::scopes::Scopes;
use crate::store::tree::{from_number, to_number};
use crate::store::tx::Store;
use crate::store::upkeep::Upkeep;

/// A log, as it was begun.
#[derive(Clone)]
pub struct LogRow {
    /// Its id.
    pub id: LogId,
    /// Its origin, which its key has as its name.
    pub origin: String,
    /// Its verifier key, as text.
    pub public_key: String,
    /// The sealed seed of the key that signs.
    pub sealed: Sealed,
    /// What it goes on from: sealed with the seed.
    pub follows: String,
}

type Columns = (String, String, String, String, String, String);

impl Store {
    /// Every log there ever was, oldest first: the newest is the one in use. Holds nobody up.
    pub fn find_logs(&self) -> Result<Vec<LogRow>, StoreError> {
        self.upkeep_of("find logs", Access::Read, &Scopes::vault(), |tx| find_logs(tx.db))
    }
}

impl Upkeep<'_> {
    /// Every log there ever was, oldest first: the newest is the one in use.
    pub fn find_logs(&mut self) -> Result<Vec<LogRow>, StoreError> {
        find_logs(self.db)
    }

    /// Begins a log, which is the one in use from now on.
    pub fn insert_log(&mut self, log: &LogRow, at: Moment) -> Result<(), StoreError> {
        must_seal(self.db, &log.sealed.key_id)?;
        // Of two the later one is in use, also where the clock went back.
        let last: Option<Option<i64>> =
            audit_logs::table.select(diesel::dsl::max(audit_logs::created_at)).first(self.db).optional()?;
        let created_at = last.flatten().map_or(at.micros(), |last| at.micros().max(last.saturating_add(1)));
        diesel::insert_into(audit_logs::table)
            .values((
                audit_logs::id.eq(log.id.as_str()),
                audit_logs::origin.eq(&log.origin),
                audit_logs::public_key.eq(&log.public_key),
                audit_logs::sealed.eq(&log.sealed.token),
                audit_logs::key_id.eq(log.sealed.key_id.as_str()),
                audit_logs::created_at.eq(created_at),
                audit_logs::follows.eq(&log.follows),
            ))
            .execute(self.db)?;
        Ok(())
    }

    /// Puts the same seed under the key that seals. Needs [`Store::change_across_orgs`].
    pub fn reseal_log(
        &mut self,
        id: &LogId,
        (old, new): (&Sealed, &Sealed),
        at: Moment,
    ) -> Result<(), StoreError> {
        must_seal(self.db, &new.key_id)?;
        let same = audit_logs::table.find(id.as_str()).filter(audit_logs::sealed.eq(&old.token));
        let set = (audit_logs::sealed.eq(&new.token), audit_logs::key_id.eq(new.key_id.as_str()));
        diesel::update(same).set(set).execute(self.db)?;
        left(self.db, old.key_id.as_str(), at)
    }

    /// How far each witness has taken the log.
    pub fn find_taken(&mut self, log: &LogId) -> Result<Vec<(String, u64)>, StoreError> {
        let rows: Vec<(String, i64)> = audit_witnesses::table
            .filter(audit_witnesses::log_id.eq(log.as_str()))
            .select((audit_witnesses::witness, audit_witnesses::size))
            .load(self.db)?;
        rows.into_iter().map(|(witness, size)| Ok((witness, from_number(size)?))).collect()
    }

    /// A witness has taken the checkpoint of `size`. One that took a later one already, from another vault, keeps it.
    pub fn note_taken(
        &mut self,
        log: &LogId,
        witness: &str,
        size: u64,
        at: Moment,
    ) -> Result<(), StoreError> {
        let size = to_number(size)?;
        let row = audit_witnesses::table.find((log.as_str(), witness));
        let taken: Option<i64> = row.select(audit_witnesses::size).first(self.db).optional()?;
        let set = (audit_witnesses::size.eq(size), audit_witnesses::taken_at.eq(at.micros()));
        match taken {
            Some(taken) if taken > size => {}
            Some(_) => drop(diesel::update(row).set(set).execute(self.db)?),
            None => {
                let key = (audit_witnesses::log_id.eq(log.as_str()), audit_witnesses::witness.eq(witness));
                diesel::insert_into(audit_witnesses::table).values((key, set)).execute(self.db)?;
            }
        }
        Ok(())
    }
}

pub(super) fn find_logs(db: &mut Db) -> Result<Vec<LogRow>, StoreError> {
    let rows: Vec<Columns> = audit_logs::table
        .order((audit_logs::created_at.asc(), audit_logs::id.asc()))
        .select((
            audit_logs::id,
            audit_logs::origin,
            audit_logs::public_key,
            audit_logs::sealed,
            audit_logs::key_id,
            audit_logs::follows,
        ))
        .load(db)?;
    let damaged = |_| StoreError::Damaged("audit_logs");
    rows.into_iter()
        .map(|(id, origin, public_key, token, key_id, follows)| {
            let key_id = KeyId::parse(&key_id).map_err(damaged)?;
            let id = LogId::parse(&id).map_err(damaged)?;
            Ok(LogRow { id, origin, public_key, sealed: Sealed { token, key_id }, follows })
        })
        .collect()
}
