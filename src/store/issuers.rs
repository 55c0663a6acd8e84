//! The keys that sign tokens, sealed, with their terms.

use diesel::prelude::*;

use crate::access::KeyTerm;
use crate::clock::Moment;
use crate::ids::{IssuerKeyId, KeyId};
use crate::seal::Sealed;
use crate::store::db::{Access, Db};
use crate::store::error::StoreError;
use crate::store::keys::{left, must_seal};
use crate::store::schema::issuer_keys;
use crate::store::scopes::Scopes;
use crate::store::tx::Store;
use crate::store::upkeep::Upkeep;

/// An issuer's seed, sealed.
pub struct SealedIssuerKey {
    /// Its `kid`.
    pub id: IssuerKeyId,
    /// The sealed seed.
    pub sealed: Sealed,
    /// When it signs, and until when it verifies.
    pub term: KeyTerm,
}

type Columns = (String, String, String, i64, Option<i64>);

impl Store {
    /// Makes, ends and drops keys that sign tokens.
    pub fn rotate_issuer<T, E>(
        &self,
        name: &'static str,
        work: impl FnOnce(&mut Upkeep) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<StoreError>,
    {
        self.upkeep_of(name, Access::Write, &Scopes::rotate(), work)
    }
}

impl Upkeep<'_> {
    /// The issuer's keys, oldest first.
    pub fn find_issuer_keys(&mut self) -> Result<Vec<SealedIssuerKey>, StoreError> {
        find_issuer_keys(self.db)
    }

    /// Keeps an issuer's sealed seed.
    pub fn insert_issuer_key(&mut self, key: &SealedIssuerKey, at: Moment) -> Result<(), StoreError> {
        must_seal(self.db, &key.sealed.key_id)?;
        diesel::insert_into(issuer_keys::table)
            .values((
                issuer_keys::id.eq(key.id.as_str()),
                issuer_keys::sealed.eq(&key.sealed.token),
                issuer_keys::key_id.eq(key.sealed.key_id.as_str()),
                issuer_keys::created_at.eq(at.micros()),
                issuer_keys::signs_from.eq(key.term.signs_from.micros()),
                issuer_keys::verifies_until.eq(key.term.verifies_until.map(Moment::micros)),
            ))
            .execute(self.db)?;
        Ok(())
    }

    /// Lets what the key signed be taken until then. Needs [`Store::rotate_issuer`], as the next.
    pub fn end_issuer_key(&mut self, id: &IssuerKeyId, until: Moment) -> Result<(), StoreError> {
        let ended = diesel::update(issuer_keys::table.find(id.as_str()))
            .set(issuer_keys::verifies_until.eq(Some(until.micros())))
            .execute(self.db)?;
        if ended == 1 { Ok(()) } else { Err(StoreError::Unavailable("the key went meanwhile")) }
    }

    /// Drops a key of which nothing is taken any more.
    pub fn drop_issuer_key(&mut self, key: &SealedIssuerKey, at: Moment) -> Result<(), StoreError> {
        diesel::delete(issuer_keys::table.find(key.id.as_str())).execute(self.db)?;
        left(self.db, key.sealed.key_id.as_str(), at)
    }
}

pub(super) fn find_issuer_keys(db: &mut Db) -> Result<Vec<SealedIssuerKey>, StoreError> {
    let rows: Vec<Columns> = issuer_keys::table
        .order((issuer_keys::created_at.asc(), issuer_keys::id.asc()))
        .select((
            issuer_keys::id,
            issuer_keys::sealed,
            issuer_keys::key_id,
            issuer_keys::signs_from,
            issuer_keys::verifies_until,
        ))
        .load(db)?;
    rows.into_iter()
        .map(|(id, token, key_id, signs_from, verifies_until)| {
            let damaged = |_| StoreError::Damaged("issuer_keys");
            Ok(SealedIssuerKey {
                id: IssuerKeyId::parse(&id).map_err(damaged)?,
                sealed: Sealed { token, key_id: KeyId::parse(&key_id).map_err(damaged)? },
                term: KeyTerm {
                    signs_from: Moment::from_micros(signs_from),
                    verifies_until: verifies_until.map(Moment::from_micros),
                },
            })
        })
        .collect()
}
