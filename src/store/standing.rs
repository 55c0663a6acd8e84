//! What decides over every token: the issuer's keys and what is revoked. Read often, and cheaply.

use std::time::Instant;

use diesel::prelude::*;

use crate::access::Revocation;
use crate::clock::{Moment, new_id};
use crate::ids::{ClientId, TokenId};
use crate::store::db::{Access, Db};
use crate::store::error::StoreError;
use crate::store::issuers::{SealedIssuerKey, find_issuer_keys};
use crate::store::schema::revocations;
use crate::store::scopes::Scopes;
use crate::store::transact::{Terms, transact};
use crate::store::tx::Store;
use crate::store::upkeep::Upkeep;

/// So many look at once, each on a connection of its own; while they all hang, nobody else begins.
pub const LOOKS: usize = 4;

/// It, as it was at one moment.
pub struct StoredStanding {
    /// The issuer's keys, oldest first.
    pub issuers: Vec<SealedIssuerKey>,
    /// What is revoked.
    pub revocations: Vec<Revocation>,
}

impl Store {
    /// All that decides over tokens now. Blocks, and holds nobody up.
    pub fn find_standing(&self) -> Result<StoredStanding, StoreError> {
        let mut db = self.lookout.get().map_err(|_| StoreError::Unavailable("no connection"))?;
        let (name, asked, scopes) = ("find standing", Instant::now(), Scopes::vault());
        let terms = Terms { name, access: Access::Read, scopes: &scopes, asked, until: None };
        transact(&mut db, &terms, |db, _| {
            Ok(StoredStanding { issuers: find_issuer_keys(db)?, revocations: find_revocations(db)? })
        })
    }
}

impl Upkeep<'_> {
    /// Revokes, until nothing is left to be hit. Drops what is past that.
    pub fn insert_revocation(
        &mut self,
        revocation: &Revocation,
        dies_at: Moment,
        now: Moment,
    ) -> Result<(), StoreError> {
        diesel::delete(revocations::table.filter(revocations::dies_at.le(now.micros()))).execute(self.db)?;
        let (jti, client, before) = match revocation {
            Revocation::Token(jti) => (Some(jti.as_str()), None, None),
            Revocation::Client(client, before) => (None, Some(client.as_str()), Some(before.micros())),
        };
        let id = new_id("rev", now).map_err(|_| StoreError::Unavailable("no randomness"))?;
        diesel::insert_into(revocations::table)
            .values((
                revocations::id.eq(id),
                revocations::jti.eq(jti),
                revocations::client_id.eq(client),
                revocations::issued_before.eq(before),
                revocations::dies_at.eq(dies_at.micros()),
            ))
            .execute(self.db)?;
        Ok(())
    }
}

type Columns = (Option<String>, Option<String>, Option<i64>);

fn find_revocations(db: &mut Db) -> Result<Vec<Revocation>, StoreError> {
    let rows: Vec<Columns> = revocations::table
        .order(revocations::id.asc())
        .select((revocations::jti, revocations::client_id, revocations::issued_before))
        .load(db)?;
    let damaged = |_| StoreError::Damaged("revocations");
    rows.into_iter()
        .map(|row| match row {
            (Some(jti), None, None) => Ok(Revocation::Token(TokenId::parse(&jti).map_err(damaged)?)),
            (None, Some(client), Some(before)) => {
                let client = ClientId::parse(&client).map_err(damaged)?;
                Ok(Revocation::Client(client, Moment::from_micros(before)))
            }
            _ => Err(StoreError::Damaged("revocations")),
        })
        .collect()
}
