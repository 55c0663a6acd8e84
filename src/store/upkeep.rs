//! The vault's own rows: which keys there are, who signs tokens, its own trail. No tenant's data is
//! within reach here but the end of their trail.

use std::time::Instant;

use diesel::prelude::*;

use crate::audit::AuditEvent;
use crate::clock::Moment;
use crate::ids::{IssuerKeyId, KeyId};
use crate::seal::{Fingerprint, Sealed};
use crate::store::db::{Access, Db};
use crate::store::error::StoreError;
use crate::store::events::append;
use crate::store::schema::{issuer_keys, keys};
use crate::store::scopes::Scopes;
use crate::store::transact::{Terms, transact};
use crate::store::tx::Store;

/// A transaction on the vault's own rows.
pub struct Upkeep<'a> {
    pub(super) db: &'a mut Db,
    appended: &'a mut u32,
}

/// What the database knows of a master key.
pub struct KeyRow {
    /// Its id.
    pub id: KeyId,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// `sealing`, `opening` or `retired`.
    pub state: String,
}

/// An issuer's seed, sealed.
pub struct SealedIssuerKey {
    /// Its `kid`.
    pub id: IssuerKeyId,
    /// The sealed seed.
    pub sealed: Sealed,
}

impl Store {
    /// The vault's own rows, at start and on the host: keys, issuers, its own trail. No tenant's.
    pub fn upkeep<T, E>(
        &self,
        name: &'static str,
        work: impl FnOnce(&mut Upkeep) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<StoreError>,
    {
        let (scopes, asked) = (&Scopes::vault(), Instant::now());
        let terms = Terms { name, access: Access::Write, scopes, asked, until: None };
        transact(&mut *self.connection()?, &terms, |db, appended| work(&mut Upkeep { db, appended }))
    }
}

impl Upkeep<'_> {
    /// Every key there ever was.
    pub fn find_keys(&mut self) -> Result<Vec<KeyRow>, StoreError> {
        let rows: Vec<(String, String, String)> = keys::table
            .order(keys::created_at.asc())
            .select((keys::id, keys::fingerprint, keys::state))
            .load(self.db)?;
        rows.into_iter()
            .map(|(id, fingerprint, state)| {
                let id = KeyId::parse(&id).map_err(|_| StoreError::Damaged("keys"))?;
                Ok(KeyRow { id, fingerprint: Fingerprint::from_text(fingerprint), state })
            })
            .collect()
    }

    /// Notes the first key, which seals.
    pub fn insert_sealing_key(
        &mut self,
        id: &KeyId,
        fingerprint: &Fingerprint,
        source: &str,
        at: Moment,
    ) -> Result<(), StoreError> {
        diesel::insert_into(keys::table)
            .values((
                keys::id.eq(id.as_str()),
                keys::fingerprint.eq(fingerprint.as_str()),
                keys::source.eq(source),
                keys::state.eq("sealing"),
                keys::created_at.eq(at.micros()),
            ))
            .execute(self.db)?;
        Ok(())
    }

    /// The issuer's keys, oldest first.
    pub fn find_issuer_keys(&mut self) -> Result<Vec<SealedIssuerKey>, StoreError> {
        let rows: Vec<(String, String, String)> = issuer_keys::table
            .order((issuer_keys::created_at.asc(), issuer_keys::id.asc()))
            .select((issuer_keys::id, issuer_keys::sealed, issuer_keys::key_id))
            .load(self.db)?;
        rows.into_iter()
            .map(|(id, token, key_id)| {
                let damaged = |_| StoreError::Damaged("issuer_keys");
                Ok(SealedIssuerKey {
                    id: IssuerKeyId::parse(&id).map_err(damaged)?,
                    sealed: Sealed { token, key_id: KeyId::parse(&key_id).map_err(damaged)? },
                })
            })
            .collect()
    }

    /// Keeps an issuer's sealed seed.
    pub fn insert_issuer_key(&mut self, key: &SealedIssuerKey, at: Moment) -> Result<(), StoreError> {
        diesel::insert_into(issuer_keys::table)
            .values((
                issuer_keys::id.eq(key.id.as_str()),
                issuer_keys::sealed.eq(&key.sealed.token),
                issuer_keys::key_id.eq(key.sealed.key_id.as_str()),
                issuer_keys::created_at.eq(at.micros()),
            ))
            .execute(self.db)?;
        Ok(())
    }

    /// Appends an event of the host's doing to the chain it belongs to.
    pub fn append(&mut self, event: &AuditEvent) -> Result<(), StoreError> {
        if let Some(org) = event.org() {
            self.db.change_scopes(&Scopes::vault().and_org(org))?;
        }
        append(self.db, event)?;
        *self.appended += 1;
        Ok(())
    }
}
