//! A sealed credential, found only if it may still be opened where it lies. Never sees an opened secret.

use diesel::prelude::*;

use crate::access::UserScope;
use crate::ids::{ConnectionId, KeyId, Revision};
use crate::seal::{OpenRefused, Sealed};
use crate::store::db::Db;
use crate::store::error::StoreError;
use crate::store::lend::LendRefused;
use crate::store::schema::{connections, keys};
use crate::store::tx::Tx;

/// A sealed credential, and where it may be sent.
pub struct SealedCredential {
    /// `password` or `api_key`.
    pub kind: String,
    /// Url, database, username.
    pub address: (String, String, String),
    /// The credential's revision.
    pub revision: Revision,
    /// The sealed credential.
    pub sealed: Sealed,
}

/// Whether a sealed credential opens where it lies. Tells yes or why not, never what is in it.
pub type Proof = Box<dyn Fn(&SealedCredential) -> Result<(), OpenRefused> + Send>;

#[derive(Queryable, Selectable)]
#[diesel(table_name = connections)]
struct SealedColumns {
    kind: String,
    url: String,
    database: String,
    username: String,
    sealed: String,
    key_id: String,
    revision: i64,
}

impl Tx<'_> {
    /// The sealed credential of `owner`'s connection, if its key may still open and it does.
    pub fn find_sealed(
        &mut self,
        owner: &UserScope,
        id: &ConnectionId,
        proof: &Proof,
    ) -> Result<Result<SealedCredential, LendRefused>, StoreError> {
        find_sealed(self.db, owner, id, proof)
    }
}

pub(super) fn find_sealed(
    db: &mut Db,
    owner: &UserScope,
    id: &ConnectionId,
    proof: &Proof,
) -> Result<Result<SealedCredential, LendRefused>, StoreError> {
    let found: Option<SealedColumns> = connections::table
        .filter(connections::org_id.eq(owner.org().as_str()))
        .filter(connections::user_id.eq(owner.user().as_str()))
        .filter(connections::id.eq(id.as_str()))
        .select(SealedColumns::as_select())
        .first(db)
        .optional()?;
    let Some(row) = found else { return Ok(Err(LendRefused::NotFound)) };

    let key_id = KeyId::parse(&row.key_id).map_err(|_| StoreError::Damaged("connections"))?;
    let key: Option<String> = keys::table.find(key_id.as_str()).select(keys::state).first(db).optional()?;
    match key.as_deref() {
        None => return Ok(Err(LendRefused::UnknownKey(key_id))),
        Some("retired") => return Ok(Err(LendRefused::RetiredKey(key_id))),
        Some(_) => {}
    }
    let credential = SealedCredential {
        kind: row.kind,
        address: (row.url, row.database, row.username),
        revision: Revision::from_number(row.revision),
        sealed: Sealed { token: row.sealed, key_id },
    };
    Ok(match proof(&credential) {
        Ok(()) => Ok(credential),
        Err(OpenRefused::UnknownKey) => Err(LendRefused::UnknownKey(credential.sealed.key_id)),
        Err(OpenRefused::DoesNotOpen) => Err(LendRefused::DoesNotOpen),
    })
}
