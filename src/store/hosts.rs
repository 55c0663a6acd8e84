//! Which hosts an org lets be called and its credentials be lent for. Asked in the transaction that would, and never
//! remembered.

use diesel::prelude::*;

use crate::clock::Moment;
use crate::credential::Destination;
use crate::egress::AllowedHosts;
use crate::ids::OrgId;
use crate::store::db::Db;
use crate::store::error::StoreError;
use crate::store::lend::LendRefused;
use crate::store::schema::org_settings;
use crate::store::tx::Tx;

impl Tx<'_> {
    /// The scope's org's own list; none where any host may be called that the guard lets through.
    pub fn find_allowed_hosts(&mut self) -> Result<Option<AllowedHosts>, StoreError> {
        find(self.db, self.scope.org())
    }

    /// Lets these be called from now on.
    pub fn set_allowed_hosts(&mut self, hosts: Option<&AllowedHosts>, at: Moment) -> Result<(), StoreError> {
        let org = self.scope.org().as_str();
        let hosts = hosts.map(|hosts| serde_json::to_string(hosts.entries())).transpose();
        let hosts = hosts.map_err(|_| StoreError::Damaged("org_settings"))?;
        let row =
            (org_settings::allowed_hosts.eq(hosts.as_deref()), org_settings::updated_at.eq(at.micros()));
        // Nobody else makes it: the transaction holds the org's chain.
        if diesel::update(org_settings::table.find(org)).set(row).execute(self.db)? == 0 {
            diesel::insert_into(org_settings::table)
                .values((org_settings::org_id.eq(org), row))
                .execute(self.db)?;
        }
        Ok(())
    }

    /// Whether the scope's org lets what is at `destination` be called, and its credential be used there.
    pub fn may_be_called(
        &mut self,
        destination: &Destination,
    ) -> Result<Result<(), LendRefused>, StoreError> {
        Ok(judge(self.find_allowed_hosts()?.as_ref(), destination))
    }

    /// The same of each of these.
    pub fn may_each_be_called<'a>(
        &mut self,
        destinations: impl Iterator<Item = &'a Destination>,
    ) -> Result<Vec<bool>, StoreError> {
        let hosts = self.find_allowed_hosts()?;
        Ok(destinations.map(|destination| judge(hosts.as_ref(), destination).is_ok()).collect())
    }
}

pub(super) fn judge(hosts: Option<&AllowedHosts>, destination: &Destination) -> Result<(), LendRefused> {
    match (hosts, &destination.url) {
        (Some(hosts), Some(url)) if !hosts.allow(url) => Err(LendRefused::HostNotAllowed),
        _ => Ok(()),
    }
}

pub(super) fn find(db: &mut Db, org: &OrgId) -> Result<Option<AllowedHosts>, StoreError> {
    let kept: Option<Option<String>> =
        org_settings::table.find(org.as_str()).select(org_settings::allowed_hosts).first(db).optional()?;
    read(kept.flatten().as_deref())
}

/// As the row keeps it: a JSON array of texts.
pub(super) fn read(kept: Option<&str>) -> Result<Option<AllowedHosts>, StoreError> {
    let Some(kept) = kept else { return Ok(None) };
    let list: Vec<String> = serde_json::from_str(kept).map_err(|_| StoreError::Damaged("org_settings"))?;
    AllowedHosts::parse(&list).map(Some).map_err(|_| StoreError::Damaged("org_settings"))
}
