//! The vault's own rows: which keys there are, who signs and asks for tokens, what is revoked, its own trail. Of
//! tenants' data nothing is within reach here but the end of their trail, and what a narrow role's one duty takes.

use std::time::{Duration, Instant};

use crate::audit::AuditEvent;
use crate::store::db::{Access, Db};
use crate::store::error::StoreError;
use crate::store::events::append;
use crate::store::scopes::{NarrowRole, Scopes};
use crate::store::transact::{Terms, transact};
use crate::store::tx::Store;

/// A transaction on the vault's own rows.
pub struct Upkeep<'a> {
    pub(super) db: &'a mut Db,
    appended: &'a mut u32,
    role: Option<NarrowRole>,
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

    /// Appends an event to the vault's own chain, off the async threads.
    pub async fn append_own(
        &self,
        name: &'static str,
        event: AuditEvent,
        deadline: Duration,
    ) -> Result<(), StoreError> {
        self.upkeep_within(name, deadline, move |tx| tx.append(&event)).await
    }

    /// The same as [`Store::upkeep`] off the async threads, as a writer among others.
    pub async fn upkeep_within<T, E>(
        &self,
        name: &'static str,
        deadline: Duration,
        work: impl FnOnce(&mut Upkeep) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.upkeep_by(name, Access::Write, deadline, work).await
    }

    /// The same, for who only looks.
    pub async fn view_own<T, E>(
        &self,
        name: &'static str,
        deadline: Duration,
        work: impl FnOnce(&mut Upkeep) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.upkeep_by(name, Access::Read, deadline, work).await
    }

    async fn upkeep_by<T, E>(
        &self,
        name: &'static str,
        access: Access,
        deadline: Duration,
        work: impl FnOnce(&mut Upkeep) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.transact(name, access, Scopes::vault(), deadline, move |db, appended| {
            work(&mut Upkeep { db, appended, role: None })
        })
        .await
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
