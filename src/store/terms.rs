//! An org's terms of lending: its switch and the vault's, whom it lends to, which hosts it lets be called. What a lend's
//! transaction read once stays true in it: a change of the org takes its chain, one of the vault waits for every writer.

use diesel::prelude::*;

use crate::egress::AllowedHosts;
use crate::ids::OrgId;
use crate::store::db::{Db, first_row};
use crate::store::error::StoreError;
use crate::store::hosts;
use crate::store::injection::Lends;
use crate::store::schema::org_settings;

/// Of one org.
pub(super) struct Terms {
    /// Whether it or the whole vault is frozen.
    pub(super) is_frozen: bool,
    /// What it lends of what can be used by injection.
    pub(super) lends: Lends,
    /// Which hosts it lets be called. One that is damaged is each lend's own trouble.
    pub(super) hosts: Result<Option<AllowedHosts>, StoreError>,
}

impl Terms {
    /// As its row has it; one that has none has set nothing.
    pub(super) fn of(is_frozen: bool, (only, to_writers): (i64, i64), hosts: Option<&str>) -> Self {
        Self { is_frozen, lends: Lends::of(only, to_writers), hosts: hosts::read(hosts) }
    }

    pub(super) fn find(db: &mut Db, org: &OrgId, is_vault_frozen: bool) -> Result<Self, StoreError> {
        type Row = (Option<i64>, i64, i64, Option<String>);
        let row = || {
            org_settings::table.find(org.as_str()).select((
                org_settings::frozen_at,
                org_settings::injection_only,
                org_settings::lend_to_writers,
                org_settings::allowed_hosts,
            ))
        };
        Ok(match first_row!(db, Row, row())? {
            Some((frozen, only, to_writers, hosts)) => {
                Self::of(is_vault_frozen || frozen.is_some(), (only, to_writers), hosts.as_deref())
            }
            None => Self::of(is_vault_frozen, (0, 0), None),
        })
    }
}
