//! Puts sealed values under the key that seals, where they lie. What changed or went meanwhile is left as
//! it is: a value is only ever written over itself. Never sees an opened secret.

use diesel::prelude::*;

use crate::access::UserScope;
use crate::clock::Moment;
use crate::ids::{ConnectionId, IssuerKeyId, KeyId, OrgId, UserId};
use crate::seal::Sealed;
use crate::store::db::Db;
use crate::store::error::StoreError;
use crate::store::keys::{KeyState, left, must_seal};
use crate::store::schema::{connections, issuer_keys, keys};
use crate::store::sealed::{SealedColumns, SealedCredential};
use crate::store::upkeep::Upkeep;

/// A row that was met: what lies there, or nothing where it holds what this vault never writes.
pub struct ToReseal {
    /// Its connection.
    pub id: ConnectionId,
    /// The credential.
    pub placed: Option<Placed>,
}

/// A sealed credential and where it lies.
pub struct Placed {
    /// Its connection.
    pub id: ConnectionId,
    /// Whose it is.
    pub owner: UserScope,
    /// The credential.
    pub credential: SealedCredential,
}

/// The same secret, sealed for the same place under the key that seals.
pub struct Resealed {
    /// Its connection, whose revision stays.
    pub placed: Placed,
    /// What takes its place.
    pub sealed: Sealed,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = connections)]
struct Columns {
    id: String,
    org_id: String,
    user_id: String,
    #[diesel(embed)]
    sealed: SealedColumns,
}

impl Columns {
    fn parse(self) -> Result<ToReseal, StoreError> {
        let id = ConnectionId::parse(&self.id).map_err(|_| StoreError::Damaged("connections"))?;
        let owner = OrgId::parse(&self.org_id).ok().zip(UserId::parse(&self.user_id).ok());
        let placed = owner.zip(self.sealed.parse().ok()).map(|((org, user), credential)| Placed {
            id: id.clone(),
            owner: UserScope::of_row(org, user),
            credential,
        });
        Ok(ToReseal { id, placed })
    }
}

impl Upkeep<'_> {
    /// Credentials under keys that only open, after `after` in id order, at most `limit`. What was given up
    /// under a key that is retired is left out.
    pub fn find_to_reseal(
        &mut self,
        after: Option<&ConnectionId>,
        limit: i64,
    ) -> Result<Vec<ToReseal>, StoreError> {
        let opening = keys::state.eq(KeyState::Opening.as_str());
        let opening: Vec<String> = keys::table.filter(opening).select(keys::id).load(self.db)?;
        let rows: Vec<Columns> = connections::table
            .filter(connections::key_id.eq_any(opening))
            .filter(connections::id.gt(after.map_or("", ConnectionId::as_str)))
            .order(connections::id.asc())
            .limit(limit)
            .select(Columns::as_select())
            .load(self.db)?;
        rows.into_iter().map(Columns::parse).collect()
    }

    /// The credential of the connection `id`, if it is under `key`.
    pub fn find_placed(&mut self, key: &KeyId, id: &ConnectionId) -> Result<Option<ToReseal>, StoreError> {
        let row: Option<Columns> = connections::table
            .find(id.as_str())
            .filter(connections::key_id.eq(key.as_str()))
            .select(Columns::as_select())
            .first(self.db)
            .optional()?;
        row.map(Columns::parse).transpose()
    }

    /// Writes each of `rows` in its own place, if it is still what was read there, under `sealing`, which
    /// must be the key that seals. Answers how many were.
    pub fn reseal(&mut self, sealing: &KeyId, rows: &[Resealed], at: Moment) -> Result<usize, StoreError> {
        must_seal(self.db, sealing)?;
        let written = write(self.db, rows)?;
        let mut keys: Vec<&str> =
            rows.iter().map(|row| row.placed.credential.sealed.key_id.as_str()).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.into_iter().try_for_each(|key| left(self.db, key, at))?;
        Ok(written)
    }

    /// The same for the keys that sign tokens.
    pub fn reseal_issuer_key(
        &mut self,
        id: &IssuerKeyId,
        (old, new): (&Sealed, &Sealed),
        at: Moment,
    ) -> Result<(), StoreError> {
        must_seal(self.db, &new.key_id)?;
        let same = issuer_keys::table.find(id.as_str()).filter(issuer_keys::sealed.eq(&old.token));
        let set = (issuer_keys::sealed.eq(&new.token), issuer_keys::key_id.eq(new.key_id.as_str()));
        diesel::update(same).set(set).execute(self.db)?;
        left(self.db, old.key_id.as_str(), at)
    }
}

fn write(db: &mut Db, rows: &[Resealed]) -> Result<usize, StoreError> {
    match db {
        Db::Sqlite(db) => {
            let mut written = 0;
            for Resealed { placed, sealed } in rows {
                let same = connections::table
                    .find(placed.id.as_str())
                    .filter(connections::revision.eq(placed.credential.revision.number()))
                    .filter(connections::sealed.eq(&placed.credential.sealed.token));
                let set =
                    (connections::sealed.eq(&sealed.token), connections::key_id.eq(sealed.key_id.as_str()));
                written += diesel::update(same).set(set).execute(db)?;
            }
            Ok(written)
        }
        #[cfg(feature = "postgres")]
        Db::Postgres(db) => {
            let mut all = crate::store::arrays::ResealCredentials::default();
            for Resealed { placed, sealed } in rows {
                all.id.push(placed.id.to_string());
                all.revision.push(placed.credential.revision.number());
                all.old.push(placed.credential.sealed.token.clone());
                all.new.push(sealed.token.clone());
                all.key.push(sealed.key_id.to_string());
            }
            Ok(all.execute(db)?)
        }
    }
}
