//! What the database knows of master keys: which there are, what each may do, and what is sealed under it.

use diesel::prelude::*;

use crate::clock::Moment;
use crate::ids::{ConnectionId, KeyId};
use crate::seal::Fingerprint;
use crate::store::db::{Access, Db};
use crate::store::error::StoreError;
use crate::store::schema::{audit_logs, connections, issuer_keys, keys};
use crate::store::scopes::{NarrowRole, Scopes};
use crate::store::tx::Store;
use crate::store::upkeep::Upkeep;

/// What a master key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Seals and opens. There is one such key.
    Sealing,
    /// Opens what is still under it.
    Opening,
    /// Never opens anything again, whatever a row says.
    Retired,
}

impl KeyState {
    /// As the database has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sealing => "sealing",
            Self::Opening => "opening",
            Self::Retired => "retired",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Sealing, Self::Opening, Self::Retired].into_iter().find(|state| state.as_str() == text)
    }
}

/// What the database knows of a master key.
#[derive(Clone)]
pub struct KeyRow {
    /// Its id.
    pub id: KeyId,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// Where it was when it was noted: `file:PATH` or `aws-secretsmanager:NAME`.
    pub source: String,
    /// What it may do.
    pub state: KeyState,
    /// When it was noted.
    pub created_at: Moment,
    /// A token sealed under it, by which a start proves it.
    pub canary: Option<String>,
    /// When the last value left it, since it stopped to seal.
    pub last_left_at: Option<Moment>,
}

/// How much is sealed under a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SealedUnder {
    /// Credentials.
    pub credentials: i64,
    /// Keys that sign tokens.
    pub issuer_keys: i64,
    /// Keys that sign checkpoints of the trail.
    pub log_keys: i64,
}

impl SealedUnder {
    /// All of it.
    pub fn total(self) -> i64 {
        self.credentials.saturating_add(self.issuer_keys).saturating_add(self.log_keys)
    }
}

type Columns = (String, String, String, String, i64, Option<String>, Option<i64>);

impl Store {
    /// Every key there ever was, oldest first. Holds nobody up.
    pub fn find_keys(&self) -> Result<Vec<KeyRow>, StoreError> {
        self.upkeep_of("find keys", Access::Read, &Scopes::vault(), |tx| find_keys(tx.db))
    }

    /// Looks at the sealed values of every org, and holds nobody up.
    pub fn view_across_orgs<T>(
        &self,
        name: &'static str,
        work: impl FnOnce(&mut Upkeep) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.across_orgs(name, Access::Read, work)
    }

    /// How many values one transaction puts under another key: on SQLite nobody else writes meanwhile, so
    /// that it has to be short enough for a lend to wait for it.
    pub fn resealed_at_once(&self) -> i64 {
        if self.has_one_writer() { 500 } else { 2000 }
    }

    /// Duties on the sealed values of every org: to be put under another key, or counted.
    pub fn change_across_orgs<T, E>(
        &self,
        name: &'static str,
        work: impl FnOnce(&mut Upkeep) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<StoreError>,
    {
        self.across_orgs(name, Access::Write, work)
    }

    /// In the role that sees what sealing needs of every org's rows, and nothing else.
    fn across_orgs<T, E>(
        &self,
        name: &'static str,
        access: Access,
        work: impl FnOnce(&mut Upkeep) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<StoreError>,
    {
        self.upkeep_of(name, access, &Scopes::vault(), |tx| {
            tx.enter(NarrowRole::Reseal)?;
            work(tx)
        })
    }
}

impl Upkeep<'_> {
    /// Every key there ever was, oldest first.
    pub fn find_keys(&mut self) -> Result<Vec<KeyRow>, StoreError> {
        find_keys(self.db)
    }

    /// Notes a key, which seals from now on. The one that did only opens; nothing that it is sealing now
    /// is committed later.
    pub fn insert_sealing_key(&mut self, key: &KeyRow) -> Result<(), StoreError> {
        diesel::update(keys::table.filter(keys::state.eq(KeyState::Sealing.as_str())))
            .set((
                keys::state.eq(KeyState::Opening.as_str()),
                keys::last_left_at.eq(Some(key.created_at.micros())),
            ))
            .execute(self.db)?;
        diesel::insert_into(keys::table)
            .values((
                keys::id.eq(key.id.as_str()),
                keys::fingerprint.eq(key.fingerprint.as_str()),
                keys::source.eq(&key.source),
                keys::state.eq(KeyState::Sealing.as_str()),
                keys::created_at.eq(key.created_at.micros()),
                keys::canary.eq(key.canary.as_deref()),
            ))
            .execute(self.db)?;
        Ok(())
    }

    /// Keeps the canary of a key that was noted without one.
    pub fn keep_canary(&mut self, key: &KeyId, canary: &str) -> Result<(), StoreError> {
        must_seal(self.db, key)?;
        let bare = keys::table.find(key.as_str()).filter(keys::canary.is_null());
        diesel::update(bare).set(keys::canary.eq(canary)).execute(self.db)?;
        Ok(())
    }

    /// Lets `key` never open anything again. Waits for whoever seals under it now; what they sealed is
    /// then there to be counted in this transaction.
    pub fn retire_key(&mut self, key: &KeyId) -> Result<(), StoreError> {
        self.outside_role(|db| {
            diesel::update(keys::table.find(key.as_str()))
                .set((keys::state.eq(KeyState::Retired.as_str()), keys::canary.eq(None::<String>)))
                .execute(db)?;
            Ok(())
        })
    }

    /// How much is sealed under `key`, in every table and whoever's it is. Needs [`Store::view_across_orgs`] or
    /// [`Store::change_across_orgs`], as those below.
    pub fn count_sealed(&mut self, key: &KeyId) -> Result<SealedUnder, StoreError> {
        Ok(SealedUnder {
            credentials: connections::table
                .filter(connections::key_id.eq(key.as_str()))
                .count()
                .get_result(self.db)?,
            issuer_keys: issuer_keys::table
                .filter(issuer_keys::key_id.eq(key.as_str()))
                .count()
                .get_result(self.db)?,
            log_keys: audit_logs::table
                .filter(audit_logs::key_id.eq(key.as_str()))
                .count()
                .get_result(self.db)?,
        })
    }

    /// The first connections of which the credential is sealed under `key`, in id order.
    pub fn find_sealed_ids(&mut self, key: &KeyId, limit: i64) -> Result<Vec<ConnectionId>, StoreError> {
        let ids: Vec<String> = connections::table
            .filter(connections::key_id.eq(key.as_str()))
            .order(connections::id.asc())
            .limit(limit)
            .select(connections::id)
            .load(self.db)?;
        ids.iter().map(|id| ConnectionId::parse(id).map_err(|_| StoreError::Damaged("connections"))).collect()
    }
}

fn find_keys(db: &mut Db) -> Result<Vec<KeyRow>, StoreError> {
    let rows: Vec<Columns> = keys::table
        .order((keys::created_at.asc(), keys::id.asc()))
        .select((
            keys::id,
            keys::fingerprint,
            keys::source,
            keys::state,
            keys::created_at,
            keys::canary,
            keys::last_left_at,
        ))
        .load(db)?;
    rows.into_iter()
        .map(|(id, fingerprint, source, state, created_at, canary, last_left_at)| {
            Ok(KeyRow {
                id: KeyId::parse(&id).map_err(|_| StoreError::Damaged("keys"))?,
                fingerprint: Fingerprint::from_text(fingerprint),
                source,
                state: KeyState::parse(&state).ok_or(StoreError::Damaged("keys"))?,
                created_at: Moment::from_micros(created_at),
                canary,
                last_left_at: last_left_at.map(Moment::from_micros),
            })
        })
        .collect()
}

/// Notes that a value left `key`, if that does not seal any more.
pub(super) fn left(db: &mut Db, key: &str, at: Moment) -> Result<(), StoreError> {
    let opening = keys::table.find(key).filter(keys::state.eq(KeyState::Opening.as_str()));
    let earlier = keys::last_left_at.is_null().or(keys::last_left_at.lt(at.micros()));
    diesel::update(opening.filter(earlier)).set(keys::last_left_at.eq(Some(at.micros()))).execute(db)?;
    Ok(())
}

/// Refuses a key that may not seal; one that may stays so until the transaction ends.
pub(super) fn must_seal(db: &mut Db, key: &KeyId) -> Result<(), StoreError> {
    let state = keys::table.find(key.as_str()).select(keys::state);
    let state: Option<String> = match db {
        // The transaction holds the one write lock.
        Db::Sqlite(db) => state.first(db).optional()?,
        #[cfg(feature = "postgres")]
        Db::Postgres(db) => state.for_share().first(db).optional()?,
    };
    match state.as_deref() {
        Some("sealing") => Ok(()),
        _ => Err(StoreError::KeyMayNotSeal(key.clone())),
    }
}
