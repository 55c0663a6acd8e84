//! A sealed credential: found only if it may still be opened where it lies, and replaced whole. Never
//! sees an opened secret.

use diesel::prelude::*;

use crate::access::{About, UserScope};
use crate::clock::Moment;
use crate::credential::{CredentialKind, Destination, Rights};
use crate::ids::{ConnectionId, KeyId, Revision};
use crate::seal::{OpenRefused, Sealed};
use crate::store::connections::StoredConnection;
use crate::store::db::{Db, each};
use crate::store::error::StoreError;
use crate::store::injection;
use crate::store::keys::{left, must_seal};
use crate::store::lend::LendRefused;
use crate::store::repeats;
use crate::store::schema::{connections, keys};
use crate::store::tx::Tx;

/// A sealed credential, and where it may be sent.
pub struct SealedCredential {
    /// What it is.
    pub kind: CredentialKind,
    /// Where it may be sent.
    pub destination: Destination,
    /// What that is to its customer.
    pub environment: String,
    /// The credential's revision.
    pub revision: Revision,
    /// When it ends by itself.
    pub expires_at: Option<Moment>,
    /// Whether Odoo refused it.
    pub auth_failed: bool,
    /// What its user may do there.
    pub rights: Rights,
    /// The sealed credential.
    pub sealed: Sealed,
}

impl SealedCredential {
    /// What the policy may ask of it.
    pub fn about(&self) -> About<'_> {
        let state = if self.auth_failed { "auth_failed" } else { "active" };
        About { kind: self.kind, environment: &self.environment, state }
    }
}

/// A credential that takes another's place.
pub struct NewCredential {
    /// The sealed credential.
    pub sealed: Sealed,
    /// Its revision, for which it is sealed.
    pub revision: Revision,
    /// When it ends by itself.
    pub expires_at: Option<Moment>,
    /// Now.
    pub at: Moment,
}

/// Whether a sealed credential opens where it lies. Tells yes or why not, never what is in it.
pub type Proof = Box<dyn Fn(&SealedCredential) -> Result<(), OpenRefused> + Send>;

#[derive(Queryable, Selectable)]
#[diesel(table_name = connections)]
pub(super) struct SealedColumns {
    kind: String,
    environment: String,
    url: Option<String>,
    database: Option<String>,
    username: Option<String>,
    sealed: String,
    key_id: String,
    revision: i64,
    credential_expires_at: Option<i64>,
    state: String,
    may_write: i64,
}

impl SealedColumns {
    pub(super) fn parse(self) -> Result<SealedCredential, StoreError> {
        let key_id = KeyId::parse(&self.key_id).map_err(|_| StoreError::Damaged("connections"))?;
        Ok(SealedCredential {
            kind: CredentialKind::parse(&self.kind).ok_or(StoreError::Damaged("connections"))?,
            environment: self.environment,
            destination: Destination { url: self.url, database: self.database, username: self.username },
            revision: Revision::from_number(self.revision),
            expires_at: self.credential_expires_at.map(Moment::from_micros),
            auth_failed: self.state == "auth_failed",
            rights: injection::rights_of(self.may_write),
            sealed: Sealed { token: self.sealed, key_id },
        })
    }
}

impl Tx<'_> {
    /// The sealed credential of `owner`'s connection, if its key may still open and it does.
    pub fn find_sealed(
        &mut self,
        owner: &UserScope,
        id: &ConnectionId,
        proof: &Proof,
    ) -> Result<Result<SealedCredential, LendRefused>, StoreError> {
        judge(find_sealed_columns(self.db, owner, id)?, proof)
    }

    /// Puts `new` in the place of the credential of `connection`, which was found in this transaction;
    /// nothing is left of the old one. Its key must be one that may still seal.
    pub fn replace_credential(
        &mut self,
        connection: &StoredConnection,
        new: &NewCredential,
    ) -> Result<(), StoreError> {
        must_seal(self.db, &new.sealed.key_id)?;
        let replaced = diesel::update(
            connections::table
                .filter(connections::org_id.eq(connection.org.as_str()))
                .filter(connections::user_id.eq(connection.user.as_str()))
                .filter(connections::id.eq(connection.id.as_str()))
                .filter(connections::revision.eq(connection.revision.number())),
        )
        .set((
            connections::sealed.eq(&new.sealed.token),
            connections::key_id.eq(new.sealed.key_id.as_str()),
            connections::revision.eq(new.revision.number()),
            connections::credential_expires_at.eq(new.expires_at.map(Moment::micros)),
            connections::expiry_warned.eq(None::<i64>),
            connections::state.eq("active"),
            connections::leaked.eq(0_i64),
            connections::updated_at.eq(new.at.micros()),
        ))
        .execute(self.db)?;
        if replaced != 1 {
            return Err(StoreError::Unavailable("the row changed meanwhile"));
        }
        left(self.db, connection.key_id.as_str(), new.at)?;
        repeats::blank_marks(self.db, &connection.org, &connection.id)
    }
}

/// What lies there, with the state of its key.
pub(super) fn find_sealed_columns(
    db: &mut Db,
    owner: &UserScope,
    id: &ConnectionId,
) -> Result<Option<(SealedColumns, Option<String>)>, StoreError> {
    // There is one at most: no limit is set, for what first_row says of it.
    let mut found: Vec<(SealedColumns, Option<String>)> = each!(db, db => {
        connections::table
            .left_join(keys::table.on(keys::id.eq(connections::key_id)))
            .filter(connections::org_id.eq(owner.org().as_str()))
            .filter(connections::user_id.eq(owner.user().as_str()))
            .filter(connections::id.eq(id.as_str()))
            .select((SealedColumns::as_select(), keys::state.nullable()))
            .load(db)?
    });
    Ok(found.pop())
}

/// What was found, if its key may still open and it does.
pub(super) fn judge(
    found: Option<(SealedColumns, Option<String>)>,
    proof: &Proof,
) -> Result<Result<SealedCredential, LendRefused>, StoreError> {
    let Some((row, key)) = found else { return Ok(Err(LendRefused::NotFound)) };

    let credential = row.parse()?;
    let key_id = &credential.sealed.key_id;
    match key.as_deref() {
        None => return Ok(Err(LendRefused::UnknownKey(key_id.clone()))),
        Some("retired") => return Ok(Err(LendRefused::RetiredKey(key_id.clone()))),
        Some(_) => {}
    }
    Ok(match proof(&credential) {
        Ok(()) => Ok(credential),
        Err(OpenRefused::UnknownKey) => Err(LendRefused::UnknownKey(credential.sealed.key_id)),
        Err(OpenRefused::DoesNotOpen) => Err(LendRefused::DoesNotOpen),
    })
}
