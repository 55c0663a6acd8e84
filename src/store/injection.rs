//! How an org has its credentials used: by injection alone or lent too, and how much of an Odoo may be read.

use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use crate::clock::Moment;
use crate::credential::Rights;
use crate::ids::OrgId;
use crate::store::connections::StoredConnection;
use crate::store::db::Db;
use crate::store::error::StoreError;
use crate::store::lend::LendRefused;
use crate::store::schema::{connections, org_settings};
use crate::store::sealed::SealedCredential;
use crate::store::tx::Tx;

/// What an org has set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Injection {
    /// Credentials of Odoo are not lent.
    pub only: bool,
    /// Those are lent too whose user can do more than read.
    pub lend_to_writers: bool,
    /// The part of the readable policy that may be read, as the JSON that it came as; all of it when `None`.
    pub readable: Option<String>,
}

/// What an org lends of what can be used by injection.
#[derive(Clone, Copy, Default)]
pub(super) struct Lends {
    is_injection_only: bool,
    to_writers: bool,
}

impl Lends {
    pub(super) fn of(injection_only: i64, lend_to_writers: i64) -> Self {
        Self { is_injection_only: injection_only != 0, to_writers: lend_to_writers != 0 }
    }

    /// Whether a credential of Odoo's is lent.
    pub(super) fn judge(self, credential: &SealedCredential) -> Result<(), LendRefused> {
        if self.is_injection_only {
            Err(LendRefused::InjectionOnly)
        } else if credential.rights == Rights::Writer && !self.to_writers {
            Err(LendRefused::MayWrite)
        } else {
            Ok(())
        }
    }
}

const UNKNOWN: i64 = 0;
const WRITER: i64 = 1;
const READER: i64 = 2;

/// What `may_write` of a connection says.
pub(super) fn rights_of(may_write: i64) -> Rights {
    match may_write {
        UNKNOWN => Rights::Unknown,
        READER => Rights::Reader,
        _ => Rights::Writer,
    }
}

pub(super) fn find_lends(db: &mut Db, org: &OrgId) -> Result<Lends, StoreError> {
    let row: Option<(i64, i64)> = org_settings::table
        .find(org.as_str())
        .select((org_settings::injection_only, org_settings::lend_to_writers))
        .first(db)
        .optional()?;
    let (only, to_writers) = row.unwrap_or_default();
    Ok(Lends::of(only, to_writers))
}

impl Tx<'_> {
    /// How the scope's org has its credentials used.
    pub fn find_injection(&mut self) -> Result<Injection, StoreError> {
        let row: Option<(i64, i64, Option<String>)> = org_settings::table
            .find(self.scope.org().as_str())
            .select((org_settings::injection_only, org_settings::lend_to_writers, org_settings::readable))
            .first(self.db)
            .optional()?;
        let (only, to_writers, readable) = row.unwrap_or_default();
        Ok(Injection { only: only != 0, lend_to_writers: to_writers != 0, readable })
    }

    /// Has them used so from now on.
    pub fn set_injection(&mut self, set: &Injection, at: Moment) -> Result<(), StoreError> {
        let org = self.scope.org().as_str();
        let row = (
            org_settings::injection_only.eq(i64::from(set.only)),
            org_settings::lend_to_writers.eq(i64::from(set.lend_to_writers)),
            org_settings::readable.eq(set.readable.as_deref()),
            org_settings::updated_at.eq(at.micros()),
        );
        // Nobody else makes it: the transaction holds the org's chain.
        if diesel::update(org_settings::table.find(org)).set(row).execute(self.db)? == 0 {
            diesel::insert_into(org_settings::table)
                .values((org_settings::org_id.eq(org), row))
                .execute(self.db)?;
        }
        Ok(())
    }

    /// Whether a credential of Odoo's that the scope's org has is lent.
    pub fn may_be_lent(
        &mut self,
        credential: &SealedCredential,
    ) -> Result<Result<(), LendRefused>, StoreError> {
        Ok(find_lends(self.db, self.scope.org())?.judge(credential))
    }

    /// Keeps what a check of `checked` found its user may do. What it could not tell makes a writer no less of one.
    pub fn set_rights(&mut self, checked: &StoredConnection, rights: Rights) -> Result<(), StoreError> {
        let (may_write, but_of) = match rights {
            Rights::Unknown => (UNKNOWN, WRITER),
            Rights::Reader => (READER, READER),
            Rights::Writer => (WRITER, WRITER),
        };
        diesel::update(
            connections::table
                .filter(connections::org_id.eq(checked.org.as_str()))
                .filter(connections::user_id.eq(checked.user.as_str()))
                .filter(connections::id.eq(checked.id.as_str()))
                .filter(connections::revision.eq(checked.revision.number()))
                .filter(connections::may_write.ne(but_of)),
        )
        .set(connections::may_write.eq(may_write))
        .execute(self.db)?;
        Ok(())
    }
}
