//! The vault's own rows: which keys there are, who signs tokens, its own trail. No tenant's data is
//! within reach here but the end of their trail.

use std::time::Instant;

use diesel::prelude::*;

use crate::audit::AuditEvent;
use crate::clock::Moment;
use crate::ids::{IssuerKeyId, KeyId};
use crate::seal::Sealed;
use crate::store::db::{Access, Db};
use crate::store::error::StoreError;
use crate::store::events::append;
use crate::store::keys::must_seal;
use crate::store::schema::issuer_keys;
use crate::store::scopes::{NarrowRole, Scopes};
use crate::store::transact::{Terms, transact};
use crate::store::tx::Store;

/// A transaction on the vault's own rows.
pub struct Upkeep<'a> {
    pub(super) db: &'a mut Db,
    appended: &'a mut u32,
    role: Option<NarrowRole>,
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
        self.upkeep_of(name, Access::Write, &Scopes::vault(), work)
    }

    pub(super) fn upkeep_of<T, E>(
        &self,
        name: &'static str,
        access: Access,
        scopes: &Scopes,
        work: impl FnOnce(&mut Upkeep) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<StoreError>,
    {
        let asked = Instant::now();
        let terms = Terms { name, access, scopes, asked, until: None };
        transact(&mut *self.connection()?, &terms, |db, appended| {
            work(&mut Upkeep { db, appended, role: None })
        })
    }
}

impl Upkeep<'_> {
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
        must_seal(self.db, &key.sealed.key_id)?;
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
        self.outside_role(|db| append(db, event))?;
        *self.appended += 1;
        Ok(())
    }

    /// Becomes `role` for the rest of the transaction.
    pub(super) fn enter(&mut self, role: NarrowRole) -> Result<(), StoreError> {
        self.db.become_role(role)?;
        self.role = Some(role);
        Ok(())
    }

    /// Does what the role of a duty may not, among what this program may anyway.
    pub(super) fn outside_role<T>(
        &mut self,
        work: impl FnOnce(&mut Db) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let Some(role) = self.role else { return work(self.db) };
        self.db.leave_role()?;
        let done = work(self.db)?;
        self.db.become_role(role)?;
        Ok(done)
    }
}
