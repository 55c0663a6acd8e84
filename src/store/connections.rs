//! Connections: insert, find, end. Every query names the scope's org and, unless it is a whole
//! org's, its user.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use serde::{Deserialize, Serialize};

use crate::access::{About, UserScope};
use crate::clock::Moment;
use crate::credential::{CredentialKind, Destination, Rights};
use crate::ids::{ConnectionId, IdRefused, KeyId, OrgId, Revision, UserId};
use crate::seal::Sealed;
use crate::store::error::StoreError;
use crate::store::injection;
use crate::store::keys::{left, must_seal};
use crate::store::repeats;
use crate::store::schema::{connections, leases};
use crate::store::tx::Tx;

/// A connection to be kept.
pub struct NewConnection {
    /// Its id.
    pub id: ConnectionId,
    /// Whose it will be.
    pub scope: UserScope,
    /// What people call it.
    pub label: Option<String>,
    /// `production`, `staging` or `development`.
    pub environment: &'static str,
    /// What its credential is.
    pub kind: CredentialKind,
    /// Where that may be sent.
    pub destination: Destination,
    /// The sealed credential.
    pub sealed: Sealed,
    /// When the credential ends by itself.
    pub credential_expires_at: Option<Moment>,
    /// Now.
    pub at: Moment,
}

/// A connection as it is stored, without its sealed credential.
#[derive(Clone, Serialize, Deserialize)]
pub struct StoredConnection {
    /// Its id.
    pub id: ConnectionId,
    /// Whose org.
    pub org: OrgId,
    /// Which user's.
    pub user: UserId,
    /// What people call it.
    pub label: Option<String>,
    /// `production`, `staging` or `development`.
    pub environment: String,
    /// What its credential is.
    pub kind: CredentialKind,
    /// Where that may be sent.
    #[serde(flatten)]
    pub destination: Destination,
    /// The key its credential is sealed under.
    pub key_id: KeyId,
    /// How often its credential was replaced, from 1.
    pub revision: Revision,
    /// When the credential ends by itself.
    pub credential_expires_at: Option<Moment>,
    /// `active` or `auth_failed`; shown as `frozen` while its org is.
    pub state: String,
    /// What its user may do there.
    #[serde(default)]
    pub rights: Rights,
    /// How often it is to be synced: 60 to 604800.
    pub sync_interval_seconds: Option<i64>,
    /// When it was deposited.
    pub created_at: Moment,
    /// When it last changed.
    pub updated_at: Moment,
    /// Whether Odoo took this credential when it was tried last. Of what is kept of answers it is no part.
    #[serde(skip)]
    pub was_taken: bool,
    /// When it was last lent, from the leases.
    pub last_lent_at: Option<Moment>,
    /// Whether an answer of its Odoo held its credential.
    #[serde(default)]
    pub is_leaked: bool,
}

impl StoredConnection {
    /// What the policy may ask of it.
    pub fn about(&self) -> About<'_> {
        About { kind: self.kind, environment: &self.environment, state: &self.state }
    }
}

/// A new connection as its columns.
#[derive(Insertable)]
#[diesel(table_name = connections)]
pub(super) struct NewRow<'a> {
    id: &'a str,
    org_id: &'a str,
    user_id: &'a str,
    label: Option<&'a str>,
    environment: &'a str,
    kind: &'a str,
    url: Option<&'a str>,
    database: Option<&'a str>,
    username: Option<&'a str>,
    sealed: &'a str,
    key_id: &'a str,
    revision: i64,
    credential_expires_at: Option<i64>,
    state: &'a str,
    created_at: i64,
    updated_at: i64,
}

impl<'a> From<&'a NewConnection> for NewRow<'a> {
    fn from(new: &'a NewConnection) -> Self {
        let Destination { url, database, username } = &new.destination;
        Self {
            id: new.id.as_str(),
            org_id: new.scope.org().as_str(),
            user_id: new.scope.user().as_str(),
            label: new.label.as_deref(),
            environment: new.environment,
            kind: new.kind.as_str(),
            url: url.as_deref(),
            database: database.as_deref(),
            username: username.as_deref(),
            sealed: &new.sealed.token,
            key_id: new.sealed.key_id.as_str(),
            revision: Revision::FIRST.number(),
            credential_expires_at: new.credential_expires_at.map(Moment::micros),
            state: "active",
            created_at: new.at.micros(),
            updated_at: new.at.micros(),
        }
    }
}

/// In the words of the index that keeps these apart, which is looked into only then.
const OF_ODOO: &str = "connections.kind IN ('password', 'api_key')";

#[derive(Queryable, Selectable)]
#[diesel(table_name = connections)]
struct Columns {
    id: String,
    org_id: String,
    user_id: String,
    label: Option<String>,
    environment: String,
    kind: String,
    url: Option<String>,
    database: Option<String>,
    username: Option<String>,
    key_id: String,
    revision: i64,
    credential_expires_at: Option<i64>,
    state: String,
    may_write: i64,
    created_at: i64,
    updated_at: i64,
    sync_interval_seconds: Option<i64>,
    taken_revision: Option<i64>,
    leaked: i64,
}

impl Columns {
    fn parse(self) -> Result<StoredConnection, StoreError> {
        Ok(StoredConnection {
            id: ConnectionId::parse(&self.id).map_err(damaged)?,
            org: OrgId::parse(&self.org_id).map_err(damaged)?,
            user: UserId::parse(&self.user_id).map_err(damaged)?,
            label: self.label,
            environment: self.environment,
            kind: CredentialKind::parse(&self.kind).ok_or(StoreError::Damaged("connections"))?,
            destination: Destination { url: self.url, database: self.database, username: self.username },
            key_id: KeyId::parse(&self.key_id).map_err(damaged)?,
            revision: Revision::from_number(self.revision),
            credential_expires_at: self.credential_expires_at.map(Moment::from_micros),
            state: self.state,
            rights: injection::rights_of(self.may_write),
            sync_interval_seconds: self.sync_interval_seconds,
            was_taken: self.taken_revision == Some(self.revision),
            created_at: Moment::from_micros(self.created_at),
            updated_at: Moment::from_micros(self.updated_at),
            last_lent_at: None,
            is_leaked: self.leaked != 0,
        })
    }
}

/// The rows of `connections` that the scope may touch, as a boxed query.
macro_rules! mine {
    ($tx:expr) => {{
        let query = connections::table
            .filter(connections::org_id.eq($tx.scope.org().as_str().to_owned()))
            .into_boxed();
        match $tx.scope.user() {
            Some(user) => query.filter(connections::user_id.eq(user.as_str().to_owned())),
            None => query,
        }
    }};
}

impl Tx<'_> {
    /// Keeps `new`, if its key may still seal. [`StoreError::Duplicate`] when it is Odoo's and its owner
    /// has one of Odoo's for the same destination.
    pub fn insert_connection(&mut self, new: &NewConnection) -> Result<(), StoreError> {
        let key = &new.sealed.key_id;
        must_seal(self.db, key)?;
        diesel::insert_into(connections::table).values(NewRow::from(new)).execute(self.db)?;
        Ok(())
    }

    /// The connection with a credential of Odoo's that `owner` has for that destination, if the scope reaches it.
    pub fn find_connection_of(
        &mut self,
        owner: &UserScope,
        destination: &Destination,
    ) -> Result<Option<ConnectionId>, StoreError> {
        if self.scope.of_user(owner.user()).as_ref() != Some(owner) {
            return Ok(None);
        }
        let (url, database, username) = destination.parts();
        let id: Option<String> = connections::table
            .filter(sql::<Bool>(OF_ODOO))
            .filter(connections::org_id.eq(owner.org().as_str()))
            .filter(connections::user_id.eq(owner.user().as_str()))
            .filter(connections::url.eq(url))
            .filter(connections::database.eq(database))
            .filter(connections::username.eq(username))
            .select(connections::id)
            .first(self.db)
            .optional()?;
        id.map(|id| ConnectionId::parse(&id)).transpose().map_err(damaged)
    }

    /// One connection of the scope.
    pub fn find_connection(&mut self, id: &ConnectionId) -> Result<Option<StoredConnection>, StoreError> {
        let found: Option<Columns> = mine!(self)
            .filter(connections::id.eq(id.as_str()))
            .select(Columns::as_select())
            .first(self.db)
            .optional()?;
        let found = found.map(Columns::parse).transpose()?;
        Ok(self.with_last_lent(found.into_iter().collect())?.pop())
    }

    /// The scope's connections after `after` in id order, at most `limit`.
    pub fn find_connections(
        &mut self,
        after: Option<&ConnectionId>,
        limit: i64,
    ) -> Result<Vec<StoredConnection>, StoreError> {
        let rows: Vec<Columns> = mine!(self)
            .filter(connections::id.gt(after.map_or("", ConnectionId::as_str)))
            .order(connections::id.asc())
            .limit(limit)
            .select(Columns::as_select())
            .load(self.db)?;
        let rows: Result<Vec<_>, _> = rows.into_iter().map(Columns::parse).collect();
        self.with_last_lent(rows?)
    }

    /// Writes the label, the sync interval and the environment of `changed`, which was found in this
    /// transaction, as they are in it now.
    pub fn update_connection(&mut self, changed: &StoredConnection) -> Result<(), StoreError> {
        diesel::update(
            connections::table
                .filter(connections::org_id.eq(changed.org.as_str()))
                .filter(connections::user_id.eq(changed.user.as_str()))
                .filter(connections::id.eq(changed.id.as_str())),
        )
        .set((
            connections::label.eq(changed.label.as_deref()),
            connections::sync_interval_seconds.eq(changed.sync_interval_seconds),
            connections::environment.eq(&changed.environment),
            connections::updated_at.eq(changed.updated_at.micros()),
        ))
        .execute(self.db)?;
        Ok(())
    }

    /// Writes the state that a check of `checked`, as it was found then, showed. `false` if its credential
    /// is another one since, or gone.
    pub fn mark_connection(
        &mut self,
        checked: &StoredConnection,
        state: Option<&'static str>,
        at: Moment,
    ) -> Result<bool, StoreError> {
        let now = self.find_connection(&checked.id)?;
        let Some(now) = now.filter(|now| now.revision == checked.revision) else { return Ok(false) };
        let Some(state) = state.filter(|state| *state != now.state) else { return Ok(true) };
        let marked = diesel::update(
            connections::table
                .filter(connections::org_id.eq(now.org.as_str()))
                .filter(connections::user_id.eq(now.user.as_str()))
                .filter(connections::id.eq(now.id.as_str()))
                .filter(connections::revision.eq(checked.revision.number())),
        )
        .set((connections::state.eq(state), connections::updated_at.eq(at.micros())))
        .execute(self.db)?;
        Ok(marked == 1)
    }

    /// Keeps that an answer of its Odoo held the credential of `read`, if that is the one that is there.
    pub fn mark_leaked(&mut self, read: &StoredConnection) -> Result<(), StoreError> {
        diesel::update(
            connections::table
                .filter(connections::org_id.eq(read.org.as_str()))
                .filter(connections::user_id.eq(read.user.as_str()))
                .filter(connections::id.eq(read.id.as_str()))
                .filter(connections::revision.eq(read.revision.number())),
        )
        .set(connections::leaked.eq(1_i64))
        .execute(self.db)?;
        Ok(())
    }

    /// Removes the row with its ciphertext, ends its open leases and blanks what is kept of answers about
    /// it. `false` if the scope has none
    /// such.
    pub fn end_connection(&mut self, id: &ConnectionId, at: Moment) -> Result<bool, StoreError> {
        // diesel deletes only from a table, not from a boxed query: the scope is asked first, in the
        // same transaction.
        let mine = mine!(self).filter(connections::id.eq(id.as_str()));
        let key: Option<String> = mine.select(connections::key_id).first(self.db).optional()?;
        let Some(key) = key else { return Ok(false) };
        diesel::delete(
            connections::table
                .filter(connections::org_id.eq(self.scope.org().as_str()))
                .filter(connections::id.eq(id.as_str())),
        )
        .execute(self.db)?;
        diesel::update(
            leases::table
                .filter(leases::org_id.eq(self.scope.org().as_str()))
                .filter(leases::connection_id.eq(id.as_str()))
                .filter(leases::ended_at.is_null())
                .filter(leases::expires_at.gt(at.micros())),
        )
        .set((leases::ended_at.eq(Some(at.micros())), leases::outcome.eq(Some("forgotten"))))
        .execute(self.db)?;
        repeats::blank(self.db, self.scope.org(), id)?;
        left(self.db, &key, at)?;
        Ok(true)
    }

    fn with_last_lent(
        &mut self,
        mut rows: Vec<StoredConnection>,
    ) -> Result<Vec<StoredConnection>, StoreError> {
        // Not max(): it would look at every lease there ever was.
        for row in &mut rows {
            let last: Option<i64> = leases::table
                .filter(leases::org_id.eq(self.scope.org().as_str()))
                .filter(leases::connection_id.eq(row.id.as_str()))
                .order(leases::fence.desc())
                .select(leases::lent_at)
                .first(self.db)
                .optional()?;
            row.last_lent_at = last.map(Moment::from_micros);
        }
        Ok(rows)
    }
}

fn damaged(_: IdRefused) -> StoreError {
    StoreError::Damaged("connections")
}
