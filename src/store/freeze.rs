//! The switch: whose credentials are not lent now. It is asked in the transaction that would lend, which the
//! freeze itself is ordered against: on SQLite there is one writer, on PostgreSQL a freeze takes its org's chain,
//! one of the whole vault a lock that every writer shares. Nothing of it is remembered.

use std::time::Duration;

use diesel::prelude::*;

use crate::clock::Moment;
use crate::ids::OrgId;
use crate::store::db::{Access, Db, each, first_row};
use crate::store::error::StoreError;
use crate::store::schema::{leases, org_settings};
use crate::store::scopes::{NarrowRole, Scopes};
use crate::store::tx::{Store, Tx};
use crate::store::upkeep::Upkeep;

/// The org of the row that stands for the whole vault.
const VAULT: &str = "";

/// Since when an org and the whole vault lend nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frozen {
    /// The org.
    pub org: Option<Moment>,
    /// The whole vault.
    pub vault: Option<Moment>,
}

impl Frozen {
    /// Whether nothing of this org is lent.
    pub fn is_frozen(&self) -> bool {
        self.org.is_some() || self.vault.is_some()
    }
}

impl Tx<'_> {
    /// Since when the scope's org and the whole vault are frozen.
    pub fn find_frozen(&mut self) -> Result<Frozen, StoreError> {
        find(self.db, self.scope.org())
    }

    /// Freezes the scope's org from `at`, or lends again. Ends its open leases, if it is frozen.
    pub fn set_frozen(&mut self, is_frozen: bool, at: Moment) -> Result<(), StoreError> {
        let org = self.scope.org().as_str();
        set(self.db, org, is_frozen, at)?;
        if is_frozen {
            let open = leases::table
                .filter(leases::org_id.eq(org))
                .filter(leases::ended_at.is_null())
                .filter(leases::expires_at.gt(at.micros()));
            diesel::update(open)
                .set((leases::ended_at.eq(Some(at.micros())), leases::outcome.eq(Some("frozen"))))
                .execute(self.db)?;
        }
        Ok(())
    }
}

impl Store {
    /// A change of the whole vault's switch, which no other writer is in the middle of.
    pub fn switch_vault<T, E>(
        &self,
        name: &'static str,
        work: impl FnOnce(&mut Upkeep) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<StoreError>,
    {
        self.upkeep_of(name, Access::Alone, &Scopes::vault(), work)
    }

    /// Since when the whole vault is frozen. Holds nobody up.
    pub fn find_vault_frozen(&self) -> Result<Option<Moment>, StoreError> {
        self.upkeep_of("look for freeze", Access::Read, &Scopes::vault(), |tx| find_row(tx.db, VAULT))
    }

    /// The same off the async threads.
    pub async fn see_vault_frozen(&self, deadline: Duration) -> Result<Option<Moment>, StoreError> {
        let scopes = Scopes::vault();
        self.transact("look for freeze", Access::Read, scopes, deadline, |db, _| find_row(db, VAULT)).await
    }
}

impl Upkeep<'_> {
    /// Freezes the whole vault from `at`, or lends again. To be called in [`Store::switch_vault`].
    pub fn set_frozen(&mut self, is_frozen: bool, at: Moment) -> Result<(), StoreError> {
        set(self.db, VAULT, is_frozen, at)
    }

    /// Ends the open leases of every org, as the role that can do this alone.
    pub fn end_all_leases(&mut self, at: Moment) -> Result<(), StoreError> {
        self.db.become_role(NarrowRole::Freeze)?;
        let open =
            leases::table.filter(leases::ended_at.is_null()).filter(leases::expires_at.gt(at.micros()));
        diesel::update(open)
            .set((leases::ended_at.eq(Some(at.micros())), leases::outcome.eq(Some("frozen"))))
            .execute(self.db)?;
        Ok(self.db.leave_role()?)
    }
}

/// Asked by every transaction that would lend or keep something new.
pub(super) fn find(db: &mut Db, org: &OrgId) -> Result<Frozen, StoreError> {
    let rows: Vec<(String, i64)> = each!(db, db => {
        org_settings::table
            .filter(org_settings::org_id.eq(org.as_str()).or(org_settings::org_id.eq(VAULT)))
            .filter(org_settings::frozen_at.is_not_null())
            .select((org_settings::org_id, org_settings::frozen_at.assume_not_null()))
            .load(db)?
    });
    let of =
        |name: &str| rows.iter().find(|(org, _)| org == name).map(|(_, since)| Moment::from_micros(*since));
    Ok(Frozen { org: of(org.as_str()), vault: of(VAULT) })
}

/// Whether the whole vault is.
pub(super) fn is_vault_frozen(db: &mut Db) -> Result<bool, StoreError> {
    Ok(find_row(db, VAULT)?.is_some())
}

fn find_row(db: &mut Db, org: &str) -> Result<Option<Moment>, StoreError> {
    let row = || org_settings::table.find(org).select(org_settings::frozen_at);
    let since = first_row!(db, Option<i64>, row())?;
    Ok(since.flatten().map(Moment::from_micros))
}

/// One that is frozen stays so from when it was first.
fn set(db: &mut Db, org: &str, is_frozen: bool, at: Moment) -> Result<(), StoreError> {
    let since = find_row(db, org)?;
    let frozen_at = is_frozen.then(|| since.unwrap_or(at).micros());
    let row = (org_settings::frozen_at.eq(frozen_at), org_settings::updated_at.eq(at.micros()));
    // Nobody else makes it: the transaction holds the org's chain.
    if diesel::update(org_settings::table.find(org)).set(row).execute(db)? == 0 {
        diesel::insert_into(org_settings::table).values((org_settings::org_id.eq(org), row)).execute(db)?;
    }
    Ok(())
}
